//! What a host's actor looks like from outside, for operators and tests.

use actix::prelude::*;
use protocol::time::Timestamp;

use super::Host;
use crate::ask::Answer;

/// Asks for a host's state.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Answer<HostState>")]
pub struct Observe;

/// A host's state in memory.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct HostState {
    /// The host.
    pub host_id: i64,
    /// Its channels.
    pub channels: Vec<ChannelState>,
    /// Milliseconds until something is due; absent when nothing is.
    pub due_in_ms: Option<i64>,
}

/// A channel's state in memory.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ChannelState {
    /// NanoMDM's name of it.
    pub id: String,
    /// NanoMDM's name of its kind.
    pub kind: &'static str,
    /// Whether it may be sent commands.
    pub enabled: bool,
    /// See [`protocol::ids::Generation`].
    pub generation: i32,
    /// Whether it can be pushed to.
    pub push: &'static str,
    /// Commands that have not ended and are in memory.
    pub pending: usize,
    /// Whether others wait in rows alone.
    pub more_in_rows: bool,
}

impl Handler<Observe> for Host {
    type Result = Answer<HostState>;

    fn handle(&mut self, _: Observe, _: &mut Context<Self>) -> Self::Result {
        if let Some(why) = self.stale() {
            return Err(why);
        }
        let now = self.now();
        let channels = self.channels.iter().map(|channel| ChannelState {
            id: channel.id.as_str().to_owned(),
            kind: channel.kind.as_str(),
            enabled: channel.enabled,
            generation: channel.generation.0,
            push: match &channel.push {
                None => "no token",
                Some(target) if target.dead => "dead token",
                Some(_) => "ready",
            },
            pending: channel.queue.in_memory(),
            more_in_rows: channel.queue.more_in_rows(),
        });
        let until = |at: Timestamp| at.millis().saturating_sub(now.millis());
        Ok(HostState { host_id: self.id.0, channels: channels.collect(), due_in_ms: self.wake_at().map(until) })
    }
}
