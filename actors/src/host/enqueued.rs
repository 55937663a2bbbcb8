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
        let stored_wake_at = wake_for_work(self.stored_wake_at, queued.due_at);
        if self.awaits_what_rows_know(&queued) {
            let reading = self.read_untold(stored_wake_at);
            return context.wait(reading.map(|read, host, context| match read {
                Ok(()) => host.push_now(context),
                Err(_) => host.try_again_later(context),
            }));
        }
        self.stored_wake_at = Some(stored_wake_at);
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
    /// Whether a command waits for another one that memory does not hold: it may have ended since, one way or the other.
    fn awaits_what_rows_know(&mut self, queued: &Enqueued) -> bool {
        let Some(after) = queued.entry.after else { return false };
        self.channel_of_row(queued.enrollment).is_some_and(|channel| channel.queue.get(after).is_none())
    }

    /// Pushes at once where that is due; the timer does the rest.
    pub(super) fn push_now(&mut self, context: &mut Context<Self>) {
        self.push_what_is_due(self.now());
        self.rearm(context);
    }
}
