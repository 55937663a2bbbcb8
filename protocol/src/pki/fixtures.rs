//! Keys and certificates for tests, made once per process.

use std::sync::OnceLock;
use std::time::Duration;

use openssl::ec::{EcGroup, EcKey};
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};

use super::authority::{Authority, AuthorityRole};
use super::signer::{NewKey, Signer};
use crate::time::Timestamp;

/// The moment at which tests happen: 2026-11-21T09:30:00Z.
pub(crate) const NOW: Timestamp = Timestamp::from_seconds(1_795_253_400);
pub(crate) const YEAR: Duration = Duration::from_secs(365 * 86_400);

pub(crate) fn rsa_key() -> PKey<Private> {
    static KEY: OnceLock<PKey<Private>> = OnceLock::new();
    KEY.get_or_init(|| NewKey::Rsa2048.generate().unwrap()).clone()
}

pub(crate) fn ec_key() -> PKey<Private> {
    static KEY: OnceLock<PKey<Private>> = OnceLock::new();
    KEY.get_or_init(|| NewKey::P256.generate().unwrap()).clone()
}

pub(crate) fn ec_key_on(curve: Nid) -> PKey<Private> {
    PKey::from_ec_key(EcKey::generate(&EcGroup::from_curve_name(curve).unwrap()).unwrap()).unwrap()
}

pub(crate) fn authority() -> &'static Authority {
    static AUTHORITY: OnceLock<Authority> = OnceLock::new();
    AUTHORITY.get_or_init(|| Authority::create("Test CA", NOW, 10, AuthorityRole::AnswersScep).unwrap())
}

pub(crate) fn ra() -> &'static Signer {
    static RA: OnceLock<Signer> = OnceLock::new();
    RA.get_or_init(|| authority().issue_ra("Test RA", NOW, YEAR).unwrap())
}

/// A device identity of the test authority for `key`.
pub(crate) fn identity(key: PKey<Private>, common_name: &str) -> Signer {
    let spki = key.public_key_to_der().unwrap();
    let certificate = authority().issue_identity(&spki, common_name, NOW, YEAR).unwrap();
    Signer::new(certificate, key).unwrap()
}
