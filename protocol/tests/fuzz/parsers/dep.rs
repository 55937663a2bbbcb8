//! Apple's device assignment service: its answers, its tokens, the profiles that admins write, and what new devices say.

use std::sync::LazyLock;

use openssl::cms::{CMSOptions, CmsContentInfo};
use openssl::stack::Stack;
use openssl::symm::Cipher;
use openssl::x509::X509;
use protocol::apple::dep::answers::{
    self, Account, Answer, Assigned, DefinedProfile, DeviceDetails, DevicesPage, MAX_TEXT_CHARS, Refusal,
};
use protocol::apple::dep::machine_info::MachineInfo;
use protocol::apple::dep::oauth::authorization;
use protocol::apple::dep::profile::{Additions, SetupProfile};
use protocol::apple::dep::token::ServerToken;
use protocol::pki::signature::sign_attached;

use super::seeds::{KEYS, NOW};

const TOKEN: &str = r#"{"consumer_key":"CK_48dd","consumer_secret":"CS_34c7","access_token":"AT_9276","access_secret":"AS_c31a","access_token_expiry":"2027-11-20T09:30:00Z"}"#;

/// The token as it is inside its file.
static INSIDE: LazyLock<String> = LazyLock::new(|| {
    format!("Content-Type: text/plain\r\n\r\n-----BEGIN MESSAGE-----\r\n{TOKEN}\r\n-----END MESSAGE-----\r\n")
});

/// Answers of the service.
pub(crate) fn answers() -> Vec<Vec<u8>> {
    [
        r#"{"devices":[{"serial_number":"C02XL0GYJGH5","model":"MacBook Pro","os":"OSX","device_family":"Mac","profile_status":"pushed","profile_uuid":"88fc","profile_push_time":"2026-02-01T00:00:00Z","op_type":"modified","op_date":"2026-02-01T00:00:01Z"}],"cursor":"MTox","fetched_until":"2026-11-21T09:30:00Z","more_to_follow":false}"#,
        r#"{"devices":{"C1":{"serial_number":"C1","response_status":"SUCCESS","os":"iOS","model":"iPad"},"C2":{"response_status":"NOT_ACCESSIBLE"}}}"#,
        r#"{"profile_uuid":"88fc","devices":{"C1":"SUCCESS","C2":"THROTTLED"},"retry_after_seconds":60}"#,
        r#"{"server_name":"R","server_uuid":"677c","admin_id":"a@b","org_name":"E","urls":[{"uri":"/server/devices","limit":{"maximum":1000}}]}"#,
        "\"T_C_NOT_SIGNED\"",
        "EXPIRED_CURSOR",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

/// Profiles that admins write.
pub(crate) fn profiles() -> Vec<Vec<u8>> {
    [
        r#"{"profile_name":"A","is_supervised":true,"is_mdm_removable":false,"skip_setup_items":["Siri"],"language":"en"}"#,
        r#"{"profile_name":"A","url":"https://x","anchor_certs":["AAAA"],"new":{"a":[1]}}"#,
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

/// Token files, what they hold, and what is kept of them.
pub(crate) fn tokens() -> Vec<Vec<u8>> {
    let mut recipients = Stack::new().unwrap();
    recipients.push(X509::from_der(KEYS.rsa.certificate().der()).unwrap()).unwrap();
    let sealed = CmsContentInfo::encrypt(&recipients, INSIDE.as_bytes(), Cipher::aes_256_cbc(), CMSOptions::BINARY);
    let der = sealed.unwrap().to_der().unwrap();
    let head = "Content-Type: application/pkcs7-mime; smime-type=enveloped-data\r\n\r\n";
    let file = format!("{head}{}", openssl::base64::encode_block(&der));
    vec![file.into_bytes(), der, INSIDE.clone().into_bytes(), TOKEN.into()]
}

/// What new devices say.
pub(crate) fn machine_infos() -> Vec<Vec<u8>> {
    let plist = "<plist version=\"1.0\"><dict><key>SERIAL</key><string>C1</string><key>PRODUCT</key><string>Mac15,3</string>\
        <key>VERSION</key><string>24B83</string></dict></plist>";
    let chain = [KEYS.authority.certificate().clone()];
    [&KEYS.rsa, &KEYS.ec].map(|device| sign_attached(plist.as_bytes(), device, &chain).unwrap()).to_vec()
}

/// What is read is bounded, whatever the service says.
pub(crate) fn answer(input: &[u8]) {
    let _ = (Account::parse(input), DeviceDetails::parse(input), DefinedProfile::parse(input), Assigned::parse(input));
    assert!(answers::session(input).is_ok_and(|session| !session.is_empty()) || answers::session(input).is_err());
    if let Ok(page) = DevicesPage::parse(input) {
        for device in page.devices {
            assert!(!device.serial_number.is_empty() && device.model.chars().count() <= MAX_TEXT_CHARS);
            let _ = device.platform();
        }
    }
    for (status, to_session) in [(400, false), (401, true), (403, false), (429, false), (503, false)] {
        let retry_after = std::str::from_utf8(input).ok();
        let answer = Answer { status, body: input, retry_after, received_at: NOW, to_session };
        assert!(Refusal::of(&answer).to_string().len() < 256);
    }
}

/// A profile that is taken can be sent, and says so by the same digest each time.
pub(crate) fn profile(input: &[u8]) {
    let Ok(profile) = SetupProfile::parse(input) else { return };
    let here = Additions { url: "https://mdm.example.com/enroll", ..Additions::default() };
    let sent = profile.effective(&here);
    assert_eq!(sent, SetupProfile::parse(input).expect("it was read before").effective(&here));
    let sent: serde_json::Value = serde_json::from_slice(&sent.json).expect("JSON of ours is JSON");
    assert_eq!(sent["url"], here.url);
}

/// A token that is read is kept and read again, and signs.
pub(crate) fn token(input: &[u8]) {
    let read = [ServerToken::decrypt(input, &KEYS.rsa, NOW), ServerToken::from_json(input)];
    for token in read.into_iter().flatten() {
        assert!(ServerToken::from_json(&token.to_json()).as_ref() == Ok(&token), "what we write we read");
        let text = String::from_utf8_lossy(input);
        let header = authorization(&token, &text, NOW, "nonce").expect("a text is a key");
        assert!(!header.contains(char::is_control));
    }
}

/// Whoever is believed was signed for by the authority.
pub(crate) fn machine_info(input: &[u8]) {
    let _ = MachineInfo::verify_header(input, &[], NOW);
    if let Ok(info) = MachineInfo::verify(input, &[KEYS.authority.certificate().clone()], NOW) {
        assert!(!info.product.is_empty());
        assert!(MachineInfo::verify(input, &[], NOW).is_err(), "without an anchor nobody is believed");
    }
}
