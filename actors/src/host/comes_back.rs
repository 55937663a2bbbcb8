//! A Mac whose PIN was shown comes back: it is unlocked, in the same transaction as its poll.

use actix::prelude::*;
use protocol::queue;

use super::Host;
use super::report::Report;

/// The PIN of this host was shown in its rows while its actor is at work.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct AwaitUnlock;

impl Handler<AwaitUnlock> for Host {
    type Result = ();

    fn handle(&mut self, _: AwaitUnlock, _: &mut Context<Self>) {
        self.awaits_unlock = true;
    }
}

impl Host {
    /// The host, if this report shows that it was unlocked.
    pub(super) fn unlocked_by(&self, report: &Report) -> Option<i64> {
        let of_device = !report.sender.channel.kind.is_user();
        (self.awaits_unlock && of_device && report.answer == queue::Answer::Idle).then_some(self.id.0)
    }
}
