//! What an admin may send as a command: documents and JSON, with arguments that a device can read.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use protocol::apple::command::Command;
use protocol::apple::plist::{Dictionary, Value as Plist};
use reqwest::StatusCode;
use rookery::sim::apple::device::{Answer as Done, Device};
use rookery::sim::apple::model::Family;
use serde_json::{Value, json};

use crate::app::Answer;
use crate::world::{DEVICE, World, assert_sound, fresh_uuid, on_each_store};

async fn run(world: &World, body: Value) -> Answer {
    world.app.post("/api/v1/fleet/commands/run", &body).await
}

fn udid(device: &Device) -> &str {
    device.channel_id(DEVICE).unwrap()
}

/// What the first reason of an answer is about, and the reason.
fn reason(answer: &Answer) -> (&str, &str) {
    let first = &answer.json["errors"][0];
    (first["name"].as_str().unwrap_or_default(), first["reason"].as_str().unwrap_or_default())
}

#[actix::test]
async fn a_command_in_json_reaches_the_device_as_a_property_list() {
    on_each_store(async |world| {
        let mut device = world.enrolled(Family::Mac, 1).await;
        let host = world.host(&device).await["id"].clone();
        let lock = json!({ "request_type": "DeviceLock", "PIN": "123456", "Message": "Grüße & <tags>" });
        let ran = run(world, json!({ "command": lock, "host_ids": [host] })).await;
        assert_eq!((ran.status, &ran.json["request_type"]), (StatusCode::OK, &json!("DeviceLock")), "{}", ran.json);
        let command = device.poll(DEVICE).await.unwrap().unwrap();
        assert_eq!(ran.json["command_uuid"], command.uuid().as_str());
        assert_eq!(command.entries()["Message"], Plist::from("Grüße & <tags>"));
        assert_eq!(command.entries()["PIN"], Plist::from("123456"));

        let profile = b"<plist version=\"1.0\"><dict/></plist>";
        let install = json!({
            "request_type": "InstallProfile",
            "command_uuid": "my-own-name",
            "Payload": STANDARD.encode(profile),
            "NextYearsKey": { "$date": "2026-11-21T09:30:00Z" },
        });
        let ran = run(world, json!({ "command": install, "host_uuids": [udid(&device)] })).await;
        assert_eq!((ran.status, &ran.json["command_uuid"]), (StatusCode::OK, &json!("my-own-name")), "{}", ran.json);
        let next = device.report(DEVICE, command.uuid(), &Done::acknowledged()).await.unwrap().unwrap();
        assert_eq!(next.entries()["Payload"], Plist::Data(profile.to_vec()));
        assert!(matches!(next.entries()["NextYearsKey"], Plist::Date(_)), "{next:?}");
        assert_sound(&device);
    })
    .await;
}

#[actix::test]
async fn arguments_that_no_device_could_read_are_refused_by_name_in_both_forms() {
    on_each_store(async |world| {
        let device = world.enrolled(Family::Mac, 1).await;
        let hosts = json!([udid(&device)]);
        for (form, expected) in [
            (json!({ "request_type": "DeviceLock", "PIN": "12345" }), "Command.PIN must be a string of 6 digits"),
            (json!({ "request_type": "DeviceLock", "PIN": 123_456 }), "Command.PIN must be a string of 6 digits"),
            (json!({ "request_type": "RemoveProfile" }), "Command.Identifier is missing: it must be a string"),
            (json!({ "request_type": "EnableLostMode" }), "Command needs Message or PhoneNumber"),
            (
                json!({ "request_type": "Settings", "Settings": [{ "Item": "Bluetooth", "Enabled": "yes" }] }),
                "Command.Settings[0].Enabled must be true or false",
            ),
            (json!({ "request_type": "X", "Y": [null] }), "null has no meaning in a property list at $.Y[0]"),
            (json!({ "PIN": "123456" }), "RequestType is missing"),
            (json!({ "request_type": "Device Lock" }), "RequestType is not a name"),
        ] {
            let refused = run(world, json!({ "command": form, "host_uuids": hosts })).await;
            assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{form}: {}", refused.json);
            let (name, reason) = reason(&refused);
            assert!(name == "command" && reason.starts_with(expected), "{form}: {name}: {reason}");
        }
        let pin = Dictionary::from_iter([("PIN".to_owned(), Plist::from(123_456_i64))]);
        let lock = Command::new(fresh_uuid(), "DeviceLock", pin).unwrap();
        let refused = run(world, json!({ "command": STANDARD.encode(lock.to_xml()), "host_uuids": hosts })).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", refused.json);
        assert_eq!(reason(&refused), ("command", "Command.PIN must be a string of 6 digits"));
        for odd in [json!(7), json!(null), json!([])] {
            let refused = run(world, json!({ "command": odd, "host_uuids": hosts })).await;
            assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{odd}: {}", refused.json);
        }
        let unknown = json!({ "request_type": "NextYearsCommand", "Anything": [1, 2.5, { "a": true }] });
        let ran = run(world, json!({ "command": unknown, "host_uuids": hosts })).await;
        assert_eq!(ran.status, StatusCode::OK, "what Apple may add is let through: {}", ran.json);
        assert_eq!(world.app.get("/api/v1/fleet/commands").await.json["count"], 1, "what is refused is not queued");
    })
    .await;
}

#[actix::test]
async fn hosts_are_named_in_one_way_at_a_time() {
    on_each_store(async |world| {
        let device = world.enrolled(Family::Mac, 1).await;
        let host = world.host(&device).await["id"].clone();
        let with = async |body: Value| {
            let mut body = body;
            body["command"] = json!({ "request_type": "SecurityInfo" });
            run(world, body).await
        };
        let both = with(json!({ "host_ids": [host], "host_uuids": [udid(&device)] })).await;
        assert_eq!(both.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", both.json);
        let nobody = with(json!({ "host_ids": [host, 4711] })).await;
        assert_eq!((nobody.status, reason(&nobody).0), (StatusCode::NOT_FOUND, "host_ids"), "{}", nobody.json);
        assert_eq!(with(json!({})).await.status, StatusCode::NOT_FOUND);
        assert_eq!(with(json!({ "host_ids": [host, host] })).await.status, StatusCode::OK, "twice is once");
        assert_eq!(with(json!({ "team_id": 0 })).await.json["hosts"], 1);
    })
    .await;
}
