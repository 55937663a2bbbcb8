//! The signed attributes of SCEP messages (RFC 8894 section 3.2.1): reading them bounded, writing them.

use std::fmt;

use der::asn1::ObjectIdentifier;
use openssl::error::ErrorStack;

use crate::pki::certificate::Fingerprint;
use crate::pki::encode::{octet_string, oid, sequence, set_of_one, tlv};
use crate::pki::signature::attribute;
use crate::pki::walk::tag;

const MESSAGE_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.113733.1.9.2");
const PKI_STATUS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.113733.1.9.3");
const FAIL_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.113733.1.9.4");
const SENDER_NONCE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.113733.1.9.5");
const RECIPIENT_NONCE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.113733.1.9.6");
const TRANSACTION_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.113733.1.9.7");

/// Message types of RFC 8894 section 3.2.1.2 that are spoken here.
pub(super) const CERT_REP: &str = "3";
pub(super) const RENEWAL_REQ: &str = "17";
pub(super) const PKCS_REQ: &str = "19";

/// Values of pkiStatus (RFC 8894 section 3.2.1.3).
pub(super) const STATUS_SUCCESS: &str = "0";
pub(super) const STATUS_FAILURE: &str = "2";
pub(super) const STATUS_PENDING: &str = "3";

const MAX_TRANSACTION_ID_BYTES: usize = 256;
const MAX_NONCE_BYTES: usize = 64;

/// The name of one enrollment attempt, chosen by the client: 1 to 256 printable ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TransactionId(String);

/// Why a request failed, as told to the client (RFC 8894 section 3.2.1.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailInfo {
    /// 0: unrecognized or unsupported algorithm.
    BadAlg,
    /// 1: integrity check failed.
    BadMessageCheck,
    /// 2: transaction not permitted or supported. What our server always says.
    BadRequest,
    /// 3: the message time was not close to the system time.
    BadTime,
    /// 4: no certificate could be identified.
    BadCertId,
}

/// The attributes of a message as slices of its signed attributes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attributes<'a>(&'a [u8]);

/// 16 random octets (RFC 8894 section 3.2.1.5) or what the other side sent, at most 64.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Nonce(Vec<u8>);

impl<'a> Attributes<'a> {
    pub(super) fn new(signed_attributes: &'a [u8]) -> Self {
        Self(signed_attributes)
    }

    pub(super) fn message_type(&self) -> Option<&'a str> {
        self.printable(&MESSAGE_TYPE, 8)
    }

    pub(super) fn status(&self) -> Option<&'a str> {
        self.printable(&PKI_STATUS, 8)
    }

    pub(super) fn fail_info(&self) -> Option<FailInfo> {
        self.printable(&FAIL_INFO, 8).and_then(FailInfo::from_text)
    }

    pub(super) fn transaction_id(&self) -> Option<TransactionId> {
        TransactionId::parse(self.printable(&TRANSACTION_ID, MAX_TRANSACTION_ID_BYTES)?)
    }

    pub(super) fn sender_nonce(&self) -> Option<Nonce> {
        self.nonce(&SENDER_NONCE)
    }

    pub(super) fn recipient_nonce(&self) -> Option<Nonce> {
        self.nonce(&RECIPIENT_NONCE)
    }

    fn nonce(&self, id: &ObjectIdentifier) -> Option<Nonce> {
        let value = attribute(self.0, id.as_bytes())?;
        let sized = (1..=MAX_NONCE_BYTES).contains(&value.body.len());
        (value.tag == tag::OCTET_STRING && sized).then(|| Nonce(value.body.to_vec()))
    }

    fn printable(&self, id: &ObjectIdentifier, limit: usize) -> Option<&'a str> {
        let value = attribute(self.0, id.as_bytes())?;
        let text = matches!(value.tag, tag::PRINTABLE_STRING | tag::UTF8_STRING | tag::IA5_STRING);
        if !text || value.body.len() > limit {
            return None;
        }
        std::str::from_utf8(value.body).ok()
    }
}

impl TransactionId {
    /// Takes 1 to 256 printable ASCII characters.
    pub fn parse(text: &str) -> Option<Self> {
        let printable = text.bytes().all(|octet| octet == b' ' || octet.is_ascii_graphic());
        let sized = (1..=MAX_TRANSACTION_ID_BYTES).contains(&text.len());
        (printable && sized).then(|| Self(text.to_owned()))
    }

    /// The SHA-256 of a key's SubjectPublicKeyInfo in hexadecimal.
    pub(super) fn of_key(spki: &[u8]) -> Self {
        Self(Fingerprint::of(spki).to_string())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FailInfo {
    const ALL: [(Self, &str); 5] = [
        (Self::BadAlg, "0"),
        (Self::BadMessageCheck, "1"),
        (Self::BadRequest, "2"),
        (Self::BadTime, "3"),
        (Self::BadCertId, "4"),
    ];

    fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(_, digit)| *digit == text).map(|(info, _)| info)
    }

    fn text(self) -> &'static str {
        Self::ALL.into_iter().find(|(info, _)| *info == self).map_or("2", |(_, digit)| digit)
    }
}

impl Nonce {
    pub(super) fn random() -> Result<Self, ErrorStack> {
        let mut octets = vec![0; 16];
        openssl::rand::rand_bytes(&mut octets)?;
        Ok(Self(octets))
    }
}

pub(super) fn message_type(value: &str) -> Vec<u8> {
    printable(&MESSAGE_TYPE, value)
}

pub(super) fn status(value: &str) -> Vec<u8> {
    printable(&PKI_STATUS, value)
}

pub(super) fn fail_info(value: FailInfo) -> Vec<u8> {
    printable(&FAIL_INFO, value.text())
}

pub(super) fn transaction_id(value: &TransactionId) -> Vec<u8> {
    printable(&TRANSACTION_ID, value.as_str())
}

pub(super) fn sender_nonce(value: &Nonce) -> Vec<u8> {
    single(&SENDER_NONCE, &octet_string(&value.0))
}

pub(super) fn recipient_nonce(value: &Nonce) -> Vec<u8> {
    single(&RECIPIENT_NONCE, &octet_string(&value.0))
}

fn printable(id: &ObjectIdentifier, value: &str) -> Vec<u8> {
    single(id, &tlv(tag::PRINTABLE_STRING, &[value.as_bytes()]))
}

/// An attribute with one value.
pub(super) fn single(id: &ObjectIdentifier, value: &[u8]) -> Vec<u8> {
    sequence(&[&oid(id), &set_of_one(value)])
}
