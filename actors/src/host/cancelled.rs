//! A command was taken back in this host's rows while its actor is at work: it forgets it.

use actix::prelude::*;
use protocol::queue::State;

use super::{Host, Standing};

/// A command of this host was taken back.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct Cancelled {
    /// The channel's row.
    pub enrollment: i64,
    /// The queue entry.
    pub entry: i64,
}

impl Handler<Cancelled> for Host {
    type Result = ();

    fn handle(&mut self, cancelled: Cancelled, context: &mut Context<Self>) {
        if !matches!(self.standing, Standing::Ready) {
            return;
        }
        if let Some(channel) = self.channel_of_row(cancelled.enrollment) {
            channel.has_ended(cancelled.entry, State::Cancelled);
        }
        self.rearm(context);
    }
}
