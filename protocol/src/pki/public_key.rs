//! Public keys as small plain parts: RSA modulus and exponent, or a point of P-256 or P-384.
//!
//! OpenSSL 3 decodes keys from DER in up to 140 µs (version 3.0); from parts it takes 1 µs (RSA) or 5 (P-256). So keys are read here
//! and handed to OpenSSL as numbers. It never holds private keys. Start with [`PublicKey::from_spki`].

use openssl::bn::{BigNum, BigNumContext};
use openssl::ec::{EcGroup, EcKey, EcPoint};
use openssl::error::ErrorStack;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Public};
use openssl::rsa::Rsa;

use super::algorithm::{Algorithm, EC_PUBLIC_KEY, P_256, P_384, RSA_ENCRYPTION};
use super::walk::{Reader, tag};

/// A public key in parts, about 0.3 KB for RSA-2048.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PublicKey {
    /// An RSA key: modulus and exponent, big endian without leading zeros.
    Rsa {
        /// The modulus, 64 to 1024 bytes.
        modulus: Box<[u8]>,
        /// The public exponent, 1 to 8 bytes.
        exponent: Box<[u8]>,
    },
    /// A point on an elliptic curve.
    Ec {
        /// The curve.
        curve: Curve,
        /// The uncompressed point: `04`, x, y.
        point: Box<[u8]>,
    },
}

/// The curves that devices and servers use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Curve {
    /// NIST P-256, also called prime256v1 and secp256r1.
    P256,
    /// NIST P-384, also called secp384r1.
    P384,
}

/// What kind of key a certificate holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// RSA with a modulus of so many bits.
    Rsa {
        /// Bits of the modulus.
        bits: u32,
    },
    /// An elliptic curve key.
    Ec(Curve),
    /// Anything that [`PublicKey`] does not read.
    Other,
}

/// Why a public key cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not RSA of 512 to 8192 bits and not an uncompressed point of P-256 or P-384.
    #[error("the key is not of a supported kind")]
    Unsupported,
    /// Readable, but too weak for an identity of ours.
    #[error("the key is too weak")]
    Weak,
    /// The numbers are no key, for example a point off the curve.
    #[error("the key is not valid")]
    Invalid,
}

impl PublicKey {
    /// Reads a SubjectPublicKeyInfo (RFC 5280 section 4.1), strict DER.
    pub fn from_spki(der: &[u8]) -> Result<Self, KeyError> {
        read_spki(der).ok_or(KeyError::Unsupported)
    }

    /// The kind of this key.
    pub fn kind(&self) -> KeyKind {
        match self {
            Self::Rsa { modulus, .. } => {
                let spare = modulus.first().map_or(0, |octet| octet.leading_zeros());
                // At most 1024 octets by construction.
                KeyKind::Rsa { bits: modulus.len() as u32 * 8 - spare }
            }
            Self::Ec { curve, .. } => KeyKind::Ec(*curve),
        }
    }

    /// Whether an identity may be issued for this key: RSA from 2048 bits with an odd exponent from 65537, or a point
    /// on P-256 or P-384.
    pub fn check_strength(&self) -> Result<(), KeyError> {
        match self {
            Self::Rsa { modulus, exponent } => {
                let exponent = exponent.iter().fold(0_u64, |sum, octet| (sum << 8) | u64::from(*octet));
                let odd = modulus.last().is_some_and(|octet| octet & 1 == 1) && exponent & 1 == 1;
                let long = matches!(self.kind(), KeyKind::Rsa { bits: 2048.. });
                if odd && long && exponent >= 65537 { Ok(()) } else { Err(KeyError::Weak) }
            }
            Self::Ec { .. } => self.to_pkey().map(drop),
        }
    }

    /// The OpenSSL key, built from the parts without its DER decoder.
    pub fn to_pkey(&self) -> Result<PKey<Public>, KeyError> {
        let key = match self {
            Self::Rsa { modulus, exponent } => rsa_key(modulus, exponent),
            Self::Ec { curve, point } => ec_key(*curve, point),
        };
        key.map_err(|_| KeyError::Invalid)
    }

    /// Whether this is an RSA key.
    pub fn is_rsa(&self) -> bool {
        matches!(self, Self::Rsa { .. })
    }
}

impl Curve {
    const fn nid(self) -> Nid {
        match self {
            Self::P256 => Nid::X9_62_PRIME256V1,
            Self::P384 => Nid::SECP384R1,
        }
    }

    const fn point_len(self) -> usize {
        match self {
            Self::P256 => 65,
            Self::P384 => 97,
        }
    }
}

fn rsa_key(modulus: &[u8], exponent: &[u8]) -> Result<PKey<Public>, ErrorStack> {
    PKey::from_rsa(Rsa::from_public_components(BigNum::from_slice(modulus)?, BigNum::from_slice(exponent)?)?)
}

fn ec_key(curve: Curve, point: &[u8]) -> Result<PKey<Public>, ErrorStack> {
    let group = EcGroup::from_curve_name(curve.nid())?;
    let mut context = BigNumContext::new()?;
    // Refuses a point that is not on the curve.
    let point = EcPoint::from_bytes(&group, point, &mut context)?;
    PKey::from_ec_key(EcKey::from_public_key(&group, &point)?)
}

fn read_spki(der: &[u8]) -> Option<PublicKey> {
    let mut spki = Reader::only(der, tag::SEQUENCE)?;
    let algorithm = Algorithm::read(spki.enter(tag::SEQUENCE)?)?;
    let bits = spki.take(tag::BIT_STRING)?;
    spki.end()?;
    let (unused, key) = bits.body.split_first()?;
    if *unused != 0 {
        return None;
    }
    if algorithm.is(&RSA_ENCRYPTION) && algorithm.is_plain() {
        return read_rsa(key);
    }
    let curve = algorithm.parameters.filter(|parameters| parameters.tag == tag::OID && algorithm.is(&EC_PUBLIC_KEY))?;
    let curve = match curve.body {
        id if id == P_256.as_bytes() => Curve::P256,
        id if id == P_384.as_bytes() => Curve::P384,
        _ => return None,
    };
    let uncompressed = key.len() == curve.point_len() && key[0] == 4;
    uncompressed.then(|| PublicKey::Ec { curve, point: key.into() })
}

fn read_rsa(key: &[u8]) -> Option<PublicKey> {
    let mut numbers = Reader::only(key, tag::SEQUENCE)?;
    let modulus = positive(numbers.take(tag::INTEGER)?.body)?;
    let exponent = positive(numbers.take(tag::INTEGER)?.body)?;
    numbers.end()?;
    let sized = (64..=1024).contains(&modulus.len()) && exponent.len() <= 8;
    sized.then(|| PublicKey::Rsa { modulus: modulus.into(), exponent: exponent.into() })
}

/// The magnitude of a positive INTEGER in its shortest form.
fn positive(body: &[u8]) -> Option<&[u8]> {
    match body {
        [0, rest @ ..] => rest.first().is_some_and(|octet| *octet >= 0x80).then_some(rest),
        [first, ..] => (*first < 0x80).then_some(body),
        [] => None,
    }
}

#[cfg(test)]
mod tests {
    use openssl::sign::{Signer, Verifier};

    use super::*;
    use crate::pki::fixtures;

    #[test]
    fn a_key_rebuilt_from_parts_verifies_what_the_private_key_signed() {
        for key in [fixtures::rsa_key(), fixtures::ec_key(), fixtures::ec_key_on(Nid::SECP384R1)] {
            let read = PublicKey::from_spki(&key.public_key_to_der().unwrap()).unwrap();
            assert_eq!(read.check_strength(), Ok(()));
            let mut signer = Signer::new(openssl::hash::MessageDigest::sha256(), &key).unwrap();
            let signature = signer.sign_oneshot_to_vec(b"text").unwrap();
            let pkey = read.to_pkey().unwrap();
            assert!(pkey.public_eq(&key));
            let mut verifier = Verifier::new(openssl::hash::MessageDigest::sha256(), &pkey).unwrap();
            assert!(verifier.verify_oneshot(&signature, b"text").unwrap());
        }
    }

    #[test]
    fn weak_keys_are_read_and_refused_only_where_identities_are_issued() {
        let weak = Rsa::generate(1024).unwrap().public_key_to_der().unwrap();
        let weak = PublicKey::from_spki(&weak).unwrap();
        assert_eq!(weak.kind(), KeyKind::Rsa { bits: 1024 });
        assert_eq!(weak.check_strength(), Err(KeyError::Weak));
        let cubed = Rsa::generate_with_e(2048, &BigNum::from_u32(3).unwrap()).unwrap().public_key_to_der().unwrap();
        assert_eq!(PublicKey::from_spki(&cubed).unwrap().check_strength(), Err(KeyError::Weak));
    }

    #[test]
    fn other_curves_and_algorithms_are_unsupported() {
        let other = fixtures::ec_key_on(Nid::SECP521R1).public_key_to_der().unwrap();
        assert_eq!(PublicKey::from_spki(&other), Err(KeyError::Unsupported));
        let edwards = PKey::generate_ed25519().unwrap().public_key_to_der().unwrap();
        assert_eq!(PublicKey::from_spki(&edwards), Err(KeyError::Unsupported));
        assert_eq!(PublicKey::from_spki(&[]), Err(KeyError::Unsupported));
    }

    #[test]
    fn a_point_off_the_curve_is_invalid() {
        let mut spki = fixtures::ec_key().public_key_to_der().unwrap();
        *spki.last_mut().unwrap() ^= 1;
        let key = PublicKey::from_spki(&spki).unwrap();
        assert_eq!(key.to_pkey().err(), Some(KeyError::Invalid));
        assert_eq!(key.check_strength(), Err(KeyError::Invalid));
    }
}
