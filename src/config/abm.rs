//! Settings of Apple's device assignment: where the service is, and which devices are believed to be Apple's.

use std::path::PathBuf;
use std::time::Duration;

use actors::dep::DepConfig;
use actors::setup_experience::SetupConfig;
use anyhow::Context;
use protocol::apple::dep::machine_info::apple_authorities;
use protocol::pki::Certificate;
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
    /// After this time a device goes on from Setup Assistant, whatever is still open.
    pub setup_time_limit: Span,
    /// A file with the authorities (PEM) whose devices are believed to be Apple's; empty for Apple's own.
    pub device_authorities: PathBuf,
}

impl Default for AbmSettings {
    fn default() -> Self {
        let DepConfig { url, sync_every, .. } = DepConfig::default();
        Self {
            url,
            root_certificate: PathBuf::new(),
            sync_every: sync_every.into(),
            device_authorities: PathBuf::new(),
            setup_time_limit: SetupConfig::default().time_limit.into(),
        }
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

    /// The authorities whose devices are believed to be Apple's.
    ///
    /// # Errors
    /// The file cannot be read, or has another number of certificates than one.
    pub fn authorities(&self) -> anyhow::Result<Vec<Certificate>> {
        match pem(&self.device_authorities).context("abm.device_authorities")? {
            None => Ok(apple_authorities()),
            Some(text) => Ok(vec![Certificate::from_pem(text.as_bytes()).context("abm.device_authorities")?]),
        }
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
