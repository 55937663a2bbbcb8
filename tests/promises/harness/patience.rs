//! What a person at a device does when the server asks to come back later: tries again. On a machine that is busy with
//! other tests a 503 is an answer like any other; only what never succeeds is a finding.

use std::time::Duration;

use rookery::sim::apple::device::{Device, DeviceError};
use tokio::time::{Instant, sleep};

use super::site::PATIENCE;

/// How long is waited when the server does not say.
const A_MOMENT: Duration = Duration::from_millis(500);

/// Does it until it succeeds, as long as what stands in the way is passing.
pub(crate) async fn patiently<T>(mut act: impl AsyncFnMut() -> Result<T, DeviceError>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        let error = match act().await {
            Ok(done) => return done,
            Err(error) => error,
        };
        let rest = error.is_passing().unwrap_or_default();
        assert!(error.is_passing().is_some() && Instant::now() < until, "the device did not get on: {error}");
        sleep(rest.unwrap_or(A_MOMENT)).await;
    }
}

/// Enrolls a device.
pub(crate) async fn enrolled(device: &mut Device, url: &str) {
    patiently(async || device.enroll(url).await).await;
}
