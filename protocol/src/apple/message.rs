//! The one door for what devices send: bytes in, a check-in message or a command report out.
//!
//! The body decides what it is, not its `Content-Type`: some clients leave the header out. Never here: who is allowed to
//! send it.

use super::check_in::CheckIn;
use super::fields::{FieldError, Fields};
use super::plist::{PlistError, Value, parse};
use super::report::Report;

/// What a device sent.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// Something about itself.
    CheckIn(CheckIn),
    /// The answer to a command, or the question for one.
    Report(Report),
}

/// Why a body is neither. The answer is 400 ([`Fault::TooLarge`](super::plist::Fault::TooLarge): 413), and the device is
/// not told more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// The body is not a property list that this server reads.
    #[error(transparent)]
    Plist(#[from] PlistError),
    /// An entry is missing or not as documented.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// A check-in message of a type that this server does not know (its first 64 characters).
    #[error("unknown message type {0:?}")]
    UnknownType(String),
    /// A declarative management request for a path that this server does not know.
    #[error("unknown declarative management endpoint")]
    UnknownEndpoint,
    /// Neither `MessageType` nor `Status` is present.
    #[error("neither a check-in message nor a command report")]
    Unrecognized,
}

impl Message {
    /// Reads what a device sent, of at most `max_bytes` bytes.
    ///
    /// # Errors
    /// See [`MessageError`].
    pub fn parse(bytes: &[u8], max_bytes: usize) -> Result<Self, MessageError> {
        let Value::Dictionary(entries) = parse(bytes, max_bytes)? else {
            return Err(FieldError::NotADictionary.into());
        };
        let fields = Fields::new(&entries);
        if let Some(message_type) = fields.string("MessageType")? {
            return CheckIn::read(message_type, &entries).map(Self::CheckIn);
        }
        match fields.string("Status")? {
            Some(_) => Report::read(entries).map(Self::Report),
            None => Err(MessageError::Unrecognized),
        }
    }
}

impl MessageError {
    pub(super) fn unknown_type(message_type: &str) -> Self {
        Self::UnknownType(message_type.chars().take(64).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_decides_what_a_message_is() {
        let check_in = include_bytes!("../../tests/fixtures/apple/authenticate_macos.plist");
        let report = include_bytes!("../../tests/fixtures/apple/idle_macos.plist");
        assert!(matches!(Message::parse(check_in, 4096), Ok(Message::CheckIn(_))));
        assert!(matches!(Message::parse(report, 4096), Ok(Message::Report(_))));
    }

    #[test]
    fn what_is_neither_is_refused_with_its_reason() {
        let body = |inner: &str| format!("<plist version=\"1.0\">{inner}</plist>").into_bytes();
        assert_eq!(Message::parse(&body("<dict/>"), 999), Err(MessageError::Unrecognized));
        assert_eq!(Message::parse(&body("<array/>"), 999), Err(FieldError::NotADictionary.into()));
        let number = body("<dict><key>MessageType</key><integer>1</integer></dict>");
        let wrong = FieldError::WrongType { key: "MessageType", expected: "string" };
        assert_eq!(Message::parse(&number, 999), Err(wrong.into()));
        let novel = body("<dict><key>MessageType</key><string>Sing</string><key>UDID</key><string>D</string></dict>");
        assert_eq!(Message::parse(&novel, 999), Err(MessageError::UnknownType("Sing".to_owned())));
    }

    #[test]
    fn an_unknown_message_type_is_quoted_in_part_and_escaped() {
        let error = MessageError::unknown_type(&"\u{1b}[31m".repeat(100));
        let text = error.to_string();
        assert!(text.len() < 200 && !text.contains('\u{1b}'), "{text}");
    }
}
