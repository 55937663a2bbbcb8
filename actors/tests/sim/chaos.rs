//! What goes wrong in a run's database, by chance.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use entities::fault::{Fate, Plan, Statement};

use crate::random::Random;

/// How often statements go wrong, in a thousand.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rates {
    pub(crate) fails: u64,
    pub(crate) fails_afterwards: u64,
    pub(crate) hangs: u64,
    pub(crate) slow: u64,
}

/// The plan of a run; it rests until it is let loose.
#[derive(Debug)]
pub(crate) struct Chaos {
    random: Mutex<Random>,
    rates: Rates,
    loose: AtomicBool,
    /// Statements that went wrong so far.
    pub(crate) faults: AtomicU64,
}

impl Chaos {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random::of(seed, "chaos");
        let rates = match random.within(0..4) {
            0 => Rates::default(),
            1 => Rates { fails: 5, fails_afterwards: 5, hangs: 0, slow: 20 },
            2 => Rates { fails: 2, fails_afterwards: 10, hangs: 3, slow: 5 },
            _ => Rates { fails: 40, fails_afterwards: 30, hangs: 5, slow: 50 },
        };
        Self { random: Mutex::new(random), rates, loose: AtomicBool::new(false), faults: AtomicU64::new(0) }
    }

    pub(crate) fn let_loose(&self, loose: bool) {
        self.loose.store(loose, Relaxed);
    }
}

impl Plan for Chaos {
    fn next(&self, _: Statement) -> (Duration, Fate) {
        let mut random = self.random.lock().unwrap();
        if !self.loose.load(Relaxed) {
            return (Duration::from_millis(1), Fate::Runs);
        }
        let slow = random.permille(self.rates.slow);
        let delay = if slow { random.millis(100..4000) } else { random.millis(1..4) };
        let Rates { fails, fails_afterwards, hangs, .. } = self.rates;
        let fate = match random.within(0..1000) {
            chance if chance < fails => Fate::Fails,
            chance if chance < fails + fails_afterwards => Fate::FailsAfterwards,
            chance if chance < fails + fails_afterwards + hangs => {
                *random.one_of(&[Fate::Hangs, Fate::HangsAfterwards])
            }
            _ => Fate::Runs,
        };
        self.faults.fetch_add(u64::from(fate != Fate::Runs), Relaxed);
        (delay, fate)
    }
}
