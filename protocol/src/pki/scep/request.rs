//! Opening a PKIOperation request: signature, attributes, envelope, certification request, in this order.
//!
//! Start with [`Request::open`].

use super::MAX_MESSAGE_BYTES;
use super::attributes::{Attributes, Nonce, PKCS_REQ, RENEWAL_REQ, TransactionId};
use super::csr::{Challenge, Csr, CsrError};
use crate::pki::algorithm::Digest;
use crate::pki::certificate::Certificate;
use crate::pki::envelope::{Cipher, EnvelopeError, open};
use crate::pki::public_key::{KeyKind, PublicKey};
use crate::pki::signature::{SignatureError, Verified, verify_allowing};
use crate::pki::signer::Signer;

/// What the server puts up with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Also messages with SHA-1 or MD5, and envelopes with single DES. AES, triple DES and SHA-2 are always accepted.
    pub allow_legacy: bool,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind {
    /// PKCSReq (19) signed by the key that asks: a first certificate, authorized by its challenge.
    Enroll,
    /// RenewalReq (17), or PKCSReq signed by another key than the one that asks, as drafts before the RFC and certmonger
    /// renew: authorized by [`Request::signer`] alone, which the caller must know as a current certificate of its own.
    Renew,
}

/// A request whose signature, envelope and proof of possession are in order. Whether to grant it is not decided.
#[derive(Clone, Debug)]
pub struct Request {
    /// What is asked for.
    pub kind: RequestKind,
    /// The certificate that signed the message; the reply is encrypted to it. Self-made by the client when enrolling.
    pub signer: Certificate,
    /// The key to be certified: RSA from 2048 bits, P-256 or P-384.
    pub public_key: PublicKey,
    /// The same key as DER SubjectPublicKeyInfo, for [`crate::pki::authority::Authority::issue_identity`].
    pub spki: Vec<u8>,
    /// The common name that the client asked for: for logs and for matching a renewal, never for the certificate.
    pub common_name: Option<String>,
    /// The challenge password; renewals usually have none.
    pub challenge: Option<Challenge>,
    /// SHA-256 of the certification request: with the transaction id it tells a repeated request.
    pub request_digest: [u8; 32],
    /// What a reply must repeat.
    pub context: ReplyContext,
    pub(super) cipher: Cipher,
}

/// What the reply to a request must repeat, whether it is granted or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyContext {
    /// The client's name for this attempt.
    pub transaction_id: TransactionId,
    pub(super) sender_nonce: Nonce,
    pub(super) digest: Digest,
}

/// A request that is refused before anyone was asked.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{refusal}")]
pub struct OpenError {
    /// With a context the answer is a CertRep with [`super::FailInfo::BadRequest`] ([`super::reply_failure`]), whatever
    /// the refusal; without one it is an HTTP 400.
    pub context: Option<ReplyContext>,
    /// Why, for the log only.
    pub refusal: Refusal,
}

/// Why a request is refused: for the log, never for the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Longer than [`MAX_MESSAGE_BYTES`].
    #[error("the SCEP message is larger than {MAX_MESSAGE_BYTES} bytes")]
    TooLarge,
    /// The outer signature.
    #[error("the SCEP message: {0}")]
    Signature(#[from] SignatureError),
    /// Transaction id, nonce or message type missing, twice or too long.
    #[error("the SCEP message lacks a transaction id, sender nonce or message type")]
    Attributes,
    /// A digest that the policy does not allow.
    #[error("the SCEP message is signed with a digest that is not accepted")]
    Digest,
    /// A message type other than PKCSReq and RenewalReq.
    #[error("the SCEP message type {0:?} is not supported")]
    MessageType(String),
    /// The signer's key is not RSA of at least 2048 bits, so no reply can be encrypted to it.
    #[error("the SCEP message is not signed by an RSA key of at least 2048 bits")]
    SignerKey,
    /// The envelope.
    #[error("{0}")]
    Envelope(String),
    /// The certification request.
    #[error("{0}")]
    Csr(String),
}

impl Request {
    /// Opens the DER or BER of a PKIOperation request that is encrypted to `recipient`.
    pub fn open(message: &[u8], recipient: &Signer, policy: &Policy) -> Result<Self, OpenError> {
        let unanswerable = |refusal| OpenError { context: None, refusal };
        if message.len() > MAX_MESSAGE_BYTES {
            return Err(unanswerable(Refusal::TooLarge));
        }
        // With any digest at first: whoever uses one that is not allowed gets a refusal it understands.
        let verified = verify_allowing(Digest::Md5, message, None).map_err(|error| unanswerable(error.into()))?;
        let signed_attributes = verified.attributes.clone().unwrap_or_default();
        let attributes = Attributes::new(&signed_attributes);
        let digest = verified.digest.max(policy.weakest_digest());
        let context = ReplyContext::read(&attributes, digest).ok_or_else(|| unanswerable(Refusal::Attributes))?;
        let answerable = |refusal| OpenError { context: Some(context.clone()), refusal };

        if verified.digest < policy.weakest_digest() {
            return Err(answerable(Refusal::Digest));
        }
        let kind = RequestKind::read(&attributes).map_err(answerable)?;
        if !matches!(verified.signer.key_kind(), KeyKind::Rsa { bits: 2048.. }) {
            return Err(answerable(Refusal::SignerKey));
        }
        let (csr, cipher) = open_csr(&verified, recipient, policy).map_err(answerable)?;
        let own_key = verified.signer.public_key().is_ok_and(|key| key == csr.public_key);
        let kind = if own_key { kind } else { RequestKind::Renew };
        let Csr { public_key, spki, common_name, challenge, digest: request_digest } = csr;
        let signer = verified.signer;
        Ok(Self { kind, signer, public_key, spki, common_name, challenge, request_digest, context, cipher })
    }
}

fn open_csr(verified: &Verified, recipient: &Signer, policy: &Policy) -> Result<(Csr, Cipher), Refusal> {
    let envelope = verified.content.as_deref().unwrap_or_default();
    let (content, cipher) = open(envelope, recipient, |cipher| policy.allows(cipher))?;
    // A request proves possession to us here and now, which a collision does not help to forge: SHA-1 is enough.
    Ok((Csr::read(&content, policy.weakest_digest().min(Digest::Sha1))?, cipher))
}

impl From<EnvelopeError> for Refusal {
    fn from(error: EnvelopeError) -> Self {
        Self::Envelope(error.to_string())
    }
}

impl From<CsrError> for Refusal {
    fn from(error: CsrError) -> Self {
        Self::Csr(error.to_string())
    }
}

impl Policy {
    const fn weakest_digest(self) -> Digest {
        if self.allow_legacy { Digest::Md5 } else { Digest::Sha256 }
    }

    fn allows(self, cipher: Cipher) -> bool {
        cipher != Cipher::Des || self.allow_legacy
    }
}

impl RequestKind {
    fn read(attributes: &Attributes<'_>) -> Result<Self, Refusal> {
        match attributes.message_type() {
            Some(PKCS_REQ) => Ok(Self::Enroll),
            Some(RENEWAL_REQ) => Ok(Self::Renew),
            Some(other) => Err(Refusal::MessageType(other.to_owned())),
            None => Err(Refusal::Attributes),
        }
    }
}

impl ReplyContext {
    fn read(attributes: &Attributes<'_>, digest: Digest) -> Option<Self> {
        let transaction_id = attributes.transaction_id()?;
        let sender_nonce = attributes.sender_nonce()?;
        Some(Self { transaction_id, sender_nonce, digest })
    }
}
