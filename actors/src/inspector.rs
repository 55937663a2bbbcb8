//! Writes what agents report of their hosts: vitals, what became of their profiles, who uses them, the tokens of their desktops. Hosts'
//! own actors are not woken for it; what is to be sent again is sent by the profile manager.

mod profiles;

use actix::prelude::*;
use entities::agent_report::{self, AgentReport};
use entities::host::Description;
use entities::{Writer, agent_token};
use openssl::sha::sha256;
use protocol::agent::answers::Answers;
use protocol::agent::details::{WINDOWS_PROFILES, vitals};
use protocol::ids::HostId;
use protocol::profiles::{MAX_RETRIES_APPLE, MAX_RETRIES_WINDOWS};
use protocol::time::Timestamp;

use crate::ask::{Answer, Refusal};
use crate::clock::Clock;
use crate::singleton::{MAILBOX, singleton};
use crate::supervisor::{Guard, Stop};
use crate::tree::Parts;
use profiles::Desk;

/// The actor.
pub struct Inspector {
    guard: Guard,
    desk: Desk,
    writer: Writer,
    clock: Clock,
}

/// The details of a host came.
#[derive(Debug, Message)]
#[rtype(result = "Answer<()>")]
pub struct Inspected {
    /// The host.
    pub host: HostId,
    /// What its agent found.
    pub answers: Answers,
}

/// The query for the settings of a Windows host; `None` where no profile of it can be looked at.
#[derive(Debug, Message)]
#[rtype(result = "Answer<Option<String>>")]
pub struct WindowsQuery {
    /// The host.
    pub host: HostId,
}

/// Details of a host are wanted now; refused when it has no agent.
#[derive(Debug, Message)]
#[rtype(result = "Answer<()>")]
pub struct Refetch {
    /// The host.
    pub host: HostId,
}

/// The desktop of a host has a new token; refused when another host has it.
#[derive(Message)]
#[rtype(result = "Answer<()>")]
pub struct NewDeviceToken {
    /// The host.
    pub host: HostId,
    /// The token.
    pub token: String,
}

/// Somebody uses a host.
#[derive(Debug, Message)]
#[rtype(result = "Answer<()>")]
pub struct UsedBy {
    /// The host.
    pub host: HostId,
    /// The user's mail address; empty for nobody.
    pub email: String,
}

impl Inspector {
    /// Starts the actor.
    pub fn launch(parts: &Parts, guard: Guard) -> Recipient<Stop> {
        let gauge = guard.gauge().clone();
        let desk = Desk { reader: parts.reader.clone(), contents: parts.contents.clone() };
        let address = Self { guard, desk, writer: parts.writer.clone(), clock: parts.clock.clone() }.start();
        parts.inspector.publish(address.clone(), gauge);
        address.recipient()
    }

    /// The moment of a turn.
    fn turn(&mut self) -> i64 {
        crate::fault::point("inspector.turn");
        let now = self.clock.now();
        self.guard.gauge().turn(now);
        now.millis()
    }
}

impl Actor for Inspector {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.set_mailbox_capacity(MAILBOX);
    }
}

singleton!(Inspector);

impl Handler<Inspected> for Inspector {
    type Result = ResponseActFuture<Self, Answer<()>>;

    fn handle(&mut self, Inspected { host, answers }: Inspected, _: &mut Self::Context) -> Self::Result {
        let (writer, desk, at) = (self.writer.clone(), self.desk.clone(), self.turn());
        let storing = async move {
            let findings = desk.findings(host, &answers, Timestamp::from_millis(at)).await?;
            let of_windows = answers.of(WINDOWS_PROFILES).is_some();
            let max_retries = if of_windows { MAX_RETRIES_WINDOWS } else { MAX_RETRIES_APPLE };
            let report = AgentReport { findings, max_retries, ..report_of(host, &answers, at) };
            Ok(agent_report::store(&writer, report).await?)
        };
        Box::pin(storing.into_actor(self))
    }
}

/// What answers say of their host itself.
fn report_of(host: HostId, answers: &Answers, at: i64) -> AgentReport {
    let said = vitals(answers);
    AgentReport {
        host_id: host.0,
        description: Description {
            uuid: said.uuid,
            serial: said.serial,
            platform: said.platform,
            hardware_model: said.hardware_model,
            computer_name: said.computer_name,
            os_version: said.os_version,
            build_version: said.build_version,
        },
        orbit_version: said.orbit_version,
        osquery_version: said.osquery_version,
        mdm_url: said.mdm_url,
        windows_device_id: said.windows_device_id,
        findings: Vec::new(),
        max_retries: 0,
        at,
    }
}

impl Handler<WindowsQuery> for Inspector {
    type Result = ResponseActFuture<Self, Answer<Option<String>>>;

    fn handle(&mut self, WindowsQuery { host }: WindowsQuery, _: &mut Self::Context) -> Self::Result {
        let desk = self.desk.clone();
        self.turn();
        let asking = async move { Ok(desk.windows_query(host).await?) };
        Box::pin(asking.into_actor(self))
    }
}

impl Handler<Refetch> for Inspector {
    type Result = ResponseActFuture<Self, Answer<()>>;

    fn handle(&mut self, Refetch { host }: Refetch, _: &mut Self::Context) -> Self::Result {
        let (writer, now) = (self.writer.clone(), self.turn());
        let noting = async move {
            let has_agent = agent_report::refetch(&writer, host.0, now).await?;
            if has_agent { Ok(()) } else { Err(Refusal::NotFound("agent on this host")) }
        };
        Box::pin(noting.into_actor(self))
    }
}

impl Handler<NewDeviceToken> for Inspector {
    type Result = ResponseActFuture<Self, Answer<()>>;

    fn handle(&mut self, new: NewDeviceToken, _: &mut Self::Context) -> Self::Result {
        let (writer, now) = (self.writer.clone(), self.turn());
        let hash = sha256(new.token.as_bytes()).to_vec();
        let storing = async move { Ok(agent_token::set(&writer, new.host.0, hash, now).await?) };
        Box::pin(storing.into_actor(self))
    }
}

impl Handler<UsedBy> for Inspector {
    type Result = ResponseActFuture<Self, Answer<()>>;

    fn handle(&mut self, UsedBy { host, email }: UsedBy, _: &mut Self::Context) -> Self::Result {
        let writer = self.writer.clone();
        self.turn();
        let storing = async move { Ok(agent_report::set_user(&writer, host.0, email).await?) };
        Box::pin(storing.into_actor(self))
    }
}
