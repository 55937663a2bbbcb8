//! Windows devices renew their certificates (ROBO): by the live one alone, as often as they like, until the new one is used.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use protocol::pki::authority::{Authority, AuthorityRole};
use protocol::pki::scep::client::certification_request;
use protocol::pki::signature::{sign_attached, sign_detached};
use protocol::pki::{Certificate, NewKey, Signer, self_signed};
use serde_json::json;

use crate::postgres;
use crate::windows_client::*;
use crate::world::{World, now, on_each_store};

const DAY: Duration = Duration::from_secs(86_400);

/// A device that enrolled, and signs with what it was given.
async fn enrolled(world: &World) -> (Enrolled, Signer) {
    let token = admin_token(world, json!({})).await;
    let enrolled = post(world, ENROLL, issue(token.as_bytes(), &key())).await.enrolled(&key());
    let signer = Signer::new(enrolled.certificate(), key()).unwrap();
    (enrolled, signer)
}

fn request(cms: &[u8]) -> String {
    RENEW.replace("{cms}", &broken_base64(cms))
}

/// A request for this certificate request, signed by this signer.
fn signed(csr: &[u8], signer: &Signer) -> String {
    request(&sign_attached(csr, signer, &[]).unwrap())
}

fn is_refused(said: &Said) {
    let (subcode, error_type, _) = said.fault();
    assert_eq!((subcode.as_str(), error_type.as_str()), ("s:Authorization", "NotEligibleToRenew"), "{}", said.text);
}

fn renewed_certificate(said: &Said, key: &openssl::pkey::PKey<openssl::pkey::Private>) -> Certificate {
    let renewed = said.enrolled(key);
    assert_eq!(renewed.parm(&["APPLICATION"], "PROVIDER-ID").as_deref(), Some("Rookery"));
    assert_eq!(renewed.parm(&["APPLICATION"], "ADDR"), None);
    assert_eq!(renewed.parm(&["CertificateStore", "Root", "System", "*"], "EncodedCertificate"), None);
    renewed.certificate()
}

async fn post_showing(world: &World, signer: &Signer, body: String) -> Said {
    send(showing(world, signer).post(world.app.device_url(ENROLL)).body(body)).await
}

async fn states(world: &World, of: &Enrolled, state: i16, renewal: bool) -> i64 {
    let rows = "identity JOIN enrollment ON enrollment.id = enrollment_id";
    let these = format!("external_id = '{}' AND state = {state} AND renewal = {renewal}", of.name());
    postgres::count(&world.app.settings.database(), &format!("SELECT count(*) AS counted FROM {rows} WHERE {these}"))
        .await
}

#[actix::test]
async fn the_live_certificate_is_renewed_and_works_until_the_new_one_is_used() {
    on_each_store(async |world| {
        let (device, signer) = enrolled(world).await;
        let next = NewKey::Rsa2048.generate().unwrap();
        let request = signed(&csr(&next), &signer);
        let certificate = renewed_certificate(&post(world, ENROLL, request.clone()).await, &next);
        assert_eq!(certificate.subject_common_name(), Some(device.name().as_str()));
        assert_eq!(certificate.spki(), next.public_key_to_der().unwrap());
        assert_eq!((states(world, &device, 1, false).await, states(world, &device, 0, true).await), (1, 1));

        // The answer was lost: the same request gets one again.
        renewed_certificate(&post(world, ENROLL, request.clone()).await, &next);
        renewed_certificate(&post_showing(world, &signer, request.clone()).await, &next);
        assert_eq!((states(world, &device, 1, false).await, states(world, &device, 0, true).await), (1, 3));
        // The one that was not used yet is a live one, too.
        let later = Signer::new(certificate, next.clone()).unwrap();
        let third = NewKey::Rsa2048.generate().unwrap();
        renewed_certificate(&post(world, ENROLL, signed(&csr(&third), &later)).await, &third);

        let answer = session(world, &later).await;
        assert!(answer.contains("<Data>200</Data>"), "the new one is used: {answer}");
        is_refused(&post(world, ENROLL, request).await);
        assert_eq!((states(world, &device, 2, false).await, states(world, &device, 1, true).await), (1, 1));
    })
    .await;
}

#[actix::test]
async fn nobody_else_renews_it() {
    on_each_store(async |world| {
        let (device, signer) = enrolled(world).await;
        let foreign = Authority::create("Foreign CA", now(), 1, AuthorityRole::IssuesOnly).unwrap();
        let spki = key().public_key_to_der().unwrap();
        let of_foreign = foreign.issue_identity(&spki, &device.name(), now(), DAY).unwrap();
        let of_foreign = Signer::new(of_foreign, key()).unwrap();
        let of_itself = self_signed(key(), &device.name(), now(), DAY).unwrap();
        for other in [&of_foreign, &of_itself] {
            is_refused(&post(world, ENROLL, signed(&csr(&key()), other)).await);
        }
        let good = signed(&csr(&key()), &signer);
        is_refused(&post(world, ENROLL, good.replace(DEVICE_ID, "ANOTHER")).await);
        let (_, another) = enrolled(world).await;
        is_refused(&post_showing(world, &another, good.clone()).await);
        is_refused(&post_showing(world, &of_foreign, good.clone()).await);
        let before = states(world, &device, 0, true).await;
        assert_eq!(before, 0);
        renewed_certificate(&post(world, ENROLL, good.clone()).await, &key());
        world.app.running().parts.clock.advance(DAY * 366);
        is_refused(&post(world, ENROLL, good).await);
    })
    .await;
}

#[actix::test]
async fn what_is_not_signed_as_it_should_be_renews_nothing() {
    on_each_store(async |world| {
        let (_, signer) = enrolled(world).await;
        let good = csr(&key());
        let mut forged = good.clone();
        *forged.last_mut().unwrap() ^= 1;
        let elliptic = certification_request(&NewKey::P256.generate().unwrap(), "device", None).unwrap();
        for inner in [forged, elliptic, b"no request".to_vec()] {
            is_refused(&post(world, ENROLL, signed(&inner, &signer)).await);
        }
        let whole = sign_attached(&good, &signer, &[]).unwrap();
        let mut tampered = whole.clone();
        *tampered.last_mut().unwrap() ^= 1;
        let detached = sign_detached(&good, &signer, true).unwrap();
        for cms in [tampered, detached, signed_twice(&whole), good.clone(), b"nothing".to_vec()] {
            is_refused(&post(world, ENROLL, request(&cms)).await);
        }
        let bare = with_token(ISSUE, b"x").replace("{csr}", &STANDARD.encode(&good)).replace("/Issue<", "/Renew<");
        let (subcode, _, _) = post(world, ENROLL, bare).await.fault();
        assert_eq!(subcode, "s:MessageFormat", "a request that nobody signed");
        renewed_certificate(&post(world, ENROLL, request(&whole)).await, &key());
    })
    .await;
}

#[actix::test]
async fn an_enrollment_that_ended_is_not_renewed() {
    on_each_store(async |world| {
        let (_, signer) = enrolled(world).await;
        let good = signed(&csr(&key()), &signer);
        let id = hosts(world).await[0]["id"].clone();
        let token = admin_token(world, json!({ "host_id": id })).await;
        post(world, ENROLL, issue(token.as_bytes(), &key())).await.enrolled(&key());
        is_refused(&post(world, ENROLL, good).await);
    })
    .await;
}

/// The actor of its host is at work all the while.
#[actix::test]
async fn a_device_that_enrolls_again_is_managed_at_once_and_its_former_self_no_more() {
    on_each_store(async |world| {
        let (_, former) = enrolled(world).await;
        let is_managed =
            async |signer: &Signer| session(world, signer).await.contains("<Cmd>SyncHdr</Cmd><Data>200</Data>");
        assert!(is_managed(&former).await);
        let id = hosts(world).await[0]["id"].clone();
        let command = json!({ "command": { "verb": "Get", "target": "./DevInfo/Mod" }, "host_ids": [id] });
        let ran = world.app.post("/api/v1/fleet/commands/run", &command).await.json;
        let token = admin_token(world, json!({ "host_id": id })).await;
        let again = post(world, ENROLL, issue(token.as_bytes(), &key())).await.enrolled(&key());
        assert!(is_managed(&again.signer()).await);
        assert!(!is_managed(&former).await);
        let path = format!("/api/v1/fleet/commands/results?command_uuid={}", ran["command_uuid"].as_str().unwrap());
        let results = world.app.get(&path).await.json;
        assert_eq!(results["results"][0]["status"], "Superseded", "{results}");
    })
    .await;
}

/// The same message with its one SignerInfo twice.
fn signed_twice(cms: &[u8]) -> Vec<u8> {
    let outer = parts(&parts(cms)[0].1);
    let data = parts(&parts(&outer[1].1)[0].1);
    let mut inner = Vec::new();
    for (at, (tag, body)) in data.iter().enumerate() {
        let twice = if at + 1 == data.len() { [body.as_slice(), body].concat() } else { body.clone() };
        inner.extend(tlv(*tag, &twice));
    }
    let explicit = tlv(outer[1].0, &tlv(0x30, &inner));
    tlv(0x30, &[tlv(outer[0].0, &outer[0].1), explicit].concat())
}

/// The elements that stand one behind the other in DER.
fn parts(mut der: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut found = Vec::new();
    while let [tag, first, rest @ ..] = der {
        let digits = if *first < 0x80 { 0 } else { usize::from(*first & 0x7f) };
        let length = match digits {
            0 => usize::from(*first),
            _ => rest[..digits].iter().fold(0, |sum, octet| (sum << 8) | usize::from(*octet)),
        };
        found.push((*tag, rest[digits..digits + length].to_vec()));
        der = &rest[digits + length..];
    }
    found
}

fn tlv(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = match body.len() {
        short @ 0..0x80 => vec![short as u8],
        long => [&[0x84], (long as u32).to_be_bytes().as_slice()].concat(),
    };
    // DER wants the shortest length.
    let length = match length.as_slice() {
        [0x84, 0, 0, 0, octet] => vec![0x81, *octet],
        [0x84, 0, 0, high, low] => vec![0x82, *high, *low],
        _ => length,
    };
    [&[tag], length.as_slice(), body].concat()
}
