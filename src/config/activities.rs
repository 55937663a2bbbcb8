//! Settings of the activity log.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Span;

/// How long it is remembered what was done.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ActivitySettings {
    /// How long activities are kept; `0s` for ever.
    pub keep: Span,
}

impl Default for ActivitySettings {
    fn default() -> Self {
        Self { keep: Duration::ZERO.into() }
    }
}
