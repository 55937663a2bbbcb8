//! Declarations: what an admin assigns reaches the devices, takes effect there, and what they say of it reaches the admin.

use std::collections::BTreeMap;

use protocol::apple::check_in::DeclarationKind::{self, Activation, Asset, Configuration, Management};
use reqwest::{Method, StatusCode};
use rookery::sim::apple::device::{Answer, Device, DeviceOptions, User, UserKind};
use rookery::sim::apple::model::Family;
use rookery::sim::wire::Manner;
use serde_json::{Value, json};

use crate::app::eventually;
use crate::people::{ask, done};
use crate::process::enroll;
use crate::world::{DEVICE, World, assert_sound, on_each_store, on_each_store_with};

const PASSCODE: &str = "configuration.passcode.settings";
const SUBSCRIBED: &str = "org.rookery.status-subscriptions";

/// A declaration as an admin uploads it.
pub(crate) fn declaration(kind: &str, identifier: &str, payload: Value) -> Value {
    let document = json!({ "Type": format!("com.apple.{kind}"), "Identifier": identifier, "Payload": payload });
    let contents = openssl::base64::encode_block(document.to_string().as_bytes());
    json!({ "name": identifier, "contents": contents })
}

pub(crate) fn passcode(identifier: &str, length: i64) -> Value {
    declaration(PASSCODE, identifier, json!({ "MinimumLength": length }))
}

fn labelled(mut declaration: Value, label: &str) -> Value {
    declaration["labels_include_any"] = json!([label]);
    declaration
}

/// What hosts of no team are to have from now on.
pub(crate) async fn assign(world: &World, profiles: &[Value]) {
    done(world, &world.app.token, Method::POST, "/mdm/profiles/batch", json!({ "profiles": profiles })).await;
}

/// How far a host is with each of its profiles: status and detail by name, removals with a minus.
pub(crate) async fn standing(world: &World, device: &Device) -> BTreeMap<String, (String, String)> {
    let id = world.host(device).await["id"].as_i64().unwrap();
    let path = format!("/hosts/{id}/configuration_profiles");
    rows(&done(world, &world.app.token, Method::GET, &path, json!({})).await)
}

/// The same of what the API says.
pub(crate) fn rows(shown: &Value) -> BTreeMap<String, (String, String)> {
    let text = |row: &Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
    let row = |row: &Value| {
        let sign = if row["operation_type"] == "remove" { "-" } else { "" };
        (format!("{sign}{}", text(row, "name")), (text(row, "status"), text(row, "detail")))
    };
    shown["profiles"].as_array().unwrap().iter().map(row).collect()
}

/// Lets the device work until its host stands so.
pub(crate) async fn until(world: &World, device: &mut Device, expected: &[(&str, &str)]) {
    let expected: BTreeMap<&str, &str> = expected.iter().copied().collect();
    let mut last = BTreeMap::new();
    for _ in 0..600 {
        device.work(DEVICE).await.unwrap();
        last = standing(world, device).await;
        if last.iter().map(|(name, (status, _))| (name.as_str(), status.as_str())).eq(expected.clone()) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let stands: BTreeMap<&str, &str> =
        last.iter().map(|(name, (status, _))| (name.as_str(), status.as_str())).collect();
    assert_eq!(stands, expected, "{last:?}");
}

/// What the device holds: the server token by kind and identifier.
fn held(device: &Device) -> BTreeMap<(DeclarationKind, String), String> {
    let held = device.declarations(DEVICE).unwrap();
    held.into_iter().map(|(kind, name, token)| ((kind, name), token)).collect()
}

fn names(device: &Device) -> Vec<(DeclarationKind, String)> {
    held(device).into_keys().collect()
}

fn named(names: &[(DeclarationKind, &str)]) -> Vec<(DeclarationKind, String)> {
    names.iter().map(|(kind, name)| (*kind, (*name).to_owned())).collect()
}

async fn status(world: &World, device: &Device) -> Value {
    let id = world.host(device).await["id"].as_i64().unwrap();
    done(world, &world.app.token, Method::GET, &format!("/hosts/{id}/declarative_status"), json!({})).await
}

#[actix::test]
async fn what_is_assigned_takes_effect_and_its_host_is_asked_for_its_vitals() {
    on_each_store(async |world| {
        let mut mac = world.enrolled(Family::Mac, 1).await;
        let nothing = status(world, &mac).await;
        assert_eq!((&nothing["reported_at"], &nothing["declarations"]), (&Value::Null, &Value::Null));
        let organisation = json!({ "Name": "Example" });
        assign(world, &[passcode("code", 8), declaration("management.organization-info", "org", organisation)]).await;
        until(world, &mut mac, &[("code", "verified"), ("org", "verified")]).await;
        let expected = [
            (Activation, "code.activation"),
            (Activation, "org.rookery.status-subscriptions.activation"),
            (Configuration, "code"),
            (Configuration, SUBSCRIBED),
            (Management, "org"),
        ];
        assert_eq!(names(&mac), named(&expected));
        // The first report came before the subscription was in effect.
        mac.send_status(DEVICE, true).await.unwrap();
        let shown = status(world, &mac).await;
        assert_eq!(shown["vitals"]["os_version"], mac.model.os_version);
        assert_eq!(shown["vitals"]["serial_number"], mac.model.serial_number);
        assert_eq!(shown["status"]["StatusItems"]["device"]["model"]["identifier"], mac.model.product_name);
        assert!(shown["reported_at"].is_string() && shown["capabilities"]["versions"][0] == "1.0.0");
        let declarations = shown["declarations"].as_array().unwrap();
        assert_eq!(declarations.len(), 5);
        let code = declarations.iter().find(|one| one["identifier"] == "code").unwrap();
        assert_eq!(
            (&code["kind"], &code["valid"], &code["active"]),
            (&json!("configuration"), &json!("valid"), &json!(true))
        );
        assert_sound(&mac);
    })
    .await;
}

#[actix::test]
async fn a_host_without_declarations_and_the_channels_of_users_have_the_empty_set() {
    on_each_store(async |world| {
        let mut mac = world.enrolled(Family::Mac, 1).await;
        let user = mac.enroll_user(UserKind::Mac, &User::new("U-1", "ann", "Ann")).await.unwrap();
        mac.synchronize(DEVICE).await.unwrap();
        assert_eq!(names(&mac), []);
        assign(world, &[passcode("code", 8)]).await;
        until(world, &mut mac, &[("code", "verified")]).await;
        mac.synchronize(user).await.unwrap();
        assert_eq!(mac.declarations(user).unwrap(), []);
        let refused = mac.declarative(user, "declaration/configuration/code", None).await.unwrap();
        assert_eq!(refused.status, 404);
        assert_sound(&mac);
    })
    .await;
}

#[actix::test]
async fn an_edit_fetches_what_changed_alone_and_what_is_taken_away_goes() {
    on_each_store(async |world| {
        let mut phone = world.enrolled(Family::IPhone, 1).await;
        assign(world, &[passcode("a", 4), passcode("b", 4)]).await;
        until(world, &mut phone, &[("a", "verified"), ("b", "verified")]).await;
        let before = held(&phone);
        assign(world, &[passcode("a", 4), passcode("b", 6)]).await;
        until(world, &mut phone, &[("a", "verified"), ("b", "verified")]).await;
        let changed: Vec<_> = held(&phone).into_iter().filter(|(key, token)| before.get(key) != Some(token)).collect();
        let changed: Vec<_> = changed.into_iter().map(|(key, _)| key).collect();
        assert_eq!(changed, named(&[(Activation, "b.activation"), (Configuration, "b")]));
        assign(world, &[passcode("a", 4)]).await;
        until(world, &mut phone, &[("a", "verified")]).await;
        assert_eq!(held(&phone).len(), 4);
        let gone = phone.declarative(DEVICE, "declaration/configuration/b", None).await.unwrap();
        assert_eq!(gone.status, 404);
        assign(world, &[]).await;
        until(world, &mut phone, &[]).await;
        assert_eq!(names(&phone), []);
        assert_sound(&phone);
    })
    .await;
}

#[actix::test]
async fn what_a_device_cannot_use_failed_for_its_reason_until_it_is_mended() {
    on_each_store(async |world| {
        let mut mac = world.enrolled(Family::Mac, 1).await;
        let unknown = declaration("configuration.of.the.future", "future", json!({}));
        assign(world, &[passcode("code", 99), passcode("good", 4), unknown.clone()]).await;
        until(world, &mut mac, &[("code", "failed"), ("future", "failed"), ("good", "verified")]).await;
        let shown = standing(world, &mac).await;
        assert!(shown["code"].1.contains("Error.ConfigurationIsInvalid"), "{shown:?}");
        assert!(shown["code"].1.contains("MinimumLength is 0 to 16."), "{shown:?}");
        assert!(shown["future"].1.contains("Error.ConfigurationNotSupported"), "{shown:?}");
        assign(world, &[passcode("code", 9), passcode("good", 4), unknown]).await;
        until(world, &mut mac, &[("code", "verified"), ("future", "failed"), ("good", "verified")]).await;
        assert_eq!(standing(world, &mac).await["code"].1, "");
        assert_sound(&mac);
    })
    .await;
}

#[actix::test]
async fn an_activation_of_an_admin_decides_with_its_predicate() {
    on_each_store(async |world| {
        let (mut mac, mut phone) = (world.enrolled(Family::Mac, 1).await, world.enrolled(Family::IPhone, 2).await);
        let predicate = "(@status(device.operating-system.family) == 'macOS')";
        let activation = |predicate: &str| {
            let payload = json!({ "StandardConfigurations": ["code"], "Predicate": predicate });
            declaration("activation.simple", "macs", payload)
        };
        assign(world, &[passcode("code", 8), activation(predicate)]).await;
        until(world, &mut mac, &[("code", "verified"), ("macs", "verified")]).await;
        until(world, &mut phone, &[("code", "verified"), ("macs", "verified")]).await;
        assert!(!names(&mac).contains(&(Activation, "code.activation".to_owned())), "the admin's names it");
        let active = |shown: &Value| {
            let all = shown["declarations"].as_array().unwrap().clone();
            all.into_iter().find(|one| one["identifier"] == "code").unwrap()["active"].clone()
        };
        assert_eq!(active(&status(world, &mac).await), true);
        assert_eq!(active(&status(world, &phone).await), false, "as the predicate says");
        assign(world, &[passcode("code", 8), activation("moon == 'full'")]).await;
        until(world, &mut mac, &[("code", "failed"), ("macs", "failed")]).await;
        assert!(standing(world, &mac).await["code"].1.contains("Error.UnableToParsePredicate"));
        assert_sound(&mac);
        assert_sound(&phone);
    })
    .await;
}

#[actix::test]
async fn a_configuration_waits_for_the_asset_that_it_names() {
    on_each_store(async |world| {
        let mut mac = world.enrolled(Family::Mac, 1).await;
        let mail = declaration(
            "configuration.account.mail",
            "mail",
            json!({ "UserIdentityAssetReference": "who", "IncomingServer": { "HostName": "mail.example.com" } }),
        );
        assign(world, std::slice::from_ref(&mail)).await;
        until(world, &mut mac, &[("mail", "failed")]).await;
        assert!(standing(world, &mac).await["mail"].1.contains("Error.MissingAssets"));
        let who = declaration("asset.useridentity", "who", json!({ "FullName": "Ada" }));
        let idle = declaration("asset.useridentity", "idle", json!({ "FullName": "Bob" }));
        assign(world, &[mail, who, idle]).await;
        until(world, &mut mac, &[("idle", "verified"), ("mail", "verified"), ("who", "verified")]).await;
        assert!(names(&mac).contains(&(Asset, "who".to_owned())));
        assert_sound(&mac);
    })
    .await;
}

#[actix::test]
async fn labels_and_variables_decide_per_host() {
    on_each_store(async |world| {
        let (mut one, mut two) = (world.enrolled(Family::Mac, 1).await, world.enrolled(Family::Mac, 2).await);
        let label = json!({ "name": "chosen", "hosts": [one.model.serial_number] });
        done(world, &world.app.token, Method::POST, "/labels", label).await;
        let serial = json!({ "Name": "$FLEET_VAR_HOST_HARDWARE_SERIAL \"quoted\"" });
        let org = declaration("management.organization-info", "org", serial);
        assign(world, &[labelled(passcode("code", 8), "chosen"), org]).await;
        until(world, &mut one, &[("code", "verified"), ("org", "verified")]).await;
        until(world, &mut two, &[("org", "verified")]).await;
        assert_eq!((held(&one).len(), held(&two).len()), (5, 3));
        for device in [&mut one, &mut two] {
            let reply = device.declarative(DEVICE, "declaration/management/org", None).await.unwrap();
            let document: Value = serde_json::from_slice(&reply.body).unwrap();
            assert_eq!(document["Payload"]["Name"], format!("{} \"quoted\"", device.model.serial_number));
            assert_eq!(document["ServerToken"], held(device)[&(Management, "org".to_owned())]);
        }
        assert_ne!(held(&one)[&(Management, "org".to_owned())], held(&two)[&(Management, "org".to_owned())]);
        let id = world.host(&one).await["id"].as_i64().unwrap();
        let path = format!("/hosts/{id}/labels");
        done(world, &world.app.token, Method::DELETE, &path, json!({ "labels": ["chosen"] })).await;
        until(world, &mut one, &[("org", "verified")]).await;
        assert_eq!(held(&one).len(), 3);
        assert_sound(&one);
        assert_sound(&two);
    })
    .await;
}

#[actix::test]
async fn a_restart_and_lost_replies_in_the_middle_of_it_change_nothing() {
    on_each_store_with(
        |_| {},
        async |world: &mut World| {
            let options = DeviceOptions { dedup: false, ..DeviceOptions::default() };
            let mut mac = world.device(Family::Mac, 1, options);
            enroll(&mut mac, &world.enroll_url()).await;
            assign(world, &[passcode("a", 4), passcode("b", 99)]).await;
            let command = eventually("a command", async || mac.poll(DEVICE).await.unwrap()).await;
            world.app.restart();
            mac.wire_mut().disconnect();
            let answer = mac.execute(DEVICE, &command).await.unwrap().unwrap();
            mac.once(Manner::DropBeforeReading);
            assert!(mac.report(DEVICE, command.uuid(), &answer).await.is_err());
            mac.once(Manner::DropBeforeReading);
            let errand = mac.errand().unwrap();
            assert!(mac.run(errand).await.is_err(), "the reply to tokens is lost");
            world.app.restart();
            mac.wire_mut().disconnect();
            mac.run(errand).await.unwrap();
            mac.once(Manner::DropBeforeReading);
            assert!(mac.send_status(DEVICE, false).await.is_err(), "the server has it, and the device does not know");
            until(world, &mut mac, &[("a", "verified"), ("b", "failed")]).await;
            assert_eq!(held(&mac).len(), 6);
            assert_sound(&mac);
        },
    )
    .await;
}

#[actix::test]
async fn a_status_that_is_none_is_refused_and_changes_nothing() {
    on_each_store(async |world| {
        let mut mac = world.enrolled(Family::Mac, 1).await;
        assign(world, &[passcode("code", 8)]).await;
        until(world, &mut mac, &[("code", "verified")]).await;
        let before = status(world, &mac).await;
        for body in [&b"{}"[..], b"[]", b"\xff", b"{\"StatusItems\":[]}"] {
            let refused = mac.declarative(DEVICE, "status", Some(body.to_vec())).await;
            assert!(refused.is_err(), "400: a 500 would make the device repeat it for ever");
        }
        assert_eq!(status(world, &mac).await, before);
        let stranger = ask(world, None, Method::GET, "/hosts/1/declarative_status", json!({})).await;
        assert_eq!(stranger.status, StatusCode::UNAUTHORIZED);
    })
    .await;
}

#[actix::test]
async fn a_device_that_does_not_tell_is_asked() {
    on_each_store(async |world| {
        let mut mac = world.enrolled(Family::Mac, 1).await;
        assign(world, &[passcode("one", 6)]).await;
        eventually("it is told of the declarations, and comes for none", async || {
            while let Some(command) = mac.poll(DEVICE).await.unwrap() {
                mac.report(DEVICE, command.uuid(), &Answer::acknowledged()).await.unwrap();
            }
            (standing(world, &mac).await["one"].0 == "verifying").then_some(())
        })
        .await;
        world.app.running().advance_clock(std::time::Duration::from_secs(61));
        until(world, &mut mac, &[("one", "verified")]).await;
        let asked = world.app.running().parts.profiled.asked.load(std::sync::atomic::Ordering::Relaxed);
        assert_eq!(asked, 1, "it is asked once");
        assert_sound(&mac);
    })
    .await;
}
