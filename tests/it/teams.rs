//! Teams, lists and counts of hosts, and hosts that are deleted: what an admin does on the first day, by HTTP alone.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use protocol::apple::command::Command;
use reqwest::{Method, StatusCode};
use rookery::sim::apple::device::Device;
use rookery::sim::apple::model::Family;
use serde_json::{Value, json};

use crate::app::{Answer, answer, eventually};
use crate::process::enroll;
use crate::world::{DEVICE, World, assert_sound, fresh_uuid, on_each_store};

const BASE: &str = "/api/v1/fleet";
const TEAM_SECRET: &str = "a-secret-that-leads-to-a-team";

async fn ask(world: &World, method: Method, path: &str, body: Value) -> Answer {
    answer(world.app.admin(method, &format!("{BASE}{path}")).body(body.to_string())).await
}

async fn get(world: &World, path: &str) -> Value {
    let found = world.app.get(&format!("{BASE}{path}")).await;
    assert_eq!(found.status, StatusCode::OK, "{path}: {}", found.json);
    found.json
}

async fn made(world: &World, name: &str) -> i64 {
    let made = ask(world, Method::POST, "/teams", json!({ "name": name, "description": "for a test" })).await;
    assert_eq!(made.status, StatusCode::OK, "{}", made.json);
    made.json["team"]["id"].as_i64().unwrap()
}

async fn id_of(world: &World, device: &Device) -> i64 {
    world.host(device).await["id"].as_i64().unwrap()
}

fn ids(hosts: &Value) -> Vec<i64> {
    hosts["hosts"].as_array().unwrap().iter().map(|host| host["id"].as_i64().unwrap()).collect()
}

/// How many hosts each way of counting finds; they never differ.
async fn count(world: &World, query: &str) -> i64 {
    let counted = get(world, &format!("/hosts/count?{query}")).await["count"].as_i64().unwrap();
    let listed = ids(&get(world, &format!("/hosts?per_page=1000&{query}")).await);
    assert_eq!(counted, listed.len() as i64, "{query}");
    counted
}

#[actix::test]
async fn teams_are_made_renamed_and_deleted() {
    on_each_store(async |world| {
        let id = made(world, "  Café Züri ").await;
        let team = &get(world, &format!("/teams/{id}")).await["team"];
        assert_eq!((&team["name"], &team["host_count"]), (&json!("Café Züri"), &json!(0)));

        let twin = ask(world, Method::POST, "/teams", json!({ "name": "CAFÉ züri" })).await;
        assert_eq!(twin.status, StatusCode::CONFLICT, "{}", twin.json);
        for bad in [json!({}), json!({ "name": "" }), json!({ "name": "No Team" }), json!({ "name": "a\u{7}" })] {
            let refused = ask(world, Method::POST, "/teams", bad).await;
            assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", refused.json);
        }

        let other = made(world, "Berne").await;
        let renamed = ask(world, Method::PATCH, &format!("/teams/{other}"), json!({ "name": "Bern" })).await;
        assert_eq!(renamed.json["team"]["description"], "for a test", "what is absent stays: {}", renamed.json);
        let taken = ask(world, Method::PATCH, &format!("/teams/{other}"), json!({ "name": "café züri" })).await;
        assert_eq!(taken.status, StatusCode::CONFLICT);
        let names: Vec<Value> = get(world, "/teams").await["teams"].as_array().unwrap().clone();
        assert_eq!(
            names.iter().map(|team| team["name"].clone()).collect::<Vec<_>>(),
            [json!("Bern"), json!("Café Züri")]
        );

        assert_eq!(ask(world, Method::DELETE, &format!("/teams/{id}"), json!({})).await.status, StatusCode::OK);
        assert_eq!(ask(world, Method::DELETE, &format!("/teams/{id}"), json!({})).await.status, StatusCode::NOT_FOUND);
        assert_eq!(world.app.get(&format!("{BASE}/teams/{id}")).await.status, StatusCode::NOT_FOUND);
    })
    .await;
}

#[actix::test]
async fn a_secret_leads_to_its_team_and_to_no_other() {
    on_each_store(async |world| {
        let (first, second) = (made(world, "First").await, made(world, "Second").await);
        let secrets = |secret: &str| json!({ "secrets": [{ "secret": secret }] });
        let path = |team: i64| format!("/teams/{team}/secrets");
        let stored = ask(world, Method::PATCH, &path(first), secrets(TEAM_SECRET)).await;
        assert_eq!(stored.json["secrets"][0]["secret"], TEAM_SECRET, "{}", stored.json);
        let twin = ask(world, Method::PATCH, &path(second), secrets(TEAM_SECRET)).await;
        assert_eq!(twin.status, StatusCode::CONFLICT, "{}", twin.json);
        let short = ask(world, Method::PATCH, &path(second), secrets("short")).await;
        assert_eq!(short.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", short.json);
        let global = get(world, "/spec/enroll_secret").await;
        assert!(!global.to_string().contains(TEAM_SECRET), "a team's secret is not among those for hosts of no team");

        let url = world.app.device_url(&format!("/api/mdm/apple/enroll?enroll_secret={TEAM_SECRET}"));
        let mut device = world.device(Family::Mac, 1, Default::default());
        enroll(&mut device, &url).await;
        let host = world.host(&device).await;
        assert_eq!((&host["team_id"], &host["team_name"]), (&json!(first), &json!("First")));
        // Whoever is in a team stays there, whatever secret it enrolls with again.
        enroll(&mut device, &world.enroll_url()).await;
        assert_eq!(world.host(&device).await["team_id"], first);
        let other = world.enrolled(Family::Mac, 2).await;
        assert_eq!(world.host(&other).await["team_id"], Value::Null);

        assert_eq!(ask(world, Method::DELETE, &format!("/teams/{first}"), json!({})).await.status, StatusCode::OK);
        assert_eq!(world.host(&device).await["team_id"], Value::Null);
        let mut late = world.device(Family::Mac, 3, Default::default());
        assert!(late.enroll(&url).await.is_err(), "the team's secret is gone with it");
        [&device, &other].into_iter().for_each(assert_sound);
    })
    .await;
}

#[actix::test]
async fn hosts_are_listed_counted_and_moved_by_what_they_have_in_common() {
    on_each_store(async |world| {
        let mut devices = HashMap::new();
        for (number, family) in (1..).zip([Family::Mac, Family::Mac, Family::Mac, Family::IPhone, Family::IPhone]) {
            devices.insert(number, world.enrolled(family, number).await);
        }
        let team = made(world, "Phones").await;
        let move_phones = json!({ "team_id": team, "filters": { "platform": "ios" } });
        let moved = ask(world, Method::POST, "/hosts/transfer/filter", move_phones).await;
        assert_eq!(moved.status, StatusCode::OK, "{}", moved.json);
        let mac = id_of(world, &devices[&1]).await;
        let moved =
            ask(world, Method::POST, "/hosts/transfer", json!({ "team_id": team, "hosts": [mac, 99_999] })).await;
        assert_eq!(moved.status, StatusCode::OK, "{}", moved.json);

        assert_eq!(count(world, "").await, 5);
        assert_eq!(count(world, &format!("team_id={team}")).await, 3);
        assert_eq!(count(world, "team_id=0").await, 2);
        assert_eq!(count(world, &format!("team_id={team}&platform=ios")).await, 2);
        assert_eq!(count(world, "mdm_enrollment_status=manual").await, 5);
        assert_eq!(count(world, "mdm_enrollment_status=pending").await, 0);
        assert_eq!(count(world, "status=new").await, 5);
        assert_eq!(
            count(world, "status=missing&platform=ios").await,
            2 - count(world, "status=online&platform=ios").await
        );
        assert_eq!(count(world, &format!("query={}", devices[&2].model.serial_number)).await, 1);
        for (query, parameter) in [("status=asleep", "status"), ("order_key=uuid", "order_key")] {
            let refused = world.app.get(&format!("{BASE}/hosts?{query}")).await;
            assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{query}: {}", refused.json);
            assert_eq!(refused.json["errors"][0]["name"], parameter);
        }
        let page = get(world, "/hosts?order_key=hardware_serial&order_direction=desc&per_page=2&page=1").await;
        let serials: Vec<&str> =
            page["hosts"].as_array().unwrap().iter().filter_map(|host| host["hardware_serial"].as_str()).collect();
        assert_eq!(serials.len(), 2);
        assert!(serials[0] > serials[1], "{serials:?}");

        let summary = get(world, &format!("/hosts/summary/mdm?team_id={team}")).await;
        let counts = &summary["mobile_device_management_enrollment_status"];
        assert_eq!(
            (&counts["enrolled_manual_hosts_count"], &counts["hosts_count"]),
            (&json!(3), &json!(3)),
            "{summary}"
        );
        let summary = get(world, "/host_summary").await;
        assert_eq!((&summary["totals_hosts_count"], &summary["new_count"]), (&json!(5), &json!(5)), "{summary}");
        assert_eq!(
            summary["platforms"],
            json!([{ "platform": "darwin", "hosts_count": 3 }, { "platform": "ios", "hosts_count": 2 }])
        );

        let report = world
            .app
            .admin(Method::GET, &format!("{BASE}/hosts/report?format=csv&columns=id,team_name&team_id={team}"));
        let report = report.send().await.unwrap().text().await.unwrap();
        assert_eq!(report.lines().next(), Some("id,team_name"));
        assert_eq!(report.lines().skip(1).filter(|line| line.ends_with(",Phones")).count(), 3, "{report}");
        let nowhere = ask(world, Method::POST, "/hosts/transfer", json!({ "team_id": 4711, "hosts": [mac] })).await;
        assert_eq!(nowhere.status, StatusCode::NOT_FOUND, "{}", nowhere.json);
    })
    .await;
}

#[actix::test]
async fn a_deleted_host_is_gone_until_it_speaks_again() {
    on_each_store(async |world| {
        let mut device = world.enrolled(Family::Mac, 1).await;
        let other = world.enrolled(Family::Mac, 2).await;
        let id = id_of(world, &device).await;
        let command = world.run(&[&device], "SecurityInfo").await;

        assert_eq!(ask(world, Method::DELETE, &format!("/hosts/{id}"), json!({})).await.status, StatusCode::OK);
        assert_eq!(ask(world, Method::DELETE, &format!("/hosts/{id}"), json!({})).await.status, StatusCode::NOT_FOUND);
        assert_eq!(world.app.get(&format!("{BASE}/hosts/{id}")).await.status, StatusCode::NOT_FOUND);
        assert_eq!(count(world, "").await, 1);
        assert_eq!(world.status(&command).await, "Cancelled");
        let refused = world.try_run(&[&device], &fresh_uuid(), "SecurityInfo").await;
        assert_eq!(refused.0, StatusCode::NOT_FOUND, "{}", refused.1);

        // It is enrolled, and says so: nothing of what was queued before it was deleted is left.
        let served = eventually("the device is served", async || device.poll(DEVICE).await.ok()).await;
        assert_eq!(served, None);
        assert_eq!(id_of(world, &device).await, id, "under its number");
        assert_eq!(count(world, "").await, 2);
        let command = world.run(&[&device], "SecurityInfo").await;
        assert_eq!(device.work(DEVICE).await.unwrap(), 1);
        assert_eq!(world.status(&command).await, "Acknowledged");

        let all = ask(world, Method::POST, "/hosts/delete", json!({ "ids": [id], "filters": {} })).await;
        assert_eq!(all.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", all.json);
        let unknown = ask(world, Method::POST, "/hosts/delete", json!({ "filters": { "colour": "red" } })).await;
        assert_eq!(unknown.status, StatusCode::BAD_REQUEST, "nobody deletes by a filter that is not understood");
        let all = ask(world, Method::POST, "/hosts/delete", json!({ "filters": { "platform": "darwin" } })).await;
        assert_eq!(all.status, StatusCode::OK, "{}", all.json);
        assert_eq!(count(world, "").await, 0);
        [&device, &other].into_iter().for_each(assert_sound);
    })
    .await;
}

#[actix::test]
async fn a_host_is_unenrolled_by_taking_its_profile_away() {
    on_each_store(async |world| {
        let mut device = world.enrolled(Family::Mac, 1).await;
        let id = id_of(world, &device).await;
        let path = format!("/hosts/{id}/mdm");
        assert_eq!(ask(world, Method::DELETE, &path, json!({})).await.status, StatusCode::NO_CONTENT);
        assert_eq!(device.work(DEVICE).await.unwrap(), 1);
        assert_eq!(get(world, &path).await["enrollment_status"], "Off");
        assert_eq!(count(world, "mdm_enrollment_status=unenrolled").await, 1);
        assert_eq!(ask(world, Method::DELETE, &path, json!({})).await.status, StatusCode::PRECONDITION_FAILED);
        assert_sound(&device);
    })
    .await;
}

#[actix::test]
async fn labels_are_given_by_hand_or_by_rule_and_commands_go_to_those_who_have_them() {
    on_each_store(async |world| {
        let (mut mac, mut phone) = (world.enrolled(Family::Mac, 1).await, world.enrolled(Family::IPhone, 2).await);
        let labels = async |host: i64| -> Vec<String> {
            let shown = get(world, &format!("/hosts/{host}")).await["host"]["labels"].clone();
            shown.as_array().unwrap().iter().filter_map(|label| label["name"].as_str().map(str::to_owned)).collect()
        };
        let (mac_id, phone_id) = (id_of(world, &mac).await, id_of(world, &phone).await);
        assert_eq!(labels(mac_id).await, ["All Hosts", "macOS"]);
        assert_eq!(labels(phone_id).await, ["All Hosts", "iOS"]);

        let post = async |body: Value| ask(world, Method::POST, "/labels", body).await;
        let model: String = mac.model.product_name.chars().take(4).collect();
        let rule = json!({ "name": "Models", "criteria": { "vital": "hardware_model", "value": format!("{model}*") } });
        let by_rule = post(rule).await.json["label"].clone();
        assert_eq!((&by_rule["count"], &by_rule["label_membership_type"]), (&json!(1), &json!("dynamic")), "{by_rule}");
        let by_hand =
            post(json!({ "name": "Pilots", "hosts": [phone.model.serial_number] })).await.json["label"].clone();
        assert_eq!((&by_hand["count"], &by_hand["label_membership_type"]), (&json!(1), &json!("manual")), "{by_hand}");
        assert_eq!(post(json!({ "name": "PILOTS" })).await.status, StatusCode::CONFLICT);
        for (body, parameter) in [
            (json!({ "name": "x", "hosts": ["nobody"] }), "hosts"),
            (json!({ "name": "x", "criteria": { "vital": "secret", "value": "1" } }), "criteria.vital"),
            (json!({ "name": "x", "criteria": { "vital": "platform", "value": "ios" }, "host_ids": [1] }), "criteria"),
        ] {
            let refused = post(body).await;
            assert_eq!(
                (refused.status, &refused.json["errors"][0]["name"]),
                (StatusCode::UNPROCESSABLE_ENTITY, &json!(parameter))
            );
        }
        // A host that comes later, and one that changes, have what their rules say.
        let late = world.enrolled(Family::Mac, 3).await;
        assert_eq!(labels(id_of(world, &late).await).await, ["All Hosts", "macOS", "Models"]);
        let path = format!("/labels/{}", by_rule["id"]);
        let changed =
            ask(world, Method::PATCH, &path, json!({ "criteria": { "vital": "platform", "value": "ios" } })).await;
        assert_eq!((&changed.json["label"]["name"], &changed.json["label"]["count"]), (&json!("Models"), &json!(1)));
        assert_eq!(labels(mac_id).await, ["All Hosts", "macOS"]);

        let give = json!({ "labels": ["pilots"] });
        assert_eq!(
            ask(world, Method::POST, &format!("/hosts/{mac_id}/labels"), give.clone()).await.status,
            StatusCode::OK
        );
        assert_eq!(count(world, &format!("label_id={}", by_hand["id"])).await, 2);
        assert_eq!(ids(&get(world, &format!("/labels/{}/hosts", by_hand["id"])).await).len(), 2);
        let built_in =
            ask(world, Method::POST, &format!("/hosts/{mac_id}/labels"), json!({ "labels": ["macOS"] })).await;
        assert_eq!(built_in.status, StatusCode::BAD_REQUEST, "{}", built_in.json);
        let taken = ask(world, Method::DELETE, &format!("/hosts/{phone_id}/labels"), give).await;
        assert_eq!(taken.status, StatusCode::OK, "{}", taken.json);

        let command = Command::new(fresh_uuid(), "SecurityInfo", Default::default()).unwrap();
        let run = |more: Value| {
            let mut body = json!({ "command": STANDARD.encode(command.to_xml()) });
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            body
        };
        let path = "/commands/run";
        let both = ask(world, Method::POST, path, run(json!({ "label_id": by_hand["id"], "host_uuids": ["x"] }))).await;
        assert_eq!(both.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", both.json);
        let nobody = ask(world, Method::POST, path, run(json!({ "label_id": 4711 }))).await;
        assert_eq!(nobody.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", nobody.json);
        let ran = ask(world, Method::POST, path, run(json!({ "label_id": by_hand["id"] }))).await;
        assert_eq!((&ran.json["hosts"], &ran.json["platform"]), (&json!(1), &json!("darwin")), "{}", ran.json);
        assert_eq!((mac.work(DEVICE).await.unwrap(), phone.work(DEVICE).await.unwrap()), (1, 0));

        let all = get(world, "/labels").await["labels"].as_array().unwrap().clone();
        let built_in = all.iter().find(|label| label["name"] == "All Hosts").unwrap();
        assert_eq!((&built_in["count"], &built_in["label_type"]), (&json!(3), &json!("builtin")));
        let path = |label: &Value| format!("/labels/id/{}", label["id"]);
        assert_eq!(ask(world, Method::DELETE, &path(built_in), json!({})).await.status, StatusCode::BAD_REQUEST);
        assert_eq!(ask(world, Method::DELETE, &path(&by_hand), json!({})).await.status, StatusCode::OK);
        assert_eq!(labels(mac_id).await, ["All Hosts", "macOS"]);
        [&mac, &phone, &late].into_iter().for_each(assert_sound);
    })
    .await;
}
