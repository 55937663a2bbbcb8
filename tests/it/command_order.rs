//! When a queued command goes, and until when: priority, expiry, and commands that wait for others.

use std::time::Duration;

use protocol::ids::CommandUuid;
use reqwest::StatusCode;
use rookery::sim::apple::device::{Answer as Done, Device};
use rookery::sim::apple::model::Family;
use serde_json::{Value, json};

use crate::app::{Answer, eventually};
use crate::world::{DEVICE, World, assert_sound, on_each_store, on_each_store_with};

/// Queues a command for devices with options.
async fn try_run(world: &World, devices: &[&Device], options: Value) -> Answer {
    let uuids: Vec<&str> = devices.iter().map(|device| device.channel_id(DEVICE).unwrap()).collect();
    let mut body = json!({ "command": { "request_type": "ProfileList" }, "host_uuids": uuids });
    body.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
    world.app.post("/api/v1/fleet/commands/run", &body).await
}

async fn run(world: &World, device: &Device, options: Value) -> CommandUuid {
    let ran = try_run(world, &[device], options).await;
    assert_eq!(ran.status, StatusCode::OK, "{}", ran.json);
    CommandUuid::parse(ran.json["command_uuid"].as_str().unwrap()).unwrap()
}

/// Answers the command in the device's hands; what it gets next.
async fn answer(device: &mut Device, command: &CommandUuid, answer: &Done) -> Option<CommandUuid> {
    let next = device.report(DEVICE, command, answer).await.unwrap();
    next.map(|next| next.uuid().clone())
}

async fn poll(device: &mut Device) -> Option<CommandUuid> {
    device.poll(DEVICE).await.unwrap().map(|next| next.uuid().clone())
}

fn failed() -> Done {
    Done::error(1, "TestErrorDomain", "no")
}

#[actix::test]
async fn a_command_waits_until_another_has_ended_or_succeeded() {
    on_each_store(async |world| {
        let mut device = world.enrolled(Family::Mac, 1).await;
        let first = run(world, &device, json!({ "priority": -1 })).await;
        let then = run(world, &device, json!({ "after": first.as_str() })).await;
        let lucky = run(world, &device, json!({ "after": then.as_str(), "after_success": true })).await;
        assert_eq!(poll(&mut device).await, Some(first.clone()), "although it has the lowest priority");
        assert_eq!(answer(&mut device, &first, &Done::not_now()).await, None, "a deferred one has not ended");
        assert_eq!(poll(&mut device).await, Some(first.clone()));
        assert_eq!(answer(&mut device, &first, &failed()).await, Some(then.clone()), "whatever its result");
        assert_eq!(answer(&mut device, &then, &Done::acknowledged()).await, Some(lucky.clone()));
        assert_eq!(answer(&mut device, &lucky, &Done::acknowledged()).await, None);
        let late = run(world, &device, json!({ "after": lucky.as_str(), "after_success": true })).await;
        assert_eq!(poll(&mut device).await, Some(late.clone()), "what has ended is waited for by nobody");
        answer(&mut device, &late, &Done::acknowledged()).await;
        assert_sound(&device);
    })
    .await;
}

#[actix::test]
async fn a_command_that_needs_success_is_cancelled_with_those_that_need_it() {
    on_each_store(async |world| {
        let mut device = world.enrolled(Family::Mac, 1).await;
        let first = run(world, &device, json!({})).await;
        let second = run(world, &device, json!({ "after": first.as_str(), "after_success": true })).await;
        let third = run(world, &device, json!({ "after": second.as_str(), "after_success": true })).await;
        let patient = run(world, &device, json!({ "after": third.as_str() })).await;
        assert_eq!(poll(&mut device).await, Some(first.clone()));
        answer(&mut device, &first, &failed()).await;
        assert_eq!(world.status(&second).await, "Cancelled");
        assert_eq!(world.status(&third).await, "Cancelled");
        assert_eq!(poll(&mut device).await, Some(patient.clone()));
        answer(&mut device, &patient, &Done::acknowledged()).await;

        let taken_back = run(world, &device, json!({})).await;
        let follower = run(world, &device, json!({ "after": taken_back.as_str(), "after_success": true })).await;
        let cancel = format!("/api/v1/fleet/commands/{taken_back}/cancel");
        assert_eq!(world.app.post(&cancel, &json!({})).await.json["cancelled"], 1);
        eventually("the one that needs it is cancelled", async || {
            (world.status(&follower).await == "Cancelled").then_some(())
        })
        .await;
        assert_eq!(poll(&mut device).await, None);
        let refused = try_run(world, &[&device], json!({ "after": follower.as_str(), "after_success": true })).await;
        assert_eq!(refused.status, StatusCode::CONFLICT, "it never can go: {}", refused.json);
        assert_sound(&device);
    })
    .await;
}

#[actix::test]
async fn the_order_survives_a_restart() {
    on_each_store_with(
        |_| {},
        async |world| {
            let mut device = world.enrolled(Family::Mac, 1).await;
            let first = run(world, &device, json!({ "priority": -1 })).await;
            let waits = run(world, &device, json!({ "after": first.as_str() })).await;
            let needs = run(world, &device, json!({ "after": first.as_str(), "after_success": true })).await;
            world.app.restart();
            device.wire_mut().disconnect();
            assert_eq!(poll(&mut device).await, Some(first.clone()));
            assert_eq!(answer(&mut device, &first, &failed()).await, Some(waits.clone()));
            world.app.restart();
            device.wire_mut().disconnect();
            assert_eq!(answer(&mut device, &waits, &Done::acknowledged()).await, None);
            assert_eq!(world.status(&needs).await, "Cancelled");
            assert_sound(&device);
        },
    )
    .await;
}

#[actix::test]
async fn an_expiry_that_was_asked_for_ends_a_command() {
    on_each_store(async |world| {
        let mut device = world.enrolled(Family::Mac, 1).await;
        let short = run(world, &device, json!({ "expiry": 3600 })).await;
        let needs = run(world, &device, json!({ "after": short.as_str(), "after_success": true })).await;
        world.app.running().advance_clock(Duration::from_secs(7200));
        for (command, end) in [(&short, "Expired"), (&needs, "Cancelled")] {
            eventually("it ends", async || (world.status(command).await == end).then_some(())).await;
        }
        assert_eq!(poll(&mut device).await, None);
        let tomorrow = world.now().plus(Duration::from_secs(86_400)).to_rfc3339();
        let long = run(world, &device, json!({ "expiry": tomorrow })).await;
        assert_eq!(poll(&mut device).await, Some(long));
    })
    .await;
}

#[actix::test]
async fn an_order_that_cannot_be_kept_is_refused() {
    on_each_store(async |world| {
        let (one, other) = (world.enrolled(Family::Mac, 1).await, world.enrolled(Family::Mac, 2).await);
        let first = run(world, &one, json!({})).await;
        let refused = try_run(world, &[&one, &other], json!({ "after": first.as_str() })).await;
        assert_eq!(refused.status, StatusCode::CONFLICT, "not all of them have it: {}", refused.json);
        for (wrong, name) in [
            (json!({ "after": "no-such-command" }), "after"),
            (json!({ "after_success": true }), "after_success"),
            (json!({ "priority": 101 }), "priority"),
            (json!({ "expiry": 0 }), "expiry"),
            (json!({ "expiry": -5 }), "expiry"),
            (json!({ "expiry": "tomorrow" }), "expiry"),
            (json!({ "expiry": "2001-01-01T00:00:00Z" }), "expiry"),
            (json!({ "expiry": u64::MAX }), "expiry"),
        ] {
            let refused = try_run(world, &[&one], wrong.clone()).await;
            assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{wrong}: {}", refused.json);
            assert_eq!(refused.json["errors"][0]["name"], name, "{}", refused.json);
        }
        assert_eq!(world.app.get("/api/v1/fleet/commands").await.json["count"], 1);
    })
    .await;
}

#[actix::test]
async fn an_order_holds_for_what_is_approved_later() {
    let one_lock = |settings: &mut rookery::config::Settings| {
        settings.brakes.lock_per_hour = 1;
        settings.brakes.release_per_minute = 600;
    };
    on_each_store_with(one_lock, async |world| {
        let (mut one, other) = (world.enrolled(Family::Mac, 1).await, world.enrolled(Family::Mac, 2).await);
        let both = [&one, &other];
        let ran = try_run(world, &both, json!({})).await;
        let first = CommandUuid::parse(ran.json["command_uuid"].as_str().unwrap()).unwrap();
        let lock = json!({ "command": { "request_type": "DeviceLock" }, "after": first.as_str() });
        let held = try_run(world, &both, lock).await;
        assert_eq!(held.status, StatusCode::ACCEPTED, "{}", held.json);
        let lock = held.json["command_uuid"].as_str().unwrap().to_owned();
        let early = try_run(world, &both, json!({ "after": lock })).await;
        assert_eq!(early.status, StatusCode::CONFLICT, "nobody knows whether it ever goes: {}", early.json);
        let second = world.app.running().new_token("second").unwrap();
        let url = format!("{}/api/v1/fleet/commands/{lock}/approve", world.app.running().addresses.admin_url);
        let approve = world.app.client.post(url).bearer_auth(second).body(json!({ "hosts": 2 }).to_string());
        assert_eq!(crate::app::answer(approve).await.status, StatusCode::OK);
        eventually("it is released", async || {
            (world.app.get("/api/v1/fleet/commands/held").await.json["held"] == json!([])).then_some(())
        })
        .await;
        assert_eq!(poll(&mut one).await, Some(first.clone()));
        let lock = CommandUuid::parse(&lock).unwrap();
        assert_eq!(answer(&mut one, &first, &Done::acknowledged()).await, Some(lock.clone()));
        answer(&mut one, &lock, &Done::acknowledged()).await;
        assert_sound(&one);
    })
    .await;
}
