//! Sign-in elsewhere, whichever way the identity provider speaks: OpenID Connect ([`oidc`]), or SAML 2.0 where this program was
//! built with it (`saml`). Who may sign in is not known here.

use actix_web::web::Query;
use protocol::time::Timestamp;

use super::oidc::{self, Begun, OidcError, Person, Return};
#[cfg(feature = "saml")]
use super::saml;

/// The longest form of a SAML response, in bytes: what `protocol::saml` reads of one, as forms write it.
pub(super) const MAX_FORM_BYTES: usize = 512 * 1024;
/// What metadata is.
pub(super) const METADATA_TYPE: &str = "application/samlmetadata+xml";

/// An identity provider, at which people sign in for a purpose.
#[derive(Debug)]
pub enum SignOn<P = ()> {
    /// One that speaks OpenID Connect.
    Oidc(oidc::Provider<P>),
    /// One that speaks SAML 2.0.
    #[cfg(feature = "saml")]
    Saml(saml::Provider<P>),
}

/// What a browser comes back with.
#[derive(Debug)]
pub enum Came {
    /// In the address, as OpenID Connect does.
    Query(Return),
    /// In a form, as SAML does.
    Form(Posted),
}

/// The form of a SAML response (Bindings 3.5). Whatever else stands in it is not for us.
#[derive(Debug, Default, serde::Deserialize)]
pub struct Posted {
    /// The response, in Base64.
    #[serde(rename = "SAMLResponse", default)]
    pub response: String,
    /// What we gave the browser on its way.
    #[serde(rename = "RelayState", default)]
    pub state: String,
}

impl Posted {
    /// Reads a form.
    pub fn read(body: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(body).ok()?;
        Query::<Self>::from_query(text).ok().map(Query::into_inner)
    }
}

impl<P> SignOn<P> {
    /// What people call it.
    pub fn name(&self) -> &str {
        match self {
            Self::Oidc(provider) => provider.name(),
            #[cfg(feature = "saml")]
            Self::Saml(provider) => provider.name(),
        }
    }

    /// Whether somebody whom we do not know becomes a global observer.
    pub const fn takes_new_users(&self) -> bool {
        match self {
            Self::Oidc(provider) => provider.takes_new_users(),
            #[cfg(feature = "saml")]
            Self::Saml(provider) => provider.takes_new_users(),
        }
    }

    /// What we tell the provider of us; `None` where it reads none.
    pub fn metadata(&self) -> Option<String> {
        match self {
            Self::Oidc(_) => None,
            #[cfg(feature = "saml")]
            Self::Saml(provider) => Some(provider.metadata()),
        }
    }

    /// Begins a sign-in for a purpose.
    ///
    /// # Errors
    /// The provider does not answer, or there is no randomness.
    pub async fn begin(&self, purpose: P, now: Timestamp) -> Result<Begun, OidcError> {
        match self {
            Self::Oidc(provider) => {
                let _ = now;
                provider.begin(purpose).await
            }
            #[cfg(feature = "saml")]
            Self::Saml(provider) => provider.begin(purpose, now),
        }
    }

    /// Finishes a sign-in: who it is, and what for.
    ///
    /// # Errors
    /// What came back does not hold, or the provider does not answer.
    pub async fn finish(&self, browser: &str, came: Came, now: Timestamp) -> Result<(Person, P), OidcError> {
        match (self, came) {
            (Self::Oidc(provider), Came::Query(came)) => provider.finish(browser, came, now).await,
            #[cfg(feature = "saml")]
            (Self::Saml(provider), Came::Form(posted)) => provider.finish(browser, &posted, now),
            _ => Err(OidcError::Refused("the browser comes back another way than this provider sends it".into())),
        }
    }
}
