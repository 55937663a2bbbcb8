//! What an operator sees of one node of the tree: it outlives the actor that fills it, over all its restarts.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use protocol::time::Timestamp;
use serde::Serialize;

/// How a node fares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// Has not been started yet.
    #[default]
    Waiting,
    /// Works.
    Running,
    /// Ended against our will, and will be started again after a rest.
    Restarting,
    /// Was asked to stop, and did.
    Stopped,
    /// Failed too often; the group above decides.
    Failed,
}

/// The live figures of one node.
#[derive(Debug, Default)]
pub struct Gauge {
    health: Mutex<Health>,
    last_error: Mutex<Option<String>>,
    restarts: AtomicU32,
    waiting: AtomicI64,
    turns: AtomicU64,
    last_turn_at: AtomicI64,
}

/// The figures at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Snapshot {
    /// Where it stands in the tree, for example `root/jobs/housekeeping`.
    pub path: String,
    /// How it fares.
    pub health: Health,
    /// How often it was started again.
    pub restarts: u32,
    /// Messages that wait for it.
    pub mailbox: i64,
    /// Turns it has taken since the server started.
    pub turns: u64,
    /// Milliseconds since its last turn; absent before the first.
    pub last_turn_age_ms: Option<i64>,
    /// Why it last ended, if it ever did.
    pub last_error: Option<String>,
}

/// All gauges of a tree, by path. Clones show the same tree.
#[derive(Clone, Debug, Default)]
pub struct Board {
    gauges: Arc<Mutex<BTreeMap<String, Arc<Gauge>>>>,
}

impl Gauge {
    /// A message got into the mailbox.
    pub fn message_waits(&self) {
        self.waiting.fetch_add(1, Relaxed);
    }

    /// A message left the mailbox, handled or lost.
    pub fn message_is_handled(&self) {
        self.waiting.fetch_sub(1, Relaxed);
    }

    /// The actor did something worth counting.
    pub fn turn(&self, now: Timestamp) {
        self.turns.fetch_add(1, Relaxed);
        self.last_turn_at.store(now.millis(), Relaxed);
    }

    pub(super) fn set(&self, health: Health) {
        *self.health.lock().unwrap_or_else(PoisonError::into_inner) = health;
    }

    pub(super) fn restarted(&self) {
        self.restarts.fetch_add(1, Relaxed);
    }

    pub(super) fn failed(&self, why: String) {
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
    }

    fn snapshot(&self, path: &str, now: Timestamp) -> Snapshot {
        let last_turn = Some(self.last_turn_at.load(Relaxed)).filter(|at| *at != 0);
        Snapshot {
            path: path.to_owned(),
            health: *self.health.lock().unwrap_or_else(PoisonError::into_inner),
            restarts: self.restarts.load(Relaxed),
            mailbox: self.waiting.load(Relaxed).max(0),
            turns: self.turns.load(Relaxed),
            last_turn_age_ms: last_turn.map(|at| now.millis().saturating_sub(at)),
            last_error: self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

impl Board {
    /// Every node, in the order of their paths.
    pub fn snapshot(&self, now: Timestamp) -> Vec<Snapshot> {
        let gauges = self.gauges.lock().unwrap_or_else(PoisonError::into_inner);
        gauges.iter().map(|(path, gauge)| gauge.snapshot(path, now)).collect()
    }

    pub(super) fn gauge(&self, path: &str) -> Arc<Gauge> {
        let mut gauges = self.gauges.lock().unwrap_or_else(PoisonError::into_inner);
        gauges.entry(path.to_owned()).or_default().clone()
    }
}
