//! Sign-in at an identity provider by OpenID Connect: the authorization code flow with PKCE, state and nonce.
//!
//! [`Provider::begin`] says where the browser goes, [`Provider::finish`] reads what it comes back with, and says who it is.
//! Never here: who may sign in (that is `admin/sso.rs` and `device/sso.rs`), and tokens of the provider beyond the one that says who somebody is.
//! Sources: OpenID Connect Core 1.0 and Discovery 1.0, RFC 7636 (PKCE), RFC 9207 (`iss`), RFC 9700 (security).

pub(in crate::http) mod cookie;
pub(in crate::http) mod logins;
mod remote;
mod token;

use std::fmt;
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openssl::rand::rand_bytes;
use openssl::sha::sha256;
use protocol::time::Timestamp;
use reqwest::Url;
use serde::Deserialize;

use self::logins::{Login, Logins};
use self::remote::Remote;
pub(in crate::http) use self::remote::{KnownKeys, client};
use self::token::Expected;
pub(in crate::http) use self::token::{Audience, TokenFault};

/// What the provider is, and what we are to it.
#[derive(Clone)]
pub struct OidcConfig {
    /// Its issuer identifier.
    pub issuer: String,
    /// Who we are to it.
    pub client_id: String,
    /// Our secret there.
    pub client_secret: String,
    /// What people call it.
    pub name: String,
    /// Whether somebody whom we do not know becomes a global observer.
    pub new_users: bool,
    /// Where it sends people back to.
    pub redirect_uri: String,
    /// A root certificate (PEM) to trust beside the system's.
    pub root_certificate: Option<String>,
}

/// An identity provider, at which people sign in for a purpose.
pub struct Provider<P = ()> {
    config: OidcConfig,
    remote: Remote,
    logins: Logins<P>,
}

/// A sign-in that has begun.
pub struct Begun {
    /// Where the browser goes.
    pub url: String,
    /// What the browser keeps, so that nobody else can finish what it began.
    pub browser: String,
    /// Whether it comes back by a form of the provider's, which a stricter cookie would not go with.
    pub is_posted_back: bool,
}

/// What the browser comes back with. Whatever else the provider adds is not for us.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Return {
    /// What we gave it on its way.
    #[serde(default)]
    pub state: String,
    /// What it stands for at the provider; `None` when the provider refused.
    pub code: Option<String>,
    /// Who the provider says it is (RFC 9207).
    pub iss: Option<String>,
}

/// Who signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// Their email address; the provider does not say that it is not theirs.
    pub email: String,
    /// What people call them; empty when the provider does not say.
    pub name: String,
}

/// Why nobody signs in. The texts are for the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OidcError {
    /// What the browser came back with does not hold.
    #[error("{0}")]
    Refused(String),
    /// The provider does not answer, or not as it should.
    #[error("{0}")]
    Away(String),
    /// The system has no randomness.
    #[error("the system has no randomness")]
    NoRandomness,
}

impl<P> fmt::Debug for Provider<P> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "identity provider {}", self.config.issuer)
    }
}

impl fmt::Debug for OidcConfig {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "client {} of {}", self.client_id, self.issuer)
    }
}

impl<P> Provider<P> {
    /// A provider; nothing is asked of it yet.
    ///
    /// # Errors
    /// The root certificate is none.
    pub fn new(config: OidcConfig) -> Result<Self, String> {
        let remote = Remote::new(&config)?;
        Ok(Self { config, remote, logins: Logins::default() })
    }

    /// What people call it.
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// Whether somebody whom we do not know becomes a global observer.
    pub const fn takes_new_users(&self) -> bool {
        self.config.new_users
    }

    /// Begins a sign-in for a purpose.
    ///
    /// # Errors
    /// The provider does not answer, or there is no randomness.
    pub async fn begin(&self, purpose: P) -> Result<Begun, OidcError> {
        let metadata = self.remote.metadata(Instant::now()).await?;
        let (state, nonce, verifier, browser) = (random()?, random()?, random()?, random()?);
        let challenge = URL_SAFE_NO_PAD.encode(sha256(verifier.as_bytes()));
        let away = |_| OidcError::Away("its authorization endpoint is no URL".into());
        let mut url = Url::parse(&metadata.authorization_endpoint).map_err(away)?;
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.config.client_id)
            .append_pair("redirect_uri", &self.config.redirect_uri)
            .append_pair("scope", "openid email profile")
            .append_pair("state", &state)
            .append_pair("nonce", &nonce)
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256");
        let login = Login { browser: sha256(browser.as_bytes()), nonce, verifier, purpose, since: Instant::now() };
        self.logins.put(&state, login);
        Ok(Begun { url: url.into(), browser, is_posted_back: false })
    }

    /// Finishes a sign-in: who it is, and what for. What it began with is worth nothing afterwards, whatever comes of it.
    ///
    /// # Errors
    /// What came back does not hold, or the provider does not answer.
    pub async fn finish(&self, browser: &str, came: Return, now: Timestamp) -> Result<(Person, P), OidcError> {
        let refused = |why: &str| OidcError::Refused(why.to_owned());
        let login = self.logins.take(&came.state, Instant::now());
        let login = login.ok_or_else(|| refused("this sign-in did not begin here, is over, or is too old"))?;
        if login.browser != sha256(browser.as_bytes()) {
            return Err(refused("another browser began this sign-in"));
        }
        if came.iss.is_some_and(|iss| iss != self.config.issuer) {
            return Err(refused("another identity provider answers"));
        }
        let code = came.code.ok_or_else(|| refused("the identity provider refused"))?;
        let id_token = self.remote.exchange(&code, &login.verifier).await?;
        let expected = Expected {
            issuer: &self.config.issuer,
            client_id: &self.config.client_id,
            nonce: &login.nonce,
            now: now.millis() / 1000,
        };
        let mut keys = self.remote.keys(Instant::now(), false).await?;
        let mut verified = token::verify(&id_token, &keys, &expected);
        if verified == Err(TokenFault::UnknownKey) {
            keys = self.remote.keys(Instant::now(), true).await?;
            verified = token::verify(&id_token, &keys, &expected);
        }
        let person = verified.map_err(|fault| OidcError::Refused(fault.to_string()))?;
        Ok((person, login.purpose))
    }
}

/// Whether a URL is one that we ask, or send people to: HTTPS; plain HTTP on this machine alone, where that is allowed.
pub fn is_sound(url: &str, is_plain_allowed: bool) -> bool {
    let Ok(url) = Url::parse(url) else { return false };
    let is_local = || matches!(url.host_str(), Some("127.0.0.1" | "[::1]" | "localhost"));
    let is_safe = url.scheme() == "https" || url.scheme() == "http" && is_plain_allowed && is_local();
    is_safe && url.host_str().is_some() && url.username().is_empty() && url.password().is_none()
}

/// 256 random bits.
pub(in crate::http) fn random() -> Result<String, OidcError> {
    let mut random = [0; 32];
    rand_bytes(&mut random).map_err(|_| OidcError::NoRandomness)?;
    Ok(URL_SAFE_NO_PAD.encode(random))
}
