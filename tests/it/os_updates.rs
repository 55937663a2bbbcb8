//! Updates of the operating system: settings of teams and of hosts in none become declarations of the server's own.

use reqwest::{Method, StatusCode};
use rookery::sim::apple::model::Family;
use serde_json::{Value, json};

use crate::declarations::{assign, declaration, passcode, until};
use crate::people::{ask, done, team};
use crate::profiles_api::try_upload;
use crate::windows_profiles;
use crate::world::{DEVICE, World, assert_sound, on_each_store};

const MACS: &str = "Fleet macOS OS Updates";
const PHONES: &str = "Fleet iOS OS Updates";

fn updates(platform: &str, version: &str, deadline: &str) -> Value {
    json!({ "mdm": { platform: { "minimum_version": version, "deadline": deadline } } })
}

async fn set(world: &World, path: &str, body: Value) -> Value {
    done(world, &world.app.token, Method::PATCH, path, body).await
}

#[actix::test]
async fn hosts_of_a_platform_are_told_until_nothing_is_set() {
    on_each_store(async |world| {
        let (mut mac, mut phone) = (world.enrolled(Family::Mac, 1).await, world.enrolled(Family::IPhone, 2).await);
        let unset = json!({ "minimum_version": null, "deadline": null });
        let before = done(world, &world.app.token, Method::GET, "/config", Value::Null).await;
        let windows = json!({ "deadline_days": null, "grace_period_days": null });
        assert_eq!(
            before["mdm"],
            json!({
                "macos_updates": unset, "ios_updates": unset, "ipados_updates": unset, "windows_updates": windows,
                "macos_setup": {
                    "enable_end_user_authentication": false, "enable_release_device_manually": false,
                },
                "end_user_authentication": { "idp_name": "" },
            })
        );
        let shown = set(world, "/config", updates("macos_updates", "15.1", "2026-12-31")).await;
        let expected = json!({ "minimum_version": "15.1", "deadline": "2026-12-31" });
        assert_eq!((&shown["mdm"]["macos_updates"], &shown["mdm"]["ios_updates"]), (&expected, &unset));
        until(world, &mut mac, &[(MACS, "verified")]).await;
        until(world, &mut phone, &[]).await;
        let path = "declaration/configuration/org.rookery.os-updates.macos";
        let reply = mac.declarative(DEVICE, path, None).await.unwrap();
        let document: Value = serde_json::from_slice(&reply.body).unwrap();
        let payload = json!({ "TargetOSVersion": "15.1", "TargetLocalDateTime": "2026-12-31T12:00:00" });
        assert_eq!(document["Payload"], payload);
        // Profiles of admins come and go beside it.
        assign(world, &[passcode("code", 8)]).await;
        until(world, &mut mac, &[("code", "verified"), (MACS, "verified")]).await;
        let listed = done(world, &world.app.token, Method::GET, "/configuration_profiles", Value::Null).await;
        assert_eq!(listed["profiles"].as_array().unwrap().len(), 1, "it is the server's own: {listed}");
        assign(world, &[]).await;
        until(world, &mut mac, &[(MACS, "verified")]).await;
        set(world, "/config", updates("macos_updates", "15.2", "2027-01-31")).await;
        until(world, &mut mac, &[(MACS, "verified")]).await;
        let reply = mac.declarative(DEVICE, path, None).await.unwrap();
        assert!(String::from_utf8(reply.body.to_vec()).unwrap().contains("15.2"));
        let shown = set(world, "/config", updates("macos_updates", "", "")).await;
        assert_eq!(shown["mdm"]["macos_updates"], unset);
        until(world, &mut mac, &[]).await;
        assert_eq!(mac.declarations(DEVICE).unwrap(), []);
        assert_sound(&mac);
        assert_sound(&phone);
    })
    .await;
}

#[actix::test]
async fn a_team_has_its_own_and_a_host_that_moves_gets_that() {
    on_each_store(async |world| {
        let mut phone = world.enrolled(Family::IPhone, 1).await;
        let id = team(world, "Field").await;
        set(world, "/config", updates("ios_updates", "18.1", "2026-12-31")).await;
        let shown = set(world, &format!("/teams/{id}"), updates("ios_updates", "18.2", "2027-01-15")).await;
        let expected = json!({ "minimum_version": "18.2", "deadline": "2027-01-15" });
        assert_eq!((&shown["team"]["mdm"]["ios_updates"], &shown["team"]["name"]), (&expected, &json!("Field")));
        let listed = done(world, &world.app.token, Method::GET, "/teams", Value::Null).await;
        assert_eq!(listed["teams"][0]["mdm"]["ios_updates"], expected);
        until(world, &mut phone, &[(PHONES, "verified")]).await;
        let host = world.host(&phone).await["id"].clone();
        let transfer = json!({ "team_id": id, "hosts": [host] });
        done(world, &world.app.token, Method::POST, "/hosts/transfer", transfer).await;
        let path = "declaration/configuration/org.rookery.os-updates.ios";
        crate::app::eventually("the team's version", async || {
            phone.work(DEVICE).await.unwrap();
            let reply = phone.declarative(DEVICE, path, None).await.unwrap();
            String::from_utf8(reply.body.to_vec()).unwrap().contains("18.2").then_some(())
        })
        .await;
        until(world, &mut phone, &[(PHONES, "verified")]).await;
        done(world, &world.app.token, Method::DELETE, &format!("/teams/{id}"), Value::Null).await;
        crate::app::eventually("that of no team", async || {
            phone.work(DEVICE).await.unwrap();
            let reply = phone.declarative(DEVICE, path, None).await.unwrap();
            String::from_utf8(reply.body.to_vec()).unwrap().contains("18.1").then_some(())
        })
        .await;
        until(world, &mut phone, &[(PHONES, "verified")]).await;
        assert_sound(&phone);
    })
    .await;
}

#[actix::test]
async fn what_is_no_version_or_day_is_refused_and_changes_nothing() {
    on_each_store(async |world| {
        let id = team(world, "Field").await;
        for (version, deadline) in [("15.1", ""), ("", "2026-12-31"), ("new", "2026-12-31"), ("15.1", "2026-02-30")] {
            for path in ["/config".to_owned(), format!("/teams/{id}")] {
                let body = updates("macos_updates", version, deadline);
                let refused = ask(world, Some(&world.app.token), Method::PATCH, &path, body).await;
                assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{version} {deadline}");
                assert_eq!(refused.json["errors"][0]["name"], "macos_updates");
            }
        }
        let unknown = json!({ "mdm": { "solaris_updates": {} } });
        let refused = ask(world, Some(&world.app.token), Method::PATCH, "/config", unknown).await;
        assert!(refused.status.is_client_error());
        let shown = done(world, &world.app.token, Method::GET, "/config", Value::Null).await;
        assert_eq!(shown["mdm"]["macos_updates"]["minimum_version"], Value::Null);
    })
    .await;
}

/// An admin's own would be a second word beside the setting: it is refused whether that is set or not, with the key that is in the way.
#[actix::test]
async fn a_profile_of_an_admin_cannot_set_updates() {
    on_each_store(async |world| {
        const UPDATE: &str = "./Device/Vendor/MSFT/Policy/Config/Update/ConfigureDeadlineForQualityUpdates";
        let payload = json!({ "TargetOSVersion": "15.1", "TargetLocalDateTime": "2026-12-31T12:00:00" });
        let apple = declaration("configuration.softwareupdate.enforcement.specific", "com.example.u", payload);
        let windows = windows_profiles::set(UPDATE, "5");
        let windows = json!({ "name": "Mine", "contents": openssl::base64::encode_block(windows.as_bytes()) });
        let keys = ["com.apple.configuration.softwareupdate.enforcement.specific", UPDATE];
        for is_set in [false, true] {
            if is_set {
                set(world, "/config", updates("macos_updates", "15.1", "2026-12-31")).await;
                let days = json!({ "deadline_days": 5, "grace_period_days": 2 });
                set(world, "/config", json!({ "mdm": { "windows_updates": days } })).await;
            }
            for ((profile, file), key) in [(&apple, "u.json"), (&windows, "Mine.xml")].into_iter().zip(keys) {
                let body = json!({ "profiles": [profile] });
                let all = ask(world, Some(&world.app.token), Method::POST, "/mdm/profiles/batch", body).await;
                let content = openssl::base64::decode_block(profile["contents"].as_str().unwrap()).unwrap();
                let one = try_upload(world, &[], (file, str::from_utf8(&content).unwrap())).await;
                for refused in [all, one] {
                    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", refused.json);
                    let reason = refused.json["errors"][0]["reason"].as_str().unwrap();
                    assert!(reason.contains(key) && reason.contains("OS updates are a setting of t"), "{reason}");
                }
            }
        }
    })
    .await;
}
