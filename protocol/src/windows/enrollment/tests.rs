use openssl::asn1::{Asn1Object, Asn1OctetString, Asn1Type};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::stack::Stack;
use openssl::x509::extension::ExtendedKeyUsage;
use openssl::x509::{X509Extension, X509Name, X509Req};

use super::*;
use crate::pki::fixtures::{NOW, ec_key, rsa_key};
use crate::pki::scep::client::certification_request;
use crate::pki::scep::{CsrError, proven_rsa_key};
use crate::windows::fixtures::{DISCOVER, ISSUE, ISSUE_RESPONSE, RENEW, meaning};

fn read(text: &str) -> Result<TokenRequest, SoapError> {
    TokenRequest::read(&Request::read(text.as_bytes()).unwrap())
}

fn issue(text: &str) -> (Vec<u8>, Said) {
    match read(text).unwrap() {
        TokenRequest::Issue { csr, said } => (csr, said),
        TokenRequest::Renew { .. } => panic!("it renews"),
    }
}

fn sample() -> String {
    ISSUE.replace("{csr}", "AAEC\r\n  AwQF \t")
}

/// A context item with this value, or without any.
fn with(name: &str, value: &str) -> String {
    let text = sample();
    let start = text.find(&format!("<ac:ContextItem Name=\"{name}\">")).unwrap();
    let end = text[start..].find("</ac:ContextItem>").unwrap() + start;
    format!("{}<ac:ContextItem Name=\"{name}\"><ac:Value>{value}</ac:Value>{}", &text[..start], &text[end..])
}

#[test]
fn everything_that_a_device_says_is_read() {
    let (csr, said) = issue(&sample());
    assert_eq!(csr, [0, 1, 2, 3, 4, 5], "white space in base64 means nothing");
    let expected = Said {
        device_id: "1F7C3A6E9B204D58A1E4C0FF5B6D7E80".into(),
        hardware_id: Some("8C41E0B7D2F3465A9B8C7D6E5F40312233445566778899AABBCCDDEEFF001122".into()),
        is_device: false,
        device_name: "LAB-PC-7".into(),
        os_edition: Some("48".into()),
        os_version: Some("10.0.26200.1".into()),
        application_version: Some("10.0.26200.1".into()),
        request_version: Some("9.0".into()),
        locale: None,
        not_in_oobe: Some(true),
    };
    assert_eq!(said, expected);
    assert!(issue(&with("EnrollmentType", " Device ")).1.is_device);
}

#[test]
fn only_the_name_the_type_and_the_request_are_needed() {
    let text = sample();
    let start = text.find("<ac:ContextItem Name=\"HWDevID\">").unwrap();
    let end = text.find("</ac:AdditionalContext>").unwrap();
    let least = format!("{}{}", &text[..start], &text[end..]);
    let device_id = "1F7C3A6E9B204D58A1E4C0FF5B6D7E80".to_owned();
    assert_eq!(issue(&least).1, Said { device_id, ..Said::default() });
    for (name, value) in [("DeviceID", ""), ("EnrollmentType", ""), ("EnrollmentType", "Half")] {
        assert!(matches!(read(&with(name, value)).unwrap_err(), SoapError::Field(_)), "{name}");
    }
    assert!(matches!(read(&text.replace("AAEC", "!")).unwrap_err(), SoapError::Field(_)));
    assert!(matches!(read(&ISSUE.replace("{csr}", " ")).unwrap_err(), SoapError::Field(_)));
    assert!(matches!(read(DISCOVER).unwrap_err(), SoapError::Other(_)));
}

#[test]
fn values_have_spaces_come_twice_and_may_make_no_sense() {
    let (_, said) = issue(&with("DeviceID", "  ABC \n"));
    assert_eq!(said.device_id, "ABC");
    let again = "<ac:ContextItem Name=\"DeviceID\"><ac:Value>OTHER</ac:Value></ac:ContextItem></ac:AdditionalContext>";
    let twice = sample().replace("</ac:AdditionalContext>", again);
    assert_eq!(issue(&twice).1.device_id, "1F7C3A6E9B204D58A1E4C0FF5B6D7E80", "the first counts");
    let (_, said) = issue(&with("OSVersion", &"9".repeat(65)));
    assert_eq!(said.os_version, None, "one that is too long is none");
    assert_eq!(issue(&with("NotInOobe", "False")).1.not_in_oobe, Some(false));
    assert_eq!(issue(&with("NotInOobe", "maybe")).1.not_in_oobe, None);
    for name in ["DeviceID", "HWDevID", "DeviceName"] {
        assert!(read(&with(name, &"x".repeat(256))).is_err(), "{name}");
        assert!(read(&with(name, "a&#9;b")).is_err(), "{name}");
    }
}

#[test]
fn renewals_are_told_apart() {
    let renew = RENEW.replace("{cms}", "BgcI");
    let device_id = Some("1F7C3A6E9B204D58A1E4C0FF5B6D7E80".to_owned());
    assert_eq!(read(&renew), Ok(TokenRequest::Renew { cms: vec![6, 7, 8], device_id }));
    let silent = renew.replace("Name=\"DeviceID\"", "Name=\"Other\"");
    assert_eq!(read(&silent), Ok(TokenRequest::Renew { cms: vec![6, 7, 8], device_id: None }));
    let kind = "http://schemas.microsoft.com/windows/pki/2009/01/enrollment#PKCS7";
    assert!(read(&renew.replace(kind, &format!("{SECURITY}#PKCS7"))).is_ok(), "the other name of the same type");
    assert!(matches!(read(&renew.replace("#PKCS7", "#PKCS10")).unwrap_err(), SoapError::Field(_)));
    assert!(matches!(read(&sample().replace("#PKCS10", "#PKCS7")).unwrap_err(), SoapError::Field(_)));
    assert!(matches!(read(&sample().replace("/Issue", "/Cancel")).unwrap_err(), SoapError::Field(_)));
}

#[test]
fn a_request_must_be_signed_by_an_rsa_key_of_its_own() {
    let good = certification_request(&rsa_key(), "a!b", None).unwrap();
    assert_eq!(proven_rsa_key(&good), Ok(rsa_key().public_key_to_der().unwrap()));
    let elliptic = certification_request(&ec_key(), "device", None).unwrap();
    assert!(matches!(proven_rsa_key(&elliptic), Err(CsrError::Key(_))));
    let mut forged = good.clone();
    *forged.last_mut().unwrap() ^= 1;
    assert_eq!(proven_rsa_key(&forged), Err(CsrError::NoProof));
    assert_eq!(proven_rsa_key(b"nothing"), Err(CsrError::Malformed));
}

/// As Windows makes them: `!` and NUL in a PrintableString, and an extension that holds no DER.
#[test]
fn a_request_of_windows_with_all_its_oddities_is_read() {
    let key = rsa_key();
    let mut name = X509Name::builder().unwrap();
    let odd = "F717C0F0-0000-4000-8000-01B254!4219DFB0\0";
    name.append_entry_by_nid_with_type(Nid::COMMONNAME, odd, Asn1Type::PRINTABLESTRING).unwrap();
    let mut request = X509Req::builder().unwrap();
    request.set_version(0).unwrap();
    request.set_subject_name(&name.build()).unwrap();
    request.set_pubkey(&key).unwrap();
    let mut extensions = Stack::new().unwrap();
    extensions.push(ExtendedKeyUsage::new().client_auth().build().unwrap()).unwrap();
    let id = Asn1Object::from_str("1.3.6.1.4.1.311.66.1.0").unwrap();
    let raw = Asn1OctetString::new_from_bytes(b"1F7C3A6E9B204D58A1E4C0FF5B6D7E80\0").unwrap();
    extensions.push(X509Extension::new_from_der(&id, false, &raw).unwrap()).unwrap();
    request.add_extensions(&extensions).unwrap();
    request.sign(&key, MessageDigest::sha256()).unwrap();
    let der = request.build().to_der().unwrap();
    assert_eq!(proven_rsa_key(&der), Ok(key.public_key_to_der().unwrap()));
    let mut weak = X509Req::builder().unwrap();
    weak.set_pubkey(&key).unwrap();
    weak.sign(&key, MessageDigest::sha1()).unwrap();
    assert_eq!(proven_rsa_key(&weak.build().to_der().unwrap()), Err(CsrError::Algorithm));
}

#[test]
fn the_answer_is_as_reviewed() {
    let header = Header {
        action: RESPONSE,
        relates_to: "urn:uuid:11111111-0000-4000-8000-000000000003",
        activity: "22222222-0000-4000-8000-000000000002",
        lasts: None,
    };
    let now = Timestamp::parse_rfc3339("2026-08-01T10:00:00.75Z").unwrap();
    let answer = response(&header, "<document/>", now);
    assert_eq!(meaning(&answer), meaning(&ISSUE_RESPONSE.replace("{document}", "PGRvY3VtZW50Lz4=")));
    assert_eq!(moment(NOW), "2026-11-21T09:30:00.000Z");
}
