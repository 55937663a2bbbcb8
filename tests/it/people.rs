//! Who may use the API: users, sessions, passwords, invitations by mail, tokens with scopes, and what a role reaches.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use protocol::apple::command::Command;
use reqwest::{Method, StatusCode};
use rookery::sim::apple::device::Device;
use rookery::sim::apple::model::Family;
use serde_json::{Value, json};

use crate::app::{Answer, answer};
use crate::postbox::Postbox;
use crate::world::{DEVICE, World, fresh_uuid, on_each_store, on_each_store_with};

const BASE: &str = "/api/v1/fleet";
const PASSWORD: &str = "a long enough passphrase";
const OTHER: &str = "another long passphrase";

/// Asks with a key; none for nobody's.
pub(crate) async fn ask(world: &World, key: Option<&str>, method: Method, path: &str, body: Value) -> Answer {
    let url = format!("{}{BASE}{path}", world.app.running().addresses.admin_url);
    let mut request = world.app.client.request(method, url).body(body.to_string());
    if let Some(key) = key {
        request = request.bearer_auth(key);
    }
    answer(request).await
}

/// The same, and it must succeed.
pub(crate) async fn done(world: &World, key: &str, method: Method, path: &str, body: Value) -> Value {
    let answer = ask(world, Some(key), method.clone(), path, body).await;
    assert!(answer.status.is_success(), "{method} {path}: {} {}", answer.status, answer.json);
    answer.json
}

pub(crate) async fn team(world: &World, name: &str) -> i64 {
    let made = done(world, &world.app.token, Method::POST, "/teams", json!({ "name": name })).await;
    made["team"]["id"].as_i64().unwrap()
}

/// A program's token: with a global role, or with one in a team.
pub(crate) async fn program(world: &World, name: &str, role: &str, of_team: Option<i64>) -> String {
    let mut body = json!({ "name": name, "email": format!("{name}@example.com"), "api_only": true });
    match of_team {
        None => body["global_role"] = role.into(),
        Some(id) => body["teams"] = json!([{ "id": id, "role": role }]),
    }
    let made = done(world, &world.app.token, Method::POST, "/users/admin", body).await;
    made["token"].as_str().unwrap().to_owned()
}

async fn person(world: &World, email: &str, role: &str) -> i64 {
    let body = json!({
        "name": email, "email": email, "password": PASSWORD, "global_role": role, "admin_forced_password_reset": false,
    });
    let made = done(world, &world.app.token, Method::POST, "/users/admin", body).await;
    made["user"]["id"].as_i64().unwrap()
}

async fn login(world: &World, email: &str, password: &str) -> Answer {
    ask(world, None, Method::POST, "/login", json!({ "email": email, "password": password })).await
}

async fn session(world: &World, email: &str, password: &str) -> String {
    let answer = login(world, email, password).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.json);
    answer.json["token"].as_str().unwrap().to_owned()
}

async fn me(world: &World, key: &str) -> StatusCode {
    ask(world, Some(key), Method::GET, "/me", Value::Null).await.status
}

#[actix::test]
async fn people_sign_in_and_out_and_nobody_learns_why_it_failed() {
    on_each_store(async |world| {
        person(world, "Ada@Example.com", "maintainer").await;
        let key = session(world, "ada@example.COM", PASSWORD).await;
        let seen = done(world, &key, Method::GET, "/me", Value::Null).await;
        assert_eq!(seen["user"]["email"], "ada@example.com");
        assert_eq!(seen["user"]["global_role"], "maintainer");
        assert!(!seen.to_string().contains("argon2"), "{seen}");

        let wrong = login(world, "ada@example.com", "wrong").await;
        let unknown = login(world, "nobody@example.com", PASSWORD).await;
        assert_eq!((wrong.status, unknown.status), (StatusCode::UNAUTHORIZED, StatusCode::UNAUTHORIZED));
        assert_eq!(wrong.json["errors"], unknown.json["errors"]);
        program(world, "robot", "admin", None).await;
        assert_eq!(login(world, "robot@example.com", "").await.status, StatusCode::UNAUTHORIZED);

        let other = session(world, "ada@example.com", PASSWORD).await;
        assert_ne!(key, other, "each session has a key of its own");
        done(world, &key, Method::POST, "/logout", json!({})).await;
        assert_eq!((me(world, &key).await, me(world, &other).await), (StatusCode::UNAUTHORIZED, StatusCode::OK));
    })
    .await;
}

#[actix::test]
async fn whoever_changes_what_somebody_may_do_ends_their_sessions() {
    on_each_store(async |world| {
        let admin = world.app.token.clone();
        let id = person(world, "ada@example.com", "maintainer").await;
        let path = format!("/users/{id}");
        let key = session(world, "ada@example.com", PASSWORD).await;
        let made = done(world, &key, Method::POST, "/me/tokens", json!({ "name": "script" })).await;
        let token = made["token"]["token"].as_str().unwrap().to_owned();

        done(world, &admin, Method::PATCH, &path, json!({ "name": "Ada Lovelace" })).await;
        assert_eq!(me(world, &key).await, StatusCode::OK, "a name is no power");
        done(world, &admin, Method::PATCH, &path, json!({ "global_role": "observer" })).await;
        assert_eq!(me(world, &key).await, StatusCode::UNAUTHORIZED);
        let refused = ask(world, Some(&token), Method::POST, "/labels", json!({ "name": "x" })).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "a token does what its user may do now: {}", refused.json);

        let key = session(world, "ada@example.com", PASSWORD).await;
        let change = json!({ "old_password": "wrong", "new_password": OTHER });
        let wrong = ask(world, Some(&key), Method::POST, "/change_password", change).await;
        assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
        done(world, &key, Method::POST, "/change_password", json!({ "old_password": PASSWORD, "new_password": OTHER }))
            .await;
        assert_eq!(me(world, &key).await, StatusCode::UNAUTHORIZED);
        assert_eq!(login(world, "ada@example.com", PASSWORD).await.status, StatusCode::UNAUTHORIZED);

        let key = session(world, "ada@example.com", OTHER).await;
        done(world, &admin, Method::POST, &format!("{path}/require_password_reset"), json!({ "require": true })).await;
        assert_eq!(me(world, &key).await, StatusCode::UNAUTHORIZED);
        let key = session(world, "ada@example.com", OTHER).await;
        let hosts = ask(world, Some(&key), Method::GET, "/hosts", Value::Null).await;
        assert_eq!(hosts.status, StatusCode::FORBIDDEN, "first a new password");
        done(world, &key, Method::POST, "/change_password", json!({ "old_password": OTHER, "new_password": PASSWORD }))
            .await;

        let key = session(world, "ada@example.com", PASSWORD).await;
        done(world, &admin, Method::PATCH, &path, json!({ "disabled": true })).await;
        for key in [&key, &token] {
            assert_eq!(me(world, key).await, StatusCode::UNAUTHORIZED);
        }
        assert_eq!(login(world, "ada@example.com", PASSWORD).await.status, StatusCode::UNAUTHORIZED);
        done(world, &admin, Method::DELETE, &path, Value::Null).await;
        assert_eq!(ask(world, Some(&admin), Method::GET, &path, Value::Null).await.status, StatusCode::NOT_FOUND);
    })
    .await;
}

#[actix::test]
async fn the_last_global_admin_stays() {
    on_each_store(async |world| {
        let admin = world.app.token.clone();
        let ada = person(world, "ada@example.com", "admin").await;
        let only = ask(world, Some(&admin), Method::DELETE, &format!("/users/{ada}"), Value::Null).await;
        assert_eq!(only.status, StatusCode::CONFLICT, "{}", only.json);
        let path = format!("/users/{ada}");
        for change in [json!({ "disabled": true }), json!({ "global_role": "observer" })] {
            let refused = ask(world, Some(&admin), Method::PATCH, &path, change).await;
            assert_eq!(refused.status, StatusCode::CONFLICT, "{}", refused.json);
        }
        let unchanged = done(world, &admin, Method::GET, &path, Value::Null).await;
        assert_eq!(
            (&unchanged["user"]["global_role"], &unchanged["user"]["disabled"]),
            (&json!("admin"), &json!(false))
        );
        person(world, "grace@example.com", "admin").await;
        done(world, &admin, Method::DELETE, &path, Value::Null).await;
    })
    .await;
}

#[actix::test]
async fn guessing_passwords_becomes_slow() {
    on_each_store(async |world| {
        person(world, "ada@example.com", "admin").await;
        let mut statuses = Vec::new();
        for n in 0..12 {
            let url = format!("{}{BASE}/login", world.app.running().addresses.admin_url);
            let body = json!({ "email": "ada@example.com", "password": format!("guess {n}") }).to_string();
            // Whatever a client says of itself, it is the same client.
            let request = world.app.client.post(url).header("x-forwarded-for", format!("198.51.100.{n}")).body(body);
            statuses.push(answer(request).await.status);
        }
        assert_eq!(statuses.iter().filter(|status| **status == StatusCode::UNAUTHORIZED).count(), 10, "{statuses:?}");
        assert_eq!(statuses[11], StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(login(world, "ada@example.com", PASSWORD).await.status, StatusCode::TOO_MANY_REQUESTS);
    })
    .await;
}

#[actix::test]
async fn tokens_do_no_more_than_their_scopes_and_end_when_they_should() {
    on_each_store(async |world| {
        person(world, "ada@example.com", "admin").await;
        let key = session(world, "ada@example.com", PASSWORD).await;
        let until = world.now().plus(std::time::Duration::from_secs(3600)).to_rfc3339();
        let wish = json!({ "name": "report", "scopes": ["hosts_read", "own_account"], "expires_at": until });
        let made = done(world, &key, Method::POST, "/me/tokens", wish).await;
        let token = made["token"]["token"].as_str().unwrap().to_owned();
        done(world, &token, Method::GET, "/hosts", Value::Null).await;
        for (method, path) in [(Method::GET, "/users"), (Method::GET, "/commands"), (Method::POST, "/teams")] {
            let refused = ask(world, Some(&token), method, path, json!({ "name": "x" })).await;
            assert_eq!(refused.status, StatusCode::FORBIDDEN, "{path}: {}", refused.json);
        }
        let wider = json!({ "name": "wider", "scopes": ["users_write"] });
        let refused = ask(world, Some(&token), Method::POST, "/me/tokens", wider).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "a token makes none that may do more: {}", refused.json);
        let same = done(world, &token, Method::POST, "/me/tokens", json!({ "name": "the same" })).await;
        assert_eq!(same["token"]["scopes"], json!(["hosts_read", "own_account"]));

        let listed = done(world, &key, Method::GET, "/me/tokens", Value::Null).await;
        assert!(!listed.to_string().contains("rookery_"), "a token is shown once: {listed}");
        world.app.running().advance_clock(std::time::Duration::from_secs(3601));
        let over = ask(world, Some(&token), Method::GET, "/hosts", Value::Null).await;
        // What was remembered a moment ago is asked anew after a second.
        assert!([StatusCode::OK, StatusCode::UNAUTHORIZED].contains(&over.status));
        crate::app::eventually("the token has ended", async || {
            (me(world, &token).await == StatusCode::UNAUTHORIZED).then_some(())
        })
        .await;
        let id = same["token"]["id"].as_i64().unwrap();
        done(world, &key, Method::DELETE, &format!("/me/tokens/{id}"), Value::Null).await;
        let again = ask(world, Some(&key), Method::DELETE, &format!("/me/tokens/{id}"), Value::Null).await;
        assert_eq!(again.status, StatusCode::NOT_FOUND);
    })
    .await;
}

#[actix::test]
async fn an_admin_of_a_team_looks_after_its_people_alone() {
    on_each_store(async |world| {
        let (own, other) = (team(world, "Own").await, team(world, "Other").await);
        let key = program(world, "boss", "admin", Some(own)).await;
        let body = |email: &str, roles: Value| {
            let mut body = json!({ "name": "N", "email": email, "api_only": true });
            body.as_object_mut().unwrap().extend(roles.as_object().unwrap().clone());
            body
        };
        let within = body("in@example.com", json!({ "teams": [{ "id": own, "role": "observer" }] }));
        let made = done(world, &key, Method::POST, "/users/admin", within).await;
        let id = made["user"]["id"].as_i64().unwrap();
        for beyond in [
            json!({ "global_role": "observer" }),
            json!({ "teams": [{ "id": other, "role": "observer" }] }),
            json!({ "teams": [{ "id": own, "role": "observer" }, { "id": other, "role": "observer" }] }),
        ] {
            let refused =
                ask(world, Some(&key), Method::POST, "/users/admin", body("out@example.com", beyond.clone())).await;
            assert_eq!(refused.status, StatusCode::FORBIDDEN, "{beyond}: {}", refused.json);
            let refused = ask(world, Some(&key), Method::PATCH, &format!("/users/{id}"), beyond.clone()).await;
            assert_eq!(refused.status, StatusCode::FORBIDDEN, "{beyond}: {}", refused.json);
        }
        let own_id = user_id(world, "boss@example.com").await;
        let promoted =
            ask(world, Some(&key), Method::PATCH, &format!("/users/{own_id}"), json!({ "global_role": "admin" })).await;
        assert_eq!(promoted.status, StatusCode::FORBIDDEN, "nobody promotes themselves");

        let both = program(world, "both", "observer", Some(other)).await;
        let both_id = user_id(world, "both@example.com").await;
        for path in
            [format!("/users/{both_id}"), format!("/users/{both_id}/sessions"), format!("/users/{both_id}/tokens")]
        {
            let refused = ask(world, Some(&key), Method::GET, &path, Value::Null).await;
            assert_eq!(refused.status, StatusCode::FORBIDDEN, "{path}");
        }
        let listed = done(world, &key, Method::GET, "/users", Value::Null).await;
        let emails: Vec<&str> =
            listed["users"].as_array().unwrap().iter().map(|u| u["email"].as_str().unwrap()).collect();
        assert_eq!(emails, ["boss@example.com", "in@example.com"]);
        done(world, &world.app.token, Method::DELETE, &format!("/teams/{other}"), Value::Null).await;
        let nothing = ask(world, Some(&both), Method::GET, "/labels", Value::Null).await;
        assert_eq!(nothing.status, StatusCode::FORBIDDEN, "with the team the role is gone");
    })
    .await;
}

async fn user_id(world: &World, email: &str) -> i64 {
    let found = done(world, &world.app.token, Method::GET, &format!("/users?query={email}"), Value::Null).await;
    found["users"][0]["id"].as_i64().unwrap()
}

fn erase(device: &Device) -> Value {
    let command = Command::new(fresh_uuid(), "RestartDevice", Default::default()).unwrap();
    json!({ "command": STANDARD.encode(command.to_xml()), "host_uuids": [device.channel_id(DEVICE).unwrap()] })
}

#[actix::test]
async fn a_policy_says_which_roles_may_send_which_commands() {
    on_each_store(async |world| {
        let device = world.enrolled(Family::Mac, 1).await;
        let (maintainer, admin) =
            (program(world, "m", "maintainer", None).await, program(world, "a", "admin", None).await);
        done(world, &maintainer, Method::POST, "/commands/run", erase(&device)).await;
        let rules = json!({ "rules": [{ "request_type": "RestartDevice", "roles": ["admin"] }] });
        let refused = ask(world, Some(&maintainer), Method::PUT, "/commands/policy", rules.clone()).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN);
        assert_eq!(done(world, &admin, Method::PUT, "/commands/policy", rules.clone()).await, rules);

        let refused = ask(world, Some(&maintainer), Method::POST, "/commands/run", erase(&device)).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.json);
        let id = device.channel_id(DEVICE).unwrap();
        let command = Command::new(fresh_uuid(), "RestartDevice", Default::default()).unwrap();
        let url = format!("{}/v1/enqueue/{id}", world.app.running().addresses.admin_url);
        let nano = world.app.client.put(url).basic_auth("nanomdm", Some(&maintainer)).body(command.to_xml());
        assert_eq!(answer(nano).await.status, StatusCode::FORBIDDEN, "another door, the same policy");
        done(world, &admin, Method::POST, "/commands/run", erase(&device)).await;
        assert_eq!(
            done(world, &admin, Method::PUT, "/commands/policy", json!({ "rules": [] })).await["rules"],
            json!([])
        );
        done(world, &maintainer, Method::POST, "/commands/run", erase(&device)).await;
    })
    .await;
}

/// The key in a letter's link.
fn key_in(letter: &Value) -> String {
    let text = letter["text"].as_str().unwrap().replace("=\r\n", "").replace("=\n", "");
    let start = text.find("/login/").unwrap();
    let key = text[start..].split_whitespace().next().unwrap().rsplit('/').next().unwrap();
    key.to_owned()
}

#[actix::test]
async fn people_are_invited_by_mail_and_choose_new_passwords_by_mail() {
    let Some(postbox) = Postbox::open() else {
        println!("left out: mail (ROOKERY_TEST_PYTHON is not set)");
        return;
    };
    on_each_store_with(|settings| postbox.set(settings), async |world| {
        let admin = world.app.token.clone();
        let invite = json!({ "email": "busy@example.com", "name": "Grace", "global_role": "observer" });
        let made = done(world, &admin, Method::POST, "/invites", invite.clone()).await;
        assert!(!made.to_string().contains("rookery_invite_"), "the key is in the letter alone: {made}");
        // On the first of both stores the mail server says 450 once; then its clock is put forward.
        world.app.running().advance_clock(std::time::Duration::from_secs(20));
        let letter = postbox.letter();
        assert_eq!((&letter["to"], &letter["tls"]), (&json!(["busy@example.com"]), &json!(true)), "{letter}");
        let old = key_in(&letter);
        done(world, &admin, Method::POST, "/invites", invite).await;
        let key = key_in(&postbox.letter());
        assert_eq!(ask(world, None, Method::GET, &format!("/invites/{old}"), Value::Null).await.status, StatusCode::NOT_FOUND);
        let seen = ask(world, None, Method::GET, &format!("/invites/{key}"), Value::Null).await;
        assert_eq!(seen.json["invite"]["email"], "busy@example.com");

        let accept = |email: &str, password: &str| {
            json!({
                "email": email, "name": "Grace Hopper", "invite_token": key, "password": password,
                "password_confirmation": password, "global_role": "admin",
            })
        };
        let other = ask(world, None, Method::POST, "/users", accept("eve@example.com", PASSWORD)).await;
        assert_eq!(other.status, StatusCode::BAD_REQUEST, "it is for one address: {}", other.json);
        let weak = ask(world, None, Method::POST, "/users", accept("busy@example.com", "short")).await;
        assert_eq!(weak.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", weak.json);
        let taken = ask(world, None, Method::POST, "/users", accept("busy@example.com", PASSWORD)).await;
        assert_eq!(taken.json["user"]["global_role"], "observer", "and for its roles: {}", taken.json);
        let twice = ask(world, None, Method::POST, "/users", accept("busy@example.com", PASSWORD)).await;
        assert_eq!(twice.status, StatusCode::BAD_REQUEST, "and works once: {}", twice.json);

        let session = session(world, "busy@example.com", PASSWORD).await;
        for email in ["busy@example.com", "nobody@example.com"] {
            let asked = ask(world, None, Method::POST, "/forgot_password", json!({ "email": email })).await;
            assert_eq!(asked.status, StatusCode::OK, "{email}: {}", asked.json);
        }
        let first = key_in(&postbox.letter());
        ask(world, None, Method::POST, "/forgot_password", json!({ "email": "busy@example.com" })).await;
        let second = key_in(&postbox.letter());
        let choose = |key: &str| {
            json!({ "password_reset_token": key, "new_password": OTHER, "new_password_confirmation": OTHER })
        };
        let old = ask(world, None, Method::POST, "/reset_password", choose(&first)).await;
        assert_eq!(old.status, StatusCode::BAD_REQUEST, "a newer letter ends an older one: {}", old.json);
        let page = format!("{}/login/reset/{second}", world.app.running().addresses.admin_url);
        let form = world.app.client.post(&page).header("content-type", "application/x-www-form-urlencoded");
        let chosen = form.body("password=another+long+passphrase&again=another+long+passphrase").send().await.unwrap();
        assert_eq!(chosen.status(), StatusCode::OK);
        assert!(chosen.headers()["content-security-policy"].to_str().unwrap().starts_with("default-src 'none'"));
        assert_eq!(me(world, &session).await, StatusCode::UNAUTHORIZED);
        let again = ask(world, None, Method::POST, "/reset_password", choose(&second)).await;
        assert_eq!(again.status, StatusCode::BAD_REQUEST);
        assert_eq!(login(world, "busy@example.com", OTHER).await.status, StatusCode::OK);
    })
    .await;
}
