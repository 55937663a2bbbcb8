//! Taking commands back, and dangerous commands for many hosts: held, approved by another admin, released at a pace.

use std::collections::HashSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use protocol::apple::command::Command;
use protocol::ids::CommandUuid;
use reqwest::{Method, StatusCode};
use rookery::config::Settings;
use rookery::sim::apple::device::{Answer as Done, Device};
use rookery::sim::apple::model::Family;
use serde_json::{Value, json};

use crate::app::{Answer, answer, eventually};
use crate::process::enroll;
use crate::world::{DEVICE, World, assert_sound, fresh_uuid, on_each_store, on_each_store_with};

async fn act(world: &World, uuid: &CommandUuid, verb: &str, body: Value) -> Answer {
    world.app.post(&format!("/api/v1/fleet/commands/{uuid}/{verb}"), &body).await
}

/// The same by another admin.
async fn second(world: &World, token: &str, uuid: &CommandUuid, verb: &str, body: Value) -> Answer {
    let url = format!("{}/api/v1/fleet/commands/{uuid}/{verb}", world.app.running().addresses.admin_url);
    answer(world.app.client.request(Method::POST, url).bearer_auth(token).body(body.to_string())).await
}

fn ids<'d>(devices: impl IntoIterator<Item = &'d Device>) -> Vec<&'d str> {
    devices.into_iter().map(|device| device.channel_id(DEVICE).unwrap()).collect()
}

#[actix::test]
async fn what_is_queued_is_taken_back_and_what_was_sent_is_said_so() {
    on_each_store(async |world| {
        let mut devices = Vec::new();
        for number in 1..=4 {
            devices.push(world.enrolled(Family::Mac, number).await);
        }
        let command = world.run(&devices.iter().collect::<Vec<_>>(), "SecurityInfo").await;
        assert_eq!(devices[0].poll(DEVICE).await.unwrap().unwrap().uuid(), &command);
        assert_eq!(devices[1].work(DEVICE).await.unwrap(), 1);

        let one = json!({ "host_uuids": ids(&devices[2..3]) });
        let done = act(world, &command, "cancel", one.clone()).await;
        assert_eq!((done.status, &done.json["cancelled"], &done.json["sent"]), (StatusCode::OK, &json!(1), &json!(0)));
        let again = act(world, &command, "cancel", one).await;
        assert_eq!((&again.json["cancelled"], &again.json["ended"]), (&json!(0), &json!(1)), "{}", again.json);

        let all = act(world, &command, "cancel", json!({})).await;
        assert_eq!(all.status, StatusCode::OK, "{}", all.json);
        assert_eq!((&all.json["cancelled"], &all.json["sent"], &all.json["ended"]), (&json!(1), &json!(1), &json!(2)));
        assert!(all.json["message"].as_str().unwrap().starts_with("1 of its hosts may have it"), "{}", all.json);

        assert_eq!(devices[2].poll(DEVICE).await.unwrap(), None, "nobody gets what was taken back");
        assert_eq!(devices[3].poll(DEVICE).await.unwrap(), None);
        assert_eq!(devices[0].report(DEVICE, &command, &Done::acknowledged()).await.unwrap(), None);
        let statuses: HashSet<String> =
            world.results(&command).await.iter().map(|row| row["status"].as_str().unwrap().to_owned()).collect();
        assert_eq!(statuses, HashSet::from(["Acknowledged".to_owned(), "Cancelled".to_owned()]));
        devices.iter().for_each(assert_sound);
    })
    .await;
}

#[actix::test]
async fn a_deferred_command_can_be_taken_back_until_it_is_on_its_way_again() {
    on_each_store(async |world| {
        let mut device = world.enrolled(Family::IPhone, 1).await;
        let command = world.run(&[&device], "SecurityInfo").await;
        device.poll(DEVICE).await.unwrap();
        device.report(DEVICE, &command, &Done::not_now()).await.unwrap();
        assert_eq!(device.poll(DEVICE).await.unwrap().unwrap().uuid(), &command);
        assert_eq!(act(world, &command, "cancel", json!({})).await.json["sent"], 1, "it is on its way");
        device.report(DEVICE, &command, &Done::not_now()).await.unwrap();
        assert_eq!(act(world, &command, "cancel", json!({})).await.json["cancelled"], 1);
        assert_eq!(device.poll(DEVICE).await.unwrap(), None);
        assert_eq!(world.status(&command).await, "Cancelled");
        assert_sound(&device);
    })
    .await;
}

#[actix::test]
async fn what_cannot_be_cancelled_is_refused() {
    on_each_store(async |world| {
        let device = world.enrolled(Family::Mac, 1).await;
        let nobody = act(world, &fresh_uuid(), "cancel", json!({})).await;
        assert_eq!(nobody.status, StatusCode::NOT_FOUND);
        let command = world.run(&[&device], "SecurityInfo").await;
        for hosts in [json!([]), json!(["no-such-host"])] {
            let refused = act(world, &command, "cancel", json!({ "host_uuids": hosts })).await;
            assert_eq!(refused.status, StatusCode::NOT_FOUND, "no host is not all hosts: {}", refused.json);
        }
        assert_eq!(act(world, &command, "cancel", json!({ "hosts": [] })).await.status, StatusCode::BAD_REQUEST);
        assert_eq!(act(world, &command, "approve", json!({ "hosts": 1 })).await.status, StatusCode::NOT_FOUND);
        assert_eq!(world.status(&command).await, "Pending");
    })
    .await;
}

fn two_locks_an_hour(settings: &mut Settings) {
    settings.brakes.lock_per_hour = 2;
    settings.brakes.release_per_minute = 600;
}

/// Locks devices; returns the command, the status and the answer.
async fn lock(world: &World, devices: &[&Device]) -> (CommandUuid, StatusCode, Value) {
    let uuid = fresh_uuid();
    let (status, answer) = world.try_run(devices, &uuid, "DeviceLock").await;
    (uuid, status, answer)
}

#[actix::test]
async fn dangerous_commands_for_too_many_hosts_wait_for_another_admin() {
    on_each_store_with(two_locks_an_hour, async |world| {
        let mut devices = Vec::new();
        for number in 1..=3 {
            devices.push(world.enrolled(Family::Mac, number).await);
        }
        for device in &devices[..2] {
            assert_eq!(lock(world, &[device]).await.1, StatusCode::OK);
            assert_eq!(lock(world, &[device]).await.1, StatusCode::OK, "the same host again is no other host");
        }
        let (command, status, answer) = lock(world, &devices.iter().collect::<Vec<_>>()).await;
        assert_eq!((status, &answer["held"]["hosts"]), (StatusCode::ACCEPTED, &json!(3)), "{answer}");
        let results = world.results(&command).await;
        assert!(results.len() == 3 && results.iter().all(|row| row["status"] == "Held"), "{results:?}");
        assert_eq!(devices[2].poll(DEVICE).await.unwrap(), None, "nobody gets it");
        let held = world.app.get("/api/v1/fleet/commands/held").await.json["held"].clone();
        assert_eq!((&held[0]["command_uuid"], &held[0]["status"]), (&json!(command.as_str()), &json!("waiting")));

        let other = world.app.running().new_token("second").unwrap();
        let own = act(world, &command, "approve", json!({ "hosts": 3 })).await;
        assert_eq!(own.status, StatusCode::FORBIDDEN, "{}", own.json);
        let wrong = second(world, &other, &command, "approve", json!({ "hosts": 2 })).await;
        assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", wrong.json);
        assert_eq!(world.results(&command).await[0]["status"], "Held");
        let agreed = second(world, &other, &command, "approve", json!({ "hosts": 3 })).await;
        assert_eq!((agreed.status, &agreed.json["hosts"]), (StatusCode::OK, &json!(3)), "{}", agreed.json);
        let twice = second(world, &other, &command, "approve", json!({ "hosts": 3 })).await;
        assert_eq!(twice.status, StatusCode::CONFLICT);

        eventually("all are released", async || {
            let held = world.app.get("/api/v1/fleet/commands/held").await;
            (held.json["held"] == json!([])).then_some(())
        })
        .await;
        assert_eq!(devices[2].work(DEVICE).await.unwrap(), 1);
        let statuses = world.results(&command).await;
        assert!(statuses.iter().all(|row| row["status"] != "Held"), "{statuses:?}");
        assert_eq!(lock(world, &[&devices[0]]).await.1, StatusCode::OK, "what was approved does not count");
        devices.iter().for_each(assert_sound);
    })
    .await;
}

#[actix::test]
async fn a_held_command_is_rejected_cancelled_or_superseded_and_goes_nowhere() {
    on_each_store_with(two_locks_an_hour, async |world| {
        let mut devices = Vec::new();
        for number in 1..=3 {
            devices.push(world.enrolled(Family::Mac, number).await);
        }
        let all: Vec<&Device> = devices.iter().collect();
        let other = world.app.running().new_token("second").unwrap();
        let (rejected, cancelled, partly) = (lock(world, &all).await, lock(world, &all).await, lock(world, &all).await);
        assert_eq!(act(world, &rejected.0, "reject", json!({})).await.json["cancelled"], 3);
        assert_eq!(act(world, &cancelled.0, "cancel", json!({})).await.json["cancelled"], 3);
        for gone in [&rejected.0, &cancelled.0] {
            let late = second(world, &other, gone, "approve", json!({ "hosts": 3 })).await;
            assert_eq!(late.status, StatusCode::CONFLICT, "{}", late.json);
        }
        let first = json!({ "host_uuids": ids(&devices[..1]) });
        assert_eq!(act(world, &partly.0, "cancel", first).await.json["cancelled"], 1);
        let enroll_url = world.enroll_url();
        enroll(&mut devices[1], &enroll_url).await;
        let stale = second(world, &other, &partly.0, "approve", json!({ "hosts": 3 })).await;
        assert_eq!(stale.status, StatusCode::UNPROCESSABLE_ENTITY, "one was cancelled, one enrolled anew");
        assert_eq!(second(world, &other, &partly.0, "approve", json!({ "hosts": 1 })).await.status, StatusCode::OK);
        eventually("the last one is released", async || (devices[2].work(DEVICE).await.unwrap() == 1).then_some(()))
            .await;
        assert_eq!(devices[0].poll(DEVICE).await.unwrap(), None);
        assert_eq!(devices[1].poll(DEVICE).await.unwrap(), None);
        devices.iter().for_each(assert_sound);
    })
    .await;
}

#[actix::test]
async fn the_brakes_hold_nanos_tools_and_repeated_requests_too() {
    on_each_store_with(two_locks_an_hour, async |world| {
        let mut devices = Vec::new();
        for number in 1..=3 {
            devices.push(world.enrolled(Family::Mac, number).await);
        }
        let (status, answer) = world.try_enqueue(&ids(&devices).join(","), "DeviceLock").await;
        assert_eq!((status, &answer["held"]), (StatusCode::OK, &json!(true)), "{answer}");
        let command = Command::new(fresh_uuid(), "DeviceLock", Default::default()).unwrap();
        let body = json!({ "command": STANDARD.encode(command.to_xml()), "host_uuids": ids(&devices) }).to_string();
        let mut answers = Vec::new();
        for _ in 0..3 {
            let run = world.app.admin(Method::POST, "/api/v1/fleet/commands/run").header("Idempotency-Key", "once");
            answers.push(crate::app::answer(run.body(body.clone())).await);
        }
        assert!(answers.iter().all(|answer| answer.status == StatusCode::ACCEPTED), "{answers:?}");
        assert!(answers.iter().all(|answer| answer.json == answers[0].json), "{answers:?}");
        assert_eq!(world.app.get("/api/v1/fleet/commands/held").await.json["held"].as_array().unwrap().len(), 2);
    })
    .await;
}
