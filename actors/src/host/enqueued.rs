//! Commands were queued in this host's rows while its actor is at work: it takes them in and pushes.

use std::time::Duration;

use actix::prelude::*;
use bytes::Bytes;
use protocol::ids::Generation;
use protocol::queue::Entry;
use protocol::time::Timestamp;

use super::{Host, Standing};

/// A command was queued for a channel of this host.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct Enqueued {
    /// The channel's row.
    pub enrollment: i64,
    /// The generation that it was queued for.
    pub generation: Generation,
    /// The command.
    pub entry: Entry,
    /// Its text, if it is small.
    pub body: Option<Bytes>,
    /// When its device is to be pushed.
    pub push_at: Timestamp,
    /// When the host's row says that it is due.
    pub due_at: Timestamp,
}

impl Handler<Enqueued> for Host {
    type Result = ();

    fn handle(&mut self, queued: Enqueued, context: &mut Context<Self>) {
        if !matches!(self.standing, Standing::Ready) {
            return;
        }
        self.stored_wake_at = Some(wake_for_work(self.stored_wake_at, queued.due_at));
        let (now, policy) = (self.now(), self.parts.config.clone());
        // A generation that is over keeps nothing: its rows were superseded, or will not be handed out.
        let channel = self.channel_of_row(queued.enrollment);
        if let Some(channel) = channel.filter(|channel| channel.enabled && channel.generation == queued.generation) {
            let id = queued.entry.id;
            channel.queue.enqueue([queued.entry], queued.push_at.max(now), &policy.queue);
            if let Some(body) = queued.body.filter(|_| channel.queue.get(id).is_some()) {
                channel.bodies.keep(id, body);
            }
            self.touched_at = now;
        }
        self.push_now(context);
    }
}

/// What the row of a host says after work was queued for it: `entities::host_times` writes the same.
fn wake_for_work(stored: Option<Timestamp>, due_at: Timestamp) -> Timestamp {
    match stored {
        Some(stored) if stored <= due_at => stored.minus(Duration::from_millis(1)),
        _ => due_at,
    }
}

impl Host {
    /// Pushes at once where that is due; the timer does the rest.
    pub(super) fn push_now(&mut self, context: &mut Context<Self>) {
        self.push_what_is_due(self.now());
        self.rearm(context);
    }
}
