//! PKCS#10 certification requests (RFC 2986): the key, the proof that the sender has it, and the challenge.
//!
//! Everything else that a request asks for is ignored. Start with [`Csr::read`].

use std::fmt;

use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKeyRef, Private};
use openssl::sign::Signer as OpenSslSigner;
use openssl::x509::X509Req;

use super::attributes::single;
use crate::pki::algorithm::{
    ATTRIBUTE_CHALLENGE_PASSWORD, Algorithm, COMMON_NAME, Digest, ECDSA_WITH_SHA_256, RSASSA_PSS, SHA_256_WITH_RSA,
    named_digest,
};
use crate::pki::encode::{algorithm, bare_algorithm, bit_string, sequence, small_integer, tlv};
use crate::pki::issue::{IssueError, subject};
use crate::pki::public_key::{KeyError, PublicKey};
use crate::pki::walk::{Reader, name_attribute, tag};

const MAX_CHALLENGE_BYTES: usize = 1024;

/// The challenge password of a request: a secret, absent from Debug output.
#[derive(Clone, PartialEq, Eq)]
pub struct Challenge(String);

/// A request whose signature verified under its own key.
pub(super) struct Csr {
    pub(super) public_key: PublicKey,
    pub(super) spki: Vec<u8>,
    pub(super) common_name: Option<String>,
    pub(super) challenge: Option<Challenge>,
    pub(super) digest: [u8; 32],
}

/// Why a request is none; never told to a SCEP client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CsrError {
    /// It is none.
    #[error("there is no certification request")]
    Malformed,
    /// Its key is not one for which a certificate is issued.
    #[error("the request's key: {0}")]
    Key(#[from] KeyError),
    /// It is signed in a way that is too weak, or unknown.
    #[error("the request's signature algorithm is not accepted")]
    Algorithm,
    /// Whoever sends it has not shown that they have the key.
    #[error("the request is not signed by its own key")]
    NoProof,
    /// Its challenge is unreadable.
    #[error("the challenge is not one text of at most {MAX_CHALLENGE_BYTES} bytes")]
    Challenge,
}

/// The key (SubjectPublicKeyInfo) of a request that is signed by it with SHA-2: an RSA key, as Windows makes them.
///
/// # Errors
/// See [`CsrError`].
pub fn proven_rsa_key(der: &[u8]) -> Result<Vec<u8>, CsrError> {
    let request = Csr::read(der, Digest::Sha256)?;
    if request.public_key.is_rsa() { Ok(request.spki) } else { Err(KeyError::Unsupported.into()) }
}

impl Challenge {
    /// The text, for hashing or comparing.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether this is `expected`, in a time that depends on the lengths only.
    pub fn matches(&self, expected: &str) -> bool {
        self.0.len() == expected.len() && openssl::memcmp::eq(self.0.as_bytes(), expected.as_bytes())
    }
}

impl fmt::Debug for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Challenge(…)")
    }
}

impl Csr {
    /// Reads one DER request, checks the key's strength and that the request is signed by it, with no digest weaker
    /// than `weakest`.
    pub(super) fn read(der: &[u8], weakest: Digest) -> Result<Self, CsrError> {
        let (info, algorithm) = parts(der).ok_or(CsrError::Malformed)?;
        let (name, spki, attributes) = info_parts(info).ok_or(CsrError::Malformed)?;
        let public_key = PublicKey::from_spki(spki)?;
        public_key.check_strength()?;
        let accepted = named_digest(algorithm.oid).is_some_and(|digest| digest >= weakest);
        if !accepted && !algorithm.is(&RSASSA_PSS) {
            return Err(CsrError::Algorithm);
        }
        let key = public_key.to_pkey()?;
        if !X509Req::from_der(der).and_then(|request| request.verify(&key)).unwrap_or(false) {
            return Err(CsrError::NoProof);
        }
        Ok(Self {
            public_key,
            spki: spki.to_vec(),
            common_name: name_attribute(name, COMMON_NAME.as_bytes()).and_then(|value| value.text()),
            challenge: read_challenge(attributes)?,
            digest: openssl::sha::sha256(der),
        })
    }
}

/// The CertificationRequestInfo and the signature algorithm.
fn parts(der: &[u8]) -> Option<(Reader<'_>, Algorithm<'_>)> {
    let mut request = Reader::only(der, tag::SEQUENCE)?;
    let info = request.enter(tag::SEQUENCE)?;
    let algorithm = Algorithm::read(request.enter(tag::SEQUENCE)?)?;
    request.take(tag::BIT_STRING)?;
    request.end()?;
    Some((info, algorithm))
}

/// Subject, key and attributes.
fn info_parts(mut info: Reader<'_>) -> Option<(&[u8], &[u8], Reader<'_>)> {
    info.take(tag::INTEGER)?;
    let name = info.take(tag::SEQUENCE)?.raw;
    let spki = info.take(tag::SEQUENCE)?.raw;
    // Some encoders leave the mandatory empty set out.
    let attributes = info.optional(tag::CONTEXT_0).map_or(&[][..], |attributes| attributes.body);
    info.end()?;
    Some((name, spki, Reader::new(attributes)))
}

fn read_challenge(mut attributes: Reader<'_>) -> Result<Option<Challenge>, CsrError> {
    let mut found = None;
    while !attributes.is_empty() {
        let mut attribute = attributes.enter(tag::SEQUENCE).ok_or(CsrError::Malformed)?;
        let id = attribute.take(tag::OID).ok_or(CsrError::Malformed)?;
        if id.body != ATTRIBUTE_CHALLENGE_PASSWORD.as_bytes() {
            continue;
        }
        let mut values = attribute.enter(tag::SET).ok_or(CsrError::Challenge)?;
        let value = values.next().filter(|value| value.body.len() <= MAX_CHALLENGE_BYTES);
        let text = value.and_then(|value| value.text()).ok_or(CsrError::Challenge)?;
        if !values.is_empty() || found.replace(Challenge(text)).is_some() {
            return Err(CsrError::Challenge);
        }
    }
    Ok(found)
}

/// Makes a request for `key`, signed with SHA-256.
pub(super) fn build(key: &PKeyRef<Private>, common_name: &str, challenge: Option<&str>) -> Result<Vec<u8>, IssueError> {
    let name = subject(Some(common_name), None)?.to_der()?;
    let spki = key.public_key_to_der()?;
    let rsa = PublicKey::from_spki(&spki)?.is_rsa();
    let challenge = challenge.map(|text| tlv(tag::UTF8_STRING, &[text.as_bytes()]));
    let attributes = challenge.map_or_else(Vec::new, |text| single(&ATTRIBUTE_CHALLENGE_PASSWORD, &text));
    let info = sequence(&[&small_integer(0), &name, &spki, &tlv(tag::CONTEXT_0, &[&attributes])]);
    let signature = signature(key, &info)?;
    let algorithm = if rsa { algorithm(&SHA_256_WITH_RSA) } else { bare_algorithm(&ECDSA_WITH_SHA_256) };
    Ok(sequence(&[&info, &algorithm, &bit_string(&signature)]))
}

fn signature(key: &PKeyRef<Private>, info: &[u8]) -> Result<Vec<u8>, ErrorStack> {
    OpenSslSigner::new(MessageDigest::sha256(), key)?.sign_oneshot_to_vec(info)
}
