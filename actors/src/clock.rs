//! What time it is. Actors never ask the operating system themselves, so that tests can move the clock, and so that one
//! place decides what to believe when the system's clock leaps (`jumps`).

mod jumps;

use std::sync::atomic::{AtomicI64, Ordering::SeqCst};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use protocol::time::Timestamp;
use tokio::time::Instant;

use jumps::Jumps;

/// Since when this process counts the time that passes.
static BEGAN: LazyLock<std::time::Instant> = LazyLock::new(std::time::Instant::now);

/// The wall clock, which tests put forward and back. Clones tell the same time.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    ahead_millis: Arc<AtomicI64>,
    set_back_millis: Arc<AtomicI64>,
    jumps: Arc<Mutex<Jumps>>,
    runtime: Option<(Timestamp, Instant)>,
}

impl Clock {
    /// A clock that shows this moment now and goes on as the runtime's timers do, whose time a test can pause.
    pub fn of_runtime(now: Timestamp) -> Self {
        Self { runtime: Some((now, Instant::now())), ..Self::default() }
    }

    /// The present moment.
    pub fn now(&self) -> Timestamp {
        self.moved(|| {
            // One at a time: of two moments, the later one is asked for later.
            let mut jumps = self.jumps();
            jumps.believe(wall(), BEGAN.elapsed())
        })
    }

    /// What the system's clock shows, believed or not: for what others compare with clocks of their own.
    pub fn shown(&self) -> Timestamp {
        self.moved(wall)
    }

    fn moved(&self, system: impl FnOnce() -> Timestamp) -> Timestamp {
        let unmoved = self.runtime.map_or_else(system, |(began, since)| began.plus(since.elapsed()));
        let ahead = self.ahead_millis.load(SeqCst);
        let by = Duration::from_millis(ahead.unsigned_abs());
        if ahead < 0 { unmoved.minus(by) } else { unmoved.plus(by) }
    }

    /// How far this clock was ever set back, all steps together. Whoever planned something for a moment before the last step
    /// planned it too late by that step.
    pub fn stepped_back(&self) -> Duration {
        self.jumps().back + Duration::from_millis(self.set_back_millis.load(SeqCst).unsigned_abs())
    }

    fn jumps(&self) -> MutexGuard<'_, Jumps> {
        self.jumps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts this clock forward. It goes on from there; only tests do that.
    pub fn advance(&self, by: Duration) {
        self.ahead_millis.fetch_add(millis(by), SeqCst);
    }

    /// Puts this clock back, as happens to servers in the field.
    pub fn set_back(&self, by: Duration) {
        self.ahead_millis.fetch_sub(millis(by), SeqCst);
        self.set_back_millis.fetch_add(millis(by), SeqCst);
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the one place that asks the operating system")]
fn wall() -> Timestamp {
    let now = Timestamp::from(SystemTime::now());
    Timestamp::from_millis(now.millis().saturating_add(crate::fault::clock_is_off_by()))
}

fn millis(by: Duration) -> i64 {
    i64::try_from(by.as_millis()).unwrap_or(i64::MAX)
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

    #[tokio::test(start_paused = true)]
    async fn a_clock_of_the_runtime_goes_as_its_timers_do() {
        let clock = Clock::of_runtime(Timestamp::from_seconds(1000));
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(clock.now(), Timestamp::from_seconds(1060));
        clock.set_back(Duration::from_secs(100));
        assert_eq!(clock.now(), Timestamp::from_seconds(960));
    }
}
