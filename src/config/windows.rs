//! Settings of Windows devices: whether they enroll, whose users of Entra ID may enroll theirs, how often they ask for work.

use actors::host::PollMinutes;
use serde::{Deserialize, Serialize};

use super::listed::listed;
use crate::http::device::windows_enroll::entra::EntraConfig;
use crate::http::oidc::is_sound;

/// How Windows devices enroll.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct WindowsSettings {
    /// Whether they can enroll at all.
    pub enabled: bool,
    /// How often they ask for work, in minutes.
    pub poll_minutes: u32,
    /// The same for devices whose agent starts a session when there is work.
    pub relaxed_poll_minutes: u32,
    /// The tenants of Entra ID whose users enroll devices with their accounts: a list, or a text with commas. None: nobody does.
    #[serde(deserialize_with = "listed")]
    pub entra_tenants: Vec<String>,
    /// The client id of the MDM application there.
    pub entra_client_id: String,
    /// Where Entra ID publishes its keys.
    pub entra_url: String,
}

impl Default for WindowsSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            poll_minutes: 1,
            relaxed_poll_minutes: 60,
            entra_tenants: Vec::new(),
            entra_client_id: String::new(),
            entra_url: "https://login.microsoftonline.com".into(),
        }
    }
}

impl WindowsSettings {
    /// How often devices ask for work.
    pub(crate) fn polls(&self) -> PollMinutes {
        let minutes = |minutes: u32| i32::try_from(minutes).unwrap_or(i32::MAX);
        PollMinutes { usual: minutes(self.poll_minutes), relaxed: minutes(self.relaxed_poll_minutes) }
    }

    /// What is wrong with them.
    pub(super) fn fault(&self) -> Option<&'static str> {
        // Windows takes whole minutes; a day is the schedule that it has without any.
        if !(1..=1440).contains(&self.poll_minutes) {
            return Some("windows.poll_minutes: must be from 1 to 1440");
        }
        if !(1..=1440).contains(&self.relaxed_poll_minutes) {
            return Some("windows.relaxed_poll_minutes: must be from 1 to 1440");
        }
        let is_id = |tenant: &String| {
            uuid::Uuid::parse_str(tenant).is_ok_and(|id| tenant.eq_ignore_ascii_case(&id.hyphenated().to_string()))
        };
        if !self.entra_tenants.iter().all(is_id) {
            return Some("windows.entra_tenants: must be the ids of tenants (GUIDs)");
        }
        if !is_sound(&self.entra_url, true) || self.entra_url.ends_with('/') {
            return Some("windows.entra_url: must be https://host without a slash at its end");
        }
        None
    }

    /// Which tokens of Entra ID are accepted by a server with this address; `None` for none.
    pub fn entra(&self, server_url: &str) -> Option<EntraConfig> {
        (!self.entra_tenants.is_empty()).then(|| EntraConfig {
            tenants: self.entra_tenants.clone(),
            client_id: self.entra_client_id.clone(),
            server_url: server_url.to_owned(),
            keys_url: format!("{}/common/discovery/v2.0/keys", self.entra_url),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenants_are_named_one_by_one() {
        let usual = WindowsSettings::default();
        assert_eq!((usual.fault(), usual.entra("https://mdm.example.com")), (None, None));
        let of = |tenant: &str| WindowsSettings { entra_tenants: vec![tenant.into()], ..WindowsSettings::default() };
        let one = of("11111111-2222-4333-8444-555555555555");
        assert_eq!(one.fault(), None);
        let entra = one.entra("https://mdm.example.com").unwrap();
        assert_eq!(entra.keys_url, "https://login.microsoftonline.com/common/discovery/v2.0/keys");
        for everybody in ["common", "organizations", "*", "", "example.com"] {
            assert!(of(everybody).fault().is_some(), "{everybody}");
        }
        for url in ["http://login.example.com", "https://login.example.com/", "login.example.com"] {
            assert!(WindowsSettings { entra_url: url.into(), ..one.clone() }.fault().is_some(), "{url}");
        }
        for minutes in [0, 1441] {
            assert!(WindowsSettings { poll_minutes: minutes, ..one.clone() }.fault().is_some());
        }
    }
}
