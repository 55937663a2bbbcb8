//! The check of one request under a key that the server already knows.
//!
//! It may accept, or ask the slow path; it never refuses, because a form it does not know is not an attack. Start with
//! [`KnownSigner::check`].

use std::fmt;

use openssl::error::ErrorStack;
use openssl::pkey::{PKey, Public};
use openssl::pkey_ctx::PkeyCtx;
use openssl::sha::{Sha256, sha256};

use super::message::SignedMessage;
use crate::pki::algorithm::{Digest, RSASSA_PSS, signature_fits};
use crate::pki::certificate::{Certificate, Fingerprint};
use crate::pki::public_key::{KeyError, PublicKey};

/// A signer whose certificate was accepted before: its fingerprint and its key, ready to verify (about 2 KB).
pub struct KnownSigner {
    fingerprint: Fingerprint,
    key: PKey<Public>,
    rsa: bool,
}

/// What the fast check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fast {
    /// The body was signed by this signer.
    Accepted,
    /// Not decided here: [`super::verify()`] decides.
    AskSlowPath(SlowReason),
}

/// Why the fast check did not decide; for counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SlowReason {
    /// The message carries its content.
    AttachedContent,
    /// The signer is named by key identifier, or is another certificate.
    OtherCertificate,
    /// The digest is not SHA-256, or the signature algorithm is not the plain one of this key's type.
    Algorithm,
    /// A mandatory signed attribute is missing or occurs twice.
    Attributes,
    /// The attributes state another digest than the body has.
    BodyDigest,
    /// Without attributes, a body that could itself be a set of attributes.
    AmbiguousBody,
    /// The signature does not verify under this key.
    Signature,
}

/// DigestInfo of SHA-256 up to the digest (RFC 8017 section 9.2, note 1).
const SHA_256_DIGEST_INFO: [u8; 19] =
    [0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20];

impl KnownSigner {
    /// A signer from what a row holds: the fingerprint of its certificate and the key in parts.
    pub fn new(fingerprint: Fingerprint, key: &PublicKey) -> Result<Self, KeyError> {
        Ok(Self { fingerprint, key: key.to_pkey()?, rsa: key.is_rsa() })
    }

    /// A signer from its certificate.
    pub fn from_certificate(certificate: &Certificate) -> Result<Self, KeyError> {
        Self::new(certificate.fingerprint(), &certificate.public_key()?)
    }

    /// The fingerprint of the signer's certificate.
    pub const fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// Checks that this signer signed `body` with a detached signature.
    ///
    /// Checked here: outer type and absent content, one SignerInfo and the certificate it names (by
    /// [`SignedMessage::walk`]), that certificate's fingerprint, both algorithms against a list and the key's type, the
    /// mandatory attributes and the body's digest, the signature. Left to the caller: that `body` is what gets parsed,
    /// that the certificate belongs to the enrollment the body names, and that it is still trusted, valid and not revoked.
    pub fn check(&self, message: &SignedMessage<'_>, body: &[u8]) -> Fast {
        match self.decide(message, body) {
            Ok(()) => Fast::Accepted,
            Err(reason) => Fast::AskSlowPath(reason),
        }
    }

    fn decide(&self, message: &SignedMessage<'_>, body: &[u8]) -> Result<(), SlowReason> {
        if message.content.is_some() {
            return Err(SlowReason::AttachedContent);
        }
        if message.named_by_key_id || message.fingerprint != self.fingerprint {
            return Err(SlowReason::OtherCertificate);
        }
        self.check_algorithms(message)?;
        let mut signed = sha256(body);
        if let Some(attributes) = message.attributes {
            let stated = SignedMessage::stated_digest(attributes).ok_or(SlowReason::Attributes)?;
            if stated != signed {
                return Err(SlowReason::BodyDigest);
            }
            signed = attributes_digest(attributes);
        } else if body.first() == Some(&super::verify::SET_TAG) {
            return Err(SlowReason::AmbiguousBody);
        }
        // OpenSSL answers a malformed signature with an error: both mean "not under this key".
        match self.verifies(&signed, message.signature) {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(SlowReason::Signature),
        }
    }

    fn check_algorithms(&self, message: &SignedMessage<'_>) -> Result<(), SlowReason> {
        let (digest, signature) = (message.digest, message.signature_algorithm);
        let listed = Digest::from_oid(digest.oid) == Some(Digest::Sha256)
            && signature_fits(signature.oid, self.rsa, Digest::Sha256)
            && !signature.is(&RSASSA_PSS);
        let plain = digest.is_plain() && signature.is_plain();
        if listed && plain { Ok(()) } else { Err(SlowReason::Algorithm) }
    }

    /// Verifies a signature over a SHA-256 digest; the DigestInfo is written here because letting OpenSSL look up the
    /// digest costs two microseconds.
    fn verifies(&self, digest: &[u8; 32], signature: &[u8]) -> Result<bool, ErrorStack> {
        let mut context = PkeyCtx::new(&self.key)?;
        context.verify_init()?;
        if !self.rsa {
            return context.verify(digest, signature);
        }
        let mut info = [0; SHA_256_DIGEST_INFO.len() + 32];
        info[..SHA_256_DIGEST_INFO.len()].copy_from_slice(&SHA_256_DIGEST_INFO);
        info[SHA_256_DIGEST_INFO.len()..].copy_from_slice(digest);
        context.verify(&info, signature)
    }
}

/// The digest of the attributes as they are signed: as a SET, not under the tag `[0]` (RFC 5652 section 5.4).
fn attributes_digest(attributes: &[u8]) -> [u8; 32] {
    let mut digest = Sha256::new();
    digest.update(&[super::verify::SET_TAG]);
    digest.update(attributes.get(1..).unwrap_or_default());
    digest.finish()
}

impl fmt::Debug for KnownSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KnownSigner").field("fingerprint", &self.fingerprint).finish_non_exhaustive()
    }
}
