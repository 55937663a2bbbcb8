//! Root keys: the last one of the ring seals, all of them open. What is sealed names its key, so an old key is needed for
//! as long as a row names it.

use std::fmt;

use openssl::error::ErrorStack;
use openssl::md::Md;
use openssl::pkey::Id;
use openssl::pkey_ctx::{HkdfMode, PkeyCtx};
use openssl::rand::rand_bytes;
use zeroize::Zeroizing;

use super::cipher::{Cipher, KEY_BYTES};

/// More keys than a ring ever needs.
const MAX_KEYS: usize = 32;

/// The name of a root key: it follows from the key, so a file cannot misname one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(pub(crate) [u8; 4]);

/// The root keys in memory.
pub struct Ring {
    keys: Vec<Key>,
}

/// One root key: only what was derived from it is kept.
pub(super) struct Key {
    pub(super) id: KeyId,
    pub(super) cipher: Cipher,
}

/// Why keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RingError {
    /// A line is no key. Which one is said, never what it holds.
    #[error("line {0} is no key: a key is 64 hexadecimal digits")]
    NotAKey(usize),
    /// There is no key at all.
    #[error("there is no key in it")]
    Empty,
    /// The same key stands there twice, or there are too many.
    #[error("a key stands there twice, or there are more than {MAX_KEYS}")]
    TooMany,
    /// OpenSSL refuses.
    #[error("OpenSSL refuses: {0}")]
    Crypto(#[from] ErrorStack),
}

impl Ring {
    /// Reads keys: 64 hexadecimal digits each, one a line or with commas between; `#` begins a comment.
    ///
    /// # Errors
    /// A line is no key, or there is none.
    pub fn parse(text: &str) -> Result<Self, RingError> {
        let mut keys: Vec<Key> = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.split('#').next().unwrap_or_default();
            for word in line.split([',', ' ', '\t', '\r']).filter(|word| !word.is_empty()) {
                let key = Key::derive(&*unhex(word).ok_or(RingError::NotAKey(number))?)?;
                if keys.len() == MAX_KEYS || keys.iter().any(|known| known.id == key.id) {
                    return Err(RingError::TooMany);
                }
                keys.push(key);
            }
        }
        if keys.is_empty() { Err(RingError::Empty) } else { Ok(Self { keys }) }
    }

    /// The key that seals.
    pub(super) fn active(&self) -> Option<&Key> {
        self.keys.last()
    }

    /// The name of the key that seals.
    pub fn active_id(&self) -> Option<KeyId> {
        self.active().map(|key| key.id)
    }

    /// The names of all keys, oldest first.
    pub fn ids(&self) -> impl Iterator<Item = KeyId> {
        self.keys.iter().map(|key| key.id)
    }

    pub(super) fn key(&self, id: KeyId) -> Option<&Key> {
        self.keys.iter().find(|key| key.id == id)
    }
}

impl Key {
    fn derive(root: &[u8; KEY_BYTES]) -> Result<Self, ErrorStack> {
        let mut id = [0; 4];
        hkdf(root, b"rookery key id v1", &mut id)?;
        let mut columns = Zeroizing::new([0; KEY_BYTES]);
        hkdf(root, b"rookery sealed columns v1", &mut *columns)?;
        Ok(Self { id: KeyId(id), cipher: Cipher::new(columns)? })
    }
}

/// A new root key, as it stands in the file.
///
/// # Errors
/// The system has no randomness.
pub fn new_key() -> Result<Zeroizing<String>, ErrorStack> {
    let mut random = Zeroizing::new([0; KEY_BYTES]);
    rand_bytes(&mut *random)?;
    Ok(Zeroizing::new(random.iter().fold(String::with_capacity(64), |text, byte| text + &format!("{byte:02x}"))))
}

/// HKDF (RFC 5869) with SHA-256: a key of its own for each purpose.
fn hkdf(root: &[u8], purpose: &[u8], out: &mut [u8]) -> Result<(), ErrorStack> {
    let mut context = PkeyCtx::new_id(Id::HKDF)?;
    context.derive_init()?;
    context.set_hkdf_mode(HkdfMode::EXTRACT_THEN_EXPAND)?;
    context.set_hkdf_md(Md::sha256())?;
    context.set_hkdf_key(root)?;
    context.add_hkdf_info(purpose)?;
    context.derive(Some(out))?;
    Ok(())
}

fn unhex(word: &str) -> Option<Zeroizing<[u8; KEY_BYTES]>> {
    let digits =
        Zeroizing::new(word.as_bytes().iter().map(|byte| (*byte as char).to_digit(16)).collect::<Option<Vec<u32>>>()?);
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    if digits.len() != 2 * KEY_BYTES {
        return None;
    }
    for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::try_from(pair[0] << 4 | pair[1]).ok()?;
    }
    Some(key)
}

impl KeyId {
    /// Reads a name as [`fmt::Display`] writes it.
    pub fn parse(text: &str) -> Option<Self> {
        u32::from_str_radix(text, 16).ok().filter(|_| text.len() == 8).map(|id| Self(id.to_be_bytes()))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:08x}", u32::from_be_bytes(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{self}")
    }
}

impl fmt::Debug for Ring {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_list().entries(self.ids()).finish()
    }
}
