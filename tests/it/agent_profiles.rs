//! Profiles as agents see them: a Mac's agent lists them, and what it sees counts.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use rookery::sim::apple::device::Device;
use rookery::sim::apple::model::Family;
use serde_json::{Value, json};

use crate::agent_client::{Agents, say};
use crate::agents::desktop;
use crate::app::eventually;
use crate::people::team;
use crate::profiles_api::{mobileconfig, upload};
use crate::windows_profiles;
use crate::world::{DEVICE, World, assert_sound, on_each_store};

const TOKEN: &str = "5d2ed1a1-8c4e-4b5c-9f62-1f0f4a1f8f6e";
const WIFI: &str = "com.example.wifi";
/// An agent is asked again after an hour and its tenth at the latest.
pub(crate) const LATER: Duration = Duration::from_secs(4000);

/// The one profile of the host of a device.
async fn profile(world: &World, device: &Device) -> Value {
    let host = world.host(device).await["id"].as_i64().unwrap();
    let found = world.app.get(&format!("/api/v1/fleet/hosts/{host}/configuration_profiles")).await;
    assert_eq!(found.status, StatusCode::OK, "{}", found.json);
    found.json["profiles"].as_array().unwrap().iter().find(|one| one["identifier"] == WIFI).cloned().unwrap_or_default()
}

/// The Mac works until it has said that the profile is installed. The server may have asked it for a list already, where the clock
/// went forward.
async fn install(world: &World, mac: &mut Device) {
    eventually("the profile is installed", async || {
        mac.work(DEVICE).await.unwrap();
        let status = profile(world, mac).await["status"].take();
        (status == "verifying" || status == "verified").then_some(())
    })
    .await;
}

/// A row of `macos_profiles`.
fn row(identifier: &str, at: protocol::time::Timestamp) -> Value {
    let date = at.to_rfc3339();
    let date = format!("{} {} +0000", &date[..10], &date[11..19]);
    json!({ "display_name": identifier, "identifier": identifier, "install_date": date })
}

/// The agent of a Mac is asked, and sees these profiles beside that of the management.
async fn sees(world: &World, agents: &Agents, rows: Vec<Value>) {
    say(world, Method::POST, &format!("/api/latest/fleet/device/{TOKEN}/refetch"), &json!({})).await;
    assert_ne!(agents.read(world).await, json!({}), "it is asked");
    let rows: Vec<Value> = rows.into_iter().chain([row("com.example.mdm", world.now())]).collect();
    let written = agents.write(world, json!({ "mdm_config_profiles_darwin": rows })).await;
    assert_eq!(written.status, StatusCode::OK, "{}", written.json);
}

async fn with_agents(world: &World, mac: &Device) -> Agents {
    let host = world.host(mac).await;
    let of = |name: &str| host[name].as_str().unwrap().to_owned();
    let agents = Agents::enroll(world, &of("hardware_serial"), &of("uuid"), "darwin").await;
    let token = agents.orbit(world, Method::POST, "device_token", json!({ "device_auth_token": TOKEN })).await;
    assert_eq!(token.status, StatusCode::OK, "{}", token.json);
    agents
}

#[actix::test]
async fn what_the_agent_of_a_mac_sees_counts() {
    on_each_store(async |world| {
        let mut mac = world.enrolled(Family::Mac, 1).await;
        let agents = with_agents(world, &mac).await;
        upload(world, &[], ("wifi.mobileconfig", &mobileconfig(WIFI, "Wi-Fi", "x"))).await;
        install(world, &mut mac).await;

        sees(world, &agents, vec![]).await;
        assert_eq!(profile(world, &mac).await["status"], "verifying", "its hour is not over");
        agents.write(world, json!({ "mdm_config_profiles_darwin": "" })).await;
        let other = json!({ "mdm_config_profiles_darwin": [row(WIFI, world.now())] });
        agents.write(world, other).await;
        assert_eq!(profile(world, &mac).await["status"], "verifying", "nobody asked");
        sees(world, &agents, vec![row(WIFI, world.now())]).await;
        assert_eq!(profile(world, &mac).await["status"], "verified");
        assert_sound(&mac);
    })
    .await;
}

#[actix::test]
async fn what_is_missing_is_sent_again_and_fails_in_the_end() {
    on_each_store(async |world| {
        let mut mac = world.enrolled(Family::Mac, 1).await;
        let agents = with_agents(world, &mac).await;
        let began = world.now();
        upload(world, &[], ("wifi.mobileconfig", &mobileconfig(WIFI, "Wi-Fi", "x"))).await;
        for retry in 1..=3 {
            install(world, &mut mac).await;
            world.app.running().parts.clock.advance(LATER);
            // An installation that is older than the profile is one of another version.
            let older = vec![row(WIFI, began.minus(LATER))];
            sees(world, &agents, if retry == 2 { older } else { vec![] }).await;
            let now = profile(world, &mac).await;
            assert_eq!((&now["status"], &now["retries"]), (&json!("pending"), &json!(retry)), "{now}");
        }
        install(world, &mut mac).await;
        world.app.running().parts.clock.advance(LATER);
        sees(world, &agents, vec![]).await;
        let now = profile(world, &mac).await;
        assert_eq!(now["status"], "failed");
        assert!(now["detail"].as_str().unwrap().contains("agent"), "{now}");
        world.app.running().parts.clock.advance(LATER);
        sees(world, &agents, vec![row(WIFI, world.now())]).await;
        assert_eq!(profile(world, &mac).await["status"], "verified", "it came after all");
        assert_sound(&mac);
    })
    .await;
}

#[actix::test]
async fn whoever_sits_at_a_host_has_its_own_profiles_sent_again() {
    on_each_store(async |world| {
        let mut mac = world.enrolled(Family::Mac, 1).await;
        let agents = with_agents(world, &mac).await;
        let uuid = upload(world, &[], ("wifi.mobileconfig", &mobileconfig(WIFI, "Wi-Fi", "x"))).await;
        let resend = async |token: &str, uuid: &str| {
            desktop(world, Method::POST, token, &format!("/configuration_profiles/{uuid}/resend")).await
        };
        let early = resend(TOKEN, &uuid).await;
        assert_eq!(early.status, StatusCode::CONFLICT, "it is on its way: {}", early.json);
        install(world, &mut mac).await;
        sees(world, &agents, vec![row(WIFI, world.now())]).await;
        assert_eq!(profile(world, &mac).await["status"], "verified");
        let sent = resend(TOKEN, &uuid).await;
        assert_eq!((sent.status, &sent.json), (StatusCode::ACCEPTED, &json!({})));
        assert_eq!(profile(world, &mac).await["status"], "pending");
        let host = world.host(&mac).await["id"].clone();
        let told = world.app.get(&format!("/api/v1/fleet/hosts/{host}/activities")).await;
        let of_desktop = |one: &&Value| one["type"] == "resent_configuration_profile";
        let told = told.json["activities"].as_array().unwrap().iter().find(of_desktop).cloned().unwrap();
        assert_eq!(told["actor_full_name"], format!("desktop of host {host}"), "{told}");
        install(world, &mut mac).await;

        // What is none of its own it is not told of, and the rest is refused as an admin's wish is.
        let lab = team(world, "Lab").await.to_string();
        let foreign = ("a.mobileconfig", &*mobileconfig("com.example.a", "A", "x"));
        let of_team = upload(world, &[("team_id", &lab)], foreign).await;
        let of_phones = upload(world, &[("labels_include_any", "iOS")], foreign).await;
        let camera = upload(world, &[], ("C.xml", &windows_profiles::set(windows_profiles::CAMERA, "0"))).await;
        let document = json!({ "Type": "com.apple.management.properties", "Identifier": "d", "Payload": {} });
        let declaration = upload(world, &[], ("d.json", &document.to_string())).await;
        for (uuid, status) in [(&of_team, 404), (&of_phones, 404), (&camera, 422), (&declaration, 400)] {
            let refused = resend(TOKEN, uuid).await;
            assert_eq!(refused.status.as_u16(), status, "{}", refused.json);
            assert!(refused.json["errors"][0]["reason"].is_string(), "{}", refused.json);
        }
        assert_eq!(resend(TOKEN, "a-none").await.status, StatusCode::NOT_FOUND);
        assert_eq!(resend("a-token-of-nobody-here", &uuid).await.status, StatusCode::UNAUTHORIZED);
        assert_sound(&mac);
    })
    .await;
}
