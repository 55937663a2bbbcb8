//! Declarative management documents: the set of declarations a channel is given, and the status it reports.
//!
//! The token of a set depends on nothing but the set: sorted, hashed, without clock or chance. A token that changes by
//! itself makes devices fetch everything again, for ever. Never here: which declarations an admin assigned to a host.
//!
//! Start with [`host_set`] (what a host is given), then [`status`] (what it reports) and [`judge`](judge::judge) (what
//! follows for each declaration). Apple: "Integrating declarative management".

use openssl::sha::Sha256;
use serde::{Deserialize, Serialize};

use super::check_in::DeclarationKind;
use crate::time::Timestamp;

pub mod host_set;
pub mod judge;
pub mod states;
pub mod status;
pub mod subscriptions;
pub mod text;
pub mod vitals;

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
        digest(self.iter().flat_map(|(kind, item)| [kind.as_str(), &item.identifier, &item.server_token]))
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

/// The SHA-256 of these texts as 64 lower-case hexadecimal digits.
fn digest<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        // The length keeps ("ab", "c") and ("a", "bc") apart.
        hash.update(&(part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.finish().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
