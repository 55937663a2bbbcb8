//! Secrets at rest: what devices and admins entrust to us is sealed before it reaches the database, and opened only where
//! it is used.
//!
//! A sealed value is `version (1 byte) | key id (4) | nonce (24) | ciphertext | tag (16)`. It is bound to its place: table,
//! column and the columns that name its row are authenticated with it, so a value that was copied to another row does not
//! open. See docs/adr/0005-secrets-at-rest.md.
//!
//! Never here: plain text in a log or an error, a value that opens although something about it is wrong.
//!
//! # To seal a column
//!
//! 1. Make it a [`Sealed`] in the table's `Model` and `bytes` in the migration.
//! 2. Write a `static` [`SealedColumn`] beside the `Model`; its context names the row and never changes.
//! 3. Seal before the job is given to the writer, open after the query, both by the static.
//! 4. List the static in [`rotate::SEALED`]: what is not there keeps its old key for ever. A test compares.

mod cipher;
pub mod key_file;
mod ring;
pub mod rotate;

use std::fmt::{self, Display};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};

use sea_orm::DeriveValueType;

use crate::StoreError;
use cipher::{NONCE_BYTES, TAG_BYTES};

pub use ring::{KeyId, Ring, RingError, new_key};

/// The first byte of every sealed value.
const VERSION: u8 = 1;
/// Version and key id.
const HEAD_BYTES: usize = 5;

/// The keys, shared by all who seal and open. Clones share them.
#[derive(Clone)]
pub struct Vault(Arc<Shared>);

struct Shared {
    ring: RwLock<Arc<Ring>>,
    refused: AtomicU64,
    resealed: AtomicU64,
}

/// A value that only the vault can read.
#[derive(Clone, PartialEq, Eq, DeriveValueType)]
pub struct Sealed(pub(crate) Vec<u8>);

/// A column that holds sealed values.
#[derive(Debug)]
pub struct SealedColumn {
    /// The table.
    pub table: &'static str,
    /// The column.
    pub column: &'static str,
    /// The primary key.
    pub key: &'static [Part],
    /// The columns that name the row and never change; they are authenticated with the value.
    pub context: &'static [Part],
}

/// A column that names a row, by its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// A `BIGINT`, or something smaller.
    Number(&'static str),
    /// A text.
    Text(&'static str),
}

/// Why a value does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    NotSealed,
    UnknownKey(KeyId),
    Damaged,
}

impl Vault {
    /// A vault with these keys.
    pub fn new(ring: Ring) -> Self {
        let ring = RwLock::new(Arc::new(ring));
        Self(Arc::new(Shared { ring, refused: AtomicU64::new(0), resealed: AtomicU64::new(0) }))
    }

    /// A vault whose key is no secret, for tests below the edge.
    #[cfg(any(test, feature = "faults"))]
    pub(crate) fn known() -> Result<Self, StoreError> {
        let ring = Ring::parse(&"01".repeat(32)).map_err(|error| StoreError::WrongKey(error.to_string()))?;
        Ok(Self::new(ring))
    }

    /// Takes other keys into use: what is sealed from now on is sealed with the last of them.
    pub fn replace(&self, ring: Arc<Ring>) {
        *self.0.ring.write().unwrap_or_else(PoisonError::into_inner) = ring;
    }

    /// The keys that are in use now.
    pub fn ring(&self) -> Arc<Ring> {
        self.0.ring.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many values did not open since the start; each one is in the log, and one is too many.
    pub fn refused(&self) -> u64 {
        self.0.refused.load(Relaxed)
    }

    /// How many values were sealed anew with another key since the start.
    pub fn resealed(&self) -> u64 {
        self.0.resealed.load(Relaxed)
    }

    pub(crate) fn seal(&self, context: &[u8], plain: &[u8]) -> Result<Sealed, StoreError> {
        let ring = self.ring();
        let refuses = |why: String| StoreError::NotApplied(format!("a secret cannot be sealed: {why}"));
        let key = ring.active().ok_or_else(|| refuses("there is no key".into()))?;
        let mut sealed = Vec::with_capacity(HEAD_BYTES + NONCE_BYTES + plain.len() + TAG_BYTES);
        sealed.push(VERSION);
        sealed.extend_from_slice(&key.id.0);
        key.cipher.seal(context, plain, &mut sealed).map_err(|error| refuses(error.to_string()))?;
        Ok(Sealed(sealed))
    }

    fn open(&self, context: &[u8], sealed: &Sealed) -> Result<Vec<u8>, Why> {
        let (id, rest) = sealed.parts().ok_or(Why::NotSealed)?;
        let ring = self.ring();
        let key = ring.key(id).ok_or(Why::UnknownKey(id))?;
        key.cipher.open(context, rest).map_err(|_| Why::Damaged)
    }
}

impl Sealed {
    /// The name of its key, and what the key opens.
    fn parts(&self) -> Option<(KeyId, &[u8])> {
        let (head, rest) = self.0.split_first_chunk::<HEAD_BYTES>()?;
        let [version, id @ ..] = *head;
        (version == VERSION).then_some((KeyId(id), rest))
    }
}

impl SealedColumn {
    /// Seals a value for the row that these parts of its context name.
    pub(crate) fn seal(
        &self,
        vault: &Vault,
        context: &[&dyn Display],
        plain: impl AsRef<[u8]>,
    ) -> Result<Sealed, StoreError> {
        vault.seal(&self.bind(context), plain.as_ref())
    }

    /// Opens the value of the row that these parts of its context name.
    pub(crate) fn open(&self, vault: &Vault, context: &[&dyn Display], sealed: &Sealed) -> Result<Vec<u8>, StoreError> {
        vault.open(&self.bind(context), sealed).map_err(|why| {
            vault.0.refused.fetch_add(1, Relaxed);
            let (table, column) = (self.table, self.column);
            tracing::error!(table, column, "a stored secret does not open: {why}");
            StoreError::Unreadable(format!("{table}.{column}: {why}"))
        })
    }

    /// What is authenticated with a value: each part with its length, so that no two places look the same.
    fn bind(&self, context: &[&dyn Display]) -> Vec<u8> {
        debug_assert_eq!(context.len(), self.context.len(), "{}.{}", self.table, self.column);
        let mut bound = Vec::with_capacity(128);
        let mut bind = |part: &str| {
            bound.extend_from_slice(&(part.len() as u64).to_be_bytes());
            bound.extend_from_slice(part.as_bytes());
        };
        bind(self.table);
        bind(self.column);
        for part in context {
            bind(&part.to_string());
        }
        bound
    }
}

impl Display for Why {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSealed => out.write_str("it was not sealed by this program"),
            Self::UnknownKey(id) => write!(out, "it needs root key {id}, which is not in the key file: put it back"),
            Self::Damaged => out.write_str("it was changed, or copied from another row: restore it from a backup"),
        }
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.parts() {
            Some((id, _)) => write!(out, "sealed with {id}"),
            None => out.write_str("not sealed"),
        }
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "vault with {:?}", self.ring())
    }
}

#[cfg(test)]
mod tests;
