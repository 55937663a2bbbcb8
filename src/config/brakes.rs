//! Settings of the brakes: what is too much at once.

use actors::brakes::BrakesConfig;
use serde::{Deserialize, Serialize};

use super::Span;

/// Dangerous commands for more hosts than these wait for a second admin.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct BrakeSettings {
    /// Hosts that may be erased in an hour without a second admin.
    pub erase_per_hour: u32,
    /// Hosts that may be locked.
    pub lock_per_hour: u32,
    /// Hosts that may be told to remove profiles.
    pub remove_profile_per_hour: u32,
    /// Hosts that get an approved command in a minute at most.
    pub release_per_minute: u32,
    /// How long a held command waits for a second admin.
    pub approve_within: Span,
}

impl Default for BrakeSettings {
    fn default() -> Self {
        let usual = BrakesConfig::default();
        Self {
            erase_per_hour: usual.erase_per_hour,
            lock_per_hour: usual.lock_per_hour,
            remove_profile_per_hour: usual.remove_profile_per_hour,
            release_per_minute: usual.release_per_minute,
            approve_within: usual.approve_within.into(),
        }
    }
}

impl BrakeSettings {
    /// What is wrong with them.
    pub(super) fn fault(&self) -> Option<&'static str> {
        (self.release_per_minute == 0).then_some("brakes.release_per_minute: at least 1, or nothing approved goes out")
    }

    /// What the brakes are told.
    pub fn to_config(&self) -> BrakesConfig {
        BrakesConfig {
            erase_per_hour: self.erase_per_hour,
            lock_per_hour: self.lock_per_hour,
            remove_profile_per_hour: self.remove_profile_per_hour,
            release_per_minute: self.release_per_minute,
            approve_within: self.approve_within.0,
        }
    }
}
