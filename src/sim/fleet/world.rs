//! What the devices of a fleet have in common, whatever they are.

use std::time::Duration;

use actix::prelude::*;
use protocol::pki::authority::Authority;
use tokio::sync::Semaphore;

use crate::sim::abm::{AssignmentService, OrganizationId};
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
    /// The devices that come by themselves.
    pub purchase: Option<Purchase>,
}

/// Devices that were bought, and come by themselves.
#[derive(Clone, Debug)]
pub struct Purchase {
    /// The service that knows whose they are.
    pub service: AssignmentService,
    /// Whose they are there.
    pub organization: OrganizationId,
    /// Who gave them their identities.
    pub authority: Authority,
}

impl Purchase {
    /// Whether a device is one of these.
    pub fn holds(&self, serial_number: &str) -> bool {
        self.service.device(serial_number).is_some_and(|known| known.organization == self.organization)
    }
}

/// A device ends at once, whatever it is doing.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct Stop;
