//! One target for each parser: it takes any bytes, and what it yields must keep a few rules. Panics are findings.
//!
//! The in-process mutator (`tests/fuzz/main.rs`) and cargo-fuzz (`protocol/fuzz`) run the same functions.

use protocol::agent;
use protocol::apple::channel::{ChannelKind, EnrollmentId};
use protocol::apple::check_in::DeclarationKind;
use protocol::apple::command::Command;
use protocol::apple::enrollment_profile::EnrollmentProfile;
use protocol::apple::message::Message;
use protocol::apple::os_updates::OsUpdates;
use protocol::apple::profile::Profile;
use protocol::apple::push::{Answer, Feedback, is_topic};
use protocol::apple::uploaded_declaration::UploadedDeclaration;
use protocol::apple::uploaded_profile::UploadedProfile;
use protocol::apple::{json, platform, plist, profile_report, strict_json};
use protocol::ids::{CommandUuid, hardware_uuid, serial_number};
use protocol::pki::authority::Authority;
use protocol::pki::scep::client::{Request as ClientRequest, read_ca_certificates};
use protocol::pki::scep::{Policy, Request, RequestKind, TransactionId, message_parameter, proven_rsa_key};
use protocol::pki::signature::{Fast, KnownSigner, SignedMessage, header, verify};
use protocol::pki::{Certificate, Fingerprint, PublicKey, ServerName, Signer};
use protocol::retry_after::retry_after;
use protocol::time::Timestamp;
use protocol::variables::{self, Escape, Variable};
use protocol::webhook::{Event, Form, Stamp, Topic, activity};
use protocol::windows::discovery::{Discover, Version};
use protocol::windows::enrollment::TokenRequest;
use protocol::windows::token::AccessToken;
use protocol::windows::{policy, soap};
use protocol::{profile_name, upload};

use super::declarative;
use super::dep;
use super::mutator::{self, Shape};
use super::saml;
use super::seeds::{self, BODY, KEYS, NOW, PROTECTION};
use super::windows;

/// What every parser gets as its limit.
const MAX: usize = 1 << 20;

/// One target.
pub(crate) struct Target {
    /// Its name, and the folder of its corpus.
    pub(crate) name: &'static str,
    /// The parsers that it reaches, as `file::function`.
    pub(crate) parsers: &'static [&'static str],
    /// Takes an input.
    pub(crate) run: fn(&[u8]),
    /// What its inputs are made of.
    pub(crate) seeds: fn() -> Vec<Vec<u8>>,
    /// How they are built.
    pub(crate) shape: Shape,
    /// How many of a thousand inputs it gets; slow ones get few.
    pub(crate) share: usize,
}

const fn target(
    name: &'static str,
    (shape, share): (Shape, usize),
    parsers: &'static [&'static str],
    seeds: fn() -> Vec<Vec<u8>>,
    run: fn(&[u8]),
) -> Target {
    Target { name, parsers, run, seeds, shape, share }
}

const TEXT: Shape = Shape::Text;
const DER: Shape = Shape::Der;

/// All of them.
#[rustfmt::skip]
pub(crate) static TARGETS: &[Target] = &[
    target("message", (TEXT, 60), &["message::parse"], seeds::messages, message),
    target("plist", (TEXT, 70), &["plist::parse", "scalar::parse_date"], seeds::messages, plist_value),
    target("report_json", (TEXT, 40), &["json::from_xml", "profile_report::installed"], seeds::messages, report_json),
    target("command", (TEXT, 50), &["command::parse", "command_keys::check"], seeds::commands, command),
    target("profile", (TEXT, 50), &["profile::parse"], seeds::profiles, profile),
    target("enrollment_profile", (TEXT, 50), &["enrollment_profile::parse"], seeds::profiles, enrollment_profile),
    target("status", (TEXT, 40), &["status::parse", "status::item"], declarative::reports, declarative::status),
    target("declaration", (TEXT, 20), &["text::document", "host_set::of", "host_set::item", "host_set::generated"], declarative::texts, declarative::declaration),
    target("apns", (TEXT, 50), &["push::of", "push::is_topic", "retry_after::retry_after"], seeds::json, apns),
    target("admin_json", (TEXT, 40), &["json::to_value"], seeds::json, admin_json),
    target("agent", (TEXT, 20), &["agent::orbit_enrollment", "agent::osquery_enrollment", "agent::node_key",
        "answers::answers", "orbit::device_token", "orbit::device_user"], seeds::agents, agent),
    target("windows_enrollment", (TEXT, 40), &["soap::read", "token::read", "discovery::parse"], seeds::windows_enrollment, windows_enrollment),
    target("windows_csr", (DER, 10), &["csr::proven_rsa_key"], seeds::requests, windows_csr),
    target("webhook_event", (TEXT, 20), &["mod::decode", "activity::document"], seeds::events, webhook_event),
    target("signature", (DER, 40), &["verify::verify"], seeds::signatures, signature),
    target("known_signer", (DER, 40), &["message::walk"], seeds::signatures, known_signer),
    target("certificate", (DER, 50), &["certificate::parse", "certificate::of", "public_key::from_spki"], seeds::certificates, certificate),
    target("scep_request", (DER, 8), &["request::open"], seeds::scep_requests, scep_request),
    target("scep_csr", (DER, 2), &["csr::read"], seeds::requests, scep_csr),
    target("scep_reply", (DER, 8), &["client::read_reply"], seeds::scep_replies, scep_reply),
    target("ca_certificates", (DER, 20), &["client::read_ca_certificates"], seeds::certificates, ca_certificates),
    target("pem", (Shape::Bytes, 12), &["certificate::from_pem", "signer::from_pem", "authority::from_pem"], seeds::pems, pem),
    target("base64", (Shape::Bytes, 30), &["mod::header", "mod::message_parameter"], seeds::texts, base64),
    target("xml", (TEXT, 20), &["xml::parse"], windows::seeds, windows::tree),
    target("syncml", (TEXT, 30), &["message::parse", "message::dev_info"], windows::seeds, windows::message),
    target("windows_profile", (TEXT, 20), &["read::parse", "read::accepted", "result_json::said"], windows::seeds, windows::profile),
    target("windows_command", (TEXT, 20), &["command::parse", "command::from_body", "wire_id::parse", "result_json::result_json", "credentials::credentials",
        "credentials::digest"], windows::seeds, windows::command),
    target("variables", (TEXT, 10), &["variables::find", "variables::parse", "variables::render"], seeds::variables, variables),
    target("uploaded_profile", (TEXT, 20), &["uploaded_profile::parse", "verify::verify_upload", "upload::sniff", "profile_name::check_name"],
        seeds::uploaded_profiles, uploaded_profile),
    target("uploaded_declaration", (TEXT, 10), &["uploaded_declaration::parse", "strict_json::parse"], seeds::declarations, uploaded_declaration),
    target("dep_answer", (TEXT, 20), &["account::parse", "devices::parse", "assignment::parse", "answers::session"], dep::answers, dep::answer),
    target("dep_profile", (TEXT, 10), &["profile::parse"], dep::profiles, dep::profile),
    target("dep_token", (Shape::Bytes, 10), &["token::decrypt", "token::from_json"], dep::tokens, dep::token),
    target("machine_info", (DER, 10), &["machine_info::verify", "machine_info::verify_header"], dep::machine_infos, dep::machine_info),
    target("saml", (TEXT, 20), &["response::verify", "metadata::parse"], saml::seeds, saml::read),
    target("names", (Shape::Bytes, 30), &["ids::parse", "ids::serial_number", "ids::hardware_uuid", "channel::parse", "check_in::parse", "issue::parse",
        "attributes::parse", "time::parse_rfc3339", "platform::platform", "certificate::from_str", "os_updates::new", "mod::parse"], seeds::texts, names),
];

/// Pieces that break parsers.
pub(crate) static TOKENS: &[&[u8]] = &[
    b"<dict>",
    b"</dict>",
    b"<array>",
    b"</array>",
    b"<key>UDID</key>",
    b"<string/>",
    b"<data>AAAA</data>",
    b"<data>=</data>",
    b"<integer>-9223372036854775808</integer>",
    b"<integer>0x8000000000000000</integer>",
    b"<real>nan</real>",
    b"<real>1e999</real>",
    b"<date>9999-12-31T23:59:59Z</date>",
    b"<date>-0001-01-01T00:00:00Z</date>",
    b"<true/>",
    b"&#0;",
    b"&#x110000;",
    b"&lol;",
    b"]]>",
    b"<![CDATA[",
    b"<!--",
    b"-->",
    b"<?xml version=\"1.0\" encoding=\"UTF-16\"?>",
    b"<!DOCTYPE plist [<!ENTITY a \"b\">]>",
    b"bplist00",
    b"\xEF\xBB\xBF",
    b"\xED\xA0\x80",
    b"\0",
    b"<SyncBody>",
    b"</SyncBody>",
    b"<Data>",
    b"</Data></Item>",
    b"<MoreData/>",
    b" xmlns=\"syncml:metinf\"",
    b"<CmdRef>0</CmdRef>",
    b"{",
    b"}",
    b"[",
    b"]",
    b"null",
    b"\\u0000",
    b"\\ud800",
    b"1e400",
    b"-0",
    b"\"$data\":\"\"",
    b"\"$date\":\"\"",
    b"\x30\x80",
    b"\x00\x00",
    b"\x30\x84\xff\xff\xff\xff",
    b"\x02\x01\x00",
    b"-----BEGIN CERTIFICATE-----",
    b"-----END CERTIFICATE-----",
    b"%00",
    b":",
    b"9999999999999999999",
];

fn message(input: &[u8]) {
    if let Ok(Message::Report(report)) = Message::parse(input, MAX) {
        let _ = report.to_json().to_string();
    }
}

/// What was read is written so that it is read again as the same.
fn plist_value(input: &[u8]) {
    if let Ok(value) = plist::parse(input, MAX) {
        let written = plist::to_xml(&value);
        let again = plist::parse(&written, usize::MAX).expect("what we write we read");
        assert_eq!(plist::to_xml(&again), written, "what we read we write");
    }
    if let Ok(text) = std::str::from_utf8(input) {
        let _ = plist::parse_date(text);
    }
}

fn report_json(input: &[u8]) {
    let _ = (profile_report::installed(input), profile_report::failure(input));
    if let Ok(json) = json::from_xml(input, MAX) {
        let text = json.to_string();
        assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "JSON of ours is JSON");
    }
}

fn command(input: &[u8]) {
    let fallback = CommandUuid::parse("fallback").expect("it is short");
    if let Ok(command) = Command::parse(input, MAX, fallback.clone()) {
        let again = Command::parse(&command.to_xml(), usize::MAX, fallback).expect("what we write we read");
        assert_eq!(again.uuid(), command.uuid());
        assert_eq!(again.to_xml(), command.to_xml());
        let _ = command.check();
    }
}

fn profile(input: &[u8]) {
    if let Ok(profile) = Profile::parse(input, MAX) {
        let written = profile.to_xml();
        let again = Profile::parse(&written, usize::MAX).expect("what we write we read");
        // As JSON: there the order of entries means nothing, and what is not a number equals itself.
        let json = |xml: &[u8]| json::from_xml(xml, usize::MAX).expect("what we write we read");
        assert!(json(&again.to_xml()) == json(&written), "what we read we write");
    }
}

fn enrollment_profile(input: &[u8]) {
    if let Ok(profile) = EnrollmentProfile::parse(input, MAX) {
        let written = profile.to_xml().expect("what we read we write");
        EnrollmentProfile::parse(&written, usize::MAX).expect("what we write we read");
    }
}

fn apns(input: &[u8]) {
    for status in [200, 400, 403, 410, 429, 500] {
        let text = std::str::from_utf8(input).ok();
        let answer = Answer { status, apns_id: text, retry_after: text, body: input, received_at: NOW };
        let feedback = Feedback::of(&answer);
        let _ = feedback.kills_token_of(NOW);
    }
    if let Ok(text) = std::str::from_utf8(input) {
        let _ = (is_topic(text), retry_after(text, NOW));
    }
}

/// An event that was kept becomes a document in either form.
fn webhook_event(input: &[u8]) {
    let of_activity = Stamp { id: "id".into(), at: NOW, host: 0, tally: None };
    for form in [Form::Rookery, Form::Fleet] {
        if let Some(document) = activity::document(input, form, &of_activity) {
            assert!(serde_json::from_slice::<serde_json::Value>(&document).is_ok());
        }
    }
    if let Some(event) = Event::decode(input) {
        assert_eq!(Event::decode(&event.encode()), Some(event.clone()), "an event is kept as it was");
        let stamp = Stamp { id: "id".into(), at: NOW, host: 1, tally: Some(1) };
        for form in [Form::Rookery, Form::MicroMdm] {
            assert!(serde_json::from_slice::<serde_json::Value>(&event.document(form, &stamp)).is_ok());
        }
    }
}

/// Whatever is found can be put in, and everything else stays.
fn variables(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let _ = Variable::parse(text);
    let found = variables::find(text);
    for escape in [Escape::Xml, Escape::Markup, Escape::Json, Escape::None] {
        let rendered = variables::render(text, &|variable| Some(format!("${variable}]]>\"")), escape);
        assert_eq!(rendered.is_ok(), found.is_ok());
    }
    if let Ok(found) = found {
        assert!(found.iter().all(|one| text[one.range.clone()].starts_with('$')));
        let unchanged = variables::render(text, &|variable| Some(format!("${{{variable}}}")), Escape::None);
        assert_eq!(unchanged.map(|text| variables::find(&text).map(|found| found.len())), Ok(Ok(found.len())));
    }
}

/// What is taken has a name and an identifier, and holds no variables when it is signed.
fn uploaded_profile(input: &[u8]) {
    let _ = upload::sniff(input, None);
    let Ok(profile) = UploadedProfile::parse(input) else { return };
    assert_eq!(
        upload::sniff(input, Some("a.mobileconfig")),
        upload::sniff(input, None),
        "the first look finds what is taken"
    );
    assert!(profile_name::check_name(&profile.name).is_ok() && !profile.identifier.is_empty());
    assert!(!profile.signed || profile.variables.is_empty());
}

/// What is taken is JSON, and its identifiers fit.
fn uploaded_declaration(input: &[u8]) {
    let strict = strict_json::parse(input, MAX);
    if let Ok(value) = &strict {
        assert_eq!(serde_json::from_slice::<serde_json::Value>(input).ok().as_ref(), Some(value));
    }
    if let Ok(declaration) = UploadedDeclaration::parse(input) {
        assert!(strict.is_ok());
        assert!(
            declaration.references.iter().chain([&declaration.identifier]).all(|name| (1..=64).contains(&name.len()))
        );
    }
}

/// What an agent says of its host is bounded, whatever it is.
fn agent(input: &[u8]) {
    for read in [agent::orbit_enrollment(input), agent::osquery_enrollment(input)].into_iter().flatten() {
        assert!(read.serial.is_some() || !read.uuid.is_empty() || !read.identifier.is_empty());
        for text in [&read.identifier, &read.uuid, &read.hardware_model, &read.computer_name, &read.os_version] {
            assert!(text.chars().count() <= 255 && !text.contains(char::is_control));
        }
    }
    let _ = agent::node_key(input);
    if let Ok(said) = agent::orbit::device_token(input) {
        assert!(agent::orbit::is_device_token(&said.token));
    }
    if let Ok(said) = agent::orbit::device_user(input) {
        assert!(said.email.is_empty() || said.email.contains('@') && said.email.len() <= 254);
    }
    if let Ok(found) = agent::answers::answers(input, agent::details::PREFIX) {
        let vitals = agent::details::vitals(&found);
        assert!(vitals.computer_name.chars().count() <= 255 && !vitals.os_version.contains(char::is_control));
        let _ = agent::mac_profiles::installed(&found);
        let _ = found.of(agent::details::WINDOWS_PROFILES).and_then(agent::mdm_bridge::values);
    }
}

/// What a Windows device says while it enrolls.
fn windows_enrollment(input: &[u8]) {
    if let Ok(request) = soap::Request::read(input) {
        assert!(request.message_id.chars().count() <= 256);
        let _ = (Discover::read(&request), policy::read(&request));
        if let Ok(TokenRequest::Issue { said, .. }) = TokenRequest::read(&request) {
            for text in [&said.device_id, &said.device_name] {
                assert!(text.chars().count() <= 255 && !text.contains(char::is_control));
            }
        }
    }
    let _ = AccessToken::read(input);
    if let Ok(text) = std::str::from_utf8(input) {
        let _ = Version::parse(text).map(Version::is_supported);
    }
}

fn windows_csr(input: &[u8]) {
    if let Ok(key) = proven_rsa_key(input) {
        assert!(PublicKey::from_spki(&key).expect("it was read").is_rsa());
    }
}

/// A command of an admin becomes a property list that is read again.
fn admin_json(input: &[u8]) {
    let Ok(json) = serde_json::from_slice::<serde_json::Value>(input) else { return };
    if let Ok(value) = json::to_value(&json) {
        plist::parse(&plist::to_xml(&value), usize::MAX).expect("what we write we read");
    }
    let fallback = CommandUuid::parse("fallback").expect("it is short");
    if let serde_json::Value::Object(form) = json
        && let Ok(command) = Command::from_json(form, fallback.clone())
    {
        Command::parse(&command.to_xml(), usize::MAX, fallback).expect("what we write we read");
        let _ = command.check();
    }
}

fn signature(input: &[u8]) {
    let _ = verify(input, Some(BODY));
    let _ = verify(input, None);
}

/// The quick way accepts nothing that the careful way refuses, but for what nobody signs: other certificates and digests,
/// revocation lists and unsigned attributes, which the careful way has to read too.
fn known_signer(input: &[u8]) {
    let Some(message) = SignedMessage::walk(input) else { return };
    for known in [&KEYS.rsa, &KEYS.ec] {
        let signer = KnownSigner::from_certificate(known.certificate()).expect("it is one of ours");
        if signer.check(&message, BODY) == Fast::Accepted {
            let verified = verify(input, Some(BODY)).or_else(|_| {
                let signed = mutator::der::signed_parts(input, known.certificate().der());
                verify(&signed.expect("it was walked"), Some(BODY))
            });
            let verified = verified.expect("what the quick way accepts, the careful way accepts");
            assert_eq!(verified.signer.fingerprint(), known.certificate().fingerprint());
        }
    }
}

fn certificate(input: &[u8]) {
    let _ = Fingerprint::of(input);
    if let Ok(key) = PublicKey::from_spki(input) {
        let _ = key.to_pkey();
    }
    let Ok(certificate) = Certificate::parse(input) else { return };
    assert_eq!(certificate.der(), input);
    let _ = (certificate.public_key().map(|key| key.to_pkey().is_ok()), certificate.is_valid_at(NOW));
    let _ = (certificate.subject_common_name(), certificate.subject_user_id(), certificate.serial());
    let _ = certificate.is_issued_by(KEYS.authority.certificate());
    let _ = certificate.to_pem();
}

fn scep_request(input: &[u8]) {
    for allow_legacy in [false, true] {
        let _ = Request::open(input, KEYS.authority.signer(), &Policy { allow_legacy });
    }
}

/// A request that is sealed and signed as it should be, around any bytes.
fn scep_csr(input: &[u8]) {
    let authority = &KEYS.authority;
    let sealed = ClientRequest::new(RequestKind::Enroll, input, &KEYS.requester, authority.certificate(), PROTECTION);
    let _ =
        Request::open(sealed.expect("it can be sealed").message(), authority.signer(), &Policy { allow_legacy: true });
}

fn scep_reply(input: &[u8]) {
    let _ = KEYS.request.read_reply(input, &KEYS.requester, KEYS.authority.certificate());
}

fn ca_certificates(input: &[u8]) {
    let _ = read_ca_certificates(input);
}

fn pem(input: &[u8]) {
    if let Ok(certificate) = Certificate::from_pem(input) {
        let written = certificate.to_pem().expect("what we read we write");
        let again = Certificate::from_pem(written.as_bytes()).expect("what we write we read");
        assert_eq!(again.der(), certificate.der());
    }
    let _ = Signer::from_pem(input, input);
    let _ = Authority::from_pem(input, input);
}

fn base64(input: &[u8]) {
    for decoded in [header(input), message_parameter(input)].into_iter().flatten() {
        assert!(decoded.len() <= input.len());
    }
}

fn names(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Some(uuid) = CommandUuid::parse(text) {
        assert_eq!(uuid.as_str(), text);
    }
    if let Some(id) = EnrollmentId::parse(text) {
        assert!(id.as_str().starts_with(id.device().as_str()));
    }
    if let Some(moment) = Timestamp::parse_rfc3339(text) {
        let _ = moment.to_rfc3339();
    }
    let _ = (
        serial_number(text),
        hardware_uuid(text),
        OsUpdates::new(text, text),
        ChannelKind::parse(text),
        DeclarationKind::parse(text),
    );
    let _ = (TransactionId::parse(text), ServerName::parse(text).is_ok(), platform::platform(text));
    let _ = (text.parse::<Fingerprint>(), Topic::parse(text));
}
