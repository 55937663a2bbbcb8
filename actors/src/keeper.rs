//! The keeper of the host directory: wakes hosts whose rows say that they are due, writes who was seen, and looks after
//! hosts that crash.
//!
//! Every second it reads a bounded number of due rows. A host without an actor is started; one with an actor is told what
//! its row says, and corrects it when nothing is due after all.

use std::collections::VecDeque;
use std::time::Duration;

use actix::prelude::*;
use entities::{Reader, Writer, host_times, queue_entry};
use protocol::ids::HostId;
use protocol::time::Timestamp;
use tokio::time::Instant;

use crate::Hosts;
use crate::clock::Clock;
use crate::host::due::Due;
use crate::hosts::Crash;
use crate::seen::Seen;
use crate::supervisor::{Guard, Stop};
use crate::tree::Parts;

/// How often due rows are read.
const TICK: Duration = Duration::from_secs(1);
/// Due rows read at once: their hosts read their rows next, and a device that comes just then waits for them.
const PAGE: usize = 100;
/// Due rows handled in one tick at most; the rest follows in the next.
const ROUND: usize = 4000;
/// How often it is looked for hosts that are to be woken later than any rule asks for: their moments were planned before
/// the clock was set back.
const LOOK_BEYOND: Duration = Duration::from_secs(60);
/// How often it is written who was seen.
const FLUSH: Duration = Duration::from_secs(30);
/// How often troubles that are over are forgotten.
const TIDY: Duration = Duration::from_secs(600);
/// Before the first due row.
const START: (i64, i64) = (i64::MIN, 0);
/// How long hosts may take to finish their turns when the server stops.
const PATIENCE: Duration = Duration::from_secs(5);
/// In this time, crashes of different hosts count as one storm.
const STORM_WINDOW: Duration = Duration::from_secs(10);
/// Crashes that are no storm yet, however few hosts there are.
const STORM_FLOOR: usize = 50;

/// The actor.
pub struct Keeper {
    guard: Guard,
    reader: Reader,
    writer: Writer,
    clock: Clock,
    hosts: Hosts,
    seen: Seen,
    longest_wait: Duration,
    looking: bool,
    look_again: bool,
    /// Where the last round ended, when it did not reach the end of what is due.
    position: (i64, i64),
    /// The steps back of the clock that due rows were read for.
    stepped_back: Duration,
    crashes: VecDeque<Instant>,
}

/// Look for due hosts now rather than at the next tick.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct Look;

/// A host's actor crashed.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct Crashed(pub Crash);

impl Keeper {
    /// Starts the actor.
    pub fn launch(parts: &Parts, guard: Guard) -> Recipient<Stop> {
        let gauge = guard.gauge().clone();
        let actor = Self {
            guard,
            reader: parts.reader.clone(),
            writer: parts.writer.clone(),
            clock: parts.clock.clone(),
            hosts: parts.hosts.clone(),
            seen: parts.seen.clone(),
            longest_wait: parts.config.host.queue.longest_wait(),
            looking: false,
            look_again: false,
            position: START,
            stepped_back: parts.clock.stepped_back(),
            crashes: VecDeque::new(),
        };
        let address = actor.start();
        parts.keeper.publish(address.clone(), gauge);
        address.recipient()
    }

    /// Reads due rows, page by page, and wakes their hosts.
    fn look(&mut self, context: &mut Context<Self>) {
        self.look_again = self.looking;
        if self.looking {
            return;
        }
        self.looking = true;
        crate::fault::point("keeper.look");
        let now = self.clock.now();
        self.guard.gauge().turn(now);
        let (reader, hosts, position) = (self.reader.clone(), self.hosts.clone(), self.position);
        // What was planned before the clock was set back is due so much later than its rows say.
        let stepped_back = self.clock.stepped_back();
        let until = now.plus(stepped_back.saturating_sub(self.stepped_back));
        let looking = async move { wake_due(&reader, &hosts, position, until).await };
        context.spawn(looking.into_actor(self).map(move |looked, keeper, context| {
            keeper.looking = false;
            match looked {
                Ok(position) => {
                    keeper.position = position;
                    keeper.stepped_back = if position == START { stepped_back } else { keeper.stepped_back };
                }
                Err(error) => tracing::warn!("due hosts cannot be read: {error}"),
            }
            if std::mem::take(&mut keeper.look_again) {
                keeper.look(context);
            }
        }));
    }

    /// Lets hosts set their rows right that a clock which was set back has put too far away.
    fn look_beyond(&self) -> ResponseActFuture<Self, ()> {
        let (reader, hosts) = (self.reader.clone(), self.hosts.clone());
        let horizon = self.clock.now().plus(self.longest_wait);
        let looking = async move {
            match host_times::list_beyond(&reader, horizon.millis(), PAGE).await {
                Ok(far) => wake(&hosts, &far),
                Err(error) => tracing::warn!("hosts that are woken too late cannot be read: {error}"),
            }
        };
        Box::pin(looking.into_actor(self))
    }

    fn flush(&mut self) -> ResponseActFuture<Self, ()> {
        let (writer, noted, seen) = (self.writer.clone(), self.seen.take(), self.seen.clone());
        let flushing = async move {
            if noted.is_empty() {
                return;
            }
            if let Err(error) = host_times::seen(&writer, noted.clone()).await {
                tracing::warn!("who was seen cannot be written: {error}");
                seen.put_back(noted);
            }
        };
        Box::pin(flushing.into_actor(self))
    }

    /// Many hosts crash at once: that is no host's fault, and a restart of more than a host may help.
    fn is_storm(&mut self) -> bool {
        let now = Instant::now();
        self.crashes.push_back(now);
        while self.crashes.front().is_some_and(|first| now.duration_since(*first) > STORM_WINDOW) {
            self.crashes.pop_front();
        }
        self.crashes.len() > STORM_FLOOR.max(self.hosts.census().resident / 20)
    }

    /// A command that broke its host three times is taken out of the way; then the host may come back.
    fn park(&mut self, crash: &Crash, entry: i64, context: &mut Context<Self>) {
        let (writer, hosts, host, now) = (self.writer.clone(), self.hosts.clone(), crash.host, self.clock.now());
        let parking = async move { queue_entry::park(&writer, entry, now.millis()).await };
        context.spawn(parking.into_actor(self).map(move |parked, _, _| match parked {
            Ok(_) => {
                tracing::error!(
                    host.id = host.0,
                    queue.entry = entry,
                    "parked a command that broke its host three times"
                );
                hosts.pardon(host);
            }
            Err(error) => tracing::error!(host.id = host.0, queue.entry = entry, "cannot park a command: {error}"),
        }));
    }
}

/// Wakes hosts that are due until a moment, from a position on; returns where the next round begins.
async fn wake_due(
    reader: &Reader,
    hosts: &Hosts,
    position: (i64, i64),
    until: Timestamp,
) -> Result<(i64, i64), entities::StoreError> {
    let (mut after, mut woken) = (position, 0);
    while woken < ROUND {
        let due = host_times::list_due(reader, until.millis(), after, PAGE).await?;
        wake(hosts, &due);
        woken += due.len();
        match due.last() {
            Some(last) if due.len() == PAGE => after = *last,
            _ => return Ok(START),
        }
    }
    Ok(after)
}

fn wake(hosts: &Hosts, rows: &[(i64, i64)]) {
    for (wake_at, host) in rows {
        // A quarantined or overloaded host stays due, and is told again in a later round.
        let _ = hosts.tell(HostId(*host), Due { stored_wake_at: Timestamp::from_millis(*wake_at) });
    }
}

impl Actor for Keeper {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.run_interval(TICK, |keeper, context| keeper.look(context));
        context.run_interval(LOOK_BEYOND, |keeper, context| {
            let looking = keeper.look_beyond();
            context.spawn(looking);
        });
        context.run_interval(TIDY, |keeper, _| keeper.hosts.forget_old_troubles());
        context.run_interval(FLUSH, |keeper, context| {
            let flushing = keeper.flush();
            context.spawn(flushing);
        });
    }
}

impl Handler<Stop> for Keeper {
    type Result = ();

    fn handle(&mut self, _: Stop, context: &mut Self::Context) {
        self.hosts.retire_all();
        let (hosts, flushing) = (self.hosts.clone(), self.flush());
        let draining = async move {
            let begun = Instant::now();
            while hosts.census().resident > 0 && begun.elapsed() < PATIENCE {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            match hosts.census().resident {
                0 => {}
                left => tracing::warn!("{left} hosts did not finish in time and are left behind"),
            }
        };
        let drained = draining.into_actor(self).then(|(), _, _| flushing);
        context.wait(drained.map(|(), _, context: &mut Context<Self>| context.stop()));
    }
}

impl Handler<Look> for Keeper {
    type Result = ();

    fn handle(&mut self, _: Look, context: &mut Self::Context) {
        self.look(context);
    }
}

impl Handler<Crashed> for Keeper {
    type Result = ();

    fn handle(&mut self, Crashed(crash): Crashed, context: &mut Self::Context) {
        tracing::error!(host.id = crash.host.0, quarantined = crash.quarantined, "a host crashed: {}", crash.why);
        if crash.quarantined
            && let Some(entry) = crash.culprit
        {
            self.park(&crash, entry, context);
        }
        if self.is_storm() {
            self.guard.fail("hosts crash everywhere");
            context.stop();
        }
    }
}
