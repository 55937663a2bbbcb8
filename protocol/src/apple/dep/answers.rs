//! What the service answers, typed: the account, devices, profiles and assignments.
//!
//! Entries that this server does not know are ignored, and entries that are absent, null or empty count as absent: the service
//! adds and leaves out as it likes. What is kept of a text is cut; what names something is never cut, but refused. Never here:
//! what follows from an answer.
//!
//! Start with [`DevicesPage`]; what is no 200 is a [`Refusal`].

use serde_json::{Map, Value};

use super::super::strict_json::{self, StrictJsonError};
use crate::time::Timestamp;

mod account;
mod assignment;
mod devices;
mod refusal;

pub use account::Account;
pub use assignment::{Assigned, DefinedProfile, Outcome};
pub use devices::{Device, DeviceDetails, DevicesPage, OpType, ProfileStatus};
pub use refusal::{Answer, MAX_BACK_OFF, Refusal};

/// The largest answer that is read, in bytes: a thousand devices have less than one megabyte.
pub const MAX_ANSWER_BYTES: usize = 4 << 20;

/// The longest cursor, profile UUID or other name, in bytes.
pub const MAX_NAME_BYTES: usize = 1024;

/// What is kept of a text that is only shown, in characters.
pub const MAX_TEXT_CHARS: usize = 255;

/// Why an answer with status 200 says nothing: the call is made again later.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// Not JSON that this server reads, for example because it was cut off.
    #[error("the answer of Apple's device assignment service cannot be read: {0}")]
    Json(#[from] StrictJsonError),
    /// An entry is absent, or of another type.
    #[error("{0} is missing in the answer of Apple's device assignment service")]
    Missing(&'static str),
    /// More devices than any call may ask for.
    #[error("the answer of Apple's device assignment service has too many devices")]
    TooMany,
}

/// Reads the answer of `GET /session`: what is sent with every call ([`super::SESSION_HEADER`]).
///
/// # Errors
/// See [`AnswerError`].
pub fn session(body: &[u8]) -> Result<String, AnswerError> {
    const KEY: &str = "auth_session_token";
    read(body, |entries| entries.name(KEY).map(str::to_owned).ok_or(AnswerError::Missing(KEY)))
}

/// The entries of one object of an answer.
#[derive(Clone, Copy)]
struct Entries<'a>(&'a Map<String, Value>);

/// Reads an answer and what `of` finds in it.
fn read<T>(body: &[u8], of: impl FnOnce(Entries<'_>) -> Result<T, AnswerError>) -> Result<T, AnswerError> {
    match strict_json::parse(body, MAX_ANSWER_BYTES)? {
        Value::Object(entries) => of(Entries(&entries)),
        _ => Err(AnswerError::Missing("an object")),
    }
}

impl<'a> Entries<'a> {
    /// A text that names something: 1 to [`MAX_NAME_BYTES`] bytes without control characters.
    fn name(self, key: &str) -> Option<&'a str> {
        let text = self.0.get(key)?.as_str()?;
        ((1..=MAX_NAME_BYTES).contains(&text.len()) && !text.contains(char::is_control)).then_some(text)
    }

    /// A text that is only shown, or an empty one.
    fn text(self, key: &str) -> String {
        self.0.get(key).and_then(Value::as_str).map(shown).unwrap_or_default()
    }

    fn moment(self, key: &str) -> Option<Timestamp> {
        Timestamp::parse_rfc3339(self.0.get(key)?.as_str()?)
    }

    fn truth(self, key: &str) -> Option<bool> {
        self.0.get(key)?.as_bool()
    }

    fn number(self, key: &str) -> Option<u64> {
        self.0.get(key)?.as_u64()
    }

    fn object(self, key: &str) -> Option<Entries<'a>> {
        self.0.get(key)?.as_object().map(Entries)
    }

    fn array(self, key: &str) -> Option<&'a [Value]> {
        self.0.get(key)?.as_array().map(Vec::as_slice)
    }
}

/// What is kept of a text that is only shown.
fn shown(text: &str) -> String {
    text.chars().filter(|one| !one.is_control()).take(MAX_TEXT_CHARS).collect()
}

#[cfg(test)]
mod tests;
