//! Webhooks over the wire: what is committed is told, at least once, in each host's order, signed, to whoever wants it; and
//! a receiver that misbehaves harms nobody else.

use std::io::Write;
use std::process::{Command as Process, Stdio};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use protocol::apple::command::Command;
use protocol::time::Timestamp;
use reqwest::{Method, StatusCode};
use rookery::config::Settings;
use rookery::sim::apple::device::{Answer as Done, DeviceOptions, User, UserKind};
use rookery::sim::apple::model::Family;
use serde_json::{Value, json};

use crate::app::{Answer, answer, eventually, eventually_within};
use crate::postgres::{self, Fresh};
use crate::process::{Site, until_answered};
use crate::receiver::{QUERY_TOKEN, Receiver, Reply};
use crate::world::{DEVICE, World, fresh_uuid, on_each_store_with};

const BASE: &str = "/api/v1/fleet/webhooks";
/// A secret as an admin gives it.
pub(crate) const SECRET: &str = "canary-secret-of-a-webhook";

/// Impatience makes tests quick.
fn settings(settings: &mut Settings) {
    settings.webhooks.max_refusals = 3;
}

/// Makes a webhook; returns its path.
pub(crate) async fn hook(world: &World, receiver: &Receiver, more: Value) -> String {
    let mut body = json!({ "name": format!("to {}", receiver.port()), "url": receiver.url(), "secret": SECRET });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let made = world.app.post(BASE, &body).await;
    assert_eq!(made.status, StatusCode::OK, "{}", made.json);
    format!("{BASE}/{}", made.json["webhook"]["id"])
}

async fn ask(world: &World, method: Method, path: &str) -> Answer {
    answer(world.app.admin(method, path)).await
}

/// Waits until so many events were taken.
async fn taken(receiver: &Receiver, count: usize) -> Vec<crate::receiver::Delivery> {
    eventually("events", async || Some(receiver.taken()).filter(|taken| taken.len() >= count)).await
}

/// A figure of the operators' page.
async fn figure(world: &World, name: &str) -> i64 {
    let url = format!("{}/metrics", world.app.running().addresses.ops_url);
    let page = world.app.client.get(url).send().await.unwrap().text().await.unwrap();
    let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned));
    value.unwrap().parse().unwrap()
}

/// The rows of a table.
async fn rows(world: &World, table: &str) -> i64 {
    let query = format!("SELECT count(*) AS counted FROM {table}");
    postgres::count(&world.app.settings.database(), &query).await
}

#[actix::test]
async fn everything_that_a_device_says_is_told_in_micromdms_words() {
    on_each_store_with(settings, async |world| {
        let receiver = Receiver::start();
        hook(world, &receiver, json!({ "form": "micromdm" })).await;
        let mut mac = world.enrolled(Family::Mac, 1).await;
        mac.set_bootstrap_token(Some(b"token")).await.unwrap();
        mac.bootstrap_token().await.unwrap();
        assert_eq!(mac.service_token("com.apple.maid").await.unwrap(), None);
        mac.send_status(DEVICE, true).await.unwrap();
        let uuid = world.run(&[&mac], "SecurityInfo").await;
        assert_eq!(*mac.poll(DEVICE).await.unwrap().unwrap().uuid(), uuid);
        mac.report(DEVICE, &uuid, &Done::acknowledged()).await.unwrap();
        mac.check_out(DEVICE).await.unwrap();
        let got = taken(&receiver, 9).await;
        let expected = [
            "mdm.Authenticate",
            "mdm.TokenUpdate",
            "mdm.SetBootstrapToken",
            "mdm.GetBootstrapToken",
            "mdm.GetToken",
            "mdm.DeclarativeManagement",
            "mdm.Connect",
            "mdm.Connect",
            "mdm.CheckOut",
        ];
        assert_eq!(got.iter().map(|one| one.topic()).collect::<Vec<_>>(), expected);
        let udid = &mac.model.udid;
        for one in &got {
            let mut json = one.json();
            let told = json.as_object_mut().unwrap();
            assert_eq!(told.remove("event_id").unwrap(), one.event());
            assert!(told.remove("created_at").unwrap().as_str().unwrap().ends_with('Z'));
            let topic = told.remove("topic").unwrap();
            let kind = if topic == "mdm.Connect" { "acknowledge_event" } else { "checkin_event" };
            let mut inner = told.remove(kind).unwrap();
            assert!(told.is_empty(), "{told:?}");
            let inner = inner.as_object_mut().unwrap();
            let raw = STANDARD.decode(inner.remove("raw_payload").unwrap().as_str().unwrap()).unwrap();
            let word = topic.as_str().unwrap().strip_prefix("mdm.").unwrap();
            assert!(String::from_utf8(raw).unwrap().contains(if word == "Connect" { "Status" } else { word }));
            let mut expected = json!({ "udid": udid, "ids": { "id": udid, "type": "Device" }, "url_params": {} });
            match inner.get("status").and_then(Value::as_str) {
                Some("Idle") => expected["status"] = "Idle".into(),
                Some(status) => {
                    (expected["status"], expected["command_uuid"]) = (status.into(), uuid.as_str().into());
                }
                None if word == "TokenUpdate" => expected["token_update_tally"] = 1.into(),
                None => {}
            }
            assert_eq!(Value::Object(inner.clone()), expected);
        }
        // What is told leaves nothing behind.
        eventually("rows are gone", async || (rows(world, "webhook_event").await == 0).then_some(())).await;
        assert_eq!(rows(world, "webhook_delivery").await, 0);
    })
    .await;
}

#[actix::test]
async fn renewals_users_and_the_parameters_of_an_address_are_told_too() {
    on_each_store_with(settings, async |world| {
        let receiver = Receiver::start();
        let topics = json!(["mdm.Authenticate", "mdm.TokenUpdate", "mdm.UserAuthenticate"]);
        hook(world, &receiver, json!({ "form": "micromdm", "topics": topics })).await;
        let mut mac = world.device(Family::Mac, 1, DeviceOptions::default());
        let mut profile = mac.fetch_profile(&world.enroll_url()).await.unwrap();
        profile.mdm.server_url += "?site=far+north&site=other&empty";
        mac.set_profile(profile);
        mac.obtain_identity().await.unwrap();
        mac.authenticate().await.unwrap();
        mac.update_token(DEVICE).await.unwrap();
        mac.renew_identity().await.unwrap();
        mac.authenticate().await.unwrap();
        mac.update_token(DEVICE).await.unwrap();
        let user = mac.enroll_user(UserKind::Mac, &User::new("USER", "ann", "Ann")).await.unwrap();
        mac.user_authenticate(user, None).await.unwrap();
        let got = taken(&receiver, 6).await;
        let (device, user) = (mac.model.udid.clone(), mac.channel_id(user).unwrap().to_owned());
        let told: Vec<Value> = got
            .iter()
            .map(|one| {
                let inner = &one.json()["checkin_event"];
                assert_eq!(inner["url_params"], json!({ "site": "far north", "empty": "" }));
                json!([one.topic(), inner["ids"]["id"], inner["ids"]["parent_id"], inner["token_update_tally"]])
            })
            .collect();
        let of = |topic: &str, tally: Value| json!([format!("mdm.{topic}"), device, null, tally]);
        let of_user = |topic: &str, tally: Value| json!([format!("mdm.{topic}"), user, device, tally]);
        let expected = [
            of("Authenticate", Value::Null),
            of("TokenUpdate", 1.into()),
            of("Authenticate", Value::Null),
            of("TokenUpdate", 2.into()),
            of_user("TokenUpdate", 1.into()),
            of_user("UserAuthenticate", Value::Null),
        ];
        assert_eq!(told, expected);
    })
    .await;
}

#[actix::test]
async fn who_wants_nothing_is_told_nothing_and_an_idle_poll_writes_nothing() {
    on_each_store_with(settings, async |world| {
        let mut mac = world.enrolled(Family::Mac, 1).await;
        let receiver = Receiver::start();
        let ours = hook(world, &receiver, json!({})).await;
        let off = hook(world, &receiver, json!({ "name": "off", "enabled": false, "idle": true })).await;
        eventually("the writer is at rest", async || {
            let before = figure(world, "rookery_store_pieces_total").await;
            mac.poll(DEVICE).await.unwrap();
            (figure(world, "rookery_store_pieces_total").await == before).then_some(())
        })
        .await;
        assert_eq!(rows(world, "webhook_event").await, 0, "our form does not want Idle unless it says so");
        let uuid = world.run(&[&mac], "SecurityInfo").await;
        mac.poll(DEVICE).await.unwrap().unwrap();
        mac.report(DEVICE, &uuid, &Done::not_now()).await.unwrap();
        mac.poll(DEVICE).await.unwrap().unwrap();
        mac.report(DEVICE, &uuid, &Done::error(1, "D", "x")).await.unwrap();
        let got = taken(&receiver, 3).await;
        let told: Vec<Value> = got.iter().map(|one| json!([one.topic(), one.json()["data"]["status"]])).collect();
        let (connect, ended) = ("mdm.Connect", "command.ended");
        assert_eq!(told, [json!([connect, "NotNow"]), json!([connect, "Error"]), json!([ended, "error"])]);
        assert_eq!(got[2].json()["data"]["command_uuid"], uuid.as_str());
        let changed = answer(world.app.admin(Method::PATCH, &ours).body(r#"{"topics":["mdm.CheckOut"]}"#)).await;
        assert_eq!(changed.json["webhook"]["topics"], json!(["mdm.CheckOut"]), "{}", changed.json);
        mac.set_bootstrap_token(Some(b"t")).await.unwrap();
        mac.check_out(DEVICE).await.unwrap();
        assert_eq!(taken(&receiver, 4).await[3].topic(), "mdm.CheckOut");
        assert_eq!(ask(world, Method::DELETE, &off).await.status, StatusCode::OK);
        assert_eq!(ask(world, Method::GET, &off).await.status, StatusCode::NOT_FOUND);
    })
    .await;
}

#[actix::test]
async fn each_hosts_events_keep_their_order_under_a_receiver_that_fails_at_random() {
    let hasty = |settings: &mut Settings| {
        self::settings(settings);
        settings.webhooks.max_refusals = 1000;
    };
    on_each_store_with(hasty, async |world| {
        let receiver = Receiver::start();
        hook(world, &receiver, json!({ "idle": true, "topics": ["mdm.Connect"] })).await;
        let mut macs = Vec::new();
        for number in 1..=3 {
            macs.push(world.enrolled(Family::Mac, number).await);
        }
        // Whatever its name, an event fails two times of five, sometimes because the receiver is away for a moment.
        let attempts = std::sync::atomic::AtomicUsize::new(0);
        receiver.answer(move |_| {
            let attempt = attempts.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            [200u16, 500, 200, 503, 200][(attempt * 7 + attempt / 5) % 5]
        });
        let mut said: Vec<Vec<String>> = vec![Vec::new(); 3];
        for _ in 0..4 {
            for (mac, said) in macs.iter_mut().zip(&mut said) {
                let uuid = world.run(&[mac], "SecurityInfo").await;
                mac.poll(DEVICE).await.unwrap().unwrap();
                mac.report(DEVICE, &uuid, &Done::acknowledged()).await.unwrap();
                said.extend(["Idle".to_owned(), uuid.to_string()]);
            }
        }
        // Waits double while it fails, and how long they are is left to chance.
        let all = async || Some(receiver.taken()).filter(|taken| taken.len() >= 24);
        let got = eventually_within(Duration::from_secs(180), "events", all).await;
        for (mac, said) in macs.iter().zip(&said) {
            let mine = got.iter().filter(|one| one.channel() == mac.model.udid).map(|one| one.json()["data"].clone());
            let heard: Vec<String> = mine
                .map(|data| data["command_uuid"].as_str().or(data["status"].as_str()).unwrap().to_owned())
                .collect();
            assert_eq!(heard, *said);
        }
        assert!(receiver.all().iter().any(|one| one.status != 200), "it did fail");
    })
    .await;
}

#[actix::test]
async fn a_slow_receiver_slows_neither_hosts_nor_other_webhooks() {
    on_each_store_with(settings, async |world| {
        let (slow, quick) = (Receiver::start(), Receiver::start());
        slow.answer(|_| Reply { after: Duration::from_secs(3600), ..Reply::from(200) });
        hook(world, &slow, json!({ "idle": true })).await;
        hook(world, &quick, json!({ "idle": true })).await;
        let mut mac = world.enrolled(Family::Mac, 1).await;
        for _ in 0..20 {
            mac.poll(DEVICE).await.unwrap();
        }
        let got = taken(&quick, 22).await;
        assert_eq!(got[0].topic(), "mdm.Authenticate");
        assert_eq!(slow.taken().len(), 0, "everything went on while its first request was under way");
        let waiting = ask(world, Method::GET, &format!("{BASE}/1/deliveries")).await;
        assert_eq!(waiting.json["count"], 22, "{}", waiting.json);
    })
    .await;
}

#[actix::test]
async fn a_poison_event_becomes_a_dead_letter_the_next_ones_flow_and_it_can_be_tried_again_or_dropped() {
    on_each_store_with(settings, async |world| {
        let receiver = Receiver::start();
        receiver.answer(|one| if one.topic() == "mdm.Authenticate" { 400u16 } else { 200 });
        let path = hook(world, &receiver, json!({ "topics": ["mdm.Authenticate", "mdm.TokenUpdate"] })).await;
        let first = world.enrolled(Family::Mac, 1).await;
        world.enrolled(Family::Mac, 2).await;
        taken(&receiver, 2).await;
        let list = format!("{path}/deliveries?state=dead");
        let dead = eventually("dead letters", async || {
            Some(ask(world, Method::GET, &list).await.json).filter(|dead| dead["count"] == 2)
        })
        .await;
        let letter = &dead["deliveries"][0];
        assert_eq!((&letter["topic"], &letter["attempts"]), (&json!("mdm.Authenticate"), &json!(3)));
        assert_eq!(letter["error"], "it answered with status 400");
        let page = ask(world, Method::GET, &format!("{list}&per_page=1&page=1")).await.json;
        assert_eq!(page["deliveries"][0]["id"], dead["deliveries"][1]["id"], "{page}");
        assert_eq!(page["meta"], json!({ "has_previous_results": true, "has_next_results": false }));

        receiver.answer(|_| 200u16);
        let replayed = ask(world, Method::POST, &format!("{path}/deliveries/{}/replay", letter["id"])).await;
        assert_eq!(replayed.json, json!({ "replayed": 1 }));
        let again = taken(&receiver, 3).await;
        assert_eq!((again[2].channel(), again[2].event()), (first.model.udid.clone(), text(&letter["event_id"])));
        assert_eq!(ask(world, Method::POST, &format!("{path}/deliveries/replay")).await.json, json!({ "replayed": 1 }));
        taken(&receiver, 4).await;

        receiver.answer(|_| 410u16);
        world.enrolled(Family::Mac, 3).await;
        eventually("dead letters", async || (ask(world, Method::GET, &list).await.json["count"] == 2).then_some(()))
            .await;
        let one = ask(world, Method::GET, &list).await.json["deliveries"][0]["id"].clone();
        assert_eq!(ask(world, Method::DELETE, &format!("{path}/deliveries/{one}")).await.json, json!({ "dropped": 1 }));
        let gone = ask(world, Method::DELETE, &format!("{path}/deliveries/{one}")).await;
        assert_eq!(gone.status, StatusCode::NOT_FOUND);
        assert_eq!(ask(world, Method::DELETE, &format!("{path}/deliveries")).await.json, json!({ "dropped": 1 }));
        assert_eq!((rows(world, "webhook_delivery").await, rows(world, "webhook_event").await), (0, 0));
    })
    .await;
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// What `openssl dgst` says.
pub(crate) fn openssl_hmac(secret: &str, message: &[u8]) -> Vec<u8> {
    let mut command = Process::new("openssl");
    command.args(["dgst", "-sha256", "-hmac", secret, "-binary"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("the openssl program");
    child.stdin.take().unwrap().write_all(message).unwrap();
    child.wait_with_output().unwrap().stdout
}

/// The timestamp and the signatures of a delivery, by the name of their key.
fn signatures(one: &crate::receiver::Delivery) -> (String, Vec<(String, String)>) {
    let header = &one.headers["rookery-signature"];
    let mut parts = header.split(',').map(|part| part.split_once('=').unwrap());
    let (t, at) = parts.next().unwrap();
    assert_eq!(t, "t");
    (at.to_owned(), parts.map(|(id, hex)| (id.to_owned(), hex.to_owned())).collect())
}

#[actix::test]
async fn signatures_are_what_openssl_says_also_while_keys_change() {
    on_each_store_with(settings, async |world| {
        let receiver = Receiver::start();
        let path = hook(world, &receiver, json!({ "form": "micromdm" })).await;
        let shown = ask(world, Method::GET, &path).await.json;
        let old = text(&shown["webhook"]["keys"][0]["key_id"]);
        let check = |one: &crate::receiver::Delivery, keys: &[(&str, &str)]| {
            let (at, signed) = signatures(one);
            let message = [at.as_bytes(), b".", &one.body].concat();
            let hex = |bytes: Vec<u8>| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            let expected: Vec<(String, String)> =
                keys.iter().map(|(id, secret)| ((*id).to_owned(), hex(openssl_hmac(secret, &message)))).collect();
            assert_eq!(signed, expected);
            let nano = STANDARD.encode(openssl_hmac(keys[0].1, &one.body));
            assert_eq!(one.headers["x-hmac-signature"], nano);
        };
        let mut mac = world.enrolled(Family::Mac, 1).await;
        check(&taken(&receiver, 2).await[1], &[(&old, SECRET)]);
        let added = answer(world.app.admin(Method::POST, &format!("{path}/secret"))).await.json;
        let (new, secret) = (text(&added["key_id"]), text(&added["secret"]));
        assert_eq!(secret.len(), 64);
        let third = ask(world, Method::POST, &format!("{path}/secret")).await;
        assert_eq!(third.status, StatusCode::CONFLICT);
        mac.set_bootstrap_token(Some(b"1")).await.unwrap();
        check(&taken(&receiver, 3).await[2], &[(&old, SECRET), (&new, &secret)]);
        let retired = ask(world, Method::DELETE, &format!("{path}/secret")).await;
        assert_eq!(retired.json, json!({ "retired_key_id": old }));
        assert_eq!(ask(world, Method::DELETE, &format!("{path}/secret")).await.status, StatusCode::CONFLICT);
        mac.set_bootstrap_token(Some(b"2")).await.unwrap();
        check(&taken(&receiver, 4).await[3], &[(&new, &secret)]);
        let tried = ask(world, Method::POST, &format!("{path}/test")).await;
        assert_eq!(tried.json, json!({ "delivered": true, "status": 200 }));
        let test = taken(&receiver, 5).await[4].clone();
        assert_eq!(test.json()["topic"], "webhook.test");
        check(&test, &[(&new, &secret)]);
    })
    .await;
}

#[actix::test]
async fn a_receiver_that_is_away_costs_few_lines_of_memory_and_a_restart_loses_nothing() {
    on_each_store_with(settings, async |world| {
        let receiver = Receiver::start();
        let (port, path) = (receiver.port(), hook(world, &receiver, json!({ "idle": true })).await);
        drop(receiver);
        let mut mac = world.enrolled(Family::Mac, 1).await;
        for _ in 0..30 {
            mac.poll(DEVICE).await.unwrap();
        }
        let waiting = ask(world, Method::GET, &format!("{path}/deliveries")).await.json;
        assert_eq!(waiting["count"], 32, "{waiting}");
        let tried = ask(world, Method::POST, &format!("{path}/test")).await.json;
        assert_eq!(tried, json!({ "delivered": false, "reason": "no connection, or it broke" }));
        world.app.restart();
        let receiver = Receiver::at(port);
        let got = taken(&receiver, 32).await;
        let topics: Vec<String> = got.iter().map(|one| one.topic()).collect();
        assert_eq!(topics[..3], ["mdm.Authenticate", "mdm.TokenUpdate", "mdm.Connect"]);
        eventually("the figures say so", async || {
            let delivered = figure(world, "rookery_webhook_delivered_total").await;
            (delivered >= 32 && figure(world, "rookery_webhook_pending").await == 0).then_some(())
        })
        .await;
    })
    .await;
}

#[actix::test]
async fn a_receiver_rests_as_long_as_it_asks_and_events_die_of_age() {
    let aging = |settings: &mut Settings| {
        self::settings(settings);
        settings.webhooks.max_age = rookery::config::Span(Duration::from_secs(7200));
    };
    on_each_store_with(aging, async |world| {
        let receiver = Receiver::start();
        receiver.answer(|_| Reply { rest: Some(1800), ..Reply::from(503) });
        let path = hook(world, &receiver, json!({ "topics": ["mdm.SetBootstrapToken"] })).await;
        let mut mac = world.enrolled(Family::Mac, 1).await;
        mac.set_bootstrap_token(Some(b"1")).await.unwrap();
        let tried = async || {
            let list = ask(world, Method::GET, &format!("{path}/deliveries")).await.json;
            Some(list["deliveries"][0].clone()).filter(|first| first["attempts"].as_i64() > Some(0))
        };
        let first = eventually("an attempt", tried).await;
        let moment = |key: &str| Timestamp::parse_rfc3339(first[key].as_str().unwrap()).unwrap();
        let rest = moment("next_attempt_at").since(moment("created_at"));
        assert!(rest >= Duration::from_secs(1800) && rest < Duration::from_secs(3600), "{first}");
        assert_eq!(first["error"], "it answered with status 503");
        receiver.answer(|_| 200u16);
        world.app.running().parts.clock.advance(Duration::from_secs(1860));
        taken(&receiver, 1).await;
        assert_eq!(receiver.all().len(), 2, "nothing was sent in between");

        receiver.answer(|_| 503u16);
        mac.set_bootstrap_token(Some(b"2")).await.unwrap();
        eventually("an attempt", tried).await;
        world.app.running().parts.clock.advance(Duration::from_secs(7200));
        let dead = format!("{path}/deliveries?state=dead");
        eventually("its death", async || (ask(world, Method::GET, &dead).await.json["count"] == 1).then_some(())).await;
        assert_eq!(ask(world, Method::DELETE, &path).await.status, StatusCode::OK);
        assert_eq!((rows(world, "webhook_delivery").await, rows(world, "webhook_event").await), (0, 0));
        assert_eq!(rows(world, "webhook_key").await, 0);
    })
    .await;
}

#[actix::test]
async fn addresses_that_may_not_be_reached_are_refused_and_answers_hold_no_secret() {
    on_each_store_with(settings, async |world| {
        let refuse = async |url: &str, word: &str| {
            let body = json!({ "name": "inside", "url": url });
            let refused = world.app.post(BASE, &body).await;
            assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{url}: {}", refused.json);
            assert!(refused.json.to_string().contains(word), "{url}: {}", refused.json);
        };
        refuse("https://10.0.0.1/", "egress.allow").await;
        refuse("https://[::1]/", "egress.allow").await;
        refuse("http://93.184.216.34/", "use https://").await;
        refuse("https://user:password@93.184.216.34/", "user or password").await;
        refuse("ftp://93.184.216.34/", "https://").await;
        let receiver = Receiver::start();
        receiver.answer(|_| 500u16);
        let path = hook(world, &receiver, json!({ "form": "micromdm" })).await;
        let taken =
            world.app.post(BASE, &json!({ "name": format!("to {}", receiver.port()), "url": receiver.url() })).await;
        assert_eq!(taken.status, StatusCode::CONFLICT, "{}", taken.json);
        let short = world.app.post(BASE, &json!({ "name": "x", "url": receiver.url(), "secret": "short" })).await;
        assert_eq!(short.status, StatusCode::BAD_REQUEST, "{}", short.json);
        world.enrolled(Family::Mac, 1).await;
        eventually("a failure", async || (figure(world, "rookery_webhook_failed_total").await > 0).then_some(())).await;
        let mut all = ask(world, Method::POST, &format!("{path}/test")).await.json.to_string();
        for list in
            [BASE.to_owned(), path.clone(), format!("{path}/deliveries"), format!("{path}/deliveries?state=dead")]
        {
            all += &ask(world, Method::GET, &list).await.json.to_string();
        }
        for secret in [SECRET, QUERY_TOKEN, "canary-word-of-the-receiver"] {
            assert!(!all.contains(secret), "{secret} in {all}");
        }
        assert!(all.contains("status\":500") && all.contains("?…"), "{all}");
    })
    .await;
}

#[actix::test]
async fn what_is_committed_is_told_after_kill_9_and_what_is_refused_is_not() {
    outlive_kills("").await;
    match Fresh::make().await {
        Some(fresh) => {
            outlive_kills(&fresh.url()).await;
            fresh.drop().await;
        }
        None => println!("left out: PostgreSQL (ROOKERY_TEST_POSTGRES is not set)"),
    }
}

async fn outlive_kills(database_url: &str) {
    let site = Site::new(database_url, "off");
    let mut server = site.start(None);
    server.prepare().await;
    let receiver = Receiver::start();
    receiver.answer(|_| 503u16);
    let body = json!({ "name": "all", "url": receiver.url(), "topics": ["mdm.Connect"], "secret": SECRET }).to_string();
    server.ask(Method::POST, BASE, body).await;
    let mut mac = server.enrolled(1).await;
    let mut reported = Vec::new();
    for _ in 0..4 {
        let uuid = fresh_uuid();
        let command = openssl::base64::encode_block(
            &Command::new(uuid.clone(), "SecurityInfo", Default::default()).unwrap().to_xml(),
        );
        let body = json!({ "command": command, "host_uuids": [mac.model.udid] }).to_string();
        server.ask(Method::POST, "/api/v1/fleet/commands/run", body).await;
        until_answered(&mut mac, async |mac| mac.poll(DEVICE).await).await.unwrap();
        let report = async |mac: &mut rookery::sim::apple::device::Device| {
            mac.report(DEVICE, &uuid, &Done::acknowledged()).await
        };
        until_answered(&mut mac, report).await;
        server = server.kill_and_start(); // the report is committed, and nobody was told
        reported.push(uuid.to_string());
    }
    // Another device's certificate does not speak for this one: refused, and nobody is told.
    let mut other = server.enrolled(2).await;
    let body = format!(
        "<plist version=\"1.0\"><dict><key>UDID</key><string>{}</string><key>Status</key><string>Acknowledged</string>\
         <key>CommandUUID</key><string>forged</string></dict></plist>",
        mac.model.udid
    );
    let refused = other.send(rookery::sim::apple::device::Destination::Command, body).await.unwrap();
    assert_eq!(refused.status, 400);
    receiver.answer(|_| 200u16);
    let got = taken(&receiver, 4).await;
    let told: Vec<String> = got.iter().map(|one| text(&one.json()["data"]["command_uuid"])).collect();
    assert_eq!(told, reported);
    server = server.kill_and_start();
    eventually("nothing waits", async || {
        let shown = server.ask(Method::GET, &format!("{BASE}/1"), String::new()).await;
        (shown["webhook"]["pending"] == 0).then_some(())
    })
    .await;
    assert!(receiver.all().iter().all(|one| !String::from_utf8_lossy(&one.body).contains("forged")));
    server.kill();
    std::fs::remove_dir_all(&site.data).unwrap();
}
