//! The brakes: takes commands back, hears the second admin's word on dangerous commands for many hosts, and releases these
//! at a pace, so that a mistake can still be stopped while most hosts have not got it.
//!
//! Whether a command is held is decided where it is queued ([`crate::dispatcher`], in the same transaction).

use std::collections::VecDeque;
use std::time::Duration;

use actix::prelude::*;
use entities::held_command::{self, Released, Verdict, Word};
use entities::{Reader, StoreError, Writer, cancel};
use protocol::danger::Danger;
use protocol::ids::{CommandUuid, Generation, HostId};
use protocol::queue::{Entry, State};
use protocol::time::Timestamp;
use tokio::time::Instant;

use crate::Hosts;
use crate::ask::{Answer, Handle};
use crate::clock::Clock;
use crate::feed::{Feed, What};
use crate::host::cancelled::Cancelled;
use crate::host::enqueued::Enqueued;
use crate::keeper::{Keeper, Look};
use crate::singleton::{MAILBOX, singleton};
use crate::supervisor::{Guard, Stop};
use crate::tree::Parts;

/// How often hosts are released.
const TICK: Duration = Duration::from_secs(1);
/// How often it is looked whether nobody decided in time.
const LAPSE: Duration = Duration::from_secs(30);
/// The time in which hosts are counted, for the limits.
pub const HOUR: Duration = Duration::from_secs(3600);
/// The time in which released hosts are counted.
const MINUTE: Duration = Duration::from_secs(60);

/// How much is too much at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrakesConfig {
    /// Hosts that may be erased in an hour without a second admin.
    pub erase_per_hour: u32,
    /// Hosts that may be locked.
    pub lock_per_hour: u32,
    /// Hosts that may be told to remove profiles.
    pub remove_profile_per_hour: u32,
    /// Hosts that get an approved command in a minute at most.
    pub release_per_minute: u32,
    /// How long a held command waits for a second admin.
    pub approve_within: Duration,
}

/// The actor.
pub struct Brakes {
    guard: Guard,
    reader: Reader,
    writer: Writer,
    clock: Clock,
    hosts: Hosts,
    keeper: Handle<Keeper>,
    feed: Feed,
    pace: Pace,
    /// Whether something may be there to release.
    approved: bool,
    busy: bool,
}

/// Takes a command back, where no device can have it.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Answer<Option<cancel::Cancelled>>")]
pub struct Cancel {
    /// What devices call it.
    pub uuid: CommandUuid,
    /// From these hosts only; empty for all.
    pub hosts: Vec<HostId>,
    /// Who asks.
    pub by: String,
}

/// An admin's word on a held command.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Answer<Verdict>")]
pub struct Decide {
    /// What devices call the command.
    pub uuid: CommandUuid,
    /// Who says it.
    pub by: String,
    /// For how many hosts they believe it is; absent to say no.
    pub agrees_for: Option<i64>,
}

/// How many hosts may be released when.
#[derive(Debug)]
struct Pace {
    per_minute: u32,
    credit: f64,
    counted_at: Instant,
    /// What was released in the last minute.
    lately: VecDeque<(Instant, u64)>,
}

impl Default for BrakesConfig {
    fn default() -> Self {
        Self {
            erase_per_hour: 10,
            lock_per_hour: 25,
            remove_profile_per_hour: 100,
            release_per_minute: 60,
            approve_within: Duration::from_secs(86_400),
        }
    }
}

impl BrakesConfig {
    /// Hosts that may get commands of a class in an hour without a second admin.
    pub fn limit(&self, class: Danger) -> u64 {
        u64::from(match class {
            Danger::Erase => self.erase_per_hour,
            Danger::Lock => self.lock_per_hour,
            Danger::RemoveProfile => self.remove_profile_per_hour,
        })
    }
}

impl Brakes {
    /// Starts the actor.
    pub fn launch(parts: &Parts, guard: Guard) -> Recipient<Stop> {
        let gauge = guard.gauge().clone();
        let actor = Self {
            guard,
            reader: parts.reader.clone(),
            writer: parts.writer.clone(),
            clock: parts.clock.clone(),
            hosts: parts.hosts.clone(),
            keeper: parts.keeper.clone(),
            feed: parts.feed.clone(),
            pace: Pace::new(parts.config.brakes.release_per_minute, Instant::now()),
            approved: false,
            busy: true,
        };
        let address = actor.start();
        parts.brakes.publish(address.clone(), gauge);
        address.recipient()
    }

    /// What a former actor released in the last minute counts.
    fn look_back(&mut self, context: &mut Context<Self>) {
        let (reader, since) = (self.reader.clone(), self.clock.now().minus(MINUTE));
        let looking = async move { held_command::count_released_since(&reader, since.millis()).await };
        context.spawn(looking.into_actor(self).map(|counted, brakes, context| match counted {
            Ok(count) => {
                brakes.pace.note(count, Instant::now());
                (brakes.approved, brakes.busy) = (true, false);
            }
            Err(error) => {
                tracing::warn!("released commands cannot be counted: {error}");
                context.run_later(TICK, Self::look_back);
            }
        }));
    }

    fn release(&mut self, context: &mut Context<Self>) {
        let most = self.pace.allows(Instant::now());
        if self.busy || !self.approved || most == 0 {
            return;
        }
        self.busy = true;
        let now = self.clock.now();
        self.guard.gauge().turn(now);
        let writer = self.writer.clone();
        let releasing = async move { held_command::release(&writer, most, now.millis()).await };
        context.spawn(releasing.into_actor(self).map(move |released, brakes, _| {
            brakes.busy = false;
            match released {
                Ok(Some(released)) => brakes.tell_hosts(&released, now),
                Ok(None) => brakes.approved = false,
                Err(error) => {
                    // Perhaps they were released all the same.
                    brakes.pace.note(most, Instant::now());
                    tracing::warn!("held commands cannot be released: {error}");
                }
            }
        }));
    }

    fn tell_hosts(&mut self, released: &Released, due_at: Timestamp) {
        self.pace.note(released.entries.len() as u64, Instant::now());
        let Some(uuid) = CommandUuid::parse(&released.uuid) else { return };
        for made in &released.entries {
            let entry = Entry {
                id: made.entry_id,
                uuid: uuid.clone(),
                priority: released.priority,
                state: State::Queued,
                attempts: 0,
                not_now_tally: 0,
                sent_at: None,
                expires_at: Timestamp::from_millis(released.expires_at),
                after: made.after_id,
                needs_success: made.needs_success,
                is_let_down: false,
                no_blind_resend: released.no_blind_resend,
            };
            let (enrollment, generation) = (made.enrollment_id, Generation(made.generation));
            self.hosts.insist(
                HostId(made.host_id),
                Enqueued { enrollment, generation, entry, body: None, push_at: due_at, due_at },
            );
            self.tell_watchers(made.host_id, &uuid, State::Queued);
        }
        self.keeper.tell(Look);
    }

    fn tell_watchers(&self, host: i64, uuid: &CommandUuid, state: State) {
        self.feed.tell(HostId(host), self.clock.now(), [What::Command(uuid.clone(), state)]);
    }

    fn lapse(&mut self, context: &mut Context<Self>) {
        let (writer, now) = (self.writer.clone(), self.clock.now().millis());
        let lapsing = async move { held_command::lapse(&writer, now).await };
        context.spawn(lapsing.into_actor(self).map(|lapsed, _, _| match lapsed {
            Ok(0) => {}
            Ok(count) => tracing::warn!("{count} held commands ended: no second admin approved them in time"),
            Err(error) => tracing::warn!("it cannot be looked which held commands have ended: {error}"),
        }));
    }
}

impl Pace {
    fn new(per_minute: u32, now: Instant) -> Self {
        Self { per_minute, credit: 0.0, counted_at: now, lately: VecDeque::new() }
    }

    /// How many hosts may be released now: evenly over time, and never more in any minute than the setting says.
    fn allows(&mut self, now: Instant) -> u64 {
        let a_second = f64::from(self.per_minute) / 60.0;
        let earned = now.duration_since(self.counted_at).as_secs_f64() * a_second;
        self.counted_at = now;
        self.credit = (self.credit + earned).min(a_second.max(1.0));
        while self.lately.front().is_some_and(|(then, _)| now.duration_since(*then) >= MINUTE) {
            self.lately.pop_front();
        }
        let lately: u64 = self.lately.iter().map(|(_, count)| count).sum();
        (self.credit as u64).min(u64::from(self.per_minute).saturating_sub(lately))
    }

    fn note(&mut self, count: u64, now: Instant) {
        if count > 0 {
            self.credit = (self.credit - count as f64).max(0.0);
            self.lately.push_back((now, count));
        }
    }
}

impl Actor for Brakes {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.set_mailbox_capacity(MAILBOX);
        self.look_back(context);
        context.run_interval(TICK, Self::release);
        context.run_interval(LAPSE, Self::lapse);
    }
}

singleton!(Brakes);

impl Handler<Cancel> for Brakes {
    type Result = ResponseActFuture<Self, Answer<Option<cancel::Cancelled>>>;

    fn handle(&mut self, message: Cancel, _: &mut Self::Context) -> Self::Result {
        let Cancel { uuid, hosts, by } = message;
        let hosts = hosts.into_iter().map(|host| host.0).collect();
        let rows = cancel::Cancel { uuid: uuid.as_str().to_owned(), hosts, by, now: self.clock.now().millis() };
        let writer = self.writer.clone();
        let cancelling = async move { cancel::cancel(&writer, rows).await };
        Box::pin(cancelling.into_actor(self).map(move |done: Result<_, StoreError>, brakes, _| {
            let done = done?;
            for entry in done.iter().flat_map(|done| &done.entries) {
                let told = Cancelled { enrollment: entry.enrollment_id, entry: entry.entry_id };
                brakes.hosts.insist(HostId(entry.host_id), told);
                brakes.tell_watchers(entry.host_id, &uuid, State::Cancelled);
            }
            Ok(done)
        }))
    }
}

impl Handler<Decide> for Brakes {
    type Result = ResponseActFuture<Self, Answer<Verdict>>;

    fn handle(&mut self, message: Decide, _: &mut Self::Context) -> Self::Result {
        let Decide { uuid, by, agrees_for } = message;
        let word = Word { uuid: uuid.as_str().to_owned(), by, agrees_for, now: self.clock.now().millis() };
        let writer = self.writer.clone();
        let deciding = async move { held_command::decide(&writer, word).await };
        Box::pin(deciding.into_actor(self).map(|decided: Result<_, StoreError>, brakes, _| {
            // Whatever is not certain is looked at in the rows.
            brakes.approved = true;
            Ok(decided?)
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Releases as much as is allowed, at many moments, and returns how many at which.
    fn released(per_minute: u32, moments: impl Iterator<Item = u64>) -> Vec<(u64, u64)> {
        let start = Instant::now();
        let mut pace = Pace::new(per_minute, start);
        let at = |millis| start + Duration::from_millis(millis);
        let release = |millis| {
            let count = pace.allows(at(millis));
            pace.note(count, at(millis));
            (millis, count)
        };
        moments.map(release).collect()
    }

    #[test]
    fn no_minute_sees_more_than_the_pace_however_ticks_fall() {
        for per_minute in [1, 6, 60, 100, 6000] {
            for tick in [137, 1000, 1009, 7000] {
                let all = released(per_minute, (0..400).map(|number| number * tick + number % 7 * 11));
                for (from, _) in &all {
                    let minute = all.iter().filter(|(at, _)| (*from..from + 60_000).contains(at));
                    let count: u64 = minute.map(|(_, count)| count).sum();
                    assert!(
                        count <= u64::from(per_minute),
                        "{count} in a minute, {per_minute} allowed, ticks of {tick}"
                    );
                }
                let total: u64 = all.iter().map(|(_, count)| count).sum();
                assert!(total > 0 || 400 * tick < 60_000, "it goes on");
            }
        }
    }

    #[test]
    fn a_pace_of_nothing_releases_nothing() {
        assert!(released(0, (0..100).map(|number| number * 1000)).iter().all(|(_, count)| *count == 0));
    }
}
