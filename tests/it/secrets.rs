//! What a stolen database gives: nothing that was entrusted to it. And what a database that was tampered with does: it
//! refuses that one value, is loud about it, and never un-enrolls a device.

use std::path::Path;
use std::process::Command as Process;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use openssl::hash::{MessageDigest, hash};
use protocol::ids::CommandUuid;
use reqwest::{Method, StatusCode};
use rookery::serve;
use rookery::sim::apple::device::{Answer as Done, Device};
use rookery::sim::apple::model::Family;
use serde_json::json;

use crate::postgres::{count, execute};
use crate::receiver::{QUERY_TOKEN, Receiver};
use crate::restored::back_up;
use crate::webhooks;
use crate::windows_client::{self, DEVICE_ID, ENROLL, admin_token, issue};
use crate::world::{DEVICE, SECRET, TOPIC, World, fresh_uuid, on_each_store, on_each_store_with, push_certificate_pem};

const IN_COMMAND: &str = "canary-in-a-command";
const IN_RESULT: &str = "canary-in-a-result";
const IN_ORPHAN: &str = "canary-in-an-orphan";
const BOOTSTRAP: &[u8] = b"canary-bootstrap-token";

/// Every secret that a test planted, as bytes that must be found nowhere.
struct Planted(Vec<(&'static str, Vec<u8>)>);

#[actix::test]
async fn a_stolen_database_holds_no_secret() {
    on_each_store(async |world| {
        let (planted, known) = plant(world).await;
        let settings = &world.app.settings;
        let mut places = vec![];
        if settings.database_url.is_empty() {
            let copy = std::fs::read(back_up(settings)).unwrap();
            assert!(holds(&copy, known.as_bytes()), "the backup is there, and can be searched");
        }
        for file in files(&settings.data_dir) {
            places.push((file.display().to_string(), std::fs::read(&file).unwrap()));
        }
        if !settings.database_url.is_empty() {
            let dump = Process::new("pg_dump").arg(&settings.database_url).output().expect("pg_dump");
            assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
            places.push(("pg_dump".into(), dump.stdout));
        }
        let is_there = places.iter().any(|(_, bytes)| holds(bytes, known.as_bytes()));
        assert!(is_there, "the search finds what is no secret: {known}");
        for (place, bytes) in &places {
            planted.assert_absent(place, bytes);
        }
    })
    .await;
}

#[actix::test]
async fn lists_and_figures_hold_no_secret() {
    on_each_store(async |world| {
        let (planted, known) = plant(world).await;
        let lists = ["commands", "hosts", "hosts/1", "hosts/1/orphan_results", "hosts/1/actor"];
        let events = ["webhooks", "webhooks/1", "webhooks/1/deliveries", "webhooks/1/deliveries?state=dead"];
        let mut all = String::new();
        for list in lists.into_iter().chain(events) {
            let answer = world.app.get(&format!("/api/v1/fleet/{list}")).await;
            assert_eq!(answer.status, StatusCode::OK, "{list}");
            all += &answer.json.to_string();
        }
        for page in ["metrics", "tree", "readyz"] {
            let url = format!("{}/{page}", world.app.running().addresses.ops_url);
            all += &world.app.client.get(url).send().await.unwrap().text().await.unwrap();
        }
        assert!(all.contains(&known), "the search finds what is no secret");
        planted.assert_absent("lists and figures", all.as_bytes());
    })
    .await;
}

#[actix::test]
async fn what_was_sealed_is_read_again_by_those_who_may() {
    on_each_store_with(
        |_| {},
        async |world: &mut World| {
            let mut mac = world.enrolled(Family::Mac, 1).await;
            mac.set_bootstrap_token(Some(BOOTSTRAP)).await.unwrap();
            let uuid = command_with_a_secret(world, &mac).await;
            world.app.restart(); // memory forgets the text; the row must give it back
            mac.wire_mut().disconnect();
            let handed_out = mac.poll(DEVICE).await.unwrap().unwrap();
            assert!(String::from_utf8(handed_out.to_xml()).unwrap().contains(IN_COMMAND));
            mac.report(DEVICE, &uuid, &Done::acknowledged().with("Key", IN_RESULT)).await.unwrap();
            assert_eq!(mac.bootstrap_token().await.unwrap().as_deref(), Some(BOOTSTRAP));
            let shown = &world.results(&uuid).await[0];
            let decode = |key: &str| String::from_utf8(STANDARD.decode(shown[key].as_str().unwrap()).unwrap()).unwrap();
            assert!(decode("payload").contains(IN_COMMAND) && decode("result").contains(IN_RESULT));
            let secrets = world.app.get("/api/v1/fleet/spec/enroll_secret").await;
            assert_eq!(secrets.json["spec"]["secrets"][0]["secret"], SECRET);
        },
    )
    .await;
}

#[actix::test]
async fn a_secret_that_was_copied_to_another_host_does_not_open() {
    on_each_store(async |world| {
        let (mut one, mut two) = (world.enrolled(Family::Mac, 1).await, world.enrolled(Family::Mac, 2).await);
        one.set_bootstrap_token(Some(b"token of one")).await.unwrap();
        two.set_bootstrap_token(Some(b"token of two")).await.unwrap();
        let taken =
            "UPDATE enrollment_secret SET value = (SELECT value FROM enrollment_secret WHERE id = 1) WHERE id = 2";
        execute(&world.app.settings.database(), taken).await;
        let refused = two.bootstrap_token().await.unwrap_err();
        assert!(refused.is_passing().is_some(), "the device is told to come back: {refused}");
        assert_eq!(one.bootstrap_token().await.unwrap().as_deref(), Some(&b"token of one"[..]));
        let url = format!("{}/metrics", world.app.running().addresses.ops_url);
        let figures = world.app.client.get(url).send().await.unwrap().text().await.unwrap();
        let counted = figures.lines().find_map(|line| line.strip_prefix("rookery_vault_refused_total "));
        assert_ne!(counted, Some("0"), "{figures}");
        assert_eq!(counted.map(|count| count.parse::<u64>().is_ok()), Some(true));
    })
    .await;
}

#[actix::test]
async fn a_command_that_does_not_open_is_parked_and_the_next_one_goes_out() {
    on_each_store_with(
        |_| {},
        async |world: &mut World| {
            let mut mac = world.enrolled(Family::Mac, 1).await;
            let damaged = command_with_a_secret(world, &mac).await;
            let sound = world.run(&[&mac], "SecurityInfo").await;
            let copy = format!(
                "UPDATE command SET body = (SELECT body FROM command WHERE uuid = '{sound}') WHERE uuid = '{damaged}'"
            );
            execute(&world.app.settings.database(), &copy).await;
            world.app.restart();
            mac.wire_mut().disconnect();
            let refused = mac.poll(DEVICE).await.unwrap_err();
            assert!(refused.is_passing().is_some(), "{refused}");
            let next = crate::app::eventually("the next command", async || mac.poll(DEVICE).await.ok().flatten()).await;
            assert_eq!(*next.uuid(), sound);
            let parked = world.app.get("/api/v1/fleet/commands?command_status=Parked").await;
            assert_eq!(parked.json["results"][0]["command_uuid"], damaged.as_str());
        },
    )
    .await;
}

#[actix::test]
async fn a_server_without_the_right_key_refuses_to_start_and_says_why() {
    on_each_store_with(
        |_| {},
        async |world: &mut World| {
            let mut mac = world.enrolled(Family::Mac, 1).await;
            mac.set_bootstrap_token(Some(BOOTSTRAP)).await.unwrap();
            let keys = world.app.settings.data_dir.join("root.keys");
            let right = std::fs::read(&keys).unwrap();
            world.app.stop();

            std::fs::remove_file(&keys).unwrap();
            let missing = serve::start(world.app.settings.clone()).unwrap_err();
            assert!(format!("{missing:#}").contains("put the file back"), "{missing:#}");
            assert!(!keys.exists(), "no key is made that would open nothing");

            std::fs::write(&keys, "01".repeat(32)).unwrap();
            let open = serve::start(world.app.settings.clone()).unwrap_err();
            assert!(format!("{open:#}").contains("chmod 400"), "{open:#}");
            private(&keys);
            let wrong = serve::start(world.app.settings.clone()).unwrap_err();
            assert!(format!("{wrong:#}").contains("needs root key"), "{wrong:#}");
            assert!(!format!("{wrong:#}").contains("0101"), "{wrong:#}");

            std::fs::remove_file(&keys).unwrap();
            std::fs::write(&keys, right).unwrap();
            private(&keys);
            let url = world.app.settings.database();
            execute(&url, "UPDATE vault_key SET canary = (SELECT secret FROM enroll_secret)").await;
            let forged = serve::start(world.app.settings.clone()).unwrap_err();
            assert!(format!("{forged:#}").contains("canary"), "{forged:#}");
            execute(&url, "DELETE FROM vault_key").await;
            let emptied = serve::start(world.app.settings.clone()).unwrap_err();
            assert!(format!("{emptied:#}").contains("vault_key was emptied"), "{emptied:#}");
            world.app.settings.vault.keys = "02".repeat(32);
            assert!(serve::start(world.app.settings.clone()).is_err(), "another key does not fit either");

            // What is left fits no key any more: the test ends with a server on a database of its own.
            world.app.settings.database_url.clear();
            world.app.settings.data_dir = world.app.settings.data_dir.join("new");
            world.app.start_again();
            assert!(!world.app.settings.data_dir.join("root.keys").exists(), "the keys came from the setting");
        },
    )
    .await;
}

/// Lets every kind of secret reach the server; returns them, and a text that is no secret and must be found. Everything
/// is to be told to a webhook that takes nothing.
async fn plant(world: &World) -> (Planted, String) {
    let receiver = Receiver::start();
    receiver.answer(|_| 503u16);
    webhooks::hook(world, &receiver, json!({ "idle": true })).await;
    let mut mac = world.enrolled(Family::Mac, 1).await;
    mac.set_bootstrap_token(Some(BOOTSTRAP)).await.unwrap();
    let phone = world.enrolled(Family::IPhone, 2).await;
    let pem = push_certificate_pem(TOPIC);
    let uploaded = crate::app::answer(world.app.admin(Method::PUT, "/v1/pushcert").body(pem.clone())).await;
    assert_eq!(uploaded.status, StatusCode::OK);
    let uuid = command_with_a_secret(world, &mac).await;
    let waiting = command_with_a_secret(world, &mac).await;
    assert_eq!(mac.poll(DEVICE).await.unwrap().map(|command| command.uuid().clone()), Some(uuid.clone()));
    mac.report(DEVICE, &uuid, &Done::acknowledged().with("PersonalRecoveryKey", IN_RESULT)).await.unwrap();
    mac.report(DEVICE, &fresh_uuid(), &Done::acknowledged().with("Text", IN_ORPHAN)).await.unwrap();
    mac.send_status(DEVICE, true).await.unwrap();
    let key_line = pem.split("PRIVATE KEY-----\n").nth(1).unwrap().lines().nth(3).unwrap();
    let unlock_token = phone.contents().unlock_token().unwrap()[..48].to_vec();
    let waiting_events = "SELECT count(*) AS counted FROM webhook_event";
    assert!(count(&world.app.settings.database(), waiting_events).await > 8, "events wait, with all that is in them");
    let token = admin_token(world, json!({})).await;
    let unused = admin_token(world, json!({})).await;
    let windows = windows_client::post(world, ENROLL, issue(token.as_bytes(), &windows_client::key())).await;
    let windows = windows.enrolled(&windows_client::key());
    let [password, server_password] = windows.passwords();
    let proof = hash(MessageDigest::md5(), format!("{DEVICE_ID}:{password}").as_bytes()).unwrap();
    let planted = Planted(vec![
        ("a Windows device's token", unused.into()),
        ("a Windows device's used token", token.into()),
        ("a Windows device's password", password.into()),
        ("the password that a Windows device knows us by", server_password.into()),
        ("what proves a Windows device", proof.to_vec()),
        ("the enroll secret", SECRET.into()),
        ("the admin's token", world.app.token.clone().into()),
        ("the bootstrap token", BOOTSTRAP.into()),
        ("the unlock token", unlock_token),
        ("a command's text", IN_COMMAND.into()),
        ("a result", IN_RESULT.into()),
        ("an orphan result", IN_ORPHAN.into()),
        ("the push key", key_line.into()),
        ("a webhook's secret", webhooks::SECRET.into()),
        ("a webhook's password", QUERY_TOKEN.into()),
        ("a private key", b"PRIVATE KEY".into()),
    ]);
    (planted, waiting.as_str().to_owned())
}

/// Queues a command with a secret in it under an idempotency key.
async fn command_with_a_secret(world: &World, device: &Device) -> CommandUuid {
    let uuid = fresh_uuid();
    let command = format!(
        "<plist version=\"1.0\"><dict><key>CommandUUID</key><string>{uuid}</string><key>Command</key><dict>\
         <key>RequestType</key><string>DeviceLock</string><key>PIN</key><string>735901</string>\
         <key>Message</key><string>{IN_COMMAND}</string></dict></dict></plist>"
    );
    let body = json!({ "command": STANDARD.encode(command), "host_uuids": [device.channel_id(DEVICE).unwrap()] });
    let request = world.app.admin(Method::POST, "/api/v1/fleet/commands/run");
    let answer = crate::app::answer(request.header("idempotency-key", uuid.as_str()).body(body.to_string())).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.json);
    uuid
}

/// All files of the data directory that a thief of the database may see: not the keys, which are apart in earnest.
fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() && path.file_name().is_none_or(|name| name != "root.keys") {
            found.push(path);
        }
    }
    found
}

impl Planted {
    /// Looks for each secret as it is, in hexadecimal digits as a dump writes bytes, and in Base64.
    fn assert_absent(&self, place: &str, bytes: &[u8]) {
        for (name, secret) in &self.0 {
            let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
            let base64 = STANDARD.encode(&secret[..secret.len() / 3 * 3]);
            for form in [secret.as_slice(), hex.as_bytes(), base64.as_bytes()] {
                assert!(!holds(bytes, form), "{place} holds {name}");
            }
        }
    }
}

fn holds(bytes: &[u8], wanted: &[u8]) -> bool {
    let first = wanted[0];
    let starts = bytes.iter().enumerate().filter(|(_, byte)| **byte == first);
    starts.into_iter().any(|(at, _)| bytes[at..].starts_with(wanted))
}

fn private(file: &Path) {
    let only_ours = std::os::unix::fs::PermissionsExt::from_mode(0o400);
    std::fs::set_permissions(file, only_ours).unwrap();
}
