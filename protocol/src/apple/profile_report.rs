//! Reports of commands for profiles: why one failed, and which profiles a device has.
//!
//! Never here: what follows from it. Start with [`installed`] and [`failure`] (Apple, "Install Profile" and "Profile List").

use super::message::Message;
use super::plist::Value;
use super::report::Report;

/// The largest report that is looked into, in bytes; what is larger was refused before.
const MAX_BYTES: usize = 8 * 1024 * 1024;
/// Profiles of a list that are looked at.
const MAX_PROFILES: usize = 10_000;
/// What is kept of a reason, in characters.
const MAX_CHARS: usize = 2_000;

/// The profiles that a device has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// Their identifiers.
    pub identifiers: Vec<String>,
    /// What the device said about them, as JSON.
    pub json: Vec<u8>,
}

/// Why a command for a profile failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The profile that was to be removed was not there.
    NotThere,
    /// Another reason, in the device's words.
    Why(String),
}

/// Reads the answer to `ProfileList`; `None` when the device could not tell.
pub fn installed(body: &[u8]) -> Option<Installed> {
    let report = read(body)?;
    let list = report.entries().get("ProfileList")?.as_array()?;
    let profiles = list.iter().filter_map(Value::as_dictionary).take(MAX_PROFILES);
    let identifier =
        |profile: &super::plist::Dictionary| Some(profile.get("PayloadIdentifier")?.as_string()?.to_owned());
    let identifiers = profiles.filter_map(identifier).collect();
    let json = report.to_json().get("ProfileList").map(ToString::to_string).unwrap_or_default();
    Some(Installed { identifiers, json: json.into_bytes() })
}

/// Why a command failed: every error of its chain, `Domain (code): text`, each on a line.
pub fn failure(body: &[u8]) -> Failure {
    let Some(report) = read(body) else { return Failure::Why("The device did not say why.".to_owned()) };
    let removes = report.request_type.as_deref().is_none_or(|kind| kind == "RemoveProfile");
    let is_not_there = report.error_chain.iter().any(|link| link.domain == "MDMClientError" && link.code == 89);
    if removes && is_not_there {
        return Failure::NotThere;
    }
    let lines: Vec<String> = report
        .error_chain
        .iter()
        .map(|link| {
            let text = link.us_english_description.as_ref().unwrap_or(&link.localized_description);
            format!("{} ({}): {text}", link.domain, link.code)
        })
        .collect();
    if lines.is_empty() {
        return Failure::Why(format!("The device answered {} and did not say why.", report.status.as_str()));
    }
    Failure::Why(lines.join("\n").chars().take(MAX_CHARS).collect())
}

fn read(body: &[u8]) -> Option<Report> {
    match Message::parse(body, MAX_BYTES) {
        Ok(Message::Report(report)) => Some(report),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apple::plist::{Dictionary, to_xml};

    fn report(status: &str, more: impl IntoIterator<Item = (&'static str, Value)>) -> Vec<u8> {
        let mut entries = Dictionary::new();
        for (key, value) in [("UDID", "U"), ("CommandUUID", "C"), ("Status", status)] {
            entries.insert(key.to_owned(), value.into());
        }
        entries.extend(more.into_iter().map(|(key, value)| (key.to_owned(), value)));
        to_xml(&Value::Dictionary(entries))
    }

    fn link(domain: &str, code: i64, text: &str) -> Value {
        let mut link = Dictionary::new();
        link.insert("ErrorCode".to_owned(), code.into());
        link.insert("ErrorDomain".to_owned(), domain.into());
        link.insert("LocalizedDescription".to_owned(), text.into());
        Value::Dictionary(link)
    }

    #[test]
    fn a_list_is_read_by_its_identifiers() {
        let profile = |identifier: &str| {
            let mut profile = Dictionary::new();
            profile.insert("PayloadIdentifier".to_owned(), identifier.into());
            Value::Dictionary(profile)
        };
        let body = report("Acknowledged", [("ProfileList", Value::Array(vec![profile("a"), profile("b"), 7.into()]))]);
        let installed = installed(&body).unwrap();
        assert_eq!(installed.identifiers, ["a", "b"]);
        assert!(String::from_utf8(installed.json).unwrap().contains("PayloadIdentifier"));
        assert_eq!(super::installed(&report("Error", [])), None);
        assert_eq!(super::installed(b"no report"), None);
    }

    #[test]
    fn a_failure_names_all_its_causes() {
        let chain = Value::Array(vec![link("MCInstallation", 4001, "Cannot install"), link("MCProfile", 1000, "Bad")]);
        let Failure::Why(why) = failure(&report("Error", [("ErrorChain", chain)])) else { panic!() };
        assert_eq!(why, "MCInstallation (4001): Cannot install\nMCProfile (1000): Bad");
        assert!(
            matches!(failure(&report("CommandFormatError", [])), Failure::Why(why) if why.contains("CommandFormatError"))
        );
    }

    #[test]
    fn removing_what_is_not_there_is_no_failure() {
        let chain = || Value::Array(vec![link("MDMClientError", 89, "Profile not found")]);
        assert_eq!(failure(&report("Error", [("ErrorChain", chain())])), Failure::NotThere);
        let installs = [("ErrorChain", chain()), ("RequestType", "InstallProfile".into())];
        assert!(matches!(failure(&report("Error", installs)), Failure::Why(_)));
    }
}
