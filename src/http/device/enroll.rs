//! Enrollment profiles for those who know an enroll secret, or who signed in (see `sso`).

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::{Data, Query};
use actors::authority::enroll::{Entitlement, Invite};
use protocol::apple::profile::CONTENT_TYPE;

use crate::http::edge::DeviceEdge;
use crate::http::error::EnrollError;

/// How long a visitor waits.
pub(super) const DEADLINE: Duration = Duration::from_secs(20);

/// Where profiles are.
pub const PATH: &str = "/api/mdm/apple/enroll";

/// Who asks.
#[derive(Debug, serde::Deserialize)]
pub struct Parameters {
    /// An enroll secret; Fleet's links call it `enroll_secret`.
    #[serde(alias = "enroll_secret", default)]
    pub(super) token: String,
    /// What a sign-in ended with.
    #[serde(default)]
    enrollment_reference: String,
}

/// Serves an enrollment profile with a challenge of its own.
pub async fn profile(parameters: Query<Parameters>, edge: Data<DeviceEdge>) -> Result<HttpResponse, EnrollError> {
    let Parameters { token, enrollment_reference } = parameters.into_inner();
    let entitlement = match enrollment_reference.as_str() {
        "" => Entitlement::EnrollSecret(token),
        _ => Entitlement::Reference(enrollment_reference),
    };
    let invite = Invite { entitlement, promised_serial: None, promised_uuid: None };
    let signed = edge.front.authority.ask(invite, DEADLINE).await?;
    Ok(mobileconfig(signed))
}

/// A signed profile as a download.
pub fn mobileconfig(signed: Vec<u8>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type(CONTENT_TYPE)
        .insert_header((header::CONTENT_DISPOSITION, "attachment; filename=\"enrollment.mobileconfig\""))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(signed)
}
