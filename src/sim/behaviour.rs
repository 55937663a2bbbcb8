//! How a simulated device lives: how often it is locked, loses replies, repeats itself. Decides nothing by itself.

use std::time::Duration;

/// Probabilities (0 never, 1 always) and times of one device's life.
#[derive(Clone, Debug, PartialEq)]
pub struct Behaviour {
    /// For each command: whether the device locks itself and then answers `NotNow` for a while.
    pub locks: f64,
    /// About how long it stays locked.
    pub locked_for: Duration,
    /// For each command: whether it fails.
    pub errs: f64,
    /// For each report: whether its reply is lost, and the report is then repeated.
    pub loses_replies: f64,
    /// For each report: whether it is sent a second time although its reply came.
    pub repeats: f64,
    /// For each command: whether the device goes away with the report unsent, and sends it in its next session.
    pub is_late: f64,
    /// For each session: whether the device has got a new push token.
    pub changes_token: f64,
    /// About how long a command takes.
    pub works_for: Duration,
    /// About how long it stays away when it goes away, and the first wait before a message is sent again.
    pub rests_for: Duration,
    /// The longest wait before a message is sent again, whatever the server asks for.
    pub rests_at_most: Duration,
    /// How often it polls without being pushed. Real devices do not.
    pub polls_every: Option<Duration>,
    /// Whether it enrolls again after it was erased.
    pub enrolls_again: bool,
}

impl Behaviour {
    /// A device that does what it is told, at once.
    pub const fn calm() -> Self {
        Self {
            locks: 0.0,
            locked_for: Duration::from_secs(2),
            errs: 0.0,
            loses_replies: 0.0,
            repeats: 0.0,
            is_late: 0.0,
            changes_token: 0.0,
            works_for: Duration::ZERO,
            rests_for: Duration::from_millis(500),
            rests_at_most: Duration::from_secs(30),
            polls_every: None,
            enrolls_again: false,
        }
    }

    /// A device as they are, with everything that goes wrong in a year happening within minutes.
    pub const fn lively() -> Self {
        Self {
            locks: 0.08,
            errs: 0.03,
            loses_replies: 0.05,
            repeats: 0.03,
            is_late: 0.03,
            changes_token: 0.02,
            works_for: Duration::from_millis(20),
            ..Self::calm()
        }
    }
}

impl Default for Behaviour {
    fn default() -> Self {
        Self::calm()
    }
}
