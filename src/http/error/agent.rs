//! Errors of agents: orbit reads Fleet's shape, osquery its own.

use std::time::Duration;

use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, ResponseError};
use actors::ask::Refusal;
use entities::agent::Kind;

use super::{ApiError, DeviceError, seconds};

/// What the routes of agents can answer besides success, in the words of the agent.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{fault}")]
pub struct AgentError {
    /// Who is answered.
    pub kind: Kind,
    /// What is wrong.
    pub fault: AgentFault,
}

/// What is wrong with a message of an agent.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AgentFault {
    /// 401: the secret or the key works no more.
    #[error("{0}")]
    Unknown(&'static str),
    /// 401: the key is none that we gave, or its host was deleted.
    #[error("authentication error: invalid node key")]
    UnknownKey,
    /// 404: this server does nothing of the kind.
    #[error("{0}")]
    NotHere(&'static str),
    /// 409: another host has this already.
    #[error("{0}")]
    Taken(String),
    /// 429: too many guesses from one address.
    #[error("too many wrong tokens")]
    TooOften(Duration),
    /// As an admin is refused who wants the same.
    #[error(transparent)]
    Admin(#[from] ApiError),
    /// As for enrolled devices.
    #[error(transparent)]
    Device(#[from] DeviceError),
}

impl AgentError {
    /// 400.
    pub fn bad_request(kind: Kind, why: impl ToString) -> Self {
        Self { kind, fault: DeviceError::BadRequest(why.to_string()).into() }
    }
}

impl From<Refusal> for AgentFault {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Forbidden(why) => Self::Unknown(why),
            Refusal::Conflict(what) => Self::Taken(what),
            other => Self::Device(other.into()),
        }
    }
}

impl ResponseError for AgentError {
    fn status_code(&self) -> StatusCode {
        match &self.fault {
            AgentFault::Unknown(_) | AgentFault::UnknownKey => StatusCode::UNAUTHORIZED,
            AgentFault::NotHere(_) => StatusCode::NOT_FOUND,
            AgentFault::Taken(_) => StatusCode::CONFLICT,
            AgentFault::TooOften(_) => StatusCode::TOO_MANY_REQUESTS,
            AgentFault::Admin(error) => error.status_code(),
            AgentFault::Device(error) => error.status_code(),
        }
    }

    fn error_response(&self) -> HttpResponse {
        let status = self.status_code();
        let message = match &self.fault {
            AgentFault::Admin(error) => return error.error_response(),
            AgentFault::Device(DeviceError::Busy { because, .. }) => {
                tracing::warn!("an agent is told to come back: {because}");
                "busy, come back later".to_owned()
            }
            fault => {
                tracing::info!(http.status = status.as_u16(), "an agent's message is refused: {fault}");
                fault.to_string()
            }
        };
        let mut response = HttpResponse::build(status);
        if let AgentFault::Device(DeviceError::Busy { after, .. }) | AgentFault::TooOften(after) = &self.fault {
            response.insert_header((header::RETRY_AFTER, seconds(*after)));
        }
        match self.kind {
            Kind::Orbit => response.json(ApiError::because(status, "base", message).document()),
            // osquery enrolls again when its node is invalid.
            Kind::Osquery if status == StatusCode::UNAUTHORIZED => {
                response.json(serde_json::json!({ "error": message, "node_invalid": true }))
            }
            Kind::Osquery => response.json(serde_json::json!({ "error": message })),
        }
    }
}
