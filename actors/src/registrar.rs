//! Makes sure that each device has exactly one row before its actor exists: whatever learns of a device first inserts or
//! matches it here. A device whose certificate was promised to another one makes no row.

use actix::prelude::*;
use entities::{Reader, Writer, host, identity};
use protocol::apple::channel::EnrollmentId;
use protocol::ids::HostId;
use protocol::pki::Fingerprint;

use crate::ask::{Answer, Refusal};
use crate::clock::Clock;
use crate::host::authenticate::{ANOTHERS_PROMISE, keeps_promise};
use crate::singleton::{MAILBOX, singleton};
use crate::supervisor::{Guard, Stop};
use crate::tree::Parts;

/// The actor.
pub struct Registrar {
    guard: Guard,
    reader: Reader,
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
    /// The certificate that it shows, which no device has used yet.
    pub fingerprint: Fingerprint,
}

impl Registrar {
    /// Starts the actor.
    pub fn launch(parts: &Parts, guard: Guard) -> Recipient<Stop> {
        let gauge = guard.gauge().clone();
        let (reader, writer, clock) = (parts.reader.clone(), parts.writer.clone(), parts.clock.clone());
        let address = Self { guard, reader, writer, clock }.start();
        parts.registrar.publish(address.clone(), gauge);
        address.recipient()
    }
}

impl Actor for Registrar {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.set_mailbox_capacity(MAILBOX);
    }
}

singleton!(Registrar);

impl Handler<Admit> for Registrar {
    type Result = ResponseActFuture<Self, Answer<HostId>>;

    fn handle(&mut self, admit: Admit, _: &mut Self::Context) -> Self::Result {
        crate::fault::point("registrar.admit");
        let (reader, writer, now) = (self.reader.clone(), self.writer.clone(), self.clock.now());
        self.guard.gauge().turn(now);
        let admitting = async move {
            let shown = identity::by_fingerprint(&reader, admit.fingerprint.as_bytes().to_vec()).await?;
            if !shown.is_some_and(|row| keeps_promise(&row, &admit.description)) {
                return Err(Refusal::Forbidden(ANOTHERS_PROMISE));
            }
            let external_id = admit.enrollment.as_str().to_owned();
            Ok(HostId(host::admit(&writer, admit.description, external_id, now.millis()).await?))
        };
        Box::pin(admitting.into_actor(self))
    }
}
