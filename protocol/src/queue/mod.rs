//! The command queue of one channel: what a device is sent next, and when it must be woken for it.
//!
//! Pure: a [`Queue`] looks at what a device said and returns a [`Decision`]; nothing changes until the caller has
//! made the decision durable and gives it back to [`Queue::adopt`]. The queue holds pending commands only; finished
//! ones live in rows. Rules: Apple, "Handling NotNow status responses", and the at-least-once delivery of commands.
//!
//! Start with [`Queue::decide`]; [`Wakeups`] holds the rules about pushes.

mod decide;
mod entry;
mod lanes;
mod wakeups;

#[cfg(test)]
mod tests;

pub use decide::{Answer, Decision, Filing, Handout, Heard, OrphanReason, Room, Round};
pub use entry::{Change, Entry, Policy, State};
pub use wakeups::Wakeups;

use std::time::Duration;

use crate::ids::CommandUuid;
use crate::time::Timestamp;
use lanes::Lanes;

/// The pending commands of one channel, with the device's session and the schedule of pushes.
///
/// A long queue is in memory only as far as a [`Window`] reaches; the rest follows when [`Decision::wants_more`] says so.
#[derive(Clone, Debug, Default)]
pub struct Queue {
    /// None while nothing is pending: most channels of a fleet are at rest.
    lanes: Option<Box<Lanes>>,
    session: Session,
    wakeups: Wakeups,
}

/// The first pending commands of a channel in the order in which they are tried, as rows have them.
#[derive(Clone, Debug, Default)]
pub struct Window {
    /// The commands; [`Entry::after`] names only commands that have not ended.
    pub entries: Vec<Entry>,
    /// Whether others come after them.
    pub more: bool,
}

/// The device's present run of requests: an `Idle` starts one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Session {
    number: u32,
    /// The request that began it is the last one that came.
    begins: bool,
    last_was_not_now: bool,
}

impl Queue {
    /// Rebuilds a queue from its rows. Commands that were on their way count as part of the session that may still
    /// go on at the device, so they are not handed out again before its next `Idle`. `seed` spreads the pushes of
    /// many hosts.
    pub fn load(window: Window, seed: u64, wake_at: Option<Timestamp>) -> Self {
        let mut queue = Self { session: Session { number: 1, ..Session::default() }, ..Self::default() };
        queue.wakeups = Wakeups::load(seed, wake_at);
        queue.extend(window);
        queue
    }

    /// The same queue for a device that asks for work by itself and cannot be pushed (Windows).
    #[must_use]
    pub fn without_pushes(self) -> Self {
        Self { wakeups: self.wakeups.never(), ..self }
    }

    /// Takes in what rows hold, where memory does not yet: a longer window, or commands that nobody told it of. Returns
    /// how many commands were new.
    pub fn extend(&mut self, window: Window) -> usize {
        let last = window.entries.iter().map(Entry::place).max();
        let known = self.in_memory();
        for entry in window.entries {
            self.admit(entry);
        }
        let beyond = if window.more { last.or(Some(lanes::FIRST)) } else { None };
        if beyond.is_some() || self.lanes.is_some() {
            self.lanes_mut().set_beyond(beyond);
            self.rest();
        }
        self.in_memory() - known
    }

    /// Takes in one pending command from its row, wherever its place is.
    pub fn admit(&mut self, entry: Entry) {
        let session = if entry.state == State::Queued { 0 } else { 1 };
        if entry.state.is_queued() {
            self.lanes_mut().insert(entry, session);
        }
    }

    /// Takes in commands that are queued in rows, and schedules a push for them, as soon as `at` and never before.
    /// Known ones are skipped; those beyond the window stay in their rows.
    pub fn enqueue(&mut self, entries: impl IntoIterator<Item = Entry>, at: Timestamp, policy: &Policy) {
        let mut new = false;
        for entry in entries.into_iter().filter(|entry| entry.state.is_queued()) {
            let lanes = self.lanes_mut();
            new |= !lanes.covers(entry.place()) || lanes.insert(entry, 0);
        }
        if new {
            self.schedule(at, policy);
        }
    }

    /// Schedules a push for work that is there.
    pub fn schedule(&mut self, at: Timestamp, policy: &Policy) {
        self.wakeups = self.wakeups.work_queued(at, policy);
    }

    /// How many pending commands are in memory.
    pub fn in_memory(&self) -> usize {
        self.lanes.as_ref().map_or(0, |lanes| lanes.len())
    }

    /// Whether no command is pending, in memory or beyond the window.
    pub fn is_empty(&self) -> bool {
        self.lanes.is_none()
    }

    /// Whether rows hold pending commands that memory does not.
    pub fn more_in_rows(&self) -> bool {
        self.lanes.as_ref().is_some_and(|lanes| lanes.more_in_rows())
    }

    /// Whether the window has been worked off, and rows hold more.
    pub fn is_worked_off(&self) -> bool {
        self.more_in_rows() && self.in_memory() == 0
    }

    /// Whether a report about this command needs no look at rows.
    pub fn is_pending(&self, uuid: &CommandUuid) -> bool {
        self.lanes.as_ref().is_some_and(|lanes| lanes.by_uuid(uuid).is_some())
    }

    /// The pending command with this row.
    pub fn get(&self, id: i64) -> Option<&Entry> {
        self.lanes.as_ref().and_then(|lanes| lanes.get(id)).map(|slot| &slot.entry)
    }

    /// When something is due: a push, or the end of a command's time to live.
    pub fn wake_at(&self) -> Option<Timestamp> {
        earlier(self.push_at(), self.first_expiry_without(&[]))
    }

    /// When the device is to be pushed, if there is a reason to.
    pub fn push_at(&self) -> Option<Timestamp> {
        self.wakeups.push_at(!self.is_empty())
    }

    /// The clock was set back by so much: what was planned by it comes as much earlier.
    pub fn clock_was_set_back(&mut self, by: Duration) {
        self.wakeups = self.wakeups.earlier(by);
    }

    /// Sets the schedule of pushes right, in case the clock was set back since it was made, or rows were read that said
    /// nothing of it.
    pub fn set_right(&mut self, now: Timestamp, policy: &Policy) {
        self.wakeups = self.wakeups.set_right(now, policy);
        if !self.is_empty() && self.push_at().is_none() {
            self.schedule(now, policy);
        }
    }

    /// The schedule of pushes.
    pub fn wakeups(&self) -> Wakeups {
        self.wakeups
    }

    /// Replaces the schedule of pushes, after a push went out or was answered.
    pub fn set_wakeups(&mut self, wakeups: Wakeups) {
        self.wakeups = wakeups;
    }

    /// Plans pushes anew for a channel that has a new token.
    pub fn token_renewed(&mut self, now: Timestamp) {
        self.wakeups = self.wakeups.token_renewed(!self.is_empty(), now);
    }

    /// The changes that end commands whose time has come, or that were let down by the one they waited for; those first, then
    /// the oldest.
    pub fn expired(&self, now: Timestamp) -> impl Iterator<Item = Change> {
        let lanes = self.lanes.as_ref();
        let due = lanes.into_iter().flat_map(move |lanes| lanes.expiries().take_while(move |(at, _)| *at <= now));
        due.filter_map(move |(_, id)| {
            let let_down = self.get(id)?.is_let_down;
            self.ended(id, if let_down { State::Cancelled } else { State::Expired }, now)
        })
    }

    /// The change that ends one pending command from our side, if it still is pending.
    pub fn ended(&self, id: i64, state: State, now: Timestamp) -> Option<Change> {
        debug_assert!(state.is_terminal());
        self.get(id).map(|entry| entry.changed(state, now))
    }

    /// Takes in that a command has ended in its row, whether it is in memory or not: others may wait for it.
    pub fn has_ended(&mut self, id: i64, state: State) {
        debug_assert!(state.is_terminal());
        if let Some(lanes) = self.lanes.as_mut() {
            lanes.remove(id, state);
        }
        self.rest();
    }

    /// Applies changes that are durable now.
    pub fn apply(&mut self, changes: &[Change]) {
        let Some(lanes) = self.lanes.as_mut() else { return };
        for change in changes {
            if change.state.is_terminal() {
                lanes.remove(change.id, change.state);
            } else {
                lanes.change(change);
            }
        }
        self.rest();
    }

    /// Forgets every pending command: the enrollment they were for has ended, and their rows say so.
    pub fn clear(&mut self) {
        *self = Self { wakeups: self.wakeups.cleared(), ..Self::default() };
    }

    fn lanes_mut(&mut self) -> &mut Lanes {
        let session = self.session.number;
        self.lanes.get_or_insert_with(|| Box::new(Lanes::new(session)))
    }

    /// Gives back the memory of a queue without commands.
    fn rest(&mut self) {
        self.lanes.take_if(|lanes| lanes.len() == 0 && !lanes.more_in_rows());
    }
}

/// The earlier of two moments, where there are any.
pub(crate) fn earlier(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, other) => one.or(other),
    }
}
