//! The request that a browser carries to the identity provider (Core 3.4.1), as a part of an address (Bindings 3.4).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{ASSERTION, POST, PROTOCOL};
use crate::percent::percent_encoded;
use crate::time::Timestamp;

/// A request for somebody to sign in.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// Its name: letters and digits that nobody can guess, and that begin with a letter or `_`.
    pub id: &'a str,
    /// Our entity id.
    pub entity_id: &'a str,
    /// The address that the response is to be brought to.
    pub consumer_url: &'a str,
    /// The provider's address for requests.
    pub sign_on_url: &'a str,
    /// When it is made.
    pub at: Timestamp,
}

impl Request<'_> {
    /// The address that the browser goes to.
    pub fn url(&self, relay_state: &str) -> String {
        let separator = if self.sign_on_url.contains('?') { '&' } else { '?' };
        let message = percent_encoded(&STANDARD.encode(stored(self.xml().as_bytes())));
        let state = percent_encoded(relay_state);
        format!("{}{separator}SAMLRequest={message}&RelayState={state}", self.sign_on_url)
    }

    fn xml(&self) -> String {
        let [id, entity_id, consumer, sign_on] =
            [self.id, self.entity_id, self.consumer_url, self.sign_on_url].map(escaped);
        let at = self.at.to_rfc3339();
        format!(
            "<samlp:AuthnRequest xmlns:samlp=\"{PROTOCOL}\" xmlns:saml=\"{ASSERTION}\" ID=\"{id}\" Version=\"2.0\" \
             IssueInstant=\"{at}\" Destination=\"{sign_on}\" ProtocolBinding=\"{POST}\" \
             AssertionConsumerServiceURL=\"{consumer}\"><saml:Issuer>{entity_id}</saml:Issuer><samlp:NameIDPolicy \
             AllowCreate=\"true\" Format=\"urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress\"/></samlp:AuthnRequest>"
        )
    }
}

/// DEFLATE without compression (RFC 1951, 3.2.4): blocks that hold the bytes as they are.
fn stored(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + 5);
    let mut blocks = bytes.chunks(usize::from(u16::MAX)).peekable();
    while let Some(block) = blocks.next() {
        let length = u16::try_from(block.len()).unwrap_or(u16::MAX);
        out.push(u8::from(blocks.peek().is_none()));
        out.extend(length.to_le_bytes());
        out.extend((!length).to_le_bytes());
        out.extend(block);
    }
    out
}

/// A text as it can stand in an attribute or an element.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
