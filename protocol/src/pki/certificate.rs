//! X.509 certificates: the bytes as they came, and the few facts that this product asks of them.
//!
//! It never decides whom to trust: an issued certificate is known by its [`Fingerprint`], and the chain matters only
//! where [`Certificate::is_issued_by`] is asked. Start with [`Certificate::parse`].

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use der::DateTime;
use der::Decode;
use der::asn1::{GeneralizedTime, UtcTime};
use openssl::error::ErrorStack;
use openssl::x509::X509;

use super::algorithm::{COMMON_NAME, USER_ID};
use super::public_key::{KeyError, KeyKind, PublicKey};
use super::walk::{CertificateFields, Element, name_attribute, tag};
use crate::time::Timestamp;

/// The largest certificate that is read, in bytes of DER.
pub const MAX_CERTIFICATE_BYTES: usize = 64 * 1024;

/// The SHA-256 of a certificate's DER: the name under which the server knows who may sign for a device.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

/// A certificate: its DER as sent, with parsed facts. Its signature is not verified by parsing.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    der: Box<[u8]>,
    fingerprint: Fingerprint,
    serial: String,
    subject_common_name: Option<String>,
    subject_user_id: Option<String>,
    not_before: Timestamp,
    not_after: Timestamp,
    serial_number: Range<usize>,
    issuer: Range<usize>,
    subject: Range<usize>,
    spki: Range<usize>,
    key_kind: KeyKind,
    is_authority: bool,
}

/// Why bytes are not a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Longer than [`MAX_CERTIFICATE_BYTES`].
    #[error("the certificate is larger than {MAX_CERTIFICATE_BYTES} bytes")]
    TooLarge,
    /// Not one strict DER certificate, or with dates outside 1970 to 9999.
    #[error("not a DER certificate")]
    Malformed,
    /// Not a PEM text with a certificate.
    #[error("not a PEM certificate")]
    NotPem,
}

/// A text is not 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a fingerprint is 64 hexadecimal digits")]
pub struct FingerprintError;

impl Certificate {
    /// Reads exactly one DER certificate of at most [`MAX_CERTIFICATE_BYTES`] (RFC 5280 section 4.1).
    pub fn parse(der: &[u8]) -> Result<Self, CertificateError> {
        if der.len() > MAX_CERTIFICATE_BYTES {
            return Err(CertificateError::TooLarge);
        }
        let fields = CertificateFields::read(der).ok_or(CertificateError::Malformed)?;
        let text = |oid: &[u8]| name_attribute(fields.subject, oid).and_then(|value| value.text());
        Ok(Self {
            fingerprint: Fingerprint::of(der),
            serial: hex(unsigned(fields.serial.body)),
            subject_common_name: text(COMMON_NAME.as_bytes()),
            subject_user_id: text(USER_ID.as_bytes()),
            not_before: moment(&fields.not_before).ok_or(CertificateError::Malformed)?,
            not_after: moment(&fields.not_after).ok_or(CertificateError::Malformed)?,
            serial_number: range_in(der, fields.serial.raw),
            issuer: range_in(der, fields.issuer),
            subject: range_in(der, fields.subject),
            spki: range_in(der, fields.spki),
            key_kind: PublicKey::from_spki(fields.spki).map_or(KeyKind::Other, |key| key.kind()),
            is_authority: fields.is_authority(),
            der: der.into(),
        })
    }

    /// Reads the first certificate of a PEM text.
    pub fn from_pem(pem: &[u8]) -> Result<Self, CertificateError> {
        let der =
            X509::from_pem(pem).and_then(|certificate| certificate.to_der()).map_err(|_| CertificateError::NotPem)?;
        Self::parse(&der)
    }

    /// The PEM text.
    pub fn to_pem(&self) -> Result<String, ErrorStack> {
        let pem = self.to_openssl()?.to_pem()?;
        Ok(String::from_utf8_lossy(&pem).into_owned())
    }

    /// The bytes as they came.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The SHA-256 of [`Self::der`].
    pub const fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// The serial number in lower case hexadecimal, two digits per octet, without the sign octet.
    pub fn serial(&self) -> &str {
        &self.serial
    }

    /// The common name of the subject; none when it is absent, occurs twice or is not text.
    pub fn subject_common_name(&self) -> Option<&str> {
        self.subject_common_name.as_deref()
    }

    /// The UID attribute (0.9.2342.19200300.100.1.1) of the subject: the topic in a push certificate.
    pub fn subject_user_id(&self) -> Option<&str> {
        self.subject_user_id.as_deref()
    }

    /// The first moment of validity.
    pub const fn not_before(&self) -> Timestamp {
        self.not_before
    }

    /// The last moment of validity.
    pub const fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// Whether `now` lies inside the validity period, both ends included.
    pub fn is_valid_at(&self, now: Timestamp) -> bool {
        self.not_before <= now && now <= self.not_after
    }

    /// The DER of the SubjectPublicKeyInfo as sent.
    pub fn spki(&self) -> &[u8] {
        &self.der[self.spki.clone()]
    }

    /// The kind of key it holds.
    pub const fn key_kind(&self) -> KeyKind {
        self.key_kind
    }

    /// Whether it says that it may issue others (basic constraints, CA:TRUE).
    pub const fn is_authority(&self) -> bool {
        self.is_authority
    }

    /// The key in parts, in a tenth of a microsecond.
    pub fn public_key(&self) -> Result<PublicKey, KeyError> {
        PublicKey::from_spki(self.spki())
    }

    /// Whether `ca` is named as the issuer and its key verifies this certificate's signature.
    ///
    /// Validity periods, basic constraints and revocation are not looked at: the caller chose `ca`.
    pub fn is_issued_by(&self, ca: &Self) -> bool {
        let Ok(key) = ca.public_key().and_then(|key| key.to_pkey()) else { return false };
        self.issuer() == ca.subject() && self.to_openssl().and_then(|own| own.verify(&key)).unwrap_or(false)
    }

    /// The DER of the serial number as sent.
    pub(super) fn serial_number(&self) -> &[u8] {
        &self.der[self.serial_number.clone()]
    }

    /// The DER of the issuer's name as sent.
    pub(super) fn issuer(&self) -> &[u8] {
        &self.der[self.issuer.clone()]
    }

    /// The DER of the subject's name as sent.
    pub(super) fn subject(&self) -> &[u8] {
        &self.der[self.subject.clone()]
    }

    /// OpenSSL's object; parsing costs up to 140 µs (version 3.0).
    pub(super) fn to_openssl(&self) -> Result<X509, ErrorStack> {
        X509::from_der(&self.der)
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("fingerprint", &self.fingerprint)
            .field("serial", &self.serial)
            .field("subject_common_name", &self.subject_common_name)
            .finish_non_exhaustive()
    }
}

impl Fingerprint {
    /// The fingerprint of a certificate's DER.
    pub fn of(der: &[u8]) -> Self {
        Self(openssl::sha::sha256(der))
    }

    /// The fingerprint with these bytes, for example from a row.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    /// Reads 64 hexadecimal digits of either case.
    fn from_str(text: &str) -> Result<Self, FingerprintError> {
        let mut bytes = [0; 32];
        let (pairs, odd) = text.as_bytes().as_chunks::<2>();
        if pairs.len() != bytes.len() || !odd.is_empty() {
            return Err(FingerprintError);
        }
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Ok(Self(bytes))
    }
}

fn digit(letter: u8) -> Result<u8, FingerprintError> {
    let value = char::from(letter).to_digit(16).ok_or(FingerprintError)?;
    // A hexadecimal digit is below 16.
    Ok(value as u8)
}

/// The bytes as hexadecimal digits in lower case.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let letters = bytes.iter().flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    letters.map(char::from).collect()
}

/// A positive INTEGER without the octet that keeps its sign.
fn unsigned(body: &[u8]) -> &[u8] {
    match body {
        [0, rest @ ..] if !rest.is_empty() => rest,
        _ => body,
    }
}

fn moment(time: &Element<'_>) -> Option<Timestamp> {
    let date: DateTime = match time.tag {
        tag::UTC_TIME => UtcTime::from_der(time.raw).ok()?.to_date_time(),
        tag::GENERALIZED_TIME => GeneralizedTime::from_der(time.raw).ok()?.to_date_time(),
        _ => return None,
    };
    i64::try_from(date.unix_duration().as_secs()).ok().map(Timestamp::from_seconds)
}

/// Where `part`, a slice of `whole`, lies in it.
fn range_in(whole: &[u8], part: &[u8]) -> Range<usize> {
    let start = part.as_ptr().addr() - whole.as_ptr().addr();
    start..start + part.len()
}

#[cfg(test)]
mod tests;
