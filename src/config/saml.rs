//! Settings of an identity provider that speaks SAML 2.0.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::OidcSettings;
use crate::http::sign_on::SignOn;

/// At which SAML provider people sign in.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct SamlSettings {
    /// A file with its metadata; empty when nobody signs in there.
    pub metadata: PathBuf,
    /// What people call it.
    pub name: String,
    /// Whether somebody whom we do not know becomes a global observer; refused otherwise.
    pub new_users: bool,
}

impl Default for SamlSettings {
    fn default() -> Self {
        Self { metadata: PathBuf::new(), name: OidcSettings::default().name, new_users: false }
    }
}

impl SamlSettings {
    /// What is wrong with them, where people reach this server at this address, and perhaps sign in elsewhere.
    pub(super) fn fault(&self, admin_url: &str, oidc: &OidcSettings) -> Option<&'static str> {
        if self.metadata.as_os_str().is_empty() {
            return None;
        }
        if !oidc.issuer.is_empty() {
            return Some("saml.metadata: people sign in at one provider; set either this or oidc.issuer");
        }
        if admin_url.is_empty() {
            return Some("saml.metadata: needs admin.url, to which people come back from there");
        }
        unless_built("saml.metadata: this program was built without SAML (cargo feature saml)")
    }
}

/// A fault where this program does not speak SAML.
pub(super) fn unless_built(fault: &'static str) -> Option<&'static str> {
    (!cfg!(feature = "saml")).then_some(fault)
}

/// A provider, as its metadata describes it; `None` where the file is none.
///
/// # Errors
/// The metadata cannot be read, or this program does not speak SAML.
pub(super) fn provider<P>(
    metadata: &Path,
    (name, new_users): (&str, bool),
    (entity_id, consumer_url): (String, String),
) -> anyhow::Result<Option<SignOn<P>>> {
    if metadata.as_os_str().is_empty() {
        return Ok(None);
    }
    speak(metadata, (name, new_users), (entity_id, consumer_url)).map(Some)
}

#[cfg(feature = "saml")]
fn speak<P>(
    metadata: &Path,
    (name, new_users): (&str, bool),
    (entity_id, consumer_url): (String, String),
) -> anyhow::Result<SignOn<P>> {
    use anyhow::{Context, ensure};
    use protocol::saml::metadata::Provider as Described;

    use crate::http::oidc::is_sound;
    use crate::http::saml::{Provider, SamlConfig};

    let place = || format!("cannot read {}", metadata.display());
    let text = std::fs::read_to_string(metadata).with_context(place)?;
    let provider = Described::parse(&text).with_context(place)?;
    ensure!(is_sound(&provider.sign_on_url, true), "{}: its address for requests is not https://", metadata.display());
    let config = SamlConfig { provider, name: name.to_owned(), new_users, entity_id, consumer_url };
    Ok(SignOn::Saml(Provider::new(config)))
}

#[cfg(not(feature = "saml"))]
fn speak<P>(_: &Path, _: (&str, bool), _: (String, String)) -> anyhow::Result<SignOn<P>> {
    anyhow::bail!("this program was built without SAML (cargo feature saml)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_sign_in_at_one_provider_and_come_back() {
        let (url, none) = ("https://rookery.example.com", OidcSettings::default());
        assert_eq!(SamlSettings::default().fault("", &none), None);
        let set = SamlSettings { metadata: "metadata.xml".into(), ..SamlSettings::default() };
        assert_eq!(set.fault(url, &none).is_none(), cfg!(feature = "saml"));
        assert!(set.fault("", &none).unwrap().contains("admin.url"));
        let oidc = OidcSettings { issuer: "https://login.example.com".into(), ..none };
        assert!(set.fault(url, &oidc).unwrap().contains("either"));
    }
}
