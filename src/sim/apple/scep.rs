//! SCEP from the device's side (RFC 8894), as strict as a device: capabilities, certificates of the authority, the
//! request, and a reply that must answer it.
//!
//! Never here: where the key comes from and what the certificate is used for. Start with [`obtain`].

use std::time::Duration;

use bytes::Bytes;
use hyper::Method;
use hyper::header::{CONTENT_TYPE, USER_AGENT};
use openssl::hash::{MessageDigest, hash};
use openssl::pkey::{PKey, Private};
use protocol::apple::enrollment_profile::ScepPayload;
use protocol::pki::scep::client::{self, Protection, ReplyError};
use protocol::pki::scep::{
    CONTENT_TYPE_CA_CERTIFICATE, CONTENT_TYPE_CA_RA_CERTIFICATES, CONTENT_TYPE_PKI_MESSAGE, Cipher, FailInfo,
    RequestKind,
};
use protocol::pki::{Certificate, Digest, Signer, self_signed};
use protocol::time::Timestamp;

use crate::sim::wire::{Reply, Request, Wire, WireError};

/// How long the certificate is valid that signs the first request.
const TEMPORARY: Duration = Duration::from_secs(86_400);

/// What a device asks for.
#[derive(Debug)]
pub struct Wanted<'a> {
    /// The payload of the profile.
    pub payload: &'a ScepPayload,
    /// The new key.
    pub key: PKey<Private>,
    /// The common name, without variables.
    pub common_name: &'a str,
    /// The present identity, which then signs the request (RenewalReq) instead of a challenge in it.
    pub renews: Option<&'a Signer>,
    /// The present moment.
    pub now: Timestamp,
}

/// What a device gets.
#[derive(Clone, Debug)]
pub struct Obtained {
    /// The new identity.
    pub identity: Signer,
    /// The certificates of the authority.
    pub authorities: Vec<Certificate>,
}

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum ScepError {
    /// There is no reply. May be tried again.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The server asks to come back later, or has failed. May be tried again.
    #[error("SCEP {operation} was answered with {status}")]
    Status {
        /// The operation.
        operation: &'static str,
        /// The status code.
        status: u16,
        /// The wait that the server asks for.
        after: Option<Duration>,
    },
    /// The server refused. The device needs another profile.
    #[error("the SCEP server refused the request ({0:?})")]
    Refused(Option<FailInfo>),
    /// The request was pending for too long.
    #[error("the SCEP request is still pending after {0} retries")]
    Pending(u8),
    /// The reply to the request is not believed.
    #[error(transparent)]
    Reply(#[from] ReplyError),
    /// A rule of the protocol is broken.
    #[error("{0}")]
    Rule(&'static str),
    /// The request cannot be made here.
    #[error("the SCEP request cannot be made: {0}")]
    Local(String),
}

/// Asks for a certificate, and checks everything that comes with it.
///
/// # Errors
/// See [`ScepError`].
pub async fn obtain(wire: &mut Wire, wanted: &Wanted<'_>) -> Result<Obtained, ScepError> {
    let posts = capabilities(wire, wanted.payload).await?;
    let authorities = certificates(wire, wanted.payload).await?;
    let server = recipient(&authorities)?;
    let (signer, request) = message(wanted, server)?;
    for attempt in 0..=wanted.payload.retries {
        if attempt > 0 {
            tokio::time::sleep(Duration::from_secs(wanted.payload.retry_delay_seconds.into())).await;
        }
        let reply = pki_operation(wire, wanted.payload, request.message(), posts).await?;
        match request.read_reply(&reply, &signer, server)? {
            client::Reply::Issued(issued) => return accept(wanted, issued, authorities),
            client::Reply::Refused(reason) => return Err(ScepError::Refused(reason)),
            client::Reply::Pending => {}
        }
    }
    Err(ScepError::Pending(wanted.payload.retries))
}

/// Asks what the server can do; true when it takes POST.
async fn capabilities(wire: &mut Wire, payload: &ScepPayload) -> Result<bool, ScepError> {
    let reply = get(wire, payload, "GetCACaps", "").await?;
    if reply.media_type() != Some("text/plain") {
        return Err(ScepError::Rule("GetCACaps is not text/plain"));
    }
    let text = String::from_utf8_lossy(&reply.body).to_ascii_lowercase();
    let has = |keyword: &str| text.lines().any(|line| line.trim() == keyword);
    // SCEPStandard stands for AES, SHA-256 and POST together (RFC 8894 section 3.5.2).
    let able = has("scepstandard") || (has("aes") && has("sha-256"));
    if !able {
        return Err(ScepError::Rule("the SCEP server has neither AES nor SHA-256"));
    }
    Ok(has("scepstandard") || has("postpkioperation"))
}

async fn certificates(wire: &mut Wire, payload: &ScepPayload) -> Result<Vec<Certificate>, ScepError> {
    let reply = get(wire, payload, "GetCACert", payload.name.as_deref().unwrap_or_default()).await?;
    let expected = match reply.media_type() {
        Some(CONTENT_TYPE_CA_CERTIFICATE) => 1..=1,
        Some(CONTENT_TYPE_CA_RA_CERTIFICATES) => 2..=10,
        _ => return Err(ScepError::Rule("GetCACert has an unknown content type")),
    };
    let certificates = client::read_ca_certificates(&reply.body).unwrap_or_default();
    if !expected.contains(&certificates.len()) {
        return Err(ScepError::Rule("GetCACert does not hold the certificates that its content type announces"));
    }
    match &payload.ca_fingerprint {
        Some(fingerprint) if !certificates.iter().any(|certificate| has_fingerprint(certificate, fingerprint)) => {
            Err(ScepError::Rule("no certificate of the authority has the CAFingerprint of the profile"))
        }
        _ => Ok(certificates),
    }
}

/// Whether this is the hash of the certificate; the length tells which hash.
fn has_fingerprint(certificate: &Certificate, fingerprint: &[u8]) -> bool {
    let digest = match fingerprint.len() {
        16 => MessageDigest::md5(),
        20 => MessageDigest::sha1(),
        32 => MessageDigest::sha256(),
        64 => MessageDigest::sha512(),
        _ => return false,
    };
    hash(digest, certificate.der()).is_ok_and(|hash| *hash == *fingerprint)
}

/// Who opens requests and signs replies: the registration authority, or the authority when there is none.
fn recipient(certificates: &[Certificate]) -> Result<&Certificate, ScepError> {
    let authority = certificates.iter().find(|certificate| certificate.is_authority());
    let authority = authority.ok_or(ScepError::Rule("GetCACert holds no certificate authority"))?;
    match certificates.iter().find(|certificate| !certificate.is_authority()) {
        Some(registration) if registration.is_issued_by(authority) => Ok(registration),
        Some(_) => Err(ScepError::Rule("the registration authority is not one of the authority")),
        None => Ok(authority),
    }
}

/// The request, and who signs it.
fn message(wanted: &Wanted<'_>, recipient: &Certificate) -> Result<(Signer, client::Request), ScepError> {
    let local = |error: &dyn std::fmt::Display| ScepError::Local(error.to_string());
    let (kind, signer, challenge) = match wanted.renews {
        Some(identity) => (RequestKind::Renew, identity.clone(), None),
        None => {
            let own = self_signed(wanted.key.clone(), wanted.common_name, wanted.now, TEMPORARY);
            let challenge = wanted.payload.challenge.as_ref().map(|challenge| challenge.expose().as_str());
            (RequestKind::Enroll, own.map_err(|error| local(&error))?, challenge)
        }
    };
    let csr = client::certification_request(&wanted.key, wanted.common_name, challenge);
    let protection = Protection { cipher: Cipher::Aes128, digest: Digest::Sha256 };
    let csr = csr.map_err(|error| local(&error))?;
    let request = client::Request::new(kind, &csr, &signer, recipient, protection).map_err(|error| local(&error))?;
    Ok((signer, request))
}

/// Checks the certificate as a device does before it keeps it.
fn accept(wanted: &Wanted<'_>, issued: Vec<Certificate>, authorities: Vec<Certificate>) -> Result<Obtained, ScepError> {
    let certificate = issued.into_iter().next().ok_or(ScepError::Rule("the SCEP reply holds no certificate"))?;
    let rules = [
        (!certificate.is_authority(), "the issued certificate is one of an authority"),
        (certificate.is_valid_at(wanted.now), "the issued certificate is not valid now"),
        (
            authorities.iter().any(|authority| authority.is_authority() && certificate.is_issued_by(authority)),
            "the certificate is not issued by the authority",
        ),
    ];
    if let Some((_, rule)) = rules.into_iter().find(|(kept, _)| !kept) {
        return Err(ScepError::Rule(rule));
    }
    let identity = Signer::new(certificate, wanted.key.clone());
    let identity = identity.map_err(|_| ScepError::Rule("the certificate is not one for the requested key"))?;
    Ok(Obtained { identity, authorities })
}

async fn pki_operation(
    wire: &mut Wire,
    payload: &ScepPayload,
    message: &[u8],
    posts: bool,
) -> Result<Bytes, ScepError> {
    let reply = if posts {
        let url = operation_url(&payload.url, "PKIOperation", "");
        let request = Request::new(Method::POST, &url, message.to_vec());
        let request = request.with_header(CONTENT_TYPE, CONTENT_TYPE_PKI_MESSAGE);
        checked(wire.send(&request.with_header(USER_AGENT, super::device::AGENT_BEFORE)).await?, "PKIOperation")?
    } else {
        get(wire, payload, "PKIOperation", &openssl::base64::encode_block(message)).await?
    };
    match reply.media_type() {
        Some(CONTENT_TYPE_PKI_MESSAGE) => Ok(reply.body),
        _ => Err(ScepError::Rule("the SCEP reply has another content type")),
    }
}

async fn get(
    wire: &mut Wire,
    payload: &ScepPayload,
    operation: &'static str,
    message: &str,
) -> Result<Reply, ScepError> {
    let request = Request::new(Method::GET, &operation_url(&payload.url, operation, message), Bytes::new());
    checked(wire.send(&request.with_header(USER_AGENT, super::device::AGENT_BEFORE)).await?, operation)
}

fn checked(reply: Reply, operation: &'static str) -> Result<Reply, ScepError> {
    match reply.status {
        200 => Ok(reply),
        status => Err(ScepError::Status { operation, status, after: reply.retry_after() }),
    }
}

/// The URL of an operation; a query that the profile's URL has already is kept.
fn operation_url(url: &str, operation: &str, message: &str) -> String {
    let separator = if url.contains('?') { '&' } else { '?' };
    let message: String = message.bytes().map(percent_encoded).collect();
    let parameter = if message.is_empty() { String::new() } else { format!("&message={message}") };
    format!("{url}{separator}operation={operation}{parameter}")
}

fn percent_encoded(byte: u8) -> String {
    let plain = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    if plain { char::from(byte).to_string() } else { format!("%{byte:02X}") }
}
