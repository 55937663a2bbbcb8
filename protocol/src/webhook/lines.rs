//! Who is told next: each host's events stand in a line of their own, lines go on side by side, and a receiver that
//! fails is left alone for longer and longer.
//!
//! Memory holds lines, not events: a line names a host, and whoever gets a turn reads the host's first event from its
//! row. The rows are passed in their order once; hosts that have a line already are only noted. So memory is bounded,
//! whatever the backlog. Pure: time and chance are arguments.
//!
//! Start with [`Lines::next`].

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use crate::time::Timestamp;

/// Lines at most; the hosts of later rows wait until one ends.
const MOST_LINES: usize = 4096;
/// First wait after a failure.
const BASE: Duration = Duration::from_secs(1);
/// Longest wait after a failure.
const CAP: Duration = Duration::from_secs(300);
/// The longest time for which a receiver may ask to be left alone, and longer than any other wait: what is due later than
/// that was planned by another clock.
pub const LONGEST_REST: Duration = Duration::from_secs(3600);
/// Failures in a row from which on one event at a time tries whether the receiver is back.
const BREAKS_AT: u32 = 5;

/// The lines of one webhook.
#[derive(Debug)]
pub struct Lines {
    /// Rows up to here have been passed.
    passed: i64,
    lines: HashMap<i64, Line>,
    /// Lines that wait for their turn, by the moment from which on they may have it.
    waiting: BTreeSet<(Timestamp, i64)>,
    under_way: usize,
    most_under_way: usize,
    /// Failures in a row.
    failures: u32,
    rests_until: Timestamp,
}

#[derive(Debug, Default)]
struct Line {
    /// Rows of this host were passed since its last turn began.
    has_more: bool,
}

/// What became of a host's turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its first event was delivered.
    Delivered,
    /// It has no event that waits.
    Empty,
    /// Its first event may not be sent before a moment.
    NotBefore(Timestamp),
    /// Its first event was not delivered, and may be tried again, or its next one tried, after this time.
    Failed {
        /// How long the line waits.
        wait: Duration,
        /// How long the receiver asked to be left alone.
        rest: Option<Duration>,
    },
    /// Nobody knows, because rows could not be read or written; that is not the receiver's fault.
    Unknown {
        /// How long the line waits.
        wait: Duration,
    },
}

impl Lines {
    /// Lines of which so many have their turn at once.
    pub fn new(most_under_way: usize) -> Self {
        Self {
            passed: 0,
            lines: HashMap::new(),
            waiting: BTreeSet::new(),
            under_way: 0,
            most_under_way: most_under_way.max(1),
            failures: 0,
            rests_until: Timestamp::default(),
        }
    }

    /// The row behind which the next ones are read; `None` while there is no room for more lines.
    pub fn read_after(&self) -> Option<i64> {
        (self.lines.len() < MOST_LINES).then_some(self.passed)
    }

    /// Begins again with the first row: older ones wait again.
    pub fn begin_again(&mut self) {
        self.passed = 0;
    }

    /// Passes the next row. `false`: there is no room for its host.
    pub fn pass(&mut self, row: i64, host: i64, due: Timestamp) -> bool {
        let is_full = self.lines.len() == MOST_LINES;
        match self.lines.entry(host) {
            Entry::Occupied(mut line) => line.get_mut().has_more = true,
            Entry::Vacant(_) if is_full => return false,
            Entry::Vacant(place) => {
                place.insert(Line::default());
                self.waiting.insert((due, host));
            }
        }
        self.passed = row;
        true
    }

    /// The host whose turn it is, if it is one's.
    pub fn next(&mut self, now: Timestamp) -> Option<i64> {
        if self.room(now) == 0 {
            return None;
        }
        let (due, host) = self.waiting.first().copied()?;
        if due > now && due < now.plus(LONGEST_REST) {
            return None;
        }
        self.waiting.pop_first();
        self.lines.entry(host).or_default().has_more = false;
        self.under_way += 1;
        Some(host)
    }

    /// How many more may have their turn now.
    fn room(&self, now: Timestamp) -> usize {
        let rests = self.rests_until > now && self.rests_until <= now.plus(LONGEST_REST);
        let most = if self.failures >= BREAKS_AT { 1 } else { self.most_under_way };
        if rests { 0 } else { most.saturating_sub(self.under_way) }
    }

    /// A host's turn has ended. `chance` is any number; it spreads the rests.
    pub fn ended(&mut self, host: i64, outcome: Outcome, now: Timestamp, chance: u32) {
        self.under_way = self.under_way.saturating_sub(1);
        match outcome {
            Outcome::Delivered => {
                self.failures = 0;
                self.wait(host, now);
            }
            Outcome::Empty => {
                if self.lines.get(&host).is_some_and(|line| line.has_more) {
                    self.wait(host, now);
                } else {
                    self.lines.remove(&host);
                }
            }
            Outcome::NotBefore(moment) => self.wait(host, moment),
            Outcome::Failed { wait, rest } => {
                self.failures = self.failures.saturating_add(1);
                let breaks = self.failures.checked_sub(BREAKS_AT).map(|beyond| back_off(beyond + 1, chance));
                let rest = rest.map(|rest| rest.min(LONGEST_REST)).max(breaks).unwrap_or_default();
                self.rests_until = self.rests_until.max(now.plus(rest));
                self.wait(host, now.plus(wait));
            }
            Outcome::Unknown { wait } => self.wait(host, now.plus(wait)),
        }
    }

    fn wait(&mut self, host: i64, due: Timestamp) {
        self.waiting.insert((due, host));
    }

    /// When it is worth asking again whose turn it is, if nothing else happens.
    pub fn due_at(&self, now: Timestamp) -> Option<Timestamp> {
        let (due, _) = self.waiting.first()?;
        if self.under_way > 0 && self.room(now.max(self.rests_until)) == 0 {
            return None;
        }
        Some((*due).max(self.rests_until))
    }

    /// How many lines there are.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// How many hosts have their turn now.
    pub const fn under_way(&self) -> usize {
        self.under_way
    }
}

/// How long to wait after so many failures: any time up to a limit that doubles ("full jitter").
pub fn back_off(failures: u32, chance: u32) -> Duration {
    let limit = BASE.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(CAP);
    limit.mul_f64(f64::from(chance) / f64::from(u32::MAX))
}
