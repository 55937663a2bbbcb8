//! The device of this host enrolled anew: its rows were changed by another hand, and its actor knows nothing of that.

use actix::prelude::*;

use super::Host;
use crate::ask::Refusal;

/// The rows of this host have another enrollment.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct EnrolledAnew;

impl Handler<EnrolledAnew> for Host {
    type Result = ();

    fn handle(&mut self, _: EnrolledAnew, context: &mut Context<Self>) {
        // Its successor, for the first message of the new enrollment, reads the rows.
        let _: Result<(), Refusal> = self.become_stale(Refusal::soon("the device enrolled anew just now"), context);
    }
}
