//! SCEP (RFC 8894), the messages of both sides: how a device gets its identity certificate.
//!
//! A server calls [`Request::open`] and then [`reply_success`] or [`reply_failure`]; a client (simulators, tests) makes
//! a [`client::Request`] and reads the reply. Never here: HTTP, whether a challenge is right, whether a renewal is
//! allowed, what the issued certificate says. Only PKCSReq and RenewalReq exist; every other message type is refused.
//!
//! The envelope is RSA PKCS#1 v1.5, so a server that told failures apart would be a decryption oracle: every failure
//! gets the same answer ([`FailInfo::BadRequest`]), and a key that does not decrypt is replaced by a random one.

mod attributes;
mod certificates;
pub mod client;
mod csr;
mod reply;
mod request;

use super::base64_text::{Space, TextError, decode};
pub use super::envelope::{Cipher, SealError};

pub use attributes::{FailInfo, TransactionId};
pub use certificates::{CaCertificates, ca_certificates};
pub use csr::{Challenge, CsrError, proven_rsa_key};
pub use reply::{reply_failure, reply_success};
pub use request::{OpenError, Policy, Refusal, ReplyContext, Request, RequestKind};

/// Content type of a GetCACaps reply.
pub const CONTENT_TYPE_CAPABILITIES: &str = "text/plain";
/// Content type of a GetCACert reply with one DER certificate.
pub const CONTENT_TYPE_CA_CERTIFICATE: &str = "application/x-x509-ca-cert";
/// Content type of a GetCACert reply with several certificates.
pub const CONTENT_TYPE_CA_RA_CERTIFICATES: &str = "application/x-x509-ca-ra-cert";
/// Content type of PKIOperation requests and replies.
pub const CONTENT_TYPE_PKI_MESSAGE: &str = "application/x-pki-message";

/// The largest message that is read, in bytes of DER or BER.
pub const MAX_MESSAGE_BYTES: usize = 64 * 1024;

/// The GetCACaps text (RFC 8894 section 3.5.2).
///
/// `SHA-384` is no keyword of the RFC. strongSwan 5.9.8 reads the keywords through mixed up bits and sends nothing with
/// its default AES unless it is there; it is true, and others ignore keywords that they do not know.
pub fn capabilities(policy: &Policy) -> String {
    let mut keywords =
        vec!["AES", "DES3", "SHA-256", "SHA-384", "SHA-512", "POSTPKIOperation", "Renewal", "SCEPStandard"];
    if policy.allow_legacy {
        keywords.push("SHA-1");
    }
    keywords.join("\n") + "\n"
}

/// Decodes the `message` parameter of a GET PKIOperation, percent decoding already done.
///
/// Standard or URL-safe base64, padding optional, line breaks ignored; a space is a `+` that a form decoder replaced.
pub fn message_parameter(text: &[u8]) -> Result<Vec<u8>, TextError> {
    // Four letters for three bytes, and room for line breaks.
    decode(text, MAX_MESSAGE_BYTES / 2 * 3, Space::Plus)
}

#[cfg(test)]
mod tests;
