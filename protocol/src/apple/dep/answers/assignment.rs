//! What became of a profile and of its assignment to devices (Apple, "DefineProfileResponse", "AssignProfileResponse").

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::MAX_DEVICES;
use super::devices::usable;
use super::refusal::MAX_BACK_OFF;
use super::{AnswerError, Entries, read};

/// A profile that the service knows from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefinedProfile {
    /// What it is called at the service.
    pub profile_uuid: String,
    /// Devices that were to be assigned it at once.
    pub assigned: Assigned,
}

/// What became of an assignment, or of its removal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assigned {
    /// By serial number. A device that is missing here has to be asked for again.
    pub outcomes: BTreeMap<String, Outcome>,
    /// When the devices that are [`Outcome::Throttled`] may be named again, where the service says so.
    pub retry_after: Option<Duration>,
}

/// What became of one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// It is done.
    Success,
    /// The device does not exist, or is not this server's.
    NotAccessible,
    /// The service failed; it may work later.
    Failed,
    /// It was asked for too often.
    Throttled,
    /// Something that the service has a new word for: not done.
    Other,
}

impl DefinedProfile {
    /// Reads the answer of `POST /profile`.
    ///
    /// # Errors
    /// See [`AnswerError`].
    pub fn parse(body: &[u8]) -> Result<Self, AnswerError> {
        read(body, |entries| {
            let uuid = entries.name("profile_uuid").ok_or(AnswerError::Missing("profile_uuid"))?;
            let assigned = match entries.object("devices") {
                Some(devices) => Assigned::of(entries, devices)?,
                None => Assigned::default(),
            };
            Ok(Self { profile_uuid: uuid.to_owned(), assigned })
        })
    }
}

impl Assigned {
    /// Reads the answer of `POST /profile/devices` and of `DELETE /profile/devices`.
    ///
    /// # Errors
    /// See [`AnswerError`].
    pub fn parse(body: &[u8]) -> Result<Self, AnswerError> {
        read(body, |entries| {
            let devices = entries.object("devices").ok_or(AnswerError::Missing("devices"))?;
            Self::of(entries, devices)
        })
    }

    fn of(answer: Entries<'_>, devices: Entries<'_>) -> Result<Self, AnswerError> {
        if devices.0.len() > MAX_DEVICES {
            return Err(AnswerError::TooMany);
        }
        let outcome = |(serial, word): (&String, &serde_json::Value)| {
            let outcome = word.as_str().map_or(Outcome::Other, Outcome::of);
            usable(serial).map(|serial| (serial, outcome))
        };
        let retry_after = answer.number("retry_after_seconds").map(Duration::from_secs);
        Ok(Self {
            outcomes: devices.0.iter().filter_map(outcome).collect(),
            retry_after: retry_after.map(|after| after.min(MAX_BACK_OFF)),
        })
    }
}

impl Outcome {
    pub(super) fn of(word: &str) -> Self {
        match word {
            "SUCCESS" => Self::Success,
            "NOT_ACCESSIBLE" => Self::NotAccessible,
            "FAILED" => Self::Failed,
            "THROTTLED" => Self::Throttled,
            _ => Self::Other,
        }
    }

    /// The word for it, as the service and Fleet's API have it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Success => "SUCCESS",
            Self::NotAccessible => "NOT_ACCESSIBLE",
            Self::Failed => "FAILED",
            Self::Throttled => "THROTTLED",
            Self::Other => "OTHER",
        }
    }
}
