//! What time it is. Actors never ask the operating system themselves, so that tests can move the clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};
use std::time::{Duration, SystemTime};

use protocol::time::Timestamp;

/// The wall clock, or one that tests move. Clones tell the same time.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    moved: Option<Arc<AtomicI64>>,
}

impl Clock {
    /// A clock that stands still until it is moved.
    pub fn standing_at(moment: Timestamp) -> Self {
        Self { moved: Some(Arc::new(AtomicI64::new(moment.millis()))) }
    }

    /// The present moment.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that asks the operating system")]
    pub fn now(&self) -> Timestamp {
        match &self.moved {
            Some(millis) => Timestamp::from_millis(millis.load(SeqCst)),
            None => SystemTime::now().into(),
        }
    }

    /// Moves a standing clock; the wall clock does not move.
    pub fn advance(&self, by: Duration) {
        if let Some(millis) = &self.moved {
            millis.fetch_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX), SeqCst);
        }
    }
}
