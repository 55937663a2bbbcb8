//! What a fleet measured: how long exchanges took, and how many of everything there were.
//!
//! Counting costs one atomic addition and never waits, so that ten thousand devices may count in the same place. Start
//! with [`Histogram`] and [`Tally`].

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use serde::Serialize;

/// Buckets per doubling: a percentile is at most an eighth too high.
const STEPS: u64 = 8;

/// Microseconds up to 2^36, which is 19 hours; what takes longer counts as that.
const DOUBLINGS: u64 = 36;

/// How long something took, many times. Buckets grow with their values, so it stays small and is never wrong by much.
pub struct Histogram {
    buckets: Box<[AtomicU64]>,
    total_micros: AtomicU64,
    longest_micros: AtomicU64,
}

/// A histogram in a few numbers, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Latency {
    /// How many there were.
    pub count: u64,
    /// The mean.
    pub mean_ms: f64,
    /// Half of them took no longer.
    pub p50_ms: f64,
    /// 95 of 100 took no longer.
    pub p95_ms: f64,
    /// 99 of 100 took no longer.
    pub p99_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

/// What the devices of a fleet did, counted while they do it.
#[derive(Debug, Default)]
pub struct Tally {
    /// Devices that are completely enrolled.
    pub enrolled: AtomicU64,
    /// Devices that gave up: the server refused them.
    pub failed: AtomicU64,
    /// Devices that got their enrollment profile by themselves, because they were bought so.
    pub set_up: AtomicU64,
    /// Devices that waited in Setup Assistant and were let go on.
    pub released: AtomicU64,
    /// Devices that were erased.
    pub erased: AtomicU64,
    /// Polls (`Idle`).
    pub polls: AtomicU64,
    /// Commands received.
    pub commands: AtomicU64,
    /// Reports `Acknowledged`.
    pub acknowledged: AtomicU64,
    /// Reports `Error` and `CommandFormatError`.
    pub errors: AtomicU64,
    /// Reports `NotNow`.
    pub not_now: AtomicU64,
    /// Replies that were lost on purpose.
    pub lost_replies: AtomicU64,
    /// Reports that were sent twice on purpose.
    pub duplicates: AtomicU64,
    /// Reports that were sent late on purpose.
    pub late_reports: AtomicU64,
    /// `TokenUpdate` messages beside the first ones.
    pub token_updates: AtomicU64,
    /// Messages that were sent again, for whatever reason.
    pub retries: AtomicU64,
    /// Answers 429 and 5xx.
    pub busy: AtomicU64,
    /// Messages that the server refused for good.
    pub refused: AtomicU64,
    /// Pushes that arrived.
    pub pushes: AtomicU64,
    /// How long polls took.
    pub poll_times: Histogram,
    /// How long reports took.
    pub report_times: Histogram,
    /// How long check-in messages took.
    pub check_in_times: Histogram,
    /// How long whole enrollments took, waiting and retries included.
    pub enroll_times: Histogram,
}

/// The numbers of a [`Tally`] at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the fields are those of Tally")]
pub struct Progress {
    pub enrolled: u64,
    pub failed: u64,
    pub set_up: u64,
    pub released: u64,
    pub erased: u64,
    pub polls: u64,
    pub commands: u64,
    pub acknowledged: u64,
    pub errors: u64,
    pub not_now: u64,
    pub lost_replies: u64,
    pub duplicates: u64,
    pub late_reports: u64,
    pub token_updates: u64,
    pub retries: u64,
    pub busy: u64,
    pub refused: u64,
    pub pushes: u64,
    pub poll: Latency,
    pub report: Latency,
    pub check_in: Latency,
    pub enroll: Latency,
}

impl Histogram {
    /// Counts one duration.
    pub fn record(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.buckets[bucket(micros)].fetch_add(1, Relaxed);
        self.total_micros.fetch_add(micros, Relaxed);
        self.longest_micros.fetch_max(micros, Relaxed);
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|bucket| bucket.load(Relaxed)).sum()
    }

    /// What `share` of all durations (0 to 1) did not exceed; at most an eighth too high, never above the longest.
    pub fn percentile(&self, share: f64) -> Duration {
        let wanted = (self.count() as f64 * share).ceil() as u64;
        let mut seen = 0;
        for (index, bucket) in self.buckets.iter().enumerate() {
            seen += bucket.load(Relaxed);
            if seen >= wanted.max(1) {
                return Duration::from_micros(upper_end(index).min(self.longest_micros.load(Relaxed)));
            }
        }
        Duration::ZERO
    }

    /// The numbers that people look at.
    pub fn latency(&self) -> Latency {
        let millis = |time: Duration| time.as_micros() as f64 / 1000.0;
        let count = self.count();
        Latency {
            count,
            mean_ms: self.total_micros.load(Relaxed) as f64 / 1000.0 / count.max(1) as f64,
            p50_ms: millis(self.percentile(0.5)),
            p95_ms: millis(self.percentile(0.95)),
            p99_ms: millis(self.percentile(0.99)),
            max_ms: self.longest_micros.load(Relaxed) as f64 / 1000.0,
        }
    }
}

impl Default for Histogram {
    fn default() -> Self {
        let buckets = (0..=DOUBLINGS * STEPS).map(|_| AtomicU64::new(0)).collect();
        Self { buckets, total_micros: AtomicU64::new(0), longest_micros: AtomicU64::new(0) }
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.latency().fmt(formatter)
    }
}

impl Tally {
    /// The numbers now.
    pub fn progress(&self) -> Progress {
        let of = |counter: &AtomicU64| counter.load(Relaxed);
        Progress {
            enrolled: of(&self.enrolled),
            failed: of(&self.failed),
            set_up: of(&self.set_up),
            released: of(&self.released),
            erased: of(&self.erased),
            polls: of(&self.polls),
            commands: of(&self.commands),
            acknowledged: of(&self.acknowledged),
            errors: of(&self.errors),
            not_now: of(&self.not_now),
            lost_replies: of(&self.lost_replies),
            duplicates: of(&self.duplicates),
            late_reports: of(&self.late_reports),
            token_updates: of(&self.token_updates),
            retries: of(&self.retries),
            busy: of(&self.busy),
            refused: of(&self.refused),
            pushes: of(&self.pushes),
            poll: self.poll_times.latency(),
            report: self.report_times.latency(),
            check_in: self.check_in_times.latency(),
            enroll: self.enroll_times.latency(),
        }
    }
}

/// Counts one.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

/// The bucket of a value: its highest bit, and the three bits that follow.
fn bucket(micros: u64) -> usize {
    if micros < STEPS {
        return micros as usize;
    }
    let doubling = u64::from(micros.ilog2());
    let step = (micros >> (doubling - 3)) - STEPS;
    // The first bucket with steps is that of 8 microseconds.
    ((doubling - 2) * STEPS + step).min(DOUBLINGS * STEPS) as usize
}

/// The largest value of a bucket.
const fn upper_end(index: usize) -> u64 {
    let index = index as u64;
    if index < STEPS {
        return index;
    }
    let (doubling, step) = (index / STEPS + 2, index % STEPS);
    ((STEPS + step + 1) << (doubling - 3)) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_its_bucket_and_no_bucket_is_wide() {
        for value in (0..10_000).chain([123_456, 1 << 20, (1 << 30) + 7, 1 << 35]) {
            let end = upper_end(bucket(value));
            assert!(value <= end && end <= value + value / 8, "{value} {end}");
            assert!(bucket(value) == 0 || upper_end(bucket(value) - 1) < value, "{value}");
        }
        assert_eq!(bucket(u64::MAX), (DOUBLINGS * STEPS) as usize);
    }

    #[test]
    fn percentiles_are_near_the_truth() {
        let histogram = Histogram::default();
        for millis in 1..=1000 {
            histogram.record(Duration::from_millis(millis));
        }
        let near = |share: f64, truth: u64| {
            let found = histogram.percentile(share).as_millis() as u64;
            assert!(found >= truth && found <= truth + truth / 8, "{share}: {found}");
        };
        near(0.5, 500);
        near(0.95, 950);
        near(0.99, 990);
        let latency = histogram.latency();
        assert_eq!((latency.count, latency.max_ms, latency.mean_ms), (1000, 1000.0, 500.5));
        assert_eq!(Histogram::default().percentile(0.99), Duration::ZERO);
    }
}
