//! SyncML 1.2 as OMA-DM uses it (OMA-TS-DM_RepPro-V1_2, and Microsoft's MS-MDM): the messages of a management session.
//!
//! A device sends [`Message`]s and gets [`Reply`]s. What it is to do is a [`Command`]; what it said about one is gathered in an
//! [`OpenCommand`] until it is an [`Outcome`]. [`credentials`] holds the MD5 digest by which a device without a certificate
//! proves itself. Everything is keyed by `CmdRef`, never by position: some devices group what they say by kind.
//!
//! Start with [`Message::parse`].

mod command;
pub mod credentials;
mod form;
mod message;
mod outcome;
mod own;
mod reply;
mod result_json;
mod wire_id;

#[cfg(test)]
mod tests;

pub use command::{Command, CommandError, MAX_OPERATIONS, Operation, Verb};
pub use message::{Alert, Header, Item, Message, MessageError, Received, Results, Status, short};
pub use outcome::{Heard, OpenCommand, Outcome};
pub use reply::{Challenge, Reply};
pub use result_json::{result_json, said};
pub use wire_id::WireId;

/// The namespace of messages.
pub const NAMESPACE: &str = "SYNCML:SYNCML1.2";
/// The namespace of what describes data.
pub const METINF: &str = "syncml:metinf";
/// The content type of messages.
pub const CONTENT_TYPE: &str = "application/vnd.syncml.dm+xml";
/// The longest name that a device may use (session, source, address of a node), in characters.
pub const MAX_NAME_CHARS: usize = 1024;

/// Whether a document begins as a Windows command, or what is kept of its result, does.
pub fn is_fragment(document: &[u8]) -> bool {
    const NAMES: [&str; 7] = ["Exec", "Get", "Add", "Replace", "Delete", "Atomic", "SyncBody"];
    let Some(rest) = document.trim_ascii_start().strip_prefix(b"<") else { return false };
    let ends = |byte: &u8| matches!(byte, b'>' | b'/') || byte.is_ascii_whitespace();
    NAMES.iter().filter_map(|name| rest.strip_prefix(name.as_bytes())).any(|rest| rest.first().is_some_and(ends))
}
