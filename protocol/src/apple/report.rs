//! Command reports: what a device answers to a command, or `Idle` when it asks for one.
//!
//! The whole dictionary is kept, because the results of a command stand beside the known entries. It may hold secrets
//! (unlock tokens, rotated keys), so `Debug` shows none of it. Never here: what follows from a report.
//!
//! Start with [`Report`] (Apple, "Commands and Queries" and "Handling NotNow status responses").

use std::fmt;

use super::channel::Channel;
use super::fields::{FieldError, Fields};
use super::json;
use super::message::MessageError;
use super::plist::{Dictionary, Value};
use crate::ids::CommandUuid;

/// The longest status that is kept, in characters.
const MAX_STATUS_CHARS: usize = 64;

/// The largest number of errors that is kept of an `ErrorChain`; the rest stays in the dictionary.
const MAX_ERRORS: usize = 32;

/// A command report.
#[derive(Clone, PartialEq)]
pub struct Report {
    /// Who sent it.
    pub channel: Channel,
    /// What became of the command.
    pub status: Status,
    /// The command; `None` when [`Status::Idle`].
    pub command_uuid: Option<CommandUuid>,
    /// Why the command failed, the nearest cause first.
    pub error_chain: Vec<ErrorLink>,
    /// The user of this channel is not at the Mac's screen.
    pub not_on_console: bool,
    /// The command's type, which only some answers repeat.
    pub request_type: Option<String>,
    entries: Dictionary,
}

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// There was none: the device asks for one.
    Idle,
    /// It is done.
    Acknowledged,
    /// It failed.
    Error,
    /// The device could not read it.
    CommandFormatError,
    /// It cannot be done now.
    NotNow,
    /// A status that this server does not know, at most 64 characters.
    Other(String),
}

/// One error of an `ErrorChain`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorLink {
    /// The number of the error in its domain.
    pub code: i64,
    /// The domain, for example `MCMDMErrorDomain`.
    pub domain: String,
    /// The description in the device's language.
    pub localized_description: String,
    /// The description in English.
    pub us_english_description: Option<String>,
}

impl Report {
    pub(super) fn read(entries: Dictionary) -> Result<Self, MessageError> {
        let fields = Fields::new(&entries);
        let status = Status::parse(fields.required_string("Status")?)?;
        Ok(Self {
            channel: Channel::of(&entries)?,
            command_uuid: read_command_uuid(fields, &status)?,
            error_chain: read_error_chain(fields)?,
            not_on_console: fields.boolean("NotOnConsole")?.unwrap_or(false),
            request_type: fields.id("RequestType")?.map(str::to_owned),
            status,
            entries,
        })
    }

    /// Every entry of the report, with the results of the command among them.
    pub const fn entries(&self) -> &Dictionary {
        &self.entries
    }

    /// The whole report as JSON, as [`json::from_dictionary`] writes it.
    pub fn to_json(&self) -> serde_json::Value {
        json::from_dictionary(&self.entries)
    }
}

impl fmt::Debug for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Report")
            .field("channel", &self.channel)
            .field("status", &self.status)
            .field("command_uuid", &self.command_uuid)
            .field("error_chain", &self.error_chain)
            .finish_non_exhaustive()
    }
}

impl Status {
    /// The status as devices write it.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Idle => "Idle",
            Self::Acknowledged => "Acknowledged",
            Self::Error => "Error",
            Self::CommandFormatError => "CommandFormatError",
            Self::NotNow => "NotNow",
            Self::Other(status) => status,
        }
    }

    fn parse(text: &str) -> Result<Self, FieldError> {
        if text.chars().nth(MAX_STATUS_CHARS).is_some() {
            return Err(FieldError::TooLong { key: "Status", max: MAX_STATUS_CHARS });
        }
        Ok(match text {
            "Idle" => Self::Idle,
            "Acknowledged" => Self::Acknowledged,
            "Error" => Self::Error,
            "CommandFormatError" => Self::CommandFormatError,
            "NotNow" => Self::NotNow,
            other => Self::Other(other.to_owned()),
        })
    }
}

fn read_command_uuid(fields: Fields<'_>, status: &Status) -> Result<Option<CommandUuid>, FieldError> {
    if *status == Status::Idle {
        return Ok(None);
    }
    let uuid = fields.id("CommandUUID")?.ok_or(FieldError::Missing("CommandUUID"))?;
    CommandUuid::parse(uuid).map(Some).ok_or(FieldError::BadCharacter("CommandUUID"))
}

/// Reads the errors leniently: a device that reports a failure in an odd shape still reports a failure.
fn read_error_chain(fields: Fields<'_>) -> Result<Vec<ErrorLink>, FieldError> {
    let links = fields.array("ErrorChain")?.unwrap_or_default();
    Ok(links.iter().filter_map(Value::as_dictionary).take(MAX_ERRORS).map(ErrorLink::read).collect())
}

impl ErrorLink {
    fn read(entries: &Dictionary) -> Self {
        let text = |key| entries.get(key).and_then(Value::as_string).map(str::to_owned);
        Self {
            code: entries.get("ErrorCode").and_then(Value::as_signed_integer).unwrap_or_default(),
            domain: text("ErrorDomain").unwrap_or_default(),
            localized_description: text("LocalizedDescription").unwrap_or_default(),
            us_english_description: text("USEnglishDescription"),
        }
    }
}

#[cfg(test)]
mod tests;
