//! Whoever learns of a device first: its management, an agent, an admin. There is one host, whoever it is.

use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use rookery::sim::apple::device::{Device, DeviceOptions};
use rookery::sim::apple::model::Family;
use serde_json::{Value, json};

use crate::app::{Answer, answer, eventually};
use crate::process::enroll;
use crate::world::{DEVICE, SECRET, World, assert_sound, on_each_store, on_each_store_with};

const BASE: &str = "/api/v1/fleet";

/// A message of an agent.
async fn say(world: &World, path: &str, body: &Value) -> Answer {
    answer(world.app.client.post(world.app.device_url(path)).body(body.to_string())).await
}

fn orbit(serial: &str, uuid: &str, secret: &str) -> Value {
    json!({
        "enroll_secret": secret, "hardware_serial": serial, "hardware_uuid": uuid, "hostname": "mac.local",
        "platform": "darwin", "platform_like": "darwin", "osquery_identifier": uuid, "computer_name": "Ada's Mac",
        "hardware_model": "Mac14,2",
    })
}

fn osquery(serial: &str, uuid: &str, secret: &str) -> Value {
    let system =
        json!({ "uuid": uuid, "hardware_serial": serial, "computer_name": "Ada's Mac", "hardware_model": "Mac14,2" });
    let details =
        json!({ "os_version": { "platform": "darwin", "version": "15.1", "build": "24B83" }, "system_info": system });
    json!({ "enroll_secret": secret, "host_identifier": uuid, "host_details": details })
}

async fn config(world: &World, key: &Value) -> Answer {
    say(world, "/api/fleet/orbit/config", &json!({ "orbit_node_key": key })).await
}

async fn hosts(world: &World, query: &str) -> Vec<Value> {
    let found = world.app.get(&format!("{BASE}/hosts?per_page=1000&{query}")).await;
    assert_eq!(found.status, StatusCode::OK, "{}", found.json);
    found.json["hosts"].as_array().unwrap().clone()
}

async fn import(world: &World, body: &Value) -> Answer {
    world.app.post(&format!("{BASE}/hosts/import"), body).await
}

#[actix::test]
async fn agents_are_known_by_the_keys_that_they_are_given() {
    on_each_store_with(
        |_| {},
        async |world| {
            let ping = world.app.client.head(world.app.device_url("/api/fleet/orbit/ping")).send().await.unwrap();
            assert_eq!(
                (ping.status(), &ping.headers()["x-fleet-capabilities"]),
                (StatusCode::OK, &"orbit_endpoints,token_rotation,end_user_email".parse().unwrap())
            );
            let enroll = "/api/fleet/orbit/enroll";
            let refused = say(world, enroll, &orbit("S1", "U1", "not a secret of ours")).await;
            assert_eq!(
                (refused.status, refused.json["errors"][0]["name"].as_str()),
                (StatusCode::UNAUTHORIZED, Some("base"))
            );
            let refused = say(world, "/api/osquery/enroll", &osquery("S1", "U1", "nor this")).await;
            assert_eq!((refused.status, &refused.json["node_invalid"]), (StatusCode::UNAUTHORIZED, &json!(true)));
            assert!(hosts(world, "").await.is_empty(), "who is refused leaves nothing");
            let nameless = say(world, enroll, &orbit("0", "", SECRET)).await;
            assert_eq!(nameless.status, StatusCode::BAD_REQUEST, "{}", nameless.json);

            let key = say(world, enroll, &orbit("S1", "U1", SECRET)).await.json["orbit_node_key"].clone();
            let node =
                say(world, "/api/v1/osquery/enroll", &osquery("S1", "U1", SECRET)).await.json["node_key"].clone();
            let known = hosts(world, "").await;
            assert_eq!(known.len(), 1);
            let host = &known[0];
            assert_eq!(
                (&host["hardware_serial"], &host["os_version"], &host["mdm"]["enrollment_status"]),
                (&json!("S1"), &json!("15.1"), &json!("Off"))
            );
            assert_eq!(
                (&host["display_name"], &host["mdm"]["connected_to_fleet"]),
                (&json!("Ada's Mac"), &json!(false))
            );

            let asked = config(world, &key).await;
            assert_eq!((asked.status, asked.json["notifications"].is_object()), (StatusCode::OK, true));
            assert_eq!(config(world, &node).await.status, StatusCode::UNAUTHORIZED, "each key is for its own agent");
            let asked = say(world, "/api/osquery/config", &json!({ "node_key": node })).await;
            assert_eq!(asked.status, StatusCode::OK);
            let asked = say(world, "/api/v1/osquery/config", &json!({ "node_key": key })).await;
            assert_eq!((asked.status, &asked.json["node_invalid"]), (StatusCode::UNAUTHORIZED, &json!(true)));
            world.app.restart();
            assert_eq!(
                hosts(world, "status=online").await.len(),
                1,
                "that it was seen is written at the latest when the server stops"
            );

            let again = say(world, enroll, &orbit("S1", "U1", SECRET)).await.json["orbit_node_key"].clone();
            assert_ne!(again, key);
            assert_eq!(
                (config(world, &key).await.status, config(world, &again).await.status),
                (StatusCode::UNAUTHORIZED, StatusCode::OK)
            );

            let id = &host["id"];
            let deleted = answer(world.app.admin(Method::DELETE, &format!("{BASE}/hosts/{id}"))).await;
            assert_eq!(deleted.status, StatusCode::OK);
            assert_eq!(config(world, &again).await.status, StatusCode::UNAUTHORIZED, "it shall enroll again");
            assert_eq!(world.app.get(&format!("{BASE}/hosts/{id}/actor")).await.status, StatusCode::NOT_FOUND);
            say(world, enroll, &orbit("S1", "U1", SECRET)).await;
            let back = hosts(world, "").await;
            assert_eq!((back.len(), &back[0]["id"]), (1, id), "under its number");
            let labels = world.app.get(&format!("{BASE}/hosts/{id}")).await.json["host"]["labels"].clone();
            let labels: Vec<&str> =
                labels.as_array().unwrap().iter().filter_map(|label| label["name"].as_str()).collect();
            assert_eq!(labels, ["All Hosts", "macOS"]);
        },
    )
    .await;
}

#[actix::test]
async fn an_agent_without_a_serial_number_is_found_again_once_somebody_knows_it() {
    on_each_store(async |world| {
        let mut device = world.device(Family::Mac, 1, DeviceOptions::default());
        let (serial, udid) = (device.model.serial_number.clone(), device.model.udid.clone());
        let key = say(world, "/api/fleet/orbit/enroll", &orbit("To be filled by O.E.M.", &udid, SECRET)).await;
        let key = key.json["orbit_node_key"].clone();
        let imported = import(world, &json!({ "hosts": [{ "hardware_serial": serial, "platform": "darwin" }] })).await;
        assert_eq!(imported.json["hosts"][0]["created"], true, "{}", imported.json);
        assert_eq!(hosts(world, "").await.len(), 2, "nobody knows yet that they are one");
        assert_eq!(hosts(world, "mdm_enrollment_status=pending").await.len(), 1);

        enroll(&mut device, &world.enroll_url()).await;
        let host = world.host(&device).await;
        assert_eq!((&host["id"], &host["hardware_serial"]), (&imported.json["hosts"][0]["id"], &json!(serial)));
        assert_eq!(hosts(world, "").await.len(), 1);
        assert_eq!(hosts(world, "mdm_enrollment_status=manual").await.len(), 1);
        let asked = say(world, "/api/fleet/orbit/config", &json!({ "orbit_node_key": key })).await;
        assert_eq!(asked.status, StatusCode::OK, "its agent came along");
        // Two boards may share a UUID; their serial numbers tell them apart.
        say(world, "/api/fleet/orbit/enroll", &orbit("ANOTHER", &udid, SECRET)).await;
        assert_eq!(hosts(world, "").await.len(), 2);
        let again = import(world, &json!({ "hosts": [{ "hardware_serial": serial }] })).await;
        assert_eq!(again.json["hosts"][0], json!({ "id": host["id"], "hardware_serial": serial, "created": false }));
        assert_eq!(hosts(world, "mdm_enrollment_status=manual").await.len(), 1, "who is managed stays so");
        for (query, expected) in [
            ("connected_to_fleet=true", 1),
            ("connected_to_fleet=false", 1),
            ("mdm_id=1", 1),
            ("mdm_name=Rookery&connected_to_fleet=1", 1),
            ("mdm_id=2", 0),
            ("mdm_id=1&mdm_enrollment_status=unenrolled", 0),
        ] {
            assert_eq!(hosts(world, query).await.len(), expected, "{query}");
            let counted = world.app.get(&format!("{BASE}/hosts/count?{query}")).await;
            assert_eq!(counted.json["count"], expected, "{query}");
        }
        for bad in [
            json!({ "hosts": [] }),
            json!({ "hosts": [{ "hardware_serial": "Default string" }] }),
            json!({ "hosts": [{ "hardware_serial": "A" }, { "hardware_serial": " A" }] }),
            json!({ "hosts": [{ "hardware_serial": "A", "platform": "amiga" }] }),
        ] {
            assert_eq!(import(world, &bad).await.status, StatusCode::UNPROCESSABLE_ENTITY, "{bad}");
        }
        let nowhere = import(world, &json!({ "hosts": [{ "hardware_serial": "A" }], "team_id": 4711 })).await;
        assert_eq!(nowhere.status, StatusCode::NOT_FOUND);
        assert_sound(&device);
    })
    .await;
}

/// Devices of the race.
const DEVICES: u32 = 100;

#[actix::test]
async fn five_hundred_first_contacts_of_a_hundred_devices_make_a_hundred_hosts() {
    on_each_store(async |world| {
        let mut devices: Vec<Device> =
            (0..DEVICES).map(|number| world.device(Family::Mac, number, DeviceOptions::default())).collect();
        let names: Vec<(String, String)> =
            devices.iter().map(|device| (device.model.serial_number.clone(), device.model.udid.clone())).collect();
        let url = world.enroll_url();
        // A server that is this busy may break a connection off: devices try again.
        let enrolling = async { join_all(devices.iter_mut().map(|device| enroll(device, &url))).await };
        let agents = async |path: &'static str, body: fn(&str, &str, &str) -> Value| {
            join_all(names.iter().map(async |(serial, uuid)| say(world, path, &body(serial, uuid, SECRET)).await)).await
        };
        let importing = async {
            // From the other end, and each for itself: whoever is met first has been met by nobody else.
            let one = async |serial: &String| import(world, &json!({ "hosts": [{ "hardware_serial": serial }] })).await;
            join_all(names.iter().rev().map(|(serial, _)| one(serial))).await
        };
        let (_, orbit_keys, imported, osquery_keys, again) = tokio::join!(
            enrolling,
            agents("/api/fleet/orbit/enroll", orbit),
            importing,
            agents("/api/osquery/enroll", osquery),
            agents("/api/v1/osquery/enroll", osquery),
        );
        let all = [&orbit_keys, &imported, &osquery_keys, &again].into_iter().flatten();
        for answered in all {
            assert_eq!(answered.status, StatusCode::OK, "{}", answered.json);
        }
        let known = hosts(world, "").await;
        assert_eq!(known.len(), DEVICES as usize);
        for host in &known {
            assert_eq!(
                (&host["mdm"]["enrollment_status"], &host["platform"]),
                (&json!("On (manual)"), &json!("darwin"))
            );
        }
        for (filter, expected) in [("mdm_enrollment_status=enrolled", DEVICES), ("mdm_enrollment_status=pending", 0)] {
            let counted = world.app.get(&format!("{BASE}/hosts/count?{filter}")).await;
            assert_eq!(counted.json["count"], expected, "{filter}");
        }
        for (device, orbit) in devices.iter().zip(&orbit_keys) {
            let host = world.host(device).await;
            assert_eq!(host["hardware_serial"], device.model.serial_number);
            assert_eq!(host["enrollments"].as_array().unwrap().iter().filter(|one| one["type"] == "Device").count(), 1);
            let labels: Vec<&Value> = host["labels"].as_array().unwrap().iter().map(|label| &label["name"]).collect();
            assert_eq!(labels, ["All Hosts", "macOS"]);
            let body = json!({ "orbit_node_key": orbit.json["orbit_node_key"] });
            assert_eq!(say(world, "/api/fleet/orbit/config", &body).await.status, StatusCode::OK);
            assert_sound(device);
        }
        // Of two osqueries of one host, the last one's key works.
        let mut works = 0;
        for keys in osquery_keys.iter().chain(&again) {
            let asked = say(world, "/api/osquery/config", &json!({ "node_key": keys.json["node_key"] })).await;
            works += u32::from(asked.status == StatusCode::OK);
        }
        assert_eq!(works, DEVICES);
    })
    .await;
}

#[actix::test]
async fn many_hosts_are_labelled_moved_and_deleted_in_steps() {
    on_each_store(async |world| {
        let serials: Vec<String> = (0..1100).map(|number| format!("MANY{number:05}")).collect();
        for some in serials.chunks(1000) {
            let body: Vec<Value> =
                some.iter().map(|serial| json!({ "hardware_serial": serial, "platform": "ipados" })).collect();
            let imported = import(world, &json!({ "hosts": body })).await;
            assert_eq!(imported.status, StatusCode::OK, "{}", imported.json);
        }
        let label = world.app.post(&format!("{BASE}/labels"), &json!({ "name": "Many", "hosts": serials })).await;
        assert_eq!(label.json["label"]["count"], 1100, "{}", label.json);
        let unknown = json!({ "name": "Few", "hosts": [serials[0], "nobody"] });
        let unknown = world.app.post(&format!("{BASE}/labels"), &unknown).await;
        assert_eq!(unknown.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", unknown.json);

        let team =
            world.app.post(&format!("{BASE}/teams"), &json!({ "name": "Tablets" })).await.json["team"]["id"].clone();
        let label_id = &label.json["label"]["id"];
        let body = json!({ "team_id": team, "filters": { "label_id": label_id } });
        let moved = world.app.post(&format!("{BASE}/hosts/transfer/filter"), &body).await;
        assert!(moved.status.is_success(), "{}", moved.json);
        let count =
            async |query: &str| world.app.get(&format!("{BASE}/hosts/count?{query}")).await.json["count"].clone();
        let query = format!("team_id={team}");
        let done = async |query: &str, expected: i64| (count(query).await == expected).then_some(());
        eventually("all have moved", async || done(&query, 1100).await).await;
        let deleted = world.app.post(&format!("{BASE}/hosts/delete"), &json!({ "filters": { "team_id": team } })).await;
        assert!(deleted.status.is_success(), "{}", deleted.json);
        eventually("all are gone", async || done("", 0).await).await;
        let label = world.app.get(&format!("{BASE}/labels/{label_id}")).await;
        assert_eq!(label.json["label"]["count"], 0, "who is gone has no label");
    })
    .await;
}

#[actix::test]
async fn nobody_has_to_decide_about_hosts_that_were_deleted() {
    let few = |settings: &mut rookery::config::Settings| settings.brakes.erase_per_hour = 1;
    on_each_store_with(few, async |world| {
        let (one, two) = (world.enrolled(Family::Mac, 1).await, world.enrolled(Family::Mac, 2).await);
        let uuid = crate::world::fresh_uuid();
        let (status, held) = world.try_run(&[&one, &two], &uuid, "EraseDevice").await;
        assert!(status.is_success(), "{held}");
        let waiting = async || world.app.get(&format!("{BASE}/commands/held")).await.json["held"].clone();
        assert_eq!(waiting().await.as_array().unwrap().len(), 1);
        let ids: Vec<Value> = vec![world.host(&one).await["id"].clone(), world.host(&two).await["id"].clone()];
        let deleted = world.app.post(&format!("{BASE}/hosts/delete"), &json!({ "ids": ids })).await;
        assert_eq!(deleted.status, StatusCode::OK, "{}", deleted.json);
        assert_eq!(waiting().await, json!([]), "there is nothing left to decide");
    })
    .await;
}

#[actix::test]
async fn a_host_whose_management_is_dead_is_shown_as_such() {
    on_each_store(async |world| {
        let mut device = world.enrolled(Family::Mac, 1).await;
        assert_eq!(world.host(&device).await["mdm"]["unresponsive_since"], Value::Null);
        world.pushed_since(0).await;
        world.push.unregister(&device.push_target(DEVICE).unwrap().token);
        world.run(&[&device], "SecurityInfo").await;
        let dead = async || {
            let mdm = world.host(&device).await["mdm"].clone();
            mdm["unresponsive_since"].is_string().then_some(mdm)
        };
        let mdm = eventually("APNs calls its token dead", dead).await;
        assert_eq!((&mdm["enrollment_status"], &mdm["connected_to_fleet"]), (&json!("On (manual)"), &json!(true)));
        device.renew_token(DEVICE).await.unwrap();
        assert_eq!(world.host(&device).await["mdm"]["unresponsive_since"], Value::Null);
    })
    .await;
}
