//! The permission matrix, generated: every admin route × every role, globally and in a team × {own team, other team, no team},
//! against the table that the server itself uses, and with requests that name real hosts, teams, commands and people.
//!
//! A route without a row in [`call`] fails the test: whoever adds a route says how it is tried.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use protocol::apple::command::Command;
use protocol::apple::plist;
use reqwest::{Method, StatusCode};
use rookery::http::admin::permission::{Extent, Permission, Powers, Reach, Role};
use rookery::http::{ROUTES, Who};
use rookery::sim::apple::device::{Answer as Done, Device};
use rookery::sim::apple::model::Family;
use serde_json::{Value, json};

use crate::people::{ask, done, program, team};
use crate::profiles_api::{form, form_type, mobileconfig, upload};
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
    profile: String,
    user: i64,
    session: i64,
}

impl Subject {
    /// The serial number of a host that is imported into the team.
    fn serial(&self) -> String {
        format!("IMPORTED{:?}", self.target).to_uppercase()
    }
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
    let path = path.replace("{base}", "");
    let tried = [
        about_profiles,
        about_hosts,
        about_commands,
        about_teams,
        about_people,
        about_accounts,
        about_scim,
        about_assignment,
        about_others,
    ];
    let found = tried.iter().find_map(|about| about(method, &path, of));
    assert!(found.is_some(), "say in tests/it/permissions.rs how {method} {path} is tried");
    found.unwrap()
}

fn about_profiles(method: &str, path: &str, of: &Subject) -> Option<Call> {
    let Subject { host, team, profile, .. } = of;
    let of_this = |path: &str| path.replace("{uuid}", profile).replace("{id:[0-9]+}", &host.to_string());
    Some(match (method, path) {
        (_, "/spec/secret_variables") => Plain(path.into(), json!({ "secrets": [] })),
        ("POST", "/spec/gitops") => Plain(path.into(), json!({ "dry_run": true })),
        ("GET" | "POST", "/custom_variables") => Plain(path.into(), json!({})),
        ("DELETE", "/custom_variables/{id:[0-9]+}") => Plain(format!("/custom_variables{NOBODY}"), Value::Null),
        ("POST", "/configuration_profiles" | "/mdm/profiles") => {
            let form = form(&[("team_id", &team.to_string())], Some(("a.exe", b"x")));
            Names(path.into(), String::from_utf8(form).unwrap().into())
        }
        ("GET", path)
            if ["profiles", "profiles/summary"].iter().any(|end| path.ends_with(end)) && !path.contains("{id") =>
        {
            Names(format!("{path}?team_id={team}"), Value::Null)
        }
        ("POST", "/configuration_profiles/batch" | "/mdm/profiles/batch") => {
            Names(format!("{path}?team_id={team}&dry_run=true"), json!({ "profiles": [] }))
        }
        ("POST", "/configuration_profiles/resend/batch") => {
            Names(path.into(), json!({ "profile_uuid": profile, "filters": { "profile_status": "failed" } }))
        }
        ("DELETE", "/configuration_profiles/{uuid}" | "/mdm/profiles/{uuid}") => Ends(of_this(path), Value::Null),
        (_, path) if path.contains("profiles/{uuid}") || path.contains("configuration_profiles/resend/{uuid}") => {
            Names(of_this(path), json!({}))
        }
        _ => return None,
    })
}

fn about_hosts(method: &str, path: &str, of: &Subject) -> Option<Call> {
    let Subject { host, uuid, team, .. } = of;
    let of_host = |rest: &str, body| Names(format!("/hosts/{host}{rest}"), body);
    let nothing = Value::Null;
    Some(match (method, path) {
        ("GET", "/hosts" | "/hosts/count" | "/hosts/report" | "/hosts/summary/mdm" | "/host_summary") => {
            Names(format!("{path}?team_id={team}"), nothing)
        }
        ("GET", "/labels/{id:[0-9]+}/hosts") => Names(format!("/labels/1/hosts?team_id={team}"), nothing),
        ("GET", "/hosts/identifier/{identifier}") => Names(format!("/hosts/identifier/{uuid}"), nothing),
        ("GET", "/hosts/{id:[0-9]+}") => of_host("", nothing),
        ("POST" | "DELETE", "/hosts/{id:[0-9]+}/labels") => of_host("/labels", json!({ "labels": ["x"] })),
        ("POST", "/hosts/transfer") => Names(path.into(), json!({ "team_id": team, "hosts": [host] })),
        ("POST", "/hosts/transfer/filter") => {
            Names(path.into(), json!({ "team_id": team, "filters": { "team_id": team, "query": "nobody" } }))
        }
        ("POST", "/hosts/import") => {
            Names(path.into(), json!({ "team_id": team, "hosts": [{ "hardware_serial": of.serial() }] }))
        }
        ("POST", "/hosts/delete") => Ends(path.into(), json!({ "ids": [host] })),
        ("DELETE", "/hosts/{id:[0-9]+}") => Ends(format!("/hosts/{host}"), nothing),
        ("POST", path) if ["/lock", "/unlock", "/wipe"].iter().any(|end| path.ends_with(end)) => {
            Names(path.replace("{id:[0-9]+}", &host.to_string()), json!({}))
        }
        ("GET", path) if path.starts_with("/hosts/{id:[0-9]+}/") => {
            of_host(path.trim_start_matches("/hosts/{id:[0-9]+}"), nothing)
        }
        ("POST", "/hosts/{id:[0-9]+}/refetch") => of_host("/refetch", nothing),
        ("DELETE", "/hosts/{id:[0-9]+}/mdm") => of_host("/mdm", nothing),
        _ => return None,
    })
}

fn about_commands(method: &str, path: &str, of: &Subject) -> Option<Call> {
    let Subject { uuid, channel, command, .. } = of;
    let nothing = Value::Null;
    Some(match (method, path) {
        ("POST", "/commands/run" | "/mdm/commands/run" | "/mdm/apple/enqueue") => {
            let command = STANDARD.encode(security_info().to_xml());
            Names(path.into(), json!({ "host_uuids": [uuid], "command": command }))
        }
        ("GET", "/commands/results" | "/mdm/commandresults" | "/mdm/apple/commandresults") => {
            Names(format!("{path}?command_uuid={command}"), nothing)
        }
        ("GET", "/commands" | "/mdm/commands" | "/mdm/apple/commands") => {
            Names(format!("{path}?host_identifier={uuid}"), nothing)
        }
        ("GET", "/commands/held") => Plain(path.into(), nothing),
        ("GET" | "PUT", "/commands/policy") => Plain(path.into(), json!({ "rules": [] })),
        ("POST" | "GET", path) if path.starts_with("/commands/{uuid}") => Names(
            path.replace("{uuid}", command),
            if path.ends_with("approve") { json!({ "hosts": 1 }) } else { json!({}) },
        ),
        ("PUT", "/v1/enqueue/{ids}") => {
            Names(format!("/v1/enqueue/{channel}"), String::from_utf8(security_info().to_xml()).unwrap().into())
        }
        ("GET" | "PUT", "/v1/push/{ids}") => Names(format!("/v1/push/{channel}"), nothing),
        ("GET" | "PUT", "/v1/pushcert") => Plain(format!("{path}?topic=x"), nothing),
        _ => return None,
    })
}

fn about_teams(method: &str, path: &str, of: &Subject) -> Option<Call> {
    let nothing = Value::Null;
    Some(match (method, path) {
        ("GET" | "POST", "/teams") => Plain(path.into(), json!({})),
        ("GET" | "PATCH", "/teams/{id:[0-9]+}") => of_team(of, "", json!({})),
        ("DELETE", "/teams/{id:[0-9]+}") => Plain(format!("/teams{NOBODY}"), nothing),
        ("PATCH", "/setup_experience" | "/mdm/apple/setup") => Names(path.into(), json!({ "team_id": of.team })),
        ("GET", "/teams/{id:[0-9]+}/secrets") => of_team(of, "/secrets", nothing),
        ("PATCH", "/teams/{id:[0-9]+}/secrets") => of_team(of, "/secrets", json!({ "secrets": [] })),
        ("GET" | "POST", "/labels") | ("GET", "/labels/summary") => Plain(path.into(), json!({})),
        ("GET", "/labels/{id:[0-9]+}") => Plain("/labels/1".into(), nothing),
        ("PATCH", "/labels/{id:[0-9]+}") => Plain(format!("/labels{NOBODY}"), json!({})),
        ("DELETE", "/labels/id/{id:[0-9]+}") => Plain(format!("/labels/id{NOBODY}"), nothing),
        ("GET", "/enrollment_profiles/manual" | "/mdm/manual_enrollment_profile" | "/spec/enroll_secret") => {
            Plain(path.into(), nothing)
        }
        ("POST", "/windows_enrollment_tokens") => {
            Names(path.into(), json!({ "host_id": of.host, "expires_at": "soon" }))
        }
        ("POST", "/spec/enroll_secret") => Plain(path.into(), json!({ "spec": { "secrets": [] } })),
        _ => return None,
    })
}

fn about_assignment(method: &str, path: &str, of: &Subject) -> Option<Call> {
    let (nothing, team) = (Value::Null, of.team);
    Some(match (method, path) {
        ("GET", "/mdm/apple/abm_public_key" | "/abm_tokens" | "/abm_tokens/count") => Plain(path.into(), nothing),
        ("POST", "/abm_tokens") => Plain(path.into(), json!({})),
        ("PATCH" | "DELETE", path) if path.starts_with("/abm_tokens/") => {
            Plain(path.replace("/{id:[0-9]+}", NOBODY), json!({}))
        }
        ("GET", "/hosts/{id:[0-9]+}/dep_assignment") => Names(format!("/hosts/{}/dep_assignment", of.host), nothing),
        ("POST", "/enrollment_profiles/automatic") => {
            let profile = json!({ "profile_name": "A" });
            Names(path.into(), json!({ "team_id": team, "name": "a.json", "enrollment_profile": profile }))
        }
        ("GET" | "DELETE", "/enrollment_profiles/automatic") => Names(format!("{path}?team_id={team}"), nothing),
        _ => return None,
    })
}

fn about_people(method: &str, path: &str, of: &Subject) -> Option<Call> {
    let Subject { user, session, team, .. } = of;
    let (nothing, of_user) = (Value::Null, |rest: &str| format!("/users/{user}{rest}"));
    Some(match (method, path) {
        ("GET", "/users") => Names(format!("/users?team_id={team}"), nothing),
        ("POST", "/users/admin") => {
            let email = format!("{}@example.com", uuid::Uuid::new_v4());
            let mut body = json!({ "name": "N", "email": email, "api_only": true });
            match of.target {
                Target::None => body["global_role"] = "observer".into(),
                _ => body["teams"] = json!([{ "id": team, "role": "observer" }]),
            }
            Names(path.into(), body)
        }
        ("GET", "/users/{id:[0-9]+}") => Names(of_user(""), nothing),
        ("PATCH", "/users/{id:[0-9]+}") => Names(of_user(""), json!({ "name": "Other" })),
        ("GET", "/users/{id:[0-9]+}/sessions") => Names(of_user("/sessions"), nothing),
        ("GET" | "POST", "/users/{id:[0-9]+}/tokens") => Names(of_user("/tokens"), json!({ "name": "" })),
        ("DELETE", "/users/{id:[0-9]+}/tokens/{token:[0-9]+}") => Names(of_user(&format!("/tokens{NOBODY}")), nothing),
        ("DELETE", "/sessions/{id:[0-9]+}") => Ends(format!("/sessions/{session}"), nothing),
        ("DELETE", "/users/{id:[0-9]+}/sessions") => Ends(of_user("/sessions"), nothing),
        ("POST", "/users/{id:[0-9]+}/require_password_reset") => {
            Ends(of_user("/require_password_reset"), json!({ "require": false }))
        }
        ("DELETE", "/users/{id:[0-9]+}") => Ends(of_user(""), nothing),
        ("GET" | "POST", "/invites") => Plain(path.into(), json!({})),
        ("DELETE", "/invites/{id:[0-9]+}") => Plain(format!("/invites{NOBODY}"), nothing),
        _ => return None,
    })
}

fn about_accounts(method: &str, path: &str, _: &Subject) -> Option<Call> {
    Some(match (method, path) {
        ("GET", "/me" | "/me/tokens") | ("POST", "/logout") => Plain(path.into(), Value::Null),
        ("POST", "/change_password") => Plain(path.into(), json!({ "old_password": "x", "new_password": "y" })),
        ("POST", "/me/tokens") => Plain(path.into(), json!({ "name": "" })),
        ("DELETE", "/me/tokens/{id:[0-9]+}") => Plain(format!("/me/tokens{NOBODY}"), Value::Null),
        _ => return None,
    })
}

/// Nothing of it is anybody's team's.
fn about_scim(method: &str, path: &str, _: &Subject) -> Option<Call> {
    let path = path.strip_prefix("/scim/")?.replace("{id}", "nobody");
    let body = if matches!(method, "GET" | "DELETE") { Value::Null } else { json!({ "Operations": [] }) };
    Some(Plain(format!("/scim/{path}"), body))
}

fn about_others(method: &str, path: &str, _: &Subject) -> Option<Call> {
    Some(match (method, path) {
        ("GET", "/activities" | "/activities/export") => Plain(path.into(), Value::Null),
        ("GET" | "PATCH", "/config") => Plain(path.into(), json!({})),
        (_, path) if path.starts_with("/webhooks") => {
            let path = path.replace("/{id:[0-9]+}", NOBODY).replace("/{delivery:[0-9]+}", NOBODY);
            Plain(path, json!({}))
        }
        _ => return None,
    })
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
    let about_no_team = ["manual", "spec/enroll_secret", "/teams/999999"].iter().any(|part| path.contains(part))
        || (permission == Permission::TeamChange && path.ends_with("/config"));
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
    let is_form = body.starts_with("--");
    let mut request = world.app.client.request(method.parse().unwrap(), url).bearer_auth(key).body(body);
    if is_form {
        request = request.header("content-type", form_type());
    }
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
    let file = mobileconfig("com.example.subject", "Subject", "x");
    let profile = upload(world, &[("team_id", &team.to_string())], ("a.mobileconfig", &file)).await;
    Subject {
        target,
        team,
        host,
        uuid: device.channel_id(DEVICE).unwrap().to_owned(),
        channel: device.channel_id(DEVICE).unwrap().to_owned(),
        command: world.run(&[device], "SecurityInfo").await.as_str().to_owned(),
        profile,
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

/// A secret in a place where secrets are kept; what is said of it where it is shown.
const CANARY: &str = "canary";

/// Plants a secret in every place that the API can fill, and looks for it in everything that every role can read.
#[actix::test]
async fn planted_secrets_are_shown_by_the_routes_that_reveal_them_and_by_no_other() {
    on_each_store(async |world| {
        let own = team(world, "Own").await;
        let admin = world.app.token.clone();
        let mut device = world.enrolled(Family::Mac, 1).await;
        let planted = subject(world, Target::Own, own, &device).await;
        plant(world, own, &mut device).await;
        let askers = askers(world, own).await;
        let mut leaks = Vec::new();
        for asker in askers.iter().map(|asker| (&asker.name, &asker.key)).chain([(&"cli".to_owned(), &admin)]) {
            for route in
                ROUTES.iter().filter(|route| matches!(route.who, Who::Admin(_)) && route.methods.contains("GET"))
            {
                let (Names(path, _) | Ends(path, _) | Plain(path, _)) = call("GET", route.path, &planted);
                if path.ends_with("/events") || path.starts_with("/v1/push/") {
                    continue; // It does not end; it shows what is said elsewhere, too.
                }
                let base = if path.starts_with("/v1/") { "" } else { "/api/v1/fleet" };
                let url = format!("{}{base}{path}", world.app.running().addresses.admin_url);
                let shown = world.app.client.get(url).bearer_auth(asker.1).send().await.unwrap().text().await.unwrap();
                let reveals = path.ends_with("/secrets") || path.contains("enroll_secret");
                if holds_canary(&shown) && !reveals {
                    leaks.push(format!("{} {path}: {shown}", asker.0));
                }
            }
        }
        assert!(leaks.is_empty(), "{}", leaks.join("\n"));

        // Who may, is shown them, and that stands in the audit log; who may not, is refused.
        let path = format!("/commands/results?command_uuid={}", command_of(world, &admin).await);
        let shown = done(world, &admin, Method::GET, &format!("{path}&reveal=true"), Value::Null).await;
        assert!(holds_canary(&shown.to_string()), "{shown}");
        let observer = askers.iter().find(|asker| asker.name == "observer-global").unwrap();
        let refused = ask(world, Some(&observer.key), Method::GET, &format!("{path}&reveal=true"), Value::Null).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.json);
        let hidden = done(world, &observer.key, Method::GET, &path, Value::Null).await;
        assert_eq!(hidden["results"][0]["result_json"]["UnlockToken"], STANDARD.encode("[hidden]"), "{hidden}");
        let noted = "SELECT count(*) AS counted FROM audit WHERE action = 'secrets.reveal'";
        assert_eq!(crate::postgres::count(&world.app.settings.database(), noted).await, 1);
    })
    .await;
}

/// Whether a text has the secret in it: as it is, or in Base64, or in Base64 within Base64.
fn holds_canary(text: &str) -> bool {
    let is_base64 = |letter: char| letter.is_ascii_alphanumeric() || "+/=".contains(letter);
    let inner = |word: &str| STANDARD.decode(word).is_ok_and(|bytes| holds_canary(&String::from_utf8_lossy(&bytes)));
    text.contains(CANARY) || text.split(|letter| !is_base64(letter)).filter(|word| word.len() >= 16).any(inner)
}

async fn plant(world: &World, team: i64, device: &mut Device) {
    let (admin, secret) = (world.app.token.clone(), "canary-canary-canary");
    let secrets = json!({ "secrets": [{ "secret": secret }] });
    done(world, &admin, Method::PATCH, &format!("/teams/{team}/secrets"), secrets).await;
    let named = json!({ "secrets": [{ "name": "CANARY", "value": secret }] });
    done(world, &admin, Method::PUT, "/spec/secret_variables", named).await;
    let file = mobileconfig("com.example.secret", "Secret", "$FLEET_SECRET_CANARY");
    upload(world, &[("team_id", &team.to_string())], ("a.mobileconfig", &file)).await;
    let hook = json!({ "name": "hook", "url": "https://127.0.0.1:1/?key=canary-canary-canary", "secret": format!("{secret}-of-a-hook") });
    done(world, &admin, Method::POST, "/webhooks", hook).await;
    let person = json!({ "name": "N", "email": "p@example.com", "password": secret, "global_role": "observer" });
    done(world, &admin, Method::POST, "/users/admin", person).await;
    device.set_bootstrap_token(Some(secret.as_bytes())).await.unwrap();
    // A command with a secret in it, and a report with another one.
    let entries = [("UnlockToken", plist::Value::Data(secret.into()))];
    let entries = entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    let command = Command::new(fresh_uuid(), "ClearPasscode", entries).unwrap();
    let body =
        json!({ "command": STANDARD.encode(command.to_xml()), "host_uuids": [device.channel_id(DEVICE).unwrap()] });
    done(world, &admin, Method::POST, "/commands/run", body).await;
    let mut next = device.poll(DEVICE).await.unwrap();
    while let Some(command) = next {
        let mut answer = Done::acknowledged();
        answer.results.insert("UnlockToken".into(), plist::Value::Data(secret.into()));
        next = device.report(DEVICE, command.uuid(), &answer).await.unwrap();
    }
}

/// The command that has the secret in it.
async fn command_of(world: &World, key: &str) -> String {
    let listed = done(world, key, Method::GET, "/commands?request_type=ClearPasscode", Value::Null).await;
    listed["results"][0]["command_uuid"].as_str().unwrap().to_owned()
}
