//! Whether a request for a session is signed as it has to be (RFC 5849, section 3.2), read and computed on its own.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use openssl::base64::encode_block;
use openssl::hash::MessageDigest;
use openssl::memcmp;
use openssl::pkey::PKey;
use openssl::sign::Signer;
use protocol::percent::{percent_decoded, percent_encoded};
use protocol::time::Timestamp;

use super::token::Token;

/// How far a client's clock may be off.
const CLOCK_SKEW: Duration = Duration::from_secs(300);

/// What the header has to say; anything else is refused.
const PARAMETERS: [&str; 7] = [
    "oauth_consumer_key",
    "oauth_nonce",
    "oauth_signature",
    "oauth_signature_method",
    "oauth_timestamp",
    "oauth_token",
    "oauth_version",
];

/// Nonces that were used, and when.
#[derive(Debug, Default)]
pub(super) struct Nonces(HashMap<String, Timestamp>);

/// What the header says.
#[derive(Debug)]
pub(super) struct Authorization(BTreeMap<String, String>);

/// Why there is no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rejected {
    pub(super) status: u16,
    pub(super) code: &'static str,
    /// Whether the server is at fault, and not its token.
    pub(super) is_fault: bool,
}

const fn fault(status: u16, code: &'static str) -> Rejected {
    Rejected { status, code, is_fault: true }
}

/// The server's token is not, or no longer, one of the service's.
pub(super) const fn no_token(code: &'static str) -> Rejected {
    Rejected { status: 401, code, is_fault: false }
}

impl Authorization {
    /// Reads the header: each parameter once, none that is not known.
    pub(super) fn parse(header: &str) -> Result<Self, Rejected> {
        const MALFORMED: Rejected = fault(400, "oauth_problem=parameter_rejected");
        let list = header.strip_prefix("OAuth ").ok_or(MALFORMED)?;
        let mut found = BTreeMap::new();
        for pair in list.split(',') {
            let (name, quoted) = pair.trim().split_once('=').ok_or(MALFORMED)?;
            let value = quoted.strip_prefix('"').and_then(|value| value.strip_suffix('"')).ok_or(MALFORMED)?;
            let value = String::from_utf8(percent_decoded(value.as_bytes())).map_err(|_| MALFORMED)?;
            if found.insert(name.to_owned(), value).is_some() {
                return Err(MALFORMED);
            }
        }
        let realm = found.remove("realm");
        let names: Vec<&str> = found.keys().map(String::as_str).collect();
        if realm.as_deref() != Some("ADM") || names != PARAMETERS {
            return Err(fault(400, "oauth_problem=parameter_absent"));
        }
        if found["oauth_signature_method"] != "HMAC-SHA1" || found["oauth_version"] != "1.0" {
            return Err(fault(400, "oauth_problem=signature_method_rejected"));
        }
        Ok(Self(found))
    }

    /// Whose it claims to be.
    pub(super) fn consumer_key(&self) -> &str {
        &self.0["oauth_consumer_key"]
    }

    /// Checks a `GET` to `url` against the token that the consumer has now.
    pub(super) fn check(&self, url: &str, token: &Token, nonces: &mut Nonces, now: Timestamp) -> Result<(), Rejected> {
        if self.0["oauth_token"] != token.access_token {
            return Err(no_token("oauth_problem=token_rejected"));
        }
        let signature = self.signature(url, token);
        let stated = self.0["oauth_signature"].as_bytes();
        if signature.len() != stated.len() || !memcmp::eq(signature.as_bytes(), stated) {
            return Err(fault(401, "oauth_problem=signature_invalid"));
        }
        if token.expires_at <= now {
            return Err(no_token("oauth_problem=token_expired"));
        }
        let at = self.0["oauth_timestamp"].parse().ok().map(Timestamp::from_seconds);
        if at.is_none_or(|at| now.since(at).max(at.since(now)) > CLOCK_SKEW) {
            return Err(fault(401, "oauth_problem=timestamp_refused"));
        }
        nonces.0.retain(|_, used_at| now.since(*used_at) <= CLOCK_SKEW * 2);
        let nonce = &self.0["oauth_nonce"];
        if nonce.is_empty() || nonces.0.insert(nonce.clone(), now).is_some() {
            return Err(fault(401, "oauth_problem=nonce_used"));
        }
        Ok(())
    }

    fn signature(&self, url: &str, token: &Token) -> String {
        let others = self.0.iter().filter(|(name, _)| *name != "oauth_signature");
        let pairs: Vec<String> = others.map(|(name, value)| format!("{name}={}", percent_encoded(value))).collect();
        let base = format!("GET&{}&{}", percent_encoded(url), percent_encoded(&pairs.join("&")));
        let key = format!("{}&{}", token.consumer_secret, token.access_secret);
        let code = PKey::hmac(key.as_bytes())
            .and_then(|key| Signer::new(MessageDigest::sha1(), &key)?.sign_oneshot_to_vec(base.as_bytes()));
        code.map(|code| encode_block(&code)).unwrap_or_default()
    }
}
