//! People sign in at a real OpenID provider before they enroll a device: the browser's whole way, and whose the device is then.

use std::time::Duration;

use reqwest::header::{LOCATION, SET_COOKIE};
use reqwest::{Method, StatusCode};
use rookery::sim::apple::device::{Device, DeviceOptions};
use rookery::sim::apple::model::Family;
use serde_json::{Value, json};

use crate::app::eventually;
use crate::people::{ask, done, team};
use crate::process::enroll;
use crate::profiles_delivery::{has, pairs, profile, replace, shown, until};
use crate::sso::{Browser, IdentityProvider};
use crate::world::{DEVICE, SECRET, World, assert_sound, on_each_store, on_each_store_with};

pub(crate) const CALLBACK: &str = "/mdm/sso/callback";
const OF_TEAM: &str = "an-enroll-secret-of-a-team";

async fn demand(world: &World, team_id: i64, demands: bool) {
    let body = json!({ "team_id": team_id, "enable_end_user_authentication": demands });
    done(world, &world.app.token, Method::PATCH, "/setup_experience", body).await;
}

fn begin_url(world: &World, secret: &str) -> String {
    world.app.device_url(&format!("/mdm/sso?enroll_secret={secret}"))
}

/// Signs in with a browser; the address of the enrollment profile that it is sent on to.
pub(crate) async fn signed_in(world: &World, browser: &mut Browser, email: &str, secret: &str) -> String {
    let sent = browser.send(Method::GET, &begin_url(world, secret)).await;
    assert_eq!(sent.status(), StatusCode::SEE_OTHER);
    let url = sent.headers()[LOCATION].to_str().unwrap().to_owned();
    let back = browser.sign_in_at(&url, email, &world.app.device_url(CALLBACK)).await;
    let on = browser.send(Method::GET, &back).await;
    assert_eq!(on.status(), StatusCode::SEE_OTHER, "{}", on.text().await.unwrap());
    let path = on.headers()[LOCATION].to_str().unwrap();
    assert!(path.starts_with("/api/mdm/apple/enroll?enrollment_reference="), "{path}");
    world.app.device_url(path)
}

/// Another server on the same rows, which has read its keys.
async fn restart(world: &mut World) {
    world.app.restart();
    let ready = async || (world.app.ops("/readyz").await.status == StatusCode::OK).then_some(());
    eventually("the server is ready", ready).await;
}

async fn owner(world: &World, device: &Device) -> Value {
    world.host(device).await["end_users"].clone()
}

pub(crate) async fn enrolled_by(world: &World, device: &mut Device, email: &str, secret: &str) {
    let url = signed_in(world, &mut Browser::new(world), email, secret).await;
    enroll(device, &url).await;
}

#[actix::test]
async fn a_device_is_its_owners_from_the_sign_in_through_every_renewal() {
    let Some(provider) = IdentityProvider::sending_to(CALLBACK) else { return };
    on_each_store_with(
        |settings| provider.set_for_end_users(settings),
        async |world| {
            let mut mac = world.device(Family::Mac, 1, DeviceOptions::default());
            enrolled_by(world, &mut mac, "Ada@example.com", SECRET).await;
            let owners = owner(world, &mac).await;
            let account = owners[0]["idp_id"].as_str().unwrap().to_owned();
            assert_eq!(owners[0]["idp_username"], "Ada@example.com");
            assert_eq!(owners[0]["idp_full_name"], "Name of Ada@example.com");
            let address = mac.profile().unwrap().mdm.server_url.clone();
            assert_eq!(address, world.app.device_url(&format!("/mdm/apple/mdm?enroll_reference={account}")));
            let host = world.host(&mac).await["id"].clone();
            let mapping =
                done(world, &world.app.token, Method::GET, &format!("/hosts/{host}/device_mapping"), Value::Null).await;
            assert_eq!(
                mapping["device_mapping"],
                json!([{ "email": "Ada@example.com", "source": "mdm_idp_accounts" }])
            );

            // Renewals, and a restart: the link stays, and so does the address.
            for _ in 0..2 {
                mac.renew_identity().await.unwrap();
                mac.authenticate().await.unwrap();
                mac.update_token(DEVICE).await.unwrap();
                assert_eq!(owner(world, &mac).await, owners);
                restart(world).await;
                mac.wire_mut().disconnect();
            }
            assert_eq!(mac.profile().unwrap().mdm.server_url, address);

            // The same person, however the provider writes the address, has one account; another one takes the device over.
            let mut phone = world.device(Family::IPhone, 2, DeviceOptions::default());
            enrolled_by(world, &mut phone, "ada@EXAMPLE.com", SECRET).await;
            assert_eq!(owner(world, &phone).await[0]["idp_id"], account.as_str());
            enrolled_by(world, &mut mac, "ben@example.com", SECRET).await;
            let ben = owner(world, &mac).await;
            assert_eq!(ben[0]["idp_username"], "ben@example.com");
            assert_ne!(ben[0]["idp_id"], account.as_str());
            // Enrolled again without a sign-in it is nobody's.
            enroll(&mut mac, &world.enroll_url()).await;
            assert_eq!(owner(world, &mac).await, json!([]));
            assert_sound(&mac);
            assert_sound(&phone);
        },
    )
    .await;
}

#[actix::test]
async fn a_team_that_demands_a_sign_in_gives_nobody_a_profile_without_one() {
    let Some(provider) = IdentityProvider::sending_to(CALLBACK) else { return };
    on_each_store_with(
        |settings| provider.set_for_end_users(settings),
        async |world| {
            let id = team(world, "Field").await;
            let secrets = json!({ "secrets": [{ "secret": OF_TEAM }] });
            done(world, &world.app.token, Method::PATCH, &format!("/teams/{id}/secrets"), secrets).await;
            demand(world, id, true).await;
            let shown = done(world, &world.app.token, Method::GET, &format!("/teams/{id}"), Value::Null).await;
            assert_eq!(
                shown["team"]["mdm"]["macos_setup"],
                json!({ "enable_end_user_authentication": true, "enable_release_device_manually": false })
            );
            let mut browser = Browser::new(world);
            let profile = |secret: &str| world.app.device_url(&format!("/api/mdm/apple/enroll?token={secret}"));
            let refused = browser.send(Method::GET, &profile(OF_TEAM)).await;
            assert_eq!(refused.status(), StatusCode::FORBIDDEN);
            assert!(refused.text().await.unwrap().contains("sign in first"));
            assert_eq!(
                browser.send(Method::GET, &profile(SECRET)).await.status(),
                StatusCode::OK,
                "no team demands it"
            );

            let mut mac = world.device(Family::Mac, 1, DeviceOptions::default());
            enrolled_by(world, &mut mac, "ada@example.com", OF_TEAM).await;
            let host = world.host(&mac).await;
            assert_eq!(
                (&host["team_id"], &host["end_users"][0]["idp_username"]),
                (&json!(id), &json!("ada@example.com"))
            );

            demand(world, id, false).await;
            assert_eq!(browser.send(Method::GET, &profile(OF_TEAM)).await.status(), StatusCode::OK);
            demand(world, 0, true).await;
            assert_eq!(browser.send(Method::GET, &profile(SECRET)).await.status(), StatusCode::FORBIDDEN);
            let config = done(world, &world.app.token, Method::GET, "/config", Value::Null).await;
            assert_eq!(config["mdm"]["macos_setup"]["enable_end_user_authentication"], true);
            assert_eq!(config["mdm"]["end_user_authentication"]["idp_name"], "Example ID");
            assert_sound(&mac);
        },
    )
    .await;
}

#[actix::test]
async fn a_sign_in_counts_once_in_the_browser_that_began_and_a_reference_as_it_was_signed_for_a_while() {
    let Some(provider) = IdentityProvider::sending_to(CALLBACK) else { return };
    on_each_store_with(
        |settings| provider.set_for_end_users(settings),
        async |world| {
            let mut browser = Browser::new(world);
            let sent = browser.send(Method::GET, &begin_url(world, SECRET)).await;
            let cookie = sent.headers()[SET_COOKIE].to_str().unwrap().to_owned();
            for part in
                ["__Secure-rookery_enroll=", "HttpOnly", "Secure", "SameSite=Lax", "Path=/mdm/sso", "Max-Age=600"]
            {
                assert!(cookie.contains(part), "{part}: {cookie}");
            }
            let url = sent.headers()[LOCATION].to_str().unwrap().to_owned();
            let back = browser.sign_in_at(&url, "ada@example.com", &world.app.device_url(CALLBACK)).await;
            let stolen = Browser::new(world).send(Method::GET, &back).await;
            assert_eq!(stolen.status(), StatusCode::FORBIDDEN, "another browser");
            assert_eq!(browser.send(Method::GET, &back).await.status(), StatusCode::FORBIDDEN, "and it is used up");

            let good = signed_in(world, &mut browser, "ada@example.com", SECRET).await;
            let (path, reference) = good.split_once('=').unwrap();
            let (said, mac) = reference.split_once('.').unwrap();
            let flipped = format!("{}{}", if mac.starts_with('A') { 'B' } else { 'A' }, mac.get(1..).unwrap());
            for forged in [format!("{said}.{flipped}"), said.to_owned(), format!(".{mac}"), "x".repeat(4000)] {
                let refused = browser.send(Method::GET, &format!("{path}={forged}")).await;
                assert_eq!(refused.status(), StatusCode::FORBIDDEN, "{forged}");
            }
            assert_eq!(browser.send(Method::GET, &good).await.status(), StatusCode::OK);
            restart(world).await;
            let mut browser = Browser::new(world);
            assert_eq!(
                browser.send(Method::GET, &good).await.status(),
                StatusCode::OK,
                "the server may be another one"
            );
            world.app.running().advance_clock(Duration::from_secs(601));
            assert_eq!(browser.send(Method::GET, &good).await.status(), StatusCode::FORBIDDEN, "it is over");
        },
    )
    .await;
}

#[actix::test]
async fn profiles_hold_what_is_known_of_the_owner() {
    let Some(provider) = IdentityProvider::sending_to(CALLBACK) else { return };
    on_each_store_with(
        |settings| provider.set_for_end_users(settings),
        async |world| {
            let mut mac = world.device(Family::Mac, 1, DeviceOptions::default());
            enrolled_by(world, &mut mac, "ada@example.com", SECRET).await;
            let mut nobodys = world.enrolled(Family::Mac, 2).await;
            let variables = ["EMAIL_IDP", "IDP_USERNAME", "IDP_USERNAME_LOCAL_PART", "IDP_FULL_NAME"];
            let text = variables.map(|name| format!("$FLEET_VAR_HOST_END_USER_{name}")).join(" ");
            replace(world, None, &[("owner", profile("owner", &text, None), json!({}))]).await;
            until(world, &mut mac, &[("owner", "verified")]).await;
            let known = "ada@example.com ada@example.com ada Name of ada@example.com";
            assert_eq!(has(&mac), pairs(&[("com.example.owner", known)]));
            eventually("nobody's device has no owner to name", async || {
                // The command that cannot be made is taken out of the way, and the device comes again.
                let _ = nobodys.work(DEVICE).await;
                (shown(world, &nobodys).await == pairs(&[("owner", "failed")])).then_some(())
            })
            .await;
            assert_sound(&mac);
            assert_sound(&nobodys);
        },
    )
    .await;
}

#[actix::test]
async fn without_a_provider_nobody_signs_in_and_no_team_can_demand_it() {
    on_each_store(async |world| {
        let mut browser = Browser::new(world);
        assert_eq!(browser.send(Method::GET, &begin_url(world, SECRET)).await.status(), StatusCode::CONFLICT);
        assert_eq!(browser.send(Method::GET, &begin_url(world, "x")).await.status(), StatusCode::FORBIDDEN);
        let id = team(world, "Field").await;
        let setup = json!({ "enable_end_user_authentication": true });
        for (method, path, body) in [
            (
                Method::PATCH,
                "/setup_experience".to_owned(),
                json!({ "team_id": id, "enable_end_user_authentication": true }),
            ),
            (Method::PATCH, "/config".into(), json!({ "mdm": { "macos_setup": setup } })),
            (Method::PATCH, format!("/teams/{id}"), json!({ "mdm": { "setup_experience": setup } })),
            (Method::POST, "/teams".into(), json!({ "name": "Other", "mdm": { "macos_setup": setup } })),
            (
                Method::POST,
                "/spec/gitops".into(),
                json!({ "teams": [{ "name": "Field", "mdm": { "macos_setup": setup } }] }),
            ),
        ] {
            let refused = ask(world, Some(&world.app.token), method.clone(), &path, body).await;
            assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{method} {path}: {}", refused.json);
        }
        let teams = done(world, &world.app.token, Method::GET, "/teams", Value::Null).await;
        assert_eq!(teams["teams"].as_array().unwrap().len(), 1, "nothing was made");
    })
    .await;
}
