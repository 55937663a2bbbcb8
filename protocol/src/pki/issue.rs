//! Making certificates: one place that fills in an X.509 certificate and signs it.
//!
//! Every extension is a typed builder of ours or a fixed one of OpenSSL's; no text from outside ever reaches
//! OpenSSL's configuration language. Start with [`Template::sign`].

use std::net::IpAddr;
use std::time::Duration;

use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, PKeyRef, Private, Public};
use openssl::x509::extension::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAlternativeName, SubjectKeyIdentifier,
};
use openssl::x509::{X509, X509Builder, X509Name, X509Ref};

use super::certificate::{Certificate, CertificateError};
use super::public_key::KeyError;
use super::signer::{Signer, SignerError};
use crate::time::Timestamp;

/// Certificates are valid from this long before they are made, because clocks of devices run slow.
pub const BACKDATED: Duration = Duration::from_secs(5 * 60);

/// A name that a TLS server answers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerName {
    /// A DNS name, at most 253 characters of ASCII.
    Dns(String),
    /// An IP address.
    Ip(IpAddr),
}

/// Why no certificate was made.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// The key is unsupported, too weak or no key at all.
    #[error("no certificate for this key: {0}")]
    Key(#[from] KeyError),
    /// A name is empty, too long or has characters that do not belong there.
    #[error("the name cannot stand in a certificate")]
    Name,
    /// The validity of the authority does not contain the present moment.
    #[error("the certificate authority is not valid at this time")]
    AuthorityNotValid,
    /// OpenSSL failed, for example without memory or random numbers.
    #[error("the certificate could not be made")]
    OpenSsl(#[from] ErrorStack),
    /// The result could not be read back: an error in this program.
    #[error("the made certificate cannot be read")]
    Unreadable(#[from] CertificateError),
    /// The result does not fit its key: an error in this program.
    #[error("the made certificate does not fit its key")]
    Mismatch(#[from] SignerError),
}

/// What a certificate is for; decides its extensions.
pub(super) enum Purpose<'a> {
    Authority { answers_scep: bool },
    Identity,
    Registration,
    Server(&'a [ServerName]),
    Bare,
}

pub(super) struct Template<'a> {
    pub(super) subject: X509Name,
    pub(super) key: &'a PKeyRef<Public>,
    pub(super) purpose: Purpose<'a>,
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
}

impl Template<'_> {
    /// Signs with `key`, in the name of `issuer` (without one: of the subject itself).
    pub(super) fn sign(&self, issuer: Option<&X509Ref>, key: &PKeyRef<Private>) -> Result<Certificate, IssueError> {
        let mut builder = X509::builder()?;
        builder.set_version(2)?;
        builder.set_serial_number(&*random_serial()?)?;
        builder.set_subject_name(&self.subject)?;
        builder.set_issuer_name(issuer.map_or(&*self.subject, X509Ref::subject_name))?;
        builder.set_not_before(&*time(self.not_before)?)?;
        builder.set_not_after(&*time(self.not_after)?)?;
        builder.set_pubkey(self.key)?;
        self.extend(&mut builder)?;
        let key_id = SubjectKeyIdentifier::new().build(&builder.x509v3_context(issuer, None))?;
        builder.append_extension(key_id)?;
        if issuer.is_some() {
            let issuer_id = AuthorityKeyIdentifier::new().keyid(true).build(&builder.x509v3_context(issuer, None))?;
            builder.append_extension(issuer_id)?;
        }
        builder.sign(key, MessageDigest::sha256())?;
        Ok(Certificate::parse(&builder.build().to_der()?)?)
    }

    fn extend(&self, builder: &mut X509Builder) -> Result<(), ErrorStack> {
        let mut constraints = BasicConstraints::new();
        let mut usage = KeyUsage::new();
        let rsa = self.key.rsa().is_ok();
        match &self.purpose {
            Purpose::Authority { answers_scep } => {
                constraints.ca().pathlen(0);
                usage.key_cert_sign().crl_sign();
                if *answers_scep {
                    usage.digital_signature().key_encipherment();
                }
            }
            Purpose::Identity | Purpose::Registration | Purpose::Server(_) | Purpose::Bare => {
                usage.digital_signature();
                if rsa {
                    usage.key_encipherment();
                }
            }
        }
        builder.append_extension(constraints.critical().build()?)?;
        builder.append_extension(usage.critical().build()?)?;
        match &self.purpose {
            Purpose::Identity => builder.append_extension(ExtendedKeyUsage::new().client_auth().build()?)?,
            Purpose::Server(names) => {
                builder.append_extension(ExtendedKeyUsage::new().server_auth().build()?)?;
                let alternative = alternative_names(names).build(&builder.x509v3_context(None, None))?;
                builder.append_extension(alternative)?;
            }
            Purpose::Authority { .. } | Purpose::Registration | Purpose::Bare => {}
        }
        Ok(())
    }
}

/// A certificate for `key`, signed by itself: what a SCEP client without an identity signs its first request with.
pub fn self_signed(
    key: PKey<Private>,
    common_name: &str,
    now: Timestamp,
    validity: Duration,
) -> Result<Signer, IssueError> {
    let template = Template {
        subject: subject(Some(common_name), None)?,
        key: &*public_half(&key)?,
        purpose: Purpose::Bare,
        not_before: now.minus(BACKDATED),
        not_after: now.plus(validity),
    };
    let certificate = template.sign(None, &key)?;
    Ok(Signer::new(certificate, key)?)
}

/// A distinguished name of a UID, a common name, or both in this order.
pub(super) fn subject(common_name: Option<&str>, user_id: Option<&str>) -> Result<X509Name, IssueError> {
    let mut name = X509Name::builder()?;
    for (kind, text) in [(Nid::USERID, user_id), (Nid::COMMONNAME, common_name)] {
        let Some(text) = text else { continue };
        // RFC 5280 allows a common name 64 characters (ub-common-name); push topics are shorter than 256.
        let limit = if kind == Nid::COMMONNAME { 64 } else { 255 };
        if text.is_empty() || text.chars().count() > limit || text.contains(char::is_control) {
            return Err(IssueError::Name);
        }
        name.append_entry_by_nid(kind, text)?;
    }
    Ok(name.build())
}

/// The public half of a private key.
pub(super) fn public_half(key: &PKeyRef<Private>) -> Result<PKey<Public>, IssueError> {
    let spki = key.public_key_to_der()?;
    Ok(super::public_key::PublicKey::from_spki(&spki)?.to_pkey()?)
}

impl ServerName {
    /// Reads an IP address or a DNS name (letters, digits, hyphens, dots and a leading `*.`).
    pub fn parse(text: &str) -> Result<Self, IssueError> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Ip(address));
        }
        let labels = text.strip_prefix("*.").unwrap_or(text);
        let letter = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
        let label = |label: &str| (1..=63).contains(&label.len()) && label.chars().all(letter);
        let valid = text.len() <= 253 && labels.split('.').all(label);
        if valid { Ok(Self::Dns(text.to_owned())) } else { Err(IssueError::Name) }
    }
}

fn alternative_names(names: &[ServerName]) -> SubjectAlternativeName {
    let mut alternative = SubjectAlternativeName::new();
    for name in names {
        match name {
            ServerName::Dns(name) => alternative.dns(name),
            ServerName::Ip(address) => alternative.ip(&address.to_string()),
        };
    }
    alternative
}

fn random_serial() -> Result<openssl::asn1::Asn1Integer, ErrorStack> {
    let mut octets = [0; 16];
    openssl::rand::rand_bytes(&mut octets)?;
    BigNum::from_slice(&octets)?.to_asn1_integer()
}

fn time(moment: Timestamp) -> Result<Asn1Time, ErrorStack> {
    Asn1Time::from_unix(moment.seconds())
}
