//! The server token: a file that Apple Business Manager encrypts to a certificate that an admin uploaded there, and that lets
//! its holder speak for the organization for a year.
//!
//! Never here: whether another token of the same organization is replaced by it. Secrets are wiped when they are dropped and
//! do not show in `Debug` output or error texts. Start with [`ServerToken::decrypt`].

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::pki::Signer;
use crate::pki::base64_text::{Space, decode};
use crate::pki::envelope::{self, EnvelopeError};
use crate::pki::scep::Cipher;
use crate::time::Timestamp;

/// The largest token file that is read, in bytes; Apple's have less than 4 KiB.
pub const MAX_TOKEN_BYTES: usize = 64 * 1024;

/// The longest key or secret, in characters. Apple's are far shorter.
const MAX_PART_CHARS: usize = 512;

/// What stands around the message inside the file.
const BEGIN: &str = "-----BEGIN MESSAGE-----";
const END: &str = "-----END MESSAGE-----";

/// What the service knows the server by (Apple, "Authenticating with a Device Management Service").
#[derive(Clone, PartialEq, Eq)]
pub struct ServerToken {
    /// Names the server at the service; a renewed token of the same server has the same.
    pub consumer_key: String,
    /// Signs, together with [`access_secret`](Self::access_secret).
    pub consumer_secret: Zeroizing<String>,
    /// Names this token.
    pub access_token: Zeroizing<String>,
    /// Signs, together with [`consumer_secret`](Self::consumer_secret).
    pub access_secret: Zeroizing<String>,
    /// When the service stops to take it.
    pub access_token_expiry: Timestamp,
}

/// Why a file is not taken, in words for the admin who uploaded it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Longer than [`MAX_TOKEN_BYTES`].
    #[error(
        "the file is larger than {MAX_TOKEN_BYTES} bytes: upload the server token (.p7m) from Apple Business Manager"
    )]
    TooLarge,
    /// Not an encrypted message.
    #[error("this is not a server token: upload the .p7m file as it was downloaded from Apple Business Manager")]
    NotAToken,
    /// Encrypted to another certificate.
    #[error(
        "the token was made for another public key: upload this server's current public key to Apple Business Manager, \
         then download a new token"
    )]
    OtherKey,
    /// Encrypted to the right certificate, and what comes out is no token.
    #[error("the token is damaged: download it again from Apple Business Manager")]
    Damaged,
    /// The service takes it no more.
    #[error("the token has expired: download a new one from Apple Business Manager")]
    Expired,
}

/// The message inside the file, and what the store seals.
#[derive(Deserialize, Serialize)]
struct Document<'a> {
    #[serde(borrow)]
    consumer_key: Cow<'a, str>,
    #[serde(borrow)]
    consumer_secret: Cow<'a, str>,
    #[serde(borrow)]
    access_token: Cow<'a, str>,
    #[serde(borrow)]
    access_secret: Cow<'a, str>,
    #[serde(borrow)]
    access_token_expiry: Cow<'a, str>,
}

impl ServerToken {
    /// Opens a token file: S/MIME as it is downloaded, or its bare CMS.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub fn decrypt(p7m: &[u8], made_for: &Signer, now: Timestamp) -> Result<Self, TokenError> {
        if p7m.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::TooLarge);
        }
        let enveloped = enveloped(p7m).ok_or(TokenError::NotAToken)?;
        let opened = envelope::open(&enveloped, made_for, |cipher| cipher != Cipher::Des);
        let (content, _) = opened.map_err(|error| match error {
            EnvelopeError::OtherRecipient => TokenError::OtherKey,
            EnvelopeError::Malformed | EnvelopeError::Cipher => TokenError::NotAToken,
            EnvelopeError::Undecipherable => TokenError::Damaged,
        })?;
        let content = Zeroizing::new(content);
        let token = message(&content).and_then(Self::read).ok_or(TokenError::Damaged)?;
        if token.access_token_expiry <= now { Err(TokenError::Expired) } else { Ok(token) }
    }

    /// Reads what [`to_json`](Self::to_json) wrote.
    ///
    /// # Errors
    /// [`TokenError::TooLarge`] and [`TokenError::Damaged`].
    pub fn from_json(json: &[u8]) -> Result<Self, TokenError> {
        if json.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::TooLarge);
        }
        str::from_utf8(json).ok().and_then(Self::read).ok_or(TokenError::Damaged)
    }

    /// The token as JSON: a secret, to be sealed before it is stored.
    pub fn to_json(&self) -> Zeroizing<Vec<u8>> {
        let expiry = self.access_token_expiry.to_rfc3339();
        let document = Document {
            consumer_key: self.consumer_key.as_str().into(),
            consumer_secret: self.consumer_secret.as_str().into(),
            access_token: self.access_token.as_str().into(),
            access_secret: self.access_secret.as_str().into(),
            access_token_expiry: expiry.into(),
        };
        Zeroizing::new(serde_json::to_vec(&document).expect("a struct of texts is always JSON"))
    }

    fn read(json: &str) -> Option<Self> {
        let document: Document<'_> = serde_json::from_str(json).ok()?;
        let fits =
            |text: &str| (1..=MAX_PART_CHARS).contains(&text.len()) && text.bytes().all(|one| one.is_ascii_graphic());
        let parts =
            [&document.consumer_key, &document.consumer_secret, &document.access_token, &document.access_secret];
        if !parts.into_iter().all(|part| fits(part)) {
            return None;
        }
        Some(Self {
            consumer_key: document.consumer_key.into_owned(),
            consumer_secret: Zeroizing::new(document.consumer_secret.into_owned()),
            access_token: Zeroizing::new(document.access_token.into_owned()),
            access_secret: Zeroizing::new(document.access_secret.into_owned()),
            access_token_expiry: Timestamp::parse_rfc3339(&document.access_token_expiry)?,
        })
    }
}

impl fmt::Debug for ServerToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ServerToken")
            .field("consumer_key", &self.consumer_key)
            .field("access_token_expiry", &self.access_token_expiry.to_rfc3339())
            .finish_non_exhaustive()
    }
}

/// The CMS in a file: the file itself, or the Base64 behind its MIME headers.
fn enveloped(file: &[u8]) -> Option<Vec<u8>> {
    const DER_SEQUENCE: u8 = 0x30;
    if file.first() == Some(&DER_SEQUENCE) && file.get(1).is_some_and(|length| !length.is_ascii_alphanumeric()) {
        return Some(file.to_vec());
    }
    let text = str::from_utf8(file).ok()?;
    let (head, body) = ["\r\n\r\n", "\n\n"].iter().find_map(|blank| text.split_once(blank))?;
    let is_encrypted = head.to_ascii_lowercase().contains("pkcs7-mime");
    decode(body.as_bytes(), MAX_TOKEN_BYTES, Space::Ignored).ok().filter(|_| is_encrypted)
}

/// The JSON inside the opened message.
fn message(content: &[u8]) -> Option<&str> {
    let text = str::from_utf8(content).ok()?;
    let (_, begun) = text.split_once(BEGIN)?;
    let (json, _) = begun.split_once(END)?;
    Some(json.trim())
}

#[cfg(test)]
mod tests {
    use openssl::cms::{CMSOptions, CmsContentInfo};
    use openssl::stack::Stack;
    use openssl::symm;
    use proptest::prelude::*;

    use super::*;
    use crate::pki::fixtures::{NOW, YEAR, ec_key, identity, rsa_key};
    use crate::pki::{NewKey, self_signed};

    const JSON: &str = r#"{"consumer_key":"CK_48dd68d198350f51258e885ce9a5c37ab7f98543c4a697323d75682a6c10a32501cb247e3db08105db868f73f2c972bdb6ae77112aea803b9219eb52689d42e6","consumer_secret":"CS_34c7b2b531a600d99a0e4edcf4a78ded79b86ef318118c2f5bcfee1b011108c32d5302df801adbe29d446eb78f02b13144e323eb9aad51c79f01e50cb45c3a68","access_token":"AT_927696831c59ba510cfe4ec1a69e5267c19881257d4bca2906a99d0785b785a6f6fdeb09774954fdd5e2d0ad952e3af52c6d8d2f21c924ba0caf4a031c158b89","access_secret":"AS_c31afd7a09691d83548489336e8ff1cb11b82b6bca13f793344496a556b1f4972eaff4dde6deb5ac9cf076fdfa97ec97699c34d515947b9cf9ed31c99dded6ba","access_token_expiry":"2027-11-20T09:30:00Z"}"#;

    fn recipient() -> Signer {
        self_signed(rsa_key(), "Rookery", NOW, YEAR).unwrap()
    }

    fn inside(json: &str) -> String {
        format!(
            "Content-Type: text/plain;charset=UTF-8\r\nContent-Transfer-Encoding: 7bit\r\n\r\n{BEGIN}\r\n{json}\r\n{END}\r\n"
        )
    }

    /// The file as OpenSSL makes it.
    fn sealed(content: &str, recipient: &Signer, cipher: symm::Cipher) -> Vec<u8> {
        let mut recipients = Stack::new().unwrap();
        recipients.push(openssl::x509::X509::from_der(recipient.certificate().der()).unwrap()).unwrap();
        let options = CMSOptions::BINARY;
        CmsContentInfo::encrypt(&recipients, content.as_bytes(), cipher, options).unwrap().to_der().unwrap()
    }

    fn file(der: &[u8]) -> String {
        let base64 = openssl::base64::encode_block(der);
        let lines: Vec<&str> = base64.as_bytes().chunks(76).map(|line| str::from_utf8(line).unwrap()).collect();
        let head = "Content-Type: application/pkcs7-mime; name=\"smime.p7m\"; smime-type=enveloped-data\r\n\
                    Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=\"smime.p7m\"";
        format!("{head}\r\n\r\n{}\r\n", lines.join("\r\n"))
    }

    fn read(der: &[u8], made_for: &Signer) -> Result<ServerToken, TokenError> {
        ServerToken::decrypt(file(der).as_bytes(), made_for, NOW)
    }

    #[test]
    fn a_token_is_read_from_its_file_and_from_bare_cms() {
        let recipient = recipient();
        for cipher in [symm::Cipher::des_ede3_cbc(), symm::Cipher::aes_256_cbc()] {
            let der = sealed(&inside(JSON), &recipient, cipher);
            let token = read(&der, &recipient).unwrap();
            assert!(token.consumer_key.starts_with("CK_48dd") && token.consumer_secret.starts_with("CS_34c7"));
            assert!(token.access_token.starts_with("AT_9276") && token.access_secret.starts_with("AS_c31a"));
            assert_eq!(token.access_token_expiry.to_rfc3339(), "2027-11-20T09:30:00Z");
            assert_eq!(ServerToken::decrypt(&der, &recipient, NOW).as_ref(), Ok(&token));
            let unix = file(&der).replace("\r\n", "\n");
            assert_eq!(ServerToken::decrypt(unix.as_bytes(), &recipient, NOW).as_ref(), Ok(&token));
            assert_eq!(ServerToken::from_json(&token.to_json()), Ok(token));
        }
    }

    #[test]
    fn each_mistake_says_what_to_do() {
        let recipient = recipient();
        let other = self_signed(NewKey::Rsa2048.generate().unwrap(), "Rookery", NOW, YEAR).unwrap();
        let aes = symm::Cipher::aes_128_cbc;
        let der = sealed(&inside(JSON), &recipient, aes());
        assert_eq!(read(&der, &other), Err(TokenError::OtherKey));
        let late = ServerToken::decrypt(&der, &recipient, NOW.plus(YEAR));
        assert_eq!(late, Err(TokenError::Expired));
        let not_tokens: [&[u8]; 6] = [
            b"",
            b"Content-Type: application/pkcs7-mime\r\n\r\n!",
            b"a,b\n\nAAAA",
            &der[..40],
            JSON.as_bytes(),
            b"0\n\n",
        ];
        for no_token in not_tokens {
            assert_eq!(ServerToken::decrypt(no_token, &recipient, NOW), Err(TokenError::NotAToken), "{no_token:?}");
        }
        assert_eq!(ServerToken::decrypt(&[b'A'; MAX_TOKEN_BYTES + 1], &recipient, NOW), Err(TokenError::TooLarge));
        let mut altered = der;
        let end = altered.len() - 17;
        altered[end] ^= 0xff;
        assert_eq!(read(&altered, &recipient), Err(TokenError::Damaged));
        assert_eq!(ServerToken::decrypt(&altered, &identity(ec_key(), "d"), NOW), Err(TokenError::OtherKey));
        for damaged in [
            JSON.to_owned(),
            inside("{}"),
            inside("[]"),
            inside(&JSON.replace("CS_", "C S")),
            inside(&JSON.replace("2027", "soon")),
        ] {
            assert_eq!(read(&sealed(&damaged, &recipient, aes()), &recipient), Err(TokenError::Damaged), "{damaged}");
        }
    }

    #[test]
    fn secrets_are_not_printed() {
        let shown = format!("{:?}", ServerToken::from_json(JSON.as_bytes()).unwrap());
        assert!(shown.contains("CK_48dd") && shown.contains("2027-11-20"));
        assert!(!["CS_", "AT_", "AS_"].iter().any(|secret| shown.contains(secret)), "{shown}");
    }

    proptest! {
        #[test]
        fn no_file_panics(text in ".{0,200}", bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let recipient = identity(ec_key(), "device");
            let whole = [format!("Content-Type: application/pkcs7-mime\n\n{text}").as_bytes(), &bytes].concat();
            let _ = (ServerToken::decrypt(&whole, &recipient, NOW), ServerToken::from_json(text.as_bytes()));
            let _ = message(text.as_bytes());
        }
    }
}
