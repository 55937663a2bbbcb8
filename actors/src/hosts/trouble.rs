//! Hosts that crash: three times in a minute, and a host is left alone for a while, longer each time. The others never
//! notice.

use std::collections::VecDeque;
use std::time::Duration;

use protocol::ids::HostId;
use tokio::time::Instant;

use crate::ask::Refusal;

/// Crashes in [`WINDOW`] after which a host is left alone.
const CRASHES: usize = 3;
/// The time in which crashes count together.
const WINDOW: Duration = Duration::from_secs(60);
/// The first quarantine; each further one is twice as long.
const FIRST_QUARANTINE: Duration = Duration::from_secs(300);
/// The longest quarantine.
const LONGEST_QUARANTINE: Duration = Duration::from_secs(3600);

/// The crashes of one host.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    crashes: VecDeque<Instant>,
    culprits: Vec<Option<i64>>,
    quarantines: u32,
    until: Option<Instant>,
    last_error: String,
}

/// A crash of a host's actor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crash {
    /// The host.
    pub host: HostId,
    /// What it died of.
    pub why: String,
    /// Whether the host is left alone from now on.
    pub quarantined: bool,
    /// The command that was being handled at each of the last crashes.
    pub culprit: Option<i64>,
}

/// A host that is left alone.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Quarantined {
    /// The host.
    pub host_id: i64,
    /// Seconds until it is tried again.
    pub seconds_left: u64,
    /// What it last died of.
    pub last_error: String,
}

impl Trouble {
    /// Counts a crash; the third in a minute starts a quarantine.
    pub(super) fn crashed(&mut self, host: HostId, why: String, culprit: Option<i64>, now: Instant) -> Crash {
        self.crashes.push_back(now);
        self.culprits.push(culprit);
        while self.crashes.front().is_some_and(|first| now.duration_since(*first) > WINDOW) {
            self.crashes.pop_front();
            self.culprits.remove(0);
        }
        self.last_error.clone_from(&why);
        let quarantined = self.crashes.len() >= CRASHES;
        let same = self.culprits.iter().all(|one| *one == culprit);
        if quarantined {
            let length = FIRST_QUARANTINE.saturating_mul(1 << self.quarantines.min(8)).min(LONGEST_QUARANTINE);
            self.quarantines += 1;
            self.until = Some(now + length);
            self.crashes.clear();
            self.culprits.clear();
        }
        Crash { host, why, quarantined, culprit: culprit.filter(|_| same) }
    }

    /// Refuses while the host is left alone.
    pub(super) fn check(&self, now: Instant) -> Result<(), Refusal> {
        match self.until.filter(|until| *until > now) {
            Some(until) => Err(Refusal::Quarantined { after: until.duration_since(now) }),
            None => Ok(()),
        }
    }

    pub(super) fn shown(&self, host: HostId, now: Instant) -> Option<Quarantined> {
        let left = self.until?.checked_duration_since(now)?;
        Some(Quarantined { host_id: host.0, seconds_left: left.as_secs(), last_error: self.last_error.clone() })
    }

    /// Whether it lies so far back that a further crash would be a first one.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        let quiet = |moment: &Instant| now.duration_since(*moment) > LONGEST_QUARANTINE;
        self.until.as_ref().is_none_or(quiet) && self.crashes.back().is_none_or(quiet)
    }
}
