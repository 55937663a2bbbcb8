//! Profiles on their way: from an upload to a device that has them, by HTTP alone and with simulated devices that install what
//! they are sent and say what they have.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use protocol::apple::plist::Value as Plist;
use protocol::apple::profile::{Payload, Profile, Scope};
use reqwest::{Method, StatusCode};
use rookery::sim::apple::device::{Answer as Done, ChannelNo, Device, User, UserKind};
use rookery::sim::apple::model::Family;
use serde_json::{Value, json};

use crate::app::{answer, eventually};
use crate::world::{DEVICE, World, assert_sound, on_each_store, on_each_store_with, saying};

const BASE: &str = "/api/v1/fleet";
const WIFI_PASSWORD: &str = "canary <& wifi password";

async fn ask(world: &World, method: Method, path: &str, body: Value) -> Value {
    let answer = answer(world.app.admin(method, &format!("{BASE}{path}")).body(body.to_string())).await;
    assert!(answer.status.is_success(), "{path}: {} {}", answer.status, answer.json);
    answer.json
}

async fn get(world: &World, path: &str) -> Value {
    let found = world.app.get(&format!("{BASE}{path}")).await;
    assert_eq!(found.status, StatusCode::OK, "{path}: {}", found.json);
    found.json
}

/// A profile with one setting.
pub(crate) fn profile(name: &str, setting: &str, scope: Option<Scope>) -> Vec<u8> {
    let payload = Payload {
        payload_type: "com.apple.wifi.managed".into(),
        identifier: format!("com.example.{name}.wifi"),
        uuid: protocol::apple::profile::derived_uuid(&[name, "payload"]),
        settings: [("Password".to_owned(), Plist::from(setting))].into_iter().collect(),
    };
    let others = [("PayloadDisplayName".to_owned(), Plist::from(name))].into_iter().collect();
    let uuid = protocol::apple::profile::derived_uuid(&[name]);
    Profile { identifier: format!("com.example.{name}"), uuid, scope, payloads: vec![payload], others }.to_xml()
}

/// Replaces what a team has.
pub(crate) async fn replace(world: &World, team: Option<i64>, profiles: &[(&str, Vec<u8>, Value)]) {
    let profiles: Vec<Value> = profiles
        .iter()
        .map(|(name, body, labels)| {
            let mut profile = json!({ "name": name, "contents": STANDARD.encode(body) });
            for (key, value) in labels.as_object().into_iter().flatten() {
                profile[key] = value.clone();
            }
            profile
        })
        .collect();
    let query = team.map(|team| format!("?team_id={team}")).unwrap_or_default();
    ask(world, Method::POST, &format!("/mdm/profiles/batch{query}"), json!({ "profiles": profiles })).await;
}

/// What the host's page says of its profiles: name → status.
pub(crate) async fn shown(world: &World, device: &Device) -> Vec<(String, String)> {
    let id = world.host(device).await["id"].as_i64().unwrap();
    let host = get(world, &format!("/hosts/{id}")).await;
    let mut shown: Vec<(String, String)> = host["host"]["mdm"]["profiles"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|row| (row["name"].as_str().unwrap().to_owned(), row["status"].as_str().unwrap().to_owned()))
        .collect();
    shown.sort();
    shown
}

/// What the device has of the admin's profiles: identifier → setting.
pub(crate) fn has(device: &Device) -> Vec<(String, String)> {
    let profiles = device.contents().profiles.iter().skip(1);
    let setting = |profile: &Profile| {
        profile.payloads[0].settings.get("Password").and_then(|value| value.as_string()).map(str::to_owned)
    };
    let mut has: Vec<(String, String)> =
        profiles.map(|held| (held.profile.identifier.clone(), setting(&held.profile).unwrap())).collect();
    has.sort();
    has
}

pub(crate) fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(one, other)| ((*one).to_owned(), (*other).to_owned())).collect()
}

/// Lets a device work until its page says this.
pub(crate) async fn until(world: &World, device: &mut Device, expected: &[(&str, &str)]) {
    let expected = pairs(expected);
    for _ in 0..100 {
        device.work(DEVICE).await.unwrap();
        if shown(world, device).await == expected {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert_eq!(shown(world, device).await, expected, "{}", world.store());
}

async fn team(world: &World, name: &str) -> i64 {
    ask(world, Method::POST, "/teams", json!({ "name": name })).await["team"]["id"].as_i64().unwrap()
}

async fn transfer(world: &World, device: &Device, team: Option<i64>) {
    let id = world.host(device).await["id"].as_i64().unwrap();
    ask(world, Method::POST, "/hosts/transfer", json!({ "team_id": team, "hosts": [id] })).await;
}

#[actix::test]
async fn a_profile_reaches_a_host_and_is_seen_there_changes_and_goes() {
    on_each_store(async |world| {
        let mut device = world.enrolled(Family::Mac, 1).await;
        let secrets = json!({ "secrets": [{ "name": "WIFI", "value": WIFI_PASSWORD }] });
        ask(world, Method::PUT, "/spec/secret_variables", secrets).await;
        let wifi = profile("wifi", "$FLEET_SECRET_WIFI of $FLEET_VAR_HOST_HARDWARE_SERIAL", None);
        replace(world, None, &[("wifi", wifi, json!({}))]).await;
        assert_eq!(shown(world, &device).await, pairs(&[("wifi", "pending")]), "at once");
        until(world, &mut device, &[("wifi", "verified")]).await;
        let serial = device.model.serial_number.clone();
        assert_eq!(has(&device), pairs(&[("com.example.wifi", &format!("{WIFI_PASSWORD} of {serial}"))]));

        let commands = get(world, "/commands?per_page=100").await;
        for command in commands["results"].as_array().unwrap() {
            let uuid = command["command_uuid"].as_str().unwrap();
            let results = get(world, &format!("/commands/results?command_uuid={uuid}")).await;
            let payload = STANDARD.decode(results["results"][0]["payload"].as_str().unwrap()).unwrap();
            assert!(!String::from_utf8_lossy(&payload).contains("canary"), "a secret stands in a queue");
        }

        replace(world, None, &[("wifi", profile("wifi", "another", None), json!({}))]).await;
        assert_eq!(shown(world, &device).await, pairs(&[("wifi", "pending")]));
        until(world, &mut device, &[("wifi", "verified")]).await;
        assert_eq!(has(&device), pairs(&[("com.example.wifi", "another")]));
        replace(world, None, &[("wifi", profile("wifi", "another", None), json!({}))]).await;
        assert_eq!(shown(world, &device).await, pairs(&[("wifi", "verified")]), "the same again changes nothing");

        replace(world, None, &[]).await;
        until(world, &mut device, &[]).await;
        assert_eq!(has(&device), []);
        assert_sound(&device);
    })
    .await;
}

#[actix::test]
async fn a_host_that_moves_gets_exactly_the_difference() {
    on_each_store(async |world| {
        let mut device = world.enrolled(Family::Mac, 1).await;
        let label = json!({ "name": "Chosen", "hosts": [device.model.serial_number] });
        let label = ask(world, Method::POST, "/labels", label).await["label"]["id"].as_i64().unwrap();
        let (one, other) = (team(world, "one").await, team(world, "other").await);
        let same = profile("same", "as before", None);
        replace(world, Some(one), &[("same", same.clone(), json!({})), ("old", profile("old", "1", None), json!({}))])
            .await;
        let chosen = json!({ "labels_include_all": ["Chosen"] });
        let spared = json!({ "labels_exclude_any": ["Chosen"] });
        let of_other = [
            ("same", same, json!({})),
            ("new", profile("new", "2", None), chosen),
            ("spared", profile("spared", "3", None), spared),
        ];
        replace(world, Some(other), &of_other).await;
        transfer(world, &device, Some(one)).await;
        until(world, &mut device, &[("old", "verified"), ("same", "verified")]).await;
        let before = commands_of(world).await;
        transfer(world, &device, Some(other)).await;
        until(world, &mut device, &[("new", "verified"), ("same", "verified")]).await;
        assert_eq!(has(&device), pairs(&[("com.example.new", "2"), ("com.example.same", "as before")]));
        let mut sent = commands_of(world).await;
        sent.retain(|command| !before.contains(command) && command.1 != "ProfileList");
        let mut sent: Vec<&str> = sent.iter().map(|(_, kind)| kind.as_str()).collect();
        sent.sort_unstable();
        assert_eq!(sent, ["InstallProfile", "RemoveProfile"], "what both teams have costs nothing");

        let gone = answer(world.app.admin(Method::DELETE, &format!("{BASE}/labels/id/{label}"))).await;
        assert_eq!(gone.status, StatusCode::OK, "{}", gone.json);
        tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
        device.work(DEVICE).await.unwrap();
        assert_eq!(
            shown(world, &device).await,
            pairs(&[("new", "verified"), ("same", "verified")]),
            "a deleted label breaks nothing"
        );
        assert_sound(&device);
    })
    .await;
}

async fn commands_of(world: &World) -> Vec<(String, String)> {
    let commands = get(world, "/commands?per_page=1000").await;
    let text = |command: &Value, key: &str| command[key].as_str().unwrap().to_owned();
    let rows = commands["results"].as_array().unwrap().iter();
    rows.map(|command| (text(command, "command_uuid"), text(command, "request_type"))).collect()
}

#[actix::test]
async fn what_fails_is_tried_three_times_more_and_an_admin_can_send_it_again() {
    on_each_store(async |world| {
        let mut device = world.enrolled(Family::Mac, 1).await;
        replace(world, None, &[("wifi", profile("wifi", "x", None), json!({}))]).await;
        for attempt in 0..4 {
            let command = eventually("the command comes", async || device.poll(DEVICE).await.unwrap()).await;
            assert_eq!(command.request_type(), "InstallProfile", "attempt {attempt}");
            device.report(DEVICE, command.uuid(), &saying(protocol::apple::report::Status::Error)).await.unwrap();
        }
        assert_eq!(shown(world, &device).await, pairs(&[("wifi", "failed")]));
        let id = world.host(&device).await["id"].as_i64().unwrap();
        let host = get(world, &format!("/hosts/{id}")).await;
        let row = &host["host"]["mdm"]["profiles"][0];
        assert!(!row["detail"].as_str().unwrap().is_empty(), "{row}");
        let uuid = row["profile_uuid"].as_str().unwrap().to_owned();
        let counted = get(world, &format!("/configuration_profiles/{uuid}/status")).await;
        assert_eq!(counted, json!({ "verified": 0, "verifying": 0, "failed": 1, "pending": 0 }));
        ask(world, Method::POST, &format!("/hosts/{id}/configuration_profiles/{uuid}/resend"), json!({})).await;
        until(world, &mut device, &[("wifi", "verified")]).await;
    })
    .await;
}

#[actix::test]
async fn a_killed_delivery_goes_on_after_a_restart() {
    on_each_store_with(
        |_| {},
        async |world| {
            let mut device = world.enrolled(Family::Mac, 1).await;
            replace(world, None, &[("wifi", profile("wifi", "x", None), json!({}))]).await;
            world.app.restart();
            let command = eventually("the command comes", async || device.poll(DEVICE).await.ok().flatten()).await;
            world.app.restart(); // the device has it, and its reply finds a server that has only its rows
            let done = eventually("the report is taken", async || {
                device.report(DEVICE, command.uuid(), &Done::not_now()).await.ok()
            });
            done.await;
            until(world, &mut device, &[("wifi", "verified")]).await;
            assert_eq!(has(&device), pairs(&[("com.example.wifi", "x")]));
        },
    )
    .await;
}

#[actix::test]
async fn a_profile_for_a_user_waits_for_one() {
    on_each_store(async |world| {
        let mut device = world.enrolled(Family::Mac, 1).await;
        replace(world, None, &[("mine", profile("mine", "x", Some(Scope::User)), json!({}))]).await;
        tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
        assert_eq!(device.work(DEVICE).await.unwrap(), 0, "nothing goes to the device's own channel");
        assert_eq!(shown(world, &device).await, pairs(&[("mine", "pending")]));
        let user = User::new("6E5C4A0E-0000-4000-8000-000000000501", "ada", "Ada");
        let channel: ChannelNo = device.enroll_user(UserKind::Mac, &user).await.unwrap();
        for _ in 0..100 {
            device.work(channel).await.unwrap();
            if shown(world, &device).await == pairs(&[("mine", "verified")]) {
                return assert_sound(&device);
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        assert_eq!(shown(world, &device).await, pairs(&[("mine", "verified")]));
    })
    .await;
}
