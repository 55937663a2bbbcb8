//! Who says it: certificates, CMS signatures, the device authority and SCEP.
//!
//! Bytes and keys in, bytes out. Never here: sockets, files, a clock, a list of issued certificates, a decision whom to
//! trust. Every input is bounded and parsed once; nothing panics on hostile bytes; private keys and challenges never
//! show in Debug output or error texts. OpenSSL does all cryptography; structure is read by our own strict walk.
//!
//! Start with [`signature`] (is this request from this device), then [`authority`] (what a device is given to sign
//! with), then [`scep`] (how it gets it).

mod algorithm;
pub mod authority;
pub(crate) mod base64_text;
mod certificate;
mod encode;
pub(crate) mod envelope;
#[cfg(test)]
pub(crate) mod fixtures;
mod issue;
mod public_key;
pub mod scep;
pub mod signature;
mod signer;
mod walk;

pub use algorithm::Digest;
pub use base64_text::TextError;
pub(crate) use certificate::hex;
pub use certificate::{Certificate, CertificateError, Fingerprint, FingerprintError, MAX_CERTIFICATE_BYTES};
pub use issue::{BACKDATED, IssueError, ServerName, self_signed};
pub use public_key::{Curve, KeyError, KeyKind, PublicKey};
pub use signer::{NewKey, Signer, SignerError};
