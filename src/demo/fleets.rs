//! The demo's devices: those of Apple and those of Windows, as two fleets that enroll and live beside each other.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::sim::fleet::{Fleet, Truth};
use crate::sim::report::Progress;

/// How often somebody who waits for the fleets looks.
const GLANCE: Duration = Duration::from_millis(50);

/// Something for each platform.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct PerPlatform<T> {
    /// Macs, iPhones, iPads.
    pub(super) apple: T,
    /// PCs.
    pub(super) windows: T,
}

/// Two fleets.
pub(super) type Fleets = PerPlatform<Fleet>;

impl PerPlatform<Fleet> {
    /// How many devices there are.
    pub(super) fn counts(&self) -> PerPlatform<u64> {
        let count = |fleet: &Fleet| fleet.members().len() as u64;
        PerPlatform { apple: count(&self.apple), windows: count(&self.windows) }
    }

    /// What the devices did so far.
    pub(super) fn progress(&self) -> PerPlatform<Progress> {
        PerPlatform { apple: self.apple.progress(), windows: self.windows.progress() }
    }

    /// Waits until every device is enrolled or was refused, or until `patience` is over; true when all are enrolled.
    pub(super) async fn enrolled(&self, patience: Duration, mut tell: impl FnMut(&PerPlatform<Progress>)) -> bool {
        let (began, counts) = (Instant::now(), self.counts());
        loop {
            let progress = self.progress();
            tell(&progress);
            let failed = progress.apple.failed + progress.windows.failed;
            if progress.enrolled() + failed >= counts.apple + counts.windows {
                return failed == 0;
            }
            if began.elapsed() >= patience {
                return false;
            }
            tokio::time::sleep(GLANCE).await;
        }
    }

    /// Stops the devices, whatever they are doing, and tells what really happened.
    pub(super) fn stop(self) -> PerPlatform<Truth> {
        PerPlatform { apple: self.apple.stop(), windows: self.windows.stop() }
    }
}

impl PerPlatform<Progress> {
    /// All devices that are enrolled.
    pub(super) const fn enrolled(&self) -> u64 {
        self.apple.enrolled + self.windows.enrolled
    }
}
