//! One report of a device: what it changes, and what the device gets next.

use super::entry::{Change, Entry, Policy, State};
use super::wakeups::{Outlook, Wakeups};
use super::{Queue, Session, Slot};
use crate::ids::CommandUuid;
use crate::time::Timestamp;

/// The `Status` of a report, as far as the queue cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The device asks for work: a session begins.
    Idle,
    /// Done.
    Acknowledged,
    /// Failed; a status that nobody knows counts as this too.
    Error,
    /// The device could not read the command.
    FormatError,
    /// Not now: the command stays, and is offered again in a later session.
    NotNow,
}

/// A report of a device.
#[derive(Clone, Copy, Debug)]
pub struct Heard<'a> {
    /// What it says.
    pub answer: Answer,
    /// The command it speaks of; absent with [`Answer::Idle`].
    pub uuid: Option<&'a CommandUuid>,
    /// For a command that is not pending: how its row ended. `None` when there is no such row.
    pub ended: Option<State>,
}

/// What is to be kept of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filing {
    /// Nothing: a poll, a `NotNow` (counted in the entry), or the repeat of a report that is kept already.
    Nothing,
    /// It is the result of this entry.
    Result(i64),
    /// It belongs to no pending command; it is kept apart and changes nothing.
    Orphan(OrphanReason),
}

/// Why a report belongs to no pending command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrphanReason {
    /// No command of this channel has that `CommandUUID`: it was deleted, restored away, or is another host's.
    Unknown,
    /// The command had ended otherwise before.
    Late,
}

/// The command that the device gets in the reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handout {
    /// Its row.
    pub id: i64,
    /// What the device calls it.
    pub uuid: CommandUuid,
}

/// Everything that one report leads to. Make `changes` and the filing durable, then give it to [`Queue::adopt`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Changed rows, each at most once.
    pub changes: Vec<Change>,
    /// What to keep of the report.
    pub filing: Filing,
    /// What to reply.
    pub next: Option<Handout>,
    /// When something is due afterwards; see [`Queue::wake_at`].
    pub wake_at: Option<Timestamp>,
    session: Session,
    wakeups: Wakeups,
}

/// Commands parked in one decision at most, so that one poll stays short.
const PARKED_AT_ONCE: usize = 16;

impl Queue {
    /// Looks at a report and decides; changes nothing.
    pub fn decide(&self, heard: &Heard<'_>, now: Timestamp, policy: &Policy) -> Decision {
        let session = self.session.after(heard.answer);
        let mut changes = Vec::new();
        let filing = self.file(heard, now, &mut changes);
        let next = self.choose(session, &mut changes, now, policy);
        let wakeups = match &next {
            Some(_) => self.wakeups.session_goes_on(now, policy),
            None => self.wakeups.session_ended(self.outlook(session, &changes), now, policy),
        };
        let left = self.slots.len() > changes.iter().filter(|change| change.state.is_terminal()).count();
        let wake_at = super::earlier(wakeups.push_at(left), self.first_expiry_without(&changes));
        Decision { changes, filing, next, wake_at, session, wakeups }
    }

    /// Applies a decision that is durable now.
    pub fn adopt(&mut self, decision: &Decision) {
        self.session = decision.session;
        self.wakeups = decision.wakeups;
        self.apply(&decision.changes);
    }

    fn file(&self, heard: &Heard<'_>, now: Timestamp, changes: &mut Vec<Change>) -> Filing {
        let Some(state) = heard.answer.state() else { return Filing::Nothing };
        let slot = heard.uuid.and_then(|uuid| self.by_uuid.get(uuid)).and_then(|id| self.slots.get(id));
        match (slot, heard.ended) {
            (Some(slot), _) if state == State::NotNow => {
                changes.extend(not_now(&slot.entry, now));
                Filing::Nothing
            }
            (Some(slot), _) => {
                changes.push(Change { attempts: 0, ..slot.entry.changed(state, now) });
                Filing::Result(slot.entry.id)
            }
            (None, Some(ended)) if ended == state => Filing::Nothing,
            (None, Some(_)) => Filing::Orphan(OrphanReason::Late),
            (None, None) => Filing::Orphan(OrphanReason::Unknown),
        }
    }

    fn choose(&self, session: Session, changes: &mut Vec<Change>, now: Timestamp, policy: &Policy) -> Option<Handout> {
        let reported = changes.first().map(|change| change.id);
        for (_, id) in &self.order {
            let Some(slot) = self.slots.get(id).filter(|_| Some(*id) != reported) else { continue };
            if !self.may_go(slot, session, reported, now, policy) {
                continue;
            }
            let entry = &slot.entry;
            if entry.attempts >= policy.max_attempts {
                if changes.len() <= PARKED_AT_ONCE {
                    changes.push(entry.changed(State::Parked, now));
                }
                continue;
            }
            changes.push(handed_out(entry, now));
            return Some(Handout { id: entry.id, uuid: entry.uuid.clone() });
        }
        None
    }

    fn may_go(&self, slot: &Slot, session: Session, reported: Option<i64>, now: Timestamp, policy: &Policy) -> bool {
        let entry = &slot.entry;
        let blocked = entry.after.is_some_and(|id| Some(id) != reported && self.slots.contains_key(&id));
        let rests = entry.no_blind_resend
            && entry.attempts > 0
            && entry.sent_at.is_some_and(|sent| now < sent.plus(policy.resend_grace));
        let had_in_session = entry.state != State::Queued && slot.session == session.number;
        let deferred = entry.state == State::NotNow && session.not_now_seen;
        now < entry.expires_at && !blocked && !rests && !had_in_session && !deferred
    }

    /// What is left when the session ends, as far as the schedule of pushes cares.
    fn outlook(&self, session: Session, changes: &[Change]) -> Outlook {
        let state_of = |slot: &Slot| {
            let changed = changes.iter().find(|change| change.id == slot.entry.id);
            changed.map_or(slot.entry.state, |change| change.state)
        };
        let mut left = self.slots.values().map(state_of).filter(|state| !state.is_terminal()).peekable();
        if left.peek().is_none() {
            Outlook::NothingLeft
        } else if !left.any(|state| state == State::NotNow) {
            Outlook::Unanswered
        } else if session.last_was_not_now {
            Outlook::DevicePollsByItself
        } else {
            Outlook::Deferred
        }
    }

    fn first_expiry_without(&self, changes: &[Change]) -> Option<Timestamp> {
        let ends = |id: i64| changes.iter().any(|change| change.id == id && change.state.is_terminal());
        self.expiries.iter().find(|(_, id)| !ends(*id)).map(|(at, _)| *at)
    }
}

impl Session {
    fn after(self, answer: Answer) -> Self {
        match answer {
            Answer::Idle => Self { number: self.number.wrapping_add(1), not_now_seen: false, last_was_not_now: false },
            Answer::NotNow => Self { not_now_seen: true, last_was_not_now: true, ..self },
            _ => Self { last_was_not_now: false, ..self },
        }
    }
}

impl Answer {
    fn state(self) -> Option<State> {
        match self {
            Self::Idle => None,
            Self::Acknowledged => Some(State::Acknowledged),
            Self::Error => Some(State::Error),
            Self::FormatError => Some(State::FormatError),
            Self::NotNow => Some(State::NotNow),
        }
    }
}

/// A `NotNow` counts once for each hand-out; a repeated report of it changes nothing.
fn not_now(entry: &Entry, now: Timestamp) -> Option<Change> {
    let fresh = entry.state != State::NotNow || entry.attempts > 0;
    let tally = entry.not_now_tally.saturating_add(1);
    fresh.then(|| Change { attempts: 0, not_now_tally: tally, ..entry.changed(State::NotNow, now) })
}

/// A deferred command stays `NotNow` while it is on its way again: states only move to the right.
fn handed_out(entry: &Entry, now: Timestamp) -> Change {
    let attempts = entry.attempts.saturating_add(1);
    Change { attempts, sent_at: Some(now), ..entry.changed(entry.state.max(State::Sent), now) }
}
