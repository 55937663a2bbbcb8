use std::time::Duration;

use openssl::asn1::Asn1Time;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::x509::X509Name;
use proptest::prelude::*;

use super::*;
use crate::pki::authority::{Authority, AuthorityRole};
use crate::pki::fixtures::{NOW, YEAR, authority, ec_key, identity, rsa_key};
use crate::pki::issue::self_signed;
use crate::pki::public_key::Curve;

#[test]
fn the_facts_are_those_that_openssl_reads() {
    for signer in [identity(rsa_key(), "device-1"), identity(ec_key(), "device-1")] {
        let certificate = signer.certificate();
        let other = X509::from_der(certificate.der()).unwrap();
        assert_eq!(certificate.subject_common_name(), Some("device-1"));
        assert_eq!(certificate.subject_user_id(), None);
        let serial = other.serial_number().to_bn().unwrap().to_hex_str().unwrap().to_lowercase();
        assert_eq!(certificate.serial(), serial);
        let digest = other.digest(MessageDigest::sha256()).unwrap();
        assert_eq!(certificate.fingerprint().as_bytes()[..], digest[..]);
        assert_eq!(certificate.spki(), other.public_key().unwrap().public_key_to_der().unwrap());
        assert_eq!(certificate.subject(), other.subject_name().to_der().unwrap());
        assert_eq!(certificate.issuer(), other.issuer_name().to_der().unwrap());
        let at = |moment: Timestamp| Asn1Time::from_unix(moment.seconds()).unwrap();
        assert!(*other.not_before() == at(certificate.not_before()));
        assert!(*other.not_after() == at(certificate.not_after()));
        assert!(!certificate.is_authority());
    }
    assert!(authority().certificate().is_authority());
    assert_eq!(identity(ec_key(), "device-1").certificate().key_kind(), KeyKind::Ec(Curve::P256));
}

#[test]
fn a_push_certificate_names_its_topic() {
    let push = authority().issue_push("com.apple.mgmt.External.1", NOW, YEAR).unwrap();
    assert_eq!(push.certificate().subject_user_id(), Some("com.apple.mgmt.External.1"));
    assert_eq!(push.certificate().key_kind(), KeyKind::Rsa { bits: 2048 });
}

#[test]
fn pem_is_read_and_written() {
    let certificate = authority().certificate();
    let pem = certificate.to_pem().unwrap();
    assert_eq!(Certificate::from_pem(pem.as_bytes()).as_ref(), Ok(certificate));
    assert_eq!(Certificate::from_pem(b"-----BEGIN CERTIFICATE-----\n"), Err(CertificateError::NotPem));
    assert_eq!(Certificate::from_pem(b""), Err(CertificateError::NotPem));
}

#[test]
fn bytes_too_few_too_many_or_too_large_are_no_certificate() {
    let der = authority().certificate().der();
    for end in 0..der.len() {
        assert_eq!(Certificate::parse(&der[..end]), Err(CertificateError::Malformed), "cut at {end}");
    }
    assert_eq!(Certificate::parse(&[der, &[0]].concat()), Err(CertificateError::Malformed));
    assert_eq!(Certificate::parse(&vec![0x30; MAX_CERTIFICATE_BYTES + 1]), Err(CertificateError::TooLarge));
}

#[test]
fn dates_after_2049_are_read() {
    let far = Authority::create("Far", NOW, 100, AuthorityRole::IssuesOnly).unwrap();
    assert_eq!(far.certificate().not_after(), NOW.plus(Duration::from_secs(3_155_760_000)));
    assert_eq!(far.certificate().not_after().to_rfc3339(), "2126-11-22T09:30:00Z");
}

#[test]
fn a_certificate_with_an_unknown_kind_of_key_is_read() {
    let key = PKey::generate_ed25519().unwrap();
    let mut name = X509Name::builder().unwrap();
    name.append_entry_by_text("O", "no common name").unwrap();
    let mut builder = X509::builder().unwrap();
    builder.set_subject_name(&name.build()).unwrap();
    builder.set_not_before(&Asn1Time::from_unix(1_000_000_000).unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::from_unix(2_000_000_000).unwrap()).unwrap();
    builder.set_pubkey(&key).unwrap();
    builder.sign(&key, MessageDigest::null()).unwrap();
    let certificate = Certificate::parse(&builder.build().to_der().unwrap()).unwrap();
    assert_eq!(certificate.key_kind(), KeyKind::Other);
    assert_eq!(certificate.public_key(), Err(KeyError::Unsupported));
    assert_eq!(certificate.subject_common_name(), None);
    assert_eq!(certificate.serial(), "00");
    assert!(!certificate.is_issued_by(&certificate), "a key that cannot be read verifies nothing");
}

#[test]
fn only_the_key_that_signed_makes_an_issuer() {
    let device = identity(ec_key(), "device-1");
    let namesake = Authority::create("Test CA", NOW, 10, AuthorityRole::IssuesOnly).unwrap();
    assert!(device.certificate().is_issued_by(authority().certificate()));
    assert!(authority().certificate().is_issued_by(authority().certificate()));
    assert!(!device.certificate().is_issued_by(namesake.certificate()), "same name, other key");
    assert!(!authority().certificate().is_issued_by(device.certificate()));
    let renamed = self_signed(authority().signer().key().to_owned(), "Another CA", NOW, YEAR).unwrap();
    assert!(!device.certificate().is_issued_by(renamed.certificate()), "same key, other name");

    let der = device.certificate().der();
    let at = der.windows(8).position(|window| window == b"device-1").unwrap();
    let mut altered = der.to_vec();
    altered[at + 7] = b'2';
    let altered = Certificate::parse(&altered).unwrap();
    assert_eq!(altered.subject_common_name(), Some("device-2"));
    assert!(!altered.is_issued_by(authority().certificate()));
}

#[test]
fn validity_includes_both_ends() {
    let certificate = authority().certificate();
    let second = Duration::from_secs(1);
    assert!(certificate.is_valid_at(certificate.not_before()) && certificate.is_valid_at(certificate.not_after()));
    assert!(!certificate.is_valid_at(certificate.not_before().minus(second)));
    assert!(!certificate.is_valid_at(certificate.not_after().plus(second)));
}

#[test]
fn a_fingerprint_is_sixty_four_digits() {
    let fingerprint = authority().certificate().fingerprint();
    let text = fingerprint.to_string();
    assert_eq!(text.len(), 64);
    assert_eq!(text.parse(), Ok(fingerprint));
    assert_eq!(text.to_uppercase().parse(), Ok(fingerprint));
    for wrong in ["", &text[1..], &format!("{text}00"), &text.replace(char::is_alphanumeric, "g"), &"é".repeat(32)] {
        assert_eq!(wrong.parse::<Fingerprint>(), Err(FingerprintError), "{wrong}");
    }
}

proptest! {
    // Keys are new in every run, so a stored seed would not bring a failure back.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn altered_certificates_never_panic(at in any::<prop::sample::Index>(), value in any::<u8>(), cut in any::<prop::sample::Index>()) {
        let mut der = identity(ec_key(), "device-1").certificate().der().to_vec();
        let at = at.index(der.len());
        der[at] = value;
        if let Ok(certificate) = Certificate::parse(&der) {
            let _ = certificate.public_key().map(|key| key.to_pkey().is_ok());
            let _ = certificate.is_issued_by(authority().certificate());
        }
        der.truncate(cut.index(der.len()));
        prop_assert!(Certificate::parse(&der).is_err());
    }
}
