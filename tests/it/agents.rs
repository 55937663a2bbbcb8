//! Agents through their own doors: osquery asks and writes, orbit asks and tells, the desktop looks; with the shapes and the oddities
//! of the real ones.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use rookery::sim::apple::model::Family;
use serde_json::{Value, json};

use crate::agent_client::{Agents, PREFIX, say};
use crate::app::{Answer, answer};
use crate::world::{World, on_each_store};

const TOKEN: &str = "5d2ed1a1-8c4e-4b5c-9f62-1f0f4a1f8f6e";

async fn host(world: &World, serial: &str) -> Value {
    let found = world.app.get(&format!("/api/v1/fleet/hosts/identifier/{serial}")).await;
    assert_eq!(found.status, StatusCode::OK, "{}", found.json);
    found.json["host"].clone()
}

fn vitals(serial: &str) -> Value {
    json!({
        "system_info": [{ "uuid": "U1", "hardware_serial": serial, "hardware_model": "Mac15,3", "computer_name": "Ana's Mac",
            "hostname": "ana.local" }],
        "os_version": [{ "name": "macOS", "version": "15.2", "build": "24C101", "platform": "darwin" }],
        "osquery_info": [{ "version": "5.14.1" }],
        "orbit_info": "",
        "mdm": [{ "enrolled": "", "server_url": "", "installed_from_dep": "", "payload_identifier": "" }],
        "mdm_config_profiles_darwin": "",
    })
}

#[actix::test]
async fn osquery_is_asked_for_details_once_an_hour_and_at_once_when_somebody_wants_them() {
    on_each_store(async |world| {
        let agents = Agents::enroll(world, "S1", "U1", "darwin").await;
        let options = say(world, Method::POST, "/api/osquery/config", &json!({ "node_key": agents.osquery })).await;
        assert_eq!(options.json["options"]["distributed_interval"], json!(30), "{}", options.json);
        let asked = agents.read(world).await;
        let names: Vec<&String> = asked.as_object().unwrap().keys().collect();
        assert!(names.iter().all(|name| name.starts_with(PREFIX)) && names.len() == 7, "{names:?}");
        assert_eq!(agents.read(world).await, json!({}), "it is asked once");
        assert_eq!(agents.write(world, vitals("S1")).await.json, json!({}));

        let known = host(world, "S1").await;
        let of = |name: &str| known[name].as_str().unwrap().to_owned();
        assert_eq!(
            ["os_version", "build", "computer_name", "hardware_model"].map(of),
            ["15.2", "24C101", "Ana's Mac", "Mac15,3"]
        );
        world.app.running().parts.clock.advance(Duration::from_secs(3500));
        assert_eq!(agents.read(world).await, json!({}));
        world.app.running().parts.clock.advance(Duration::from_secs(500));
        assert_ne!(agents.read(world).await, json!({}), "an hour and its tenth are over");
        agents.write(world, vitals("S1")).await;

        // What nobody asked for is not listened to.
        let mut other = vitals("S1");
        other["os_version"][0]["version"] = "9.9".into();
        assert_eq!(agents.write(world, other.clone()).await.status, StatusCode::OK);
        assert_eq!(host(world, "S1").await["os_version"], "15.2");
        let token = json!({ "device_auth_token": TOKEN });
        assert_eq!(agents.orbit(world, Method::POST, "device_token", token).await.status, StatusCode::OK);
        let wanted = say(world, Method::POST, &format!("/api/latest/fleet/device/{TOKEN}/refetch"), &json!({})).await;
        assert_eq!(wanted.status, StatusCode::OK, "{}", wanted.json);
        assert_ne!(agents.read(world).await, json!({}));
        agents.write(world, other).await;
        assert_eq!(host(world, "S1").await["os_version"], "9.9");
        assert_eq!(agents.read(world).await, json!({}));
    })
    .await;
}

#[actix::test]
async fn an_admin_asks_for_details_and_sees_which_agents_there_are() {
    on_each_store(async |world| {
        let refetch =
            async |host: &Value| world.app.post(&format!("/api/v1/fleet/hosts/{host}/refetch"), &json!({})).await;
        let agents = Agents::enroll(world, "S1", "U1", "darwin").await;
        agents.read(world).await;
        agents.write(world, vitals("S1")).await;
        let known = host(world, "S1").await;
        assert_eq!((&known["osquery_version"], &known["orbit_version"]), (&json!("5.14.1"), &Value::Null), "{known}");
        assert_eq!(agents.read(world).await, json!({}));
        let wanted = refetch(&known["id"]).await;
        assert_eq!((wanted.status, &wanted.json), (StatusCode::OK, &json!({})));
        assert_ne!(agents.read(world).await, json!({}), "it is asked at once");
        let mut with_orbit = vitals("S1");
        with_orbit["orbit_info"] = json!([{ "version": "1.40.0" }]);
        agents.write(world, with_orbit).await;
        assert_eq!(host(world, "S1").await["orbit_version"], "1.40.0");
        assert_eq!(agents.read(world).await, json!({}));

        let device = world.enrolled(Family::Mac, 1).await;
        let managed = world.host(&device).await;
        assert_eq!((&managed["osquery_version"], &managed["orbit_version"]), (&json!(""), &Value::Null), "{managed}");
        let refused = refetch(&managed["id"]).await;
        assert_eq!(
            (refused.status, &refused.json["errors"][0]["name"]),
            (StatusCode::UNPROCESSABLE_ENTITY, &json!("id"))
        );
        assert!(refused.json["errors"][0]["reason"].as_str().unwrap().contains("no agent"), "{}", refused.json);
        assert_eq!(refetch(&json!(999_999)).await.status, StatusCode::NOT_FOUND);
    })
    .await;
}

#[actix::test]
async fn what_osquery_does_not_say_changes_nothing() {
    on_each_store(async |world| {
        let agents = Agents::enroll(world, "S1", "U1", "darwin").await;
        agents.write(world, vitals("S1")).await;
        let before = host(world, "S1").await;
        let odd = [
            json!({}),
            json!({ "queries": {}, "statuses": {} }),
            json!({ "queries": { "fleet_detail_query_os_version": "" } }),
            json!({ "queries": { "fleet_detail_query_os_version": [] }, "statuses": { "fleet_detail_query_os_version": 0 } }),
            json!({ "queries": { "fleet_detail_query_os_version": [{ "version": "1" }] }, "statuses": { "fleet_detail_query_os_version": 1 } }),
            json!({ "queries": { "fleet_detail_query_os_version": [{ "version": "1" }] }, "statuses": { "fleet_detail_query_os_version": "1" } }),
            json!({ "statuses": { "fleet_detail_query_os_version": 1 }, "messages": { "fleet_detail_query_os_version": "no such table" } }),
            json!({ "queries": { "fleet_detail_query_os_version": [{ "version": null, "build": [], "platform": { "a": 1 } }, 7, "x"] } }),
            json!({ "queries": { "fleet_detail_query_os_version": [{}] , "unknown": [{ "version": "1" }] } }),
            json!({ "queries": { "fleet_distributed_query_9": [{ "version": "1" }] } }),
            json!({ "queries": { "fleet_detail_query_system_info": [{ "hardware_serial": "S2", "uuid": "U2" }] } }),
        ];
        for said in odd {
            world.app.running().parts.clock.advance(Duration::from_secs(4000));
            let answer = agents.write_raw(world, said.clone()).await;
            assert_eq!((answer.status, &answer.json), (StatusCode::OK, &json!({})), "{said}");
            let now = host(world, "S1").await;
            for key in ["os_version", "build", "hardware_serial", "uuid", "platform", "computer_name"] {
                assert_eq!(now[key], before[key], "{key} after {said}");
            }
        }
        world.app.running().parts.clock.advance(Duration::from_secs(4000));
        let numbers = json!({ "queries": { "fleet_detail_query_os_version": [{ "version": 15.5, "build": 24 }] } });
        agents.write_raw(world, numbers).await;
        let now = host(world, "S1").await;
        assert_eq!((&now["os_version"], &now["build"]), (&json!("15.5"), &json!("24")));
        for wrong in [json!({ "queries": [] }), json!({ "queries": { "a": 1 }, "statuses": 7 })] {
            assert_eq!(agents.write_raw(world, wrong).await.status, StatusCode::BAD_REQUEST);
        }
        let large = json!({ "queries": { "x": "y".repeat(2 * 1024 * 1024) } });
        assert_eq!(agents.write_raw(world, large).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    })
    .await;
}

#[actix::test]
async fn a_key_that_is_none_makes_agents_enroll_again() {
    on_each_store(async |world| {
        for base in ["/api/osquery", "/api/v1/osquery"] {
            for path in ["config", "distributed/read", "distributed/write", "log"] {
                let said = json!({ "node_key": "nobody", "log_type": "status", "data": [], "queries": {} });
                let refused = say(world, Method::POST, &format!("{base}/{path}"), &said).await;
                assert_eq!((refused.status, &refused.json["node_invalid"]), (StatusCode::UNAUTHORIZED, &json!(true)));
                assert!(refused.json["error"].as_str().unwrap().contains("invalid node key"), "{path}");
            }
        }
        let all = ["config", "device_token", "scripts/request", "setup_experience/init", "disk_encryption_key"];
        for path in all {
            let said = json!({ "orbit_node_key": "nobody", "device_auth_token": TOKEN });
            let refused = say(world, Method::POST, &format!("/api/fleet/orbit/{path}"), &said).await;
            assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{path}");
        }
        let agents = Agents::enroll(world, "S1", "U1", "darwin").await;
        let log = json!({ "node_key": agents.osquery, "log_type": "status", "data": [
            { "hostIdentifier": "U1", "calendarTime": "Sat Nov 28", "severity": "0", "filename": "tls.cpp", "line": "258",
              "message": "TLS/HTTPS POST request", "version": "5.14.1" }] });
        let taken = say(world, Method::POST, "/api/osquery/log", &log).await;
        assert_eq!((taken.status, taken.json), (StatusCode::OK, json!({})));
    })
    .await;
}

#[actix::test]
async fn orbit_is_told_clearly_what_this_server_does_not_do() {
    on_each_store(async |world| {
        let ping = world.app.client.head(world.app.device_url("/api/fleet/device/ping")).send().await.unwrap();
        assert!(ping.headers()["x-fleet-capabilities"].to_str().unwrap().contains("token_rotation"));
        let agents = Agents::enroll(world, "S1", "U1", "darwin").await;
        let config = agents.orbit(world, Method::POST, "config", json!({})).await;
        assert_eq!((config.status, &config.json["notifications"]), (StatusCode::OK, &json!({})));
        let in_vain = [
            ("scripts/request", json!({ "execution_id": "e" })),
            (
                "scripts/result",
                json!({ "execution_id": "e", "host_id": 1, "output": "", "runtime": 1, "exit_code": 0 }),
            ),
            ("software_install/details", json!({ "install_uuid": "i" })),
            ("software_install/package?alt=media", json!({ "installer_id": 1 })),
            ("software_install/result", json!({ "install_uuid": "i" })),
            ("disk_encryption_key", json!({ "encryption_key": "QUJD", "client_error": "" })),
            ("luks_data", json!({ "passphrase": "p", "salt": "s", "key_slot": 1, "client_error": "" })),
        ];
        for (path, said) in in_vain {
            let told = agents.orbit(world, Method::POST, path, said).await;
            assert_eq!(told.status, StatusCode::NOT_FOUND, "{path}");
            assert!(told.json["errors"][0]["reason"].as_str().unwrap().starts_with("this server"), "{}", told.json);
        }
        let setup = agents.orbit(world, Method::POST, "setup_experience/init", json!({})).await;
        assert_eq!(setup.json["result"]["enabled"], json!(false));
        let setup =
            agents.orbit(world, Method::POST, "setup_experience/status", json!({ "force_release": true })).await;
        assert_eq!(setup.json["setup_experience_results"]["software"], json!([]));
    })
    .await;
}

pub(crate) async fn desktop(world: &World, method: Method, token: &str, rest: &str) -> Answer {
    let url = world.app.device_url(&format!("/api/latest/fleet/device/{token}{rest}"));
    answer(world.app.client.request(method, url)).await
}

#[actix::test]
async fn a_desktop_is_known_by_the_token_that_its_orbit_made() {
    on_each_store(async |world| {
        let (one, other) =
            (Agents::enroll(world, "S1", "U1", "darwin").await, Agents::enroll(world, "S2", "U2", "linux").await);
        let set = async |agents: &Agents, token: &str| {
            agents.orbit(world, Method::POST, "device_token", json!({ "device_auth_token": token })).await.status
        };
        assert_eq!(desktop(world, Method::GET, TOKEN, "").await.status, StatusCode::UNAUTHORIZED);
        assert_eq!(set(&one, TOKEN).await, StatusCode::OK);
        assert_eq!(set(&one, TOKEN).await, StatusCode::OK, "it may say so again");
        assert_eq!(set(&other, TOKEN).await, StatusCode::CONFLICT, "another host has it");
        assert_eq!(set(&other, "short").await, StatusCode::BAD_REQUEST);
        let shown = desktop(world, Method::GET, TOKEN, "").await;
        assert_eq!((shown.status, &shown.json["host"]["hardware_serial"]), (StatusCode::OK, &json!("S1")));
        let summary = desktop(world, Method::GET, TOKEN, "/desktop").await;
        assert_eq!(summary.json["notifications"]["needs_mdm_migration"], json!(false));
        assert_eq!(desktop(world, Method::HEAD, TOKEN, "/ping").await.status, StatusCode::OK);
        assert_eq!(desktop(world, Method::GET, TOKEN, "/transparency").await.status, StatusCode::OK);
        assert_eq!(desktop(world, Method::POST, TOKEN, "/debug/errors").await.status, StatusCode::OK);

        let user = one.orbit(world, Method::PUT, "device_mapping", json!({ "email": "ana@example.com" })).await;
        assert_eq!(user.status, StatusCode::OK, "{}", user.json);
        let users = desktop(world, Method::GET, TOKEN, "/device_mapping").await;
        assert_eq!(users.json["device_mapping"][0]["email"], "ana@example.com", "{}", users.json);
        assert_eq!(
            one.orbit(world, Method::PUT, "device_mapping", json!({ "email": "nobody" })).await.status,
            StatusCode::BAD_REQUEST
        );

        // A new one lets the one before go on for the rest of its hour, and the third ends the first.
        let tokens = ["second-token-of-the-host", "third--token-of-the-host"];
        for (number, token) in tokens.iter().enumerate() {
            world.app.running().parts.clock.advance(Duration::from_secs(60));
            assert_eq!(set(&one, token).await, StatusCode::OK);
            let first = desktop(world, Method::GET, TOKEN, "").await.status;
            assert_eq!(first, [StatusCode::OK, StatusCode::UNAUTHORIZED][number]);
            assert_eq!(desktop(world, Method::GET, token, "").await.status, StatusCode::OK);
        }
        world.app.running().parts.clock.advance(Duration::from_secs(3600));
        for token in tokens {
            assert_eq!(
                desktop(world, Method::GET, token, "").await.status,
                StatusCode::UNAUTHORIZED,
                "its hour is over"
            );
        }
    })
    .await;
}

#[actix::test]
async fn whoever_guesses_tokens_is_told_to_wait_and_nobody_else() {
    on_each_store(async |world| {
        let agents = Agents::enroll(world, "S1", "U1", "darwin").await;
        agents.orbit(world, Method::POST, "device_token", json!({ "device_auth_token": TOKEN })).await;
        let mut last = StatusCode::OK;
        for number in 0..101 {
            last = desktop(world, Method::GET, &format!("a-guess-of-a-token-{number}"), "").await.status;
        }
        assert_eq!(last, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(
            desktop(world, Method::GET, TOKEN, "").await.status,
            StatusCode::OK,
            "who knows the token is let in"
        );
    })
    .await;
}

#[actix::test]
async fn a_host_that_is_managed_elsewhere_is_not_told_to_enroll() {
    on_each_store(async |world| {
        let agents = Agents::enroll(world, "PF1", "U1", "windows").await;
        let told = async || agents.orbit(world, Method::POST, "config", json!({})).await.json["notifications"].clone();
        assert_eq!(told().await["needs_programmatic_windows_mdm_enrollment"], json!(true));
        let enrolled = |url: &str| {
            json!({ "mdm_windows": [{ "discovery_service_url": url, "provider_id": "MS DM Server",
            "aad_resource_id": "https://manage.microsoft.com/", "installation_type": "Client" }] })
        };
        agents.write(world, enrolled("https://enrollment.manage.example/EnrollmentServer/Discovery.svc?x=1")).await;
        assert_eq!(told().await, json!({}));
        world.app.running().parts.clock.advance(Duration::from_secs(4000));
        agents.write(world, json!({ "mdm_windows": "" })).await;
        assert_eq!(told().await["needs_programmatic_windows_mdm_enrollment"], json!(true), "it left");
    })
    .await;
}
