//! The settings of a Windows host as its agent sees them through `mdm_bridge`: what it finds counts beside what the device itself says.
//!
//! The server asks the device, too, two seconds after it acknowledged a profile. Where that would decide, the PC breaks its session off
//! as soon as the server has its acknowledgement: it speaks when the test lets it, and the question stays unanswered.

use protocol::windows::xml::{Element, parse};
use reqwest::StatusCode;
use rookery::sim::windows::device::Turn;
use serde_json::{Value, json};

use crate::agent_client::Agents;
use crate::agent_profiles::LATER;
use crate::app::eventually;
use crate::windows_client::find;
use crate::windows_profiles::{CAMERA, Desk, set};
use crate::world::{World, on_each_store};

const NAME: &str = "Camera";
const QUERY: &str = "mdm_config_profiles_windows";
/// Where the agent reads what is in force.
const IN_FORCE: &str = "./Device/Vendor/MSFT/Policy/Result/Camera/AllowCamera";

/// A PC with agents, and a profile that forbids its camera.
async fn forbidden(world: &World) -> (Desk<'_>, Agents) {
    let desk = Desk::new(world, 1).await;
    let agents = Agents::enroll(world, &desk.pc.model.serial_number, "U1", "windows").await;
    desk.assign(&[(NAME, &set(CAMERA, "0"))]).await;
    (desk, agents)
}

/// Lets the PC come until it has acknowledged the profile, and not a message longer.
async fn deliver(desk: &mut Desk<'_>) {
    eventually("the profile is acknowledged", async || {
        desk.pc.begin().unwrap();
        while desk.pc.turn().await.unwrap() == Turn::GoesOn {
            if desk.shown(NAME).await["status"] == "verifying" {
                return Some(());
            }
        }
        (desk.shown(NAME).await["status"] == "verifying").then_some(())
    })
    .await;
}

/// What the agent is asked to hand to the bridge: the name of the command for each address.
async fn asked(desk: &Desk<'_>, agents: &Agents, world: &World) -> Vec<(String, String)> {
    let wanted = world.app.post(&format!("/api/v1/fleet/hosts/{}/refetch", desk.host), &json!({})).await;
    assert_eq!(wanted.status, StatusCode::OK, "{}", wanted.json);
    let queries = agents.read(world).await;
    let Some(query) = queries[format!("fleet_detail_query_{QUERY}")].as_str() else { return Vec::new() };
    let before = "SELECT raw_mdm_command_output FROM mdm_bridge WHERE mdm_command_input = '";
    let input = query.strip_prefix(before).and_then(|rest| rest.strip_suffix("';")).unwrap();
    let body = parse(input.as_bytes(), 1 << 20).unwrap().root;
    assert_eq!(body.name, "SyncBody");
    let text = |get: &Element, path: &[&str]| find(get, path).text.clone();
    body.children.iter().map(|get| (text(get, &["CmdID"]), text(get, &["Item", "Target", "LocURI"]))).collect()
}

/// What the bridge says of one setting.
fn output(command: &str, value: &str) -> String {
    format!(
        "<SyncML xmlns=\"SYNCML:SYNCML1.2\"><SyncHdr/><SyncBody><Status><CmdID>1</CmdID><MsgRef>0</MsgRef><CmdRef>0</CmdRef>\
         <Cmd>SyncHdr</Cmd><Data>200</Data></Status><Status><CmdID>2</CmdID><MsgRef>0</MsgRef><CmdRef>{command}</CmdRef>\
         <Cmd>Get</Cmd><Data>200</Data></Status><Results><CmdID>3</CmdID><MsgRef>0</MsgRef><CmdRef>{command}</CmdRef><Item>\
         <Source><LocURI>{IN_FORCE}</LocURI></Source><Meta><Format xmlns=\"syncml:metinf\">int</Format></Meta>\
         <Data>{value}</Data></Item></Results><Final/></SyncBody></SyncML>"
    )
}

/// The agent is asked, and these are its rows; what the server shows of the profile then.
async fn writes(desk: &Desk<'_>, agents: &Agents, world: &World, rows: impl FnOnce(&str) -> Value) -> Value {
    let asked = asked(desk, agents, world).await;
    assert_eq!(asked.iter().map(|(_, address)| address.as_str()).collect::<Vec<_>>(), [IN_FORCE]);
    let written = agents.write(world, json!({ QUERY: rows(&asked[0].0) })).await;
    assert_eq!(written.status, StatusCode::OK, "{}", written.json);
    desk.shown(NAME).await
}

/// The same where the bridge says what the setting holds.
async fn sees(desk: &Desk<'_>, agents: &Agents, world: &World, value: &str) -> Value {
    let row = |command: &str| json!([{ "raw_mdm_command_output": output(command, value) }]);
    writes(desk, agents, world, row).await
}

fn standing(shown: &Value) -> (&str, i64) {
    (shown["status"].as_str().unwrap_or("gone"), shown["retries"].as_i64().unwrap_or_default())
}

#[tokio::test]
async fn what_the_bridge_says_is_held_is_verified() {
    on_each_store(async |world| {
        let (mut desk, agents) = forbidden(world).await;
        assert_eq!(asked(&desk, &agents, world).await, [], "nothing is installed that could be looked at");
        agents.write(world, json!({ "osquery_info": [{ "version": "5.14.1" }] })).await;
        deliver(&mut desk).await;
        let seen = sees(&desk, &agents, world, "1").await;
        assert_eq!(standing(&seen), ("verifying", 0), "its hour is not over: {seen}");
        let seen = sees(&desk, &agents, world, "0").await;
        assert_eq!(standing(&seen), ("verified", 0), "{seen}");
        let seen = sees(&desk, &agents, world, "1").await;
        assert_eq!(standing(&seen), ("verified", 0), "its hour is not over: {seen}");
        assert_eq!(desk.pc.log().findings(), []);
    })
    .await;
}

#[tokio::test]
async fn rows_that_say_nothing_change_nothing() {
    on_each_store(async |world| {
        let (mut desk, agents) = forbidden(world).await;
        deliver(&mut desk).await;
        world.app.running().parts.clock.advance(LATER);
        let cut = |command: &str| output(command, "1").split_once("</Results>").unwrap().0.to_owned();
        let raw = |text: String| json!([{ "raw_mdm_command_output": text }]);
        let odd: [&dyn Fn(&str) -> Value; 8] = [
            &|_| json!(""),
            &|_| json!([]),
            &|_| json!([{}]),
            &|command| json!([{ "another_column": output(command, "1") }]),
            &|_| raw(String::new()),
            &|command| raw(cut(command)),
            &|command| raw(format!("<!DOCTYPE a>{}", output(command, "1"))),
            &|_| raw(output("7", "1")),
        ];
        for (number, rows) in odd.iter().enumerate() {
            let seen = writes(&desk, &agents, world, rows).await;
            assert_eq!(standing(&seen), ("verifying", 0), "after the rows {number}: {seen}");
        }
        let command = asked(&desk, &agents, world).await.remove(0).0;
        let name = format!("fleet_detail_query_{QUERY}");
        let failed = json!({ "queries": { &name: raw(output(&command, "1")) }, "statuses": { &name: 1 } });
        assert_eq!(agents.write_raw(world, failed).await.status, StatusCode::OK);
        assert_eq!(standing(&desk.shown(NAME).await), ("verifying", 0), "the query failed");
        let seen = sees(&desk, &agents, world, "0").await;
        assert_eq!(standing(&seen), ("verified", 0), "{seen}");
    })
    .await;
}

#[tokio::test]
async fn what_differs_after_its_hour_is_sent_once_more_and_fails_then() {
    on_each_store(async |world| {
        let (mut desk, agents) = forbidden(world).await;
        deliver(&mut desk).await;
        world.app.running().parts.clock.advance(LATER);
        let seen = sees(&desk, &agents, world, "1").await;
        assert_eq!(standing(&seen), ("pending", 1), "{seen}");

        desk.pc.tree.set(CAMERA, "int", "1");
        deliver(&mut desk).await;
        assert_eq!(desk.holds(CAMERA), Some("0"), "it came again");
        let seen = sees(&desk, &agents, world, "1").await;
        assert_eq!(standing(&seen), ("verifying", 1), "it has an hour again: {seen}");
        world.app.running().parts.clock.advance(LATER);
        let seen = sees(&desk, &agents, world, "1").await;
        assert_eq!(standing(&seen), ("failed", 1), "{seen}");
        assert_eq!(seen["detail"], format!("{CAMERA}: holds something else"));
        let seen = sees(&desk, &agents, world, "0").await;
        assert_eq!(standing(&seen), ("verified", 1), "it came after all: {seen}");
        assert_eq!(desk.pc.log().findings(), []);
    })
    .await;
}

#[tokio::test]
async fn what_the_device_itself_verified_is_sent_again_when_its_agent_sees_something_else() {
    on_each_store(async |world| {
        let (mut desk, agents) = forbidden(world).await;
        desk.until(NAME, "verified").await;
        world.app.running().parts.clock.advance(LATER);
        let seen = sees(&desk, &agents, world, "1").await;
        assert_eq!(standing(&seen), ("pending", 1), "{seen}");
        desk.pc.tree.set(CAMERA, "int", "1");
        desk.until(NAME, "verified").await;
        assert_eq!(desk.holds(CAMERA), Some("0"), "it came again");
        assert_eq!(desk.pc.log().findings(), []);
    })
    .await;
}
