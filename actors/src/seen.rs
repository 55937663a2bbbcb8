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
    shards: Arc<Vec<Mutex<HashMap<HostId, Timestamp>>>>,
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
    pub fn note(&self, host: HostId, at: Timestamp) {
        let shard = &self.shards[host.0.unsigned_abs() as usize % SHARDS];
        shard.lock().unwrap_or_else(PoisonError::into_inner).insert(host, at);
    }

    /// Takes everything that was noted, to be written.
    pub fn take(&self) -> Vec<(i64, i64)> {
        let mut all = Vec::new();
        for shard in self.shards.iter() {
            let noted = std::mem::take(&mut *shard.lock().unwrap_or_else(PoisonError::into_inner));
            all.extend(noted.into_iter().map(|(host, at)| (host.0, at.millis())));
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_counts_and_is_taken_once() {
        let seen = Seen::default();
        seen.note(HostId(1), Timestamp::from_millis(5));
        seen.note(HostId(1), Timestamp::from_millis(9));
        seen.note(HostId(17), Timestamp::from_millis(7));
        let mut taken = seen.take();
        taken.sort_unstable();
        assert_eq!(taken, [(1, 9), (17, 7)]);
        assert_eq!(seen.take(), []);
    }
}
