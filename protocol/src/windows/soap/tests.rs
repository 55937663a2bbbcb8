use super::*;
use crate::windows::fixtures::{DISCOVER, FAULT, GET_POLICIES, ISSUE, meaning};

fn read(text: &str) -> Result<Request, SoapError> {
    Request::read(text.as_bytes())
}

fn without(text: &str, from: &str, to: &str) -> String {
    let start = text.find(from).unwrap();
    let end = text[start..].find(to).unwrap() + start + to.len();
    format!("{}{}", &text[..start], &text[end..])
}

#[test]
fn a_request_is_read_whatever_its_prefixes_and_its_version_of_soap() {
    let request = read(DISCOVER).unwrap();
    assert_eq!(request.message_id, "urn:uuid:11111111-0000-4000-8000-000000000001");
    assert!(request.action.ends_with("IDiscoveryService/Discover"));
    assert_eq!((request.credential, request.body.name.as_str()), (Credential::None, "Discover"));
    assert!(read(&DISCOVER.replace(SOAP_12, SOAP_11)).is_ok());
    assert!(
        read(
            &DISCOVER
                .replace("<s:", "<env:")
                .replace("</s:", "</env:")
                .replace("xmlns:s=", "xmlns:env=")
                .replace(" s:mustUnderstand", " env:mustUnderstand")
        )
        .is_ok()
    );
    assert_eq!(read(&DISCOVER.replace(SOAP_12, "urn:other")).unwrap_err(), SoapError::Missing("an Envelope"));
}

#[test]
fn every_field_of_the_header_is_needed() {
    for (from, to, missing) in [
        ("<a:MessageID>", "</a:MessageID>", "MessageID"),
        ("<a:Action", "</a:Action>", "Action"),
        ("<a:To", "</a:To>", "To"),
        ("<a:ReplyTo>", "</a:ReplyTo>", "ReplyTo"),
        ("<a:Address>", "</a:Address>", "ReplyTo"),
    ] {
        assert_eq!(read(&without(DISCOVER, from, to)).unwrap_err(), SoapError::Missing(missing));
    }
    let empty = DISCOVER.replace("urn:uuid:11111111-0000-4000-8000-000000000001", " ");
    assert_eq!(read(&empty).unwrap_err(), SoapError::Missing("MessageID"));
    assert_eq!(read(&without(DISCOVER, "<s:Header>", "</s:Header>")).unwrap_err(), SoapError::Missing("a Header"));
}

#[test]
fn there_is_exactly_one_message() {
    let none = without(DISCOVER, "<Discover ", "</Discover>");
    assert_eq!(read(&none).unwrap_err(), SoapError::Missing("one message"));
    let two = DISCOVER.replace("</s:Body>", "<Discover/></s:Body>");
    assert_eq!(read(&two).unwrap_err(), SoapError::Missing("one message"));
    let bodies = DISCOVER.replace("</s:Body>", "</s:Body><s:Body/>");
    assert_eq!(read(&bodies).unwrap_err(), SoapError::Missing("one Body"));
    let other = read(GET_POLICIES).unwrap();
    assert_eq!(other.expect("urn:other", "Discover").unwrap_err(), SoapError::Other("Discover"));
}

#[test]
fn what_somebody_shows_is_told_apart_and_not_shown_to_others() {
    let token = read(ISSUE).unwrap();
    assert_eq!(token.credential, Credential::Token(b"one-time-token-9f2c".to_vec()));
    let start =
        "ValueType=\"http://schemas.microsoft.com/5.0.0.0/ConfigurationManager/Enrollment/DeviceEnrollmentUserToken\"";
    let jwt = ISSUE.replacen(start, "wsse:ValueType=\"urn:ietf:params:oauth:token-type:jwt\"", 1);
    let jwt = read(&jwt).unwrap();
    assert_eq!(jwt.credential, Credential::Jwt(b"one-time-token-9f2c".to_vec()));
    let spaced = ISSUE.replace("b25lLXRpbWUtdG9rZW4tOWYyYw==", " b25lLXRpbWU\n\tdG9rZW4 tOWYyYw== ");
    assert!(matches!(read(&spaced).unwrap_err(), SoapError::Field(_)), "a digit is missing");
    let spaced = ISSUE.replace("b25lLXRpbWUtdG9rZW4tOWYyYw==", " b25lLXRpbWUt\r\n\tdG9rZW4t OWYyYw== ");
    assert_eq!(read(&spaced).unwrap().credential, token.credential);
    let of_user = |password: &str| {
        let named = format!("<wsse:UsernameToken><wsse:Username>ana</wsse:Username>{password}</wsse:UsernameToken>");
        let plain = without(ISSUE, "<wsse:BinarySecurityToken ", "</wsse:BinarySecurityToken>");
        read(&plain.replace("</wsse:Security>", &format!("{named}</wsse:Security>"))).unwrap().credential
    };
    assert_eq!(of_user("<wsse:Password>hunter2</wsse:Password>"), Credential::Password);
    assert_eq!(of_user("<wsse:Password/>"), Credential::None);
    assert_eq!(of_user(""), Credential::None);
    assert!(!format!("{:?}", jwt.credential).contains("one-time"));
    assert_eq!(format!("{:?}", token.credential), "a token");
}

#[test]
fn a_fault_is_as_reviewed_and_each_kind_has_its_words() {
    let fault = Fault {
        kind: FaultKind::Authentication,
        message: "The enrollment token is not valid.",
        action: crate::windows::enrollment::RESPONSE,
        relates_to: Some("urn:uuid:11111111-0000-4000-8000-000000000003"),
        trace_id: "4f7c0d1e",
    };
    assert_eq!(meaning(&fault.to_xml()), meaning(FAULT));
    for (kind, subcode, error_type) in [
        (FaultKind::MessageFormat, "s:MessageFormat", "InvalidEnrollmentData"),
        (FaultKind::Authorization, "s:Authorization", "InvalidEnrollmentData"),
        (FaultKind::CertificateRequest, "s:CertificateRequest", "InvalidEnrollmentData"),
        (FaultKind::NotSupported, "s:EnrollmentServer", "NotSupported"),
        (FaultKind::NotEligibleToRenew, "s:Authorization", "NotEligibleToRenew"),
        (FaultKind::InMaintenance, "a:InternalServiceFault", "InMaintenance"),
    ] {
        let xml = Fault { kind, relates_to: None, message: "<&>", ..fault }.to_xml();
        assert!(xml.contains(&format!(">{subcode}<")) && xml.contains(&format!("<ErrorType>{error_type}<")), "{xml}");
        assert!(xml.contains("<Message>&lt;&amp;&gt;</Message>") && !xml.contains("RelatesTo"), "{xml}");
        meaning(&xml);
    }
}
