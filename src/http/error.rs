//! Errors become responses here, and nowhere else.
//!
//! Which type to use where: [`DeviceError`] on the routes of enrolled Apple devices; it has no way to say 401 or 403, which
//! would make a device remove its management. [`EnrollError`] before a device is enrolled, where refusing is safe.
//! [`AgentError`] for agents that are no MDM, where 401 only means that they enroll again. [`WindowsFault`] for Windows devices that enroll.
//! [`ApiError`] for admins, in Fleet's shape; [`NanoError`] for NanoMDM's tools, [`ScimError`] for identity providers. A detail that only we can use goes to the
//! log, once, and never into a response.

mod agent;
mod scim;
mod windows;

use std::time::Duration;

use actix_web::http::{StatusCode, header};
use actix_web::web::{self, PathConfig, QueryConfig, ServiceConfig};
use actix_web::{HttpResponse, ResponseError};
use actors::ask::Refusal;
use protocol::apple;
use serde::Serialize;

pub use agent::{AgentError, AgentFault};
pub use scim::ScimError;
pub use windows::{Refused, WindowsFault};

use super::admin::permission::Permission;

/// What the routes of enrolled devices can answer besides success.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// 400: the message is wrong, or not for us to act upon.
    #[error("{0}")]
    BadRequest(String),
    /// 404: a declaration that is not assigned. Nothing else.
    #[error("this declaration is not assigned")]
    NotAssigned,
    /// 410: this user will not be managed. The answer to UserAuthenticate alone.
    #[error("this user is not managed")]
    UserNotManaged,
    /// 413: too long.
    #[error("the message is longer than {0} bytes")]
    TooLarge(usize),
    /// 503: come back later.
    #[error("not now: {because}")]
    Busy {
        /// How long to wait.
        after: Duration,
        /// Why, for the log.
        because: String,
    },
}

/// What the routes before enrollment can answer besides success.
#[derive(Clone, Debug, thiserror::Error)]
pub enum EnrollError {
    /// As for enrolled devices.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// 403, with a text that the device shows.
    #[error("{0}")]
    Refused(&'static str),
    /// 403: the device has to be updated to this version first, which it does itself (Apple, "ErrorCodeSoftwareUpdateRequired").
    #[error("the device has to be updated to {0} first")]
    UpdateFirst(String),
    /// 409: the server is not ready to enroll anyone.
    #[error("{0}")]
    NotReady(String),
}

/// What the admin API answers besides success.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    status: StatusCode,
    message: String,
    reasons: Vec<Reason>,
    retry_after: Option<Duration>,
}

/// One thing that is wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Reason {
    name: String,
    reason: String,
}

/// What NanoMDM's routes answer besides success.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct NanoError {
    status: StatusCode,
    message: String,
}

// === impl DeviceError ===

impl From<Refusal> for DeviceError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::TryAgain { after, because } => Self::Busy { after, because },
            Refusal::Quarantined { after } => Self::Busy { after, because: "this host is quarantined".into() },
            Refusal::NotEnrolled => Self::BadRequest("this device is not enrolled".into()),
            Refusal::NotFound(what) => Self::BadRequest(format!("there is no such {what}")),
            Refusal::Forbidden(why) => Self::BadRequest(why.into()),
            Refusal::Invalid(why) => Self::BadRequest(why),
            Refusal::Conflict(what) => Self::Busy { after: Duration::from_secs(5), because: what },
        }
    }
}

impl From<apple::message::MessageError> for DeviceError {
    fn from(error: apple::message::MessageError) -> Self {
        Self::BadRequest(error.to_string())
    }
}

impl ResponseError for DeviceError {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::NotAssigned => StatusCode::NOT_FOUND,
            Self::UserNotManaged => StatusCode::GONE,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Busy { .. } => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        match self {
            Self::Busy { after, because } => {
                tracing::warn!("a device is told to come back: {because}");
                response.insert_header((header::RETRY_AFTER, seconds(*after)));
                response.body("busy, come back later\n")
            }
            other => {
                tracing::info!(http.status = self.status_code().as_u16(), "a device's message is refused: {other}");
                response.content_type("text/plain; charset=utf-8").body(format!("{other}\n"))
            }
        }
    }
}

// === impl EnrollError ===

impl From<Refusal> for EnrollError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Forbidden(why) => Self::Refused(why),
            Refusal::Conflict(what) => Self::NotReady(what),
            other => Self::Device(other.into()),
        }
    }
}

impl ResponseError for EnrollError {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::Device(error) => error.status_code(),
            Self::Refused(_) | Self::UpdateFirst(_) => StatusCode::FORBIDDEN,
            Self::NotReady(_) => StatusCode::CONFLICT,
        }
    }

    fn error_response(&self) -> HttpResponse {
        match self {
            Self::Device(error) => error.error_response(),
            Self::Refused(why) => {
                tracing::info!("an enrollment is refused: {why}");
                HttpResponse::Forbidden().json(serde_json::json!({ "message": why }))
            }
            Self::UpdateFirst(version) => HttpResponse::Forbidden().json(serde_json::json!({
                "code": "com.apple.softwareupdate.required",
                "description": format!("This device has to be updated to {version} before it can be enrolled."),
                "details": { "OSVersion": version },
            })),
            Self::NotReady(what) => HttpResponse::Conflict().json(serde_json::json!({ "message": what })),
        }
    }
}

// === impl ApiError ===

impl ApiError {
    /// Any status, with one reason for one parameter.
    pub fn because(status: StatusCode, name: &str, reason: impl Into<String>) -> Self {
        let reason = Reason { name: name.into(), reason: reason.into() };
        let message = match status {
            StatusCode::UNPROCESSABLE_ENTITY => "Validation Failed".into(),
            _ => reason.reason.clone(),
        };
        Self { status, message, reasons: vec![reason], retry_after: None }
    }

    /// 400.
    pub fn bad_request(reason: impl Into<String>) -> Self {
        Self::because(StatusCode::BAD_REQUEST, "base", reason)
    }

    /// 401: no token, or one that does not work.
    pub fn unauthenticated() -> Self {
        Self::because(
            StatusCode::UNAUTHORIZED,
            "base",
            "Authentication required: send 'Authorization: Bearer <API token>'",
        )
    }

    /// 403: the role does not allow it, or not there.
    pub fn forbidden(permission: Permission) -> Self {
        let name = permission.as_str();
        let reason = format!("forbidden: your role or your token's scopes do not give you {name} here");
        Self::because(StatusCode::FORBIDDEN, "base", reason)
    }

    /// 429: after this time again.
    pub fn too_often(after: Duration) -> Self {
        let reason = "Too many tries: wait, and try again";
        Self { retry_after: Some(after), ..Self::because(StatusCode::TOO_MANY_REQUESTS, "base", reason) }
    }

    /// 422: there is no mail server.
    pub fn no_mail() -> Self {
        Self::invalid(
            "base",
            "no mail server is set: set smtp.host (see OPERATIONS.md, People), or make the user with a password",
        )
    }

    /// 503: no secret can be made.
    pub fn no_randomness() -> Self {
        Self::because(StatusCode::SERVICE_UNAVAILABLE, "base", "The system has no randomness, try again")
    }

    /// What is wrong, in a sentence.
    pub fn reason(&self) -> String {
        self.reasons.first().map_or_else(|| self.message.clone(), |reason| reason.reason.clone())
    }

    /// The same, about a part of a larger whole, which each reason names then.
    pub(super) fn within(mut self, part: &str) -> Self {
        for reason in &mut self.reasons {
            reason.name = format!("{part}.{}", reason.name);
        }
        self
    }

    /// 404.
    pub fn not_found(what: &str) -> Self {
        Self::because(StatusCode::NOT_FOUND, "base", what)
    }

    /// 409.
    pub fn conflict(reason: impl Into<String>) -> Self {
        Self::because(StatusCode::CONFLICT, "base", reason)
    }

    /// The error in Fleet's shape.
    fn document(&self) -> serde_json::Value {
        serde_json::json!({ "message": self.message, "errors": self.reasons, "uuid": uuid::Uuid::new_v4() })
    }

    /// 422 for one parameter.
    pub fn invalid(name: &str, reason: impl Into<String>) -> Self {
        Self::because(StatusCode::UNPROCESSABLE_ENTITY, name, reason)
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::TryAgain { after, because } => {
                tracing::warn!("an admin is told to come back: {because}");
                let busy = Self::because(StatusCode::SERVICE_UNAVAILABLE, "base", "The server is busy, try again");
                Self { retry_after: Some(after), ..busy }
            }
            Refusal::Quarantined { after } => {
                let alone = "This host's actor crashed repeatedly and rests for a while";
                let busy = Self::because(StatusCode::SERVICE_UNAVAILABLE, "base", alone);
                Self { retry_after: Some(after), ..busy }
            }
            Refusal::NotEnrolled => Self::not_found("No such host is enrolled"),
            Refusal::NotFound(what) => Self::not_found(&format!("There is no such {what}")),
            Refusal::Forbidden(why) => Self::because(StatusCode::FORBIDDEN, "base", why),
            Refusal::Invalid(why) => Self::bad_request(why),
            Refusal::Conflict(what) => Self::conflict(what),
        }
    }
}

impl From<entities::StoreError> for ApiError {
    fn from(error: entities::StoreError) -> Self {
        Refusal::from(error).into()
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        if let Some(after) = self.retry_after {
            response.insert_header((header::RETRY_AFTER, seconds(after)));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.insert_header((header::WWW_AUTHENTICATE, "Bearer"));
        }
        response.json(self.document())
    }
}

/// Lets a listener answer what actix-web itself refuses in the same shape: a path or a query that cannot be read, a route that
/// is not there.
pub(super) fn in_json(config: &mut ServiceConfig) {
    let unreadable = |what: &str, error: String| ApiError::bad_request(format!("the {what} cannot be read: {error}"));
    config
        .app_data(PathConfig::default().error_handler(move |error, _| unreadable("path", error.to_string()).into()))
        .app_data(QueryConfig::default().error_handler(move |error, _| unreadable("query", error.to_string()).into()))
        .default_service(web::to(async || {
            ApiError::not_found("There is no such route: GET /api/docs lists them").error_response()
        }));
}

/// 405 in the same shape.
pub(super) async fn wrong_method() -> HttpResponse {
    let reason = "This route has other methods: GET /api/docs lists them";
    ApiError::because(StatusCode::METHOD_NOT_ALLOWED, "base", reason).error_response()
}

// === impl NanoError ===

impl NanoError {
    /// A refusal in NanoMDM's shape.
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }
}

impl From<ApiError> for NanoError {
    fn from(ApiError { status, message, .. }: ApiError) -> Self {
        Self { status, message }
    }
}

impl From<Refusal> for NanoError {
    fn from(refusal: Refusal) -> Self {
        ApiError::from(refusal).into()
    }
}

impl From<entities::StoreError> for NanoError {
    fn from(error: entities::StoreError) -> Self {
        Refusal::from(error).into()
    }
}

impl ResponseError for NanoError {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        HttpResponse::build(self.status).json(serde_json::json!({ "error": self.message }))
    }
}

/// Whole seconds for `Retry-After`, at least one.
fn seconds(after: Duration) -> String {
    after.as_secs().max(1).to_string()
}
