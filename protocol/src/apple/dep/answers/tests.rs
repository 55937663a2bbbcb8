use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;

use super::super::super::strict_json::StrictJsonFault;
use super::super::MAX_DEVICES;
use super::*;
use crate::pki::fixtures::NOW;

fn bytes(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

fn refusal(status: u16, body: &str, to_session: bool) -> Refusal {
    let answer = Answer { status, body: body.as_bytes(), retry_after: Some("30"), received_at: NOW, to_session };
    Refusal::of(&answer)
}

#[test]
fn an_account_says_whose_it_is() {
    let answer = json!({"server_name": "Rookery", "server_uuid": "677cab70", "facilitator_id": "ann@example.com",
        "org_name": "Ex\u{7}ample", "org_phone": null, "org_type": "org", "urls": [
        {"uri": "/devices", "limit": {"maximum": 50}}, {"uri": "/server/devices", "limit": {"default": 100, "maximum": 1000}}]});
    let account = Account::parse(&bytes(&answer)).unwrap();
    assert_eq!((account.server_uuid.as_str(), account.org_name.as_str()), ("677cab70", "Example"));
    assert_eq!((account.admin_id.as_str(), account.org_phone.as_str()), ("ann@example.com", ""));
    assert_eq!(account.max_devices, Some(1000));
    assert_eq!(Account::parse(b"{}"), Err(AnswerError::Missing("server_uuid")));
    assert_eq!(Account::parse(b"[]"), Err(AnswerError::Missing("an object")));
}

#[test]
fn a_page_has_its_devices_and_where_to_go_on() {
    let device = json!({"serial_number": "C02XL0GYJGH5", "model": "MacBook Pro", "description": "MBP 13.3", "color": "SPACE GRAY",
        "asset_tag": "17", "os": "OSX", "device_family": "Mac", "profile_status": "pushed", "profile_uuid": "88fc4e378fec4021",
        "profile_assign_time": "2026-01-01T00:00:00Z", "profile_push_time": "2026-02-01T00:00:00Z",
        "device_assigned_date": "2025-12-24T00:00:00Z", "device_assigned_by": "ann@example.com", "op_type": "modified",
        "op_date": "2026-02-01T00:00:01Z", "mdm_migration_deadline": "2026-12-24T00:00:00Z", "is_new": {"a": 1}});
    let bare =
        json!({"serial_number": "F9FXH0", "model": null, "profile_status": "empty", "op_date": "", "profile_uuid": ""});
    let answer = json!({"devices": [device, bare, {"serial_number": "0"}, {}, 7], "cursor": "MTox", "more_to_follow": true,
        "fetched_until": "2026-11-21T09:30:00Z"});
    let page = DevicesPage::parse(&bytes(&answer)).unwrap();
    assert_eq!((page.devices.len(), page.unreadable, page.cursor.as_str(), page.more_to_follow), (2, 3, "MTox", true));
    assert_eq!(page.fetched_until, Some(NOW));
    let first = &page.devices[0];
    assert_eq!((first.serial_number.as_str(), first.platform()), ("C02XL0GYJGH5", "darwin"));
    assert_eq!((first.profile_status, first.op_type), (ProfileStatus::Pushed, Some(OpType::Modified)));
    assert_eq!(first.profile_uuid.as_deref(), Some("88fc4e378fec4021"));
    assert!(first.profile_push_time > first.profile_assign_time && first.mdm_migration_deadline > first.op_date);
    assert_eq!(page.devices[1], Device { serial_number: "F9FXH0".into(), ..Device::default() });
}

#[test]
fn a_page_without_a_cursor_or_with_too_much_is_no_page() {
    let page = |devices: usize, cursor: &str| json!({"devices": vec![json!({"serial_number": "C1"}); devices], "cursor": cursor, "more_to_follow": false});
    assert!(DevicesPage::parse(&bytes(&page(MAX_DEVICES, "c"))).is_ok());
    assert_eq!(DevicesPage::parse(&bytes(&page(MAX_DEVICES + 1, "c"))), Err(AnswerError::TooMany));
    let long = "c".repeat(MAX_NAME_BYTES + 1);
    for cursor in ["", "a\nb", long.as_str()] {
        assert_eq!(DevicesPage::parse(&bytes(&page(1, cursor))), Err(AnswerError::Missing("cursor")));
    }
    assert_eq!(DevicesPage::parse(br#"{"cursor":"c"}"#), Err(AnswerError::Missing("more_to_follow")));
    let whole = bytes(&page(3, "c"));
    assert!(matches!(DevicesPage::parse(&whole[..whole.len() / 2]), Err(AnswerError::Json(_))));
    let large = vec![b' '; MAX_ANSWER_BYTES + 1];
    assert_eq!(DevicesPage::parse(&large), Err(AnswerError::Json(StrictJsonError::TooLarge(MAX_ANSWER_BYTES))));
    let deep = format!("{{\"a\":{}", "[".repeat(80));
    let refused = DevicesPage::parse(deep.as_bytes());
    assert!(matches!(refused, Err(AnswerError::Json(StrictJsonError::Rule { fault: StrictJsonFault::TooDeep, .. }))));
}

#[test]
fn details_are_there_for_devices_of_this_server_alone() {
    let answer = json!({"devices": {
        "C1": {"serial_number": "C1", "model": "iPad", "os": "iOS", "response_status": "SUCCESS"},
        "C2": {"response_status": "NOT_ACCESSIBLE"}, "C3": {"serial_number": "C4", "response_status": "SUCCESS"}, "0": 7}});
    let details = DeviceDetails::parse(&bytes(&answer)).unwrap();
    assert_eq!(details.len(), 3);
    assert_eq!(details["C1"].device.as_ref().map(Device::platform), Some("ipados"));
    assert_eq!(details["C2"], DeviceDetails { outcome: Outcome::NotAccessible, device: None });
    assert_eq!(details["C3"].device, None);
}

#[test]
fn assignments_have_an_outcome_for_each_device() {
    let answer = json!({"profile_uuid": "88fc", "retry_after_seconds": 999_999_999, "devices": {"C1": "SUCCESS",
        "C2": "NOT_ACCESSIBLE", "C3": "FAILED", "C4": "THROTTLED", "C5": "LATER", "C6": 7, "-1": "SUCCESS"}});
    let assigned = Assigned::parse(&bytes(&answer)).unwrap();
    let words: Vec<&str> = assigned.outcomes.values().map(|outcome| outcome.word()).collect();
    assert_eq!(words, ["SUCCESS", "NOT_ACCESSIBLE", "FAILED", "THROTTLED", "OTHER", "OTHER"]);
    assert_eq!(assigned.retry_after, Some(MAX_BACK_OFF));
    let defined = DefinedProfile::parse(&bytes(&answer)).unwrap();
    assert_eq!((defined.profile_uuid.as_str(), defined.assigned), ("88fc", assigned));
    assert_eq!(DefinedProfile::parse(br#"{"profile_uuid":"1"}"#).unwrap().assigned, Assigned::default());
    assert_eq!(Assigned::parse(b"{}"), Err(AnswerError::Missing("devices")));
}

#[test]
fn each_refusal_says_what_to_do() {
    assert_eq!(refusal(403, "\"T_C_NOT_SIGNED\"\n", false), Refusal::TermsNotSigned);
    assert_eq!(refusal(403, "T_C_NOT_SIGNED", true), Refusal::TermsNotSigned);
    assert_eq!(refusal(400, "EXHAUSTED_CURSOR", false), Refusal::ExhaustedCursor);
    assert_eq!(refusal(400, "EXPIRED_CURSOR", false), Refusal::ExpiredCursor);
    assert_eq!(refusal(400, "INVALID_CURSOR", false), Refusal::InvalidCursor);
    assert_eq!(refusal(400, "CURSOR_REQUIRED", false), Refusal::CursorRequired);
    assert_eq!(refusal(404, "NOT_FOUND", false), Refusal::ProfileNotFound);
    for (status, code) in [(401, "UNAUTHORIZED"), (401, ""), (403, "FORBIDDEN"), (403, "EXPIRED_TOKEN")] {
        assert_eq!(refusal(status, code, false), Refusal::SessionEnded, "{status} {code}");
        assert_eq!(refusal(status, code, true), Refusal::TokenRejected(code.into()), "{status} {code}");
    }
    assert_eq!(refusal(403, "ACCESS_DENIED", false), Refusal::TokenRejected("ACCESS_DENIED".into()));
    assert_eq!(refusal(401, "oauth_problem=timestamp_refused", true), Refusal::ClockOff);
    assert_eq!(refusal(429, "", false), Refusal::Throttled(Some(Duration::from_secs(30))));
    let unavailable = Refusal::Unavailable { status: 503, retry_after: Some(Duration::from_secs(30)) };
    assert_eq!(refusal(503, "<html>", false), unavailable);
    let long = format!("A\u{7}\n{}", "é".repeat(9000)) + &"B".repeat(9000);
    assert_eq!(refusal(400, &long, false), Refusal::Other { status: 400, code: "A".into() });
    assert_eq!(refusal(400, &"B".repeat(9000), false), Refusal::Other { status: 400, code: "B".repeat(64) });
}

proptest! {
    #[test]
    fn nothing_panics_and_everything_is_bounded(text in "\\PC{0,80}", status in 0_u16..700, to_session in any::<bool>()) {
        if let Refusal::Other { code, .. } | Refusal::TokenRejected(code) = refusal(status, &text, to_session) {
            prop_assert!(code.len() <= 64 && !code.contains(char::is_control));
        }
        let answer = json!({"devices": [{"serial_number": text, "model": text}], "cursor": text, "more_to_follow": true});
        if let Ok(page) = DevicesPage::parse(&bytes(&answer)) {
            prop_assert!(page.devices.iter().all(|device| device.model.chars().count() <= MAX_TEXT_CHARS));
        }
    }
}
