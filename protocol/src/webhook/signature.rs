//! What proves to a receiver that an event is ours and new: HMAC-SHA-256 over `timestamp.body`, with every key that is
//! valid, so that a receiver may change from one to the next at its own pace.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sign::Signer;

use crate::apple::secret::Secret;
use crate::time::Timestamp;

/// The header with the timestamp and a signature for each key: `t=1795253400,ab12cd34=<hex>,…`.
pub const HEADER: &str = "rookery-signature";
/// NanoMDM's header: the Base64 of the HMAC of the body alone.
pub const NANO_HEADER: &str = "x-hmac-signature";

/// A key, and what it is called.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    /// Its name, which travels with each signature.
    pub id: String,
    /// The secret that both sides know; its characters are the key.
    pub secret: Secret<String>,
}

/// The value of [`HEADER`] for a body that is sent at a moment.
///
/// # Errors
/// OpenSSL refuses a key.
pub fn header(keys: &[Key], body: &[u8], at: Timestamp) -> Result<String, ErrorStack> {
    let seconds = at.seconds().to_string();
    let mut value = format!("t={seconds}");
    for key in keys {
        let signature = hmac(key, &[seconds.as_bytes(), b".", body])?;
        value += &format!(",{}=", key.id);
        value.extend(signature.iter().map(|byte| format!("{byte:02x}")));
    }
    Ok(value)
}

/// The value of [`NANO_HEADER`] for a body.
///
/// # Errors
/// OpenSSL refuses the key.
pub fn nano_header(key: &Key, body: &[u8]) -> Result<String, ErrorStack> {
    Ok(STANDARD.encode(hmac(key, &[body])?))
}

fn hmac(key: &Key, parts: &[&[u8]]) -> Result<Vec<u8>, ErrorStack> {
    let key = PKey::hmac(key.secret.expose().as_bytes())?;
    let mut signer = Signer::new(MessageDigest::sha256(), &key)?;
    for part in parts {
        signer.update(part)?;
    }
    signer.sign_to_vec()
}

impl fmt::Debug for Key {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "webhook key {}", self.id)
    }
}
