//! The client's side of SCEP: making requests and reading replies, for simulated devices and tests.
//!
//! Start with [`certification_request`], then [`Request::new`], then [`Request::read_reply`].

use openssl::pkey::{PKeyRef, Private};

use super::attributes::{
    self, Attributes, CERT_REP, FailInfo, Nonce, PKCS_REQ, RENEWAL_REQ, STATUS_FAILURE, STATUS_PENDING, STATUS_SUCCESS,
    TransactionId,
};
use super::request::RequestKind;
use super::{certificates, csr};
use crate::pki::algorithm::Digest;
use crate::pki::certificate::Certificate;
use crate::pki::envelope::{Cipher, SealError, open, seal};
use crate::pki::issue::IssueError;
use crate::pki::signature::{SignatureError, Signing, signed_data, verify_allowing};
use crate::pki::signer::Signer;

/// How a request is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protection {
    /// The cipher of the envelope.
    pub cipher: Cipher,
    /// The digest of the signature.
    pub digest: Digest,
}

/// A request on its way, and what its reply is measured against.
#[derive(Clone, Debug)]
pub struct Request {
    message: Vec<u8>,
    transaction_id: TransactionId,
    nonce: Nonce,
}

/// What the server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The issued certificate first, then what else came with it.
    Issued(Vec<Certificate>),
    /// Refused; none when the server gave no reason that exists.
    Refused(Option<FailInfo>),
    /// A human decides; ask again later.
    Pending,
}

/// Why a reply is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// The signature.
    #[error("the SCEP reply: {0}")]
    Signature(#[from] SignatureError),
    /// Signed by someone else than the server.
    #[error("the SCEP reply is not signed by the server")]
    OtherSigner,
    /// Message type, status, transaction id or nonce missing or of another request.
    #[error("the SCEP reply does not answer this request")]
    OtherRequest,
    /// The envelope does not open, or holds no certificates.
    #[error("the SCEP reply holds no certificates for this client")]
    NoCertificates,
}

/// Makes the DER of a certification request (PKCS#10) for `key`, signed with SHA-256.
pub fn certification_request(
    key: &PKeyRef<Private>,
    common_name: &str,
    challenge: Option<&str>,
) -> Result<Vec<u8>, IssueError> {
    csr::build(key, common_name, challenge)
}

/// Reads a GetCACert reply of either form: one certificate, or several in the order sent.
pub fn read_ca_certificates(body: &[u8]) -> Option<Vec<Certificate>> {
    Certificate::parse(body).map(|one| vec![one]).ok().or_else(|| certificates::read(body))
}

impl Request {
    /// Makes a PKIOperation message: `certification_request` encrypted to `recipient`, signed by `signer`.
    ///
    /// `signer` is self-signed with the key of the request ([`crate::pki::self_signed`]), or the current identity.
    pub fn new(
        kind: RequestKind,
        certification_request: &[u8],
        signer: &Signer,
        recipient: &Certificate,
        protection: Protection,
    ) -> Result<Self, SealError> {
        let message_type = match kind {
            RequestKind::Enroll => PKCS_REQ,
            RequestKind::Renew => RENEWAL_REQ,
        };
        // RFC 8894 section 3.2.1.1 suggests the digest of the key; two attempts with one key are then one transaction.
        let transaction_id = TransactionId::of_key(signer.certificate().spki());
        let nonce = Nonce::random()?;
        let envelope = seal(certification_request, recipient, protection.cipher)?;
        let signing = Signing {
            content: &envelope,
            detached: false,
            attributes: Some(vec![
                attributes::message_type(message_type),
                attributes::transaction_id(&transaction_id),
                attributes::sender_nonce(&nonce),
            ]),
            chain: &[],
            digest: protection.digest,
        };
        Ok(Self { message: signed_data(signing, signer)?, transaction_id, nonce })
    }

    /// The DER to send.
    pub fn message(&self) -> &[u8] {
        &self.message
    }

    /// The name of this attempt.
    pub const fn transaction_id(&self) -> &TransactionId {
        &self.transaction_id
    }

    /// Reads the reply: signed by `server`, to this request, encrypted to `signer`.
    pub fn read_reply(&self, reply: &[u8], signer: &Signer, server: &Certificate) -> Result<Reply, ReplyError> {
        // Some servers leave the content of a refusal out; its attributes are signed all the same.
        let verified = match verify_allowing(Digest::Sha1, reply, None) {
            Err(SignatureError::NoContent) => verify_allowing(Digest::Sha1, reply, Some(&[])),
            other => other,
        }?;
        if verified.signer.fingerprint() != server.fingerprint() {
            return Err(ReplyError::OtherSigner);
        }
        let signed_attributes = verified.attributes.as_deref().unwrap_or_default();
        let attributes = Attributes::new(signed_attributes);
        let answers = attributes.message_type() == Some(CERT_REP)
            && attributes.transaction_id().as_ref() == Some(&self.transaction_id)
            && attributes.recipient_nonce().as_ref() == Some(&self.nonce)
            && attributes.sender_nonce().is_some();
        match attributes.status() {
            Some(STATUS_SUCCESS) if answers => {
                let envelope = verified.content.as_deref().unwrap_or_default();
                issued(envelope, signer).map(Reply::Issued).ok_or(ReplyError::NoCertificates)
            }
            Some(STATUS_FAILURE) if answers => Ok(Reply::Refused(attributes.fail_info())),
            Some(STATUS_PENDING) if answers => Ok(Reply::Pending),
            _ => Err(ReplyError::OtherRequest),
        }
    }
}

fn issued(envelope: &[u8], signer: &Signer) -> Option<Vec<Certificate>> {
    let (content, _) = open(envelope, signer, |_| true).ok()?;
    certificates::read(&content).filter(|certificates| !certificates.is_empty())
}
