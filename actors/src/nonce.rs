//! Texts that nobody can guess.

use openssl::rand::rand_bytes;

use crate::ask::{Answer, Refusal};

/// 192 random bits in lower hex.
///
/// # Errors
/// The system has no randomness.
pub(crate) fn nonce() -> Answer<String> {
    let mut random = [0; 24];
    rand_bytes(&mut random).map_err(Refusal::soon)?;
    Ok(random.iter().fold(String::with_capacity(48), |text, byte| text + &format!("{byte:02x}")))
}
