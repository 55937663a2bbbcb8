//! Queues commands for many hosts: the rows first, all of them or none, then those hosts that are at work are told. The
//! others are due from that moment on, and the keeper wakes them. The rows of those at work say that they are due a little
//! later: by then their devices have usually come, and nobody need look whether the hosts heard of the command.

pub mod show_pin;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use bytes::Bytes;
use entities::Writer;
use entities::enqueue::{self, After, Answers, Brake, Channel, Enqueue, Queued};
use entities::host_action::NewAction;
use protocol::danger::Danger;
use protocol::ids::{CommandUuid, Generation, HostId};
use protocol::queue::{Entry, State};
use protocol::time::Timestamp;

use crate::Hosts;
use crate::ask::{Answer, Handle};
use crate::brakes::{BrakesConfig, HOUR};
use crate::clock::Clock;
use crate::feed::{Feed, What};
use crate::host::bodies::KEPT_BYTES;
use crate::host::enqueued::Enqueued;
use crate::keeper::{Keeper, Look};
use crate::singleton::{MAILBOX, singleton};
use crate::supervisor::{Guard, Stop};
use crate::tree::Parts;

/// How long a command waits for the device's own poll when no push was wanted.
const NO_PUSH: Duration = Duration::from_secs(300);
/// When the keeper looks after a host that was at work and was told: it may have ended at that moment.
const LOOKED_AFTER: Duration = Duration::from_secs(10);

/// The actor.
pub struct Dispatcher {
    guard: Guard,
    writer: Writer,
    clock: Clock,
    hosts: Hosts,
    keeper: Handle<Keeper>,
    brakes: Arc<BrakesConfig>,
    feed: Feed,
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

impl Dispatcher {
    /// Starts the actor.
    pub fn launch(parts: &Parts, guard: Guard) -> Recipient<Stop> {
        let gauge = guard.gauge().clone();
        let actor = Self {
            guard,
            writer: parts.writer.clone(),
            clock: parts.clock.clone(),
            hosts: parts.hosts.clone(),
            keeper: parts.keeper.clone(),
            brakes: parts.config.brakes.clone(),
            feed: parts.feed.clone(),
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

    /// When the rows of hosts say that they are due.
    fn due(&self, dispatch: &Dispatch, push_at: Timestamp) -> Due {
        let at_work = |target: &&Target| dispatch.push && self.hosts.is_resident(target.host);
        let told = dispatch.channels.iter().filter(at_work).map(|target| target.host).collect();
        Due { push_at, told }
    }

    fn tell_hosts(&self, dispatch: &Dispatch, queued: &[Queued], due: &Due, expires_at: Timestamp) {
        let body = Some(&dispatch.body).filter(|body| body.len() <= KEPT_BYTES).cloned();
        for made in queued {
            let entry = Entry {
                id: made.entry_id,
                uuid: dispatch.uuid.clone(),
                priority: dispatch.priority,
                state: State::Queued,
                attempts: 0,
                not_now_tally: 0,
                sent_at: None,
                expires_at,
                after: made.after_id,
                needs_success: made.needs_success,
                is_let_down: false,
                no_blind_resend: dispatch.no_blind_resend,
            };
            let host = HostId(made.host_id);
            let told = Enqueued {
                enrollment: made.enrollment_id,
                generation: Generation(made.generation),
                entry,
                body: body.clone(),
                push_at: due.push_at,
                due_at: due.of(host),
            };
            self.hosts.insist(host, told);
            self.feed.tell(host, self.clock.now(), [What::Command(dispatch.uuid.clone(), State::Queued)]);
        }
        if dispatch.push && queued.iter().any(|made| !due.told.contains(&HostId(made.host_id))) {
            self.keeper.tell(Look);
        }
    }
}

/// When the hosts of a command are due.
struct Due {
    push_at: Timestamp,
    /// Hosts that are at work, and will be told.
    told: HashSet<HostId>,
}

impl Due {
    fn of(&self, host: HostId) -> Timestamp {
        if self.told.contains(&host) { self.push_at.plus(LOOKED_AFTER) } else { self.push_at }
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
        let due = self.due(&dispatch, if dispatch.push { now } else { now.plus(NO_PUSH) });
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
            dispatcher.tell_hosts(&dispatch, &queued.entries, &due, expires_at);
            Ok(Dispatched::Queued)
        }))
    }
}
