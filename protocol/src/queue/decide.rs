//! One report of a device: what it changes, and what the device gets next.

use super::entry::{Change, Entry, Policy, State};
use super::lanes::{Lane, Lanes, Slot};
use super::wakeups::{Outlook, Wakeups};
use super::{Queue, Session};
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
    /// Nothing in memory may go, and rows hold more: give the queue a longer window and let it decide again.
    pub wants_more: bool,
    /// When something is due afterwards; see [`Queue::wake_at`].
    pub wake_at: Option<Timestamp>,
    after: After,
}

/// Everything that one message leads to whose device answers, and takes, several commands at a time. Make `changes` and the
/// filings durable, then give it to [`Queue::adopt_round`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Round {
    /// Changed rows, each at most once.
    pub changes: Vec<Change>,
    /// What to keep of which of the reports, by their places; nothing is to be kept of the others.
    pub filings: Vec<(usize, Filing)>,
    /// What to reply, in this order.
    pub next: Vec<Handout>,
    /// See [`Decision::wants_more`].
    pub wants_more: bool,
    /// See [`Decision::wake_at`].
    pub wake_at: Option<Timestamp>,
    after: After,
}

/// What may be handed out in one round.
#[derive(Clone, Copy, Debug)]
pub struct Room<'a> {
    /// How many commands.
    pub most: usize,
    /// Commands that may not go now, by their rows.
    pub barred: &'a [i64],
}

/// What the queue is like once a decision is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct After {
    session: Session,
    wakeups: Wakeups,
}

/// Commands parked in one decision at most, so that one poll stays short.
const PARKED_AT_ONCE: usize = 16;

impl Queue {
    /// Looks at a report and decides; changes nothing.
    pub fn decide(&self, heard: &Heard<'_>, now: Timestamp, policy: &Policy) -> Decision {
        let session = self.session.after(heard.answer);
        let room = Room { most: 1, barred: &[] };
        let round = self.round(session, std::slice::from_ref(heard), room, now, policy);
        let Round { changes, mut filings, mut next, wants_more, wake_at, after } = round;
        let filing = filings.pop().map_or(Filing::Nothing, |(_, filing)| filing);
        Decision { changes, filing, next: next.pop(), wants_more, wake_at, after }
    }

    /// Looks at all the reports of one message and decides; changes nothing. `begins`: the message begins a session. A command
    /// that was handed out in vain before goes alone: if the device cannot read it, the others do not suffer.
    pub fn decide_round(
        &self,
        begins: bool,
        heard: &[Heard<'_>],
        room: Room<'_>,
        now: Timestamp,
        policy: &Policy,
    ) -> Round {
        let session = if begins { self.session.after(Answer::Idle) } else { self.session };
        self.round(Session { begins, ..session }, heard, room, now, policy)
    }

    fn round(&self, session: Session, heard: &[Heard<'_>], room: Room<'_>, now: Timestamp, policy: &Policy) -> Round {
        let (mut changes, mut filings, mut reported) = (Vec::new(), Vec::new(), Vec::new());
        for (place, one) in heard.iter().enumerate() {
            let slot = self.reported(one).map(|slot| slot.entry.id);
            if slot.is_some_and(|id| reported.contains(&id)) {
                continue; // the first word stands
            }
            match self.file(one, now, &mut changes) {
                Filing::Nothing => {}
                filing => filings.push((place, filing)),
            }
            reported.extend(slot);
        }
        let mut next = Vec::new();
        if let Some(lanes) = &self.lanes {
            reported.extend(room.barred);
            let chosen = choose(lanes, session, (&reported, room.most), &mut changes, now, policy);
            let_down(lanes, &mut changes, now);
            changes.extend(chosen.iter().map(|entry| handed_out(entry, now)));
            next.extend(chosen.iter().map(|entry| Handout { id: entry.id, uuid: entry.uuid.clone() }));
        }
        let outlook = self.outlook(session, &changes);
        let wakeups = match next.is_empty() {
            false => self.wakeups.session_goes_on(now, policy),
            true => self.wakeups.session_ended(outlook, now, policy),
        };
        let push_at = wakeups.push_at(outlook != Outlook::NothingLeft);
        let wake_at = super::earlier(push_at, self.first_expiry_without(&changes));
        let wants_more = next.is_empty() && self.more_in_rows();
        Round { changes, filings, next, wants_more, wake_at, after: After { session, wakeups } }
    }

    /// Applies a decision that is durable now.
    pub fn adopt(&mut self, decision: &Decision) {
        self.adopt_changes(decision.after, &decision.changes);
    }

    /// Applies a round that is durable now.
    pub fn adopt_round(&mut self, round: &Round) {
        self.adopt_changes(round.after, &round.changes);
    }

    fn adopt_changes(&mut self, after: After, changes: &[Change]) {
        self.session = after.session;
        self.wakeups = after.wakeups;
        if let Some(lanes) = &mut self.lanes {
            lanes.begin_session(after.session.number);
        }
        self.apply(changes);
    }

    /// The pending command that a report speaks of.
    fn reported(&self, heard: &Heard<'_>) -> Option<&Slot> {
        self.lanes.as_ref().zip(heard.uuid).and_then(|(lanes, uuid)| lanes.by_uuid(uuid))
    }

    fn file(&self, heard: &Heard<'_>, now: Timestamp, changes: &mut Vec<Change>) -> Filing {
        let Some(state) = heard.answer.state() else { return Filing::Nothing };
        match (self.reported(heard), heard.ended) {
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

    /// What is left when the session ends, as far as the schedule of pushes cares.
    fn outlook(&self, session: Session, changes: &[Change]) -> Outlook {
        let Some(lanes) = &self.lanes else { return Outlook::NothingLeft };
        let before = |change: &&Change| lanes.get(change.id).is_some_and(|slot| slot.entry.state == State::NotNow);
        let after = |change: &&Change| change.state == State::NotNow;
        let ended = changes.iter().filter(|change| change.state.is_terminal()).count();
        let deferred = lanes.deferred() + changes.iter().filter(after).count() - changes.iter().filter(before).count();
        if lanes.len() == ended && !lanes.more_in_rows() {
            Outlook::NothingLeft
        } else if deferred == 0 {
            Outlook::Unanswered
        } else if session.last_was_not_now {
            Outlook::DevicePollsByItself
        } else {
            Outlook::Deferred
        }
    }

    pub(super) fn first_expiry_without(&self, changes: &[Change]) -> Option<Timestamp> {
        let ends = |id: i64| changes.iter().any(|change| change.id == id && change.state.is_terminal());
        self.lanes.as_ref()?.expiries().find(|(_, id)| !ends(*id)).map(|(at, _)| at)
    }
}

/// The next commands to go, `most` at most and none of those that were `reported` just now or are barred; ones that were handed out in vain too often
/// are parked on the way.
fn choose<'l>(
    lanes: &'l Lanes,
    session: Session,
    (reported, most): (&[i64], usize),
    changes: &mut Vec<Change>,
    now: Timestamp,
    policy: &Policy,
) -> Vec<&'l Entry> {
    let ended = changes.iter().filter(|change| change.state.is_terminal());
    let released: Vec<(i64, State)> = ended.map(|change| (change.id, change.state)).collect();
    let (mut chosen, mut last, most_changes): (Vec<&Entry>, _, _) = (Vec::new(), None, changes.len() + PARKED_AT_ONCE);
    while chosen.len() < most
        && let Some(slot) = lanes.next_after(last, session.open_lanes(), &released)
    {
        let entry = &slot.entry;
        if !lanes.covers(entry.place()) {
            break; // others in rows come before it
        }
        last = Some(entry.place());
        let is_released = |(id, ended): &(i64, State)| entry.after == Some(*id) && !entry.is_let_down_by(*ended);
        let blocked = lanes.is_blocked(entry) && !released.iter().any(is_released);
        if blocked || reported.contains(&entry.id) || !may_go(slot, session, now, policy) {
            continue;
        }
        if entry.attempts >= policy.max_attempts {
            if changes.len() < most_changes {
                changes.push(entry.changed(State::Parked, now));
            }
            continue;
        }
        if entry.attempts > 0 && !chosen.is_empty() {
            break;
        }
        chosen.push(entry);
        if entry.attempts > 0 {
            break;
        }
    }
    chosen
}

/// Cancels those that need the success of a command which ends otherwise, and those that need theirs.
fn let_down(lanes: &Lanes, changes: &mut Vec<Change>, now: Timestamp) {
    let mut index = 0;
    while let Some(Change { id, state, .. }) = changes.get(index) {
        let followers = lanes.followers_of(*id).filter_map(|follower| lanes.get(follower)).map(|slot| &slot.entry);
        let failed = followers.filter(|follower| state.is_terminal() && follower.is_let_down_by(*state));
        let unchanged = failed.filter(|follower| changes.iter().all(|change| change.id != follower.id));
        let cancelled: Vec<Change> = unchanged.map(|follower| follower.changed(State::Cancelled, now)).collect();
        changes.extend(cancelled);
        index += 1;
    }
}

fn may_go(slot: &Slot, session: Session, now: Timestamp, policy: &Policy) -> bool {
    let entry = &slot.entry;
    let had_in_session = entry.state != State::Queued && slot.session == session.number;
    now < entry.ends_at() && !entry.rests(now, policy) && !had_in_session
}

impl Session {
    fn after(self, answer: Answer) -> Self {
        match answer {
            Answer::Idle => Self { number: self.number.wrapping_add(1), begins: true, ..Self::default() },
            _ => Self { begins: false, last_was_not_now: answer == Answer::NotNow, ..self },
        }
    }

    /// The lanes in which a command may be that this session may get. A session that begins with this very request
    /// may get what the former one had. After a `NotNow` the others that were deferred before are offered all the same,
    /// each once: a command that a device defers for ever stands in nobody's way.
    fn open_lanes(self) -> &'static [Lane] {
        use Lane::{Deferred, HadDeferred, HadUnanswered, Ready, Resting};
        if self.begins { &[Ready, Resting, Deferred, HadUnanswered, HadDeferred] } else { &[Ready, Resting, Deferred] }
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
