//! The full verification of a CMS signature by OpenSSL, for every form that is not the usual one.
//!
//! The certificate it returns is the one that verified: OpenSSL is given exactly that certificate and told to look at
//! no other. It checks no chain. Start with [`verify`].

use std::borrow::Cow;

use openssl::cms::{CMSOptions, CmsContentInfo};
use openssl::error::ErrorStack;
use openssl::stack::Stack;

use super::message::SignedMessage;
use crate::pki::algorithm::{Digest, signature_fits};
use crate::pki::certificate::Certificate;
use crate::pki::public_key::KeyKind;

/// The largest message that is verified, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 4 * 1024 * 1024;

/// The largest message with indefinite lengths, in bytes: OpenSSL must read it before its certificates can be counted.
pub const MAX_INDEFINITE_BYTES: usize = 64 * 1024;

/// Identifier octet of a SET: what signed attributes start with when they are signed.
pub(super) const SET_TAG: u8 = crate::pki::walk::tag::SET;

/// A message whose signature verified.
#[derive(Clone, Debug)]
pub struct Verified {
    /// The certificate under whose key the signature verified. Whether to trust it is the caller's question.
    pub signer: Certificate,
    /// The other certificates that the message carried, at most nine: what a chain may be made of, once it is checked.
    pub others: Vec<Certificate>,
    /// The content that the message carried; none for a detached signature.
    pub content: Option<Vec<u8>>,
    pub(in crate::pki) digest: Digest,
    pub(in crate::pki) attributes: Option<Vec<u8>>,
}

/// Why a message counts as not signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Longer than [`MAX_MESSAGE_BYTES`], or than [`MAX_INDEFINITE_BYTES`] without being DER.
    #[error("the signed message is too large")]
    TooLarge,
    /// Not CMS SignedData over id-data with exactly one signer whose certificate is included.
    #[error("not a signed message of one signer with its certificate")]
    Malformed,
    /// A digest, signature algorithm or key that is not accepted.
    #[error("the signature algorithm is not supported")]
    Unsupported,
    /// The message carries no content and none was given.
    #[error("there is no content to verify")]
    NoContent,
    /// The content that the message carries is not the body that it came with.
    #[error("the signed content is not the body")]
    OtherContent,
    /// The signature does not verify.
    #[error("the signature does not verify")]
    Refused,
}

/// Verifies a CMS SignedData: detached over `detached_body`, or with content (which must then equal `detached_body`
/// when one is given).
///
/// DER or BER; SHA-1 and SHA-2; RSA PKCS#1 and PSS, ECDSA on P-256 and P-384; with and without signed attributes;
/// signer named by issuer and serial number or by key identifier.
pub fn verify(cms_der: &[u8], detached_body: Option<&[u8]>) -> Result<Verified, SignatureError> {
    verify_allowing(Digest::Sha1, cms_der, detached_body)
}

/// [`verify`] for a file that an admin uploads, with its content: indefinite lengths may be as long as any other, because the
/// usual tools sign profiles so.
pub fn verify_upload(cms: &[u8]) -> Result<Verified, SignatureError> {
    verify_within(MAX_MESSAGE_BYTES, Digest::Sha1, cms, None)
}

/// [`verify`] with another weakest digest.
pub(in crate::pki) fn verify_allowing(
    weakest: Digest,
    cms: &[u8],
    detached_body: Option<&[u8]>,
) -> Result<Verified, SignatureError> {
    verify_within(MAX_INDEFINITE_BYTES, weakest, cms, detached_body)
}

fn verify_within(
    max_indefinite: usize,
    weakest: Digest,
    cms: &[u8],
    detached_body: Option<&[u8]>,
) -> Result<Verified, SignatureError> {
    let der = definite(cms, max_indefinite)?;
    let message = SignedMessage::walk(&der).ok_or(SignatureError::Malformed)?;
    let signer = Certificate::parse(message.certificate).map_err(|_| SignatureError::Malformed)?;
    let digest = check_algorithms(&message, &signer, weakest)?;
    check_content(&message, detached_body)?;
    let detached = if message.content.is_some() { None } else { detached_body };
    let content = verify_under(&signer, cms, detached).map_err(|_| SignatureError::Refused)?;
    Ok(Verified {
        signer,
        others: message.others().filter_map(|other| Certificate::parse(other).ok()).collect(),
        content: message.content.is_some().then_some(content),
        digest,
        attributes: message.attributes.map(<[u8]>::to_vec),
    })
}

/// The message in definite lengths. Only what is not DER yet costs an OpenSSL round trip.
fn definite(cms: &[u8], max_indefinite: usize) -> Result<Cow<'_, [u8]>, SignatureError> {
    if cms.len() > MAX_MESSAGE_BYTES {
        return Err(SignatureError::TooLarge);
    }
    if SignedMessage::walk(cms).is_some() {
        return Ok(Cow::Borrowed(cms));
    }
    if cms.len() > max_indefinite {
        return Err(SignatureError::TooLarge);
    }
    let der = CmsContentInfo::from_der(cms).and_then(|parsed| parsed.to_der());
    der.map(Cow::Owned).map_err(|_| SignatureError::Malformed)
}

fn check_algorithms(
    message: &SignedMessage<'_>,
    signer: &Certificate,
    weakest: Digest,
) -> Result<Digest, SignatureError> {
    let rsa = match signer.key_kind() {
        KeyKind::Rsa { .. } => true,
        KeyKind::Ec(_) => false,
        KeyKind::Other => return Err(SignatureError::Unsupported),
    };
    let digest = Digest::from_oid(message.digest.oid).filter(|digest| *digest >= weakest);
    digest
        .filter(|digest| signature_fits(message.signature_algorithm.oid, rsa, *digest))
        .ok_or(SignatureError::Unsupported)
}

/// What OpenSSL does not check: that the attributes are there once and fit the content type, that a body without
/// attributes cannot be a set of attributes, and that attached content is the body.
fn check_content(message: &SignedMessage<'_>, detached_body: Option<&[u8]>) -> Result<(), SignatureError> {
    let content = message.content.or(detached_body).ok_or(SignatureError::NoContent)?;
    if detached_body.is_some_and(|body| body != content) {
        return Err(SignatureError::OtherContent);
    }
    match message.attributes {
        Some(attributes) => SignedMessage::stated_digest(attributes).map(drop).ok_or(SignatureError::Malformed),
        // A set of attributes that was signed once is not a message, though its signature verifies.
        None if content.first() == Some(&SET_TAG) => Err(SignatureError::Refused),
        None => Ok(()),
    }
}

/// The content, when the one signature of `cms` verifies under `signer` and nothing else.
fn verify_under(signer: &Certificate, cms: &[u8], detached: Option<&[u8]>) -> Result<Vec<u8>, ErrorStack> {
    let mut signers = Stack::new()?;
    signers.push(signer.to_openssl()?)?;
    let mut content = Vec::new();
    let flags = CMSOptions::NOINTERN | CMSOptions::NO_SIGNER_CERT_VERIFY | CMSOptions::BINARY;
    CmsContentInfo::from_der(cms)?.verify(Some(&signers), None, detached, Some(&mut content), flags)?;
    Ok(content)
}
