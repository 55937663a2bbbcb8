//! Windows devices enroll: the whole path with requests of an outside client, every fault, and what a token is good for.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::join_all;
use protocol::pki::NewKey;
use protocol::pki::scep::client::certification_request;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::people::{done, team};
use crate::postgres;
use crate::windows_client::*;
use crate::world::{World, on_each_store, on_each_store_with};

const BAD_TOKEN: (&str, &str) = ("s:Authentication", "InvalidEnrollmentData");

async fn count(world: &World, rows: &str) -> i64 {
    postgres::count(&world.app.settings.database(), &format!("SELECT count(*) AS counted FROM {rows}")).await
}

fn kind(said: &Said) -> (String, String) {
    let (subcode, error_type, _) = said.fault();
    (subcode, error_type)
}

fn is(said: &Said, expected: (&str, &str)) {
    assert_eq!(kind(said), (expected.0.to_owned(), expected.1.to_owned()), "{}", said.text);
}

#[actix::test]
async fn a_device_finds_the_server_and_is_told_where_to_go_on() {
    on_each_store(async |world| {
        for path in [DISCOVERY, "/api/mdm/microsoft/discovery"] {
            let probe = world.app.client.get(world.app.device_url(path)).send().await.unwrap();
            assert_eq!((probe.status(), probe.content_length()), (StatusCode::OK, Some(0)));
            let said = post(world, path, DISCOVER).await;
            assert_eq!(said.status, StatusCode::OK, "{}", said.text);
            let found = said.body();
            let at = |name: &str| find(&found, &["DiscoverResult", name]).text.clone();
            assert_eq!((at("AuthPolicy").as_str(), at("EnrollmentVersion").as_str()), ("Federated", "4.0"));
            assert_eq!(at("EnrollmentPolicyServiceUrl"), world.app.device_url(POLICY));
            assert_eq!(at("EnrollmentServiceUrl"), world.app.device_url(ENROLL));
            assert_eq!(at("AuthenticationServiceUrl"), world.app.device_url("/api/mdm/microsoft/auth"));
            assert!(said.text.contains("<a:RelatesTo>urn:uuid:11111111-0000-4000-8000-000000000001</a:RelatesTo>"));
        }
        let alone = DISCOVER.replace("<AuthPolicy>Federated</AuthPolicy>", "");
        let said = post(world, DISCOVERY, alone).await;
        assert!(said.text.contains(">OnPremise<") && !said.text.contains("AuthenticationServiceUrl"), "{}", said.text);
        let asked = |version: &str| post(world, DISCOVERY, DISCOVER.replace("9.0", version));
        for version in ["3.0", "4", "4.0", "9.0", "10.0"] {
            assert_eq!(asked(version).await.status, StatusCode::OK, "{version}");
        }
        is(&asked("2.9").await, ("s:EnrollmentServer", "NotSupported"));
        for version in ["abc", "", "4.0.1"] {
            is(&asked(version).await, ("s:MessageFormat", "InvalidEnrollmentData"));
        }
    })
    .await;
}

#[actix::test]
async fn an_agent_enrolls_the_host_that_it_runs_on() {
    on_each_store(async |world| {
        let node_key = agent(world, "PF0042").await;
        let token = agent_token(&node_key);
        let policies = post(world, POLICY, with_token(GET_POLICIES, &token)).await;
        assert_eq!(policies.status, StatusCode::OK, "{}", policies.text);
        assert!(policies.text.contains("<policySchema>3</policySchema>") && policies.text.contains(">2048<"));
        let enrolled = post(world, ENROLL, issue(&token, &key())).await.enrolled(&key());

        let known = hosts(world).await;
        assert_eq!(known.len(), 1, "it is the host that the agent made known");
        let host = &known[0];
        assert_eq!((&host["hardware_serial"], &host["platform"]), (&json!("PF0042"), &json!("windows")));
        assert_eq!(host["mdm"]["enrollment_status"], "On (manual)");
        let activities = world.app.get("/api/v1/fleet/activities").await.json;
        let activity = &activities["activities"][0];
        assert_eq!(
            (&activity["type"], &activity["details"]["mdm_platform"]),
            (&json!("mdm_enrolled"), &json!("microsoft"))
        );
        assert_eq!(activity["details"]["host_serial"], "PF0042");

        let certificate = enrolled.certificate();
        assert_eq!(certificate.subject_common_name(), Some(enrolled.name().as_str()));
        let day = std::time::Duration::from_secs(86_400);
        assert!(certificate.is_valid_at(world.now().plus(day * 364)) && certificate.is_valid_at(world.now()));
        assert_eq!(certificate.spki(), enrolled.key.public_key_to_der().unwrap());
        let authority = enrolled.parm(&["CertificateStore", "Root", "System", "*"], "EncodedCertificate").unwrap();
        let authority = protocol::pki::Certificate::parse(&STANDARD.decode(authority).unwrap()).unwrap();
        assert!(certificate.is_issued_by(&authority));
        let server = |name: &str| enrolled.parm(&["APPLICATION"], name);
        assert_eq!(server("ADDR"), Some(world.app.device_url("/api/mdm/microsoft/management")));
        let criteria = format!("Subject=CN%3d{}&Stores=My%5CUser", enrolled.name());
        assert_eq!(server("SSLCLIENTCERTSEARCHCRITERIA"), Some(criteria));
        let secret = enrolled.parm(&["APPLICATION", "APPAUTH"], "AAUTHSECRET").unwrap();
        assert!(secret.len() >= 32);
    })
    .await;
}

/// What is written beside the answer; no API shows it.
#[actix::test]
async fn what_an_enrollment_leaves_is_whole() {
    on_each_store(async |world| {
        let token = agent_token(&agent(world, "PF0042").await);
        let enrolled = post(world, ENROLL, issue(&token, &key())).await.enrolled(&key());
        let of_it = format!("external_id = '{}'", enrolled.name());
        let live = "kind = 10 AND generation = 0 AND enabled = true AND ended_at IS NULL AND enrolled_at IS NOT NULL";
        assert_eq!(count(world, &format!("enrollment WHERE {of_it} AND {live}")).await, 1);
        let joined = "JOIN enrollment ON enrollment.id = enrollment_id";
        let said = format!("device_id = '{DEVICE_ID}' AND hardware_id = '{HARDWARE_ID}' AND enrollment_type = 1");
        let said = format!("windows_enrollment {joined} WHERE {of_it} AND {said} AND not_in_oobe = true");
        assert_eq!(count(world, &said).await, 1);
        assert_eq!(count(world, &format!("identity {joined} WHERE {of_it} AND state = 1")).await, 1);
        let secret = format!("enrollment_secret {joined} WHERE {of_it} AND enrollment_secret.kind = 2");
        assert_eq!(count(world, &secret).await, 1);
    })
    .await;
}

#[actix::test]
async fn one_token_is_one_enrollment_however_often_and_at_once_it_comes() {
    on_each_store(async |world| {
        let token = admin_token(world, json!({})).await;
        let sent = (0..8).map(|_| post(world, ENROLL, issue(token.as_bytes(), &key())));
        let (taken, refused): (Vec<_>, Vec<_>) =
            join_all(sent).await.into_iter().partition(|said| said.status == StatusCode::OK);
        assert_eq!((taken.len(), refused.len()), (1, 7));
        refused.iter().for_each(|said| is(said, BAD_TOKEN));
        is(&post(world, POLICY, with_token(GET_POLICIES, token.as_bytes())).await, BAD_TOKEN);
        assert_eq!(hosts(world).await.len(), 1);
        assert_eq!(count(world, "enrollment").await, 1);

        let node_key = agent(world, "PF0042").await;
        let token = agent_token(&node_key);
        let sent = (0..8).map(|_| post(world, ENROLL, issue(&token, &key())));
        let taken = join_all(sent).await.iter().filter(|said| said.status == StatusCode::OK).count();
        assert_eq!(taken, 1, "an agent's host is enrolled once");
    })
    .await;
}

#[actix::test]
async fn nothing_but_a_good_token_lets_anybody_in() {
    on_each_store(async |world| {
        let mac = json!({
            "enroll_secret": crate::world::SECRET, "hardware_serial": "C02", "hardware_uuid": "U", "hostname": "mac",
            "platform": "darwin", "platform_like": "darwin", "osquery_identifier": "U", "computer_name": "Mac",
        });
        let mac = crate::app::answer(
            world.app.client.post(world.app.device_url("/api/fleet/orbit/enroll")).body(mac.to_string()),
        );
        let mac = mac.await.json["orbit_node_key"].as_str().unwrap().to_owned();
        let wrapped = |kind: i64, key: &str, token: &str| {
            json!({ "type": kind, "payload": { "orbit_node_key": key, "auth_token": token } }).to_string()
        };
        let tokens = [
            "not a token".to_owned(),
            "0123456789abcdef0123456789abcdef0123456789abcdef".into(),
            wrapped(1, "not a key of ours", ""),
            wrapped(1, &mac, ""),
            wrapped(2, "", "not a token of ours"),
            wrapped(3, &mac, ""),
            "{".into(),
            DEVICE_ID.into(),
        ];
        for token in &tokens {
            is(&post(world, ENROLL, issue(token.as_bytes(), &key())).await, BAD_TOKEN);
            is(&post(world, POLICY, with_token(GET_POLICIES, token.as_bytes())).await, BAD_TOKEN);
        }
        is(&post(world, ENROLL, issue(b"", &key())).await, BAD_TOKEN);
        let (from, to) = ("<wsse:BinarySecurityToken ValueType=\"http://schemas.microsoft.com/5.0.0.0", "</wsse:Security>");
        let request = issue(b"", &key());
        let (start, end) = (request.find(from).unwrap(), request.find(to).unwrap());
        let named = "<wsse:UsernameToken><wsse:Username>ana</wsse:Username><wsse:Password>hunter2</wsse:Password></wsse:UsernameToken>";
        let said = post(world, ENROLL, format!("{}{named}{}", &request[..start], &request[end..])).await;
        is(&said, BAD_TOKEN);
        assert!(said.fault().2.contains("sign-in page") && !said.text.contains("hunter2"), "{}", said.text);
        is(&post(world, ENROLL, issue_with_jwt("a.b.c", &key())).await, BAD_TOKEN);
        assert_eq!((count(world, "identity").await, count(world, "windows_enrollment").await), (0, 0));
        assert_eq!(hosts(world).await.len(), 1, "the Mac alone");
    })
    .await;
}

#[actix::test]
async fn requests_that_are_wrong_are_told_so_and_use_nothing_up() {
    on_each_store(async |world| {
        let token = admin_token(world, json!({})).await;
        let good = issue(token.as_bytes(), &key());
        let format = ("s:MessageFormat", "InvalidEnrollmentData");
        for wrong in [
            String::new(),
            "not XML".into(),
            format!("<!DOCTYPE x [<!ENTITY a \"b\">]>{good}"),
            format!("{}{}", "<a>".repeat(100), "</a>".repeat(100)),
            good.replace(DEVICE_ID, " "),
            good.replace("<ac:Value>Full<", "<ac:Value>Half<"),
            good.replace("/Issue<", "/Cancel<"),
            good.replace("a:MessageID", "a:Other"),
            good.replace("a:ReplyTo", "a:Other"),
            good.replace("a:Action", "a:Other"),
            good.replace("a:To", "a:Other"),
            with_token(GET_POLICIES, token.as_bytes()),
            "x".repeat(600 * 1024),
        ] {
            is(&post(world, ENROLL, wrong).await, format);
        }
        is(&post(world, POLICY, good.clone()).await, format);
        is(&post(world, DISCOVERY, good.clone()).await, format);

        let small = openssl::pkey::PKey::from_rsa(openssl::rsa::Rsa::generate(1024).unwrap()).unwrap();
        let elliptic = certification_request(&NewKey::P256.generate().unwrap(), "device", None).unwrap();
        let mut forged = csr(&key());
        *forged.last_mut().unwrap() ^= 1;
        for wrong in [csr(&small), elliptic, forged, b"no request".to_vec()] {
            let request = with_token(ISSUE, token.as_bytes()).replace("{csr}", &broken_base64(&wrong));
            is(&post(world, ENROLL, request).await, ("s:CertificateRequest", "InvalidEnrollmentData"));
        }
        assert_eq!(hosts(world).await.len(), 0);
        post(world, ENROLL, good).await.enrolled(&key());
    })
    .await;
}

/// Others re-linked devices on their word (windows.md 1.5): whoever holds any token claims the hardware id of another device.
#[actix::test]
async fn no_claim_of_hardware_takes_over_anothers_host() {
    on_each_store(async |world| {
        let victim = agent_token(&agent(world, "VICTIM").await);
        let victim = post(world, ENROLL, issue(&victim, &key())).await.enrolled(&key());
        let before = hosts(world).await[0].clone();
        let live =
            |name: &str| format!("enrollment WHERE external_id = '{name}' AND enabled = true AND ended_at IS NULL");
        for _ in 0..2 {
            let token = admin_token(world, json!({})).await;
            post(world, ENROLL, issue(token.as_bytes(), &key())).await.enrolled(&key());
        }
        // One whose DeviceID is the UUID of the victim's row.
        let token = admin_token(world, json!({})).await;
        let request = issue(token.as_bytes(), &key()).replace(DEVICE_ID, "UUID-VICTIM");
        post(world, ENROLL, request).await.enrolled(&key());
        let known = hosts(world).await;
        assert_eq!(known.len(), 4, "each is a host of its own");
        let after = known.iter().find(|host| host["id"] == before["id"]).unwrap();
        assert_eq!((&after["hardware_serial"], &after["uuid"]), (&before["hardware_serial"], &before["uuid"]));
        assert_eq!(count(world, &live(&victim.name())).await, 1, "it is managed as before");
    })
    .await;
}

#[actix::test]
async fn a_token_for_a_host_enrolls_that_host_again_and_ends_what_was() {
    on_each_store(async |world| {
        let first = agent_token(&agent(world, "PF0042").await);
        let first = post(world, ENROLL, issue(&first, &key())).await.enrolled(&key());
        let id = hosts(world).await[0]["id"].clone();
        let token = admin_token(world, json!({ "host_id": id, "upn": "ana@example.test" })).await;
        let request = issue(token.as_bytes(), &key()).replace(DEVICE_ID, "ANOTHERDEVICEID");
        let second = post(world, ENROLL, request).await.enrolled(&key());
        assert_eq!(hosts(world).await.len(), 1);
        assert_ne!(first.name(), second.name());
        assert_eq!(second.parm(&["DMClient", "Provider", "Rookery"], "UPN").as_deref(), Some("ana@example.test"));
        let ended = "enabled = false AND ended_at IS NOT NULL";
        let of = |name: &str| format!("external_id = '{name}'");
        assert_eq!(count(world, &format!("enrollment WHERE {} AND {ended}", of(&first.name()))).await, 1);
        let joined = "identity JOIN enrollment ON enrollment.id = enrollment_id";
        assert_eq!(count(world, &format!("{joined} WHERE {} AND state = 2", of(&first.name()))).await, 1);
        assert_eq!(count(world, &format!("{joined} WHERE {} AND state = 1", of(&second.name()))).await, 1);
    })
    .await;
}

#[actix::test]
async fn admins_make_tokens_for_what_they_may_and_as_long_as_that_lasts() {
    on_each_store(async |world| {
        let all = &world.app.token;
        let own = team(world, "Own").await;
        let made =
            done(world, all, reqwest::Method::POST, "/windows_enrollment_tokens", json!({ "team_id": own })).await;
        let token = made["token"].as_str().unwrap();
        assert!(made["link"].as_str().unwrap().ends_with(&format!("&accesstoken={token}")), "{made}");
        assert_eq!(made["discovery_url"], world.app.device_url(DISCOVERY));
        let wrapped = json!({ "type": 2, "payload": { "auth_token": token } }).to_string();
        post(world, ENROLL, issue(wrapped.as_bytes(), &key())).await.enrolled(&key());
        assert_eq!(hosts(world).await[0]["team_id"], own);
        let listed = world.app.get("/api/v1/fleet/activities").await.json;
        let kinds: Vec<&Value> = listed["activities"].as_array().unwrap().iter().map(|one| &one["type"]).collect();
        assert!(kinds.contains(&&json!("created_windows_enrollment_token")), "{kinds:?}");
        assert!(!listed.to_string().contains(token), "it is shown once");
        for wrong in [
            json!({ "expires_at": "yesterday" }),
            json!({ "expires_at": "2020-01-01T00:00:00Z" }),
            json!({ "expires_at": "2999-01-01T00:00:00Z" }),
            json!({ "upn": "" }),
            json!({ "host_id": 1, "team_id": own }),
        ] {
            let refused = world.app.post("/api/v1/fleet/windows_enrollment_tokens", &wrong).await;
            assert!(refused.status.is_client_error(), "{wrong}: {}", refused.json);
        }
        let nowhere = world.app.post("/api/v1/fleet/windows_enrollment_tokens", &json!({ "team_id": 999_999 })).await;
        assert_eq!(nowhere.status, StatusCode::NOT_FOUND);
        let token = admin_token(world, json!({})).await;
        world.app.running().parts.clock.advance(std::time::Duration::from_secs(25 * 3600));
        is(&post(world, ENROLL, issue(token.as_bytes(), &key())).await, BAD_TOKEN);
    })
    .await;
}

#[actix::test]
async fn a_server_that_takes_no_windows_says_so() {
    let off = |settings: &mut rookery::config::Settings| settings.windows.enabled = false;
    on_each_store_with(off, async |world| {
        let refused = ("s:EnrollmentServer", "NotSupported");
        is(&post(world, DISCOVERY, DISCOVER).await, refused);
        let token = admin_token(world, json!({})).await;
        is(&post(world, ENROLL, issue(token.as_bytes(), &key())).await, refused);
    })
    .await;
}
