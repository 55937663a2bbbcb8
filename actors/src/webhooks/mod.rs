//! Webhooks: tells receivers what happened, from rows that were written in the transaction that made it true. At least
//! once, each host's events in their order, and whoever does not take them holds up nobody else.
//!
//! The actor keeps a round for each webhook (`runner`), which works on the I/O runtime, and takes admins' orders
//! ([`admin`]). Hosts ask [`Outlets`] whether anyone wants to know, and write events into their own turns. Never here: a
//! receiver's words, in a log or an answer.

pub mod admin;
mod courier;
mod outlets;
mod runner;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use actix::prelude::*;
use entities::vault::Vault;
use entities::{Reader, StoreError, Writer, webhook, webhook_backlog, webhook_delivery, webhook_key};
use protocol::apple::secret::Secret;
use protocol::webhook::Form;
use protocol::webhook::lines::Lines;
use protocol::webhook::signature::Key;
use tokio::runtime::Handle as Io;
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::ask::{Answer, Refusal};
use crate::clock::Clock;
use crate::egress::{Egress, SystemLookup};
use crate::singleton::{MAILBOX, answers};
use crate::supervisor::{Guard, Stop};
use crate::tree::Parts;
use courier::{BUDGET_KIB, Courier, Target};
pub use outlets::Outlets;
use runner::Runner;

/// How often it is looked whether all rounds go on.
const LOOK: Duration = Duration::from_secs(1);
/// How often what waits is counted.
const COUNT: Duration = Duration::from_secs(10);

/// How patient deliveries are.
#[derive(Clone, Debug)]
pub struct WebhooksConfig {
    /// Requests to one receiver at once.
    pub parallel: usize,
    /// Refusals after which an event becomes a dead letter. A receiver that is away or busy refuses nothing.
    pub max_refusals: i32,
    /// The age at which an event becomes a dead letter.
    pub max_age: Duration,
    /// How long dead letters are kept.
    pub keep_dead: Duration,
}

/// What became of events since the start, and what waits.
#[derive(Debug, Default)]
pub struct Tally {
    /// Events that a receiver took.
    pub delivered: AtomicU64,
    /// Attempts that failed.
    pub failed: AtomicU64,
    /// Events that wait, as of the last count.
    pub pending: AtomicI64,
    /// Dead letters, as of the last count.
    pub dead: AtomicI64,
    /// Since when the oldest waits, in milliseconds since 1970; 0 when none does.
    pub oldest: AtomicI64,
}

/// The actor.
pub struct Webhooks {
    guard: Guard,
    desk: Desk,
    egress: Result<Egress, String>,
    rounds: HashMap<i64, Round>,
    stopping: watch::Sender<bool>,
}

/// What the actor and its rounds share.
#[derive(Clone)]
struct Desk {
    reader: Reader,
    writer: Writer,
    clock: Clock,
    io: Io,
    outlets: Outlets,
    config: Arc<WebhooksConfig>,
    tally: Arc<Tally>,
}

/// A webhook's round. It ends with this value.
struct Round {
    courier: Courier,
    target: watch::Sender<Arc<Target>>,
    task: JoinHandle<()>,
}

impl Default for WebhooksConfig {
    fn default() -> Self {
        let day = Duration::from_secs(86_400);
        Self { parallel: 8, max_refusals: 20, max_age: 3 * day, keep_dead: 30 * day }
    }
}

impl Webhooks {
    /// Starts the actor.
    pub fn launch(parts: &Parts, guard: Guard) -> Recipient<Stop> {
        let gauge = guard.gauge().clone();
        let desk = Desk {
            reader: parts.reader.clone(),
            writer: parts.writer.clone(),
            clock: parts.clock.clone(),
            io: parts.io.clone(),
            outlets: parts.outlets.clone(),
            config: parts.config.webhooks.clone(),
            tally: parts.deliveries.clone(),
        };
        let egress = Egress::new(&parts.config.egress, Arc::new(SystemLookup));
        let actor = Self { guard, desk, egress, rounds: HashMap::new(), stopping: watch::Sender::new(false) };
        let address = actor.start();
        parts.webhooks.publish(address.clone(), gauge);
        address.recipient()
    }

    /// Makes the rounds what rows say.
    fn reload(&self) -> ResponseActFuture<Self, Answer<()>> {
        let reader = self.desk.reader.clone();
        let reading = async move {
            let rows = webhook::list(&reader).await?;
            let keys = webhook_key::list(&reader).await?;
            Answer::Ok((rows, keys))
        };
        Box::pin(reading.into_actor(self).map(|read, webhooks, _| {
            let (rows, keys) = read?;
            webhooks.desk.outlets.replace(&rows);
            webhooks.rounds.retain(|id, round| rows.iter().any(|row| row.id == *id) && !round.task.is_finished());
            for row in &rows {
                match Target::open(row, &keys, webhooks.desk.reader.vault()) {
                    Ok(target) => webhooks.aim(Arc::new(target)),
                    Err(error) => tracing::error!(webhook.id = row.id, "this webhook cannot be used: {error}"),
                }
            }
            Ok(())
        }))
    }

    /// Lets a webhook's round know where events go; begins it if need be.
    fn aim(&mut self, target: Arc<Target>) {
        if let Some(round) = self.rounds.get(&target.id) {
            return drop(round.target.send_replace(target));
        }
        let Ok(egress) = &self.egress else { return };
        let courier = Courier {
            reader: self.desk.reader.clone(),
            writer: self.desk.writer.clone(),
            clock: self.desk.clock.clone(),
            egress: egress.clone(),
            config: self.desk.config.clone(),
            tally: self.desk.tally.clone(),
            budget: Arc::new(Semaphore::new(BUDGET_KIB as usize)),
        };
        let (id, aim) = (target.id, watch::Sender::new(target));
        let runner = Runner {
            courier: courier.clone(),
            target: aim.subscribe(),
            bell: self.desk.outlets.listen(),
            stopping: self.stopping.subscribe(),
            lines: Lines::new(self.desk.config.parallel),
            under_way: JoinSet::new(),
        };
        let task = self.desk.io.spawn(runner.run());
        self.rounds.insert(id, Round { courier, target: aim, task });
    }

    /// A round that ended although its webhook is there broke: it begins anew, from its rows.
    fn look(&mut self, context: &mut Context<Self>) {
        self.guard.gauge().turn(self.desk.clock.now());
        if self.rounds.values().any(|round| round.task.is_finished()) {
            let again = self.reload().map(|loaded, _, _| {
                loaded.unwrap_or_else(|refusal| tracing::warn!("webhooks cannot be read now: {refusal}"));
            });
            context.wait(again);
        }
    }

    fn count(&mut self, context: &mut Context<Self>) {
        let desk = self.desk.clone();
        let counting = async move { desk.count().await };
        context.spawn(counting.into_actor(self).map(|counted, _, _| {
            counted.unwrap_or_else(|error| tracing::warn!("waiting events cannot be counted: {error}"));
        }));
    }
}

impl Desk {
    async fn count(&self) -> Result<(), StoreError> {
        let counts = webhook_backlog::counts(&self.reader).await?;
        let of = |state: i16| counts.iter().filter(move |count| count.state == state);
        let oldest = of(webhook_delivery::PENDING).map(|count| count.oldest).min();
        self.tally.pending.store(of(webhook_delivery::PENDING).map(|count| count.rows).sum(), Relaxed);
        self.tally.dead.store(of(webhook_delivery::DEAD).map(|count| count.rows).sum(), Relaxed);
        self.tally.oldest.store(oldest.unwrap_or_default(), Relaxed);
        Ok(())
    }
}

impl Target {
    fn open(row: &webhook::Model, keys: &[webhook_key::Model], vault: &Vault) -> Result<Self, StoreError> {
        let mine = keys.iter().filter(|key| key.webhook_id == row.id);
        let open = |key: &webhook_key::Model| {
            let secret = Secret::new(key.open(vault)?.to_string());
            Ok(Key { id: key.key_id.clone(), secret })
        };
        Ok(Self {
            id: row.id,
            url: row.open_url(vault)?,
            form: Form::from_code(row.form),
            enabled: row.enabled,
            keys: mine.map(open).collect::<Result<_, StoreError>>()?,
        })
    }
}

/// Any number, to spread what would otherwise happen at once.
fn chance() -> u32 {
    let mut bytes = [0; 4];
    // Without randomness there is no spread, and everything else works.
    let _ = openssl::rand::rand_bytes(&mut bytes);
    u32::from_be_bytes(bytes)
}

impl Actor for Webhooks {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.set_mailbox_capacity(MAILBOX);
        if let Err(why) = &self.egress {
            self.guard.fail(why.clone());
            return context.stop();
        }
        let loading = self.reload().map(|loaded, webhooks: &mut Self, context: &mut Context<Self>| {
            if let Err(refusal) = loaded {
                webhooks.guard.fail(refusal.to_string());
                context.stop();
            }
        });
        context.wait(loading);
        context.run_interval(LOOK, Self::look);
        context.run_interval(COUNT, Self::count);
    }
}

impl Handler<Stop> for Webhooks {
    type Result = ();

    /// What was sent and is answered soon is noted first.
    fn handle(&mut self, _: Stop, context: &mut Self::Context) {
        self.stopping.send_replace(true);
        let rounds: Vec<Round> = self.rounds.drain().map(|(_, round)| round).collect();
        let ending = async move {
            for round in rounds {
                let _ = round.task.await;
                drop(round.target); // until here, so that the round ends in order
            }
        };
        context.wait(ending.into_actor(self).map(|(), _, context: &mut Context<Self>| context.stop()));
    }
}

answers!(Webhooks);

/// A refusal of what an admin entered.
fn invalid(why: impl ToString) -> Refusal {
    Refusal::Invalid(why.to_string())
}
