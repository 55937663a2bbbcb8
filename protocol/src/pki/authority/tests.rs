use openssl::pkey::PKey;
use openssl::rsa::Rsa;
use openssl::stack::Stack;
use openssl::x509::store::X509StoreBuilder;
use openssl::x509::verify::X509VerifyParam;
use openssl::x509::{X509PurposeId, X509StoreContext};

use super::*;
use crate::pki::fixtures::{NOW, YEAR, authority, ec_key, identity, ra, rsa_key};
use crate::pki::public_key::KeyError;

/// Whether OpenSSL's own chain check accepts `certificate` for `purpose` at the moment of the tests.
fn chains(certificate: &Certificate, purpose: X509PurposeId) -> bool {
    let mut store = X509StoreBuilder::new().unwrap();
    store.add_cert(authority().certificate().to_openssl().unwrap()).unwrap();
    let mut parameters = X509VerifyParam::new().unwrap();
    parameters.set_time(NOW.seconds());
    parameters.set_purpose(purpose).unwrap();
    store.set_param(&parameters).unwrap();
    let mut context = X509StoreContext::new().unwrap();
    let certificate = certificate.to_openssl().unwrap();
    context.init(&store.build(), &certificate, &Stack::new().unwrap(), |context| context.verify_cert()).unwrap()
}

fn text_of(certificate: &Certificate) -> String {
    String::from_utf8(certificate.to_openssl().unwrap().to_text().unwrap()).unwrap()
}

#[test]
fn an_identity_says_only_what_the_server_chose() {
    let device = identity(rsa_key(), "enrollment-7");
    let certificate = device.certificate();
    let text = text_of(certificate);
    assert!(text.contains("Subject: CN = enrollment-7") || text.contains("Subject: CN=enrollment-7"), "{text}");
    assert!(text.contains("X509v3 Extended Key Usage: \n                TLS Web Client Authentication\n"), "{text}");
    assert!(text.contains("Digital Signature, Key Encipherment\n"), "{text}");
    assert!(text.contains("CA:FALSE"), "{text}");
    assert!(!text.contains("Alternative Name"), "{text}");
    let openssl = certificate.to_openssl().unwrap();
    let issuer = authority().certificate().to_openssl().unwrap();
    assert_eq!(
        openssl.authority_key_id().map(|id| id.as_slice().to_vec()),
        issuer.subject_key_id().map(|id| id.as_slice().to_vec())
    );
    assert!(chains(certificate, X509PurposeId::SSL_CLIENT));
    assert!(!chains(certificate, X509PurposeId::SSL_SERVER));
}

#[test]
fn an_elliptic_identity_does_not_claim_to_encrypt() {
    let text = text_of(identity(ec_key(), "enrollment-8").certificate());
    assert!(text.contains("Digital Signature\n") && !text.contains("Key Encipherment"), "{text}");
}

#[test]
fn dates_come_from_the_argument_and_end_with_the_authority() {
    let spki = rsa_key().public_key_to_der().unwrap();
    let later = NOW.plus(YEAR);
    let issued = authority().issue_identity(&spki, "a", later, YEAR).unwrap();
    assert_eq!(issued.not_before(), later.minus(BACKDATED));
    assert_eq!(issued.not_after(), later.plus(YEAR));
    let clamped = authority().issue_identity(&spki, "a", later, YEAR * 50).unwrap();
    assert_eq!(clamped.not_after(), authority().certificate().not_after());
    for outside in [NOW.minus(YEAR), NOW.plus(YEAR * 11)] {
        let refused = authority().issue_identity(&spki, "a", outside, YEAR);
        assert!(matches!(refused, Err(IssueError::AuthorityNotValid)), "{refused:?}");
    }
}

#[test]
fn serial_numbers_are_long_and_never_repeat() {
    let spki = ec_key().public_key_to_der().unwrap();
    let serials: std::collections::HashSet<String> =
        (0..50).map(|_| authority().issue_identity(&spki, "a", NOW, YEAR).unwrap().serial().to_owned()).collect();
    assert_eq!(serials.len(), 50);
    assert!(serials.iter().any(|serial| serial.len() == 32), "128 bits: {serials:?}");
}

#[test]
fn weak_and_foreign_keys_get_no_identity() {
    let weak = Rsa::generate(1024).unwrap().public_key_to_der().unwrap();
    let edwards = PKey::generate_ed25519().unwrap().public_key_to_der().unwrap();
    for (spki, expected) in
        [(&weak[..], KeyError::Weak), (&edwards[..], KeyError::Unsupported), (&[], KeyError::Unsupported)]
    {
        let refused = authority().issue_identity(spki, "a", NOW, YEAR);
        assert!(matches!(refused, Err(IssueError::Key(error)) if error == expected), "{refused:?}");
    }
}

#[test]
fn names_that_do_not_fit_are_refused() {
    let spki = ec_key().public_key_to_der().unwrap();
    for name in ["", "a\0b", "line\nbreak", &"x".repeat(65)] {
        let refused = authority().issue_identity(&spki, name, NOW, YEAR);
        assert!(matches!(refused, Err(IssueError::Name)), "{name:?}: {refused:?}");
    }
    let unicode = authority().issue_identity(&spki, "Zoë, O=Evil/CN=x", NOW, YEAR).unwrap();
    assert_eq!(unicode.subject_common_name(), Some("Zoë, O=Evil/CN=x"));
}

#[test]
fn an_authority_survives_its_pem_texts() {
    let original = authority();
    let key = original.signer().private_key_pem().unwrap();
    let certificate = original.certificate().to_pem().unwrap();
    let read = Authority::from_pem(certificate.as_bytes(), &key).unwrap();
    let spki = ec_key().public_key_to_der().unwrap();
    let issued = read.issue_identity(&spki, "a", NOW, YEAR).unwrap();
    assert!(issued.is_issued_by(original.certificate()));
}

#[test]
fn pem_texts_that_make_no_authority_are_told_apart() {
    let leaf = ra();
    let (certificate, key) = (leaf.certificate().to_pem().unwrap(), leaf.private_key_pem().unwrap());
    assert!(matches!(Authority::from_pem(certificate.as_bytes(), &key), Err(AuthorityError::NotAuthority)));
    let authority_certificate = authority().certificate().to_pem().unwrap();
    let mismatch = Authority::from_pem(authority_certificate.as_bytes(), &key);
    assert!(matches!(mismatch, Err(AuthorityError::Signer(SignerError::Mismatch))), "{mismatch:?}");
    let encrypted =
        leaf.key().private_key_to_pem_pkcs8_passphrase(openssl::symm::Cipher::aes_128_cbc(), b"secret").unwrap();
    let encrypted = Authority::from_pem(authority_certificate.as_bytes(), &encrypted);
    assert!(matches!(encrypted, Err(AuthorityError::Signer(SignerError::PrivateKey))), "{encrypted:?}");
}

#[test]
fn the_authority_and_its_helpers_chain_for_their_purpose() {
    let text = text_of(authority().certificate());
    assert!(text.contains("CA:TRUE, pathlen:0") && text.contains("Certificate Sign, CRL Sign"), "{text}");
    assert!(text.contains("Digital Signature, Key Encipherment"), "this one answers SCEP: {text}");
    let quiet = Authority::create("Quiet", NOW, 1, AuthorityRole::IssuesOnly).unwrap();
    assert!(!text_of(quiet.certificate()).contains("Encipherment"));

    assert!(chains(ra().certificate(), X509PurposeId::ANY));
    let names = [ServerName::parse("mdm.example").unwrap(), ServerName::parse("::1").unwrap()];
    let server = authority().issue_server(&names, NOW, YEAR).unwrap();
    assert!(chains(server.certificate(), X509PurposeId::SSL_SERVER));
    assert!(!chains(server.certificate(), X509PurposeId::SSL_CLIENT));
    let text = text_of(server.certificate());
    assert!(text.contains("DNS:mdm.example, IP Address:0:0:0:0:0:0:0:1"), "{text}");
    assert!(matches!(authority().issue_server(&[], NOW, YEAR), Err(IssueError::Name)));
}

#[test]
fn a_server_name_is_a_name_and_not_a_configuration() {
    for good in ["mdm.example", "*.example", "10.0.0.1", "a_b.example", "localhost"] {
        assert!(ServerName::parse(good).is_ok(), "{good}");
    }
    for bad in ["", ".", "a..b", "*.*.example", "a,email:copy", "dirName:section", "a b", "é.example", &"a".repeat(64)]
    {
        assert!(matches!(ServerName::parse(bad), Err(IssueError::Name)), "{bad}");
    }
}

#[test]
fn private_keys_do_not_show_in_debug_output() {
    let shown = format!("{:?} {:?}", authority(), ra());
    assert!(shown.contains("Test CA") && !shown.to_lowercase().contains("key"), "{shown}");
}
