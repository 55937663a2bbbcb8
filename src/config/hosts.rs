//! Settings of host actors and their queues.

use serde::{Deserialize, Serialize};

use super::Span;

/// Host actors and their queues.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct HostSettings {
    /// A host with nothing to do gives its memory back after this time.
    pub idle: Span,
    /// First wait before a device that did not come is pushed again.
    pub push_again: Span,
    /// Longest wait between two pushes for the same work.
    pub push_again_cap: Span,
    /// First wait after `NotNow` when the device will not poll by itself.
    pub not_now: Span,
    /// Wait after a session that ended in `NotNow`.
    pub not_now_safety: Span,
    /// At most one push in this time while the device has not come.
    pub push_quiet: Span,
    /// How long a command that is dangerous twice rests between two hand-outs.
    pub resend_grace: Span,
    /// Hand-outs without an answer after which a command is parked.
    pub max_attempts: i16,
    /// When a device is pushed once more after it enrolled.
    pub second_push: Span,
}

impl Default for HostSettings {
    fn default() -> Self {
        let usual = actors::host::HostConfig::default();
        Self {
            idle: usual.idle.into(),
            push_again: usual.queue.push_again.into(),
            push_again_cap: usual.queue.push_again_cap.into(),
            not_now: usual.queue.not_now.into(),
            not_now_safety: usual.queue.not_now_safety.into(),
            push_quiet: usual.queue.push_quiet.into(),
            resend_grace: usual.queue.resend_grace.into(),
            max_attempts: usual.queue.max_attempts,
            second_push: usual.queue.second_push.into(),
        }
    }
}
