//! CMS signatures: the `Mdm-Signature` header, signed profiles, and the outside of SCEP messages.
//!
//! Two ways in, and both must agree. [`KnownSigner::check`] is for every request of an enrolled device (about 25 µs):
//! it says "accepted" or "ask the slow path", never "refused". [`verify`] takes any form that OpenSSL reads (60 to
//! 400 µs) and has the last word. Neither checks a chain, a validity period or a revocation: the caller knows issued
//! certificates by fingerprint and asks those questions of its own records.
//!
//! A signature has no nonce, so replay is for the caller to detect; and a signature is not an identity: the caller
//! must also find that the certificate belongs to the enrollment that the body names. The body that is checked must
//! be the bytes that are parsed.

mod known_signer;
mod message;
mod sign;
mod verify;

use super::base64_text::{Space, TextError, decode};

pub use known_signer::{Fast, KnownSigner, SlowReason};
pub use message::SignedMessage;
pub use sign::{sign_attached, sign_detached};
pub use verify::{MAX_INDEFINITE_BYTES, MAX_MESSAGE_BYTES, SignatureError, Verified, verify, verify_upload};

pub(super) use message::attribute;
pub(super) use sign::{Signing, issuer_and_serial, signed_data};
pub(super) use verify::verify_allowing;

/// The longest `Mdm-Signature` value that is read, in bytes of text.
pub const MAX_HEADER_BYTES: usize = 16 * 1024;

/// Decodes an `Mdm-Signature` value to the DER of the signature.
///
/// At most [`MAX_HEADER_BYTES`]; standard or URL-safe alphabet, padding optional, whitespace ignored.
pub fn header(text: &[u8]) -> Result<Vec<u8>, TextError> {
    decode(text, MAX_HEADER_BYTES, Space::Ignored)
}

#[cfg(test)]
mod tests;
