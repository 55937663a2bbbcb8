//! Answers to requests that may be sent again: one that came with an `Idempotency-Key` is done once, whatever the network
//! does.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse};
use entities::{enqueue, idempotency};
use openssl::sha::sha256;

use crate::http::edge::AdminEdge;
use crate::http::error::ApiError;

/// The answer to a request that may be sent again under the same key.
pub(super) struct Answers<'a> {
    edge: &'a AdminEdge,
    admin: &'a str,
    key: Option<String>,
    request_hash: &'a [u8],
}

impl<'a> Answers<'a> {
    /// Reads the key of a request, where it has one.
    ///
    /// # Errors
    /// The key is empty, too long, or not text.
    pub(super) fn of(
        request: &HttpRequest,
        edge: &'a AdminEdge,
        admin: &'a str,
        body: &'a [u8],
    ) -> Result<Self, ApiError> {
        Ok(Self { edge, admin, key: key_of(request)?, request_hash: body })
    }

    /// The answer that was given under this key, if the request is the same.
    pub(super) async fn given(&self) -> Result<Option<HttpResponse>, ApiError> {
        let Some(key) = &self.key else { return Ok(None) };
        let given = idempotency::answer(&self.edge.front.reader, self.admin.to_owned(), key.clone()).await?;
        let Some(given) = given else { return Ok(None) };
        if given.request_hash != sha256(self.request_hash) {
            return Err(ApiError::invalid("Idempotency-Key", "this key was used for another request"));
        }
        let status = u16::try_from(given.status).ok().and_then(|code| StatusCode::from_u16(code).ok());
        let mut response = HttpResponse::build(status.unwrap_or(StatusCode::OK));
        Ok(Some(response.content_type("application/json").body(given.response)))
    }

    /// The rows of which one becomes the answer for the key.
    pub(super) fn to_keep(&self, queued: &[u8], held: &[u8]) -> Option<enqueue::Answers> {
        let key = self.key.clone()?;
        let row = |status, response: &[u8]| idempotency::Answer {
            principal: self.admin.to_owned(),
            key: key.clone(),
            request_hash: sha256(self.request_hash),
            status,
            response: response.to_vec(),
            created_at: self.edge.front.clock.now().millis(),
        };
        Some(enqueue::Answers { queued: row(200, queued), held: row(202, held) })
    }
}

fn key_of(request: &HttpRequest) -> Result<Option<String>, ApiError> {
    let Some(value) = request.headers().get("idempotency-key") else { return Ok(None) };
    let key = value.to_str().ok().filter(|key| !key.is_empty() && key.len() <= 255);
    key.map(|key| Some(key.to_owned()))
        .ok_or_else(|| ApiError::invalid("Idempotency-Key", "1 to 255 printable characters"))
}
