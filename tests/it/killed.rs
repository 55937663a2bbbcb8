//! The server's process is killed with `kill -9`, again and again, while devices work.

use protocol::apple::command::Command;
use reqwest::Method;
use rookery::sim::apple::device::{Answer, ChannelNo, Device};
use serde_json::json;

use crate::process::{Site, until_answered};
use crate::world::fresh_uuid;

#[actix::test]
async fn what_was_answered_with_200_survives_kill_9() {
    let site = Site::new("", "off");
    let mut server = site.start(None);
    server.prepare().await;
    let mut device = server.enrolled(1).await;

    let mut queued = Vec::new();
    for round in 0..6 {
        for _ in 0..4 {
            let uuid = fresh_uuid();
            let command = Command::new(uuid.clone(), "SecurityInfo", Default::default()).unwrap();
            let command = openssl::base64::encode_block(&command.to_xml());
            let body = json!({ "command": command, "host_uuids": [device.model.udid] }).to_string();
            server.ask(Method::POST, "/api/v1/fleet/commands/run", body).await;
            queued.push(uuid);
        }
        if round % 2 == 0 {
            server = server.kill_and_start(); // right after the admin's 200
        }
        let first = until_answered(&mut device, async |device| device.poll(ChannelNo::DEVICE).await).await;
        server = server.kill_and_start(); // while the command is on its way
        if let Some(first) = first {
            let uuid = first.uuid().clone();
            let report =
                async |device: &mut Device| device.report(ChannelNo::DEVICE, &uuid, &Answer::acknowledged()).await;
            until_answered(&mut device, report).await;
        }
        if round % 2 == 1 {
            server = server.kill_and_start(); // right after the device's 200
        }
    }
    while let Some(next) = until_answered(&mut device, async |device| device.poll(ChannelNo::DEVICE).await).await {
        let uuid = next.uuid().clone();
        let report = async |device: &mut Device| device.report(ChannelNo::DEVICE, &uuid, &Answer::acknowledged()).await;
        until_answered(&mut device, report).await;
    }
    for uuid in &queued {
        let path = format!("/api/v1/fleet/commands/results?command_uuid={uuid}");
        let results = server.ask(Method::GET, &path, String::new()).await;
        assert_eq!(results["results"][0]["status"], "Acknowledged", "{uuid}");
    }
    let unenrolls: Vec<_> = device.log().findings().into_iter().filter(|one| one.text.contains("40")).collect();
    assert_eq!(unenrolls, vec![], "no failure of ours un-enrolls a device");
    server.kill();
    std::fs::remove_dir_all(&site.data).unwrap();
}
