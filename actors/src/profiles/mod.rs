//! Profiles: every host comes to have what it shall have.
//!
//! The manager works off what was noted, in rounds: it *marks* what differs ([`entities::marking`]), *delivers* what is
//! marked, batch by batch and in constant memory ([`decide`]), asks devices what they have (`verify`), and sweeps slowly
//! over all hosts to repair what was missed. What devices report moves rows on in the hosts' own turns. Admins change
//! profiles through it ([`admin`]), so that what follows is marked before they are answered.
//!
//! Never here: which profiles a host shall have (the database's set algebra), and what is sent in which order
//! ([`protocol::profiles`]).

pub mod admin;
pub mod contents;
pub mod decide;
pub mod reference;
mod rounds;
pub mod scim;
mod verify;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use actix::prelude::*;

use crate::singleton::{MAILBOX, singleton};
use crate::supervisor::{Guard, Stop};
use crate::tree::Parts;
use rounds::Desk;

/// How often it is looked for work that nobody told of.
const TICK: Duration = Duration::from_secs(1);

/// How the manager works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfilesConfig {
    /// How often the sweep takes another batch of 500 hosts.
    pub sweep_every: Duration,
}

impl Default for ProfilesConfig {
    fn default() -> Self {
        Self { sweep_every: Duration::from_secs(10) }
    }
}

/// What the manager has done since it started.
#[derive(Debug, Default)]
pub struct Tally {
    /// Rows of hosts' profiles that were marked.
    pub marked: AtomicU64,
    /// Hosts that were looked at because something about them changed.
    pub hosts: AtomicU64,
    /// Rows of hosts' profiles that were delivered, held or dropped.
    pub delivered: AtomicU64,
    /// Commands that were queued, each counted once for every host.
    pub commands: AtomicU64,
    /// Hosts that were asked what they have.
    pub asked: AtomicU64,
    /// Rows of hosts' profiles that waited for a command that had ended, as the sweep found them.
    pub lost: AtomicU64,
}

impl Tally {
    fn add(counter: &AtomicU64, more: u64) {
        counter.fetch_add(more, Relaxed);
    }
}

/// The actor.
pub struct ProfileManager {
    guard: Guard,
    desk: Arc<Desk>,
    is_busy: bool,
    look_again: bool,
}

/// Look for work now rather than at the next tick.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct Look;

impl ProfileManager {
    /// Starts the actor.
    pub fn launch(parts: &Parts, guard: Guard) -> Recipient<Stop> {
        let gauge = guard.gauge().clone();
        let desk = Arc::new(Desk::new(parts));
        let address = Self { guard, desk, is_busy: false, look_again: false }.start();
        parts.profiles.publish(address.clone(), gauge);
        address.recipient()
    }

    fn look(&mut self, context: &mut Context<Self>) {
        self.look_again = self.is_busy;
        if std::mem::replace(&mut self.is_busy, true) {
            return;
        }
        crate::fault::point("profiles.look");
        self.guard.gauge().turn(self.desk.clock.now());
        let desk = self.desk.clone();
        let working = async move { desk.work().await };
        context.spawn(working.into_actor(self).map(|worked, manager, context| {
            manager.is_busy = false;
            match worked {
                Ok(()) if manager.look_again => context.notify(Look),
                Ok(()) => {}
                Err(error) => tracing::warn!("profiles cannot be looked at: {error}"),
            }
        }));
    }
}

impl Actor for ProfileManager {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.set_mailbox_capacity(MAILBOX);
        context.run_interval(TICK, Self::look);
        context.notify(Look);
    }
}

singleton!(ProfileManager);

impl Handler<Look> for ProfileManager {
    type Result = ();

    fn handle(&mut self, _: Look, context: &mut Self::Context) {
        self.look(context);
    }
}
