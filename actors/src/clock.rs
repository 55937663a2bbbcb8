//! What time it is. Actors never ask the operating system themselves, so that tests can move the clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};
use std::time::{Duration, SystemTime};

use protocol::time::Timestamp;

/// The wall clock, which tests put forward. Clones tell the same time.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    ahead_millis: Arc<AtomicI64>,
}

impl Clock {
    /// The present moment.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that asks the operating system")]
    pub fn now(&self) -> Timestamp {
        let ahead = Duration::from_millis(self.ahead_millis.load(SeqCst).unsigned_abs());
        Timestamp::from(SystemTime::now()).plus(ahead)
    }

    /// Puts this clock forward. It goes on from there; only tests do that.
    pub fn advance(&self, by: Duration) {
        self.ahead_millis.fetch_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX), SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_go_forward_together_and_go_on_from_there() {
        let clock = Clock::default();
        let (clone, before) = (clock.clone(), clock.now());
        clock.advance(Duration::from_secs(3600));
        let after = clone.now();
        assert!(after >= before.plus(Duration::from_secs(3600)));
        assert!(clone.now() >= after);
    }
}
