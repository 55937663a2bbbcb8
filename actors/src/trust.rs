//! Who signed: from a signature or a certificate to the host that it belongs to.
//!
//! A certificate speaks for a device only if we issued it; its row says so, found by its SHA-256. The chain is never built:
//! the verdict for those exact bytes is in the row. What was looked up stays in memory with its parsed key, so that the
//! common request costs one signature check and no query. Whether the certificate still is the device's own is for the
//! host's actor to say, at every message.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use entities::{Reader, enrollment, identity};
use protocol::ids::HostId;
use protocol::pki::signature::{Fast, KnownSigner, SignedMessage, verify};
use protocol::pki::{Certificate, Fingerprint};
use protocol::time::Timestamp;

use crate::ask::{Answer, Refusal};
use crate::generations::Generations;

/// Parsed keys that are kept; about 2 KB each.
const KEPT: usize = 16_384;
/// How far a device's clock, or ours, may be off.
const SKEW: Duration = Duration::from_secs(300);

/// A sender whose certificate we issued and whose signature is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vetted {
    /// The certificate.
    pub fingerprint: Fingerprint,
    /// The host that it is bound to; `None` for a certificate that no device has used yet.
    pub host: Option<HostId>,
}

/// The memory of certificates. Clones share it.
#[derive(Clone)]
pub struct Trust {
    reader: Reader,
    ca: Arc<OnceLock<Certificate>>,
    known: Arc<Mutex<Generations<Fingerprint, Arc<Known>, KEPT>>>,
}

/// A certificate that is bound to a host, ready for the next signature.
struct Known {
    signer: Option<KnownSigner>,
    host: HostId,
    not_after: Timestamp,
}

impl Trust {
    /// An empty memory.
    pub fn new(reader: Reader) -> Self {
        Self { reader, ca: Arc::default(), known: Arc::default() }
    }

    /// Names the authority that issues device certificates. Once.
    pub fn set_authority(&self, certificate: Certificate) {
        let _ = self.ca.set(certificate);
    }

    /// Checks that a CMS message signs these bytes (`Mdm-Signature`), and finds out whose it is.
    ///
    /// # Errors
    /// The signature is wrong, or the certificate is not one of ours; or the database is away.
    pub async fn by_signature(&self, cms: &[u8], body: &[u8], now: Timestamp) -> Answer<Vetted> {
        if let Some(message) = SignedMessage::walk(cms)
            && let Some(known) = self.recall(message.fingerprint())
            && let Some(signer) = &known.signer
            && signer.check(&message, body) == Fast::Accepted
        {
            return known.vet(message.fingerprint(), now);
        }
        let verified = verify(cms, Some(body)).map_err(|error| Refusal::Invalid(error.to_string()))?;
        self.look_up(&verified.signer, now).await
    }

    /// Finds out whose a certificate is that proved itself in a TLS handshake.
    ///
    /// # Errors
    /// The certificate is not one of ours; or the database is away.
    pub async fn by_certificate(&self, der: &[u8], now: Timestamp) -> Answer<Vetted> {
        let fingerprint = Fingerprint::of(der);
        if let Some(known) = self.recall(fingerprint) {
            return known.vet(fingerprint, now);
        }
        let certificate = Certificate::parse(der).map_err(|error| Refusal::Invalid(error.to_string()))?;
        self.look_up(&certificate, now).await
    }

    async fn look_up(&self, certificate: &Certificate, now: Timestamp) -> Answer<Vetted> {
        let fingerprint = certificate.fingerprint();
        let Some(row) = identity::by_fingerprint(&self.reader, fingerprint.as_bytes().to_vec()).await? else {
            return Err(self.unknown(certificate));
        };
        let Some(enrollment_id) = row.enrollment_id else {
            has_not_ended(certificate.not_after(), now)?;
            return Ok(Vetted { fingerprint, host: None });
        };
        let enrollment = enrollment::by_id(&self.reader, enrollment_id).await?.ok_or(Refusal::NotEnrolled)?;
        let known = Known {
            signer: KnownSigner::from_certificate(certificate).ok(),
            host: HostId(enrollment.host_id),
            not_after: certificate.not_after(),
        };
        let vetted = known.vet(fingerprint, now);
        self.remember(fingerprint, known);
        vetted
    }

    /// A certificate of our authority that no row knows is our fault, not the device's: rows were lost.
    fn unknown(&self, certificate: &Certificate) -> Refusal {
        if self.ca.get().is_some_and(|ca| certificate.is_issued_by(ca)) {
            tracing::error!(
                certificate.serial = certificate.serial(),
                "our own certificate is in no row: was a backup restored?"
            );
            return Refusal::TryAgain {
                after: Duration::from_secs(300),
                because: "an unknown certificate of ours".into(),
            };
        }
        Refusal::Forbidden("the certificate was not issued by this server")
    }

    fn recall(&self, fingerprint: Fingerprint) -> Option<Arc<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).recall(&fingerprint)
    }

    fn remember(&self, fingerprint: Fingerprint, found: Known) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(fingerprint, Arc::new(found));
    }
}

impl Known {
    fn vet(&self, fingerprint: Fingerprint, now: Timestamp) -> Answer<Vetted> {
        has_not_ended(self.not_after, now)?;
        Ok(Vetted { fingerprint, host: Some(self.host) })
    }
}

/// A certificate of ours that is not valid yet says only that our clock was set back since we issued it.
pub(crate) fn has_not_ended(not_after: Timestamp, now: Timestamp) -> Answer<()> {
    if now.minus(SKEW) > not_after {
        return Err(Refusal::Forbidden("the certificate has ended: enroll again"));
    }
    Ok(())
}

impl std::fmt::Debug for Trust {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Trust")
    }
}
