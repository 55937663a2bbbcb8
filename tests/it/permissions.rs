//! The permission matrix, generated: every admin route × every role, globally and in a team × {own team, other team, no team},
//! against the table that the server itself uses, and with requests that name real hosts, teams, commands and people.
//!
//! A route without a row in [`call`] fails the test: whoever adds a route says how it is tried.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use entities::role::Role;
use protocol::apple::command::Command;
use reqwest::{Method, StatusCode};
use rookery::http::admin::permission::{Extent, Permission, Powers, Reach};
use rookery::http::{ROUTES, Who};
use rookery::sim::apple::device::Device;
use rookery::sim::apple::model::Family;
use serde_json::{Value, json};

use crate::people::{ask, done, program, team};
use crate::world::{DEVICE, World, fresh_uuid, on_each_store};

const NOBODY: &str = "/999999";

/// Whom a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Own,
    Other,
    None,
}

/// Something of one team, or of none, of every kind that requests name.
struct Subject {
    target: Target,
    team: i64,
    host: i64,
    uuid: String,
    channel: String,
    command: String,
    user: i64,
    session: i64,
}

/// Somebody who asks.
struct Asker {
    name: String,
    key: String,
    powers: Powers,
}

/// How a route is tried.
enum Call {
    /// It names something of a team.
    Names(String, Value),
    /// The same, and what it names is gone afterwards.
    Ends(String, Value),
    /// It is about nobody's team.
    Plain(String, Value),
}

use Call::{Ends, Names, Plain};

fn security_info() -> Command {
    Command::new(fresh_uuid(), "SecurityInfo", Default::default()).unwrap()
}

/// The request by which a route is tried.
fn call(method: &str, path: &str, of: &Subject) -> Call {
    let Subject { host, uuid, channel, command, user, session, team, .. } = of;
    let nothing = Value::Null;
    let path = path.replace("{base}", "");
    let host_path = |rest: &str| format!("/hosts/{host}{rest}");
    let query = |path: &str| format!("{path}?team_id={team}");
    let run = || json!({ "host_uuids": [uuid], "command": STANDARD.encode(security_info().to_xml()) });
    match (method, path.as_str()) {
        ("GET", "/hosts" | "/hosts/count" | "/hosts/report" | "/hosts/summary/mdm" | "/host_summary") => {
            Names(query(&path), nothing)
        }
        ("GET", "/labels/{id:[0-9]+}/hosts") => Names(query("/labels/1/hosts"), nothing),
        ("GET", "/hosts/identifier/{identifier}") => Names(format!("/hosts/identifier/{uuid}"), nothing),
        ("GET", "/hosts/{id:[0-9]+}") => Names(host_path(""), nothing),
        ("GET", "/hosts/{id:[0-9]+}/mdm") => Names(host_path("/mdm"), nothing),
        ("GET", "/hosts/{id:[0-9]+}/actor") => Names(host_path("/actor"), nothing),
        ("GET", "/hosts/{id:[0-9]+}/orphan_results") => Names(host_path("/orphan_results"), nothing),
        ("POST" | "DELETE", "/hosts/{id:[0-9]+}/labels") => Names(host_path("/labels"), json!({ "labels": ["x"] })),
        ("POST", "/hosts/transfer") => Names(path, json!({ "team_id": team, "hosts": [host] })),
        ("POST", "/hosts/transfer/filter") => {
            Names(path, json!({ "team_id": team, "filters": { "team_id": team, "query": "nobody" } }))
        }
        ("DELETE", "/hosts/{id:[0-9]+}/mdm") => Names(host_path("/mdm"), nothing),
        ("POST", "/hosts/delete") => Ends(path, json!({ "ids": [host] })),
        ("DELETE", "/hosts/{id:[0-9]+}") => Ends(host_path(""), nothing),

        ("POST", "/commands/run" | "/mdm/commands/run" | "/mdm/apple/enqueue") => Names(path, run()),
        ("GET", "/commands/results" | "/mdm/commandresults" | "/mdm/apple/commandresults") => {
            Names(format!("{path}?command_uuid={command}"), nothing)
        }
        ("GET", "/commands" | "/mdm/commands" | "/mdm/apple/commands") => {
            Names(format!("{path}?host_identifier={uuid}"), nothing)
        }
        ("GET", "/commands/held") => Plain(path, nothing),
        ("POST", "/commands/{uuid}/cancel") => Names(format!("/commands/{command}/cancel"), json!({})),
        ("POST", "/commands/{uuid}/approve") => Names(format!("/commands/{command}/approve"), json!({ "hosts": 1 })),
        ("POST", "/commands/{uuid}/reject") => Names(format!("/commands/{command}/reject"), nothing),
        ("GET" | "PUT", "/commands/policy") => Plain(path, json!({ "rules": [] })),
        ("PUT", "/v1/enqueue/{ids}") => {
            Names(format!("/v1/enqueue/{channel}"), String::from_utf8(security_info().to_xml()).unwrap().into())
        }
        ("GET" | "PUT", "/v1/push/{ids}") => Names(format!("/v1/push/{channel}"), nothing),
        ("GET" | "PUT", "/v1/pushcert") => Plain(format!("{path}?topic=x"), nothing),

        ("GET" | "POST", "/teams") => Plain(path, json!({})),
        ("GET" | "PATCH", "/teams/{id:[0-9]+}") => of_team(of, "", json!({})),
        ("DELETE", "/teams/{id:[0-9]+}") => Plain(format!("/teams{NOBODY}"), nothing),
        ("GET", "/teams/{id:[0-9]+}/secrets") => of_team(of, "/secrets", nothing),
        ("PATCH", "/teams/{id:[0-9]+}/secrets") => of_team(of, "/secrets", json!({ "secrets": [] })),
        ("GET" | "POST", "/labels") | ("GET", "/labels/summary") => Plain(path, json!({})),
        ("GET", "/labels/{id:[0-9]+}") => Plain("/labels/1".into(), nothing),
        ("PATCH", "/labels/{id:[0-9]+}") => Plain(format!("/labels{NOBODY}"), json!({})),
        ("DELETE", "/labels/id/{id:[0-9]+}") => Plain(format!("/labels/id{NOBODY}"), nothing),
        ("GET", "/enrollment_profiles/manual" | "/mdm/manual_enrollment_profile" | "/spec/enroll_secret") => {
            Plain(path, nothing)
        }
        ("POST", "/spec/enroll_secret") => Plain(path, json!({ "spec": { "secrets": [] } })),
        (_, path) if path.starts_with("/webhooks") => {
            let path = path.replace("/{id:[0-9]+}", NOBODY).replace("/{delivery:[0-9]+}", NOBODY);
            Plain(path, json!({}))
        }

        ("GET", "/me" | "/me/tokens") | ("POST", "/logout") => Plain(path, nothing),
        ("POST", "/change_password") => Plain(path, json!({ "old_password": "x", "new_password": "y" })),
        ("POST", "/me/tokens") => Plain(path, json!({ "name": "" })),
        ("DELETE", "/me/tokens/{id:[0-9]+}") => Plain(format!("/me/tokens{NOBODY}"), nothing),
        ("GET", "/users") => Names(query(&path), nothing),
        ("POST", "/users/admin") => {
            let roles = match of.target {
                Target::None => json!({ "global_role": "observer" }),
                _ => json!({ "teams": [{ "id": team, "role": "observer" }] }),
            };
            let mut body =
                json!({ "name": "N", "email": format!("{}@example.com", uuid::Uuid::new_v4()), "api_only": true });
            body.as_object_mut().unwrap().extend(roles.as_object().unwrap().clone());
            Names(path, body)
        }
        ("GET", "/users/{id:[0-9]+}") => Names(format!("/users/{user}"), nothing),
        ("PATCH", "/users/{id:[0-9]+}") => Names(format!("/users/{user}"), json!({ "name": "Other" })),
        ("GET", "/users/{id:[0-9]+}/sessions") => Names(format!("/users/{user}/sessions"), nothing),
        ("GET" | "POST", "/users/{id:[0-9]+}/tokens") => Names(format!("/users/{user}/tokens"), json!({ "name": "" })),
        ("DELETE", "/users/{id:[0-9]+}/tokens/{token:[0-9]+}") => {
            Names(format!("/users/{user}/tokens{NOBODY}"), nothing)
        }
        ("DELETE", "/sessions/{id:[0-9]+}") => Ends(format!("/sessions/{session}"), nothing),
        ("DELETE", "/users/{id:[0-9]+}/sessions") => Ends(format!("/users/{user}/sessions"), nothing),
        ("POST", "/users/{id:[0-9]+}/require_password_reset") => {
            Ends(format!("/users/{user}/require_password_reset"), json!({ "require": false }))
        }
        ("DELETE", "/users/{id:[0-9]+}") => Ends(format!("/users/{user}"), nothing),
        ("GET" | "POST", "/invites") => Plain(path, json!({})),
        ("DELETE", "/invites/{id:[0-9]+}") => Plain(format!("/invites{NOBODY}"), nothing),
        (method, path) => panic!("say in tests/it/permissions.rs how {method} {path} is tried"),
    }
}

/// A team that a path names; hosts of no team have none.
fn of_team(of: &Subject, rest: &str, body: Value) -> Call {
    match of.target {
        Target::None => Plain(format!("/teams{NOBODY}{rest}"), body),
        _ => Names(format!("/teams/{}{rest}", of.team), body),
    }
}

/// Whether somebody may do it, by the table.
fn may(asker: &Asker, permission: Permission, path: &str, call: &Call, target: Target, own: i64) -> bool {
    let Some(extent) = asker.powers.extent(permission) else { return false };
    let about_no_team = ["manual", "spec/enroll_secret", "/teams/999999"].iter().any(|part| path.contains(part));
    match (permission.rule().0, call) {
        (Reach::Team, Plain(tried, _)) if about_no_team || tried.contains("/teams/999999") => extent == Extent::All,
        (_, Plain(..)) => true,
        (_, Names(..) | Ends(..)) => match target {
            Target::Own => extent.holds(Some(own)),
            Target::Other => extent == Extent::All,
            Target::None => extent.holds(None),
        },
    }
}

async fn status(world: &World, key: &str, method: &str, path: &str, body: &Value) -> StatusCode {
    let base = if path.starts_with("/v1/") { "" } else { "/api/v1/fleet" };
    let url = format!("{}{base}{path}", world.app.running().addresses.admin_url);
    let body = body.as_str().map_or_else(|| body.to_string(), str::to_owned);
    let request = world.app.client.request(method.parse().unwrap(), url).bearer_auth(key).body(body);
    // Some answers never end: the head is enough.
    request.send().await.unwrap().status()
}

async fn subject(world: &World, target: Target, team: i64, device: &Device) -> Subject {
    let admin = &world.app.token;
    let host = world.host(device).await["id"].as_i64().unwrap();
    if team != 0 {
        done(world, admin, Method::POST, "/hosts/transfer", json!({ "team_id": team, "hosts": [host] })).await;
    }
    let email = format!("{target:?}@example.com").to_lowercase();
    let mut body = json!({ "name": "N", "email": email, "password": "a long enough passphrase" });
    match target {
        Target::None => body["global_role"] = "observer".into(),
        _ => body["teams"] = json!([{ "id": team, "role": "observer" }]),
    }
    let user = done(world, admin, Method::POST, "/users/admin", body).await["user"]["id"].as_i64().unwrap();
    let login = json!({ "email": email, "password": "a long enough passphrase" });
    assert_eq!(ask(world, None, Method::POST, "/login", login).await.status, StatusCode::OK);
    let sessions = done(world, admin, Method::GET, &format!("/users/{user}/sessions"), Value::Null).await;
    Subject {
        target,
        team,
        host,
        uuid: device.channel_id(DEVICE).unwrap().to_owned(),
        channel: device.channel_id(DEVICE).unwrap().to_owned(),
        command: world.run(&[device], "SecurityInfo").await.as_str().to_owned(),
        user,
        session: sessions["sessions"][0]["session_id"].as_i64().unwrap(),
    }
}

async fn askers(world: &World, own: i64) -> Vec<Asker> {
    let mut askers = Vec::new();
    for role in Role::ALL {
        for team in [None, Some(own)] {
            let name = format!("{}-{}", role.as_str().replace('_', "-"), if team.is_some() { "own" } else { "global" });
            let key = program(world, &name, role.as_str(), team).await;
            let powers = match team {
                None => Powers { everywhere: Some(role), ..Powers::default() },
                Some(team) => Powers { teams: vec![(team, role)], ..Powers::default() },
            };
            askers.push(Asker { name, key, powers });
        }
    }
    askers
}

#[actix::test]
async fn every_route_does_for_every_role_what_the_table_says_and_no_more() {
    on_each_store(async |world| {
        let (own, other) = (team(world, "Own").await, team(world, "Other").await);
        let mut subjects = Vec::new();
        for (number, (target, team)) in
            [(Target::Own, own), (Target::Other, other), (Target::None, 0)].into_iter().enumerate()
        {
            let device = world.enrolled(Family::Mac, 1 + number as u32).await;
            subjects.push(subject(world, target, team, &device).await);
        }
        let askers = askers(world, own).await;
        let routes = || {
            ROUTES.iter().filter_map(|route| match route.who {
                Who::Admin(permission) => Some((permission, route)),
                _ => None,
            })
        };
        let (mut tried, mut wrong) = (0, Vec::new());
        // What ends its subject comes last, and who is refused comes before who may.
        for (ends, allowed) in [(false, false), (false, true), (true, false), (true, true)] {
            for (permission, route) in routes() {
                for method in route.methods.split(' ') {
                    for subject in &subjects {
                        for asker in &askers {
                            let call = call(method, route.path, subject);
                            if matches!(call, Ends(..)) != ends
                                || may(asker, permission, route.path, &call, subject.target, own) != allowed
                            {
                                continue;
                            }
                            let (Names(path, body) | Ends(path, body) | Plain(path, body)) = call;
                            let status = status(world, &asker.key, method, &path, &body).await;
                            tried += 1;
                            let sound = match allowed {
                                true => status != StatusCode::FORBIDDEN && status != StatusCode::UNAUTHORIZED,
                                false => status == StatusCode::FORBIDDEN,
                            };
                            if !sound || status.is_server_error() && !path.starts_with("/v1/push/") {
                                let target = subject.target;
                                wrong.push(format!(
                                    "{} {method} {path} ({target:?}, {permission:?}): {status}",
                                    asker.name
                                ));
                            }
                        }
                    }
                }
            }
        }
        assert!(wrong.is_empty(), "{} of {tried} are wrong:\n{}", wrong.len(), wrong.join("\n"));
        println!("{tried} requests on {}", world.store());
    })
    .await;
}

/// What lists, counts and reports show to somebody whose team it is not.
#[actix::test]
async fn lists_show_nothing_of_other_teams() {
    on_each_store(async |world| {
        let (own, other) = (team(world, "Own").await, team(world, "Other").await);
        let mut channels = Vec::new();
        for (number, team) in [own, other, 0].into_iter().enumerate() {
            let device = world.enrolled(Family::Mac, 1 + number as u32).await;
            let host = world.host(&device).await["id"].as_i64().unwrap();
            if team != 0 {
                let body = json!({ "team_id": team, "hosts": [host] });
                done(world, &world.app.token, Method::POST, "/hosts/transfer", body).await;
            }
            world.run(&[&device], "SecurityInfo").await;
            channels.push(device.channel_id(DEVICE).unwrap().to_owned());
        }
        let key = program(world, "boss", "admin", Some(own)).await;
        program(world, "foreigner", "admin", Some(other)).await;
        for path in ["/hosts", "/hosts/report", "/labels/1/hosts", "/commands", "/teams", "/users", "/commands/held"] {
            let url = format!("{}/api/v1/fleet{path}", world.app.running().addresses.admin_url);
            let shown = world.app.client.get(url).bearer_auth(&key).send().await.unwrap().text().await.unwrap();
            for foreign in [channels[1].as_str(), channels[2].as_str(), "Other", "foreigner"] {
                assert!(!shown.contains(foreign), "{path} shows {foreign}: {shown}");
            }
            assert!(
                path == "/commands/held" || shown.contains(&channels[0]) || shown.contains("Own"),
                "{path}: {shown}"
            );
        }
        for (path, pointer) in [("/hosts/count", "/count"), ("/host_summary", "/totals_hosts_count")] {
            let counted = done(world, &key, Method::GET, path, Value::Null).await;
            assert_eq!(counted.pointer(pointer), Some(&json!(1)), "{path}: {counted}");
        }
        let summary = done(world, &key, Method::GET, "/hosts/summary/mdm", Value::Null).await;
        assert_eq!(summary["mobile_device_management_enrollment_status"]["hosts_count"], 1, "{summary}");
        // A filter that would mean everyone means those within reach.
        done(world, &key, Method::POST, "/hosts/delete", json!({ "filters": {} })).await;
        let left = done(world, &world.app.token, Method::GET, "/hosts/count", Value::Null).await;
        assert_eq!(left["count"], 2);
    })
    .await;
}
