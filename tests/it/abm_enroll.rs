//! Devices that the organization bought enroll by themselves: they prove which ones they are, wait in Setup Assistant, get their
//! profiles, and are let go on.

use std::time::Duration;

use protocol::pki::authority::{Authority, AuthorityRole};
use reqwest::header::LOCATION;
use reqwest::{Method, StatusCode};
use rookery::config::Settings;
use rookery::sim::abm::{Facts, OrganizationId};
use rookery::sim::apple::device::{Answer, Device, DeviceError, DeviceOptions};
use rookery::sim::apple::model::Family;
use serde_json::{Value, json};

use crate::abm::{Apple, STANDARD_NAME, assigned, get, host, synced, with_apple, with_apple_and};
use crate::app::eventually;
use crate::people::{ask, done, team};
use crate::process::enroll;
use crate::profiles_delivery::{has, profile, replace};
use crate::sso::{Browser, IdentityProvider};
use crate::world::{DEVICE, World, apple as root, assert_sound, now};

/// Where the identity provider sends browsers back to.
const CALLBACK: &str = "/mdm/sso/callback";

/// A device that the organization bought and that is assigned its profile.
async fn bought(world: &World, apple: &Apple, owner: (OrganizationId, i64), family: Family, number: u32) -> Device {
    let device = world.device(family, number, DeviceOptions::default());
    apple.service.add_devices(owner.0, [Facts::from(&device.model)]);
    assigned(apple, &device.model.serial_number, STANDARD_NAME).await;
    device
}

async fn status(world: &World, device: &Device) -> Value {
    host(world, &device.model.serial_number).await["mdm"]["enrollment_status"].clone()
}

/// Lets the device work until it goes on.
async fn goes_on(device: &mut Device) {
    for _ in 0..600 {
        device.work(DEVICE).await.unwrap();
        if !device.options.awaits_configuration {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    unreachable!("the device waits for ever");
}

/// The commands of a host, oldest first: their type and state.
async fn commands(world: &World, device: &Device) -> Vec<(String, String)> {
    let id = device.channel_id(DEVICE).unwrap();
    let listed = get(world, &format!("/commands?host_identifier={id}&order_key=updated_at")).await;
    let listed = listed["results"].as_array().cloned().unwrap_or_default();
    let text = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
    listed.iter().map(|row| (text(row, "request_type"), text(row, "status"))).collect()
}

#[actix::test]
async fn a_device_enrolls_by_itself_gets_its_profiles_and_goes_on() {
    with_apple(21, async |world, apple| {
        let owner = apple.organization(world, "Example").await;
        replace(world, None, &[("first", profile("first", "1", None), json!({}))]).await;
        let mut device = bought(world, apple, owner, Family::Mac, 1).await;
        assert_eq!(status(world, &device).await, "Pending");
        let before = host(world, &device.model.serial_number).await["id"].clone();
        assert!(device.set_up(&apple.service, &root()).await.unwrap());
        assert_eq!(status(world, &device).await, "On (automatic)");
        assert_eq!(host(world, &device.model.serial_number).await["id"], before, "it is the host that was expected");
        assert!(device.options.awaits_configuration);
        goes_on(&mut device).await;
        assert_eq!(has(&device).len(), 1, "its profile came first");
        let told = commands(world, &device).await;
        let releases = told.iter().filter(|(kind, _)| kind == "DeviceConfigured").count();
        assert_eq!(releases, 1, "{told:?}");
        let counts = get(world, "/hosts/summary/mdm").await;
        let counts = &counts["mobile_device_management_enrollment_status"];
        assert_eq!((&counts["enrolled_automated_hosts_count"], &counts["pending_hosts_count"]), (&json!(1), &json!(0)));
        assert_sound(&device);
        // A certificate that is renewed changes nothing about how it enrolled.
        device.renew_identity().await.unwrap();
        device.update_token(DEVICE).await.unwrap();
        assert_eq!(status(world, &device).await, "On (automatic)");
        // A device that is erased and set up anew stays one host.
        let mut again = world.device(Family::Mac, 1, DeviceOptions::default());
        assert!(again.set_up(&apple.service, &root()).await.unwrap());
        goes_on(&mut again).await;
        assert_eq!(host(world, &again.model.serial_number).await["id"], before);
        // Whoever enrolls by hand later is not automatic.
        let mut by_hand = world.device(Family::Mac, 1, DeviceOptions::default());
        enroll(&mut by_hand, &world.enroll_url()).await;
        assert_eq!(status(world, &by_hand).await, "On (manual)");
    })
    .await;
}

#[actix::test]
async fn who_cannot_prove_which_device_it_is_gets_nothing() {
    with_apple(22, async |world, apple| {
        let owner = apple.organization(world, "Example").await;
        let mut device = bought(world, apple, owner, Family::IPhone, 1).await;
        let url = format!("{}/api/mdm/apple/enroll", world.app.device_url(""));
        let foreign = Authority::create("Foreign", now(), 1, AuthorityRole::IssuesOnly).unwrap();
        let stranger = world.device(Family::IPhone, 2, DeviceOptions::default());
        let genuine = device.apples_identity(&root()).await.unwrap();
        let own = foreign_identity(&device, &foreign).await;
        let said = [
            b"<plist/>".to_vec(),
            Vec::new(),
            vec![b'a'; 70_000],
            device.machine_info(&own).unwrap(),
            // Apple made it, and it is nobody's here.
            stranger.machine_info(&stranger.apples_identity(&root()).await.unwrap()).unwrap(),
        ];
        for said in said {
            let answer = world.app.client.post(&url).body(said).send().await.unwrap();
            assert!([400, 403, 413].contains(&answer.status().as_u16()), "{}", answer.status());
            assert!(!answer.text().await.unwrap().contains("com.apple.mdm"));
        }
        // What one device is given is no use to another.
        let answer = world.app.client.post(&url).body(device.machine_info(&genuine).unwrap()).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()["content-type"], "application/x-apple-aspen-config");
        assert!(device.set_up(&apple.service, &root()).await.unwrap());
        let mut thief = world.device(Family::IPhone, 3, DeviceOptions::default());
        thief.set_profile(device.profile().unwrap().clone());
        assert!(thief.obtain_identity().await.is_err(), "its challenge was used");
        // A device that was given away is turned away.
        world.app.running().parts.clock.advance(Duration::from_secs(2));
        apple.service.remove_devices(owner.0, &[device.model.serial_number.clone()]);
        eventually("the device is gone at the server", async || {
            let shown = host(world, &device.model.serial_number).await;
            let shown = get(world, &format!("/hosts/{}/dep_assignment", shown["id"])).await;
            shown["dep_device"]["deleted_at"].is_string().then_some(())
        })
        .await;
        let answer = world.app.client.post(&url).body(device.machine_info(&genuine).unwrap()).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    })
    .await;
}

#[actix::test]
async fn where_people_sign_in_first_a_bought_device_gets_nothing_without_it() {
    let Some(provider) = IdentityProvider::sending_to(CALLBACK) else { return };
    let set = |settings: &mut Settings| provider.set_for_end_users(settings);
    with_apple_and(26, set, async |world, apple| {
        let owner = apple.organization(world, "Example").await;
        let mut device = bought(world, apple, owner, Family::Mac, 1).await;
        let serial = device.model.serial_number.clone();
        let demand = json!({ "team_id": 0, "enable_end_user_authentication": true });
        done(world, &world.app.token, Method::PATCH, "/setup_experience", demand).await;
        let page = eventually("the profile leads to the sign-in", async || {
            let known = apple.service.device(&serial)?;
            let profile = apple.service.profile(known.organization, &known.profile_uuid?)?;
            let page = profile["configuration_web_url"].as_str()?.to_owned();
            assert_eq!(profile["url"], page.as_str(), "nobody comes by without it");
            Some(page)
        })
        .await;
        let identity = device.apples_identity(&root()).await.unwrap();
        let said = device.machine_info(&identity).unwrap();
        let by = world.app.client.post(world.app.device_url("/api/mdm/apple/enroll")).body(said.clone()).send().await;
        assert_eq!(by.unwrap().status(), StatusCode::FORBIDDEN, "without a sign-in");
        let mut browser = Browser::new(world);
        let stranger = browser.send(Method::GET, &page).await;
        assert_eq!(stranger.status(), StatusCode::FORBIDDEN, "neither a device nor a secret");
        let shown = openssl::base64::encode_block(&said);
        let sent = browser.send_with(Method::GET, &page, ("x-apple-aspen-deviceinfo", &shown)).await;
        assert_eq!(sent.status(), StatusCode::SEE_OTHER);
        let at = sent.headers()[LOCATION].to_str().unwrap().to_owned();
        let back = browser.sign_in_at(&at, "ada@example.com", &world.app.device_url(CALLBACK)).await;
        let on = browser.send(Method::GET, &back).await;
        let url = world.app.device_url(on.headers()[LOCATION].to_str().unwrap());
        device.options.awaits_configuration = true;
        enroll(&mut device, &url).await;
        assert_eq!(status(world, &device).await, "On (automatic)");
        assert_eq!(host(world, &serial).await["end_users"][0]["idp_username"], "ada@example.com");
        goes_on(&mut device).await;
        let told = commands(world, &device).await;
        assert!(told.contains(&("AccountConfiguration".into(), "Acknowledged".into())), "{told:?}");
        assert_sound(&device);
    })
    .await;
}

#[actix::test]
async fn where_an_admin_lets_devices_go_on_nobody_else_does() {
    with_apple(27, async |world, apple| {
        let owner = apple.organization(world, "Example").await;
        let manually = json!({ "team_id": 0, "enable_release_device_manually": true });
        done(world, &world.app.token, Method::PATCH, "/setup_experience", manually).await;
        let mut device = bought(world, apple, owner, Family::IPad, 1).await;
        assert!(device.set_up(&apple.service, &root()).await.unwrap());
        world.app.running().parts.clock.advance(Duration::from_secs(2 * 3600));
        tokio::time::sleep(Duration::from_secs(3)).await;
        device.work(DEVICE).await.unwrap();
        assert!(device.options.awaits_configuration, "nobody let it go on");
        world.run(&[&device], "DeviceConfigured").await;
        goes_on(&mut device).await;
        let releases = commands(world, &device).await.into_iter().filter(|(kind, _)| kind == "DeviceConfigured");
        assert_eq!(releases.count(), 1);
    })
    .await;
}

async fn foreign_identity(device: &Device, foreign: &Authority) -> protocol::pki::Signer {
    device.apples_identity(foreign).await.unwrap()
}

#[actix::test]
async fn a_device_with_an_old_system_is_updated_before_it_enrolls() {
    with_apple(23, async |world, apple| {
        let owner = apple.organization(world, "Example").await;
        let mut device = bought(world, apple, owner, Family::Mac, 1).await;
        let least = async |version: &str| {
            let deadline = if version.is_empty() { "" } else { "2027-01-01" };
            let updates = json!({ "mdm": { "macos_updates": { "minimum_version": version, "deadline": deadline } } });
            done(world, &world.app.token, Method::PATCH, "/config", updates).await;
        };
        least("99.1").await;
        let refused = device.set_up(&apple.service, &root()).await;
        assert!(matches!(refused, Err(DeviceError::Refused { status: 403 })), "{refused:?}");
        let identity = device.apples_identity(&root()).await.unwrap();
        let url = world.app.device_url("/api/mdm/apple/enroll");
        let answer = world.app.client.post(url).body(device.machine_info(&identity).unwrap()).send().await.unwrap();
        let said: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        assert_eq!(said["code"], "com.apple.softwareupdate.required");
        assert_eq!(said["details"]["OSVersion"], "99.1");
        least("1.0").await;
        assert!(device.set_up(&apple.service, &root()).await.unwrap());
    })
    .await;
}

#[actix::test]
async fn a_device_goes_on_although_a_profile_stays_open_when_its_time_is_over() {
    with_apple(24, async |world, apple| {
        let owner = apple.organization(world, "Example").await;
        replace(world, None, &[("late", profile("late", "1", None), json!({}))]).await;
        let mut device = bought(world, apple, owner, Family::Mac, 1).await;
        assert!(device.set_up(&apple.service, &root()).await.unwrap());
        // The device puts its profile off, again and again.
        let command = eventually("the profile comes", async || {
            device.poll(DEVICE).await.unwrap().filter(|command| command.request_type() == "InstallProfile")
        })
        .await;
        let next = device.report(DEVICE, command.uuid(), &Answer::not_now()).await.unwrap();
        assert!(next.is_none_or(|next| next.request_type() != "DeviceConfigured"));
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert!(commands(world, &device).await.iter().all(|(kind, _)| kind != "DeviceConfigured"));
        world.app.running().parts.clock.advance(Duration::from_secs(2 * 3600));
        eventually("it is let go on", async || {
            commands(world, &device).await.iter().any(|(kind, _)| kind == "DeviceConfigured").then_some(())
        })
        .await;
        goes_on(&mut device).await;
    })
    .await;
}

#[actix::test]
async fn a_restarted_server_goes_on_where_it_was() {
    with_apple(25, async |world, apple| {
        let owner = apple.organization(world, "Example").await;
        let sales = team(world, "sales").await;
        replace(world, Some(sales), &[("first", profile("first", "1", None), json!({}))]).await;
        let teams = json!({ "macos_team_id": sales });
        done(world, &world.app.token, Method::PATCH, &format!("/abm_tokens/{}/teams", owner.1), teams).await;
        let mut device = bought(world, apple, owner, Family::Mac, 1).await;
        synced(world, owner.1, 1).await;
        assert!(device.set_up(&apple.service, &root()).await.unwrap());
        for _ in 0..3 {
            world.app.restart();
            apple.join(world);
            device.wire_mut().disconnect();
            let ready = async || (world.app.ops("/readyz").await.status == StatusCode::OK).then_some(());
            eventually("the server is ready", ready).await;
            device.poll(DEVICE).await.unwrap();
        }
        goes_on(&mut device).await;
        assert_eq!(has(&device).len(), 1);
        let releases = commands(world, &device).await.into_iter().filter(|(kind, _)| kind == "DeviceConfigured");
        assert_eq!(releases.count(), 1);
        let left =
            ask(world, Some(&world.app.token), Method::GET, "/hosts/count?mdm_enrollment_status=pending", Value::Null);
        assert_eq!(left.await.json["count"], 0);
    })
    .await;
}
