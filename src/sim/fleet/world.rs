//! What the devices of a fleet have in common, whatever they are.

use std::time::Duration;

use actix::prelude::*;
use tokio::sync::Semaphore;

use crate::sim::report::Tally;

/// The world of a fleet.
#[derive(Debug)]
pub struct World {
    /// Where its devices begin to enroll: an enrollment profile, or discovery.
    pub enroll_url: String,
    /// What they count together.
    pub tally: Tally,
    /// As many as may enroll at once.
    pub ramp: Semaphore,
    /// How long a minute of a poll schedule takes.
    pub minute: Duration,
}

/// A device ends at once, whatever it is doing.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct Stop;
