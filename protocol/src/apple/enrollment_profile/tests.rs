use proptest::prelude::*;

use super::*;
use crate::apple::fields::FieldError;
use crate::apple::plist::to_xml;

const MAX: usize = 1 << 20;
const IDENTIFIER: &str = "com.example.enrollment";

fn sample() -> EnrollmentProfile {
    let mut scep = ScepPayload::new("https://mdm.example.com/scep");
    scep.challenge = Some(Secret::new("one-time".to_owned()));
    scep.ca_fingerprint = Some(vec![7; 32]);
    let mdm = MdmPayload::new("com.apple.mgmt.External.1", "https://mdm.example.com/mdm");
    let mut profile = EnrollmentProfile::new(IDENTIFIER, "H2WXQ4KLM9", scep, mdm);
    profile.organization = Some("Example".to_owned());
    profile.root_certificates = vec![b"first".to_vec(), b"second".to_vec()];
    profile
}

/// What a device says to the sample after a change of its property list.
fn changed(change: impl FnOnce(&mut Vec<Value>)) -> Result<EnrollmentProfile, ProfileError> {
    let xml = sample().to_xml().unwrap();
    let mut profile = crate::apple::plist::parse(&xml, MAX).unwrap();
    let entries = profile.as_dictionary_mut().unwrap();
    change(entries.get_mut("PayloadContent").and_then(Value::as_array_mut).unwrap());
    EnrollmentProfile::parse(&to_xml(&profile), MAX)
}

/// What a device says when one setting of the management has this value, or none.
fn with_management(key: &str, value: Option<Value>) -> Result<EnrollmentProfile, ProfileError> {
    changed(|payloads| {
        let management = payloads[1].as_dictionary_mut().unwrap();
        management.remove(key);
        management.extend(value.map(|value| (key.to_owned(), value)));
    })
}

/// What a device says when one setting of the identity has this value, or none.
fn with_identity(key: &str, value: Option<Value>) -> Result<EnrollmentProfile, ProfileError> {
    changed(|payloads| {
        let identity = payloads[0].as_dictionary_mut().unwrap().get_mut("PayloadContent").unwrap();
        let identity = identity.as_dictionary_mut().unwrap();
        identity.remove(key);
        identity.extend(value.map(|value| (key.to_owned(), value)));
    })
}

#[test]
fn the_profile_has_the_identity_first_and_the_management_second() {
    let xml = sample().to_xml().unwrap();
    let profile = Profile::parse(&xml, MAX).unwrap();
    let types: Vec<&str> = profile.payloads.iter().map(|payload| payload.payload_type.as_str()).collect();
    assert_eq!(
        types,
        ["com.apple.security.scep", "com.apple.mdm", "com.apple.security.root", "com.apple.security.root"]
    );
    assert!(profile.payloads.iter().all(|payload| payload.identifier.starts_with("com.example.enrollment.")));
}

#[test]
fn a_device_reads_what_was_written() {
    let profile = sample();
    assert_eq!(EnrollmentProfile::parse(&profile.to_xml().unwrap(), MAX), Ok(profile));
}

#[test]
fn the_settings_are_sound_unless_told_otherwise() {
    let profile = sample();
    assert_eq!((profile.scep.key_size, profile.scep.key_usage, profile.scep.key_is_extractable), (2048, 5, false));
    assert_eq!(profile.mdm.access_rights, Some(8191));
    assert!(profile.mdm.sign_message && profile.mdm.check_out_when_removed && !profile.mdm.use_development_apns);
    assert_eq!(profile.mdm.server_capabilities, ServerCapability::ALL);
    assert_eq!(profile.mdm.effective_check_in_url(), "https://mdm.example.com/mdm");
    assert!(!format!("{profile:?}").contains("one-time"));
}

#[test]
fn a_renewal_keeps_every_name_and_a_new_identity_changes_only_the_keys() {
    let first = sample();
    assert_eq!(first, sample());
    let renewed = EnrollmentProfile::new(IDENTIFIER, "H2WXQ4KLM9/2", first.scep.clone(), first.mdm.clone());
    assert_eq!((&renewed.uuid, &renewed.mdm.uuid), (&first.uuid, &first.mdm.uuid));
    assert_ne!(renewed.scep.uuid, first.scep.uuid);
    assert_eq!(renewed.mdm.identity_certificate_uuid, renewed.scep.uuid);
}

#[test]
fn an_account_driven_profile_names_its_account() {
    let mut profile = sample();
    let managed_apple_id = "ann@example.com".to_owned();
    profile.mdm.account = Some(AssignedAccount { mode: EnrollmentMode::Byod, managed_apple_id });
    profile.mdm.access_rights = None;
    assert_eq!(EnrollmentProfile::parse(&profile.to_xml().unwrap(), MAX), Ok(profile));
    let nameless = with_management("EnrollmentMode", Some("ADDE".into()));
    assert_eq!(nameless, Err(FieldError::Missing("AssignedManagedAppleID").into()));
    assert_eq!(with_management("EnrollmentMode", Some("MINE".into())), Err(ProfileError::Value("EnrollmentMode")));
}

#[test]
fn a_profile_without_exactly_one_management_is_refused() {
    let wrong = Err(ProfileError::Enrollment("there is not exactly one com.apple.mdm payload"));
    assert_eq!(changed(|payloads| drop(payloads.remove(1))), wrong);
    let twice = changed(|payloads| {
        let mut second = payloads[1].clone();
        second.as_dictionary_mut().unwrap().insert("PayloadUUID".to_owned(), "other".into());
        payloads.push(second);
    });
    assert_eq!(twice, wrong);
}

#[test]
fn the_management_needs_a_scep_identity_that_stands_before_it() {
    let absent = Err(ProfileError::Enrollment("IdentityCertificateUUID names no SCEP payload of this profile"));
    assert_eq!(changed(|payloads| drop(payloads.remove(0))), absent);
    assert_eq!(with_management("IdentityCertificateUUID", Some("nobody".into())), absent);
    let root = payloads::root(IDENTIFIER, b"first").uuid;
    assert_eq!(with_management("IdentityCertificateUUID", Some(root.into())), absent);
    let after = changed(|payloads| payloads.swap(0, 1));
    assert_eq!(after, Err(ProfileError::Enrollment("the SCEP payload stands after the com.apple.mdm payload")));
}

#[test]
fn what_a_device_would_not_install_is_refused() {
    let cases = [
        (with_management("Topic", None), FieldError::Missing("Topic").into()),
        (with_management("Topic", Some("com.example".into())), ProfileError::Value("Topic")),
        (with_management("ServerURL", None), FieldError::Missing("ServerURL").into()),
        (
            with_management("ServerURL", Some("http://mdm.example.com".into())),
            ProfileError::Enrollment("ServerURL is not https"),
        ),
        (
            with_management("CheckInURL", Some("http://mdm.example.com".into())),
            ProfileError::Enrollment("CheckInURL is not https"),
        ),
        (with_management("AccessRights", Some(2.into())), ProfileError::Value("AccessRights")),
        (with_management("AccessRights", Some((-1).into())), ProfileError::Value("AccessRights")),
        (
            with_management("ServerCapabilities", Some(Value::Array(vec!["com.example".into()]))),
            ProfileError::Value("ServerCapabilities"),
        ),
        (
            with_management("ServerCapabilities", Some(Value::Array(vec!["com.apple.mdm.token".into(); 2]))),
            ProfileError::Value("ServerCapabilities"),
        ),
        (
            with_management("SignMessage", Some("yes".into())),
            FieldError::WrongType { key: "SignMessage", expected: "boolean" }.into(),
        ),
        (with_identity("URL", None), FieldError::Missing("URL").into()),
        (
            with_identity("URL", Some("http://mdm.example.com/scep".into())),
            ProfileError::Enrollment("the SCEP URL is not https"),
        ),
        (with_identity("Keysize", Some(512.into())), ProfileError::Value("Keysize")),
        (with_identity("Key Type", Some("EC".into())), ProfileError::Value("Key Type")),
        (with_identity("Subject", Some(Value::Array(vec!["CN".into()]))), ProfileError::Value("Subject")),
    ];
    for (outcome, error) in cases {
        assert_eq!(outcome, Err(error));
    }
}

#[test]
fn absent_settings_have_apples_defaults() {
    let read = with_identity("Keysize", None).unwrap().scep;
    assert_eq!(read.key_size, 1024);
    assert!(with_identity("KeyIsExtractable", None).unwrap().scep.key_is_extractable);
    let read = with_management("SignMessage", None).unwrap().mdm;
    assert!(!read.sign_message);
    assert_eq!(with_management("AccessRights", None).unwrap().mdm.access_rights, None);
}

#[test]
fn what_a_device_would_refuse_is_not_written() {
    let mut profile = sample();
    profile.mdm.server_url = "http://mdm.example.com/mdm".to_owned();
    assert_eq!(profile.to_xml(), Err(ProfileError::Enrollment("ServerURL is not https")));
    let mut profile = sample();
    profile.mdm.identity_certificate_uuid = "other".to_owned();
    assert_eq!(profile.to_xml(), Err(ProfileError::Value("IdentityCertificateUUID")));
}

proptest! {
    #[test]
    fn any_names_survive_the_way_to_the_device(
        organization in prop::option::of("[^\\x00]{1,30}"),
        display_name in "[^\\x00]{0,30}",
        challenge in prop::option::of("[^\\x00]{1,30}"),
        subject in prop::collection::vec(("[A-Z]{1,3}", "[^\\x00]{0,20}"), 0..4),
    ) {
        let mut profile = sample();
        profile.organization = organization;
        profile.display_name = display_name;
        profile.scep.challenge = challenge.map(Secret::new);
        profile.scep.subject = subject;
        prop_assert_eq!(EnrollmentProfile::parse(&profile.to_xml().unwrap(), MAX), Ok(profile));
    }
}
