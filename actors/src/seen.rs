//! Who spoke to us when: kept in memory and written in bulk, because one write for each poll would be most of what a
//! server does.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use protocol::ids::HostId;
use protocol::time::Timestamp;

/// Locks that the map is split into.
const SHARDS: usize = 16;

/// When hosts last spoke, as far as it is not written yet. Clones share it.
#[derive(Clone, Debug)]
pub struct Seen {
    shards: Arc<Vec<Mutex<HashMap<HostId, Moments>>>>,
}

/// When a host last spoke.
#[derive(Clone, Copy, Debug)]
struct Moments {
    /// At all.
    at: Timestamp,
    /// Through its management.
    by_mdm: Option<Timestamp>,
}

/// What a host spoke through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Through {
    /// Its management.
    Mdm,
    /// An agent that is none.
    Agent,
}

impl Default for Seen {
    fn default() -> Self {
        Self { shards: Arc::new((0..SHARDS).map(|_| Mutex::default()).collect()) }
    }
}

impl Seen {
    /// A host that speaks more often than this is noted once.
    pub const OFTEN_ENOUGH: Duration = Duration::from_secs(10);

    /// Notes that a host spoke.
    pub fn note(&self, host: HostId, at: Timestamp, through: Through) {
        let shard = &self.shards[host.0.unsigned_abs() as usize % SHARDS];
        let mut noted = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let moments = noted.entry(host).or_insert(Moments { at, by_mdm: None });
        moments.at = at;
        if through == Through::Mdm {
            moments.by_mdm = Some(at);
        }
    }

    /// Takes everything that was noted, to be written: the host, when it spoke, and when its management did.
    pub fn take(&self) -> Vec<(i64, i64, Option<i64>)> {
        let mut all = Vec::new();
        for shard in self.shards.iter() {
            let noted = std::mem::take(&mut *shard.lock().unwrap_or_else(PoisonError::into_inner));
            let row = |(host, moments): (HostId, Moments)| {
                (host.0, moments.at.millis(), moments.by_mdm.map(Timestamp::millis))
            };
            all.extend(noted.into_iter().map(row));
        }
        all
    }

    /// Notes again what could not be written.
    pub fn put_back(&self, rows: Vec<(i64, i64, Option<i64>)>) {
        for (host, at, by_mdm) in rows {
            if let Some(by_mdm) = by_mdm {
                self.note(HostId(host), Timestamp::from_millis(by_mdm), Through::Mdm);
            }
            self.note(HostId(host), Timestamp::from_millis(at), Through::Agent);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_counts_and_is_taken_once() {
        let seen = Seen::default();
        seen.note(HostId(1), Timestamp::from_millis(5), Through::Mdm);
        seen.note(HostId(1), Timestamp::from_millis(9), Through::Agent);
        seen.note(HostId(17), Timestamp::from_millis(7), Through::Agent);
        let mut taken = seen.take();
        taken.sort_unstable();
        assert_eq!(taken, [(1, 9, Some(5)), (17, 7, None)]);
        assert_eq!(seen.take(), []);
        seen.put_back(taken.clone());
        let mut again = seen.take();
        again.sort_unstable();
        assert_eq!(again, taken);
    }
}
