//! Agents on Windows hosts: they are told to enroll them, and nothing of what they or others show is ever written down.

use std::time::Duration;

use reqwest::{Certificate, Client, StatusCode};
use rookery::config::Settings;
use serde_json::{Value, json};

use crate::app::answer;
use crate::postgres;
use crate::process::{SECRET, Site};
use crate::windows_client::*;
use crate::world::{World, on_each_store, on_each_store_with};

/// What an agent is told.
async fn notifications(world: &World, node_key: &str) -> Value {
    let request = world.app.client.post(world.app.device_url("/api/fleet/orbit/config"));
    let told = answer(request.body(json!({ "orbit_node_key": node_key }).to_string())).await;
    assert_eq!(told.status, StatusCode::OK, "{}", told.json);
    told.json["notifications"].clone()
}

fn to_enroll(world: &World) -> Value {
    let address = world.app.device_url("/api/mdm/microsoft/discovery");
    json!({ "needs_programmatic_windows_mdm_enrollment": true, "windows_mdm_discovery_endpoint": address })
}

#[actix::test]
async fn an_agent_is_told_to_enroll_its_host_until_that_is_done() {
    on_each_store(async |world| {
        let node_key = agent(world, "PF0042").await;
        assert_eq!(notifications(world, &node_key).await, to_enroll(world));
        let token = agent_token(&node_key);
        post(world, ENROLL, issue(&token, &key())).await.enrolled(&key());
        assert_eq!(notifications(world, &node_key).await, json!({}));
        assert_eq!(post(world, ENROLL, issue(&token, &key())).await.fault().0, "s:Authentication");

        // The answer was lost: the device never came.
        let a_while = Duration::from_secs(660);
        world.app.running().parts.clock.advance(a_while);
        assert_eq!(notifications(world, &node_key).await, to_enroll(world));
        let again = post(world, ENROLL, issue(&token, &key())).await.enrolled(&key());
        assert_eq!(hosts(world).await.len(), 1);
        assert_eq!(notifications(world, &node_key).await, json!({}));

        // This time it came.
        assert!(session(world, &again.signer()).await.contains("<Data>200</Data>"));
        // That it was seen is written in bulk, some time later: not waited for here.
        let seen = format!("UPDATE host SET mdm_seen_at = {}", world.now().millis());
        postgres::execute(&world.app.settings.database(), &seen).await;
        world.app.running().parts.clock.advance(a_while);
        assert_eq!(notifications(world, &node_key).await, json!({}));
        assert_eq!(post(world, ENROLL, issue(&token, &key())).await.fault().0, "s:Authentication");
    })
    .await;
}

#[actix::test]
async fn other_agents_are_told_nothing_of_it() {
    let off = |settings: &mut Settings| settings.windows.enabled = false;
    on_each_store_with(off, async |world| {
        let node_key = agent(world, "PF0042").await;
        assert_eq!(notifications(world, &node_key).await, json!({}));
    })
    .await;
    on_each_store(async |world| {
        let mac = json!({
            "enroll_secret": SECRET, "hardware_serial": "C02", "hardware_uuid": "U", "hostname": "mac", "platform": "darwin",
            "platform_like": "darwin", "osquery_identifier": "U", "computer_name": "Mac",
        });
        let enrolled = world.app.client.post(world.app.device_url("/api/fleet/orbit/enroll")).body(mac.to_string());
        let node_key = answer(enrolled).await.json["orbit_node_key"].as_str().unwrap().to_owned();
        assert_eq!(notifications(world, &node_key).await, json!({}));
    })
    .await;
}

/// Everything that lets a device in passes through a server that logs as finely as it can.
#[actix::test]
async fn the_log_holds_nothing_that_lets_a_device_in() {
    let site = Site::new("", "trace");
    let mut server = site.start(None);
    server.prepare().await;
    let ca = std::fs::read(server.info["ca_file"].as_str().unwrap()).unwrap();
    let client = Client::builder().tls_certs_only([Certificate::from_pem(&ca).unwrap()]).no_proxy().build().unwrap();
    let url = |path: &str| format!("{}{path}", server.info["device_url"].as_str().unwrap());
    let said = async |path: &str, body: String| {
        let answer = client.post(url(path)).body(body).send().await.unwrap();
        Said { status: answer.status(), text: answer.text().await.unwrap() }
    };
    let wish = json!({ "upn": "ana@example.test" }).to_string();
    let made = server.ask(reqwest::Method::POST, "/api/v1/fleet/windows_enrollment_tokens", wish).await;
    let token = made["token"].as_str().unwrap();
    let enrolled = said(ENROLL, issue(token.as_bytes(), &key())).await.enrolled(&key());
    said(ENROLL, issue(token.as_bytes(), &key())).await.fault();
    let jwt = "head-of-a-jwt.claims-of-a-jwt.signature-of-a-jwt";
    said(ENROLL, issue_with_jwt(jwt, &key())).await.fault();
    said(ENROLL, issue(&agent_token("a-node-key-of-nobody"), &key())).await.fault();
    let named = "<wsse:UsernameToken><wsse:Username>ana</wsse:Username><wsse:Password>pass-of-ana</wsse:Password></wsse:UsernameToken>";
    let request = issue(b"", &key());
    let (start, end) = (request.find("<wsse:BinarySecurityToken").unwrap(), request.find("</wsse:Security>").unwrap());
    said(ENROLL, format!("{}{named}{}", &request[..start], &request[end..])).await.fault();
    let form = format!("appru=ms-app://x&email=ana@example.test&secret={SECRET}");
    let page = said("/api/mdm/microsoft/auth", form).await;
    let given = page.text.split("name=wresult value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    said("/api/mdm/microsoft/auth", "appru=ms-app://x&email=a@b&secret=a-guessed-secret".into()).await;
    server.kill();
    let log = std::fs::read_to_string(site.log()).unwrap();
    assert!(log.contains(" TRACE ") && log.contains("a Windows device enrolled"), "the log is as fine as it gets");
    let [password, server_password] = enrolled.passwords();
    let secrets = [
        token,
        &given,
        &password,
        &server_password,
        "claims-of-a-jwt",
        "a-node-key-of-nobody",
        "pass-of-ana",
        SECRET,
        "a-guessed-secret",
    ];
    for secret in secrets {
        use base64::Engine;
        let encoded = base64::engine::general_purpose::STANDARD.encode(secret);
        let line = log.lines().find(|line| line.contains(secret) || line.contains(encoded.trim_end_matches('=')));
        assert!(line.is_none(), "the log holds {secret}: {line:?}");
    }
    let _ = std::fs::remove_dir_all(&site.data);
}
