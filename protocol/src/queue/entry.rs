//! One command in one channel's queue, and the states it can be in.

use std::time::Duration;

use crate::apple::push::MAX_BACK_OFF;
use crate::ids::CommandUuid;
use crate::time::Timestamp;

/// Where a command stands. States only move to the right (`Held < Queued < Sent < NotNow <` the others), and nothing
/// leaves a terminal state: a late or repeated report can never bring a finished command back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Waits in its row for a second admin, or for its turn after one agreed. No queue knows of it.
    Held,
    /// Waits for the device's next poll.
    Queued,
    /// Was handed to the device, which has not answered.
    Sent,
    /// The device answered `NotNow`; it is offered again in a later session.
    NotNow,
    /// Terminal: the device did it.
    Acknowledged,
    /// Terminal: the device could not do it, and said why.
    Error,
    /// Terminal: the device could not read it. Never sent again.
    FormatError,
    /// Terminal: its time to live ended before a final answer came.
    Expired,
    /// Terminal: an admin took it back.
    Cancelled,
    /// Terminal: the enrollment it was meant for ended.
    Superseded,
    /// Terminal: taken out of the way, because it was never answered or broke the one who handled it.
    Parked,
}

impl State {
    /// Every state, in order.
    pub const ALL: [Self; 11] = [
        Self::Held,
        Self::Queued,
        Self::Sent,
        Self::NotNow,
        Self::Acknowledged,
        Self::Error,
        Self::FormatError,
        Self::Expired,
        Self::Cancelled,
        Self::Superseded,
        Self::Parked,
    ];

    /// The number that stands for this state in rows: below [`State::TERMINAL_CODE`] while the command is pending.
    pub const fn code(self) -> i16 {
        match self {
            Self::Held => -1,
            Self::Queued => 0,
            Self::Sent => 1,
            Self::NotNow => 2,
            Self::Acknowledged => 10,
            Self::Error => 11,
            Self::FormatError => 12,
            Self::Expired => 13,
            Self::Cancelled => 14,
            Self::Superseded => 15,
            Self::Parked => 16,
        }
    }

    /// Its name, as webhooks and admins read it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Queued => "queued",
            Self::Sent => "sent",
            Self::NotNow => "not_now",
            Self::Acknowledged => "acknowledged",
            Self::Error => "error",
            Self::FormatError => "format_error",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::Superseded => "superseded",
            Self::Parked => "parked",
        }
    }

    /// The lowest code of a terminal state.
    pub const TERMINAL_CODE: i16 = 10;

    /// The state that a row's number stands for.
    pub fn from_code(code: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.code() == code)
    }

    /// Whether a command belongs into a queue.
    pub const fn is_queued(self) -> bool {
        self.code() >= Self::Queued.code() && !self.is_terminal()
    }

    /// Whether nothing can change any more.
    pub const fn is_terminal(self) -> bool {
        self.code() >= Self::TERMINAL_CODE
    }
}

/// A pending command as the queue knows it; its body is elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Row number, and the order in which commands were queued.
    pub id: i64,
    /// What the device calls it.
    pub uuid: CommandUuid,
    /// Higher goes first; 0 is usual.
    pub priority: i16,
    /// Where it stands; never terminal in a queue.
    pub state: State,
    /// How often it was handed out since it was last answered.
    pub attempts: i16,
    /// How often the device answered `NotNow`.
    pub not_now_tally: i32,
    /// When it was last handed out.
    pub sent_at: Option<Timestamp>,
    /// When it stops being worth doing.
    pub expires_at: Timestamp,
    /// The row of a command that must have ended before this one is handed out.
    pub after: Option<i64>,
    /// Whether that one must have been acknowledged: if it ends otherwise, this one is cancelled.
    pub needs_success: bool,
    /// What it waited for ended otherwise than it needs: it is to be cancelled, and never handed out.
    pub is_let_down: bool,
    /// Whether doing it twice is dangerous (erase, lock with a PIN, rotate a key).
    pub no_blind_resend: bool,
}

/// What happened to a command, with everything its row needs; only the owner of the queue makes these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The row.
    pub id: i64,
    /// The new state.
    pub state: State,
    /// See [`Entry::attempts`].
    pub attempts: i16,
    /// See [`Entry::not_now_tally`].
    pub not_now_tally: i32,
    /// See [`Entry::sent_at`].
    pub sent_at: Option<Timestamp>,
    /// When this change happened.
    pub at: Timestamp,
}

/// How patient the queue is. The defaults are for a fleet; tests and the demo use shorter times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// First wait before a device that did not come is pushed again; doubled up to `push_again_cap`.
    pub push_again: Duration,
    /// Longest wait between two pushes for the same work.
    pub push_again_cap: Duration,
    /// First wait after `NotNow` when the device will not poll by itself; doubled up to `push_again_cap`.
    pub not_now: Duration,
    /// Wait after a session that ended in `NotNow`: the device polls by itself, this push only makes sure.
    pub not_now_safety: Duration,
    /// At most one push in this time while the device has not come.
    pub push_quiet: Duration,
    /// How long a command that is dangerous twice rests between two hand-outs.
    pub resend_grace: Duration,
    /// Hand-outs without an answer after which a command is parked.
    pub max_attempts: i16,
    /// A second push after an enrollment: APNs may lose one sent right after the token was made.
    pub second_push: Duration,
    /// The longest time for which APNs may ask that a token be left alone.
    pub longest_rest: Duration,
}

impl Policy {
    /// Longer than any wait that these rules ask for: what is due later than that was planned by another clock.
    pub fn longest_wait(&self) -> Duration {
        let waits = [
            self.push_again,
            self.push_again_cap,
            self.not_now,
            self.not_now_safety,
            self.resend_grace,
            self.second_push,
            self.longest_rest,
        ];
        let longest = waits.into_iter().max().unwrap_or_default();
        longest.saturating_add(longest / 4) // waits are spread by a fifth
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            push_again: Duration::from_secs(60),
            push_again_cap: Duration::from_secs(4 * 3600),
            not_now: Duration::from_secs(300),
            not_now_safety: Duration::from_secs(12 * 3600),
            push_quiet: Duration::from_secs(2),
            resend_grace: Duration::from_secs(300),
            max_attempts: 10,
            second_push: Duration::from_secs(10),
            longest_rest: MAX_BACK_OFF,
        }
    }
}

impl Entry {
    /// When it ends by itself: with its time to live, or at once when it was let down.
    pub(super) fn ends_at(&self) -> Timestamp {
        if self.is_let_down { Timestamp::default() } else { self.expires_at }
    }

    /// Whether it needs that the one it waits for ends otherwise.
    pub(super) fn is_let_down_by(&self, ended: State) -> bool {
        self.needs_success && ended != State::Acknowledged
    }

    /// Whether it is too early to hand a command out again that is dangerous twice. One that was handed out in a future
    /// farther away than the grace was so by a clock that has been set back since.
    pub(super) fn rests(&self, now: Timestamp, policy: &Policy) -> bool {
        let near = |sent: Timestamp| now.since(sent).max(sent.since(now)) < policy.resend_grace;
        self.no_blind_resend && self.attempts > 0 && self.sent_at.is_some_and(near)
    }

    pub(super) fn changed(&self, state: State, at: Timestamp) -> Change {
        Change {
            id: self.id,
            state,
            attempts: self.attempts,
            not_now_tally: self.not_now_tally,
            sent_at: self.sent_at,
            at,
        }
    }
}
