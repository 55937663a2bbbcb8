//! Settings of Windows devices: whether they enroll, whose users of Entra ID may enroll theirs, how often they ask for work.

use actors::host::PollMinutes;
use serde::{Deserialize, Serialize};

use super::listed::listed;

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
        None
    }
}
