//! Makes sure that each device has exactly one row before its actor exists: whatever learns of a device first (its management,
//! an agent, an admin) inserts or matches it here. A device whose certificate was promised to another one makes no row.

use actix::prelude::*;
use entities::host_admission::{self, Import, Imported};
use entities::{Reader, Writer, agent, enroll_secret, host, identity};
use openssl::sha::sha256;
use protocol::agent::Enrollment;
use protocol::apple::channel::EnrollmentId;
use protocol::ids::HostId;
use protocol::pki::Fingerprint;

use crate::ask::{Answer, Refusal};
use crate::clock::Clock;
use crate::host::authenticate::{ANOTHERS_PROMISE, keeps_promise};
use crate::nonce::nonce;
use crate::singleton::{MAILBOX, singleton};
use crate::supervisor::{Guard, Stop};
use crate::tree::Parts;

/// The refusal of an agent whose secret nobody knows.
pub const UNKNOWN_SECRET: &str = "this enroll secret is not known";
/// Devices that one transaction imports.
const IMPORTED_AT_ONCE: usize = 100;

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

/// Gives an agent the key by which it is known from now on; a host that nobody knew gets its row.
#[derive(Debug, Message)]
#[rtype(result = "Answer<String>")]
pub struct EnrollAgent {
    /// Which agent.
    pub kind: agent::Kind,
    /// What it says.
    pub said: Enrollment,
}

/// Makes rows for devices that an admin knows, before they spoke to us.
#[derive(Debug, Message)]
#[rtype(result = "Answer<Vec<Imported>>")]
pub struct ImportHosts {
    /// What is known of them; each has a serial number, and no two have the same one.
    pub devices: Vec<host::Description>,
    /// The team that those join which are in none.
    pub team_id: Option<i64>,
    /// Who wants it.
    pub asked_by: String,
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
            Ok(HostId(host_admission::admit(&writer, admit.description, external_id, now.millis()).await?))
        };
        Box::pin(admitting.into_actor(self))
    }
}

impl Handler<EnrollAgent> for Registrar {
    type Result = ResponseActFuture<Self, Answer<String>>;

    fn handle(&mut self, enroll: EnrollAgent, _: &mut Self::Context) -> Self::Result {
        crate::fault::point("registrar.enroll_agent");
        let (reader, writer, now) = (self.reader.clone(), self.writer.clone(), self.clock.now());
        self.guard.gauge().turn(now);
        let enrolling = async move {
            let EnrollAgent { kind, said } = enroll;
            let known = enroll_secret::find(&reader, &said.secret).await?;
            let known = known.ok_or(Refusal::Forbidden(UNKNOWN_SECRET))?;
            let key = nonce()?;
            let enrollment = agent::Enrollment {
                kind,
                identifier: said.identifier.clone(),
                description: describe(said),
                key: sha256(key.as_bytes()).to_vec(),
                team_id: known.team_id,
                at: now.millis(),
            };
            let host = agent::enroll(&writer, enrollment).await?;
            tracing::info!(host.id = host, "an agent enrolled: {kind:?}");
            Ok(key)
        };
        Box::pin(enrolling.into_actor(self))
    }
}

impl Handler<ImportHosts> for Registrar {
    type Result = ResponseActFuture<Self, Answer<Vec<Imported>>>;

    fn handle(&mut self, import: ImportHosts, _: &mut Self::Context) -> Self::Result {
        let (writer, now) = (self.writer.clone(), self.clock.now());
        self.guard.gauge().turn(now);
        let importing = async move {
            let ImportHosts { devices, team_id, asked_by: by } = import;
            let mut imported = Vec::with_capacity(devices.len());
            for some in devices.chunks(IMPORTED_AT_ONCE) {
                let import = Import { devices: some.to_vec(), team_id, by: by.clone(), at: now.millis() };
                let done = host_admission::import(&writer, import).await?;
                imported.extend(done.ok_or(Refusal::NotFound("team"))?);
            }
            Ok(imported)
        };
        Box::pin(importing.into_actor(self))
    }
}

/// What an agent says about its host, as the host's row keeps it.
fn describe(said: Enrollment) -> host::Description {
    host::Description {
        uuid: said.uuid,
        serial: said.serial,
        platform: said.platform,
        hardware_model: said.hardware_model,
        computer_name: said.computer_name,
        os_version: said.os_version,
        build_version: said.build_version,
    }
}
