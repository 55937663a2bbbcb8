//! An admin deleted this host: what was pending for it is cancelled in its rows, and its actor knows nothing of that.

use actix::prelude::*;

use super::Host;
use crate::ask::Refusal;

/// The rows of this host were changed by another hand.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct Deleted;

impl Handler<Deleted> for Host {
    type Result = ();

    fn handle(&mut self, _: Deleted, context: &mut Context<Self>) {
        // Its successor, if a message comes for one, reads the rows.
        let _: Result<(), Refusal> = self.become_stale(Refusal::soon("the host was deleted just now"), context);
    }
}
