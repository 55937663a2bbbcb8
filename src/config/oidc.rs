//! Settings of the identity providers: the one at which people sign in, and the one for whoever enrolls a device.

use std::path::PathBuf;

use actors::authority::reference::Ownership;
use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::pem;
use super::saml::{self, SamlSettings};
use crate::http::admin::sso;
use crate::http::device::sso::{CALLBACK_PATH, METADATA_PATH};
use crate::http::oidc::{OidcConfig, Provider, is_sound};
use crate::http::sign_on::SignOn;

/// At which identity provider people sign in.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct OidcSettings {
    /// Its issuer identifier, `https://…`, exactly as it writes it; empty when nobody signs in there.
    pub issuer: String,
    /// Who we are to it.
    pub client_id: String,
    /// Our secret there.
    pub client_secret: String,
    /// What people call it.
    pub name: String,
    /// Whether somebody whom we do not know becomes a global observer; refused otherwise.
    pub new_users: bool,
    /// A root certificate file (PEM) to trust beside the system's.
    pub root_certificate: PathBuf,
}

impl Default for OidcSettings {
    fn default() -> Self {
        Self {
            issuer: String::new(),
            client_id: String::new(),
            client_secret: String::new(),
            name: "Single sign-on".into(),
            new_users: false,
            root_certificate: PathBuf::new(),
        }
    }
}

/// At which identity provider people sign in who enroll a device.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct EndUserSettings {
    /// See [`OidcSettings::issuer`].
    pub issuer: String,
    /// See [`OidcSettings::client_id`].
    pub client_id: String,
    /// See [`OidcSettings::client_secret`].
    pub client_secret: String,
    /// See [`OidcSettings::name`].
    pub name: String,
    /// See [`OidcSettings::root_certificate`].
    pub root_certificate: PathBuf,
    /// A file with the metadata of a provider that speaks SAML, in place of the issuer.
    pub saml_metadata: PathBuf,
    /// Whose devices become that people enroll with their account alone: `off` (nobody does), `personal` or `company`.
    pub account_driven: AccountDriven,
}

/// See [`EndUserSettings::account_driven`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountDriven {
    /// Nobody enrolls a device so.
    #[default]
    Off,
    /// Their user's.
    Personal,
    /// The organization's.
    Company,
}

impl Default for EndUserSettings {
    fn default() -> Self {
        let OidcSettings { issuer, client_id, client_secret, name, root_certificate, new_users: _ } =
            OidcSettings::default();
        Self {
            issuer,
            client_id,
            client_secret,
            name,
            root_certificate,
            saml_metadata: PathBuf::new(),
            account_driven: AccountDriven::Off,
        }
    }
}

impl EndUserSettings {
    /// What is wrong with them.
    pub(super) fn fault(&self) -> Option<&'static str> {
        let nowhere = self.issuer.is_empty() && self.saml_metadata.as_os_str().is_empty();
        if nowhere && self.account_driven != AccountDriven::Off {
            return Some(
                "end_user_authentication.account_driven: needs a provider to sign in at: set issuer or saml_metadata",
            );
        }
        if !self.saml_metadata.as_os_str().is_empty() {
            let both = "end_user_authentication: people sign in at one provider; set either issuer or saml_metadata";
            let built =
                "end_user_authentication.saml_metadata: this program was built without SAML (cargo feature saml)";
            return if self.issuer.is_empty() { saml::unless_built(built) } else { Some(both) };
        }
        match client_fault(&self.issuer, &self.client_id, &self.client_secret)? {
            ClientFault::Issuer => {
                Some("end_user_authentication.issuer: must be https://host[/path], as the identity provider writes it")
            }
            ClientFault::Client => Some(
                "end_user_authentication: client_id and client_secret are needed, which the identity provider gave you",
            ),
        }
    }

    /// Whose devices become that people enroll with their account alone.
    pub const fn ownership(&self) -> Option<Ownership> {
        match self.account_driven {
            AccountDriven::Off => None,
            AccountDriven::Personal => Some(Ownership::Personal),
            AccountDriven::Company => Some(Ownership::Company),
        }
    }

    /// The provider; `None` when nobody signs in there.
    ///
    /// # Errors
    /// A file that it names cannot be read.
    pub fn provider<P>(&self, device_url: &str) -> anyhow::Result<Option<SignOn<P>>> {
        let (us, back) = (format!("{device_url}{METADATA_PATH}"), format!("{device_url}{CALLBACK_PATH}"));
        if let Some(provider) = saml::provider(&self.saml_metadata, (&self.name, false), (us, back.clone()))? {
            return Ok(Some(provider));
        }
        if self.issuer.is_empty() {
            return Ok(None);
        }
        let config = OidcConfig {
            issuer: self.issuer.clone(),
            client_id: self.client_id.clone(),
            client_secret: self.client_secret.clone(),
            name: self.name.clone(),
            new_users: false,
            redirect_uri: back,
            root_certificate: pem(&self.root_certificate).context("end_user_authentication.root_certificate")?,
        };
        Ok(Some(SignOn::Oidc(Provider::new(config).map_err(anyhow::Error::msg)?)))
    }
}

/// What is wrong with who we are to a provider.
enum ClientFault {
    Issuer,
    Client,
}

fn client_fault(issuer: &str, client_id: &str, client_secret: &str) -> Option<ClientFault> {
    if issuer.is_empty() {
        return None;
    }
    if !is_sound(issuer, true) || issuer.contains(['?', '#']) {
        return Some(ClientFault::Issuer);
    }
    (client_id.is_empty() || client_secret.is_empty()).then_some(ClientFault::Client)
}

impl OidcSettings {
    /// What is wrong with them, where people reach this server at this address.
    pub(super) fn fault(&self, admin_url: &str) -> Option<&'static str> {
        match client_fault(&self.issuer, &self.client_id, &self.client_secret) {
            Some(ClientFault::Issuer) => {
                Some("oidc.issuer: must be https://host[/path], as the identity provider writes it")
            }
            Some(ClientFault::Client) => {
                Some("oidc: client_id and client_secret are needed, which the identity provider gave you")
            }
            None => (!self.issuer.is_empty() && admin_url.is_empty())
                .then_some("oidc.issuer: needs admin.url, to which people come back from there"),
        }
    }

    /// The provider; `None` when nobody signs in there.
    ///
    /// # Errors
    /// A file that it names cannot be read.
    pub fn provider(&self, admin_url: &str, by_saml: &SamlSettings) -> anyhow::Result<Option<SignOn>> {
        let (us, back) = (format!("{admin_url}{}", sso::METADATA_PATH), format!("{admin_url}{}", sso::FORM_PATH));
        let said = (by_saml.name.as_str(), by_saml.new_users);
        if let Some(provider) = saml::provider(&by_saml.metadata, said, (us, back)).context("saml.metadata")? {
            return Ok(Some(provider));
        }
        if self.issuer.is_empty() {
            return Ok(None);
        }
        let config = OidcConfig {
            issuer: self.issuer.clone(),
            client_id: self.client_id.clone(),
            client_secret: self.client_secret.clone(),
            name: self.name.clone(),
            new_users: self.new_users,
            redirect_uri: format!("{admin_url}/login/oidc/callback"),
            root_certificate: pem(&self.root_certificate).context("oidc.root_certificate")?,
        };
        Ok(Some(SignOn::Oidc(Provider::new(config).map_err(anyhow::Error::msg)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    #[test]
    fn an_identity_provider_needs_tls_a_client_and_a_way_back() {
        assert_eq!((OidcSettings::default().fault(""), EndUserSettings::default().fault()), (None, None));
        let sound = OidcSettings {
            issuer: "https://login.example.com/tenant".into(),
            client_id: "rookery".into(),
            client_secret: "secret".into(),
            ..OidcSettings::default()
        };
        let url = "https://rookery.example.com";
        assert_eq!(sound.fault(url), None);
        let shown = Settings { oidc: sound.clone(), ..Settings::default() }.shown();
        assert!(shown.contains("login.example.com") && !shown.contains("\"secret\""), "{shown}");
        assert!(sound.fault("").unwrap().contains("admin.url"));
        assert!(OidcSettings { client_secret: String::new(), ..sound.clone() }.fault(url).is_some());
        for (issuer, accepted) in [
            ("http://login.example.com", false),
            ("http://127.0.0.1.example.com", false),
            ("http://localhost@example.com", false),
            ("https://ada:password@login.example.com", false),
            ("https://login.example.com?tenant=1", false),
            ("login.example.com", false),
            ("http://127.0.0.1:9000", true),
            ("http://[::1]:9000", true),
        ] {
            let settings = OidcSettings { issuer: issuer.into(), ..sound.clone() };
            assert_eq!(settings.fault(url).is_none(), accepted, "{issuer}");
            let OidcSettings { issuer, client_id, client_secret, .. } = settings;
            let of_users = EndUserSettings { issuer, client_id, client_secret, ..EndUserSettings::default() };
            assert_eq!(of_users.fault().is_none(), accepted);
            assert!(EndUserSettings { client_id: String::new(), ..of_users }.fault().is_some());
        }
    }
}
