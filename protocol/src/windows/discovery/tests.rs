use super::*;
use crate::windows::fixtures::{DISCOVER, DISCOVER_RESPONSE, GET_POLICIES, meaning};

const PLACES: Places<'_> = Places {
    policy: "https://mdm.example.test/api/mdm/microsoft/policy",
    enrollment: "https://mdm.example.test/api/mdm/microsoft/enroll",
    authentication: "https://mdm.example.test/api/mdm/microsoft/auth",
};
const HEADER: Header<'_> = Header {
    action: RESPONSE,
    relates_to: "urn:uuid:11111111-0000-4000-8000-000000000001",
    activity: "22222222-0000-4000-8000-000000000002",
    lasts: None,
};

fn read(text: &str) -> Result<Discover, SoapError> {
    Discover::read(&Request::read(text.as_bytes()).unwrap())
}

fn version(text: &str) -> Option<bool> {
    Version::parse(text).map(Version::is_supported)
}

#[test]
fn there_is_no_newest_version_and_numbers_are_compared_as_numbers() {
    for new_enough in ["3.0", "3", "4", "4.0", "5.0", "9.0", "10.0", "99.99"] {
        assert_eq!(version(new_enough), Some(true), "{new_enough}");
    }
    for too_old in ["2.9", "1.0", "0", "2.99"] {
        assert_eq!(version(too_old), Some(false), "{too_old}");
    }
    for none in ["abc", "", "4.", ".4", "4.0.0", "-4", "+4", "4,0", "4.x", "9999999", "４"] {
        assert_eq!(version(none), None, "{none}");
    }
    assert!(Version::parse("10.0") > Version::parse("9.0"));
    assert!(matches!(read(&DISCOVER.replace("9.0", "abc")).unwrap_err(), SoapError::Field(_)));
    assert!(matches!(read(GET_POLICIES).unwrap_err(), SoapError::Other("Discover")));
    assert!(matches!(read(&DISCOVER.replace("request", "other")).unwrap_err(), SoapError::Field(_)));
}

#[test]
fn a_device_that_can_show_a_page_is_sent_to_it_and_no_other() {
    let can = read(DISCOVER).unwrap();
    assert!(can.is_federated);
    assert_eq!(meaning(&response(&HEADER, &can, &PLACES)), meaning(DISCOVER_RESPONSE));
    let cannot = read(&DISCOVER.replace("<AuthPolicy>Federated</AuthPolicy>", "")).unwrap();
    let answer = response(&HEADER, &cannot, &PLACES);
    assert!(answer.contains("<AuthPolicy>OnPremise</AuthPolicy>") && !answer.contains("AuthenticationServiceUrl"));
    let slash = DISCOVER.replace("enrollment\">\n   <request", "enrollment/\">\n   <request");
    assert!(read(&slash).unwrap().is_federated, "the namespace is written with a slash at its end, too");
    for none in [
        DISCOVER.replace("AuthPolic", "Other"),
        DISCOVER.replace("<AuthPolicy>OnPremise</AuthPolicy><AuthPolicy>Federated</AuthPolicy>", ""),
        DISCOVER.replace("<AuthPolicy>OnPremise</AuthPolicy><AuthPolicy>Federated</AuthPolicy>", "<AuthPolicy/>"),
    ] {
        assert!(!read(&none).unwrap().is_federated);
    }
}
