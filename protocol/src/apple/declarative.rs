//! Declarative management documents: the set of declarations a channel is given, and the status it reports.
//!
//! The token of a set depends on nothing but the set: sorted, hashed, without clock or chance. A token that changes by
//! itself makes devices fetch everything again, for ever. Never here: which declarations a host gets, and their content.
//!
//! Start with [`DeclarationSet`] and [`StatusReport`] (Apple, "Integrating declarative management").

use openssl::sha::Sha256;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::check_in::DeclarationKind;
use super::plist::{MAX_DEPTH, MAX_NODES};
use crate::time::Timestamp;

/// The longest identifier or server token of a declaration, in bytes (Apple, "DeclarationBase").
pub const MAX_NAME_BYTES: usize = 64;

/// One declaration as the list of a set names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DeclarationItem {
    /// The declaration's identifier, 1 to 64 bytes.
    pub identifier: String,
    /// What changes whenever the declaration does, 1 to 64 bytes.
    pub server_token: String,
}

/// The declarations of one channel, sorted. The default is the empty set, which is a valid one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DeclarationSet {
    activations: Vec<DeclarationItem>,
    assets: Vec<DeclarationItem>,
    configurations: Vec<DeclarationItem>,
    management: Vec<DeclarationItem>,
}

/// Why declarations are not a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeclarationError {
    /// An identifier or server token is empty or longer than 64 bytes.
    #[error("an identifier or server token is not 1 to 64 bytes long")]
    Length,
    /// Two declarations have the same identifier.
    #[error("two declarations have the same identifier")]
    DuplicateIdentifier,
}

/// A status report: checked, and kept as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusReport {
    /// The report is the whole status and replaces what is known, rather than adding to it.
    pub full: bool,
    /// The status items that the device could not report.
    pub errors: Vec<StatusItemError>,
    /// The JSON document as the device sent it.
    pub raw: Vec<u8>,
}

/// A status item that the device could not report.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct StatusItemError {
    /// The item's name, for example `device.model.family`.
    pub status_item: String,
    /// Why it could not be reported.
    #[serde(default)]
    pub reasons: Vec<StatusReason>,
}

/// One reason of a [`StatusItemError`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct StatusReason {
    /// The error code.
    pub code: String,
    /// Its description in English.
    pub description: Option<String>,
}

/// Why a body is not a status report. The answer is 400; a 500 would make the device repeat it for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StatusError {
    /// The body is longer than the caller allows (413 rather than 400).
    #[error("the status report is too large")]
    TooLarge,
    /// More than [`MAX_DEPTH`] arrays and objects inside each other.
    #[error("the nesting of the status report is too deep")]
    TooDeep,
    /// More than [`MAX_NODES`] values.
    #[error("the status report has too many values")]
    TooManyNodes,
    /// A text with the character NUL, which no database keeps.
    #[error("the status report holds a NUL character")]
    Nul,
    /// Not JSON, or not of the documented shape.
    #[error("the status report is malformed")]
    Malformed,
}

impl DeclarationSet {
    /// Builds the set of these declarations; their order does not matter.
    ///
    /// # Errors
    /// See [`DeclarationError`].
    pub fn new(items: impl IntoIterator<Item = (DeclarationKind, DeclarationItem)>) -> Result<Self, DeclarationError> {
        let mut set = Self::default();
        for (kind, item) in items {
            if [&item.identifier, &item.server_token].iter().any(|name| !(1..=MAX_NAME_BYTES).contains(&name.len())) {
                return Err(DeclarationError::Length);
            }
            set.of_kind_mut(kind).push(item);
        }
        for kind in DeclarationKind::ALL {
            set.of_kind_mut(kind).sort_unstable();
        }
        let mut identifiers: Vec<&str> = set.iter().map(|(_, item)| item.identifier.as_str()).collect();
        identifiers.sort_unstable();
        if identifiers.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(DeclarationError::DuplicateIdentifier);
        }
        Ok(set)
    }

    /// The declarations, sorted by kind and identifier.
    pub fn iter(&self) -> impl Iterator<Item = (DeclarationKind, &DeclarationItem)> {
        DeclarationKind::ALL.into_iter().flat_map(|kind| self.of_kind(kind).iter().map(move |item| (kind, item)))
    }

    /// The declarations of one kind, sorted by identifier.
    pub fn of_kind(&self, kind: DeclarationKind) -> &[DeclarationItem] {
        match kind {
            DeclarationKind::Activation => &self.activations,
            DeclarationKind::Asset => &self.assets,
            DeclarationKind::Configuration => &self.configurations,
            DeclarationKind::Management => &self.management,
        }
    }

    /// `DeclarationsToken`: the SHA-256 of the sorted set as 64 lower-case hexadecimal digits.
    pub fn token(&self) -> String {
        let mut hash = Sha256::new();
        for (kind, item) in self.iter() {
            for part in [kind.as_str(), &item.identifier, &item.server_token] {
                // The length keeps ("ab", "c") and ("a", "bc") apart.
                hash.update(&(part.len() as u64).to_be_bytes());
                hash.update(part.as_bytes());
            }
        }
        hash.finish().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The `tokens` document. `changed_at` is when the set last changed, written in whole seconds.
    pub fn tokens_json(&self, changed_at: Timestamp) -> Vec<u8> {
        let timestamp = Timestamp::from_seconds(changed_at.seconds()).to_rfc3339();
        let document = serde_json::json!({
            "SyncTokens": { "DeclarationsToken": self.token(), "Timestamp": timestamp },
        });
        document.to_string().into_bytes()
    }

    /// The `declaration-items` document, with all four lists even when they are empty.
    pub fn declaration_items_json(&self) -> Vec<u8> {
        serde_json::json!({ "Declarations": self, "DeclarationsToken": self.token() }).to_string().into_bytes()
    }

    fn of_kind_mut(&mut self, kind: DeclarationKind) -> &mut Vec<DeclarationItem> {
        match kind {
            DeclarationKind::Activation => &mut self.activations,
            DeclarationKind::Asset => &mut self.assets,
            DeclarationKind::Configuration => &mut self.configurations,
            DeclarationKind::Management => &mut self.management,
        }
    }
}

impl StatusReport {
    /// Checks the status report of at most `max_bytes` bytes that a device sent, and keeps it.
    ///
    /// # Errors
    /// See [`StatusError`].
    pub fn parse(bytes: &[u8], max_bytes: usize) -> Result<Self, StatusError> {
        check_bounds(bytes, max_bytes)?;
        let shape: StatusShape = serde_json::from_slice(bytes).map_err(|_| StatusError::Malformed)?;
        Ok(Self { full: shape.full_report, errors: shape.errors, raw: bytes.to_vec() })
    }
}

/// The documented shape; the items themselves are only passed over.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct StatusShape {
    #[serde(rename = "StatusItems")]
    _status_items: std::collections::HashMap<String, IgnoredAny>,
    #[serde(default)]
    errors: Vec<StatusItemError>,
    #[serde(default)]
    full_report: bool,
}

/// Bounds a JSON text before anything is built from it: its size, its depth, and how many values it can hold.
fn check_bounds(bytes: &[u8], max_bytes: usize) -> Result<(), StatusError> {
    if bytes.len() > max_bytes {
        return Err(StatusError::TooLarge);
    }
    let (mut depth, mut nodes, mut in_string) = (0_usize, 0_usize, false);
    let mut rest = bytes.iter();
    while let Some(byte) = rest.next() {
        match byte {
            b'"' => in_string = !in_string,
            b'\\' if in_string => {
                if rest.as_slice().starts_with(b"u0000") {
                    return Err(StatusError::Nul);
                }
                rest.next();
            }
            _ if in_string => {}
            b'{' | b'[' => {
                depth += 1;
                nodes += 1;
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b',' => nodes += 1,
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Err(StatusError::TooDeep);
        }
        if nodes > MAX_NODES {
            return Err(StatusError::TooManyNodes);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
