//! What goes wrong on demand.

use std::time::Duration;

use protocol::time::Timestamp;

/// What goes wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is answered with this status and reason.
    Answer {
        /// The status code.
        status: u16,
        /// Apple's word for it, for example `TooManyRequests`.
        reason: String,
        /// The header `retry-after`.
        retry_after: Option<Duration>,
        /// The `timestamp` of a 410.
        timestamp: Option<Timestamp>,
    },
    /// It is answered as usual, and the connection is told to end (GOAWAY).
    GoAway,
    /// The connection is cut without an answer.
    Reset,
    /// It is never answered.
    BlackHole,
    /// It is answered as usual, after this time.
    Delay(Duration),
}

/// Whose requests go wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// All.
    All,
    /// Those to this token.
    Token(Vec<u8>),
}

/// The script.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<Scripted>);

#[derive(Debug)]
struct Scripted {
    target: Target,
    fault: Fault,
    left: Option<u32>,
}

impl Fault {
    /// An answer with this status and reason.
    pub fn answer(status: u16, reason: &str) -> Self {
        Self::Answer { status, reason: reason.to_owned(), retry_after: None, timestamp: None }
    }
}

impl Faults {
    pub(super) fn add(&mut self, target: Target, fault: Fault, times: Option<u32>) {
        self.0.push(Scripted { target, fault, left: times });
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// What goes wrong with a request to this token: the oldest line of the script that concerns it.
    pub(super) fn next(&mut self, token: Option<&[u8]>) -> Option<Fault> {
        self.0.retain(|scripted| scripted.left != Some(0));
        let concerns = |scripted: &&mut Scripted| match &scripted.target {
            Target::All => true,
            Target::Token(target) => Some(target.as_slice()) == token,
        };
        let scripted = self.0.iter_mut().find(concerns)?;
        scripted.left = scripted.left.map(|left| left - 1);
        Some(scripted.fault.clone())
    }
}
