//! Sign-in at an identity provider by SAML 2.0: the browser carries a request there, and brings a signed response back. What a
//! response must be, `protocol::saml` knows; here stand the requests that are under way, and the assertions that were seen.
//!
//! Never here: who may sign in.

mod seen;

use std::fmt;
use std::time::Instant;

use openssl::sha::sha256;
use protocol::saml::metadata::{self, Provider as Described};
use protocol::saml::request::Request;
use protocol::saml::response::{Expected, verify};
use protocol::time::Timestamp;

use self::seen::Seen;
use super::oidc::logins::{Login, Logins};
use super::oidc::{Begun, OidcError, Person, random};
use super::sign_on::Posted;

/// What the provider is, and what we are to it.
#[derive(Clone)]
pub struct SamlConfig {
    /// What its metadata says.
    pub provider: Described,
    /// What people call it.
    pub name: String,
    /// Whether somebody whom we do not know becomes a global observer.
    pub new_users: bool,
    /// Our entity id: the address of our metadata.
    pub entity_id: String,
    /// Where browsers bring responses.
    pub consumer_url: String,
}

/// An identity provider, at which people sign in for a purpose.
pub struct Provider<P = ()> {
    config: SamlConfig,
    logins: Logins<P>,
    seen: Seen,
}

impl<P> fmt::Debug for Provider<P> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "identity provider {}", self.config.provider.entity_id)
    }
}

impl fmt::Debug for SamlConfig {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "service {} of {}", self.entity_id, self.provider.entity_id)
    }
}

impl<P> Provider<P> {
    /// A provider.
    pub fn new(config: SamlConfig) -> Self {
        Self { config, logins: Logins::default(), seen: Seen::default() }
    }

    /// What people call it.
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// Whether somebody whom we do not know becomes a global observer.
    pub const fn takes_new_users(&self) -> bool {
        self.config.new_users
    }

    /// Our metadata.
    pub fn metadata(&self) -> String {
        metadata::describe(&self.config.entity_id, &self.config.consumer_url)
    }

    /// Begins a sign-in for a purpose.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn begin(&self, purpose: P, at: Timestamp) -> Result<Begun, OidcError> {
        let (state, browser) = (random()?, random()?);
        // An id begins with a letter or an underscore (xs:ID), which 256 random bits in Base64 need not.
        let id = format!("_{}", random()?);
        let request = Request {
            id: &id,
            entity_id: &self.config.entity_id,
            consumer_url: &self.config.consumer_url,
            sign_on_url: &self.config.provider.sign_on_url,
            at,
        };
        let url = request.url(&state);
        let login = Login {
            browser: sha256(browser.as_bytes()),
            nonce: id,
            verifier: String::new(),
            purpose,
            since: Instant::now(),
        };
        self.logins.put(&state, login);
        Ok(Begun { url, browser, is_posted_back: true })
    }

    /// Finishes a sign-in. What it began with is worth nothing afterwards, whatever comes of it.
    ///
    /// # Errors
    /// What came back does not hold.
    pub fn finish(&self, browser: &str, posted: &Posted, now: Timestamp) -> Result<(Person, P), OidcError> {
        let refused = |why: &str| OidcError::Refused(why.to_owned());
        let login = self.logins.take(&posted.state, Instant::now());
        let login = login.ok_or_else(|| refused("this sign-in did not begin here, is over, or is too old"))?;
        if login.browser != sha256(browser.as_bytes()) {
            return Err(refused("another browser began this sign-in"));
        }
        let expected = Expected {
            provider: &self.config.provider.entity_id,
            entity_id: &self.config.entity_id,
            consumer_url: &self.config.consumer_url,
            request_id: &login.nonce,
            keys: &self.config.provider.keys,
            now,
        };
        let said = verify(&posted.response, &expected).map_err(|fault| OidcError::Refused(fault.to_string()))?;
        if !self.seen.note(&said.assertion_id, said.until, now) {
            return Err(refused("this assertion was seen before"));
        }
        let email = said.email().ok_or_else(|| refused("the assertion holds no email address"))?;
        let person = Person { email: email.to_owned(), name: said.full_name().to_owned() };
        Ok((person, login.purpose))
    }
}
