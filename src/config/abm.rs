//! Settings of Apple's device assignment: where the service is, and which devices are believed to be Apple's.

use std::path::PathBuf;
use std::time::Duration;

use actors::dep::DepConfig;
use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::validate::is_base_url;
use super::{Span, pem};

/// Apple Business Manager.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct AbmSettings {
    /// The service's address.
    pub url: String,
    /// A root certificate file (PEM) to trust beside the system's, for a simulated service.
    pub root_certificate: PathBuf,
    /// How often changes are asked for.
    pub sync_every: Span,
}

impl Default for AbmSettings {
    fn default() -> Self {
        let DepConfig { url, sync_every, .. } = DepConfig::default();
        Self { url, root_certificate: PathBuf::new(), sync_every: sync_every.into() }
    }
}

impl AbmSettings {
    /// What the actor is told.
    ///
    /// # Errors
    /// The root certificate cannot be read.
    pub fn to_config(&self) -> anyhow::Result<DepConfig> {
        let root_certificate = pem(&self.root_certificate).context("abm.root_certificate")?;
        Ok(DepConfig { url: self.url.clone(), root_certificate, sync_every: self.sync_every.0 })
    }

    /// What is wrong with them.
    pub(super) fn fault(&self) -> Option<&'static str> {
        if !is_base_url(&self.url) {
            return Some("abm.url: must be https://host[:port] without a slash at its end");
        }
        // Shorter than a second is for tests; Apple throttles whoever asks so often.
        let sound = Duration::from_millis(10)..=Duration::from_secs(86_400);
        (!sound.contains(&self.sync_every.0)).then_some("abm.sync_every: must be from 10ms to 24h")
    }
}
