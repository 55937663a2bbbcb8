//! What goes wrong on demand.

use std::time::Duration;

use crate::sim::random::Chance;

/// What goes wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is answered with this status and word, and nothing is done.
    Answer {
        /// The status code.
        status: u16,
        /// Apple's word for it, for example `T_C_NOT_SIGNED` or `EXPIRED_CURSOR`.
        code: String,
        /// The header `Retry-After`, in seconds.
        retry_after: Option<Duration>,
    },
    /// It is done and answered, after this time.
    Delay(Duration),
    /// It is done, and the second half of the answer is missing.
    Truncated,
    /// The connection is closed; nothing is done.
    ClosedBefore,
    /// It is done, and the connection is closed without an answer.
    ClosedAfter,
}

/// Which requests go wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// All.
    All,
    /// Those to this path, whatever the method.
    Path(String),
}

/// How often.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum When {
    /// The next ones, so many.
    Next(u32),
    /// Each one with this probability, by the service's seed.
    Chance(f64),
}

/// The script.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<Scripted>);

#[derive(Debug)]
struct Scripted {
    target: Target,
    fault: Fault,
    when: When,
}

impl Fault {
    /// An answer with this status and word.
    pub fn answer(status: u16, code: &str) -> Self {
        Self::Answer { status, code: code.to_owned(), retry_after: None }
    }
}

impl Faults {
    pub(super) fn add(&mut self, target: Target, fault: Fault, when: When) {
        self.0.push(Scripted { target, fault, when });
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// What goes wrong with a request to this path: the oldest line of the script that concerns it and happens.
    pub(super) fn next(&mut self, path: &str, chance: &mut Chance) -> Option<Fault> {
        self.0.retain(|scripted| scripted.when != When::Next(0));
        for scripted in &mut self.0 {
            let concerns = match &scripted.target {
                Target::All => true,
                Target::Path(target) => target == path,
            };
            let happens = concerns
                && match &mut scripted.when {
                    When::Next(left) => {
                        *left -= 1;
                        true
                    }
                    When::Chance(probability) => chance.happens(*probability),
                };
            if happens {
                return Some(scripted.fault.clone());
            }
        }
        None
    }
}
