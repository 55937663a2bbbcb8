//! Accounts of Entra ID enroll devices: only with tokens that Microsoft signed for one of our tenants and for us (V-01, V-02).

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, LazyLock, Mutex};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use josekit::jwk::alg::rsa::RsaKeyPair;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sign::Signer;
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode};
use rookery::config::Settings;
use serde_json::{Value, json};

use crate::postgres;
use crate::windows_client::*;
use crate::world::{World, on_each_store, on_each_store_with};

const TENANT: &str = "11111111-2222-4333-8444-555555555555";
const OTHER_TENANT: &str = "22222222-2222-4333-8444-555555555555";
const CLIENT: &str = "99999999-2222-4333-8444-555555555555";

/// Microsoft's key, and somebody else's, made once.
static KEYS: LazyLock<[RsaKeyPair; 2]> = LazyLock::new(|| [(); 2].map(|()| RsaKeyPair::generate(2048).unwrap()));

/// Where Microsoft publishes its keys; it ends with the process.
#[derive(Clone)]
struct Publisher {
    port: u16,
    asked: Arc<AtomicUsize>,
    keys: Arc<Mutex<String>>,
}

impl Publisher {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let publisher = Self { port, asked: Arc::default(), keys: Arc::new(Mutex::new(published(&["one"]))) };
        let serving = publisher.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut head = Vec::new();
                let mut piece = [0; 1024];
                while !head.windows(4).any(|end| end == b"\r\n\r\n") {
                    match stream.read(&mut piece) {
                        Ok(read @ 1..) => head.extend_from_slice(&piece[..read]),
                        _ => break,
                    }
                }
                serving.asked.fetch_add(1, SeqCst);
                let body = serving.keys.lock().unwrap().clone();
                let length = body.len();
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        publisher
    }

    fn set(&self, settings: &mut Settings) {
        settings.windows.entra_tenants = vec![TENANT.to_uppercase()];
        settings.windows.entra_client_id = CLIENT.into();
        settings.windows.entra_url = format!("http://127.0.0.1:{}", self.port);
        settings.server_url = "https://localhost".into();
    }
}

/// The first key under these names.
fn published(names: &[&str]) -> String {
    let key = |name: &&str| {
        let mut public = KEYS[0].to_jwk_public_key();
        public.set_key_id(*name);
        Value::Object(public.as_ref().clone())
    };
    json!({ "keys": names.iter().map(key).collect::<Vec<_>>() }).to_string()
}

fn claims(world: &World) -> Value {
    let now = world.now().seconds();
    json!({
        "iss": format!("https://sts.windows.net/{TENANT}/"), "aud": "https://localhost", "tid": TENANT, "iat": now,
        "exp": now + 3600, "nbf": now - 5, "scp": "mdm_delegation", "upn": "ana@example.test", "jti": uuid::Uuid::new_v4(),
    })
}

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

/// A token with this head, signed with RSA and SHA-256 by one of the keys.
fn signed_as(head: &Value, claims: &Value, by: usize) -> String {
    let signed = format!("{}.{}", part(head), part(claims));
    let key = PKey::private_key_from_pem(&KEYS[by].to_pem_private_key()).unwrap();
    let mut signer = Signer::new(MessageDigest::sha256(), &key).unwrap();
    let signature = signer.sign_oneshot_to_vec(signed.as_bytes()).unwrap();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn token(claims: &Value) -> String {
    signed_as(&json!({ "alg": "RS256", "typ": "JWT", "kid": "one" }), claims, 0)
}

/// A token whose signature is a keyed hash with this secret.
fn hashed(claims: &Value, secret: &[u8]) -> String {
    let signed = format!("{}.{}", part(&json!({ "alg": "HS256", "kid": "one" })), part(claims));
    let key = PKey::hmac(secret).unwrap();
    let mut signer = Signer::new(MessageDigest::sha256(), &key).unwrap();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signer.sign_oneshot_to_vec(signed.as_bytes()).unwrap()))
}

fn changed(claims: &Value, name: &str, value: Value) -> Value {
    let mut claims = claims.clone();
    match value {
        Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
        value => claims[name] = value,
    }
    claims
}

async fn try_token(world: &World, token: &str) -> Said {
    let request = issue_with_jwt(token, &key()).replace("<ac:Value>Full<", "<ac:Value>Device<");
    post(world, ENROLL, request).await
}

async fn refuse_all(world: &World, tokens: Vec<(&str, String)>) {
    for (why, token) in tokens {
        for path in [ENROLL, POLICY] {
            let request = if path == ENROLL { issue_with_jwt(&token, &key()) } else { with_jwt(GET_POLICIES, &token) };
            let said = post(world, path, request).await;
            assert_eq!(said.status, StatusCode::INTERNAL_SERVER_ERROR, "{why}: {}", said.text);
            let (subcode, error_type, _) = said.fault();
            assert_eq!((subcode.as_str(), error_type.as_str()), ("s:Authentication", "InvalidEnrollmentData"), "{why}");
            assert!(token.len() < 40 || !said.text.contains(&token[..40]), "{why}: nothing of it is said back");
        }
    }
    for table in ["identity", "enrollment", "windows_token", "host"] {
        let query = format!("SELECT count(*) AS counted FROM {table}");
        assert_eq!(postgres::count(&world.app.settings.database(), &query).await, 0, "{table}");
    }
}

#[actix::test]
async fn v01_what_microsoft_did_not_sign_enrolls_nothing() {
    let publisher = Publisher::start();
    on_each_store_with(
        |settings| publisher.set(settings),
        async |world| {
            let good = claims(world);
            let rs256 = |kid: Value| json!({ "alg": "RS256", "kid": kid });
            let public = KEYS[0].to_pem_public_key();
            let der = KEYS[0].to_der_public_key();
            let whole = token(&good);
            let parts: Vec<&str> = whole.split('.').collect();
            let forged = part(&changed(&good, "upn", json!("root@example.test")));
            let embedded = json!({ "alg": "RS256", "kid": "one", "jwk": KEYS[1].to_jwk_public_key().as_ref() });
            let elsewhere = json!({ "alg": "RS256", "kid": "one", "jku": "https://evil.example/keys" });
            let critical = json!({ "alg": "RS256", "kid": "one", "crit": ["exp"] });
            let bare = |alg: &str| format!("{}.{}.", part(&json!({ "alg": alg, "kid": "one" })), part(&good));
            let now = world.now().seconds();
            refuse_all(
                world,
                vec![
                    ("alg none", bare("none")),
                    ("alg None", bare("None")),
                    ("no alg", format!("{}.{}.", part(&json!({ "kid": "one" })), part(&good))),
                    ("RS256 without a signature", bare("RS256")),
                    ("HS256 with the public key (PEM)", hashed(&good, &public)),
                    ("HS256 with the public key (DER)", hashed(&good, &der)),
                    ("HS256 with nothing much", hashed(&good, &[0])),
                    ("another key", signed_as(&rs256(json!("one")), &good, 1)),
                    ("RS384 in its head", signed_as(&json!({ "alg": "RS384", "kid": "one" }), &good, 0)),
                    ("PS256 in its head", signed_as(&json!({ "alg": "PS256", "kid": "one" }), &good, 0)),
                    ("unknown kid", signed_as(&rs256(json!("two")), &good, 0)),
                    ("kid is a path", signed_as(&rs256(json!("../../../../etc/passwd")), &good, 0)),
                    ("kid is an address", signed_as(&rs256(json!("https://evil.example/keys")), &good, 0)),
                    ("kid is empty", signed_as(&rs256(json!("")), &good, 0)),
                    ("kid is none", signed_as(&json!({ "alg": "RS256" }), &good, 0)),
                    ("kid is a number", signed_as(&rs256(json!(1)), &good, 0)),
                    ("its own key in its head", signed_as(&embedded, &good, 1)),
                    ("keys from elsewhere", signed_as(&elsewhere, &good, 1)),
                    ("something critical", signed_as(&critical, &good, 0)),
                    ("changed", [parts[0], &forged, parts[2]].join(".")),
                    ("cut", whole[..whole.len() - 4].to_owned()),
                    ("over", token(&changed(&good, "exp", json!(now - 61)))),
                    ("endless", token(&changed(&good, "exp", Value::Null))),
                    ("not yet", token(&changed(&good, "nbf", json!(now + 600)))),
                    ("since ever", token(&changed(&good, "nbf", Value::Null))),
                    ("no token", "a.b.c".into()),
                    ("nothing", "..".into()),
                    ("too long", "a".repeat(100_000)),
                ],
            )
            .await;
        },
    )
    .await;
}

#[actix::test]
async fn v02_what_microsoft_signed_for_others_enrolls_nothing() {
    let publisher = Publisher::start();
    on_each_store_with(
        |settings| publisher.set(settings),
        async |world| {
            let good = claims(world);
            let new = json!(format!("https://login.microsoftonline.com/{TENANT}/v2.0"));
            let of_other = changed(&good, "tid", json!(OTHER_TENANT));
            let with = |name: &str, value: Value| token(&changed(&good, name, value));
            let other_iss = json!(format!("https://sts.windows.net/{OTHER_TENANT}/"));
            refuse_all(
                world,
                vec![
                    ("another tenant", token(&changed(&of_other, "iss", other_iss.clone()))),
                    ("another tid", token(&of_other)),
                    ("no tid", with("tid", Value::Null)),
                    ("another iss", with("iss", other_iss)),
                    ("iss of anybody", with("iss", json!("https://sts.windows.net/common/"))),
                    ("iss elsewhere", with("iss", json!(format!("https://evil.example/{TENANT}/")))),
                    ("no iss", with("iss", Value::Null)),
                    ("for Graph", with("aud", json!("https://graph.microsoft.com"))),
                    ("for another port", with("aud", json!("https://localhost:1"))),
                    ("for a longer name", with("aud", json!("https://localhost.evil.example"))),
                    ("for several", with("aud", json!(["https://localhost", "https://graph.microsoft.com"]))),
                    ("for nobody", with("aud", Value::Null)),
                    ("newer, for our address", with("iss", new.clone())),
                    (
                        "newer, for another app",
                        token(&changed(&changed(&good, "iss", new), "aud", json!(OTHER_TENANT))),
                    ),
                    ("older, for our app", with("aud", json!(CLIENT))),
                    ("another scope", with("scp", json!("user.read"))),
                    ("no scope", with("scp", Value::Null)),
                    ("nobody", with("upn", Value::Null)),
                ],
            )
            .await;
        },
    )
    .await;
}

#[actix::test]
async fn v02_without_tenants_nobody_is_let_in() {
    on_each_store(async |world| {
        let good = token(&claims(world));
        let said = try_token(world, &good).await;
        assert_eq!(said.fault().0, "s:Authentication");
        assert!(said.fault().2.contains("Entra ID are not accepted"), "{}", said.text);
        refuse_all(world, vec![("off", good)]).await;
    })
    .await;
}

#[actix::test]
async fn an_account_enrolls_devices_with_a_token_each_and_gets_its_own_back() {
    let publisher = Publisher::start();
    on_each_store_with(
        |settings| publisher.set(settings),
        async |world| {
            let asked = publisher.asked.load(SeqCst);
            let first = token(&claims(world));
            post(world, POLICY, with_jwt(GET_POLICIES, &first)).await.body();
            let enrolled = try_token(world, &first).await.enrolled(&key());
            assert_eq!(enrolled.parm(&["DMClient", "Provider", "Rookery"], "UPN").as_deref(), Some("ana@example.test"));
            let mine = hosts(world).await;
            assert_eq!((mine.len(), &mine[0]["mdm"]["enrollment_status"]), (1, &json!("On (automatic)")));
            assert_eq!(try_token(world, &first).await.fault().0, "s:Authentication", "once");
            // The signature written otherwise (four bits of its last digit mean nothing) is the same token.
            let (rest, last) = first.split_at(first.len() - 1);
            let digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
            let other = digits.as_bytes()[digits.find(last).unwrap() ^ 1] as char;
            for otherwise in [format!("{rest}{other}"), format!("{first}=="), format!(" {first}\n")] {
                assert_eq!(try_token(world, &otherwise).await.fault().0, "s:Authentication");
            }

            let again = try_token(world, &token(&claims(world))).await.enrolled(&key());
            assert_eq!(hosts(world).await.len(), 1, "her own device again");
            assert_ne!(again.name(), enrolled.name());
            let new = json!(format!("https://login.microsoftonline.com/{TENANT}/v2.0"));
            let bob = changed(&changed(&claims(world), "upn", json!("bob@example.test")), "iss", new);
            try_token(world, &token(&changed(&bob, "aud", json!(CLIENT)))).await.enrolled(&key());
            assert_eq!(hosts(world).await.len(), 2, "who claims her device gets one of their own");
            assert_eq!(publisher.asked.load(SeqCst) - asked, 1, "keys are believed for a while");
        },
    )
    .await;
}

#[actix::test]
async fn new_keys_are_found_and_made_up_ones_are_not_asked_for_again_and_again() {
    let publisher = Publisher::start();
    on_each_store_with(
        |settings| publisher.set(settings),
        async |world| {
            *publisher.keys.lock().unwrap() = published(&["two"]);
            let asked = publisher.asked.load(SeqCst);
            let kid = |name: &str| signed_as(&json!({ "alg": "RS256", "kid": name }), &claims(world), 0);
            try_token(world, &kid("two")).await.enrolled(&key());
            for made_up in ["three", "four", "five"] {
                assert_eq!(try_token(world, &kid(made_up)).await.fault().0, "s:Authentication");
            }
            assert_eq!(publisher.asked.load(SeqCst) - asked, 1, "not more than once a minute");
            *publisher.keys.lock().unwrap() = published(&["one"]);
        },
    )
    .await;
}

#[actix::test]
async fn keys_out_of_reach_are_nobodys_fault_and_let_nobody_in() {
    let nowhere = |settings: &mut Settings| {
        settings.windows.entra_tenants = vec![TENANT.into()];
        settings.windows.entra_url = "http://127.0.0.1:1".into();
        settings.server_url = "https://localhost".into();
    };
    on_each_store_with(nowhere, async |world| {
        let (subcode, error_type, said) = try_token(world, &token(&claims(world))).await.fault();
        assert_eq!((subcode.as_str(), error_type.as_str()), ("a:InternalServiceFault", "InMaintenance"));
        assert!(!said.contains("127.0.0.1"), "{said}");
    })
    .await;
}

#[actix::test]
async fn terms_of_use_are_for_accounts_and_lead_back_to_windows() {
    let publisher = Publisher::start();
    on_each_store_with(
        |settings| publisher.set(settings),
        async |world| {
            let ca = std::fs::read(world.app.running().addresses.ca_file.as_ref().unwrap()).unwrap();
            let client = Client::builder().tls_certs_only([reqwest::Certificate::from_pem(&ca).unwrap()]).no_proxy();
            let client = client.redirect(Policy::none()).build().unwrap();
            let broker = "ms-appx-web://Microsoft.AAD.BrokerPlugin";
            let url = world.app.device_url("/api/mdm/microsoft/tos");
            let query = format!("{url}?redirect_uri={broker}&client-request-id=1&api-version=1.0&mode=azureadjoin");
            let page = client.get(&query).bearer_auth(token(&claims(world))).send().await.unwrap();
            assert_eq!(page.status(), StatusCode::OK);
            assert!(page.headers()["content-security-policy"].to_str().unwrap().contains("default-src 'none'"));
            let text = page.text().await.unwrap();
            assert!(
                text.contains("Terms of use") && text.contains(broker) && text.contains("value=true>Accept"),
                "{text}"
            );
            let location = async |accept: &str| {
                let form = format!("redirect_uri={broker}&accept={accept}");
                let answer = client.post(&url).body(form).send().await.unwrap();
                assert_eq!(answer.status(), StatusCode::FOUND);
                answer.headers()["location"].to_str().unwrap().to_owned()
            };
            assert!(location("true").await.starts_with(&format!("{broker}?IsAccepted=true&OpaqueBlob=")));
            assert_eq!(location("false").await, format!("{broker}?IsAccepted=false"));
            let of_other = token(&changed(&claims(world), "tid", json!(OTHER_TENANT)));
            for request in [
                client.get(&query),
                client.get(&query).bearer_auth(of_other),
                client.get(&query).basic_auth("a", Some("b")),
            ] {
                let answer = request.send().await.unwrap();
                assert_eq!(answer.status(), StatusCode::FOUND);
                let location = answer.headers()["location"].to_str().unwrap();
                assert!(location.starts_with(&format!("{broker}?error=unauthorized_client&")), "{location}");
            }
        },
    )
    .await;
}
