//! Settings of webhooks, and of where requests to addresses that admins choose may go.

use std::path::PathBuf;

use actors::egress::EgressConfig;
use actors::egress::address::Network;
use actors::webhooks::WebhooksConfig;
use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::Span;
use super::listed::listed;

/// How patient deliveries are.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebhookSettings {
    /// Requests to one receiver at once.
    pub parallel: usize,
    /// Refusals after which an event becomes a dead letter.
    pub max_refusals: i32,
    /// The age at which an event becomes a dead letter.
    pub max_age: Span,
    /// How long dead letters are kept.
    pub keep_dead: Span,
}

/// Where requests may go.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct EgressSettings {
    /// Networks that may be reached although they are not public, and without TLS: a list, or a text with commas.
    #[serde(deserialize_with = "listed")]
    pub allow: Vec<String>,
    /// A root certificate file (PEM) to trust beside the system's.
    pub root_certificate: PathBuf,
}

impl Default for WebhookSettings {
    fn default() -> Self {
        let usual = WebhooksConfig::default();
        Self {
            parallel: usual.parallel,
            max_refusals: usual.max_refusals,
            max_age: usual.max_age.into(),
            keep_dead: usual.keep_dead.into(),
        }
    }
}

impl WebhookSettings {
    /// What is wrong with them.
    pub(super) fn fault(&self) -> Option<&'static str> {
        let sound = (1..=256).contains(&self.parallel) && self.max_refusals > 0;
        (!sound).then_some("webhooks: parallel must be from 1 to 256, max_refusals at least 1")
    }

    /// What the actor is told.
    pub fn to_config(&self) -> WebhooksConfig {
        WebhooksConfig {
            parallel: self.parallel,
            max_refusals: self.max_refusals,
            max_age: self.max_age.0,
            keep_dead: self.keep_dead.0,
        }
    }
}

impl EgressSettings {
    fn networks(&self) -> Result<Vec<Network>, String> {
        self.allow.iter().map(|text| text.parse().map_err(|fault| format!("egress.allow: {fault}"))).collect()
    }

    /// What is wrong with them.
    pub(super) fn fault(&self) -> Option<String> {
        self.networks().err()
    }

    /// What the way out is told.
    ///
    /// # Errors
    /// The root certificate cannot be read.
    pub fn to_config(&self) -> anyhow::Result<EgressConfig> {
        let allow = self.networks().map_err(anyhow::Error::msg)?;
        Ok(EgressConfig { allow, root_certificate: pem(&self.root_certificate)? })
    }
}

/// The text of a file, where one is named.
pub(crate) fn pem(file: &PathBuf) -> anyhow::Result<Option<String>> {
    if file.as_os_str().is_empty() {
        return Ok(None);
    }
    std::fs::read_to_string(file).map(Some).with_context(|| format!("cannot read {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_that_is_none_is_named() {
        let settings = EgressSettings { allow: vec!["10.0.0.0/8".into(), "intranet".into()], ..Default::default() };
        assert!(settings.fault().unwrap().starts_with("egress.allow: \"intranet\""));
        assert_eq!(EgressSettings::default().fault(), None);
    }
}
