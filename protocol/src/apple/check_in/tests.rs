use super::*;
use crate::apple::channel::ChannelKind;
use crate::apple::message::Message;

const TOPIC: &str = "com.apple.mgmt.External.1f2e3d4c-5b6a-4798-8a9b-0c1d2e3f4a5b";
const MAC: &str = "7A1C3E5F-90B2-5D4C-8E6F-1A2B3C4D5E6F";
const PHONE: &str = "00008120-001A2B3C4D5E001E";

macro_rules! fixture {
    ($name:literal) => {
        check_in(include_bytes!(concat!("../../../tests/fixtures/apple/", $name, ".plist")))
    };
}

fn check_in(bytes: &[u8]) -> CheckIn {
    match Message::parse(bytes, 65_536) {
        Ok(Message::CheckIn(check_in)) => check_in,
        other => panic!("{other:?}"),
    }
}

/// A message of this type from a Mac's device channel, with these further entries.
fn refusal(message_type: &str, entries: &str) -> MessageError {
    let body = format!(
        "<plist version=\"1.0\"><dict><key>MessageType</key><string>{message_type}</string>\
         <key>UDID</key><string>D</string>{entries}</dict></plist>"
    );
    Message::parse(body.as_bytes(), 65_536).unwrap_err()
}

fn token_update(check_in: CheckIn) -> (Channel, TokenUpdate) {
    match check_in.kind {
        CheckInKind::TokenUpdate(update) => (check_in.channel, *update),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_mac_authenticates_with_its_names_and_versions() {
    let CheckIn { channel, kind } = fixture!("authenticate_macos");
    assert_eq!((channel.kind, channel.id.as_str()), (ChannelKind::Device, MAC));
    let expected = Authenticate {
        topic: TOPIC.to_owned(),
        device_name: Some("Ann’s MacBook Pro".to_owned()),
        model: Some("Mac15,3".to_owned()),
        model_name: Some("MacBook Pro".to_owned()),
        product_name: Some("Mac15,3".to_owned()),
        serial_number: Some("H2WXQ4KLM9".to_owned()),
        os_version: Some("15.1".to_owned()),
        build_version: Some("24B91".to_owned()),
        ..Authenticate::default()
    };
    assert_eq!(kind, CheckInKind::Authenticate(Box::new(expected)));
}

#[test]
fn a_phone_authenticates_with_its_mobile_identities_and_a_personal_one_without_any() {
    let CheckInKind::Authenticate(phone) = fixture!("authenticate_ios").kind else { panic!("not Authenticate") };
    assert_eq!(phone.imei.as_deref(), Some("35 698712 345678 9"));
    assert_eq!(phone.meid.as_deref(), Some("35698712345678"));

    let CheckIn { channel, kind } = fixture!("authenticate_user_enrollment");
    assert_eq!(channel.kind, ChannelKind::UserEnrollmentDevice);
    let CheckInKind::Authenticate(personal) = kind else { panic!("not Authenticate") };
    assert_eq!((&personal.serial_number, &personal.imei, &personal.meid), (&None, &None, &None));
}

#[test]
fn token_updates_of_every_kind_of_channel_are_read() {
    let cases = [
        (fixture!("token_update_macos"), ChannelKind::Device, MAC.to_owned(), false, false),
        (
            fixture!("token_update_macos_user"),
            ChannelKind::User,
            format!("{MAC}:B5A3C1D2-4E6F-4A8B-9C0D-1E2F3A4B5C6D"),
            false,
            true,
        ),
        (fixture!("token_update_ios"), ChannelKind::Device, PHONE.to_owned(), true, false),
        (
            fixture!("token_update_shared_ipad_user"),
            ChannelKind::SharedIpad,
            "00008103-000C1D2E3F40001E:ben@school.example.com".to_owned(),
            true,
            false,
        ),
        (
            fixture!("token_update_user_enrollment"),
            ChannelKind::UserEnrollmentDevice,
            "6f1d8a52-3c47-4b9e-a0d5-8e7f6a5b4c3d".to_owned(),
            false,
            false,
        ),
        (
            fixture!("token_update_user_enrollment_user"),
            ChannelKind::UserEnrollment,
            "6f1d8a52-3c47-4b9e-a0d5-8e7f6a5b4c3d:9c0b1a29-3847-4f56-8e6d-7c5b4a392817".to_owned(),
            false,
            false,
        ),
    ];
    for (check_in, kind, id, awaiting_configuration, not_on_console) in cases {
        let (channel, update) = token_update(check_in);
        assert_eq!((channel.kind, channel.id.as_str()), (kind, id.as_str()));
        assert_eq!(update.topic, TOPIC);
        assert_eq!(update.token.expose().len(), 32);
        assert_eq!(update.push_magic.expose().len(), 36);
        assert_eq!(update.awaiting_configuration, awaiting_configuration, "{id}");
        assert_eq!(update.not_on_console, not_on_console, "{id}");
    }
    let (channel, _) = token_update(fixture!("token_update_macos_user"));
    let user = channel.user.unwrap();
    assert_eq!(user.short_name.as_deref(), Some("ann"));
    assert_eq!(user.long_name.as_deref(), Some("Ann Árnadóttir"));
}

#[test]
fn only_a_phone_sends_an_unlock_token_and_none_of_it_is_printed() {
    let (_, phone) = token_update(fixture!("token_update_ios"));
    assert_eq!(phone.unlock_token.as_ref().map(|token| token.expose().len()), Some(900));
    assert!(format!("{phone:?}").contains("token: Secret, push_magic: Secret, unlock_token: Some(Secret)"));
    let (_, mac) = token_update(fixture!("token_update_macos"));
    assert_eq!(mac.unlock_token, None);
}

#[test]
fn a_user_channel_checks_out_alone() {
    let device = fixture!("check_out_macos");
    assert_eq!(device.kind, CheckInKind::CheckOut { topic: TOPIC.to_owned() });
    let user = fixture!("check_out_macos_user");
    assert_eq!((user.channel.kind, &user.channel.device_id), (ChannelKind::User, &device.channel.id));
}

#[test]
fn a_user_authenticates_in_two_messages() {
    assert_eq!(fixture!("user_authenticate_macos").kind, CheckInKind::UserAuthenticate { digest_response: None });
    let answer = fixture!("user_authenticate_macos_response").kind;
    let CheckInKind::UserAuthenticate { digest_response: Some(response) } = answer else { panic!("{answer:?}") };
    assert!(response.expose().starts_with("Digest username=\"ann\""));
}

#[test]
fn an_absent_or_empty_bootstrap_token_is_a_removal() {
    let CheckInKind::SetBootstrapToken(Some(token)) = fixture!("set_bootstrap_token_macos").kind else {
        panic!("no token")
    };
    assert_eq!(token.expose().len(), 64);
    assert_eq!(fixture!("set_bootstrap_token_macos_removed").kind, CheckInKind::SetBootstrapToken(None));
    let absent = b"<plist><dict><key>MessageType</key><string>SetBootstrapToken</string>\
        <key>UDID</key><string>D</string></dict></plist>";
    assert_eq!(check_in(absent).kind, CheckInKind::SetBootstrapToken(None));
    let asked = CheckInKind::GetBootstrapToken { awaiting_configuration: true };
    assert_eq!(fixture!("get_bootstrap_token_macos").kind, asked);
}

#[test]
fn a_device_asks_for_the_token_of_a_service() {
    let CheckInKind::GetToken(maid) = fixture!("get_token_maid_ios").kind else { panic!("not GetToken") };
    assert_eq!((maid.service, maid.security_token), (TokenService::Maid, None));
    let CheckInKind::GetToken(watch) = fixture!("get_token_watch_pairing_ios").kind else { panic!("not GetToken") };
    assert_eq!(watch.service, TokenService::WatchPairing);
    assert_eq!(watch.phone_udid.as_deref(), Some(PHONE));
    assert_eq!(watch.watch_udid.as_deref(), Some("00008301-0A1B2C3D4E5F6007"));
    let novel = b"<plist><dict><key>MessageType</key><string>GetToken</string><key>UDID</key><string>D</string>\
        <key>TokenServiceType</key><string>com.example.new</string></dict></plist>";
    let CheckInKind::GetToken(novel) = check_in(novel).kind else { panic!("not GetToken") };
    assert_eq!(novel.service, TokenService::Other("com.example.new".to_owned()));
}

#[test]
fn the_endpoints_of_declarative_management_are_told_apart() {
    let endpoint = |check_in: CheckIn| match check_in.kind {
        CheckInKind::DeclarativeManagement(endpoint) => endpoint,
        other => panic!("{other:?}"),
    };
    assert_eq!(endpoint(fixture!("declarative_tokens_macos")), Endpoint::Tokens);
    assert_eq!(endpoint(fixture!("declarative_items_macos_user")), Endpoint::DeclarationItems);
    let configuration =
        Endpoint::Declaration { kind: DeclarationKind::Configuration, identifier: "com.example.passcode".to_owned() };
    assert_eq!(endpoint(fixture!("declarative_declaration_ios")), configuration);
    let Endpoint::Status { data } = endpoint(fixture!("declarative_status_ios")) else { panic!("not a status") };
    assert!(data.starts_with(b"{\"StatusItems\""));
}

#[test]
fn an_endpoint_that_does_not_exist_is_refused() {
    for path in [
        "",
        "Tokens",
        "tokens/",
        "declaration",
        "declaration/configuration",
        "declaration/configuration/",
        "declaration/wish/a",
        "../declaration/asset/a",
    ] {
        let error = refusal("DeclarativeManagement", &format!("<key>Endpoint</key><string>{path}</string>"));
        let missing = MessageError::from(FieldError::Missing("Endpoint"));
        assert_eq!(error, if path.is_empty() { missing } else { MessageError::UnknownEndpoint }, "{path}");
    }
    let slash = Endpoint::declaration("declaration/asset/a/b");
    assert_eq!(slash, Some(Endpoint::Declaration { kind: DeclarationKind::Asset, identifier: "a/b".to_owned() }));
}

#[test]
fn a_device_asks_how_to_return_to_service() {
    let message = fixture!("return_to_service_ios");
    assert_eq!((message.kind, message.channel.id.as_str()), (CheckInKind::ReturnToService, PHONE));
}

#[test]
fn what_a_message_needs_is_demanded_by_name() {
    let topic = "<key>Topic</key><string>com.apple.mgmt.x</string>";
    let token = "<key>Token</key><data>AAAA</data>";
    let cases = [
        ("Authenticate", String::new(), FieldError::Missing("Topic")),
        ("CheckOut", String::new(), FieldError::Missing("Topic")),
        ("TokenUpdate", topic.to_owned(), FieldError::Missing("Token")),
        ("TokenUpdate", format!("{topic}<key>Token</key><data/>"), FieldError::Missing("Token")),
        ("TokenUpdate", format!("{topic}{token}"), FieldError::Missing("PushMagic")),
        (
            "TokenUpdate",
            format!("{topic}<key>Token</key><data>{}</data>", "A".repeat(1368)),
            FieldError::TooLong { key: "Token", max: MAX_TOKEN_BYTES },
        ),
        (
            "SetBootstrapToken",
            "<key>BootstrapToken</key><string>a</string>".to_owned(),
            FieldError::WrongType { key: "BootstrapToken", expected: "data" },
        ),
        ("GetToken", String::new(), FieldError::Missing("TokenServiceType")),
        ("DeclarativeManagement", "<key>Endpoint</key><string>status</string>".to_owned(), FieldError::Missing("Data")),
    ];
    for (message_type, entries, expected) in cases {
        assert_eq!(refusal(message_type, &entries), MessageError::Field(expected), "{message_type} {entries}");
    }
}
