use super::*;
use crate::pki::fixtures::{NOW, authority, identity, rsa_key};
use crate::windows::fixtures::{PROVISIONING, RENEWED, meaning};

const NAME: &str = "3d6f0a52-77aa-4c1e-9d8e-2b7f5e0c9a11";

fn filled(text: &str, own: &Certificate) -> String {
    let authority = authority().certificate();
    text.replace("{authority-thumbprint}", &thumbprint(authority))
        .replace("{authority}", &STANDARD.encode(authority.der()))
        .replace("{thumbprint}", &thumbprint(own))
        .replace("{certificate}", &STANDARD.encode(own.der()))
}

fn document(own: &Certificate) -> Document<'_> {
    Document {
        authority: authority().certificate(),
        certificate: own,
        enrollment: NAME,
        is_device: false,
        address: "https://mdm.example.test/api/mdm/microsoft/management",
        organization: "Example Ltd",
        user: "1F7C3A6E9B204D58A1E4C0FF5B6D7E80",
        password: "k3Zr-9vT",
        server_password: "srv-7Qe2",
        nonces: [&[0, 1, 2, 3], &[0, 1, 2, 3]],
        device_name: "LAB-PC-7",
        upn: Some("ana@example.test"),
        poll_minutes: 1,
    }
}

#[test]
fn the_document_of_an_enrollment_is_as_reviewed() {
    let own = identity(rsa_key(), NAME);
    let document = document(own.certificate());
    let xml = document.to_xml();
    assert_eq!(meaning(&xml), meaning(&filled(PROVISIONING, own.certificate())));
    assert!(!xml.contains(['\n', '\t']), "nothing stands between elements");
    assert!(!format!("{document:?}").contains("k3Zr"), "passwords are for the device alone");
}

#[test]
fn what_is_not_known_is_left_out_and_what_is_odd_is_escaped() {
    let own = identity(rsa_key(), NAME);
    let plain = document(own.certificate());
    let bare = Document { is_device: true, device_name: "", upn: None, poll_minutes: 60, ..plain };
    let xml = bare.to_xml();
    assert!(!xml.contains("EntDeviceName") && !xml.contains("\"UPN\""));
    assert!(xml.contains("<characteristic type=\"System\">") && !xml.contains("<characteristic type=\"User\">"));
    assert!(xml.contains("Stores=My%5CSystem") && xml.contains("value=\"60\" datatype=\"integer\""));
    let odd = Document { device_name: "\"/><x a='&", ..document(own.certificate()) }.to_xml();
    assert!(odd.contains("value=\"&quot;/&gt;&lt;x a='&amp;\""), "{odd}");
    meaning(&odd);
}

#[test]
fn a_short_certificate_is_renewed_in_its_second_half() {
    let day = std::time::Duration::from_secs(86_400);
    let spki = rsa_key().public_key_to_der().unwrap();
    for (days, period, retry) in [(365, 60, 4), (60, 30, 4), (6, 3, 3), (1, 1, 1)] {
        let own = authority().issue_identity(&spki, NAME, NOW, day * days).unwrap();
        let xml = document(&own).to_xml();
        assert!(xml.contains(&format!("\"RenewPeriod\" value=\"{period}\"")), "{days} days");
        assert!(xml.contains(&format!("\"RetryInterval\" value=\"{retry}\"")), "{days} days");
    }
}

#[test]
fn the_document_of_a_renewal_is_as_reviewed() {
    let own = identity(rsa_key(), NAME);
    assert_eq!(meaning(&renewed(own.certificate(), false)), meaning(&filled(RENEWED, own.certificate())));
    assert!(renewed(own.certificate(), true).contains("\"System\""));
}
