//! Errors of Windows devices that enroll: SOAP faults with status 500, whose text and type the device shows.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, ResponseError};
use actors::ask::Refusal;
use protocol::windows::soap::{CONTENT_TYPE, Fault, FaultKind, SoapError};

use super::DeviceError;

/// What the routes on which Windows devices enroll answer besides success.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}", refused.message)]
pub struct WindowsFault {
    /// Why.
    pub refused: Refused,
    /// What the answer would have been.
    pub action: &'static str,
    /// The request's name, where it could be read.
    pub relates_to: Option<String>,
}

/// Why a message is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    kind: FaultKind,
    message: String,
}

impl Refused {
    /// Any kind, with a text for people.
    pub fn new(kind: FaultKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// Not now; the reason is for the log.
    pub fn later(because: impl std::fmt::Display) -> Self {
        tracing::warn!("a Windows device is told to come back: {because}");
        Self::new(FaultKind::InMaintenance, "The server is busy. Try again in a moment.")
    }

    /// The same where everything that is wrong means that a certificate is not renewed.
    pub fn of_renewal(refusal: Refusal) -> Self {
        match Self::from(refusal) {
            later if later.kind == FaultKind::InMaintenance => later,
            other => Self { kind: FaultKind::NotEligibleToRenew, ..other },
        }
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Forbidden(why) => Self::new(FaultKind::Authentication, why),
            Refusal::Invalid(why) => Self::new(FaultKind::CertificateRequest, why),
            Refusal::NotFound(what) => Self::new(FaultKind::Authorization, format!("There is no such {what}.")),
            other => Self::later(other),
        }
    }
}

impl From<SoapError> for Refused {
    fn from(error: SoapError) -> Self {
        Self::new(FaultKind::MessageFormat, error.to_string())
    }
}

impl From<DeviceError> for Refused {
    fn from(error: DeviceError) -> Self {
        match error {
            DeviceError::Busy { because, .. } => Self::later(because),
            other => Self::new(FaultKind::MessageFormat, other.to_string()),
        }
    }
}

impl ResponseError for WindowsFault {
    fn status_code(&self) -> StatusCode {
        StatusCode::INTERNAL_SERVER_ERROR
    }

    fn error_response(&self) -> HttpResponse {
        let Refused { kind, message } = &self.refused;
        let trace_id = uuid::Uuid::new_v4().to_string();
        tracing::info!(trace_id, "a Windows device that enrolls is refused: {kind:?}: {message}");
        let relates_to = self.relates_to.as_deref();
        let fault = Fault { kind: *kind, message, action: self.action, relates_to, trace_id: &trace_id };
        HttpResponse::InternalServerError().content_type(CONTENT_TYPE).body(fault.to_xml())
    }
}
