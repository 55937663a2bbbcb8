//! Certificates in a row: the degenerate SignedData (RFC 5652 section 5.2) and the GetCACert reply.

use super::{CONTENT_TYPE_CA_CERTIFICATE, CONTENT_TYPE_CA_RA_CERTIFICATES};
use crate::pki::algorithm::{ID_DATA, ID_SIGNED_DATA};
use crate::pki::certificate::Certificate;
use crate::pki::encode::{content_info, oid, sequence, small_integer, tlv};
use crate::pki::walk::{Reader, tag};

/// More certificates than this are in no honest reply.
const MAX_CERTIFICATES: usize = 10;

/// A GetCACert reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaCertificates {
    /// The content type.
    pub content_type: &'static str,
    /// The body.
    pub body: Vec<u8>,
}

/// The GetCACert reply (RFC 8894 section 4.2): the authority alone, or with the registration authority that clients
/// encrypt to and whose signature they check.
pub fn ca_certificates(authority: &Certificate, ra: Option<&Certificate>) -> CaCertificates {
    match ra {
        None => CaCertificates { content_type: CONTENT_TYPE_CA_CERTIFICATE, body: authority.der().to_vec() },
        // Clients tell the two apart by CA:TRUE; one that takes the first for encryption finds the right one too.
        Some(ra) => CaCertificates { content_type: CONTENT_TYPE_CA_RA_CERTIFICATES, body: degenerate([ra, authority]) },
    }
}

/// A SignedData without signers, the certificates in the order given: clients take the first for their own.
pub(super) fn degenerate<'a>(certificates: impl IntoIterator<Item = &'a Certificate>) -> Vec<u8> {
    let certificates: Vec<&[u8]> = certificates.into_iter().map(Certificate::der).collect();
    let data = sequence(&[
        &small_integer(1),
        &tlv(tag::SET, &[]),
        &sequence(&[&oid(&ID_DATA)]),
        &tlv(tag::CONTEXT_0, &certificates),
        &tlv(tag::SET, &[]),
    ]);
    content_info(&ID_SIGNED_DATA, &data)
}

/// Reads the certificates of a SignedData, signers or not, in the order sent; at most ten.
pub(super) fn read(der: &[u8]) -> Option<Vec<Certificate>> {
    let mut info = Reader::only(der, tag::SEQUENCE)?;
    info.take(tag::OID).filter(|id| id.body == ID_SIGNED_DATA.as_bytes())?;
    let explicit = info.take(tag::CONTEXT_0)?;
    info.end()?;
    let mut data = Reader::only(explicit.body, tag::SEQUENCE)?;
    data.take(tag::INTEGER)?;
    data.take(tag::SET)?;
    data.take(tag::SEQUENCE)?;
    let mut set = data.enter(tag::CONTEXT_0)?;
    let mut certificates = Vec::new();
    while !set.is_empty() {
        if certificates.len() == MAX_CERTIFICATES {
            return None;
        }
        certificates.push(Certificate::parse(set.take(tag::SEQUENCE)?.raw).ok()?);
    }
    Some(certificates)
}
