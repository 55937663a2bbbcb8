//! Updates of the operating system that hosts are made to install by a day: the server's own declaration for it.
//!
//! Start with [`OsUpdates::new`]. Apple: "SoftwareUpdateEnforcementSpecific".

use serde_json::json;

use crate::time::Timestamp;

/// A platform whose updates can be enforced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Platform {
    /// Macs.
    MacOs,
    /// Phones.
    Ios,
    /// Tablets.
    IpadOs,
}

/// The least version that hosts are to have, and by when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OsUpdates {
    minimum_version: String,
    deadline: String,
}

/// Why hosts cannot be made to update so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OsUpdatesError {
    /// One of the two is there, and the other is not.
    #[error("minimum_version and deadline belong together: set both, or leave both empty")]
    Half,
    /// Not a version.
    #[error("minimum_version has to be one to three numbers with dots between them, for example 15.1")]
    Version,
    /// Not a day.
    #[error("deadline has to be a day as YYYY-MM-DD")]
    Deadline,
}

impl Platform {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::MacOs, Self::Ios, Self::IpadOs];

    /// The label that every server gives the hosts of this platform.
    pub const fn label(self) -> &'static str {
        match self {
            Self::MacOs => "macOS",
            Self::Ios => "iOS",
            Self::IpadOs => "iPadOS",
        }
    }

    /// What hosts of this platform are called in rows.
    pub const fn word(self) -> &'static str {
        match self {
            Self::MacOs => "darwin",
            Self::Ios => "ios",
            Self::IpadOs => "ipados",
        }
    }

    /// The name of the setting.
    pub const fn setting(self) -> &'static str {
        match self {
            Self::MacOs => "macos_updates",
            Self::Ios => "ios_updates",
            Self::IpadOs => "ipados_updates",
        }
    }

    /// The name of the activity that tells of a change.
    pub const fn activity(self) -> &'static str {
        match self {
            Self::MacOs => "edited_macos_min_version",
            Self::Ios => "edited_ios_min_version",
            Self::IpadOs => "edited_ipados_min_version",
        }
    }

    /// The name of the declaration, which nobody else's may have.
    pub const fn profile_name(self) -> &'static str {
        match self {
            Self::MacOs => "Fleet macOS OS Updates",
            Self::Ios => "Fleet iOS OS Updates",
            Self::IpadOs => "Fleet iPadOS OS Updates",
        }
    }

    /// The identifier of the declaration: the same in all teams, so that a host that changes its team has one of them.
    pub const fn identifier(self) -> &'static str {
        match self {
            Self::MacOs => "org.rookery.os-updates.macos",
            Self::Ios => "org.rookery.os-updates.ios",
            Self::IpadOs => "org.rookery.os-updates.ipados",
        }
    }
}

impl OsUpdates {
    /// Checks what an admin wants; `None` when both texts are empty.
    ///
    /// # Errors
    /// See [`OsUpdatesError`].
    pub fn new(minimum_version: &str, deadline: &str) -> Result<Option<Self>, OsUpdatesError> {
        match (minimum_version.is_empty(), deadline.is_empty()) {
            (true, true) => return Ok(None),
            (false, false) => {}
            _ => return Err(OsUpdatesError::Half),
        }
        let is_number = |part: &str| (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
        let parts: Vec<&str> = minimum_version.split('.').collect();
        if parts.len() > 3 || !parts.into_iter().all(is_number) {
            return Err(OsUpdatesError::Version);
        }
        let is_day = deadline.len() == 10 && Timestamp::parse_rfc3339(&format!("{deadline}T12:00:00Z")).is_some();
        if !is_day {
            return Err(OsUpdatesError::Deadline);
        }
        Ok(Some(Self { minimum_version: minimum_version.to_owned(), deadline: deadline.to_owned() }))
    }

    /// The declaration for the hosts of a platform: at noon of the day, in their own time, they install it by themselves.
    pub fn declaration(&self, platform: Platform) -> String {
        json!({
            "Type": "com.apple.configuration.softwareupdate.enforcement.specific",
            "Identifier": platform.identifier(),
            "Payload": {
                "TargetOSVersion": self.minimum_version,
                "TargetLocalDateTime": format!("{}T12:00:00", self.deadline),
            },
        })
        .to_string()
    }

    /// The setting as it is kept and shown.
    pub fn shown(&self) -> serde_json::Value {
        json!({ "minimum_version": self.minimum_version, "deadline": self.deadline })
    }
}

/// Whether a version comes before another one, number by number; what is missing is 0, and what is no number ends it.
pub fn is_older(version: &str, than: &str) -> bool {
    let numbers = |text: &str| -> [u64; 3] {
        let mut numbers = [0; 3];
        let parts = text.split(|one: char| !one.is_ascii_digit()).map_while(|part| part.parse().ok());
        numbers.iter_mut().zip(parts).for_each(|(place, number)| *place = number);
        numbers
    };
    numbers(version) < numbers(than)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_number_by_number() {
        for (older, newer) in [("15", "15.0.1"), ("15.9", "15.10"), ("9.9.9", "10"), ("", "1"), ("15.1 (a)", "15.2")] {
            assert!(is_older(older, newer) && !is_older(newer, older), "{older} {newer}");
        }
        assert!(!is_older("15", "15.0") && !is_older("15.0", "15"));
    }

    #[test]
    fn versions_and_days_are_checked() {
        for version in ["15", "15.1", "15.1.2", "100.0"] {
            assert!(OsUpdates::new(version, "2026-12-31").unwrap().is_some(), "{version}");
        }
        for version in ["15.", ".1", "15.1.2.3", "fifteen", "15.1b", " 15", "1000", "-1", "15,1"] {
            assert_eq!(OsUpdates::new(version, "2026-12-31"), Err(OsUpdatesError::Version), "{version}");
        }
        for day in ["2026-02-30", "2026-13-01", "31-12-2026", "2026-1-1", "tomorrow", "2026-12-31T12:00:00"] {
            assert_eq!(OsUpdates::new("15.1", day), Err(OsUpdatesError::Deadline), "{day}");
        }
        assert_eq!(OsUpdates::new("15.1", ""), Err(OsUpdatesError::Half));
        assert_eq!(OsUpdates::new("", "2026-12-31"), Err(OsUpdatesError::Half));
        assert_eq!(OsUpdates::new("", ""), Ok(None));
    }

    #[test]
    fn the_declaration_is_apples_and_at_noon() {
        let updates = OsUpdates::new("15.1", "2026-12-31").unwrap().unwrap();
        let declaration: serde_json::Value = serde_json::from_str(&updates.declaration(Platform::MacOs)).unwrap();
        assert_eq!(declaration["Payload"]["TargetLocalDateTime"], "2026-12-31T12:00:00");
        assert_eq!(declaration["Payload"]["TargetOSVersion"], "15.1");
        assert_eq!(declaration["Identifier"], "org.rookery.os-updates.macos");
    }

    #[test]
    fn nobody_elses_profile_has_its_names() {
        for platform in Platform::ALL {
            assert!(crate::profile_name::check_name(platform.profile_name()).is_err());
        }
    }
}
