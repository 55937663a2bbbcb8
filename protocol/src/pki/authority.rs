//! The device certificate authority: a CA certificate with its key, and what it issues.
//!
//! It copies nothing from a request but the key: names, dates and extensions are the server's (VU#971035). It keeps no
//! list of what it issued; the caller stores the fingerprint. Start with [`Authority::issue_identity`].

use std::fmt;
use std::time::Duration;

use openssl::error::ErrorStack;
use openssl::pkey::{PKeyRef, Public};
use openssl::x509::{X509, X509Name};

use super::certificate::Certificate;
use super::issue::{BACKDATED, IssueError, Purpose, ServerName, Template, public_half, subject};
use super::public_key::PublicKey;
use super::signer::{NewKey, Signer, SignerError};
use crate::time::Timestamp;

/// A year of 365.25 days.
const YEAR: Duration = Duration::from_secs(31_557_600);

/// A certificate authority: certificate, private key, and OpenSSL's parsed form of the certificate.
#[derive(Clone)]
pub struct Authority {
    signer: Signer,
    issuer: X509,
}

/// Whether the authority's own key also takes part in SCEP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthorityRole {
    /// It issues only; a registration authority ([`Authority::issue_ra`]) decrypts and answers. The safer way: the key
    /// that opens strangers' envelopes is not the one that issues.
    IssuesOnly,
    /// It also decrypts requests and signs replies, for clients that know no registration authorities.
    AnswersScep,
}

/// Why PEM texts do not make an authority.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The certificate and the key do not make a signer.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// The certificate may not issue others.
    #[error("the certificate is not one of a certificate authority")]
    NotAuthority,
    /// OpenSSL cannot read the certificate.
    #[error("the certificate cannot be read")]
    OpenSsl(#[from] ErrorStack),
}

impl Authority {
    /// Makes a self-signed authority with a new RSA-3072 key, valid for `years` from `now` (backdated five minutes):
    /// CA:TRUE, path length 0, SHA-256, random 128 bit serial. Takes about a third of a second.
    pub fn create(common_name: &str, now: Timestamp, years: u8, role: AuthorityRole) -> Result<Self, IssueError> {
        let key = NewKey::Rsa3072.generate()?;
        let template = Template {
            subject: subject(Some(common_name), None)?,
            key: &*public_half(&key)?,
            purpose: Purpose::Authority { answers_scep: role == AuthorityRole::AnswersScep },
            not_before: now.minus(BACKDATED),
            not_after: now.plus(YEAR * u32::from(years)),
        };
        let certificate = template.sign(None, &key)?;
        let issuer = certificate.to_openssl()?;
        Ok(Self { signer: Signer::new(certificate, key)?, issuer })
    }

    /// Reads a PEM certificate with CA:TRUE and its unencrypted PEM private key.
    pub fn from_pem(certificate: &[u8], private_key: &[u8]) -> Result<Self, AuthorityError> {
        let signer = Signer::from_pem(certificate, private_key)?;
        if !signer.certificate().is_authority() {
            return Err(AuthorityError::NotAuthority);
        }
        let issuer = signer.certificate().to_openssl()?;
        Ok(Self { signer, issuer })
    }

    /// The authority's own certificate.
    pub const fn certificate(&self) -> &Certificate {
        self.signer.certificate()
    }

    /// The authority as a signer: to answer SCEP itself, or to store its PEM texts.
    pub const fn signer(&self) -> &Signer {
        &self.signer
    }

    /// Issues a device identity for the key `spki` (DER, from a request): common name and dates as given, clientAuth
    /// only, no alternative names. Valid from five minutes before `now`, and never longer than the authority.
    pub fn issue_identity(
        &self,
        spki: &[u8],
        common_name: &str,
        now: Timestamp,
        validity: Duration,
    ) -> Result<Certificate, IssueError> {
        self.issue_backdated(spki, common_name, now, BACKDATED, validity)
    }

    /// The same, valid from so long before `now`.
    pub fn issue_backdated(
        &self,
        spki: &[u8],
        common_name: &str,
        now: Timestamp,
        backdated: Duration,
        validity: Duration,
    ) -> Result<Certificate, IssueError> {
        let key = PublicKey::from_spki(spki)?;
        key.check_strength()?;
        let lasts = (now.minus(backdated), now.plus(validity));
        self.issue(subject(Some(common_name), None)?, &*key.to_pkey()?, Purpose::Identity, now, lasts)
    }

    /// Makes a registration authority: a new RSA-2048 key and certificate that decrypts requests and signs replies.
    pub fn issue_ra(&self, common_name: &str, now: Timestamp, validity: Duration) -> Result<Signer, IssueError> {
        self.issue_with_key(NewKey::Rsa2048, subject(Some(common_name), None)?, Purpose::Registration, now, validity)
    }

    /// Makes a TLS server certificate with a new P-256 key for `names`, of which there must be at least one.
    pub fn issue_server(&self, names: &[ServerName], now: Timestamp, validity: Duration) -> Result<Signer, IssueError> {
        let first = match names.first().ok_or(IssueError::Name)? {
            ServerName::Dns(name) => name.clone(),
            ServerName::Ip(address) => address.to_string(),
        };
        // A common name holds 64 characters; the alternative names are what clients read.
        let first: String = first.chars().take(64).collect();
        self.issue_with_key(NewKey::P256, subject(Some(&first), None)?, Purpose::Server(names), now, validity)
    }

    /// Makes a push certificate as Apple's looks (the topic in the subject's UID), for simulated push services.
    pub fn issue_push(&self, topic: &str, now: Timestamp, validity: Duration) -> Result<Signer, IssueError> {
        let name: String = format!("APSP:{topic}").chars().take(64).collect();
        self.issue_with_key(NewKey::Rsa2048, subject(Some(&name), Some(topic))?, Purpose::Identity, now, validity)
    }

    fn issue_with_key(
        &self,
        key: NewKey,
        subject: X509Name,
        purpose: Purpose<'_>,
        now: Timestamp,
        validity: Duration,
    ) -> Result<Signer, IssueError> {
        let key = key.generate()?;
        let lasts = (now.minus(BACKDATED), now.plus(validity));
        let certificate = self.issue(subject, &*public_half(&key)?, purpose, now, lasts)?;
        Ok(Signer::new(certificate, key)?)
    }

    fn issue(
        &self,
        subject: X509Name,
        key: &PKeyRef<Public>,
        purpose: Purpose<'_>,
        now: Timestamp,
        (not_before, not_after): (Timestamp, Timestamp),
    ) -> Result<Certificate, IssueError> {
        if !self.certificate().is_valid_at(now) {
            return Err(IssueError::AuthorityNotValid);
        }
        let not_after = not_after.min(self.certificate().not_after());
        let template = Template { subject, key, purpose, not_before, not_after };
        template.sign(Some(&self.issuer), self.signer.key())
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("certificate", self.certificate()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
