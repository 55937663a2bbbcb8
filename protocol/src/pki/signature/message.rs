//! The parts of a CMS SignedData (RFC 5652 section 5.1) as slices of the input.
//!
//! It verifies nothing. It reads strict DER with exactly one signer whose certificate is included, and knows no other
//! form: whoever gets `None` asks [`super::verify()`]. Start with [`SignedMessage::walk`].

use crate::pki::algorithm::{ATTRIBUTE_CONTENT_TYPE, ATTRIBUTE_MESSAGE_DIGEST, Algorithm, ID_DATA, ID_SIGNED_DATA};
use crate::pki::certificate::Fingerprint;
use crate::pki::walk::{CertificateFields, Element, Reader, tag};

/// More certificates than this are in no honest message; each costs OpenSSL up to 140 µs (version 3.0).
const MAX_CERTIFICATES: usize = 10;

/// A signed message of one signer, not verified.
#[derive(Clone, Copy, Debug)]
pub struct SignedMessage<'a> {
    pub(super) certificate: &'a [u8],
    certificates: Reader<'a>,
    pub(super) fingerprint: Fingerprint,
    pub(super) content: Option<&'a [u8]>,
    pub(super) named_by_key_id: bool,
    pub(super) digest: Algorithm<'a>,
    pub(super) signature_algorithm: Algorithm<'a>,
    pub(super) attributes: Option<&'a [u8]>,
    pub(super) signature: &'a [u8],
}

/// What the SignerInfo says, without the certificate that it names.
struct SignerInfo<'a> {
    signer: SignerName<'a>,
    digest: Algorithm<'a>,
    attributes: Option<&'a [u8]>,
    signature_algorithm: Algorithm<'a>,
    signature: &'a [u8],
}

enum SignerName<'a> {
    IssuerAndSerial { issuer: &'a [u8], serial: &'a [u8] },
    KeyId(&'a [u8]),
}

impl<'a> SignedMessage<'a> {
    /// Finds the parts of a SignedData with content type id-data, exactly one SignerInfo and at most ten certificates,
    /// of which exactly one is the signer's. About a microsecond, most of it the SHA-256 of the certificate.
    pub fn walk(cms_der: &'a [u8]) -> Option<Self> {
        let mut info = Reader::only(cms_der, tag::SEQUENCE)?;
        info.take(tag::OID).filter(|id| id.body == ID_SIGNED_DATA.as_bytes())?;
        let explicit = info.take(tag::CONTEXT_0)?;
        info.end()?;

        let mut data = Reader::only(explicit.body, tag::SEQUENCE)?;
        version(&mut data)?;
        let digests = data.enter(tag::SET)?;
        let content = read_content(data.enter(tag::SEQUENCE)?)?;
        let certificates = data.enter(tag::CONTEXT_0)?;
        data.optional(tag::CONTEXT_1);
        let mut infos = data.enter(tag::SET)?;
        data.end()?;
        let signer_info = infos.enter(tag::SEQUENCE)?;
        infos.end()?;

        let SignerInfo { signer, digest, attributes, signature_algorithm, signature } = SignerInfo::read(signer_info)?;
        if !lists(digests, &digest)? {
            return None;
        }
        let certificate = signer.find_in(certificates)?;
        let fingerprint = Fingerprint::of(certificate);
        let named_by_key_id = matches!(signer, SignerName::KeyId(_));
        Some(Self {
            certificate,
            certificates,
            fingerprint,
            content,
            named_by_key_id,
            digest,
            signature_algorithm,
            attributes,
            signature,
        })
    }

    /// The fingerprint of the certificate that the signer claims: who to look up, not yet who it is.
    pub const fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// The certificates of the message besides the signer's, at most nine. Nobody has verified them.
    pub(super) fn others(&self) -> impl Iterator<Item = &'a [u8]> {
        let (mut rest, own) = (self.certificates, self.certificate);
        std::iter::from_fn(move || rest.next()).map(|one| one.raw).filter(move |one| *one != own)
    }

    /// The digest that the attributes state for the content, when both mandatory attributes are there exactly once and
    /// the content type is id-data (RFC 5652 sections 11.1 and 11.2).
    pub(super) fn stated_digest(attributes: &'a [u8]) -> Option<&'a [u8]> {
        let content_type = attribute(attributes, ATTRIBUTE_CONTENT_TYPE.as_bytes())?;
        let digest = attribute(attributes, ATTRIBUTE_MESSAGE_DIGEST.as_bytes())?;
        let fits = content_type.tag == tag::OID && content_type.body == ID_DATA.as_bytes();
        (fits && digest.tag == tag::OCTET_STRING).then_some(digest.body)
    }
}

/// The value of the signed attribute `oid`; none when it is absent, occurs twice or has other than one value.
pub(in crate::pki) fn attribute<'a>(attributes: &'a [u8], oid: &[u8]) -> Option<Element<'a>> {
    let mut found = None;
    let mut reader = Reader::only(attributes, tag::CONTEXT_0)?;
    while !reader.is_empty() {
        let mut attribute = reader.enter(tag::SEQUENCE)?;
        let id = attribute.take(tag::OID)?;
        let mut values = attribute.enter(tag::SET)?;
        attribute.end()?;
        if id.body == oid {
            let value = values.next()?;
            values.end()?;
            if found.replace(value).is_some() {
                return None;
            }
        }
    }
    found
}

/// Passes over a version (RFC 5652 section 10.2.5): 0 to 5, so one byte. OpenSSL refuses others, and so the quick check of a
/// known signer must not take them either.
fn version(reader: &mut Reader<'_>) -> Option<()> {
    reader.take(tag::INTEGER).filter(|version| matches!(version.body, [0..=5])).map(|_| ())
}

impl<'a> SignerInfo<'a> {
    fn read(mut reader: Reader<'a>) -> Option<Self> {
        version(&mut reader)?;
        let signer = SignerName::read(reader.next()?)?;
        let digest = Algorithm::read(reader.enter(tag::SEQUENCE)?)?;
        let attributes = reader.optional(tag::CONTEXT_0).map(|attributes| attributes.raw);
        let signature_algorithm = Algorithm::read(reader.enter(tag::SEQUENCE)?)?;
        let signature = reader.take(tag::OCTET_STRING)?.body;
        reader.optional(tag::CONTEXT_1);
        reader.end()?;
        Some(Self { signer, digest, attributes, signature_algorithm, signature })
    }
}

impl<'a> SignerName<'a> {
    fn read(name: Element<'a>) -> Option<Self> {
        if name.tag == tag::CONTEXT_0_PRIMITIVE {
            return Some(Self::KeyId(name.body));
        }
        let mut pair = Reader::only(name.raw, tag::SEQUENCE)?;
        let issuer = pair.take(tag::SEQUENCE)?.raw;
        let serial = pair.take(tag::INTEGER)?.raw;
        pair.end()?;
        Some(Self::IssuerAndSerial { issuer, serial })
    }

    /// The one certificate that this names; none when there is no such, or more than one.
    fn find_in(&self, mut certificates: Reader<'a>) -> Option<&'a [u8]> {
        let mut found = None;
        let mut count = 0;
        while !certificates.is_empty() {
            let certificate = certificates.take(tag::SEQUENCE)?.raw;
            count += 1;
            let named = self.names(&CertificateFields::read(certificate)?);
            if count > MAX_CERTIFICATES || (named && found.replace(certificate).is_some()) {
                return None;
            }
        }
        found
    }

    fn names(&self, fields: &CertificateFields<'_>) -> bool {
        match self {
            Self::IssuerAndSerial { issuer, serial } => fields.issuer == *issuer && fields.serial.raw == *serial,
            Self::KeyId(id) => fields.subject_key_id() == Some(*id),
        }
    }
}

/// Whether `digest` is among the message's digest algorithms, as OpenSSL demands too.
fn lists(mut digests: Reader<'_>, digest: &Algorithm<'_>) -> Option<bool> {
    let mut listed = false;
    while !digests.is_empty() {
        let candidate = Algorithm::read(digests.enter(tag::SEQUENCE)?)?;
        listed |= candidate.oid == digest.oid && candidate.is_plain();
    }
    Some(listed)
}

/// Reads an EncapsulatedContentInfo: the content, or `Some(None)` when it is detached.
fn read_content<'a>(mut info: Reader<'a>) -> Option<Option<&'a [u8]>> {
    info.take(tag::OID).filter(|id| id.body == ID_DATA.as_bytes())?;
    let Some(explicit) = info.optional(tag::CONTEXT_0) else {
        info.end()?;
        return Some(None);
    };
    info.end()?;
    let mut content = Reader::new(explicit.body);
    let octets = content.take(tag::OCTET_STRING)?;
    content.end()?;
    Some(Some(octets.body))
}
