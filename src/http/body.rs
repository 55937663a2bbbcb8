//! Reading a request's body: with a limit, a deadline for the whole and for each piece, and a budget for all bodies
//! together. actix-web itself waits for a slow body for ever.

use std::sync::Arc;
use std::time::Duration;

use actix_web::web::{Bytes, BytesMut, Payload};
use futures_util::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

use super::error::{ApiError, DeviceError};

/// How long a body may take.
const DEADLINE: Duration = Duration::from_secs(30);
/// How long the next piece may take.
const PIECE_DEADLINE: Duration = Duration::from_secs(10);
/// Bodies up to this size need no place in the budget.
const SMALL: usize = 64 * 1024;

/// Memory for large bodies, shared by all requests of a listener.
#[derive(Clone, Debug)]
pub struct Budget {
    kibibytes: Arc<Semaphore>,
}

impl Budget {
    /// A budget of so many mebibytes.
    pub fn new(mebibytes: usize) -> Self {
        Self { kibibytes: Arc::new(Semaphore::new(mebibytes * 1024)) }
    }

    /// Reads a body of at most `limit` bytes.
    ///
    /// # Errors
    /// Longer than the limit; slower than the deadlines; no memory left for it.
    pub async fn read(&self, mut payload: Payload, limit: usize) -> Result<Bytes, DeviceError> {
        let deadline = Instant::now() + DEADLINE;
        let mut read: Option<BytesMut> = None;
        let mut first = Bytes::new();
        let mut places = Vec::new();
        while let Some(piece) = next(&mut payload, deadline).await? {
            let length = read.as_ref().map_or(first.len(), BytesMut::len) + piece.len();
            if length > limit {
                return Err(DeviceError::TooLarge(limit));
            }
            if length > SMALL {
                places.push(self.place(piece.len())?);
            }
            match &mut read {
                Some(read) => read.extend_from_slice(&piece),
                None if first.is_empty() => first = piece,
                None => {
                    let mut both = BytesMut::from(&*first);
                    both.extend_from_slice(&piece);
                    read = Some(both);
                }
            }
        }
        Ok(read.map_or(first, BytesMut::freeze))
    }

    fn place(&self, bytes: usize) -> Result<OwnedSemaphorePermit, DeviceError> {
        let kibibytes = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX);
        self.kibibytes.clone().try_acquire_many_owned(kibibytes).map_err(|_| DeviceError::Busy {
            after: Duration::from_secs(5),
            because: "too many large bodies at once".into(),
        })
    }
}

async fn next(payload: &mut Payload, deadline: Instant) -> Result<Option<Bytes>, DeviceError> {
    let slow = || DeviceError::BadRequest("the body comes too slowly".into());
    let piece = timeout_at(deadline, timeout(PIECE_DEADLINE, payload.next())).await;
    match piece.map_err(|_| slow())?.map_err(|_| slow())? {
        Some(Ok(piece)) => Ok(Some(piece)),
        Some(Err(error)) => Err(DeviceError::BadRequest(format!("the body cannot be read: {error}"))),
        None => Ok(None),
    }
}

/// The largest JSON of an admin, in bytes.
const MAX_JSON_BYTES: usize = 1024 * 1024;

/// Reads the JSON of an admin's request.
pub(super) async fn read_json<T: serde::de::DeserializeOwned>(
    budget: &Budget,
    payload: Payload,
) -> Result<T, ApiError> {
    let body = read_admin(budget, payload, MAX_JSON_BYTES).await?;
    serde_json::from_slice(&body).map_err(|error| ApiError::bad_request(error.to_string()))
}

/// Reads the JSON of somebody who has not proved who they are: little of it.
pub(super) async fn read_small_json<T: serde::de::DeserializeOwned>(
    budget: &Budget,
    payload: Payload,
) -> Result<T, ApiError> {
    let body = read_admin(budget, payload, 16 * 1024).await?;
    serde_json::from_slice(&body).map_err(|error| ApiError::bad_request(error.to_string()))
}

/// Reads the body of an admin's request.
pub(super) async fn read_admin(budget: &Budget, payload: Payload, limit: usize) -> Result<Bytes, ApiError> {
    use actix_web::http::StatusCode;
    budget.read(payload, limit).await.map_err(|error| match error {
        DeviceError::TooLarge(_) => ApiError::because(StatusCode::PAYLOAD_TOO_LARGE, "base", error.to_string()),
        DeviceError::Busy { .. } => ApiError::because(StatusCode::SERVICE_UNAVAILABLE, "base", "The server is busy"),
        other => ApiError::bad_request(other.to_string()),
    })
}
