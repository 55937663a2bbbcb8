//! Lock, unlock and wipe: an admin asks, the device obeys, and the host's `mdm` object says where it stands.

use protocol::ids::CommandUuid;
use reqwest::StatusCode;
use rookery::config::Settings;
use rookery::sim::apple::device::{Answer as Done, Device, DeviceOptions};
use rookery::sim::apple::model::Family;
use serde_json::{Value, json};

use crate::app::Answer;
use crate::postgres;
use crate::process::enroll;
use crate::world::{DEVICE, World, assert_sound, on_each_store, on_each_store_with};

/// Asks for an action; `action` may have a query.
async fn act(world: &World, host: i64, action: &str) -> Answer {
    world.app.post(&format!("/api/v1/fleet/hosts/{host}/{action}"), &json!({})).await
}

/// Demands that an action is refused, with this text.
async fn refused(world: &World, host: i64, action: &str, status: StatusCode, reason: &str) {
    let answer = act(world, host, action).await;
    assert_eq!(answer.status, status, "{action}: {}", answer.json);
    let given = answer.json["errors"][0]["reason"].as_str().unwrap_or_default();
    assert!(given.contains(reason), "{action}: {given}");
}

async fn host_id(world: &World, device: &Device) -> i64 {
    world.host(device).await["id"].as_i64().unwrap()
}

/// Where a host stands: `device_status` and `pending_action`, the same in its detail and in the list.
async fn stands(world: &World, host: i64) -> (String, String) {
    let detail = world.app.get(&format!("/api/v1/fleet/hosts/{host}")).await.json["host"]["mdm"].clone();
    let list = world.app.get("/api/v1/fleet/hosts").await.json["hosts"].clone();
    let listed = list.as_array().unwrap().iter().find(|one| one["id"] == host).unwrap()["mdm"].clone();
    for key in ["device_status", "pending_action"] {
        assert_eq!(detail[key], listed[key]);
    }
    let text = |key: &str| detail[key].as_str().unwrap().to_owned();
    (text("device_status"), text("pending_action"))
}

fn is(status: &str, pending: &str) -> (String, String) {
    (status.to_owned(), pending.to_owned())
}

/// How often the audit log says that a PIN was shown.
async fn reveals(world: &World) -> i64 {
    let query = "SELECT count(*) AS counted FROM audit WHERE action = 'pin.reveal'";
    postgres::count(&world.app.settings.database(), query).await
}

const UNPROCESSABLE: StatusCode = StatusCode::UNPROCESSABLE_ENTITY;

#[actix::test]
async fn a_mac_is_locked_with_a_pin_and_unlocked_when_it_comes_back() {
    on_each_store_with(
        |_| {},
        async |world| {
            let mut mac = world.enrolled(Family::Mac, 1).await;
            let host = host_id(world, &mac).await;
            assert_eq!(stands(world, host).await, is("unlocked", ""));
            let lock = act(world, host, "lock?view_pin=true").await;
            assert_eq!(lock.status, StatusCode::OK, "{}", lock.json);
            let pin = lock.json["unlock_pin"].as_str().unwrap().to_owned();
            assert!(pin.len() == 6 && pin.bytes().all(|digit| digit.is_ascii_digit()), "{pin}");
            assert_eq!(
                (&lock.json["device_status"], &lock.json["pending_action"]),
                (&json!("unlocked"), &json!("lock"))
            );
            assert_eq!(stands(world, host).await, is("unlocked", "lock"));
            for action in ["lock", "unlock", "wipe"] {
                refused(world, host, action, UNPROCESSABLE, "Host has pending lock request").await;
            }

            assert_eq!(mac.work(DEVICE).await.unwrap(), 1);
            assert_eq!(stands(world, host).await, is("locked", ""));
            assert!(mac.poll(DEVICE).await.is_err(), "nothing runs on a locked Mac");
            refused(world, host, "lock", UNPROCESSABLE, "Host is already locked.").await;
            refused(world, host, "wipe", UNPROCESSABLE, "cannot be wiped until it is unlocked").await;

            let commands = world.app.get("/api/v1/fleet/commands").await.json["results"].clone();
            let command = CommandUuid::parse(commands[0]["command_uuid"].as_str().unwrap()).unwrap();
            let results = Value::Array(world.results(&command).await);
            let payload = openssl::base64::decode_block(results[0]["payload"].as_str().unwrap()).unwrap();
            let payload = String::from_utf8(payload).unwrap();
            assert!(payload.contains("DeviceLock") && !payload.contains(&pin), "{payload}");
            assert!(!world.host(&mac).await.to_string().contains(&pin));

            for _ in 0..2 {
                let unlock = act(world, host, "unlock").await;
                assert_eq!(unlock.status, StatusCode::OK, "{}", unlock.json);
                assert_eq!((&unlock.json["unlock_pin"], &unlock.json["host_id"]), (&json!(pin), &json!(host)));
                assert_eq!(stands(world, host).await, is("locked", "unlock"));
            }
            refused(world, host, "lock", UNPROCESSABLE, "Host has pending unlock request").await;
            assert_eq!(reveals(world).await, 3, "each look at the PIN is in the audit log");
            world.app.restart();
            mac.wire_mut().disconnect();
            assert_eq!(stands(world, host).await, is("locked", "unlock"));
            assert!(!mac.enter_pin("not it") && mac.enter_pin(&pin));
            assert_eq!(mac.poll(DEVICE).await.unwrap(), None);
            assert_eq!(stands(world, host).await, is("unlocked", ""));
            refused(world, host, "unlock", UNPROCESSABLE, "Host is already unlocked.").await;

            let again = act(world, host, "lock").await;
            assert_eq!(again.status, StatusCode::NO_CONTENT, "{}", again.json);
            mac.work(DEVICE).await.unwrap();
            let unlock = act(world, host, "unlock").await;
            let other = unlock.json["unlock_pin"].as_str().unwrap().to_owned();
            assert!(other != pin && mac.enter_pin(&other), "each lock has a PIN of its own");
            assert_eq!(mac.poll(DEVICE).await.unwrap(), None);
            assert_eq!(stands(world, host).await, is("unlocked", ""), "told while its actor was at work");
            let said = world.app.get(&format!("/api/v1/fleet/hosts/{host}/activities?per_page=100")).await.json;
            let kinds: Vec<&str> =
                said["activities"].as_array().unwrap().iter().filter_map(|one| one["type"].as_str()).collect();
            let told = |kind| kinds.iter().filter(|other| **other == kind).count();
            assert_eq!((told("locked_host"), told("unlocked_host")), (2, 3), "{said}");
            assert!(!said.to_string().contains(&pin) && !said.to_string().contains(&other), "{said}");
            assert_sound(&mac);
        },
    )
    .await;
}

#[actix::test]
async fn a_lock_that_fails_or_is_taken_back_or_superseded_leaves_the_host_unlocked() {
    on_each_store(async |world| {
        let mut mac = world.enrolled(Family::Mac, 1).await;
        let host = host_id(world, &mac).await;
        act(world, host, "lock").await;
        let lock = mac.poll(DEVICE).await.unwrap().unwrap();
        mac.report(DEVICE, lock.uuid(), &Done::error(1, "TestErrorDomain", "no")).await.unwrap();
        assert_eq!(stands(world, host).await, is("unlocked", ""));

        assert_eq!(act(world, host, "lock").await.status, StatusCode::NO_CONTENT);
        let commands = world.app.get("/api/v1/fleet/commands").await.json["results"].clone();
        let cancel = format!("/api/v1/fleet/commands/{}/cancel", commands[0]["command_uuid"].as_str().unwrap());
        assert_eq!(world.app.post(&cancel, &json!({})).await.json["cancelled"], 1);
        assert_eq!(stands(world, host).await, is("unlocked", ""));

        let enroll_url = world.enroll_url();
        assert_eq!(act(world, host, "lock").await.status, StatusCode::NO_CONTENT);
        enroll(&mut mac, &enroll_url).await;
        assert_eq!(stands(world, host).await, is("unlocked", ""));

        assert_eq!(act(world, host, "lock").await.status, StatusCode::NO_CONTENT);
        mac.work(DEVICE).await.unwrap();
        assert_eq!(stands(world, host).await, is("locked", ""));
        enroll(&mut mac, &enroll_url).await;
        assert_eq!(stands(world, host).await, is("unlocked", ""), "somebody erased it by hand and enrolled it anew");
        assert_sound(&mac);
    })
    .await;
}

#[actix::test]
async fn a_wiped_host_is_gone_until_it_enrolls_anew() {
    on_each_store(async |world| {
        let enroll_url = world.enroll_url();
        for (number, family) in [(1, Family::Mac), (2, Family::IPhone)] {
            let mut device = world.enrolled(family, number).await;
            let host = host_id(world, &device).await;
            let wiped = world.app.post(&format!("/api/latest/fleet/mdm/hosts/{host}/wipe"), &json!({})).await;
            assert_eq!(wiped.status, StatusCode::NO_CONTENT, "{}", wiped.json);
            assert_eq!(stands(world, host).await, is("unlocked", "wipe"));
            refused(world, host, "wipe", UNPROCESSABLE, "Host has pending wipe request").await;
            refused(world, host, "lock", UNPROCESSABLE, "wipe").await;
            let erase = device.poll(DEVICE).await.unwrap().unwrap();
            assert_eq!(erase.request_type(), "EraseDevice");
            assert_eq!(erase.entries().contains_key("PIN"), family == Family::Mac, "a PIN is for Macs");
            let answer = device.execute(DEVICE, &erase).await.unwrap().unwrap();
            device.report(DEVICE, erase.uuid(), &answer).await.unwrap();
            assert_eq!(stands(world, host).await, is("wiped", ""));
            assert!(device.poll(DEVICE).await.is_err(), "an erased device is gone");
            refused(world, host, "lock", UNPROCESSABLE, "Host is wiped.").await;
            refused(world, host, "wipe", UNPROCESSABLE, "Host is already wiped.").await;
            enroll(&mut device, &enroll_url).await;
            assert_eq!(stands(world, host).await, is("unlocked", ""));
            assert_eq!(device.poll(DEVICE).await.unwrap(), None);
        }
    })
    .await;
}

#[actix::test]
async fn hosts_that_cannot_be_locked_are_refused_in_fleets_words() {
    on_each_store(async |world| {
        let bad = StatusCode::BAD_REQUEST;
        let mut phone = world.enrolled(Family::IPhone, 1).await;
        let host = host_id(world, &phone).await;
        let manual = "Couldn't lock. This command isn't available for manually enrolled iOS/iPadOS hosts.";
        refused(world, host, "lock", bad, manual).await;
        refused(world, host, "unlock", UNPROCESSABLE, "Host is already unlocked.").await;

        // Nothing but automatic enrollment makes a host so; what a device says later would make it manual again.
        let automatic = format!("UPDATE host SET mdm_status = 2 WHERE id = {host}");
        postgres::execute(&world.app.settings.database(), &automatic).await;
        assert_eq!(act(world, host, "lock").await.status, StatusCode::NO_CONTENT);
        phone.work(DEVICE).await.unwrap();
        assert!(phone.contents().lost, "it is in Lost Mode");
        assert_eq!(stands(world, host).await, is("locked", ""));
        assert_eq!(act(world, host, "unlock").await.status, StatusCode::NO_CONTENT);
        assert_eq!(stands(world, host).await, is("locked", "unlock"));
        refused(world, host, "unlock", UNPROCESSABLE, "Host has pending unlock request").await;
        phone.work(DEVICE).await.unwrap();
        assert!(!phone.contents().lost);
        assert_eq!(stands(world, host).await, is("unlocked", ""));

        let options = DeviceOptions { personal: true, ..DeviceOptions::default() };
        let mut personal = world.device(Family::IPhone, 2, options);
        enroll(&mut personal, &world.enroll_url()).await;
        let host = host_id(world, &personal).await;
        for action in ["lock", "wipe"] {
            let text = format!("Couldn't {action}. This command isn't available for personal hosts.");
            refused(world, host, action, bad, &text).await;
        }

        let mut gone = world.enrolled(Family::Mac, 3).await;
        let host = host_id(world, &gone).await;
        gone.check_out(DEVICE).await.unwrap();
        for action in ["lock", "unlock", "wipe"] {
            refused(world, host, action, bad, "MDM turned on").await;
        }
        assert_eq!(act(world, 4711, "lock").await.status, StatusCode::NOT_FOUND);
        assert_eq!(world.app.get("/api/v1/fleet/commands").await.json["count"], 2, "what is refused is not queued");
    })
    .await;
}

#[actix::test]
async fn of_many_who_ask_at_once_one_locks_the_host() {
    on_each_store(async |world| {
        let mac = world.enrolled(Family::Mac, 1).await;
        let host = host_id(world, &mac).await;
        let asked = futures_util::future::join_all((0..10).map(|_| act(world, host, "lock"))).await;
        let locked = asked.iter().filter(|answer| answer.status == StatusCode::NO_CONTENT).count();
        assert_eq!(locked, 1, "{asked:?}");
        let refused = |answer: &&Answer| [UNPROCESSABLE, StatusCode::CONFLICT].contains(&answer.status);
        assert_eq!(asked.iter().filter(refused).count(), 9, "{asked:?}");
        assert_eq!(world.app.get("/api/v1/fleet/commands").await.json["count"], 1);
    })
    .await;
}

#[actix::test]
async fn the_brakes_hold_wipes_and_whoever_disagrees_sets_the_host_free() {
    let one_erasure = |settings: &mut Settings| settings.brakes.erase_per_hour = 1;
    on_each_store_with(one_erasure, async |world| {
        let (one, mut other) = (world.enrolled(Family::Mac, 1).await, world.enrolled(Family::Mac, 2).await);
        let (first, second) = (host_id(world, &one).await, host_id(world, &other).await);
        assert_eq!(act(world, first, "wipe").await.status, StatusCode::NO_CONTENT, "one is below the limit");
        let held = act(world, second, "wipe").await;
        assert_eq!((held.status, &held.json["held"]["hosts"]), (StatusCode::ACCEPTED, &json!(1)), "{}", held.json);
        assert_eq!(stands(world, second).await, is("unlocked", "wipe"));
        assert_eq!(other.poll(DEVICE).await.unwrap(), None, "its device gets nothing");
        let reject = format!("/api/v1/fleet/commands/{}/reject", held.json["command_uuid"].as_str().unwrap());
        assert_eq!(world.app.post(&reject, &json!({})).await.json["cancelled"], 1);
        assert_eq!(stands(world, second).await, is("unlocked", ""));
        assert_eq!(act(world, second, "lock").await.status, StatusCode::NO_CONTENT);
        assert_sound(&other);
    })
    .await;
}
