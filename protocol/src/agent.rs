//! What agents say that are no MDM: orbit (Fleet's companion of osquery) and osquery itself, as their servers' API has it
//! (<https://fleetdm.com/docs/rest-api>, <https://osquery.readthedocs.io/en/stable/deployment/remote/>).
//!
//! Both speak JSON, and both grow: what is not known here is passed over. Every text is bounded.
//!
//! Here is how they enroll; [`details`] is what they are asked, [`answers`] what they found, [`mac_profiles`] and [`mdm_bridge`] what that
//! says of profiles, [`orbit`] what else orbit says.

pub mod answers;
pub mod details;
pub mod mac_profiles;
pub mod mdm_bridge;
pub mod orbit;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::ids::{hardware_uuid, serial_number};

/// Characters of a text that an agent sends, at most; what is longer is cut.
const MAX_CHARS: usize = 255;
/// Bytes of a secret or a key that are looked at.
const MAX_SECRET: usize = 512;

/// Why a message of an agent cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AgentError(String);

/// An agent that asks to be known.
#[derive(Clone, PartialEq, Eq)]
pub struct Enrollment {
    /// What it shows for it.
    pub secret: String,
    /// The name that osquery gave its host.
    pub identifier: String,
    /// The UUID of the hardware; empty when there is none, or one that many boards share.
    pub uuid: String,
    /// The serial number; `None` for placeholders.
    pub serial: Option<String>,
    /// `darwin`, `windows`, `linux`, or empty.
    pub platform: String,
    /// For example `MacBookPro16,1`.
    pub hardware_model: String,
    /// What people call the host.
    pub computer_name: String,
    /// For example `15.1`.
    pub os_version: String,
    /// For example `24B83`.
    pub build_version: String,
}

#[derive(Deserialize)]
struct Orbit {
    enroll_secret: String,
    #[serde(default)]
    hardware_uuid: String,
    #[serde(default)]
    hardware_serial: String,
    #[serde(default)]
    hostname: String,
    #[serde(default)]
    platform: String,
    #[serde(default)]
    osquery_identifier: String,
    #[serde(default)]
    computer_name: String,
    #[serde(default)]
    hardware_model: String,
}

#[derive(Deserialize)]
struct Osquery {
    enroll_secret: String,
    #[serde(default)]
    host_identifier: String,
    #[serde(default)]
    host_details: Map<String, Value>,
}

#[derive(Deserialize)]
struct Key {
    #[serde(alias = "orbit_node_key")]
    node_key: String,
}

/// Reads orbit's request to enroll.
///
/// # Errors
/// It is not one.
pub fn orbit_enrollment(body: &[u8]) -> Result<Enrollment, AgentError> {
    let said: Orbit = read(body)?;
    let name = if said.computer_name.is_empty() { &said.hostname } else { &said.computer_name };
    Enrollment {
        secret: secret(said.enroll_secret)?,
        identifier: shown(&said.osquery_identifier),
        uuid: hardware_uuid(&shown(&said.hardware_uuid)).unwrap_or_default().to_owned(),
        serial: serial_number(&shown(&said.hardware_serial)).map(str::to_owned),
        platform: platform(&said.platform).to_owned(),
        hardware_model: shown(&said.hardware_model),
        computer_name: shown(name),
        os_version: String::new(),
        build_version: String::new(),
    }
    .named()
}

/// Reads osquery's request to enroll. An old osquery tells only the name that it gave its host, which is the UUID where it was
/// not told otherwise.
///
/// # Errors
/// It is not one.
pub fn osquery_enrollment(body: &[u8]) -> Result<Enrollment, AgentError> {
    let said: Osquery = read(body)?;
    let of = |table: &str, column: &str| {
        let value = said.host_details.get(table).and_then(|row| row.get(column));
        value.and_then(Value::as_str).map(shown).unwrap_or_default()
    };
    let identifier = shown(&said.host_identifier);
    let uuid = match of("system_info", "uuid") {
        uuid if uuid.is_empty() && is_uuid(&identifier) => identifier.clone(),
        uuid => uuid,
    };
    let names = ["computer_name", "hostname"].map(|column| of("system_info", column));
    Enrollment {
        secret: secret(said.enroll_secret)?,
        uuid: hardware_uuid(&uuid).unwrap_or_default().to_owned(),
        serial: serial_number(&of("system_info", "hardware_serial")).map(str::to_owned),
        platform: platform(&of("os_version", "platform")).to_owned(),
        hardware_model: of("system_info", "hardware_model"),
        computer_name: names.into_iter().find(|name| !name.is_empty()).unwrap_or_default(),
        os_version: of("os_version", "version"),
        build_version: of("os_version", "build"),
        identifier,
    }
    .named()
}

/// Reads the key by which an agent says who it is.
///
/// # Errors
/// There is none.
pub fn node_key(body: &[u8]) -> Result<String, AgentError> {
    let Key { node_key } = read(body)?;
    secret(node_key)
}

impl Enrollment {
    /// The same, if anything in it tells its host from others.
    fn named(self) -> Result<Self, AgentError> {
        if self.serial.is_none() && self.uuid.is_empty() && self.identifier.is_empty() {
            return Err(AgentError("a host needs a serial number, a hardware UUID or an identifier".into()));
        }
        Ok(self)
    }
}

impl std::fmt::Debug for Enrollment {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "an agent of {:?}, UUID {:?}", self.serial, self.uuid)
    }
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, AgentError> {
    serde_json::from_slice(body).map_err(|error| AgentError(error.to_string()))
}

/// A secret as it came; one that is too long is none of ours.
fn secret(text: String) -> Result<String, AgentError> {
    if text.is_empty() || text.len() > MAX_SECRET {
        return Err(AgentError(format!("a secret or key has 1 to {MAX_SECRET} bytes")));
    }
    Ok(text)
}

/// A text within its limit, without control characters.
fn shown(text: &str) -> String {
    text.trim().chars().filter(|one| !one.is_control()).take(MAX_CHARS).collect()
}

/// Our word for a platform: of Linux, agents name the distribution.
fn platform(said: &str) -> &'static str {
    match said.trim().to_ascii_lowercase().as_str() {
        "" => "",
        "darwin" | "macos" => "darwin",
        "windows" => "windows",
        _ => "linux",
    }
}

fn is_uuid(text: &str) -> bool {
    let dash = |at: usize| matches!(at, 8 | 13 | 18 | 23);
    text.len() == 36
        && text.bytes().enumerate().all(|(at, one)| if dash(at) { one == b'-' } else { one.is_ascii_hexdigit() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orbit_says_who_its_host_is() {
        let said = br#"{"enroll_secret":"s","hardware_uuid":"4C4C4544-0001","hardware_serial":" C02 ","hostname":"h",
            "platform":"ubuntu","platform_like":"debian","osquery_identifier":"i","new":{"a":[1]}}"#;
        let read = orbit_enrollment(said).unwrap();
        assert_eq!((read.serial.as_deref(), read.uuid.as_str()), (Some("C02"), "4C4C4544-0001"));
        assert_eq!((read.platform.as_str(), read.computer_name.as_str()), ("linux", "h"));
        assert!(!format!("{read:?}").contains("\"s\""), "secrets are not shown");
    }

    #[test]
    fn osquery_says_who_its_host_is() {
        let said = br#"{"enroll_secret":"s","host_identifier":"x","host_details":{"os_version":{"platform":"darwin",
            "version":"15.1","build":"24B83"},"system_info":{"uuid":"U","hardware_serial":"-1","computer_name":"",
            "hostname":"mac.local","cpu_logical_cores":8}}}"#;
        let read = osquery_enrollment(said).unwrap();
        assert_eq!((read.serial, read.uuid.as_str(), read.computer_name.as_str()), (None, "U", "mac.local"));
        assert_eq!((read.platform.as_str(), read.os_version.as_str()), ("darwin", "15.1"));
        let old = br#"{"enroll_secret":"s","host_identifier":"4c4c4544-0043-3010-8052-b4c04f463132"}"#;
        assert_eq!(osquery_enrollment(old).unwrap().uuid, "4c4c4544-0043-3010-8052-b4c04f463132");
    }

    #[test]
    fn what_names_no_host_is_refused() {
        let nobody =
            br#"{"enroll_secret":"s","hardware_serial":"0","hardware_uuid":"00000000-0000-0000-0000-000000000000"}"#;
        assert!(orbit_enrollment(nobody).is_err());
        assert!(osquery_enrollment(br#"{"enroll_secret":"s"}"#).is_err());
        assert!(orbit_enrollment(br#"{"enroll_secret":"","hardware_serial":"C02"}"#).is_err());
        assert!(node_key(br#"{"orbit_node_key":""}"#).is_err());
        assert_eq!(node_key(br#"{"orbit_node_key":"k"}"#).unwrap(), node_key(br#"{"node_key":"k"}"#).unwrap());
    }
}
