//! What was done, as people read it: in lists, in a host's feed, as a file, and told to webhooks.

use reqwest::{Method, StatusCode};
use rookery::sim::apple::model::Family;
use serde_json::{Value, json};

use crate::app::{Answer, answer, eventually};
use crate::people::{self, done, program};
use crate::receiver::Receiver;
use crate::webhooks::hook;
use crate::world::{DEVICE, SECRET, World, on_each_store};

const BASE: &str = "/api/v1/fleet";

async fn ask(world: &World, method: Method, path: &str, body: Value) -> Value {
    let Answer { status, json } =
        answer(world.app.admin(method, &format!("{BASE}{path}")).body(body.to_string())).await;
    assert!(status.is_success(), "{path}: {status} {json}");
    json
}

async fn activities(world: &World, query: &str) -> Vec<Value> {
    ask(world, Method::GET, &format!("/activities?{query}"), Value::Null).await["activities"]
        .as_array()
        .unwrap()
        .clone()
}

fn kinds(activities: &[Value]) -> Vec<&str> {
    activities.iter().map(|one| one["type"].as_str().unwrap()).collect()
}

#[actix::test]
async fn everything_that_is_done_stands_in_the_activities() {
    on_each_store(async |world| {
        let team = ask(world, Method::POST, "/teams", json!({ "name": "Zoo" })).await["team"]["id"].clone();
        ask(world, Method::PATCH, &format!("/teams/{team}"), json!({ "name": "Zürich" })).await;
        let secrets = json!({ "secrets": [{ "secret": "a-secret-of-sixteen-or-more" }] });
        ask(world, Method::PATCH, &format!("/teams/{team}/secrets"), secrets).await;
        let mut device = world.enrolled(Family::Mac, 1).await;
        let serial = device.model.serial_number.clone();
        let agent = json!({ "enroll_secret": SECRET, "hardware_serial": serial, "platform": "darwin" });
        for _ in 0..2 {
            let enroll = world.app.client.post(world.app.device_url("/api/fleet/orbit/enroll"));
            assert_eq!(answer(enroll.body(agent.to_string())).await.status, StatusCode::OK);
        }
        let host = world.host(&device).await;
        let (id, name) = (&host["id"], &host["display_name"]);
        ask(world, Method::POST, "/hosts/transfer", json!({ "team_id": team, "hosts": [id] })).await;
        ask(world, Method::POST, "/hosts/transfer", json!({ "team_id": team, "hosts": [id] })).await;
        let label = ask(world, Method::POST, "/labels", json!({ "name": "Pilots" })).await["label"]["id"].clone();
        ask(world, Method::POST, &format!("/hosts/{id}/labels"), json!({ "labels": ["pilots"] })).await;
        ask(world, Method::DELETE, &format!("/hosts/{id}/labels"), json!({ "labels": ["pilots"] })).await;
        ask(world, Method::DELETE, &format!("/labels/id/{label}"), Value::Null).await;
        let command = world.run(&[&device], "SecurityInfo").await;
        ask(world, Method::POST, &format!("/commands/{command}/cancel"), json!({})).await;
        device.check_out(DEVICE).await.unwrap();
        let feed = ask(world, Method::GET, &format!("/hosts/{id}/activities"), Value::Null).await;
        ask(world, Method::DELETE, &format!("/hosts/{id}"), Value::Null).await;
        ask(world, Method::DELETE, &format!("/teams/{team}"), Value::Null).await;

        let all = activities(world, "order_direction=asc&per_page=100").await;
        let expected = [
            "created_api_token",
            "uploaded_apns_certificate",
            "edited_enroll_secrets",
            "created_team",
            "edited_team",
            "edited_enroll_secrets",
            "mdm_enrolled",
            "fleet_enrolled",
            "transferred_hosts",
            "created_label",
            "added_host_labels",
            "removed_host_labels",
            "deleted_label",
            "ran_mdm_command",
            "canceled_mdm_command",
            "mdm_unenrolled",
            "deleted_host",
            "deleted_team",
        ];
        assert_eq!(kinds(&all), expected);
        let of = |kind: &str| all.iter().find(|one| one["type"] == kind).unwrap();
        let details = |kind: &str| of(kind)["details"].clone();
        assert_eq!(details("edited_team"), json!({ "team_id": team, "team_name": "Zürich" }));
        let enrolled = json!({
            "host_serial": serial, "enrollment_id": null, "host_display_name": name, "installed_from_dep": false,
            "platform": "darwin", "mdm_platform": "apple",
        });
        assert_eq!(details("mdm_enrolled"), enrolled);
        assert_eq!(
            details("fleet_enrolled"),
            json!({ "host_id": id, "host_serial": serial, "host_display_name": name })
        );
        let moved = json!({ "team_id": team, "team_name": "Zürich", "host_ids": [id], "host_display_names": [name] });
        assert_eq!(details("transferred_hosts"), moved);
        let ran = json!({ "command_uuid": command.as_str(), "request_type": "SecurityInfo", "host_count": 1 });
        assert_eq!(details("ran_mdm_command"), ran);
        let deleted =
            json!({ "host_id": id, "host_display_name": name, "host_serial": serial, "triggered_by": "manual" });
        assert_eq!(details("deleted_host"), deleted);
        let envelope = |kind: &str| (of(kind)["actor_full_name"].clone(), of(kind)["fleet_initiated"].clone());
        assert_eq!(envelope("created_team"), (json!("test"), json!(false)));
        assert_eq!(envelope("mdm_enrolled"), (Value::Null, json!(true)));

        let feed = feed["activities"].as_array().unwrap();
        let in_feed: Vec<&str> = kinds(feed).into_iter().rev().collect();
        assert_eq!(in_feed[..3], ["mdm_enrolled", "fleet_enrolled", "transferred_hosts"]);
        assert_eq!(in_feed.len(), 8, "{in_feed:?}");
        looked_through(world, &all).await;
    })
    .await;
}

/// Pages, filters and files show what the list shows.
async fn looked_through(world: &World, all: &[Value]) {
    let newest = ask(world, Method::GET, "/activities?per_page=2&page=1", Value::Null).await;
    let expected: Vec<&Value> = all.iter().rev().skip(2).take(2).collect();
    assert_eq!(newest["activities"].as_array().unwrap().iter().collect::<Vec<_>>(), expected);
    assert_eq!(newest["meta"], json!({ "has_next_results": true, "has_previous_results": true }));
    let last = ask(world, Method::GET, &format!("/activities?per_page={}", all.len()), Value::Null).await;
    assert_eq!(last["meta"], json!({ "has_next_results": false, "has_previous_results": false }));
    assert_eq!(activities(world, "activity_type=edited_enroll_secrets").await.len(), 2);
    assert_eq!(activities(world, "query=nobody").await.len(), 0);
    assert_eq!(activities(world, "query=tes&activity_type=created_team").await.len(), 1);
    assert_eq!(activities(world, "start_created_at=2999-01-01T00:00:00Z").await.len(), 0);
    assert_eq!(activities(world, "end_created_at=2999-01-01T00:00:00Z&per_page=100").await.len(), all.len());
    for bad in ["order_key=details", "start_created_at=yesterday", "order_direction=up", "per_page=0"] {
        let refused = world.app.get(&format!("{BASE}/activities?{bad}")).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{bad}: {}", refused.json);
    }
    let file = async |query: &str| {
        let request = world.app.admin(Method::GET, &format!("{BASE}/activities/export{query}"));
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        response.text().await.unwrap()
    };
    let lines = file("").await;
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines, all);
    let csv = file("?format=csv&activity_type=created_team").await;
    let mut csv = csv.lines();
    assert_eq!(csv.next(), Some("id,created_at,actor_full_name,actor_id,actor_email,type,details"));
    assert!(csv.next().unwrap().contains(",test,,,created_team,\"{\"\"team_id\"\":"), "{csv:?}");
    assert_eq!(csv.next(), None);
    assert_eq!(
        world.app.get(&format!("{BASE}/activities/export?format=xml")).await.status,
        StatusCode::UNPROCESSABLE_ENTITY
    );
}

#[actix::test]
async fn activities_are_told_to_webhooks_in_fleets_words_and_in_ours() {
    on_each_store(async |world| {
        let (fleet, ours, devices) = (Receiver::start(), Receiver::start(), Receiver::start());
        hook(world, &fleet, json!({ "form": "fleet" })).await;
        hook(world, &ours, json!({ "topics": ["activity.created"] })).await;
        let path = hook(world, &devices, json!({})).await;
        let refused = json!({ "name": "x", "url": devices.url(), "form": "micromdm", "topics": ["activity.created"] });
        let refused = world.app.post(&format!("{BASE}/webhooks"), &refused).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", refused.json);
        ask(world, Method::POST, "/teams", json!({ "name": "Zoo" })).await;
        let _device = world.enrolled(Family::Mac, 1).await;
        let last = async |receiver: &Receiver, count: usize| {
            eventually("events", async || Some(receiver.taken()).filter(|taken| taken.len() >= count)).await
        };
        // Making the webhooks themselves is told, too.
        let told: Vec<Value> = last(&fleet, 5).await.iter().map(|one| one.json()).collect();
        assert_eq!(
            kinds(&told),
            ["created_webhook", "created_webhook", "created_webhook", "created_team", "mdm_enrolled"]
        );
        let team = &told[3];
        let mut keys: Vec<&String> = team.as_object().unwrap().keys().collect();
        keys.sort();
        assert_eq!(keys, ["actor_email", "actor_full_name", "actor_id", "details", "timestamp", "type"]);
        assert_eq!((&team["actor_full_name"], &team["details"]["team_name"]), (&json!("test"), &json!("Zoo")));
        let told: Vec<Value> = last(&ours, 4).await.iter().map(|one| one.json()).collect();
        assert!(told.iter().all(|one| one["type"] == "activity.created"), "{told:?}");
        assert_eq!(told[3]["data"]["type"], "mdm_enrolled");
        let told: Vec<Value> = last(&devices, 2).await.iter().map(|one| one.json()).collect();
        assert!(told.iter().all(|one| one["type"] != "activity.created"), "who names nothing hears of devices: {path}");
    })
    .await;
}

#[actix::test]
async fn people_are_named_and_what_they_may_do_stands_there_too() {
    on_each_store(async |world| {
        let robot = program(world, "robot", "admin", None).await;
        let made = done(world, &robot, Method::POST, "/teams", json!({ "name": "Zoo" })).await;
        let team = made["team"]["id"].clone();
        let created = &activities(world, "activity_type=created_user").await[0];
        let id = created["details"]["user_id"].clone();
        let named = json!({ "user_id": id, "user_name": "robot", "user_email": "robot@example.com" });
        assert_eq!(
            (&created["details"], &created["actor_id"]),
            (&named, &Value::Null),
            "a token that belongs to nobody"
        );
        let by_robot = &activities(world, "query=robot@").await[0];
        assert_eq!((&by_robot["type"], &by_robot["actor_id"]), (&json!("created_team"), &id));
        assert_eq!((&by_robot["actor_full_name"], &by_robot["fleet_initiated"]), (&json!("robot"), &json!(false)));

        program(world, "boss", "admin", None).await;
        let roles = json!({ "teams": [{ "id": team, "role": "observer" }] });
        done(world, &world.app.token, Method::PATCH, &format!("/users/{id}"), roles).await;
        done(world, &world.app.token, Method::PATCH, &format!("/users/{id}"), json!({ "name": "Marvin" })).await;
        let newest = activities(world, "per_page=3").await;
        let of_role = kinds(&newest);
        assert_eq!(of_role, ["edited_user", "changed_user_team_role", "deleted_user_global_role"]);
        assert_eq!((&newest[1]["details"]["role"], &newest[1]["details"]["team_id"]), (&json!("observer"), &team));
        let refused = people::ask(world, Some(&robot), Method::GET, "/activities", Value::Null).await;
        assert_ne!(refused.status, StatusCode::OK, "whoever has a role in a team alone does not see everything");
    })
    .await;
}
