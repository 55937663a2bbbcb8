//! Commands: queued, pushed, handed out, answered in every order that devices can think of.

use std::time::Duration;

use protocol::apple::report::Status;
use protocol::ids::CommandUuid;
use reqwest::{Method, StatusCode};
use rookery::sim::apple::device::{Answer as Done, DeviceOptions};
use rookery::sim::apple::model::Family;
use rookery::sim::wire::Manner;
use serde_json::{Value, json};

use crate::app::{answer, eventually};
use crate::process::enroll;
use crate::world::{DEVICE, World, assert_sound, on_each_store, on_each_store_with, saying};

const FINAL: [Status; 3] = [Status::Acknowledged, Status::Error, Status::CommandFormatError];

#[actix::test]
async fn a_command_is_pushed_done_and_shown_as_json() {
    on_each_store(async |world| {
        let mut device = world.enrolled(Family::IPhone, 1).await;
        let before = world.push.counts().delivered;
        let command = world.run(&[&device], "SecurityInfo").await;
        world.pushed_since(before).await;
        assert_eq!(world.status(&command).await, "Pending");
        assert_eq!(device.work(DEVICE).await.unwrap(), 1);
        let shown = world.results(&command).await.remove(0);
        assert_eq!(shown["host_uuid"], device.model.udid.as_str());
        assert_eq!(shown["request_type"], "SecurityInfo");
        assert_eq!(shown["result_json"]["CommandUUID"], command.as_str());
        assert!(shown["result_json"]["SecurityInfo"].is_object(), "{}", shown["result_json"]);
        assert!(!shown["payload"].as_str().unwrap().is_empty() && !shown["result"].as_str().unwrap().is_empty());
        assert_sound(&device);
    })
    .await;
}

#[actix::test]
async fn commands_come_out_in_the_order_in_which_they_were_queued() {
    on_each_store(async |world| {
        let mut device = world.enrolled(Family::Mac, 1).await;
        let mut queued = Vec::new();
        for _ in 0..60 {
            queued.push(world.run(&[&device], "ProfileList").await);
        }
        let mut next = device.poll(DEVICE).await.unwrap();
        for expected in &queued {
            assert_eq!(next.as_ref().map(|command| command.uuid()), Some(expected));
            next = device.report(DEVICE, expected, &Done::acknowledged()).await.unwrap();
        }
        assert_eq!(next, None);
        assert_sound(&device);
    })
    .await;
}

#[actix::test]
async fn not_now_waits_for_the_next_session_and_blocks_nobody() {
    on_each_store(async |world| {
        let mut device = world.enrolled(Family::IPhone, 1).await;
        let first = world.run(&[&device], "InstalledApplicationList").await;
        let second = world.run(&[&device], "SecurityInfo").await;
        assert_eq!(device.poll(DEVICE).await.unwrap().unwrap().uuid(), &first);
        let next = device.report(DEVICE, &first, &Done::not_now()).await.unwrap();
        assert_eq!(next.unwrap().uuid(), &second);
        assert_eq!(device.report(DEVICE, &second, &Done::acknowledged()).await.unwrap(), None);
        assert_eq!(world.status(&first).await, "NotNow");
        // The last word was not NotNow, so the device will not come by itself: it is pushed again.
        let before = world.push.counts().delivered;
        world.pushed_since(before).await;
        assert_eq!(device.poll(DEVICE).await.unwrap().unwrap().uuid(), &first);
        assert_eq!(device.report(DEVICE, &first, &Done::acknowledged()).await.unwrap(), None);
        assert_eq!(world.status(&first).await, "Acknowledged");
        assert_sound(&device);
    })
    .await;
}

#[actix::test]
async fn nothing_leaves_a_final_state_whatever_comes_later() {
    on_each_store(async |world| {
        let mut device = world.enrolled(Family::Mac, 1).await;
        for first in FINAL {
            for later in FINAL.into_iter().chain([Status::NotNow]) {
                let command = world.run(&[&device], "EraseDevice").await;
                assert_eq!(device.poll(DEVICE).await.unwrap().unwrap().uuid(), &command);
                assert_eq!(device.report(DEVICE, &command, &saying(first.clone())).await.unwrap(), None);
                assert_eq!(device.report(DEVICE, &command, &saying(later.clone())).await.unwrap(), None, "{later:?}");
                assert_eq!(device.poll(DEVICE).await.unwrap(), None, "{later:?} after {first:?} brings nothing back");
                assert_eq!(world.status(&command).await, first.as_str());
            }
        }
        let late = world.orphans(&device).await;
        assert_eq!(late.len(), 9, "every contradiction is filed, every repetition is not: {late:?}");
        assert!(late.iter().all(|orphan| orphan["reason"] == "late"));
        assert_sound(&device);
    })
    .await;
}

#[actix::test]
async fn a_report_of_an_unknown_command_is_filed_and_the_queue_stays() {
    on_each_store(async |world| {
        let mut device = world.enrolled(Family::Mac, 1).await;
        let mut queued = Vec::new();
        for _ in 0..3 {
            queued.push(world.run(&[&device], "ProfileList").await);
        }
        let unknown = CommandUuid::parse("from-another-server").unwrap();
        for status in FINAL.into_iter().chain([Status::NotNow]) {
            let next = device.report(DEVICE, &unknown, &saying(status)).await.unwrap();
            if let Some(next) = next {
                device.report(DEVICE, next.uuid(), &Done::acknowledged()).await.unwrap();
            }
        }
        while let Some(next) = device.poll(DEVICE).await.unwrap() {
            device.report(DEVICE, next.uuid(), &Done::acknowledged()).await.unwrap();
        }
        for command in queued {
            assert_eq!(world.status(&command).await, "Acknowledged");
        }
        assert_eq!(world.orphans(&device).await.len(), 4);
    })
    .await;
}

#[actix::test]
async fn a_repeated_report_neither_skips_nor_repeats_a_command() {
    on_each_store(async |world| {
        let mut device = world.enrolled(Family::Mac, 1).await;
        let mut queued = Vec::new();
        for _ in 0..3 {
            queued.push(world.run(&[&device], "ProfileList").await);
        }
        assert_eq!(device.poll(DEVICE).await.unwrap().unwrap().uuid(), &queued[0]);
        let second = device.report(DEVICE, &queued[0], &Done::acknowledged()).await.unwrap().unwrap();
        assert_eq!(second.uuid(), &queued[1]);
        let third = device.report(DEVICE, &queued[0], &Done::acknowledged()).await.unwrap().unwrap();
        assert_eq!(third.uuid(), &queued[2], "the second is on its way; the third is not lost");
        device.report(DEVICE, &queued[2], &Done::acknowledged()).await.unwrap();
        device.report(DEVICE, &queued[1], &Done::acknowledged()).await.unwrap();
        for command in &queued {
            assert_eq!(world.status(command).await, "Acknowledged");
        }
        assert_eq!(device.poll(DEVICE).await.unwrap(), None);
        assert_sound(&device);
    })
    .await;
}

#[actix::test]
async fn a_lost_reply_costs_a_session_and_no_command() {
    on_each_store(async |world| {
        let mut device = world.enrolled(Family::Mac, 1).await;
        let (first, second) = (world.run(&[&device], "ProfileList").await, world.run(&[&device], "SecurityInfo").await);
        device.poll(DEVICE).await.unwrap();
        device.once(Manner::DropBeforeReading);
        assert!(device.report(DEVICE, &first, &Done::acknowledged()).await.is_err());
        // The device repeats its report; the second command was in the reply that nobody saw.
        assert_eq!(device.report(DEVICE, &first, &Done::acknowledged()).await.unwrap(), None);
        assert_eq!(device.poll(DEVICE).await.unwrap().unwrap().uuid(), &second);
        device.report(DEVICE, &second, &Done::acknowledged()).await.unwrap();
        assert_eq!(world.status(&first).await, "Acknowledged");
        assert_eq!(world.status(&second).await, "Acknowledged");
        assert_eq!(world.orphans(&device).await, Vec::<Value>::new());
    })
    .await;
}

#[actix::test]
async fn a_report_about_another_hosts_command_changes_nothing_there() {
    on_each_store(async |world| {
        let (mut one, mut other) = (world.enrolled(Family::Mac, 1).await, world.enrolled(Family::Mac, 2).await);
        let command = world.run(&[&one], "SecurityInfo").await;
        other.report(DEVICE, &command, &saying(Status::Error)).await.unwrap();
        assert_eq!(world.status(&command).await, "Pending");
        assert_eq!(one.work(DEVICE).await.unwrap(), 1);
        assert_eq!(world.status(&command).await, "Acknowledged");
        assert_eq!(world.orphans(&other).await[0]["reason"], "unknown");
    })
    .await;
}

#[actix::test]
async fn a_report_before_any_poll_counts() {
    on_each_store(async |world| {
        let mut device = world.enrolled(Family::Mac, 1).await;
        let command = world.run(&[&device], "SecurityInfo").await;
        // A restored backup: the device had the command, the rows do not know it.
        device.report(DEVICE, &command, &Done::acknowledged()).await.unwrap();
        assert_eq!(world.status(&command).await, "Acknowledged");
        assert_eq!(device.poll(DEVICE).await.unwrap(), None);
    })
    .await;
}

#[actix::test]
async fn a_command_that_is_never_answered_is_parked() {
    on_each_store_with(
        |settings| settings.hosts.max_attempts = 3,
        async |world: &mut World| {
            let mut device = world.enrolled(Family::Mac, 1).await;
            let silent = world.run(&[&device], "ProfileList").await;
            let after = world.run(&[&device], "SecurityInfo").await;
            for _ in 0..3 {
                assert_eq!(device.poll(DEVICE).await.unwrap().unwrap().uuid(), &silent);
            }
            assert_eq!(device.poll(DEVICE).await.unwrap().unwrap().uuid(), &after);
            assert_eq!(world.status(&silent).await, "Parked");
        },
    )
    .await;
}

#[actix::test]
async fn a_dangerous_command_is_not_repeated_at_once() {
    on_each_store(async |world| {
        let mut device = world.enrolled(Family::Mac, 1).await;
        let erase = world.run(&[&device], "EraseDevice").await;
        assert_eq!(device.poll(DEVICE).await.unwrap().unwrap().uuid(), &erase);
        assert_eq!(device.poll(DEVICE).await.unwrap(), None, "it may be at it");
        device.report(DEVICE, &erase, &Done::acknowledged()).await.unwrap();
        assert_eq!(world.status(&erase).await, "Acknowledged");
    })
    .await;
}

#[actix::test]
async fn many_hosts_get_one_command_each() {
    on_each_store(async |world| {
        let mut devices = Vec::new();
        for number in 0..12 {
            devices.push(world.enrolled(Family::Mac, number).await);
        }
        let all: Vec<_> = devices.iter().collect();
        let command = world.run(&all, "SecurityInfo").await;
        for device in &mut devices {
            assert_eq!(device.work(DEVICE).await.unwrap(), 1);
        }
        let results = world.results(&command).await;
        assert_eq!(results.len(), 12);
        assert!(results.iter().all(|result| result["status"] == "Acknowledged"));
    })
    .await;
}

#[actix::test]
async fn a_repeated_request_is_answered_and_not_done_again() {
    on_each_store(async |world| {
        let device = world.enrolled(Family::Mac, 1).await;
        let command = protocol::apple::command::Command::new(
            CommandUuid::parse("once-and-for-all").unwrap(),
            "SecurityInfo",
            Default::default(),
        );
        let command = openssl::base64::encode_block(&command.unwrap().to_xml());
        let body = json!({ "command": command, "host_uuids": [device.model.udid] }).to_string();
        let request = |key: &str, body: &str| {
            let path = "/api/v1/fleet/commands/run";
            world.app.admin(Method::POST, path).header("idempotency-key", key).body(body.to_owned())
        };
        let all = futures_util::future::join_all((0..20).map(|_| answer(request("k1", &body)))).await;
        for one in &all {
            assert_eq!((one.status, &one.json), (StatusCode::OK, &all[0].json));
        }
        assert_eq!(world.app.get("/api/v1/fleet/commands").await.json["count"], 1);
        let other = body.replace("host_uuids", "device_ids");
        assert_eq!(answer(request("k1", &other)).await.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(answer(request("k2", &body)).await.status, StatusCode::CONFLICT, "the CommandUUID is taken");
    })
    .await;
}

#[actix::test]
async fn what_cannot_be_run_is_refused_in_fleets_words() {
    on_each_store(async |world| {
        let (mac, phone) = (world.enrolled(Family::Mac, 1).await, world.enrolled(Family::IPhone, 2).await);
        let run = async |command: &str, uuids: Value| {
            let body = json!({ "command": command, "host_uuids": uuids });
            let answer = world.app.post("/api/latest/fleet/mdm/commands/run", &body).await;
            (answer.status.as_u16(), answer.json["errors"][0]["reason"].as_str().unwrap_or_default().to_owned())
        };
        let good = openssl::base64::encode_block(
            b"<plist version=\"1.0\"><dict><key>Command</key><dict><key>RequestType</key><string>SecurityInfo</string></dict></dict></plist>",
        );
        let mac_only = json!([mac.model.udid]);
        assert_eq!(run(&good, json!(["nobody"])).await.0, 404);
        assert_eq!(run("%%%", mac_only.clone()).await, (400, "unable to decode base64 command".into()));
        assert_eq!(run("aGVsbG8=", mac_only.clone()).await.0, 415);
        let both = run(&good, json!([mac.model.udid, phone.model.udid])).await;
        assert_eq!(both, (422, "All hosts must be on the same platform.".into()));
        let incomplete = good_command("RemoveProfile");
        let (status, reason) = run(&incomplete, mac_only.clone()).await;
        assert_eq!(status, 422);
        assert!(reason.contains("Identifier"), "{reason}");
        assert_eq!(run(good.trim_end_matches('='), mac_only).await.0, 200, "padding is optional");
        let unknown = world.app.get("/api/v1/fleet/commands/results?command_uuid=none").await;
        assert_eq!(unknown.status, StatusCode::NOT_FOUND);
        let unknown = world.app.get("/api/v1/fleet/commands?host_identifier=none").await;
        assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    })
    .await;
}

fn good_command(request_type: &str) -> String {
    let plist = format!(
        "<plist version=\"1.0\"><dict><key>Command</key><dict><key>RequestType</key><string>{request_type}</string></dict></dict></plist>"
    );
    openssl::base64::encode_block(plist.as_bytes())
}

#[actix::test]
async fn lists_are_filtered_and_paged() {
    on_each_store(async |world| {
        let mut device = world.enrolled(Family::Mac, 1).await;
        for request_type in ["SecurityInfo", "ProfileList", "ProfileList"] {
            world.run(&[&device], request_type).await;
        }
        let next = device.poll(DEVICE).await.unwrap().unwrap();
        device.report(DEVICE, next.uuid(), &Done::acknowledged()).await.unwrap();
        let count = async |query: &str| {
            let list = world.app.get(&format!("/api/v1/fleet/commands?{query}")).await;
            assert_eq!(list.status, StatusCode::OK, "{}", list.json);
            (list.json["count"].as_i64().unwrap(), list.json["results"].as_array().unwrap().len())
        };
        assert_eq!(count("").await, (3, 3));
        assert_eq!(count("request_type=ProfileList").await, (2, 2));
        assert_eq!(count("command_status=pending").await, (2, 2));
        assert_eq!(count("command_status=ran").await, (1, 1));
        assert_eq!(count("command_status=Acknowledged").await, (1, 1));
        assert_eq!(count("command_status=failed").await, (0, 0));
        assert_eq!(count("per_page=2").await, (3, 2));
        assert_eq!(count("per_page=2&page=1").await, (3, 1));
        assert_eq!(count(&format!("host_identifier={}", device.model.serial_number)).await, (3, 3));
        for wrong in ["command_status=sung", "per_page=0", "page=x"] {
            let list = world.app.get(&format!("/api/v1/fleet/commands?{wrong}")).await;
            assert!(list.status.is_client_error(), "{wrong}: {}", list.status);
        }
    })
    .await;
}

#[actix::test]
async fn a_host_that_rested_is_woken_by_a_command() {
    on_each_store_with(
        |settings| settings.hosts.idle = crate::app::millis(300),
        async |world: &mut World| {
            let mut device = world.enrolled(Family::Mac, 1).await;
            let resident = async || world.app.ops("/tree").await.json["hosts"]["resident"].as_i64();
            eventually("the host's actor retires", async || resident().await.filter(|count| *count == 0)).await;
            let before = world.push.counts().delivered;
            let command = world.run(&[&device], "SecurityInfo").await;
            world.pushed_since(before).await;
            assert_eq!(device.work(DEVICE).await.unwrap(), 1);
            assert_eq!(world.status(&command).await, "Acknowledged");
            assert_sound(&device);
        },
    )
    .await;
}

#[actix::test]
async fn a_restart_in_the_middle_of_a_session_loses_nothing() {
    on_each_store_with(
        |_| {},
        async |world: &mut World| {
            let options = DeviceOptions { dedup: false, ..DeviceOptions::default() };
            let mut device = world.device(Family::Mac, 1, options);
            enroll(&mut device, &world.enroll_url()).await;
            let (first, second) =
                (world.run(&[&device], "ProfileList").await, world.run(&[&device], "SecurityInfo").await);
            assert_eq!(device.poll(DEVICE).await.unwrap().unwrap().uuid(), &first);
            world.app.restart();
            device.wire_mut().disconnect();
            let before = world.push.counts().delivered;
            let next = device.report(DEVICE, &first, &Done::acknowledged()).await.unwrap();
            assert_eq!(next.unwrap().uuid(), &second, "the session goes on");
            world.app.restart();
            device.wire_mut().disconnect();
            world.pushed_since(before).await;
            assert_eq!(device.poll(DEVICE).await.unwrap().unwrap().uuid(), &second);
            device.report(DEVICE, &second, &Done::acknowledged()).await.unwrap();
            assert_eq!(world.status(&first).await, "Acknowledged");
            assert_eq!(world.status(&second).await, "Acknowledged");
            tokio::time::sleep(Duration::from_millis(10)).await;
        },
    )
    .await;
}
