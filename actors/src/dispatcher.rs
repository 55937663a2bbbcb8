//! Queues commands for many hosts: the rows first, all of them or none, then those hosts that are at work are told. The
//! others are due from that moment on, and the keeper wakes them. The rows of those at work say that they are due a little
//! later: by then their devices have usually come, and nobody need look whether the hosts heard of the command.

pub(crate) mod announce;
pub mod show_pin;

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use bytes::Bytes;
use entities::Writer;
use entities::enqueue::{self, After, Answers, Brake, Channel, Enqueue};
use entities::host_action::NewAction;
use protocol::danger::Danger;
use protocol::ids::{CommandUuid, HostId};
use protocol::time::Timestamp;

use crate::Hosts;
use crate::ask::Answer;
use crate::brakes::{BrakesConfig, HOUR};
use crate::clock::Clock;
use crate::singleton::{MAILBOX, singleton};
use crate::supervisor::{Guard, Stop};
use crate::tree::Parts;
use announce::{Announcer, News};

/// How long a command waits for the device's own poll when no push was wanted.
const NO_PUSH: Duration = Duration::from_secs(300);

/// The actor.
pub struct Dispatcher {
    guard: Guard,
    writer: Writer,
    clock: Clock,
    hosts: Hosts,
    announcer: Announcer,
    brakes: Arc<BrakesConfig>,
}

/// What became of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dispatched {
    /// It is queued.
    Queued,
    /// It waits for a second admin.
    Held,
}

/// How long a command stays worth doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeToLive {
    /// As long as its type usually does, from the moment on at which devices may have it.
    Usual(Duration),
    /// Until a moment that somebody chose.
    Until(Timestamp),
}

/// A channel that a command is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its host.
    pub host: HostId,
    /// Its row.
    pub enrollment: i64,
}

/// Queues a command for channels.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Answer<Dispatched>")]
pub struct Dispatch {
    /// What devices call it.
    pub uuid: CommandUuid,
    /// Apple's `RequestType`, or the target of a Windows command.
    pub request_type: String,
    /// The document as devices get it.
    pub body: Bytes,
    /// Who asked.
    pub asked_by: String,
    /// Higher goes first; 0 is usual.
    pub priority: i16,
    /// Whether doing it twice is dangerous.
    pub no_blind_resend: bool,
    /// How long it stays worth doing.
    pub time_to_live: TimeToLive,
    /// What must have ended before.
    pub after: Option<After>,
    /// Whether hosts are pushed at once, rather than a little later.
    pub push: bool,
    /// Who gets it.
    pub channels: Vec<Target>,
    /// The answers to keep, when the request came with a key.
    pub answers: Option<Answers>,
    /// What it is to its one host, where it locks, unlocks or erases it.
    pub action: Option<NewAction>,
}

impl Dispatch {
    fn news(&self, expires_at: Timestamp) -> News {
        News {
            uuid: self.uuid.clone(),
            priority: self.priority,
            no_blind_resend: self.no_blind_resend,
            body: self.body.clone(),
            expires_at,
            push: self.push,
        }
    }
}

impl Dispatcher {
    /// Starts the actor.
    pub fn launch(parts: &Parts, guard: Guard) -> Recipient<Stop> {
        let gauge = guard.gauge().clone();
        let actor = Self {
            guard,
            writer: parts.writer.clone(),
            clock: parts.clock.clone(),
            hosts: parts.hosts.clone(),
            announcer: Announcer::new(parts),
            brakes: parts.config.brakes.clone(),
        };
        let address = actor.start();
        parts.dispatcher.publish(address.clone(), gauge);
        address.recipient()
    }

    /// What holds the command back, if it is a dangerous one.
    fn brake(&self, dispatch: &Dispatch, now: Timestamp) -> Option<Brake> {
        let class = Danger::of(&dispatch.request_type)?;
        let waits_until = now.plus(self.brakes.approve_within).millis();
        Some(Brake { since: now.minus(HOUR).millis(), limit: self.brakes.limit(class), waits_until })
    }
}

impl Actor for Dispatcher {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.set_mailbox_capacity(MAILBOX);
    }
}

singleton!(Dispatcher);

impl Handler<Dispatch> for Dispatcher {
    type Result = ResponseActFuture<Self, Answer<Dispatched>>;

    fn handle(&mut self, dispatch: Dispatch, _: &mut Self::Context) -> Self::Result {
        crate::fault::point("dispatcher.dispatch");
        let now = self.clock.now();
        self.guard.gauge().turn(now);
        let (expires_at, expires_as_asked) = match dispatch.time_to_live {
            TimeToLive::Usual(time) => (now.plus(time), false),
            TimeToLive::Until(moment) => (moment, true),
        };
        let push_at = if dispatch.push { now } else { now.plus(NO_PUSH) };
        let hosts = dispatch.channels.iter().map(|target| target.host);
        let due = self.announcer.due(hosts, dispatch.push, push_at);
        let channel =
            |target: &Target| Channel { enrollment_id: target.enrollment, due_at: due.of(target.host).millis() };
        let rows = Enqueue {
            uuid: dispatch.uuid.as_str().to_owned(),
            request_type: dispatch.request_type.clone(),
            body: dispatch.body.to_vec(),
            created_by: Some(dispatch.asked_by.clone()),
            priority: dispatch.priority,
            no_blind_resend: dispatch.no_blind_resend,
            expires_at: expires_at.millis(),
            expires_as_asked,
            after: dispatch.after.clone(),
            channels: dispatch.channels.iter().map(channel).collect(),
            brake: self.brake(&dispatch, now),
            answers: dispatch.answers.clone(),
            action: dispatch.action.clone(),
            now: now.millis(),
        };
        let writer = self.writer.clone();
        let storing = async move { enqueue::enqueue(&writer, rows).await };
        Box::pin(storing.into_actor(self).map(move |queued, dispatcher, _| {
            let queued = queued?;
            if queued.held {
                let (hosts, asked_by) = (queued.entries.len(), &dispatch.asked_by);
                tracing::warn!(hosts, asked_by, "a {} waits for a second admin", dispatch.request_type);
                return Ok(Dispatched::Held);
            }
            dispatcher.announcer.tell(&dispatch.news(expires_at), &queued.entries, &due);
            Ok(Dispatched::Queued)
        }))
    }
}
