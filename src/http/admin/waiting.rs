//! Long polls: a request that asks where a command stands may wait until it has ended.
//!
//! Whoever waits is woken by hosts after their commits; the database is asked when a request comes, when it is woken (not more
//! often than [`PACE`]), and when its time is over.

use std::time::Duration;

use entities::command_count;
use protocol::ids::CommandUuid;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::config::Span;
use crate::http::edge::AdminEdge;
use crate::http::error::ApiError;

/// The longest that a request may wait.
const LONGEST: Duration = Duration::from_secs(60);
/// How long one who waits for many hosts lets results gather before it looks again.
const PACE: Duration = Duration::from_millis(250);

/// Reads `?wait=`: `30s`, `500ms`, or seconds.
///
/// # Errors
/// It is no length of time, or longer than a minute.
pub(super) fn wait_of(asked: Option<&str>) -> Result<Duration, ApiError> {
    let Some(text) = asked else { return Ok(Duration::ZERO) };
    let seconds = text.parse().ok().map(Duration::from_secs);
    let wait = seconds.or_else(|| text.parse::<Span>().ok().map(|span| span.0));
    let invalid = || ApiError::invalid("wait", format!("must be at most {}s, for example 30s", LONGEST.as_secs()));
    wait.filter(|wait| *wait <= LONGEST).ok_or_else(invalid)
}

/// Waits until a command has ended on all its hosts, or on one of them; at most so long, and not while the server stops.
///
/// # Errors
/// 503: too many wait already, or the database does not answer.
pub(super) async fn until_ended(
    edge: &AdminEdge,
    command: &entities::command::Model,
    host_id: Option<i64>,
    wait: Duration,
) -> Result<(), ApiError> {
    let Some(uuid) = CommandUuid::parse(&command.uuid).filter(|_| !wait.is_zero()) else { return Ok(()) };
    let deadline = Instant::now() + wait;
    let mut watch = edge.front.feed.watch_command(uuid)?;
    while command_count::is_pending(&edge.front.reader, command.id, host_id).await? {
        let looked = Instant::now();
        match timeout_at(deadline, watch.ended()).await {
            Ok(true) => sleep_until((looked + PACE).min(deadline)).await,
            Ok(false) | Err(_) => break,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_a_length_of_time_of_at_most_a_minute() {
        assert_eq!(wait_of(None), Ok(Duration::ZERO));
        assert_eq!(wait_of(Some("30s")), Ok(Duration::from_secs(30)));
        assert_eq!(wait_of(Some("30")), Ok(Duration::from_secs(30)));
        assert_eq!(wait_of(Some("250ms")), Ok(Duration::from_millis(250)));
        for wrong in ["61s", "2m", "soon", "", "-1", "18446744073709551615"] {
            assert!(wait_of(Some(wrong)).is_err(), "{wrong}");
        }
    }
}
