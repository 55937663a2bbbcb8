//! A certificate with its private key: what signs profiles and SCEP replies, opens envelopes and serves TLS.
//!
//! The private key never appears in Debug output. Start with [`Signer`].

use std::fmt;

use openssl::ec::{EcGroup, EcKey};
use openssl::error::ErrorStack;
use openssl::nid::Nid;
use openssl::pkey::{PKey, PKeyRef, Private};
use openssl::rsa::Rsa;

use super::certificate::{Certificate, CertificateError};
use super::public_key::KeyError;

/// A certificate and the private key that belongs to it.
#[derive(Clone)]
pub struct Signer {
    certificate: Certificate,
    key: PKey<Private>,
}

/// Why a certificate and a key do not make a signer.
#[derive(Debug, thiserror::Error)]
pub enum SignerError {
    /// The certificate cannot be read.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The certificate's key is of a kind that is not used here.
    #[error("the certificate's key cannot be used")]
    Key(#[from] KeyError),
    /// The private key is not an unencrypted PEM key.
    #[error("the private key is not an unencrypted PEM key")]
    PrivateKey,
    /// The private key belongs to another certificate.
    #[error("the private key does not belong to the certificate")]
    Mismatch,
}

/// The kinds of key that this product generates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewKey {
    /// RSA with 2048 bits and exponent 65537: devices, RA, TLS.
    Rsa2048,
    /// RSA with 3072 bits and exponent 65537: certificate authorities.
    Rsa3072,
    /// An elliptic curve key on P-256.
    P256,
}

impl NewKey {
    /// Generates a key. RSA takes about 100 ms: never on a thread that answers others.
    pub fn generate(self) -> Result<PKey<Private>, ErrorStack> {
        match self {
            Self::Rsa2048 => PKey::from_rsa(Rsa::generate(2048)?),
            Self::Rsa3072 => PKey::from_rsa(Rsa::generate(3072)?),
            Self::P256 => PKey::from_ec_key(EcKey::generate(&*EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?)?),
        }
    }
}

impl Signer {
    /// Puts a certificate and its private key together; refuses a key that does not belong to it.
    pub fn new(certificate: Certificate, key: PKey<Private>) -> Result<Self, SignerError> {
        if !certificate.public_key()?.to_pkey()?.public_eq(&key) {
            return Err(SignerError::Mismatch);
        }
        Ok(Self { certificate, key })
    }

    /// Reads a PEM certificate and an unencrypted PEM private key.
    pub fn from_pem(certificate: &[u8], private_key: &[u8]) -> Result<Self, SignerError> {
        let certificate = Certificate::from_pem(certificate)?;
        // A callback that gives no password: without one OpenSSL would ask on the terminal.
        let key = PKey::private_key_from_pem_callback(private_key, |_| Ok(0)).map_err(|_| SignerError::PrivateKey)?;
        Self::new(certificate, key)
    }

    /// The certificate.
    pub const fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The private key.
    pub fn key(&self) -> &PKeyRef<Private> {
        &self.key
    }

    /// The private key as unencrypted PKCS#8 PEM: a secret, to be sealed before it is stored.
    pub fn private_key_pem(&self) -> Result<Vec<u8>, ErrorStack> {
        self.key.private_key_to_pem_pkcs8()
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}
