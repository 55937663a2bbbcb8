//! Makes sure that each device has exactly one row before its actor exists: whatever learns of a device first inserts or
//! matches it here.

use actix::prelude::*;
use entities::{Writer, host};
use protocol::apple::channel::EnrollmentId;
use protocol::ids::HostId;

use crate::ask::{Answer, Ask};
use crate::clock::Clock;
use crate::supervisor::{Guard, Stop};
use crate::tree::Parts;

/// The actor.
pub struct Registrar {
    guard: Guard,
    writer: Writer,
    clock: Clock,
}

/// Finds the host of a device, or makes one.
#[derive(Debug, Message)]
#[rtype(result = "Answer<HostId>")]
pub struct Admit {
    /// What the device says about itself.
    pub description: host::Description,
    /// The name of its device channel.
    pub enrollment: EnrollmentId,
}

impl Registrar {
    /// Starts the actor.
    pub fn launch(parts: &Parts, guard: Guard) -> Recipient<Stop> {
        let gauge = guard.gauge().clone();
        let address = Self { guard, writer: parts.writer.clone(), clock: parts.clock.clone() }.start();
        parts.registrar.publish(address.clone(), gauge);
        address.recipient()
    }
}

impl Actor for Registrar {
    type Context = Context<Self>;
}

impl Handler<Stop> for Registrar {
    type Result = ();

    fn handle(&mut self, _: Stop, context: &mut Self::Context) {
        context.stop();
    }
}

impl<M> Handler<Ask<M>> for Registrar
where
    Self: Handler<M>,
    M: Message + Send + 'static,
    M::Result: Send,
{
    type Result = ();

    fn handle(&mut self, ask: Ask<M>, context: &mut Self::Context) {
        ask.answered_by(self, context);
    }
}

impl Handler<Admit> for Registrar {
    type Result = ResponseActFuture<Self, Answer<HostId>>;

    fn handle(&mut self, admit: Admit, _: &mut Self::Context) -> Self::Result {
        crate::fault::point("registrar.admit");
        let (writer, now) = (self.writer.clone(), self.clock.now());
        self.guard.gauge().turn(now);
        let external_id = admit.enrollment.as_str().to_owned();
        let admitting = async move { host::admit(&writer, admit.description, external_id, now.millis()).await };
        Box::pin(admitting.into_actor(self).map(|admitted, _, _| Ok(HostId(admitted?))))
    }
}
