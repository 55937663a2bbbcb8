//! When a device is pushed. A push only wakes a device; it carries nothing, so one too many is harmless and one too
//! few is not: as long as work is left there is always a next push.

use std::time::Duration;

use super::entry::Policy;
use crate::time::Timestamp;

/// The schedule of pushes for one channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wakeups {
    push_at: Option<Timestamp>,
    pushed_at: Option<Timestamp>,
    unanswered: u8,
    not_now_rounds: u8,
    /// APNs asked for patience until then, whatever is queued.
    rest_until: Option<Timestamp>,
    /// A push that is owed even without work, for example the second one after an enrollment.
    owed: bool,
    /// The device asks for work by itself, and nothing wakes it before it does.
    polls: bool,
    seed: u64,
}

/// What is left in the queue when the device's session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outlook {
    /// No work: no push.
    NothingLeft,
    /// `NotNow` was the last word, so the device polls by itself when it can.
    DevicePollsByItself,
    /// Commands were deferred, but the last word was another: the device will not come by itself.
    Deferred,
    /// Commands are on their way without an answer, or wait for something.
    Unanswered,
}

impl Wakeups {
    pub(super) fn load(seed: u64, push_at: Option<Timestamp>) -> Self {
        Self { seed, push_at, ..Self::default() }
    }

    pub(super) fn cleared(self) -> Self {
        Self { seed: self.seed, polls: self.polls, ..Self::default() }
    }

    pub(super) fn never(self) -> Self {
        Self { polls: true, ..self }
    }

    pub(super) fn push_at(self, work_is_left: bool) -> Option<Timestamp> {
        let push_at = self.push_at.filter(|_| (work_is_left || self.owed) && !self.polls)?;
        Some(self.rest_until.map_or(push_at, |rest| rest.max(push_at)))
    }

    pub(super) fn earlier(self, by: Duration) -> Self {
        let earlier = |at: Timestamp| at.minus(by);
        Self {
            push_at: self.push_at.map(earlier),
            pushed_at: self.pushed_at.map(earlier),
            rest_until: self.rest_until.map(earlier),
            ..self
        }
    }

    /// Sets right what was planned before the clock was set back: moments beyond every wait that there is would otherwise
    /// have to be lived through.
    pub(super) fn set_right(self, now: Timestamp, policy: &Policy) -> Self {
        let horizon = now.plus(policy.longest_wait());
        Self {
            push_at: self.push_at.map(|at| if at > horizon { now } else { at }),
            pushed_at: self.pushed_at.map(|at| at.min(now)),
            rest_until: self.rest_until.filter(|until| *until <= horizon),
            ..self
        }
    }

    /// New work: push then, or as soon as the quiet time after the last push is over. Each push that did not bring the
    /// device doubles it, up to the first wait before a push is repeated: one push wakes a device for all the work that is there,
    /// and a device that is off is not pushed for every command that an admin thinks of.
    pub(super) fn work_queued(self, then: Timestamp, policy: &Policy) -> Self {
        let longest = policy.push_again.max(policy.push_quiet);
        let quiet = doubled(policy.push_quiet, self.unanswered.saturating_sub(1), longest);
        let quiet_until = self.pushed_at.map_or(then, |at| at.plus(quiet).max(then));
        let push_at = self.push_at.map_or(quiet_until, |at| at.min(quiet_until));
        Self { push_at: Some(push_at), ..self }
    }

    /// The device took a command: it is awake. If it falls silent now, it is pushed again.
    pub(super) fn session_goes_on(self, now: Timestamp, policy: &Policy) -> Self {
        let seen = Self { pushed_at: None, rest_until: None, unanswered: 0, owed: false, ..self };
        Self { push_at: Some(now.plus(seen.spread(policy.push_again))), ..seen }
    }

    pub(super) fn session_ended(self, outlook: Outlook, now: Timestamp, policy: &Policy) -> Self {
        let seen = Self { pushed_at: None, rest_until: None, owed: false, push_at: None, ..self };
        let rounds = match outlook {
            Outlook::DevicePollsByItself | Outlook::Deferred => self.not_now_rounds.saturating_add(1),
            _ => 0,
        };
        let unanswered = if outlook == Outlook::Unanswered { self.unanswered.saturating_add(1) } else { 0 };
        let wait = match outlook {
            Outlook::NothingLeft => return Self { not_now_rounds: 0, unanswered: 0, ..seen },
            Outlook::DevicePollsByItself => policy.not_now_safety,
            Outlook::Deferred => doubled(policy.not_now, self.not_now_rounds, policy.push_again_cap),
            Outlook::Unanswered => doubled(policy.push_again, self.unanswered, policy.push_again_cap),
        };
        let next = Self { not_now_rounds: rounds, unanswered, ..seen };
        Self { push_at: Some(now.plus(next.spread(wait))), ..next }
    }

    /// A push goes out now; the next one follows when the device does not come, later each time.
    #[must_use]
    pub fn pushed(self, now: Timestamp, policy: &Policy) -> Self {
        let wait = doubled(policy.push_again, self.unanswered, policy.push_again_cap);
        let next = Self { pushed_at: Some(now), unanswered: self.unanswered.saturating_add(1), owed: false, ..self };
        Self { push_at: Some(now.plus(next.spread(wait))), ..next }
    }

    /// APNs asks for patience: no push before `until`, unless the device comes by itself. If it has come since the push
    /// that was answered so, the answer is too late to mean anything.
    #[must_use]
    pub fn not_before(self, until: Timestamp) -> Self {
        Self { rest_until: self.pushed_at.map(|_| until), ..self }
    }

    /// A new token came. Whatever the old one led to, patience and longer and longer waits, is over: work that is left is
    /// pushed at once.
    pub(super) fn token_renewed(self, work_is_left: bool, now: Timestamp) -> Self {
        let push_at = if work_is_left { Some(now) } else { self.push_at };
        Self { push_at, pushed_at: None, rest_until: None, unanswered: 0, ..self }
    }

    /// The device enrolled: it is pushed once more a little later even without work, because APNs may lose a push
    /// that is sent right after the token was made (Apple developer forums, thread 738806).
    #[must_use]
    pub fn enrolled(self, now: Timestamp, policy: &Policy) -> Self {
        Self { push_at: Some(now.plus(policy.second_push)), owed: true, ..self }
    }

    /// Moves a wait by up to a fifth either way, so that hosts that were due together do not stay so.
    fn spread(self, wait: Duration) -> Duration {
        let steps = u64::from(self.unanswered) << 8 | u64::from(self.not_now_rounds);
        let mixed = (self.seed ^ steps.wrapping_mul(0x9E37_79B9_7F4A_7C15)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX / 2);
        let share = (mixed >> 33) % 401;
        Duration::from_millis(millis / 1000 * (800 + share) + millis % 1000 * (800 + share) / 1000)
    }
}

fn doubled(base: Duration, times: u8, cap: Duration) -> Duration {
    base.saturating_mul(1_u32.checked_shl(u32::from(times.min(20))).unwrap_or(u32::MAX)).min(cap)
}
