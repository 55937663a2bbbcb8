//! One enrolled host: the actor that owns its command queues, its NotNow retries, its timeouts and its push state.
//!
//! Rows are the truth; the actor is a cache with a clock. Every turn goes **decide → commit → adopt → reply → tell**: pure
//! rules decide on what is in memory, the row changes are committed, memory adopts them, the device is answered, others
//! are told. A write that certainly failed is refused; one whose outcome is unknown makes the actor stale: it answers
//! nothing more and is rebuilt from its rows.
//!
//! A host holds its channels: the device's own and those of its users. It asks nobody; it tells. Each verb has a file:
//! start with [`report`].

pub mod agent_wakes;
pub mod authenticate;
pub mod bodies;
pub mod cancelled;
mod certificates;
pub mod channel;
pub mod check_in;
pub mod comes_back;
pub mod declarations;
pub mod declarative;
pub mod deleted;
pub mod due;
pub mod enqueued;
pub mod enrolled_anew;
mod life;
pub mod observe;
mod profiles;
pub mod prove;
pub mod pushed;
pub(crate) mod render;
pub mod report;
pub mod session;
mod session_end;
mod tell;
pub mod token_update;
mod window;
mod windows;
mod windows_profiles;

use std::sync::Arc;
use std::time::Duration;

use actix::fut::{LocalBoxActorFuture, ready};
use actix::prelude::*;
use bytes::Bytes;
use entities::{Reader, StoreError, Writer, host_removal};
use protocol::apple;
use protocol::ids::HostId;
use protocol::pki::Fingerprint;
use protocol::queue::Policy;
use protocol::time::Timestamp;

use crate::agents::Agents;
use crate::ask::{Answer, Refusal};
use crate::clock::Clock;
use crate::digests::Digests;
use crate::feed::{Feed, What};
use crate::hosts::{HostGuard, Resident};
use crate::profiles::contents::Contents;
use crate::pusher::Pusher;
use crate::seen::{Seen, Through};
use crate::singleton::answers;
use crate::webhooks::Outlets;
use certificates::Certificates;
use channel::Channel;
use windows::Windows;

/// How hosts behave.
#[derive(Clone, Debug)]
pub struct HostConfig {
    /// Rules of the command queue.
    pub queue: Policy,
    /// The same for Windows devices, which come by themselves.
    pub windows: Policy,
    /// A host that did nothing for so long, and has nothing due, gives its memory back.
    pub idle: Duration,
    /// How often Windows devices ask for work.
    pub polls: PollMinutes,
    /// How long after the device said that it installed profiles it is asked which it has.
    pub verify_after: Duration,
}

/// How often a Windows device asks for work, in minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PollMinutes {
    /// One that nothing wakes.
    pub usual: i32,
    /// One whose agent starts a session when there is work.
    pub relaxed: i32,
}

impl Default for PollMinutes {
    fn default() -> Self {
        Self { usual: 1, relaxed: 60 }
    }
}

/// What all hosts share.
#[derive(Clone, Debug)]
pub struct HostParts {
    /// Reads rows.
    pub reader: Reader,
    /// Writes rows.
    pub writer: Writer,
    /// Tells the time.
    pub clock: Clock,
    /// Remembers who spoke when.
    pub seen: Seen,
    /// The nonces of devices without a certificate.
    pub digests: Digests,
    /// The memory of agents.
    pub agents: Agents,
    /// Pushes to Apple devices.
    pub pusher: Arc<dyn Pusher>,
    /// Who wants to be told of what.
    pub outlets: Outlets,
    /// Who watches.
    pub feed: Feed,
    /// Versions of profiles that are being delivered.
    pub contents: Contents,
    /// What is known of versions of declarations.
    pub declared: declarations::Facts,
    /// How hosts behave.
    pub config: Arc<HostConfig>,
}

/// The actor of one host.
pub struct Host {
    id: HostId,
    parts: Arc<HostParts>,
    guard: HostGuard<Self>,
    standing: Standing,
    channels: Vec<Channel>,
    certificates: Certificates,
    /// An admin deleted it; it is there again as soon as its device speaks.
    deleted: bool,
    /// What the row says about when this host must be woken.
    stored_wake_at: Option<Timestamp>,
    noted_at: Timestamp,
    touched_at: Timestamp,
    timer: Option<(Timestamp, SpawnHandle)>,
    /// Whether the turn under way tells webhooks of something.
    rings: bool,
    /// Whether its device shows that it was unlocked, when it comes the next time.
    awaits_unlock: bool,
    /// What those who watch are told once the turn under way is committed.
    noted: Vec<What>,
    /// The steps back of the clock that its plans take into account.
    stepped_back: Duration,
}

/// Whether the actor may speak for its rows.
#[derive(Clone, Debug)]
enum Standing {
    /// Its rows are in memory.
    Ready,
    /// Its rows are not, or may differ from memory: it refuses everything until it is gone.
    Stale(Refusal),
}

/// Who sent a message: what the message says, and the certificate that proved it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// The channel that the message names.
    pub channel: apple::channel::Channel,
    /// The certificate that signed the message or the connection.
    pub fingerprint: Fingerprint,
    /// The message as it came.
    pub original: Original,
}

/// A message as it came. It may hold tokens and keys, so `Debug` shows none of it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Original {
    /// Its body.
    pub body: Bytes,
    /// The query of the address that it was sent to.
    pub query: Option<Box<str>>,
}

/// A turn that may wait for rows; nothing else happens in the actor meanwhile.
type Turn<T> = LocalBoxActorFuture<Host, Answer<T>>;

impl Default for HostConfig {
    fn default() -> Self {
        Self::new(Policy::default(), Duration::from_secs(900))
    }
}

impl HostConfig {
    /// Hosts that follow these rules.
    pub fn new(queue: Policy, idle: Duration) -> Self {
        // A Windows device that cannot read a command says nothing about it: three times are enough.
        let windows = Policy { max_attempts: queue.max_attempts.min(3), ..queue.clone() };
        Self { queue, windows, idle, polls: PollMinutes::default(), verify_after: Duration::from_secs(2) }
    }
}

impl Resident for Host {
    type Parts = Arc<HostParts>;

    fn new(id: HostId, parts: Self::Parts, guard: HostGuard<Self>) -> Self {
        let (now, stepped_back) = (parts.clock.now(), parts.clock.stepped_back());
        Self {
            id,
            parts,
            guard,
            standing: Standing::Stale(Refusal::soon("the host has not been loaded")),
            channels: Vec::new(),
            certificates: Certificates::default(),
            deleted: false,
            stored_wake_at: None,
            noted_at: Timestamp::default(),
            touched_at: now,
            timer: None,
            rings: false,
            awaits_unlock: false,
            noted: Vec::new(),
            stepped_back,
        }
    }
}

impl Actor for Host {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        let loading = self.reload().map(|_, _, _| ());
        context.wait(loading);
    }
}

answers!(Host);

impl Host {
    /// Reads the host's rows and makes them the memory.
    fn reload(&mut self) -> Turn<()> {
        let (reader, id) = (self.parts.reader.clone(), self.id.0);
        let loading = async move { entities::host::load(&reader, id, window::WINDOW).await };
        Box::pin(loading.into_actor(self).map(|loaded, host, context| match loaded {
            Ok(Some(rows)) => {
                host.take_rows(rows);
                host.rearm(context);
                Ok(())
            }
            Ok(None) => host.become_stale(Refusal::NotEnrolled, context),
            Err(error) => host.become_stale(Refusal::soon(error), context),
        }))
    }

    fn take_rows(&mut self, rows: entities::host::Loaded) {
        self.deleted = rows.host.deleted_at.is_some();
        self.awaits_unlock = rows.awaits_unlock;
        self.stored_wake_at = rows.host.wake_at.map(Timestamp::from_millis);
        self.certificates = Certificates::load(&rows.identities);
        let seed = self.id.0.unsigned_abs();
        let channels = rows.enrollments.iter().zip(&rows.windows);
        self.channels =
            channels.filter_map(|(row, window)| Channel::load(row, window, seed, self.stored_wake_at)).collect();
        for row in &rows.windows_enrollments {
            if let Some(channel) = self.channel_of_row(row.enrollment_id) {
                channel.windows = Some(Box::new(Windows::load(row)));
            }
        }
        self.channels.shrink_to_fit(); // most hosts have one channel, and there are many hosts
        self.standing = Standing::Ready;
    }

    /// From now on this actor answers nothing; the next message after it is gone finds a fresh one.
    fn become_stale<T>(&mut self, why: Refusal, context: &mut Context<Self>) -> Answer<T> {
        self.disarm(context);
        self.standing = Standing::Stale(why.clone());
        self.guard.retire();
        Err(why)
    }

    /// Why this actor may not speak for its rows, where it may not.
    fn stale(&self) -> Option<Refusal> {
        match &self.standing {
            Standing::Ready => None,
            Standing::Stale(why) => Some(why.clone()),
        }
    }

    /// Lets a sender take a turn, once it is certain that it may speak for the channel it names. Between its message and
    /// its turn the timer may have rung, and what was written then may have made this actor stale.
    fn turn_of<T: 'static>(
        &mut self,
        sender: &Sender,
        verb: impl FnOnce(&mut Self, &mut Context<Self>) -> Turn<T> + 'static,
    ) -> AtomicResponse<Self, Answer<T>> {
        self.touch();
        let vouched = self.vouch(sender);
        AtomicResponse::new(Box::pin(vouched.then(|vouched, host, context| match vouched.err().or(host.stale()) {
            None if host.deleted => host.come_back(verb),
            None => verb(host, context),
            Some(refusal) => at_once(Err(refusal)),
        })))
    }

    /// Lets a host that was deleted be there again, before its device takes its turn.
    fn come_back<T: 'static>(
        &mut self,
        verb: impl FnOnce(&mut Self, &mut Context<Self>) -> Turn<T> + 'static,
    ) -> Turn<T> {
        let (writer, host, now) = (self.parts.writer.clone(), self.id.0, self.now().millis());
        let coming = async move { host_removal::bring_back(&writer, host, now).await };
        Box::pin(coming.into_actor(self).then(|back, host, context| match host.settle(back, context) {
            Ok(()) => {
                tracing::info!(host.id = host.id.0, "spoke after it was deleted, and is there again");
                host.deleted = false;
                verb(host, context)
            }
            Err(refusal) => at_once(Err(refusal)),
        }))
    }

    /// What follows from a write: its success, a refusal, or an actor that no longer knows its rows.
    fn settle<T>(&mut self, written: Result<T, StoreError>, context: &mut Context<Self>) -> Answer<T> {
        self.guard.suspect(None);
        if self.channels.iter().any(|channel| channel.windows.is_some()) {
            self.parts.agents.forget_work(self.id); // its agent is told whether there is any
        }
        let rings = std::mem::take(&mut self.rings);
        match written {
            Ok(done) => {
                if rings {
                    self.parts.outlets.ring();
                }
                self.tell_watchers();
                Ok(done)
            }
            Err(StoreError::NotApplied(why)) => {
                self.noted.clear();
                Err(Refusal::soon(why))
            }
            Err(error) => self.become_stale(Refusal::soon(error), context),
        }
    }

    fn touch(&mut self) {
        let now = self.now();
        self.touched_at = now;
        if now < self.noted_at || now.since(self.noted_at) >= Seen::OFTEN_ENOUGH {
            self.noted_at = now;
            self.parts.seen.note(self.id, now, Through::Mdm);
        }
    }

    fn now(&self) -> Timestamp {
        self.parts.clock.now()
    }

    fn channel(&mut self, id: &apple::channel::EnrollmentId) -> Option<&mut Channel> {
        self.channels.iter_mut().find(|channel| channel.id == *id)
    }

    fn channel_of_row(&mut self, row: i64) -> Option<&mut Channel> {
        self.channels.iter_mut().find(|channel| channel.row == row)
    }

    /// When something is due for any channel.
    fn wake_at(&self) -> Option<Timestamp> {
        self.channels.iter().filter_map(|channel| channel.queue.wake_at()).min()
    }
}

impl std::fmt::Debug for Original {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} bytes", self.body.len())
    }
}

/// An answer that needs no rows.
fn at_once<T: 'static>(answer: Answer<T>) -> Turn<T> {
    Box::pin(ready(answer))
}
