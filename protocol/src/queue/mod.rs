//! The command queue of one channel: what a device is sent next, and when it must be woken for it.
//!
//! Pure: a [`Queue`] looks at what a device said and returns a [`Decision`]; nothing changes until the caller has
//! made the decision durable and gives it back to [`Queue::adopt`]. The queue holds pending commands only; finished
//! ones live in rows. Rules: Apple, "Handling NotNow status responses", and the at-least-once delivery of commands.
//!
//! Start with [`Queue::decide`]; [`Wakeups`] holds the rules about pushes.

mod decide;
mod entry;
mod wakeups;

#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

pub use decide::{Answer, Decision, Filing, Handout, Heard, OrphanReason};
pub use entry::{Change, Entry, Policy, State};
pub use wakeups::Wakeups;

use crate::ids::CommandUuid;
use crate::time::Timestamp;

/// The pending commands of one channel, with the device's session and the schedule of pushes.
#[derive(Clone, Debug, Default)]
pub struct Queue {
    slots: BTreeMap<i64, Slot>,
    order: BTreeSet<(Reverse<i16>, i64)>,
    by_uuid: HashMap<CommandUuid, i64>,
    expiries: BTreeSet<(Timestamp, i64)>,
    session: Session,
    wakeups: Wakeups,
}

/// A pending command and the session in which the device last had it; a command is handed out once in a session.
#[derive(Clone, Debug)]
struct Slot {
    entry: Entry,
    session: u32,
}

/// The device's present run of requests: an `Idle` starts one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Session {
    number: u32,
    not_now_seen: bool,
    last_was_not_now: bool,
}

impl Queue {
    /// Rebuilds a queue from its rows. Commands that were on their way count as part of the session that may still
    /// go on at the device, so they are not handed out again before its next `Idle`. `seed` spreads the pushes of
    /// many hosts.
    pub fn load(entries: impl IntoIterator<Item = Entry>, seed: u64, wake_at: Option<Timestamp>) -> Self {
        let mut queue = Self { session: Session { number: 1, ..Session::default() }, ..Self::default() };
        queue.wakeups = Wakeups::load(seed, wake_at);
        for entry in entries {
            let session = if entry.state == State::Queued { 0 } else { 1 };
            queue.insert(entry, session);
        }
        queue
    }

    /// Takes in commands that are queued in rows, and schedules a push for them, as soon as `at` and never before.
    /// Known ones are skipped.
    pub fn enqueue(&mut self, entries: impl IntoIterator<Item = Entry>, at: Timestamp, policy: &Policy) {
        let before = self.slots.len();
        for entry in entries {
            if !entry.state.is_terminal() && !self.slots.contains_key(&entry.id) {
                self.insert(entry, 0);
            }
        }
        if self.slots.len() > before {
            self.wakeups = self.wakeups.work_queued(at, policy);
        }
    }

    /// How many commands are pending.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether no command is pending.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Whether a report about this command needs no look at finished rows.
    pub fn is_pending(&self, uuid: &CommandUuid) -> bool {
        self.by_uuid.contains_key(uuid)
    }

    /// The pending commands in the order in which they are tried.
    pub fn pending(&self) -> impl Iterator<Item = &Entry> {
        self.order.iter().filter_map(|(_, id)| self.slots.get(id)).map(|slot| &slot.entry)
    }

    /// When something is due: a push, or the end of a command's time to live.
    pub fn wake_at(&self) -> Option<Timestamp> {
        earlier(self.push_at(), self.expiries.first().map(|(at, _)| *at))
    }

    /// When the device is to be pushed, if there is a reason to.
    pub fn push_at(&self) -> Option<Timestamp> {
        self.wakeups.push_at(!self.is_empty())
    }

    /// The schedule of pushes.
    pub fn wakeups(&self) -> Wakeups {
        self.wakeups
    }

    /// Replaces the schedule of pushes, after a push went out or was answered.
    pub fn set_wakeups(&mut self, wakeups: Wakeups) {
        self.wakeups = wakeups;
    }

    /// The changes that end every command whose time has come.
    pub fn expired(&self, now: Timestamp) -> Vec<Change> {
        let due = self.expiries.iter().take_while(|(at, _)| *at <= now);
        due.filter_map(|(_, id)| self.slots.get(id)).map(|slot| slot.entry.changed(State::Expired, now)).collect()
    }

    /// The change that ends one pending command from our side, if it still is pending.
    pub fn ended(&self, id: i64, state: State, now: Timestamp) -> Option<Change> {
        debug_assert!(state.is_terminal());
        self.slots.get(&id).map(|slot| slot.entry.changed(state, now))
    }

    /// Applies changes that are durable now.
    pub fn apply(&mut self, changes: &[Change]) {
        for change in changes {
            if change.state.is_terminal() {
                self.remove(change.id);
            } else if let Some(slot) = self.slots.get_mut(&change.id) {
                slot.entry.state = change.state;
                slot.entry.attempts = change.attempts;
                slot.entry.not_now_tally = change.not_now_tally;
                slot.entry.sent_at = change.sent_at;
                slot.session = self.session.number;
            }
        }
    }

    /// Forgets every pending command: the enrollment they were for has ended, and their rows say so.
    pub fn clear(&mut self) {
        *self = Self { wakeups: self.wakeups.cleared(), ..Self::default() };
    }

    fn insert(&mut self, entry: Entry, session: u32) {
        self.order.insert((Reverse(entry.priority), entry.id));
        self.by_uuid.insert(entry.uuid.clone(), entry.id);
        self.expiries.insert((entry.expires_at, entry.id));
        self.slots.insert(entry.id, Slot { entry, session });
    }

    fn remove(&mut self, id: i64) {
        if let Some(Slot { entry, .. }) = self.slots.remove(&id) {
            self.order.remove(&(Reverse(entry.priority), id));
            self.expiries.remove(&(entry.expires_at, id));
            self.by_uuid.remove(&entry.uuid);
        }
    }
}

/// The earlier of two moments, where there are any.
pub(crate) fn earlier(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, other) => one.or(other),
    }
}
