//! Settings of the identity provider at which people sign in.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::pem;
use crate::http::oidc::{OidcConfig, is_sound};

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

impl OidcSettings {
    /// What is wrong with them, where people reach this server at this address.
    pub(super) fn fault(&self, admin_url: &str) -> Option<&'static str> {
        if self.issuer.is_empty() {
            return None;
        }
        if !is_sound(&self.issuer, true) || self.issuer.contains(['?', '#']) {
            return Some("oidc.issuer: must be https://host[/path], as the identity provider writes it");
        }
        if self.client_id.is_empty() || self.client_secret.is_empty() {
            return Some("oidc: client_id and client_secret are needed, which the identity provider gave you");
        }
        admin_url.is_empty().then_some("oidc.issuer: needs admin.url, to which people come back from there")
    }

    /// What the edge is told; `None` when nobody signs in there.
    ///
    /// # Errors
    /// The root certificate cannot be read.
    pub fn to_config(&self, admin_url: &str) -> anyhow::Result<Option<OidcConfig>> {
        if self.issuer.is_empty() {
            return Ok(None);
        }
        Ok(Some(OidcConfig {
            issuer: self.issuer.clone(),
            client_id: self.client_id.clone(),
            client_secret: self.client_secret.clone(),
            name: self.name.clone(),
            new_users: self.new_users,
            redirect_uri: format!("{admin_url}/login/oidc/callback"),
            root_certificate: pem(&self.root_certificate)?,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    #[test]
    fn an_identity_provider_needs_tls_a_client_and_a_way_back() {
        assert_eq!(OidcSettings::default().fault(""), None);
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
        }
    }
}
