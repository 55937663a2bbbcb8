//! The algorithms of our messages and their object identifiers, each written once.
//!
//! What is not on these lists does not exist for this crate. Start with [`Digest`].

use der::asn1::ObjectIdentifier;
use openssl::hash::MessageDigest;

use super::walk::{Element, Reader, tag};

/// A digest of CMS and SCEP messages, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Digest {
    /// MD5 (RFC 1321): broken, for very old SCEP clients only.
    Md5,
    /// SHA-1: broken against collisions; old Apple systems still sign with it.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

/// An AlgorithmIdentifier as sent (RFC 5280 section 4.1.1.2).
#[derive(Clone, Copy, Debug)]
pub(super) struct Algorithm<'a> {
    pub(super) oid: &'a [u8],
    pub(super) parameters: Option<Element<'a>>,
}

macro_rules! oids {
    ($($(#[$note:meta])* $name:ident = $text:literal;)*) => {
        $($(#[$note])* pub(super) const $name: ObjectIdentifier = ObjectIdentifier::new_unwrap($text);)*
    };
}

oids! {
    ID_DATA = "1.2.840.113549.1.7.1";
    ID_SIGNED_DATA = "1.2.840.113549.1.7.2";
    ID_ENVELOPED_DATA = "1.2.840.113549.1.7.3";
    ATTRIBUTE_CONTENT_TYPE = "1.2.840.113549.1.9.3";
    ATTRIBUTE_MESSAGE_DIGEST = "1.2.840.113549.1.9.4";
    ATTRIBUTE_CHALLENGE_PASSWORD = "1.2.840.113549.1.9.7";
    MD5 = "1.2.840.113549.2.5";
    SHA_1 = "1.3.14.3.2.26";
    SHA_256 = "2.16.840.1.101.3.4.2.1";
    SHA_384 = "2.16.840.1.101.3.4.2.2";
    SHA_512 = "2.16.840.1.101.3.4.2.3";
    RSA_ENCRYPTION = "1.2.840.113549.1.1.1";
    RSASSA_PSS = "1.2.840.113549.1.1.10";
    MD5_WITH_RSA = "1.2.840.113549.1.1.4";
    SHA_1_WITH_RSA = "1.2.840.113549.1.1.5";
    SHA_256_WITH_RSA = "1.2.840.113549.1.1.11";
    SHA_384_WITH_RSA = "1.2.840.113549.1.1.12";
    SHA_512_WITH_RSA = "1.2.840.113549.1.1.13";
    EC_PUBLIC_KEY = "1.2.840.10045.2.1";
    P_256 = "1.2.840.10045.3.1.7";
    P_384 = "1.3.132.0.34";
    ECDSA_WITH_SHA_1 = "1.2.840.10045.4.1";
    ECDSA_WITH_SHA_256 = "1.2.840.10045.4.3.2";
    ECDSA_WITH_SHA_384 = "1.2.840.10045.4.3.3";
    ECDSA_WITH_SHA_512 = "1.2.840.10045.4.3.4";
    AES_128_CBC = "2.16.840.1.101.3.4.1.2";
    AES_192_CBC = "2.16.840.1.101.3.4.1.22";
    AES_256_CBC = "2.16.840.1.101.3.4.1.42";
    DES_EDE3_CBC = "1.2.840.113549.3.7";
    DES_CBC = "1.3.14.3.2.7";
    COMMON_NAME = "2.5.4.3";
    USER_ID = "0.9.2342.19200300.100.1.1";
}

/// Signature algorithm, the digest it names (none when the message names it elsewhere), whether the key is RSA.
const SIGNATURES: [(ObjectIdentifier, Option<Digest>, bool); 11] = [
    (RSA_ENCRYPTION, None, true),
    (RSASSA_PSS, None, true),
    (MD5_WITH_RSA, Some(Digest::Md5), true),
    (SHA_1_WITH_RSA, Some(Digest::Sha1), true),
    (SHA_256_WITH_RSA, Some(Digest::Sha256), true),
    (SHA_384_WITH_RSA, Some(Digest::Sha384), true),
    (SHA_512_WITH_RSA, Some(Digest::Sha512), true),
    (ECDSA_WITH_SHA_1, Some(Digest::Sha1), false),
    (ECDSA_WITH_SHA_256, Some(Digest::Sha256), false),
    (ECDSA_WITH_SHA_384, Some(Digest::Sha384), false),
    (ECDSA_WITH_SHA_512, Some(Digest::Sha512), false),
];

impl Digest {
    const ALL: [Self; 5] = [Self::Md5, Self::Sha1, Self::Sha256, Self::Sha384, Self::Sha512];

    pub(super) fn from_oid(oid: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|digest| digest.oid().as_bytes() == oid)
    }

    pub(super) const fn oid(self) -> ObjectIdentifier {
        match self {
            Self::Md5 => MD5,
            Self::Sha1 => SHA_1,
            Self::Sha256 => SHA_256,
            Self::Sha384 => SHA_384,
            Self::Sha512 => SHA_512,
        }
    }

    pub(super) fn openssl(self) -> MessageDigest {
        match self {
            Self::Md5 => MessageDigest::md5(),
            Self::Sha1 => MessageDigest::sha1(),
            Self::Sha256 => MessageDigest::sha256(),
            Self::Sha384 => MessageDigest::sha384(),
            Self::Sha512 => MessageDigest::sha512(),
        }
    }
}

impl<'a> Algorithm<'a> {
    /// Reads the contents of an AlgorithmIdentifier.
    pub(super) fn read(mut reader: Reader<'a>) -> Option<Self> {
        let oid = reader.take(tag::OID)?.body;
        let parameters = if reader.is_empty() { None } else { Some(reader.next()?) };
        reader.end()?;
        Some(Self { oid, parameters })
    }

    pub(super) fn is(&self, oid: &ObjectIdentifier) -> bool {
        self.oid == oid.as_bytes()
    }

    /// Whether the parameters are absent or NULL, the two spellings of "none".
    pub(super) fn is_plain(&self) -> bool {
        self.parameters.is_none_or(|parameters| parameters.raw == [tag::NULL, 0])
    }
}

/// The ECDSA algorithm for a digest (there is none for MD5, which counts as SHA-1).
pub(super) const fn ecdsa_with(digest: Digest) -> ObjectIdentifier {
    match digest {
        Digest::Md5 | Digest::Sha1 => ECDSA_WITH_SHA_1,
        Digest::Sha256 => ECDSA_WITH_SHA_256,
        Digest::Sha384 => ECDSA_WITH_SHA_384,
        Digest::Sha512 => ECDSA_WITH_SHA_512,
    }
}

/// Whether `oid` is a listed signature algorithm for a key of this type that may go with `digest`.
pub(super) fn signature_fits(oid: &[u8], rsa: bool, digest: Digest) -> bool {
    let listed = SIGNATURES.into_iter().find(|(listed, ..)| listed.as_bytes() == oid);
    listed.is_some_and(|(_, named, for_rsa)| for_rsa == rsa && named.is_none_or(|named| named == digest))
}

/// The digest that a certificate or request signature algorithm names by itself; none for RSA-PSS and unlisted ones.
pub(super) fn named_digest(oid: &[u8]) -> Option<Digest> {
    SIGNATURES.into_iter().find(|(listed, ..)| listed.as_bytes() == oid).and_then(|(_, named, _)| named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_algorithm_fits_its_key_and_digest_only() {
        let fits = |oid: ObjectIdentifier, rsa, digest| signature_fits(oid.as_bytes(), rsa, digest);
        assert!(fits(RSA_ENCRYPTION, true, Digest::Sha512));
        assert!(fits(SHA_256_WITH_RSA, true, Digest::Sha256));
        assert!(!fits(SHA_256_WITH_RSA, true, Digest::Sha1));
        assert!(!fits(SHA_256_WITH_RSA, false, Digest::Sha256));
        assert!(!fits(ECDSA_WITH_SHA_256, true, Digest::Sha256));
        assert!(!fits(EC_PUBLIC_KEY, false, Digest::Sha256));
    }

    #[test]
    fn every_digest_is_found_by_its_identifier() {
        for digest in Digest::ALL {
            assert_eq!(Digest::from_oid(digest.oid().as_bytes()), Some(digest));
        }
        assert_eq!(Digest::from_oid(DES_CBC.as_bytes()), None);
    }
}
