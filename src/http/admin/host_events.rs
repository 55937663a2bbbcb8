//! A host's life as server-sent events (WHATWG HTML, "Server-sent events"), from the moment of the request on.
//!
//! Nothing is kept for a reader that comes later or reads slowly: it is told that it missed something, and looks at the host
//! and its commands again. A stream ends after a while, so that whoever reads on is asked again who they are.

use std::convert::Infallible;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::{Bytes, Data, Path};
use actors::feed::{Happening, HostWatch, Seen, What};
use futures_util::{Stream, StreamExt, stream};
use protocol::ids::HostId;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout, timeout_at};

use super::auth::Asking;
use super::reach;
use crate::http::edge::AdminEdge;
use crate::http::error::ApiError;

/// How often a comment shows that a silent stream is alive.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How long a stream lasts; browsers come again by themselves.
const LONGEST: Duration = Duration::from_secs(900);

/// `GET …/hosts/{id}/events`
pub async fn events(admin: Asking, id: Path<(String, i64)>, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let host = reach::host(&admin, &edge, id.into_inner().1).await?;
    let watch = edge.front.feed.watch_host(HostId(host.id))?;
    // The first line tells that from here on nothing is missed.
    let first = stream::iter([Ok::<_, Infallible>(Bytes::from_static(b": watching\n\n"))]);
    let lines = first.chain(lines(watch, Instant::now() + LONGEST));
    let mut response = HttpResponse::Ok();
    response.insert_header((header::CONTENT_TYPE, "text/event-stream"));
    response.insert_header(("x-accel-buffering", "no")); // nginx would collect events before it passes them on
    Ok(response.streaming(lines))
}

fn lines(watch: HostWatch, until: Instant) -> impl Stream<Item = Result<Bytes, Infallible>> {
    stream::unfold(watch, move |mut watch| async move {
        let seen = timeout_at(until, timeout(KEEP_ALIVE, watch.next())).await.ok()?;
        let line = match seen {
            Ok(seen) => event(&seen?),
            Err(_) => ": still here\n\n".to_owned(),
        };
        Some((Ok(Bytes::from(line)), watch))
    })
}

fn event(seen: &Seen) -> String {
    let (name, data) = match seen {
        Seen::Missed(count) => ("lagged", json!({ "missed": count })),
        Seen::Happening(happening) => named(happening),
    };
    format!("event: {name}\ndata: {data}\n\n")
}

fn named(Happening { at, what }: &Happening) -> (&'static str, Value) {
    let at = at.to_rfc3339();
    match what {
        What::CheckedIn => ("checked_in", json!({ "at": at })),
        What::Pushed => ("pushed", json!({ "at": at })),
        What::Enrolling => ("enrolling", json!({ "at": at })),
        What::Enrolled => ("enrolled", json!({ "at": at })),
        What::Unenrolled => ("unenrolled", json!({ "at": at })),
        What::Command(uuid, state) => {
            ("command", json!({ "at": at, "command_uuid": uuid.as_str(), "status": state.as_str() }))
        }
    }
}

#[cfg(test)]
mod tests {
    use protocol::ids::CommandUuid;
    use protocol::queue::State;
    use protocol::time::Timestamp;

    use super::*;

    #[test]
    fn an_event_is_a_name_and_one_line_of_json() {
        let uuid = CommandUuid::parse("a \"name\"").unwrap();
        let happening = Happening { at: Timestamp::from_millis(0), what: What::Command(uuid, State::NotNow) };
        let text = event(&Seen::Happening(happening));
        let expected = "event: command\ndata: {\"at\":\"1970-01-01T00:00:00Z\",\
                        \"command_uuid\":\"a \\\"name\\\"\",\"status\":\"not_now\"}\n\n";
        assert_eq!(text, expected);
        assert_eq!(event(&Seen::Missed(3)), "event: lagged\ndata: {\"missed\":3}\n\n");
    }
}
