//! The Setup Assistant profile of a team: what new devices find at Apple when they are switched on, and by which they come here
//! (Apple, "Profile").
//!
//! An admin writes what the device shows and allows; where it goes is the server's own. Never here: which devices are assigned
//! it, and whether Apple agrees with it.
//!
//! Start with [`SetupProfile::parse`]; what is sent is made by [`SetupProfile::effective`].

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use openssl::sha::sha256;
use serde_json::{Map, Value};

use super::super::strict_json::{self, StrictJsonError};
use crate::pki::{Certificate, hex};

/// The largest profile that is read, in bytes: a few certificates have their place in it.
pub const MAX_PROFILE_BYTES: usize = 256 * 1024;

/// The most entries of an array.
const MAX_ITEMS: usize = 100;

/// What a team has without a profile of its own.
const DEFAULT_NAME: &str = "Default enrollment profile";

/// Keys that are the server's own, each with what to do instead.
const REFUSED: [(&str, &str); 6] = [
    ("url", "leave it out: the server sets it for each team"),
    ("configuration_web_url", "leave it out and turn on end user authentication for the team"),
    (
        "await_device_configured",
        "leave it out: devices always wait until they are set up, and are released by the team's settings",
    ),
    ("devices", "leave it out and move the hosts to the team"),
    ("profile_uuid", "leave it out: Apple gives each profile its own"),
    ("response_status", "leave it out: it belongs to Apple's answer"),
];

/// What the value of a key has to be.
#[derive(Clone, Copy)]
enum Kind {
    /// A text of at most so many bytes.
    Text(usize),
    /// True or false.
    Flag,
    /// An array of texts.
    Texts,
    /// An array of certificates, DER in Base64.
    Certificates,
}

/// The keys that Apple documents. Others are sent as they are, because Apple adds some every year.
const KNOWN: [(&str, Kind); 18] = [
    ("profile_name", Kind::Text(125)),
    ("org_magic", Kind::Text(256)),
    ("department", Kind::Text(125)),
    ("support_phone_number", Kind::Text(50)),
    ("support_email_address", Kind::Text(250)),
    ("language", Kind::Text(16)),
    ("region", Kind::Text(16)),
    ("allow_pairing", Kind::Flag),
    ("auto_advance_setup", Kind::Flag),
    ("is_mandatory", Kind::Flag),
    ("is_mdm_removable", Kind::Flag),
    ("is_multi_user", Kind::Flag),
    ("is_return_to_service", Kind::Flag),
    ("is_supervised", Kind::Flag),
    ("do_not_use_profile_from_backup", Kind::Flag),
    ("skip_setup_items", Kind::Texts),
    ("anchor_certs", Kind::Certificates),
    ("supervising_host_certs", Kind::Certificates),
];

/// What an admin wrote for the devices of a team, without what is the server's own.
#[derive(Clone, Debug, PartialEq)]
pub struct SetupProfile(Map<String, Value>);

/// What the server adds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Additions<'a> {
    /// Where devices come for their enrollment profile.
    pub url: &'a str,
    /// The page on which users sign in first. Devices learn of no other address then, so that nobody comes by without it.
    pub configuration_web_url: Option<&'a str>,
    /// The certificates that the server's TLS certificate has to come from; without any, the device trusts what it always does.
    pub anchor_certs: &'a [Certificate],
    /// Whom the device belongs to, where the admin's profile does not say.
    pub department: Option<&'a str>,
    /// Whom its user can call, where the admin's profile does not say.
    pub support_phone_number: Option<&'a str>,
    /// Whom its user can write to, where the admin's profile does not say.
    pub support_email_address: Option<&'a str>,
    /// The organization's own mark, where the admin's profile does not say.
    pub org_magic: Option<&'a str>,
}

/// What is sent to Apple.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EffectiveProfile {
    /// The body of `POST /profile`: the same for the same profile and additions.
    pub json: Vec<u8>,
    /// Its SHA-256 in hexadecimal: another one means that the profile has to be defined and assigned anew.
    pub digest: String,
}

/// Why a profile is refused, in words for the admin who wrote it. The texts name keys, never values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetupProfileFault {
    /// Not JSON that this server reads.
    #[error(transparent)]
    Json(#[from] StrictJsonError),
    /// Not an object.
    #[error("a Setup Assistant profile is a JSON object")]
    NotAnObject,
    /// A key that is the server's own.
    #[error("{key} is refused: {instead}")]
    Refused {
        /// Which.
        key: &'static str,
        /// What to do instead.
        instead: &'static str,
    },
    /// A value of another type, or too long.
    #[error("{key} has to be {expected}")]
    Value {
        /// Which key.
        key: &'static str,
        /// What it has to be.
        expected: String,
    },
    /// Apple refuses this (`FLAGS_INVALID`).
    #[error("is_mdm_removable can be false only when is_supervised is not")]
    NotSupervised,
}

impl SetupProfile {
    /// What a team has without a profile of its own: supervised, with an enrollment that users cannot remove.
    pub fn standard() -> Self {
        let entries = [
            ("profile_name", DEFAULT_NAME.into()),
            ("is_supervised", Value::Bool(true)),
            ("is_mdm_removable", Value::Bool(false)),
        ];
        Self(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    }

    /// Reads what an admin wrote.
    ///
    /// # Errors
    /// See [`SetupProfileFault`].
    pub fn parse(bytes: &[u8]) -> Result<Self, SetupProfileFault> {
        let Value::Object(entries) = strict_json::parse(bytes, MAX_PROFILE_BYTES)? else {
            return Err(SetupProfileFault::NotAnObject);
        };
        let refused = REFUSED.into_iter().find(|(key, _)| entries.contains_key(*key));
        if let Some((key, instead)) = refused {
            return Err(SetupProfileFault::Refused { key, instead });
        }
        if !entries.contains_key("profile_name") {
            return Err(SetupProfileFault::Value { key: "profile_name", expected: Kind::Text(125).expected() });
        }
        for (key, kind) in KNOWN {
            if entries.get(key).is_some_and(|value| !kind.takes(value)) {
                return Err(SetupProfileFault::Value { key, expected: kind.expected() });
            }
        }
        let is_false = |key| entries.get(key) == Some(&Value::Bool(false));
        if is_false("is_mdm_removable") && is_false("is_supervised") {
            return Err(SetupProfileFault::NotSupervised);
        }
        Ok(Self(entries))
    }

    /// Its name, which admins see at Apple.
    pub fn name(&self) -> &str {
        self.0.get("profile_name").and_then(Value::as_str).unwrap_or_default()
    }

    /// What is sent to Apple for this profile.
    pub fn effective(&self, additions: &Additions<'_>) -> EffectiveProfile {
        let mut entries: BTreeMap<&str, Value> =
            self.0.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
        let contacts = [
            ("department", additions.department),
            ("support_phone_number", additions.support_phone_number),
            ("support_email_address", additions.support_email_address),
            ("org_magic", additions.org_magic),
        ];
        for (key, value) in contacts.into_iter().filter_map(|(key, value)| Some((key, value?))) {
            entries.entry(key).or_insert_with(|| value.into());
        }
        let anchors = self.anchors(additions.anchor_certs);
        if !anchors.is_empty() {
            entries.insert("anchor_certs", anchors.into());
        }
        entries.insert("url", additions.configuration_web_url.unwrap_or(additions.url).into());
        if let Some(page) = additions.configuration_web_url {
            entries.insert("configuration_web_url", page.into());
        }
        entries.insert("await_device_configured", true.into());
        let json = serde_json::to_vec(&entries).expect("texts and values are always JSON");
        let digest = hex(&sha256(&json));
        EffectiveProfile { json, digest }
    }

    /// The admin's own anchors, then the server's, each once.
    fn anchors(&self, more: &[Certificate]) -> Vec<String> {
        let own = self.0.get("anchor_certs").and_then(Value::as_array).into_iter().flatten();
        let own = own.filter_map(|anchor| anchor.as_str().map(str::to_owned));
        let mut anchors: Vec<String> = Vec::new();
        for anchor in own.chain(more.iter().map(|anchor| STANDARD.encode(anchor.der()))) {
            if !anchors.contains(&anchor) {
                anchors.push(anchor);
            }
        }
        anchors
    }
}

impl Kind {
    fn takes(self, value: &Value) -> bool {
        let items = || value.as_array().filter(|items| items.len() <= MAX_ITEMS);
        match self {
            Self::Text(max) => value.as_str().is_some_and(|text| (1..=max).contains(&text.len())),
            Self::Flag => value.is_boolean(),
            Self::Texts => items().is_some_and(|items| items.iter().all(|item| Self::Text(255).takes(item))),
            Self::Certificates => items().is_some_and(|items| items.iter().all(is_certificate)),
        }
    }

    fn expected(self) -> String {
        match self {
            Self::Text(max) => format!("a text of 1 to {max} bytes"),
            Self::Flag => "true or false".to_owned(),
            Self::Texts => format!("an array of at most {MAX_ITEMS} texts"),
            Self::Certificates => format!("an array of at most {MAX_ITEMS} certificates, DER in Base64"),
        }
    }
}

fn is_certificate(value: &Value) -> bool {
    let der = value.as_str().and_then(|text| STANDARD.decode(text).ok());
    der.is_some_and(|der| Certificate::parse(&der).is_ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::pki::fixtures::authority;

    const URL: &str = "https://mdm.example.com/api/mdm/apple/enroll?token=t";
    const PAGE: &str = "https://mdm.example.com/mdm/sso";

    fn parse(value: &Value) -> Result<SetupProfile, SetupProfileFault> {
        SetupProfile::parse(value.to_string().as_bytes())
    }

    fn sent(profile: &SetupProfile, additions: &Additions<'_>) -> Value {
        serde_json::from_slice(&profile.effective(additions).json).unwrap()
    }

    #[test]
    fn the_default_profile_lets_devices_come_here_and_wait() {
        let expected = json!({"profile_name": DEFAULT_NAME, "is_supervised": true, "is_mdm_removable": false, "url": URL,
            "await_device_configured": true});
        assert_eq!(sent(&SetupProfile::standard(), &Additions { url: URL, ..Additions::default() }), expected);
        let standard = serde_json::to_vec(&SetupProfile::standard().0).unwrap();
        assert_eq!(SetupProfile::parse(&standard), Ok(SetupProfile::standard()));
    }

    #[test]
    fn devices_whose_users_sign_in_learn_of_no_other_address() {
        let additions = Additions { url: URL, configuration_web_url: Some(PAGE), ..Additions::default() };
        let sent = sent(&SetupProfile::standard(), &additions);
        assert_eq!((&sent["url"], &sent["configuration_web_url"]), (&json!(PAGE), &json!(PAGE)));
    }

    #[test]
    fn what_the_admin_wrote_stands_and_the_rest_is_added() {
        let anchor = authority().certificate();
        let base64 = STANDARD.encode(anchor.der());
        let own = json!({"profile_name": "Sales", "department": "Sales", "skip_setup_items": ["Siri", "Privacy"],
            "is_mdm_removable": true, "new_in_2027": {"b": [1], "a": null}, "anchor_certs": [base64]});
        let profile = parse(&own).unwrap();
        let additions = Additions {
            url: URL,
            anchor_certs: std::slice::from_ref(anchor),
            department: Some("IT"),
            support_phone_number: Some("+1 555"),
            ..Additions::default()
        };
        let sent = sent(&profile, &additions);
        assert_eq!(
            (profile.name(), &sent["department"], &sent["support_phone_number"]),
            ("Sales", &json!("Sales"), &json!("+1 555"))
        );
        assert_eq!((&sent["anchor_certs"], &sent["new_in_2027"]), (&json!([base64]), &own["new_in_2027"]));
        assert_eq!(sent.get("support_email_address"), None);
    }

    #[test]
    fn the_digest_changes_with_what_is_sent_and_with_nothing_else() {
        let one = SetupProfile::parse(br#"{"profile_name":"A","is_supervised":true}"#).unwrap();
        let same = SetupProfile::parse(br#"{ "is_supervised" : true, "profile_name":"\u0041" }"#).unwrap();
        let here = Additions { url: URL, ..Additions::default() };
        let digest = one.effective(&here).digest;
        assert_eq!(same.effective(&here).digest, digest);
        assert_eq!((digest.len(), digest.chars().all(|one| one.is_ascii_hexdigit())), (64, true));
        for other in [Additions { url: PAGE, ..here }, Additions { org_magic: Some("1"), ..here }] {
            assert_ne!(one.effective(&other).digest, digest);
        }
    }

    #[test]
    fn keys_of_the_server_are_refused_by_name() {
        for (key, instead) in REFUSED {
            let refused = parse(&json!({"profile_name": "A", key: Value::Null}));
            assert_eq!(refused, Err(SetupProfileFault::Refused { key, instead }));
        }
    }

    #[test]
    fn wrong_values_are_refused_by_name() {
        let many = vec!["Siri"; MAX_ITEMS + 1];
        for (key, value) in [
            ("profile_name", json!("")),
            ("profile_name", json!("x".repeat(126))),
            ("is_supervised", json!("true")),
            ("skip_setup_items", json!("Siri")),
            ("skip_setup_items", json!(many)),
            ("skip_setup_items", json!(["Siri", 7])),
            ("anchor_certs", json!(["AAAA"])),
            ("language", json!(7)),
            ("department", Value::Null),
        ] {
            let mut profile = json!({"profile_name": "A"});
            profile[key] = value;
            assert!(
                matches!(parse(&profile), Err(SetupProfileFault::Value { key: named, .. }) if named == key),
                "{profile}"
            );
        }
        assert!(matches!(parse(&json!({})), Err(SetupProfileFault::Value { key: "profile_name", .. })));
        assert_eq!(parse(&json!([])), Err(SetupProfileFault::NotAnObject));
        let stuck = json!({"profile_name": "A", "is_mdm_removable": false, "is_supervised": false});
        assert_eq!(parse(&stuck), Err(SetupProfileFault::NotSupervised));
        let twice = br#"{"profile_name":"A","profile_name":"B"}"#;
        assert!(matches!(SetupProfile::parse(twice), Err(SetupProfileFault::Json(_))));
    }

    proptest! {
        #[test]
        fn what_is_taken_is_sent_as_json(name in "\\PC{1,20}", key in "[a-z_]{1,12}", value in "\\PC{0,20}") {
            if let Ok(profile) = parse(&json!({"profile_name": name, key: value})) {
                prop_assert_eq!(sent(&profile, &Additions::default())["await_device_configured"].as_bool(), Some(true));
            }
        }
    }
}
