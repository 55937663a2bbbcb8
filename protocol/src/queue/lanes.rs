//! The pending commands of a channel, sorted by what holds them back, so that the choice of the next one looks at those
//! that may go and passes over the others: a few steps in a tree, however many commands wait.
//!
//! A lane is an index and no rule: the choice asks the rule again of every command that it finds in one.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::ops::Bound::{Excluded, Unbounded};

use super::entry::{Change, Entry, State};
use crate::ids::CommandUuid;
use crate::time::Timestamp;

/// The order in which commands are tried: higher priorities first, then as they were queued.
pub(super) type Place = (Reverse<i16>, i64);

/// Before every place.
pub(super) const FIRST: Place = (Reverse(i16::MAX), i64::MIN);

/// A pending command and the session in which the device last had it; a command is handed out once in a session.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub(super) entry: Entry,
    pub(super) session: u32,
}

/// What may hold a command back, besides its end and another command that it waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// Nothing.
    Ready,
    /// The device said `NotNow` in an earlier session.
    Deferred,
    /// The device had it in this session and has not answered.
    HadUnanswered,
    /// The device said `NotNow` in this session.
    HadDeferred,
    /// It is dangerous twice and the device had it: these are few.
    Resting,
}

/// The commands and their lanes.
#[derive(Clone, Debug, Default)]
pub(super) struct Lanes {
    slots: HashMap<i64, Slot>,
    by_uuid: HashMap<CommandUuid, i64>,
    expiries: BTreeSet<(Timestamp, i64)>,
    lanes: [BTreeSet<Place>; 5],
    /// Commands that wait for another one, by the one they wait for. While that is pending they are in no lane.
    followers: BTreeSet<(i64, Place)>,
    /// How many commands the device deferred.
    deferred: usize,
    session: u32,
    /// Pending commands after this place are in rows alone.
    beyond: Option<Place>,
}

impl Lanes {
    pub(super) fn new(session: u32) -> Self {
        Self { session, ..Self::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// How many commands the device deferred.
    pub(super) fn deferred(&self) -> usize {
        self.deferred
    }

    /// Whether rows hold pending commands that memory does not.
    pub(super) fn more_in_rows(&self) -> bool {
        self.beyond.is_some()
    }

    pub(super) fn get(&self, id: i64) -> Option<&Slot> {
        self.slots.get(&id)
    }

    pub(super) fn by_uuid(&self, uuid: &CommandUuid) -> Option<&Slot> {
        self.by_uuid.get(uuid).and_then(|id| self.slots.get(id))
    }

    /// The commands by the moment at which they end by themselves.
    pub(super) fn expiries(&self) -> impl Iterator<Item = (Timestamp, i64)> {
        self.expiries.iter().copied()
    }

    /// The first command after `last` in these lanes and among those that wait for `released`.
    pub(super) fn next_after(&self, last: Option<Place>, open: &[Lane], released: &[(i64, State)]) -> Option<&Slot> {
        let after = last.map_or(Unbounded, Excluded);
        let in_lanes = open.iter().filter_map(|lane| self.lanes[*lane as usize].range((after, Unbounded)).next());
        let followers = released.iter().filter_map(|(id, _)| {
            let from = (Excluded((*id, last.unwrap_or(FIRST))), Unbounded);
            self.followers.range(from).next().filter(|(waits_for, _)| waits_for == id).map(|(_, place)| place)
        });
        in_lanes.chain(followers).min().and_then(|place| self.slots.get(&place.1))
    }

    /// Whether a command waits for another one that has not ended.
    pub(super) fn is_blocked(&self, entry: &Entry) -> bool {
        // Rows tell only of those that have not ended: one that memory does not hold is among the rest of the rows.
        entry.after.is_some_and(|id| self.slots.contains_key(&id) || self.beyond.is_some())
    }

    /// Whether a command at this place has to be in memory.
    pub(super) fn covers(&self, place: Place) -> bool {
        self.beyond.is_none_or(|beyond| place <= beyond)
    }

    /// Says which commands are in rows alone.
    pub(super) fn set_beyond(&mut self, beyond: Option<Place>) {
        let waiting = self.followers.iter().filter(|(after, _)| !self.slots.contains_key(after));
        let waiting: Vec<i64> = waiting.map(|(_, place)| place.1).collect();
        waiting.iter().for_each(|id| self.take_out(*id));
        self.beyond = beyond;
        waiting.iter().for_each(|id| self.put_in(*id));
    }

    /// Takes in a command; false when it is there already.
    pub(super) fn insert(&mut self, entry: Entry, session: u32) -> bool {
        let (id, place) = (entry.id, entry.place());
        if self.slots.contains_key(&id) {
            return false;
        }
        self.followers_of(id).for_each(|follower| self.take_out(follower));
        self.by_uuid.insert(entry.uuid.clone(), id);
        self.expiries.insert((entry.ends_at(), id));
        self.followers.extend(entry.after.map(|after| (after, place)));
        self.deferred += usize::from(entry.state == State::NotNow);
        self.slots.insert(id, Slot { entry, session });
        self.put_in(id);
        true
    }

    /// Lets a command go that has ended, and with it those that waited for it. It need not be in memory itself.
    pub(super) fn remove(&mut self, id: i64, ended: State) {
        self.take_out(id);
        if let Some(Slot { entry, .. }) = self.slots.remove(&id) {
            self.by_uuid.remove(&entry.uuid);
            self.expiries.remove(&(entry.ends_at(), id));
            if let Some(after) = entry.after {
                self.followers.remove(&(after, entry.place()));
            }
            self.deferred -= usize::from(entry.state == State::NotNow);
        }
        for follower in self.followers_of(id) {
            if let Some(slot) = self.slots.get_mut(&follower) {
                self.followers.remove(&(id, slot.entry.place()));
                self.expiries.remove(&(slot.entry.ends_at(), follower));
                slot.entry.after = None;
                slot.entry.is_let_down = slot.entry.is_let_down_by(ended);
                self.expiries.insert((slot.entry.ends_at(), follower));
            }
            self.put_in(follower);
        }
    }

    /// Moves a command on, which the device had or answered in the present session.
    pub(super) fn change(&mut self, change: &Change) {
        self.take_out(change.id);
        if let Some(slot) = self.slots.get_mut(&change.id) {
            self.deferred -= usize::from(slot.entry.state == State::NotNow);
            slot.entry.state = change.state;
            slot.entry.attempts = change.attempts;
            slot.entry.not_now_tally = change.not_now_tally;
            slot.entry.sent_at = change.sent_at;
            slot.session = self.session;
            self.deferred += usize::from(change.state == State::NotNow);
        }
        self.put_in(change.id);
    }

    /// In a new session the device may get again what it had in the former one.
    pub(super) fn begin_session(&mut self, session: u32) {
        if self.session == session {
            return;
        }
        self.session = session;
        for (from, to) in [(Lane::HadUnanswered, Lane::Ready), (Lane::HadDeferred, Lane::Deferred)] {
            let mut moved = std::mem::take(&mut self.lanes[from as usize]);
            let stay = &mut self.lanes[to as usize];
            if moved.len() > stay.len() {
                std::mem::swap(&mut moved, stay);
            }
            stay.extend(moved);
        }
    }

    /// The commands that wait for this one.
    pub(super) fn followers_of(&self, id: i64) -> impl Iterator<Item = i64> + use<> {
        let from = self.followers.range((id, FIRST)..).take_while(|(after, _)| *after == id);
        from.map(|(_, place)| place.1).collect::<Vec<_>>().into_iter()
    }

    fn put_in(&mut self, id: i64) {
        if let Some((lane, place)) = self.lane(id) {
            self.lanes[lane as usize].insert(place);
        }
    }

    fn take_out(&mut self, id: i64) {
        if let Some((lane, place)) = self.lane(id) {
            self.lanes[lane as usize].remove(&place);
        }
    }

    /// Where a command belongs now.
    fn lane(&self, id: i64) -> Option<(Lane, Place)> {
        let Slot { entry, session } = self.slots.get(&id)?;
        if self.is_blocked(entry) || entry.is_let_down {
            return None;
        }
        let had = entry.state != State::Queued && *session == self.session;
        let lane = match (entry.state == State::NotNow, had) {
            _ if entry.no_blind_resend && entry.attempts > 0 => Lane::Resting,
            (false, false) => Lane::Ready,
            (true, false) => Lane::Deferred,
            (false, true) => Lane::HadUnanswered,
            (true, true) => Lane::HadDeferred,
        };
        Some((lane, entry.place()))
    }
}

impl Entry {
    pub(super) fn place(&self) -> Place {
        (Reverse(self.priority), self.id)
    }
}
