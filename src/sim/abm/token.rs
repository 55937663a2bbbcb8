//! Server tokens: made, encrypted to a server's certificate by OpenSSL, and replaced.

use std::time::Duration;

use openssl::cms::{CMSOptions, CmsContentInfo};
use openssl::error::ErrorStack;
use openssl::stack::Stack;
use openssl::symm::Cipher;
use openssl::x509::X509;
use protocol::time::Timestamp;
use serde_json::json;

use super::device::moment;
use super::{AssignmentService, OrganizationId};
use crate::sim::random::Chance;

/// What a server has to show; a new one takes the place of the one before.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) consumer_key: String,
    pub(super) consumer_secret: String,
    pub(super) access_token: String,
    pub(super) access_secret: String,
    pub(super) expires_at: Timestamp,
}

/// Why there is no token file.
#[derive(Debug, thiserror::Error)]
pub enum TokenFileError {
    /// The public key is not a PEM certificate with an RSA key.
    #[error("the public key is not a certificate that can be encrypted to: {0}")]
    Certificate(#[from] ErrorStack),
}

impl Token {
    fn new(consumer: Option<&Self>, expires_at: Timestamp, chance: &mut Chance) -> Self {
        let mut part = |kind: &str| format!("{kind}_{}", chance.text("0123456789abcdef", 64));
        Self {
            // A renewed token is the same server's.
            consumer_key: consumer.map_or_else(|| part("CK"), |token| token.consumer_key.clone()),
            consumer_secret: part("CS"),
            access_token: part("AT"),
            access_secret: part("AS"),
            expires_at,
        }
    }

    /// What stands inside the file.
    fn message(&self) -> String {
        let document = json!({
            "consumer_key": self.consumer_key,
            "consumer_secret": self.consumer_secret,
            "access_token": self.access_token,
            "access_secret": self.access_secret,
            "access_token_expiry": moment(self.expires_at),
        });
        format!(
            "Content-Type: text/plain;charset=UTF-8\r\nContent-Transfer-Encoding: 7bit\r\n\r\n\
             -----BEGIN MESSAGE-----\r\n{document}\r\n-----END MESSAGE-----\r\n"
        )
    }
}

impl AssignmentService {
    /// Makes a token for a server's public key (a PEM certificate), and the file that an admin downloads. The token before is
    /// not taken any more, and its sessions end.
    ///
    /// # Errors
    /// See [`TokenFileError`].
    pub fn token_file(
        &self,
        organization: OrganizationId,
        public_key_pem: &[u8],
        valid_for: Duration,
    ) -> Result<Vec<u8>, TokenFileError> {
        let mut recipients = Stack::new()?;
        recipients.push(X509::from_pem(public_key_pem)?)?;
        let expires_at = self.now().plus(valid_for);
        let mut state = self.state();
        let mut chance = state.chance.clone();
        let owner = &mut state.organizations[organization.0];
        let token = Token::new(owner.token.as_ref(), expires_at, &mut chance);
        let message = token.message();
        let sealed =
            CmsContentInfo::encrypt(&recipients, message.as_bytes(), Cipher::des_ede3_cbc(), CMSOptions::BINARY)?;
        let base64 = openssl::base64::encode_block(&sealed.to_der()?);
        let lines: Vec<_> = base64.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
        owner.token = Some(token);
        owner.sessions.end_all();
        state.chance = chance;
        let head = "Content-Type: application/pkcs7-mime; name=\"smime.p7m\"; smime-type=enveloped-data\r\n\
                    Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=\"smime.p7m\"";
        Ok(format!("{head}\r\n\r\n{}\r\n", lines.join("\r\n")).into_bytes())
    }

    /// Takes the token away, as an admin does who deletes the server.
    pub fn revoke_token(&self, organization: OrganizationId) {
        let mut state = self.state();
        let owner = &mut state.organizations[organization.0];
        owner.token = None;
        owner.sessions.end_all();
    }

    /// Whether the newest terms and conditions are accepted; until they are, every call is refused.
    pub fn sign_terms(&self, organization: OrganizationId, signed: bool) {
        self.state().organizations[organization.0].terms_signed = signed;
    }
}
