//! Profiles: defined, and assigned to devices (Apple, "Define a Profile", "Assign a Profile").

use std::collections::BTreeMap;
use std::time::Duration;

use protocol::apple::dep::answers::{OpType, ProfileStatus};
use protocol::time::Timestamp;
use serde_json::{Map, Value, json};

use super::device::Profile;
use super::organization::Organization;
use crate::sim::random::Chance;

/// What becomes of an assignment to a device, instead of what would.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The service says that the device is not this server's.
    NotAccessible,
    /// It fails.
    Failed,
    /// It was asked for too often; it may be asked again after this time.
    Throttled(Duration),
}

/// What an assignment needs beside the organization.
pub(super) struct Means<'a> {
    pub(super) refused: &'a BTreeMap<String, Refused>,
    pub(super) chance: &'a mut Chance,
    pub(super) now: Timestamp,
}

/// What is wrong with a profile, in Apple's words.
pub(super) fn fault(profile: &Map<String, Value>) -> Option<&'static str> {
    const TEXTS: [(&str, usize, &str); 6] = [
        ("profile_name", 125, "CONFIG_NAME_INVALID"),
        ("department", 125, "DEPARTMENT_INVALID"),
        ("org_magic", 256, "MAGIC_INVALID"),
        ("support_phone_number", 50, "SUPPORT_PHONE_INVALID"),
        ("support_email_address", 250, "SUPPORT_EMAIL_INVALID"),
        ("language", 16, "LOCALE_INVALID"),
    ];
    const FLAGS: [&str; 6] = [
        "allow_pairing",
        "auto_advance_setup",
        "await_device_configured",
        "is_mandatory",
        "is_mdm_removable",
        "is_supervised",
    ];
    if !profile.contains_key("profile_name") {
        return Some("CONFIG_NAME_REQUIRED");
    }
    let text_fits = |value: &Value, most| value.as_str().is_some_and(|text| (1..=most).contains(&text.len()));
    let broken =
        |(key, most, _): &&(&str, usize, &str)| profile.get(*key).is_some_and(|value| !text_fits(value, *most));
    if let Some((_, _, code)) = TEXTS.iter().find(broken) {
        return Some(code);
    }
    let is_https = |key: &str| profile.get(key).map(|url| url.as_str().is_some_and(|url| url.starts_with("https://")));
    match (is_https("url"), is_https("configuration_web_url")) {
        (None, _) => return Some("CONFIG_URL_REQUIRED"),
        (Some(false), _) | (_, Some(false)) => return Some("CONFIG_URL_INVALID"),
        (Some(true), _) => {}
    }
    let flag = |key: &str| profile.get(key).map(Value::as_bool);
    let stuck = flag("is_mdm_removable") == Some(Some(false)) && flag("is_supervised") == Some(Some(false));
    (stuck || FLAGS.iter().any(|key| flag(key) == Some(None))).then_some("FLAGS_INVALID")
}

impl Organization {
    /// Keeps a profile that has no [`fault`], under a name of the service's.
    pub(super) fn define(&mut self, profile: &Map<String, Value>, chance: &mut Chance) -> String {
        let uuid = chance.text("0123456789ABCDEF", 32);
        let mut kept = profile.clone();
        kept.remove("devices");
        self.profiles.insert(uuid.clone(), Value::Object(kept));
        uuid
    }

    /// Assigns a profile that is known, or with none takes away whichever a device has. What becomes of each device.
    pub(super) fn assign(&mut self, uuid: Option<&str>, serials: &[String], means: &mut Means<'_>) -> Value {
        let mut outcomes = Map::new();
        let mut retry_after = None;
        for serial in serials {
            let word = match (self.find(serial), means.refused.get(serial)) {
                (None, _) | (_, Some(Refused::NotAccessible)) => "NOT_ACCESSIBLE",
                (_, Some(Refused::Failed)) => "FAILED",
                (_, Some(Refused::Throttled(after))) => {
                    retry_after = retry_after.max(Some(after.as_secs()));
                    "THROTTLED"
                }
                (Some(number), None) => {
                    self.assign_one(number, uuid, means);
                    "SUCCESS"
                }
            };
            outcomes.insert(serial.clone(), json!(word));
        }
        let mut answer = json!({"devices": outcomes});
        if let Some(uuid) = uuid {
            answer["profile_uuid"] = json!(uuid);
        }
        if let Some(seconds) = retry_after {
            answer["retry_after_seconds"] = json!(seconds);
        }
        answer
    }

    fn assign_one(&mut self, number: usize, uuid: Option<&str>, means: &mut Means<'_>) {
        let profile = &mut self.devices[number].profile;
        if profile.uuid.as_deref() == uuid {
            return;
        }
        *profile = match uuid {
            Some(uuid) => Profile {
                status: ProfileStatus::Assigned,
                uuid: Some(uuid.to_owned()),
                assigned_at: Some(means.now),
                pushed_at: None,
            },
            None => Profile { status: ProfileStatus::Removed, ..Profile::default() },
        };
        self.note(number, OpType::Modified, means.now, means.chance);
    }
}
