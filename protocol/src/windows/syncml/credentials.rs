//! How a device without a certificate proves itself: `syncml:auth-md5` (OMA-TS-DM_Security-V1_2, section 5.2.1.2).
//!
//! MD5 says nothing about the body: TLS alone protects that. A device's password never leaves its provisioning document; the
//! server keeps the MD5 of name and password, which is all that the check needs.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use openssl::hash::{MessageDigest, hash};
use openssl::memcmp;

/// The bytes of a nonce.
pub const NONCE_BYTES: usize = 16;

/// MD5 of a name, a colon and a password: what is kept of a device's credentials.
pub type Credentials = [u8; 16];

/// What is kept of a name and a password. `None` only where OpenSSL offers no MD5 (FIPS mode).
pub fn credentials(name: &str, password: &str) -> Option<Credentials> {
    md5(format!("{name}:{password}").as_bytes())
}

/// The digest that a device sends for a nonce, in Base64.
pub fn digest(credentials: &Credentials, nonce: &[u8]) -> Option<String> {
    let mut text = STANDARD.encode(credentials).into_bytes();
    text.push(b':');
    text.extend_from_slice(nonce);
    md5(&text).map(|digest| STANDARD.encode(digest))
}

/// Whether a digest is the one for these credentials and this nonce; takes as long for a wrong one as for a right one.
pub fn is_proof(presented: &str, credentials: &Credentials, nonce: &[u8]) -> bool {
    let Some(expected) = digest(credentials, nonce) else { return false };
    let presented = presented.trim().as_bytes();
    presented.len() == expected.len() && memcmp::eq(presented, expected.as_bytes())
}

fn md5(bytes: &[u8]) -> Option<Credentials> {
    hash(MessageDigest::md5(), bytes).ok()?.as_ref().try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_of_other_implementations_hold() {
        let secret = credentials("DEV", "pass").unwrap();
        assert_eq!(STANDARD.encode(secret), "PoU9ODo8ASwDBb46H9QghA==");
        let nonce: Vec<u8> = (0..16).collect();
        assert_eq!(digest(&secret, &nonce).unwrap(), "/tm23NhxZeEH5kERI4vrRg==");
        let nonce = STANDARD.decode("MmIxYzdhNTQtOGYwZS00YzBiLTlhNjQtM2YzZjBlN2IxYTEx").unwrap();
        assert_eq!(digest(&secret, &nonce).unwrap(), "R4ib21BVHsp3GDWNL8C7pQ==");
        assert!(is_proof(" R4ib21BVHsp3GDWNL8C7pQ== ", &secret, &nonce), "devices put white space around values");
        let own = credentials("1F7C3A6E9B204D58A1E4C0FF5B6D7E80", "k3Zr-9vT").unwrap();
        assert_eq!(digest(&own, &(0..16).collect::<Vec<u8>>()).unwrap(), "gXyo4IjVqq2HhmDIY16VNg==");
    }

    #[test]
    fn anything_else_is_no_proof() {
        let (secret, other) = (credentials("DEV", "pass").unwrap(), credentials("DEV", "Pass").unwrap());
        let nonce = [7; NONCE_BYTES];
        let right = digest(&secret, &nonce).unwrap();
        assert!(is_proof(&right, &secret, &nonce));
        for wrong in ["", "AAAA", &right[1..], &digest(&other, &nonce).unwrap(), &digest(&secret, &[8; 16]).unwrap()] {
            assert!(!is_proof(wrong, &secret, &nonce), "{wrong}");
        }
    }
}
