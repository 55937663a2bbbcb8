//! Account-driven enrollment: found by its domain, signed in at a real OpenID provider, enrolled with the token that came of it.

use protocol::apple::enrollment_profile::{EnrollmentMode, EnrollmentProfile};
use protocol::pki::signature::verify;
use reqwest::header::{AUTHORIZATION, LOCATION, WWW_AUTHENTICATE};
use reqwest::{Method, Response, StatusCode};
use rookery::config::{AccountDriven, Settings};
use rookery::sim::apple::device::DeviceOptions;
use rookery::sim::apple::model::Family;
use serde_json::{Value, json};

use crate::enroll_sign_in::CALLBACK;
use crate::sso::{Browser, IdentityProvider};
use crate::world::{DEVICE, World, assert_sound, on_each_store_with};

const BASE: &str = "/api/mdm/apple/account_driven_enroll";
const TOKEN: &str = "apple-remotemanagement-user-login://authentication-results?access-token=";

async fn knock(world: &World, token: Option<&str>) -> Response {
    let request = world.app.client.post(world.app.device_url(BASE)).body("what a device says of itself");
    let request = match token {
        Some(token) => request.header(AUTHORIZATION, format!("Bearer {token}")),
        None => request,
    };
    request.send().await.unwrap()
}

/// What a device's web view ends with.
async fn signed_in(world: &World, email: &str) -> String {
    let mut browser = Browser::new(world);
    let page = world.app.device_url("/mdm/apple/account_driven_enroll/sso?user-identifier=ada@example.com");
    let sent = browser.send(Method::GET, &page).await;
    assert_eq!(sent.status(), StatusCode::SEE_OTHER);
    let url = sent.headers()[LOCATION].to_str().unwrap().to_owned();
    let back = browser.sign_in_at(&url, email, &world.app.device_url(CALLBACK)).await;
    let handed = browser.send(Method::GET, &back).await;
    assert_eq!(handed.status(), StatusCode::PERMANENT_REDIRECT);
    handed.headers()[LOCATION].to_str().unwrap().strip_prefix(TOKEN).unwrap().to_owned()
}

async fn found(world: &World) -> (StatusCode, Value) {
    let path = "/.well-known/com.apple.remotemanagement?user-identifier=ada@example.com&model-family=iPhone";
    let answer = world.app.client.get(world.app.device_url(path)).send().await.unwrap();
    let status = answer.status();
    (status, serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap())
}

async fn enrolls(world: &World, version: &str, mode: EnrollmentMode) {
    let (status, services) = found(world).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(services, json!({ "Servers": [{ "Version": version, "BaseURL": world.app.device_url(BASE) }] }));
    let page = world.app.device_url("/mdm/apple/account_driven_enroll/sso");
    let expected = format!("Bearer method=\"apple-as-web\", url=\"{page}\"");
    for token in [None, Some("made-up"), Some("")] {
        let answer = knock(world, token).await;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(answer.headers()[WWW_AUTHENTICATE].to_str().unwrap(), expected);
    }
    let token = signed_in(world, "ada@example.com").await;
    let bytes = knock(world, Some(&token)).await.bytes().await.unwrap();
    assert_eq!(knock(world, Some(&token)).await.status(), StatusCode::OK, "a device may try again");
    let content = verify(&bytes, None).unwrap().content.unwrap();
    let profile = EnrollmentProfile::parse(&content, 1 << 20).unwrap();
    let account = profile.mdm.account.clone().unwrap();
    assert_eq!((account.mode, account.managed_apple_id.as_str()), (mode, "ada@example.com"));

    let options = DeviceOptions { personal: mode == EnrollmentMode::Byod, ..DeviceOptions::default() };
    let mut phone = world.device(Family::IPhone, 1, options);
    phone.set_profile(profile);
    phone.obtain_identity().await.unwrap();
    phone.authenticate().await.unwrap();
    phone.update_token(DEVICE).await.unwrap();
    let host = world.host(&phone).await;
    assert_eq!(host["end_users"][0]["idp_username"], "ada@example.com");
    let expected = if mode == EnrollmentMode::Byod { "On (personal)" } else { "On (manual)" };
    assert_eq!(host["mdm"]["enrollment_status"], expected);
    assert_sound(&phone);
}

fn set(provider: &IdentityProvider, settings: &mut Settings, whose: AccountDriven) {
    provider.set_for_end_users(settings);
    settings.end_user_authentication.account_driven = whose;
}

#[actix::test]
async fn a_personal_device_is_enrolled_with_an_account() {
    let Some(provider) = IdentityProvider::sending_to(CALLBACK) else { return };
    let change = |settings: &mut Settings| set(&provider, settings, AccountDriven::Personal);
    on_each_store_with(change, async |world| enrolls(world, "mdm-byod", EnrollmentMode::Byod).await).await;
}

#[actix::test]
async fn a_company_device_is_enrolled_with_an_account() {
    let Some(provider) = IdentityProvider::sending_to(CALLBACK) else { return };
    let change = |settings: &mut Settings| set(&provider, settings, AccountDriven::Company);
    on_each_store_with(change, async |world| enrolls(world, "mdm-adde", EnrollmentMode::Adde).await).await;
}

#[actix::test]
async fn where_it_is_off_nobody_enrolls_so() {
    let Some(provider) = IdentityProvider::sending_to(CALLBACK) else { return };
    let change = |settings: &mut Settings| set(&provider, settings, AccountDriven::Off);
    on_each_store_with(change, async |world| {
        let (status, refusal) = found(world).await;
        assert_eq!((status, &refusal["code"]), (StatusCode::FORBIDDEN, &json!("com.apple.well-known.failed")));
        let page = world.app.device_url("/mdm/apple/account_driven_enroll/sso");
        assert_eq!(Browser::new(world).send(Method::GET, &page).await.status(), StatusCode::FORBIDDEN);
        // The reference of another sign-in is no token for a device.
        let url =
            crate::enroll_sign_in::signed_in(world, &mut Browser::new(world), "ada@example.com", crate::world::SECRET)
                .await;
        let reference = url.split_once("enrollment_reference=").unwrap().1;
        assert_eq!(knock(world, Some(reference)).await.status(), StatusCode::UNAUTHORIZED);
    })
    .await;
}
