//! What SCIM's routes answer besides success (RFC 7644, 3.12).

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, ResponseError};
use actors::ask::Refusal;
use serde_json::json;

use super::ApiError;

/// A refusal in SCIM's shape.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct ScimError {
    status: StatusCode,
    kind: &'static str,
    detail: String,
}

impl ScimError {
    /// 400 for what cannot be read: `kind` is SCIM's word for why.
    pub fn invalid(kind: &'static str, detail: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, kind, detail: detail.into() }
    }

    /// 404.
    pub fn not_found() -> Self {
        Self { status: StatusCode::NOT_FOUND, kind: "", detail: "There is no such resource".into() }
    }

    /// 409: another one has a name that only one can have.
    pub fn taken(attribute: &str) -> Self {
        let detail = format!("{attribute} belongs to another resource");
        Self { status: StatusCode::CONFLICT, kind: "uniqueness", detail }
    }
}

impl From<ApiError> for ScimError {
    fn from(error: ApiError) -> Self {
        Self { status: error.status_code(), kind: "", detail: error.reason() }
    }
}

impl From<Refusal> for ScimError {
    fn from(refusal: Refusal) -> Self {
        ApiError::from(refusal).into()
    }
}

impl From<entities::StoreError> for ScimError {
    fn from(error: entities::StoreError) -> Self {
        Refusal::from(error).into()
    }
}

impl ResponseError for ScimError {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut said = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"],
            "status": self.status.as_str(),
            "detail": self.detail,
        });
        if !self.kind.is_empty() {
            said["scimType"] = self.kind.into();
        }
        HttpResponse::build(self.status).content_type("application/scim+json").json(said)
    }
}
