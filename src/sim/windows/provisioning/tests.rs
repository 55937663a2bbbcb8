use std::sync::OnceLock;

use openssl::base64::encode_block;
use openssl::pkey::{PKey, Private};
use protocol::pki::NewKey;

use super::*;
use crate::sim::fixture::{DAY, authority, now};
use crate::sim::windows::fake_mdm::document;

fn key() -> &'static PKey<Private> {
    static KEY: OnceLock<PKey<Private>> = OnceLock::new();
    KEY.get_or_init(|| NewKey::Rsa2048.generate().unwrap())
}

fn certificate_for(days: u32) -> Certificate {
    let spki = key().public_key_to_der().unwrap();
    authority().issue_identity(&spki, "enrollment-1", now(), DAY * days).unwrap()
}

fn good() -> String {
    document(&certificate_for(365), "enrollment-1", "https://localhost/manage", "DEV1")
}

fn judged(text: &str) -> (Result<Provisioned, String>, Vec<String>) {
    let spki = key().public_key_to_der().unwrap();
    let facts = Facts { spki: &spki, now: now(), store: "User" };
    let mut judge = Judge::default();
    let read = enrolled(text.as_bytes(), &facts, &mut judge);
    (read, judge.breaches())
}

#[test]
fn a_good_document_is_read_and_found_to_be_one() {
    let (read, breaches) = judged(&good());
    assert_eq!(breaches, [""; 0]);
    let read = read.unwrap();
    assert_eq!((read.enrollment_id.as_str(), read.provider.as_str()), ("enrollment-1", "Fake"));
    assert_eq!((read.poll.first, read.credentials.0.as_str()), ((0, 1), "DEV1"));
}

#[test]
fn every_breach_is_noticed() {
    for (from, to, expected) in [
        ("version=\"1.1\"", "version=\"1.0\"", "the document's version"),
        ("wap-provisioningdoc", "wap-provisioning", ""),
        ("name=\"APPID\" value=\"w7\"", "name=\"APPID\" value=\"w5\"", "APPID"),
        ("name=\"NAME\"", "name=\"Name\"", "Name is not upper case"),
        ("<parm name=\"PROVIDER-ID\" value=\"Fake\"/>", "", "the provider is called"),
        (
            "<parm name=\"PROVIDER-ID\" value=\"Fake\"/>",
            "<parm name=\"PROVIDER-ID\" value=\"a b\"/>",
            "the provider is called",
        ),
        ("<characteristic type=\"Fake\">", "<characteristic type=\"Other\">", "the provider of DMClient"),
        ("value=\"https://localhost", "value=\"http://localhost", "ADDR"),
        ("name=\"CONNRETRYFREQ\" value=\"6\"", "name=\"X\" value=\"6\"", "CONNRETRYFREQ is missing"),
        ("BACKCOMPATRETRYDISABLED\"", "BACKCOMPATRETRYDISABLED\" value=\"1\"", "BACKCOMPATRETRYDISABLED"),
        ("syncml.dm+xml", "syncml.dm+wbxml", "DEFAULTENCODING"),
        ("Subject=CN%3d", "Subject=CN%3dx", "does not find the certificate"),
        ("value=\"CLIENT\"", "value=\"APPSRV\"", ""),
        ("value=\"APPSRV\"", "value=\"CLIENT\"", ""),
        ("name=\"AAUTHTYPE\" value=\"DIGEST\"", "name=\"AAUTHTYPE\" value=\"BASIC\"", "AAUTHTYPE of the server"),
        ("name=\"AAUTHNAME\"", "name=\"AAUTHNOBODY\"", "AAUTHNAME of the client"),
        ("value=\"a-secret-of-the-client-for-digests\"", "value=\"short\"", "AAUTHSECRET of the client"),
        ("name=\"EntDMID\"", "name=\"Other\"", "no EntDMID"),
        ("value=\"5.0\"", "value=\"1.0\"", "SyncApplicationVersion"),
        ("ROBOSupport", "Robo", "ROBOSupport is missing"),
        (
            "name=\"RenewPeriod\" value=\"60\" datatype=\"integer\"",
            "name=\"RenewPeriod\" value=\"60\"",
            "RenewPeriod is no",
        ),
        ("<characteristic type=\"PrivateKeyContainer\"/>", "", "PrivateKeyContainer"),
        ("<characteristic type=\"User\">", "<characteristic type=\"System\">", ""),
        (
            "name=\"IntervalForFirstSetOfRetries\" value=\"1\"",
            "name=\"IntervalForFirstSetOfRetries\" value=\"0\"",
            "the poll schedule is empty",
        ),
        ("name=\"NumberOfFirstRetries\"", "name=\"Tries\"", "the poll schedule holds Tries"),
        ("<characteristic type=\"Poll\">", "<characteristic type=\"Polls\">", "there is no poll schedule"),
    ] {
        let text = good();
        assert!(text.contains(from), "{from} is not in the text");
        let (read, breaches) = judged(&text.replacen(from, to, 1));
        let noticed = match expected {
            "" => read.is_err(),
            _ => breaches.iter().any(|breach| breach.contains(expected)),
        };
        assert!(noticed, "{from} -> {to}: {breaches:?}");
    }
}

#[test]
fn certificates_are_looked_at_closely() {
    let spki = NewKey::Rsa2048.generate().unwrap().public_key_to_der().unwrap();
    let others = authority().issue_identity(&spki, "enrollment-1", now(), DAY * 365).unwrap();
    let ours = certificate_for(365);
    for (certificate, expected) in [(certificate_for(185), "lasts 18"), (others, "for another key")] {
        let text = document(&certificate, "enrollment-1", "https://localhost/manage", "DEV1");
        let (_, breaches) = judged(&text);
        assert!(breaches.iter().any(|breach| breach.contains(expected)), "{expected}: {breaches:?}");
    }
    let thumbprint = upper_hex(&openssl::sha::sha1(ours.der()));
    let text = document(&ours, "enrollment-1", "https://localhost/manage", "DEV1");
    let (_, breaches) = judged(&text.replacen(&thumbprint, &thumbprint.to_lowercase(), 1));
    assert!(breaches.iter().any(|breach| breach.contains("thumbprint")), "{breaches:?}");
    let root = encode_block(authority().certificate().der());
    let swapped = text.replacen(&root, &encode_block(ours.der()), 1);
    let (_, breaches) = judged(&swapped);
    assert!(breaches.iter().any(|breach| breach.contains("not issued by the root")), "{breaches:?}");
}
