use super::*;
use crate::apple::channel::ChannelKind;
use crate::apple::message::Message;

macro_rules! fixture {
    ($name:literal) => {
        report(include_bytes!(concat!("../../../tests/fixtures/apple/", $name, ".plist"))).unwrap()
    };
}

const COMMAND: &str = "5E2A9D1C-7B3F-4C86-9A10-2D4E6F8A0B1C";

fn report(bytes: &[u8]) -> Result<Report, MessageError> {
    match Message::parse(bytes, 65_536)? {
        Message::Report(report) => Ok(report),
        Message::CheckIn(check_in) => panic!("{check_in:?}"),
    }
}

fn answer(entries: &str) -> Result<Report, MessageError> {
    report(format!("<plist><dict><key>UDID</key><string>D</string>{entries}</dict></plist>").as_bytes())
}

#[test]
fn every_kind_of_channel_can_be_idle() {
    for (report, kind) in [
        (fixture!("idle_macos"), ChannelKind::Device),
        (fixture!("idle_macos_user"), ChannelKind::User),
        (fixture!("idle_shared_ipad_user"), ChannelKind::SharedIpad),
        (fixture!("idle_user_enrollment"), ChannelKind::UserEnrollmentDevice),
    ] {
        assert_eq!((report.channel.kind, report.status, report.command_uuid), (kind, Status::Idle, None));
    }
}

#[test]
fn an_acknowledgement_keeps_the_whole_answer() {
    let report = fixture!("acknowledged_profile_list_ios");
    assert_eq!(report.status, Status::Acknowledged);
    assert_eq!(report.command_uuid.as_ref().map(CommandUuid::as_str), Some(COMMAND));
    assert!(report.entries().contains_key("ProfileList"));
    let json = report.to_json();
    assert_eq!(json["ProfileList"][0]["PayloadContent"][0]["PayloadDisplayName"], "Wi-Fi <guest> & staff");
    assert_eq!(json["CommandUUID"], COMMAND);
}

#[test]
fn a_failure_brings_its_errors_nearest_cause_first() {
    let report = fixture!("error_install_profile_macos");
    assert_eq!(report.status, Status::Error);
    let codes: Vec<(i64, &str)> = report.error_chain.iter().map(|link| (link.code, link.domain.as_str())).collect();
    assert_eq!(codes, [(-319, "MDMResponseStatus"), (4001, "MCInstallationErrorDomain")]);
    let english = report.error_chain[0].us_english_description.as_deref();
    assert_eq!(english, Some("The profile could not be installed."));
    assert_eq!(report.error_chain[1].us_english_description, None);
    assert_eq!(fixture!("command_format_error_ios").status, Status::CommandFormatError);
    assert_eq!(fixture!("not_now_ios").status, Status::NotNow);
}

#[test]
fn an_oddly_shaped_error_chain_still_reports_the_failure() {
    let report = answer(
        "<key>Status</key><string>Error</string><key>CommandUUID</key><string>c</string>\
         <key>ErrorChain</key><array><string>x</string><dict/></array>",
    )
    .unwrap();
    let blank = ErrorLink {
        code: 0,
        domain: String::new(),
        localized_description: String::new(),
        us_english_description: None,
    };
    assert_eq!(report.error_chain, [blank]);
}

#[test]
fn a_status_of_the_future_is_kept_and_an_endless_one_refused() {
    let command = "<key>CommandUUID</key><string>c</string>";
    let novel = answer(&format!("<key>Status</key><string>Later</string>{command}")).unwrap();
    assert_eq!(novel.status, Status::Other("Later".to_owned()));
    assert_eq!(novel.status.as_str(), "Later");
    let endless = answer(&format!("<key>Status</key><string>{}</string>{command}", "x".repeat(65)));
    assert_eq!(endless, Err(FieldError::TooLong { key: "Status", max: 64 }.into()));
}

#[test]
fn an_answer_without_its_command_is_refused() {
    let status = "<key>Status</key><string>Acknowledged</string>";
    assert_eq!(answer(status), Err(FieldError::Missing("CommandUUID").into()));
    let long = answer(&format!("{status}<key>CommandUUID</key><string>{}</string>", "x".repeat(256)));
    assert_eq!(long, Err(FieldError::TooLong { key: "CommandUUID", max: 255 }.into()));
    let control = answer(&format!("{status}<key>CommandUUID</key><string>a&#7;</string>"));
    assert_eq!(control, Err(FieldError::BadCharacter("CommandUUID").into()));
}

#[test]
fn idle_needs_no_command_and_ignores_one() {
    let idle = answer("<key>Status</key><string>Idle</string><key>CommandUUID</key><string>c</string>").unwrap();
    assert_eq!(idle.command_uuid, None);
}

#[test]
fn a_report_does_not_print_its_results() {
    let report = answer(
        "<key>Status</key><string>Acknowledged</string><key>CommandUUID</key><string>c</string>\
         <key>UnlockToken</key><data>aHVudGVyMg==</data><key>RequestType</key><string>RequestUnlockToken</string>",
    )
    .unwrap();
    assert_eq!(report.request_type.as_deref(), Some("RequestUnlockToken"));
    let printed = format!("{report:?}");
    assert!(printed.contains("Acknowledged") && !printed.contains("UnlockToken"), "{printed}");
}
