//! Root keys are changed while an admin queues and the process is killed again and again: nothing is lost, and the old key
//! is needed exactly until the server says that it is not. All the while the server writes everything it can say.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use rookery::sim::apple::device::{Answer, ChannelNo};
use serde_json::json;

use crate::postgres::Fresh;
use crate::process::{SECRET, Server, Site, until_answered};
use crate::receiver::{QUERY_TOKEN, Receiver};
use crate::webhooks;
use crate::world::fresh_uuid;

/// Commands that wait when the key is changed; their texts alone take more steps than one second has.
const BEFORE: usize = 400;
const IN_COMMAND: &str = "canary-in-a-command-of-the-rotation";
const IN_RESULT: &str = "canary-in-a-result-of-the-rotation";
const BOOTSTRAP: &[u8] = b"canary-bootstrap-token-of-the-rotation";

#[actix::test]
async fn keys_are_changed_under_load_and_kill_9_and_the_log_holds_no_secret() {
    rotate("").await;
    match Fresh::make().await {
        Some(fresh) => {
            rotate(&fresh.url()).await;
            fresh.drop().await;
        }
        None => println!("left out: PostgreSQL (ROOKERY_TEST_POSTGRES is not set)"),
    }
}

async fn rotate(database_url: &str) {
    let site = Site::new(database_url, "trace");
    let mut server = site.start(None);
    server.prepare().await;
    let receiver = Receiver::start();
    receiver.answer(|_| 503u16);
    let body = json!({ "name": "all", "url": receiver.url(), "secret": webhooks::SECRET, "form": "micromdm" });
    server.ask(Method::POST, "/api/v1/fleet/webhooks", body.to_string()).await;
    let mut mac = server.enrolled(1).await;
    mac.set_bootstrap_token(Some(BOOTSTRAP)).await.unwrap();
    let mut queued = Vec::new();
    for _ in 0..BEFORE {
        queued.push(queue(&server, &mac.model.udid).await);
    }
    let before = status(&site);
    let [(old, true, count)] = &before[..] else { unreachable!("one key seals everything: {before:?}") };
    assert!(*count > BEFORE as u64, "{before:?}");
    let refused = site.admin(&["rotate-keys", "--prune"]);
    assert!(refused.contains("Every key"), "{refused}");

    site.admin(&["rotate-keys"]);
    server = queue_and_kill(&site, server, &mac.model.udid, (old, *count), &mut queued).await;
    crate::app::eventually("the old key is not needed any more", async || {
        let said = site.admin(&["rotate-keys", "--prune"]);
        said.contains(&format!("Took away [{old}]")).then_some(())
    })
    .await;
    let keys = std::fs::read_to_string(site.data.join("root.keys")).unwrap();
    assert_eq!(keys.lines().filter(|line| !line.starts_with('#')).count(), 1, "one key is left");

    server = server.kill_and_start(); // with the new key alone
    let uuid = until_answered(&mut mac, async |mac| mac.poll(ChannelNo::DEVICE).await).await.unwrap().uuid().clone();
    let done = Answer::acknowledged().with("PersonalRecoveryKey", IN_RESULT);
    until_answered(&mut mac, async |mac| mac.report(ChannelNo::DEVICE, &uuid, &done).await).await;
    assert_eq!(mac.bootstrap_token().await.unwrap().as_deref(), Some(BOOTSTRAP));
    assert_all_open(&server, &queued).await;
    assert_events_open(&receiver).await;
    let verified = site.admin(&["verify-audit", "--export"]);
    for action in ["root_key.add", "root_key.use", "root_key.retire_others", "root_key.remove"] {
        assert!(verified.contains(action), "{action} in {verified}");
    }
    server.kill();
    assert_silent(&site, &server.token);
    std::fs::remove_dir_all(&site.data).unwrap();
}

/// Queues commands, and kills the process in the midst of sealing anew, until no value has the old key any more.
async fn queue_and_kill(
    site: &Site,
    mut server: Server,
    udid: &str,
    (old, before): (&str, u64),
    queued: &mut Vec<String>,
) -> Server {
    let mut in_the_midst = 0;
    for kills in 0.. {
        queued.push(queue(&server, udid).await);
        if kills < 5 {
            let waited = crate::app::eventually("values are sealed anew", async || {
                Some(server.figure("rookery_vault_resealed_total").await).filter(|count| *count > 0)
            });
            let _ = tokio::time::timeout(std::time::Duration::from_secs(5), waited).await;
            server = server.kill_and_start();
        }
        let now = status(site);
        let left = now.iter().find(|(id, ..)| id == old).map_or(0, |(.., count)| *count);
        in_the_midst += u32::from(0 < left && left < before);
        if now.len() == 2 && left == 0 {
            break;
        }
    }
    assert!(in_the_midst > 0, "the process was killed while values had different keys");
    server
}

/// Events that waited all the while, sealed with the old key at first, are told and signed as ever.
async fn assert_events_open(receiver: &Receiver) {
    receiver.answer(|_| 200u16);
    let told = crate::app::eventually("events", async || Some(receiver.taken()).filter(|told| told.len() > 4)).await;
    let payload = STANDARD.decode(told[2].json()["checkin_event"]["raw_payload"].as_str().unwrap()).unwrap();
    assert!(String::from_utf8(payload).unwrap().contains(&STANDARD.encode(BOOTSTRAP)));
    let nano = STANDARD.encode(webhooks::openssl_hmac(webhooks::SECRET, &told[2].body));
    assert_eq!(told[2].headers["x-hmac-signature"], nano);
}

/// Every command's text is what was queued.
async fn assert_all_open(server: &Server, queued: &[String]) {
    for uuid in queued {
        let path = format!("/api/v1/fleet/commands/results?command_uuid={uuid}");
        let shown = server.ask(Method::GET, &path, String::new()).await;
        let payload = STANDARD.decode(shown["results"][0]["payload"].as_str().unwrap()).unwrap();
        assert!(String::from_utf8(payload).unwrap().contains(IN_COMMAND), "{uuid} opens");
    }
}

/// Queues a command with a secret in it.
async fn queue(server: &Server, udid: &str) -> String {
    let uuid = fresh_uuid().to_string();
    let command = format!(
        "<plist version=\"1.0\"><dict><key>CommandUUID</key><string>{uuid}</string><key>Command</key><dict>\
         <key>RequestType</key><string>DeviceLock</string><key>PIN</key><string>735901</string>\
         <key>Message</key><string>{IN_COMMAND}</string></dict></dict></plist>"
    );
    let body = json!({ "command": STANDARD.encode(command), "host_uuids": [udid] }).to_string();
    server.ask(Method::POST, "/api/v1/fleet/commands/run", body).await;
    uuid
}

/// How many values each key seals: (id, whether it is the active one, how many).
fn status(site: &Site) -> Vec<(String, bool, u64)> {
    let said = site.admin(&["rotate-keys", "--status"]);
    let read = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        (words[0].to_owned(), words[1] == "seals", words[2].parse().unwrap())
    };
    said.lines().map(read).collect()
}

/// Looks for everything secret in what the servers wrote, at the finest level they have.
fn assert_silent(site: &Site, token: &str) {
    let log = std::fs::read_to_string(site.log()).unwrap();
    assert!(log.contains(" TRACE ") && log.contains("root keys in use"), "the log is as fine as it gets");
    let keys = std::fs::read_to_string(site.data.join("root.keys")).unwrap();
    let key = keys.lines().find(|line| !line.starts_with('#')).unwrap();
    let (bootstrap, base64) = (String::from_utf8_lossy(BOOTSTRAP), STANDARD.encode(BOOTSTRAP));
    for secret in
        [IN_COMMAND, IN_RESULT, SECRET, token, key, &bootstrap, &base64, "PRIVATE KEY", webhooks::SECRET, QUERY_TOKEN]
    {
        let line = log.lines().find(|line| line.contains(secret));
        assert!(line.is_none(), "the log holds {secret}: {line:?}");
    }
}
