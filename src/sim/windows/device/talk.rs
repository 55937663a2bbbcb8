//! One message of a session and its answer: credentials, challenge, and the judgement of what came back.

use hyper::Method;
use hyper::header::{CONTENT_TYPE, HeaderName, USER_AGENT};
use openssl::base64::encode_block;
use openssl::hash::{MessageDigest, hash};
use openssl::pkcs7::Pkcs7Flags;
use openssl::stack::Stack;
use openssl::x509::X509;
use protocol::pki::Signer;

use super::{AGENT, OK, Pc, PcError, Proof};
use crate::sim::log::Fault;
use crate::sim::windows::provisioning::Provisioned;
use crate::sim::windows::syncml::answer::{self, Answer};
use crate::sim::windows::syncml::{Message, Said};
use crate::sim::wire::{Reply, Request};

/// The media type of SyncML as text.
pub const SYNCML_TYPE: &str = "application/vnd.syncml.dm+xml";
const SIGNATURE: HeaderName = HeaderName::from_static("mdm-signature");

/// The digest that proves knowledge of a secret (`syncml:auth-md5`).
///
/// # Errors
/// OpenSSL has no MD5.
pub fn digest(name: &str, secret: &str, nonce: &[u8]) -> Result<String, PcError> {
    let md5 = |bytes: &[u8]| hash(MessageDigest::md5(), bytes).map_err(|error| PcError::local(&error));
    let inner = encode_block(&md5(format!("{name}:{secret}").as_bytes())?);
    Ok(encode_block(&md5(&[inner.as_bytes(), b":", nonce].concat())?))
}

impl Pc {
    /// Sends any body to the management address, signed when the PC signs. Only framing is judged.
    ///
    /// # Errors
    /// There is no enrollment, or no reply.
    pub async fn post(&mut self, body: impl Into<bytes::Bytes>) -> Result<Reply, PcError> {
        let body = body.into();
        let enrollment = self.enrollment.as_ref().ok_or(PcError::Missing("enrollment"))?;
        let url = format!("{}{}", enrollment.provisioned.address, self.options.quirks.query);
        let signature = match self.options.proof {
            Proof::Signature => Some(sign(&body, &enrollment.identity)?),
            _ => None,
        };
        let mut request = Request::new(Method::POST, &url, body).with_header(USER_AGENT, AGENT);
        if self.options.quirks.content_type {
            request = request.with_header(CONTENT_TYPE, SYNCML_TYPE);
        }
        request.headers.extend(signature.map(|der| (SIGNATURE, encode_block(&der))));
        self.send(request).await
    }

    /// A message of this session, without credentials.
    ///
    /// # Errors
    /// There is no enrollment.
    pub fn message(&self, session_id: &str, msg_id: u32, said: Vec<Said>) -> Result<Message, PcError> {
        let provisioned = &self.enrollment.as_ref().ok_or(PcError::Missing("enrollment"))?.provisioned;
        Ok(Message {
            session_id: session_id.to_owned(),
            msg_id: msg_id.to_string(),
            target: provisioned.address.clone(),
            source: self.model.device_id.clone(),
            credentials: None,
            said,
            is_final: true,
        })
    }

    /// Sends a message as it is; the answer, judged.
    ///
    /// # Errors
    /// See [`PcError`]. What is wrong with the answer is a finding, too.
    pub async fn tell(&mut self, message: &Message) -> Result<Answer, PcError> {
        let text = message.write(&self.options.quirks);
        let reply = self.post(text).await?;
        if reply.status != OK {
            return Err(PcError::Refused { status: reply.status });
        }
        if reply.media_type() != Some(SYNCML_TYPE) {
            self.log.find(Fault::SyncMl, format!("the media type is {:?}", reply.media_type()));
        }
        let (answer, breaches) = answer::read(&reply.body, message).map_err(|error| {
            self.log.find(Fault::SyncMl, error.clone());
            PcError::Unacceptable(error)
        })?;
        self.find_all(Fault::SyncMl, &format!("session {} message {}", message.session_id, message.msg_id), breaches);
        Ok(answer)
    }

    /// The credentials that answer a challenge.
    pub(super) fn credentials(&self, nonce: &[u8]) -> Result<String, PcError> {
        let Provisioned { credentials: (name, secret, _), .. } =
            &self.enrollment.as_ref().ok_or(PcError::Missing("enrollment"))?.provisioned;
        digest(name, secret, nonce)
    }

    /// Shows its certificate in TLS, or does not, as its options say.
    pub fn wear(&mut self) {
        let identity = self.enrollment.as_ref().map(|enrollment| enrollment.identity.clone());
        self.wire.set_identity(identity.filter(|_| self.options.proof == Proof::Certificate));
    }
}

/// The signature of a body, detached, with the time at which it was made.
fn sign(body: &[u8], signer: &Signer) -> Result<Vec<u8>, PcError> {
    let signed = || {
        let certificate = X509::from_der(signer.certificate().der())?;
        let flags = Pkcs7Flags::DETACHED | Pkcs7Flags::BINARY;
        let signed = openssl::pkcs7::Pkcs7::sign(&certificate, signer.key(), &*Stack::new()?, body, flags)?;
        signed.to_der()
    };
    signed().map_err(|error: openssl::error::ErrorStack| PcError::local(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_the_reference() {
        let nonce: Vec<u8> = (0..16).collect();
        assert_eq!(digest("DEV", "pass", &nonce).unwrap(), "/tm23NhxZeEH5kERI4vrRg==");
        assert_eq!(digest("1F7C3A6E9B204D58A1E4C0FF5B6D7E80", "k3Zr-9vT", &nonce).unwrap(), "gXyo4IjVqq2HhmDIY16VNg==");
    }
}
