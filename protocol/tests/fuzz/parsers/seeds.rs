//! What inputs are made of: messages of real devices, and certificates and signed messages that are made once.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use protocol::apple::command::Command;
use protocol::apple::enrollment_profile::{EnrollmentProfile, MdmPayload, ScepPayload};
use protocol::apple::message::Message;
use protocol::apple::secret::Secret;
use protocol::ids::CommandUuid;
use protocol::pki::authority::{Authority, AuthorityRole};
use protocol::pki::scep::client::{Protection, Request, certification_request};
use protocol::pki::scep::{Cipher, Policy, RequestKind, reply_failure, reply_success};
use protocol::pki::signature::{sign_attached, sign_detached};
use protocol::pki::{Digest, NewKey, ServerName, Signer, self_signed};
use protocol::time::Timestamp;
use protocol::webhook::{Event, Topic};

/// The moment at which everything happens.
pub(crate) const NOW: Timestamp = Timestamp::from_seconds(1_795_253_400);
const YEAR: Duration = Duration::from_secs(365 * 86_400);
/// The body that signed messages sign.
pub(crate) const BODY: &[u8] = b"<plist version=\"1.0\"><dict><key>Status</key><string>Idle</string></dict></plist>";

/// Keys and certificates.
pub(crate) struct Keys {
    /// Signs certificates and opens SCEP requests.
    pub(crate) authority: Authority,
    /// A device with an RSA key.
    pub(crate) rsa: Signer,
    /// A device with an elliptic key.
    pub(crate) ec: Signer,
    /// A SCEP request of the RSA device, and who signed it.
    pub(crate) request: Request,
    /// Who signed the request.
    pub(crate) requester: Signer,
}

/// Made once for a process.
pub(crate) static KEYS: LazyLock<Keys> = LazyLock::new(|| {
    let authority = Authority::create("Fuzz CA", NOW, 10, AuthorityRole::AnswersScep).unwrap();
    let identity = |kind: NewKey| {
        let key = kind.generate().unwrap();
        let spki = key.public_key_to_der().unwrap();
        Signer::new(authority.issue_identity(&spki, "device", NOW, YEAR).unwrap(), key).unwrap()
    };
    let (rsa, ec) = (identity(NewKey::Rsa2048), identity(NewKey::P256));
    let key = NewKey::Rsa2048.generate().unwrap();
    let requester = self_signed(key.clone(), "device", NOW, YEAR).unwrap();
    let csr = certification_request(&key, "device", Some("challenge")).unwrap();
    let request = Request::new(RequestKind::Enroll, &csr, &requester, authority.certificate(), PROTECTION).unwrap();
    Keys { authority, rsa, ec, request, requester }
});

/// How SCEP requests are protected.
pub(crate) const PROTECTION: Protection = Protection { cipher: Cipher::Aes128, digest: Digest::Sha256 };

/// The folder `protocol/tests`, whichever crate this is compiled for.
pub(crate) fn tests() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    let places = ["tests", "protocol/tests", "../tests"].map(|place| own.join(place));
    places
        .into_iter()
        .find(|place| place.join("fixtures/apple").is_dir())
        .expect("the fixtures stand in protocol/tests")
}

/// Files of a folder below the tests of this crate, in the order of their names.
pub(crate) fn files(folder: &str) -> Vec<Vec<u8>> {
    let Ok(entries) = std::fs::read_dir(tests().join(folder)) else { return Vec::new() };
    let mut paths: Vec<_> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_file()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// Messages of devices.
pub(crate) fn messages() -> Vec<Vec<u8>> {
    files("fixtures/apple").into_iter().filter(|file| file.starts_with(b"<?xml")).collect()
}

/// Command documents.
pub(crate) fn commands() -> Vec<Vec<u8>> {
    let uuid = || CommandUuid::parse("0001_Fuzz").unwrap();
    vec![
        Command::security_info(uuid()).to_xml(),
        Command::install_profile(uuid(), &profiles()[0]).to_xml(),
        Command::device_information(uuid(), &["UDID", "SerialNumber"]).to_xml(),
    ]
}

/// Enrollment profiles.
pub(crate) fn profiles() -> Vec<Vec<u8>> {
    let mut scep = ScepPayload::new("https://mdm.example.com/scep");
    scep.challenge = Some(Secret::new("challenge".to_owned()));
    scep.subject = vec![("O".into(), "Example".into()), ("CN".into(), "%HardwareUUID%".into())];
    scep.ca_fingerprint = Some(vec![7; 32]);
    let mdm = MdmPayload::new("com.apple.mgmt.External.fuzz", "https://mdm.example.com/mdm");
    let mut profile = EnrollmentProfile::new("org.example.enrollment", "3f2c", scep, mdm);
    profile.organization = Some("Example".into());
    let plain = profile.to_xml().unwrap();
    profile.root_certificates = vec![KEYS.authority.certificate().der().to_vec()];
    vec![plain, profile.to_xml().unwrap()]
}

/// JSON documents: answers of APNs, commands of admins.
pub(crate) fn json() -> Vec<Vec<u8>> {
    [
        r#"{"reason":"Unregistered","timestamp":1795253400000}"#,
        r#"{"RequestType":"Settings","Settings":[{"Item":"Wallpaper","Image":{"$data":"AAEC"},"Where":3}]}"#,
        r#"{"a":{"$date":"2026-11-21T09:30:00Z"},"b":[1,-2,3.5,true,"text"],"c":18446744073709551615}"#,
        r#"{"request_type":"DeviceLock","command_uuid":"u","PIN":"123456","Message":"text"}"#,
        r#"{"command":"PHBsaXN0Lz4=","host_uuids":["A","B"],"priority":3}"#,
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

/// Documents with variables in them.
pub(crate) fn variables() -> Vec<Vec<u8>> {
    [
        "<Data><![CDATA[<data id=\"x\" value=\"$FLEET_SECRET_A\"/>]]></Data><!-- ${ROOKERY_SECRET_B} --><Data>&lt;$FLEET_SECRET_C</Data>",
        "{\"a\":\"${FLEET_VAR_HOST_UUID}\",\"b\":\"$ROOKERY_VAR_HOST_END_USER_IDP_USERNAME_LOCAL_PART\"}",
        "FLEET_VAR_HOST_PLATFORM",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

/// What admins upload for Apple devices: plain, with variables, signed.
pub(crate) fn uploaded_profiles() -> Vec<Vec<u8>> {
    const PLAIN: &str = "<?xml version=\"1.0\"?><plist version=\"1.0\"><dict><key>PayloadType</key><string>Configuration</string>\
        <key>PayloadVersion</key><integer>1</integer><key>PayloadIdentifier</key><string>com.example.p</string><key>PayloadUUID</key>\
        <string>A</string><key>PayloadDisplayName</key><string>P</string><key>PayloadScope</key><string>User</string><key>PayloadContent</key>\
        <array><dict><key>PayloadType</key><string>com.apple.MCX</string><key>PayloadVersion</key><integer>1</integer>\
        <key>PayloadIdentifier</key><string>com.example.d</string><key>PayloadUUID</key><string>B</string><key>Setting</key><data>AAAA</data>\
        </dict></array></dict></plist>";
    let signed = sign_attached(PLAIN.as_bytes(), &KEYS.ec, &[]).unwrap();
    vec![PLAIN.into(), PLAIN.replace("AAAA", "$FLEET_SECRET_A${ROOKERY_SECRET_B}").into(), signed]
}

/// Declarations.
pub(crate) fn declarations() -> Vec<Vec<u8>> {
    [
        r#"{"Type":"com.apple.activation.simple","Identifier":"a","Payload":{"StandardConfigurations":["c"],"Predicate":"TRUEPREDICATE"}}"#,
        r#"{"Type":"com.apple.asset.data","Identifier":"s","Payload":{"Reference":{"DataURL":"https://example.com/x"}}}"#,
        r#"{"Type":"com.apple.configuration.account.mail","Identifier":"c","ServerToken":"t","Payload":{"X":[{"UserIdentityAssetReference":"s"}],"YAssetReferences":["$FLEET_SECRET_A"]}}"#,
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

/// Events as rows keep them.
pub(crate) fn events() -> Vec<Vec<u8>> {
    let bodies = messages().into_iter().filter_map(|body| Some((Message::parse(&body, 1 << 20).ok()?, body)));
    let event = |(message, body): (Message, Vec<u8>)| {
        let (topic, channel) = match message {
            Message::CheckIn(said) => (Topic::TokenUpdate, said.channel),
            Message::Report(said) => (Topic::Connect, said.channel),
        };
        Event { status: Some("Idle".into()), ..Event::new(topic, &channel).with_payload(&body) }.encode()
    };
    let activity =
        br#"{"actor_full_name":"Ada","actor_id":1,"actor_email":"a@b","type":"created_team","details":{"team_id":1}}"#;
    bodies.map(event).chain([activity.to_vec()]).collect()
}

/// What agents say.
pub(crate) fn agents() -> Vec<Vec<u8>> {
    [
        r#"{"enroll_secret":"s","hardware_uuid":"4C4C4544-0043","hardware_serial":"C02XL0GYJGH5","hostname":"h","platform":"darwin","osquery_identifier":"i","computer_name":"Mac","hardware_model":"Mac14,2"}"#,
        r#"{"enroll_secret":"s","host_identifier":"i","host_details":{"os_version":{"platform":"ubuntu","version":"24.04","build":""},"system_info":{"uuid":"U","hardware_serial":"-1","computer_name":"","hostname":"h"}}}"#,
        r#"{"orbit_node_key":"key"}"#,
        r#"{"orbit_node_key":"key","device_auth_token":"5d2ed1a1-8c4e-4b5c-9f62-1f0f4a1f8f6e","email":"ana@example.com"}"#,
        r#"{"node_key":"key","queries":{"fleet_detail_query_mdm":[{"enrolled":"true","server_url":"https://x/mdm?a=b","installed_from_dep":"false","payload_identifier":"x"}],"fleet_detail_query_system_info":[{"uuid":"U","hardware_serial":"-1","computer_name":"Mac","hostname":"h"}],"fleet_detail_query_mdm_config_profiles_darwin":[{"display_name":"A","identifier":"a","install_date":"2024-11-25 10:15:00 +0100"}]},"statuses":{"fleet_detail_query_mdm":0,"fleet_detail_query_system_info":"0"}}"#,
        r#"{"node_key":"key","queries":{"fleet_detail_query_mdm_config_profiles_windows":[{"raw_mdm_command_output":"<SyncML><SyncBody><Status><CmdRef>1</CmdRef><Data>200</Data></Status><Results><CmdRef>1</CmdRef><Item><Data>0</Data></Item></Results></SyncBody></SyncML>"}],"fleet_detail_query_mdm_windows":""},"statuses":{}}"#,
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

/// What Windows devices say while they enroll.
pub(crate) fn windows_enrollment() -> Vec<Vec<u8>> {
    let mut seeds = files("fixtures/windows");
    seeds.push(br#"{"type":1,"payload":{"orbit_node_key":"k","auth_token":""}}"#.to_vec());
    seeds
}

/// Certificates.
pub(crate) fn certificates() -> Vec<Vec<u8>> {
    let keys = &*KEYS;
    let name = ServerName::parse("mdm.example.com").unwrap();
    let server = keys.authority.issue_server(&[name], NOW, YEAR).unwrap();
    let push = keys.authority.issue_push("com.apple.mgmt.External.fuzz", NOW, YEAR).unwrap();
    let all = [keys.authority.signer(), &keys.rsa, &keys.ec, &server, &push, &keys.requester];
    all.iter().map(|signer| signer.certificate().der().to_vec()).collect()
}

/// Signed messages, detached and with content.
pub(crate) fn signatures() -> Vec<Vec<u8>> {
    let keys = &*KEYS;
    let chain = [keys.authority.certificate().clone()];
    vec![
        sign_detached(BODY, &keys.rsa, true).unwrap(),
        sign_detached(BODY, &keys.rsa, false).unwrap(),
        sign_detached(BODY, &keys.ec, true).unwrap(),
        sign_attached(BODY, &keys.rsa, &chain).unwrap(),
    ]
}

/// SCEP requests.
pub(crate) fn scep_requests() -> Vec<Vec<u8>> {
    let keys = &*KEYS;
    let csr = &requests()[1];
    let renewal = Request::new(RequestKind::Renew, csr, &keys.rsa, keys.authority.certificate(), PROTECTION).unwrap();
    vec![keys.request.message().to_vec(), renewal.message().to_vec()]
}

/// SCEP replies to the one request.
pub(crate) fn scep_replies() -> Vec<Vec<u8>> {
    let keys = &*KEYS;
    let policy = Policy { allow_legacy: false };
    let opened = protocol::pki::scep::Request::open(keys.request.message(), keys.authority.signer(), &policy).unwrap();
    let issued = keys.rsa.certificate().clone();
    let refused = protocol::pki::scep::FailInfo::BadRequest;
    vec![
        reply_failure(&opened.context, refused, keys.authority.signer()).unwrap(),
        reply_success(&opened, &issued, &[], keys.authority.signer()).unwrap(),
    ]
}

/// Certification requests (PKCS#10).
pub(crate) fn requests() -> Vec<Vec<u8>> {
    let (rsa, ec) = (KEYS.rsa.key(), KEYS.ec.key());
    vec![
        certification_request(rsa, "device", Some("challenge")).unwrap(),
        certification_request(rsa, "device", None).unwrap(),
        certification_request(ec, "device", Some("challenge")).unwrap(),
    ]
}

/// PEM texts: certificates and keys.
pub(crate) fn pems() -> Vec<Vec<u8>> {
    let keys = &*KEYS;
    let certificate = |signer: &Signer| signer.certificate().to_pem().unwrap().into_bytes();
    let both = |signer: &Signer| [certificate(signer), signer.private_key_pem().unwrap()].concat();
    vec![both(&keys.rsa), both(&keys.ec), both(keys.authority.signer()), certificate(&keys.rsa)]
}

/// Short texts: names, dates, Base64.
pub(crate) fn texts() -> Vec<Vec<u8>> {
    let base64 = openssl::base64::encode_block(&signatures()[1]);
    let short = ["2026-11-21T09:30:00Z", "C02XL0GYJGH5", "0F5C:ann", "mdm.example.com", "Shared iPad", "Mac15,3"];
    short.iter().map(|text| text.as_bytes().to_vec()).chain([base64.into_bytes()]).collect()
}
