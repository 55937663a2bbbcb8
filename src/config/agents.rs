//! Settings of agents that are no MDM: how often they are asked for what.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Span;

/// How agents are served.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct AgentSettings {
    /// How old details of a host may get before its agent is asked for them.
    pub detail_interval: Span,
    /// How often osquery asks for queries.
    pub query_interval: Span,
}

impl Default for AgentSettings {
    fn default() -> Self {
        Self { detail_interval: Duration::from_secs(3600).into(), query_interval: Duration::from_secs(30).into() }
    }
}

impl AgentSettings {
    /// What is wrong with them.
    pub(super) fn fault(&self) -> Option<&'static str> {
        if self.detail_interval.0 < Duration::from_secs(60) {
            return Some("agents.detail_interval: must be 1m or more");
        }
        let sound = Duration::from_secs(1)..=Duration::from_secs(3600);
        (!sound.contains(&self.query_interval.0)).then_some("agents.query_interval: must be from 1s to 1h")
    }
}
