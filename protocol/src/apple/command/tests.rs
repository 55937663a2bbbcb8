use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::apple::plist::tests::any_value;
use crate::apple::request_types;

const MAX: usize = 1 << 20;

fn uuid(text: &str) -> CommandUuid {
    CommandUuid::parse(text).unwrap()
}

fn parse_command(entries: &str) -> Result<Command, CommandError> {
    let body = format!("<plist version=\"1.0\"><dict>{entries}</dict></plist>");
    Command::parse(body.as_bytes(), MAX, uuid("fallback"))
}

#[test]
fn an_administrators_command_keeps_its_name_and_arguments() {
    let body = include_bytes!("../../../tests/fixtures/apple/command_restart_macos.plist");
    let command = Command::parse(body, MAX, uuid("fallback")).unwrap();
    assert_eq!((command.uuid().as_str(), command.request_type()), ("0001_RestartDevice", "RestartDevice"));
    assert_eq!(command, Command::restart_device(uuid("0001_RestartDevice"), true));
}

#[test]
fn a_command_without_a_name_gets_one_and_any_command_can_be_renamed() {
    let command = parse_command("<key>Command</key><dict><key>RequestType</key><string>ProfileList</string></dict>");
    let command = command.unwrap();
    assert_eq!(command.uuid().as_str(), "fallback");
    let renamed = command.clone().with_uuid(uuid("other"));
    assert_eq!((renamed.uuid().as_str(), renamed.entries()), ("other", command.entries()));
    let random = CommandUuid::from(uuid::Uuid::from_u128(7));
    assert_eq!(random.as_str(), "00000000-0000-0000-0000-000000000007");
}

#[test]
fn a_document_that_is_not_a_command_is_refused_by_name() {
    let request = |text: &str| format!("<key>Command</key><dict><key>RequestType</key><string>{text}</string></dict>");
    let cases = [
        (String::new(), CommandError::Field(FieldError::Missing("Command"))),
        ("<key>Command</key><string/>".to_owned(), FieldError::Missing("Command").into()),
        ("<key>Command</key><dict/>".to_owned(), FieldError::Missing("RequestType").into()),
        (request(""), FieldError::Missing("RequestType").into()),
        (request("Device Lock"), CommandError::RequestType),
        (request("Ünlock"), CommandError::RequestType),
        (request(&"x".repeat(129)), CommandError::RequestType),
        (
            format!("{}<key>CommandUUID</key><string>{}</string>", request("ProfileList"), "u".repeat(256)),
            FieldError::TooLong { key: "CommandUUID", max: 255 }.into(),
        ),
        (
            format!("{}<key>CommandUUID</key><string>a\u{7f}</string>", request("ProfileList")),
            FieldError::BadCharacter("CommandUUID").into(),
        ),
        (
            format!("{}<key>CommandUUID</key><integer>1</integer>", request("ProfileList")),
            FieldError::WrongType { key: "CommandUUID", expected: "string" }.into(),
        ),
    ];
    for (entries, error) in cases {
        assert_eq!(parse_command(&entries), Err(error), "{entries}");
    }
    assert!(matches!(Command::parse(b"bplist00", MAX, uuid("u")), Err(CommandError::Plist(_))));
}

#[test]
fn a_command_that_this_server_does_not_know_is_built_all_the_same() {
    let command = Command::new(uuid("u"), "com.example.New-Thing_2", Dictionary::new()).unwrap();
    assert!(command.check().is_ok());
    assert_eq!(Command::new(uuid("u"), "a b", Dictionary::new()), Err(CommandError::RequestType));
}

#[test]
fn a_command_from_json_is_the_one_from_a_property_list() {
    let form = |json: serde_json::Value| {
        let serde_json::Value::Object(form) = json else { panic!("an object") };
        Command::from_json(form, uuid("fallback"))
    };
    let install = form(json!({ "request_type": "InstallProfile", "Payload": "PHBsaXN0Lz4=" })).unwrap();
    assert_eq!(install, Command::install_profile(uuid("fallback"), b"<plist/>"));
    let lock = form(json!({ "RequestType": "DeviceLock", "command_uuid": "mine", "PIN": "123456" })).unwrap();
    let arguments = DeviceLock { pin: Some("123456".to_owned()), ..DeviceLock::default() };
    assert_eq!(lock, Command::device_lock(uuid("mine"), arguments));
    let dated = form(json!({ "request_type": "New", "At": { "$date": "2026-11-21T09:30:00Z" } })).unwrap();
    assert!(matches!(dated.entries()["At"], Value::Date(_)));
    assert!(matches!(form(json!({ "request_type": "X", "Y": null })), Err(CommandError::Json(_))));
    assert!(matches!(form(json!({ "request_type": 7 })), Err(CommandError::Field(_))));
    assert!(matches!(form(json!({ "request_type": "X", "command_uuid": 7 })), Err(CommandError::Field(_))));
    assert!(form(json!({ "$data": "AAAA" })).is_err());
    assert!(form(json!({})).is_err());
}

#[test]
fn our_own_commands_have_the_documented_keys_and_nothing_unset() {
    let lock = DeviceLock { message: Some("Lost".to_owned()), phone_number: None, pin: Some("123456".to_owned()) };
    let erase = EraseDevice { pin: Some("123456".to_owned()), ..EraseDevice::default() };
    let cases: [(Command, &str, &[&str]); 12] = [
        (Command::install_profile(uuid("u"), b"<plist/>"), "InstallProfile", &["Payload"]),
        (Command::remove_profile(uuid("u"), "com.example"), "RemoveProfile", &["Identifier"]),
        (Command::device_information(uuid("u"), &["UDID"]), "DeviceInformation", &["Queries"]),
        (Command::declarative_management(uuid("u"), Some(b"{}".to_vec())), "DeclarativeManagement", &["Data"]),
        (Command::declarative_management(uuid("u"), None), "DeclarativeManagement", &[]),
        (Command::security_info(uuid("u")), "SecurityInfo", &[]),
        (Command::profile_list(uuid("u"), true), "ProfileList", &["ManagedOnly"]),
        (Command::installed_application_list(uuid("u"), false), "InstalledApplicationList", &["ManagedAppsOnly"]),
        (Command::certificate_list(uuid("u"), false), "CertificateList", &["ManagedOnly"]),
        (Command::device_lock(uuid("u"), lock), "DeviceLock", &["Message", "PIN"]),
        (Command::erase_device(uuid("u"), erase), "EraseDevice", &["PIN"]),
        (Command::device_configured(uuid("u")), "DeviceConfigured", &[]),
    ];
    for (command, request_type, keys) in cases {
        assert_eq!(command.request_type(), request_type);
        let present: Vec<&String> = command.entries().keys().filter(|key| *key != "RequestType").collect();
        assert_eq!(present, keys, "{request_type}");
        assert!(command.check().is_ok(), "{request_type}");
        assert_eq!(request_types::facts(request_type).request_type, request_type);
        assert_eq!(Command::parse(&command.to_xml(), MAX, uuid("fallback")), Ok(command));
    }
}

#[test]
fn a_command_does_not_print_its_arguments() {
    let lock = DeviceLock { pin: Some("123456".to_owned()), ..DeviceLock::default() };
    let printed = format!("{:?}", Command::device_lock(uuid("u"), lock));
    assert!(printed.contains("DeviceLock") && !printed.contains("123456"), "{printed}");
}

proptest! {
    #[test]
    fn any_arguments_reach_the_device_unchanged(
        name in "[^\\p{Cc}]{1,255}",
        request_type in "[A-Za-z0-9._-]{1,128}",
        argument in any_value(),
    ) {
        let arguments = Dictionary::from_iter([("Argument".to_owned(), argument)]);
        let command = Command::new(uuid(&name), &request_type, arguments).unwrap();
        prop_assert_eq!(Command::parse(&command.to_xml(), MAX, uuid("fallback")), Ok(command));
    }
}
