//! What admins need to enroll devices: an enrollment profile, and enroll secrets for links.

use actix_web::HttpResponse;
use actix_web::web::{Data, Payload, Query};
use actors::authority::enroll::{Entitlement, Invite, ReplaceSecrets, RevealSecrets};
use protocol::time::Timestamp;
use serde::Deserialize;
use serde_json::json;

use super::auth::Asking;
use crate::http::DEADLINE;
use crate::http::device::enroll::mobileconfig;
use crate::http::edge::AdminEdge;
use crate::http::error::ApiError;

/// For which device a profile is; the certificate will work for no other.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManualQuery {
    serial: Option<String>,
    uuid: Option<String>,
}

/// All enroll secrets, in Fleet's shape.
#[derive(Debug, Deserialize)]
struct Spec {
    spec: Secrets,
}

#[derive(Debug, Deserialize)]
struct Secrets {
    secrets: Vec<Secret>,
}

#[derive(Debug, Deserialize)]
struct Secret {
    secret: String,
}

/// `GET …/enrollment_profiles/manual`
pub async fn manual(admin: Asking, query: Query<ManualQuery>, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let ManualQuery { serial, uuid } = query.into_inner();
    let invite =
        Invite { entitlement: Entitlement::Admin(admin.name.clone()), promised_serial: serial, promised_uuid: uuid };
    Ok(mobileconfig(edge.front.authority.ask(invite, DEADLINE).await?))
}

/// `GET …/spec/enroll_secret`
pub async fn secrets(admin: Asking, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let known = edge.front.authority.ask(RevealSecrets { asked_by: admin.name.clone() }, DEADLINE).await?;
    let shown: Vec<serde_json::Value> = known
        .iter()
        .map(|row| json!({ "secret": *row.secret, "created_at": Timestamp::from_millis(row.created_at).to_rfc3339() }))
        .collect();
    Ok(HttpResponse::Ok().json(json!({ "spec": { "secrets": shown } })))
}

/// `POST …/spec/enroll_secret`: replaces all of them.
pub async fn replace_secrets(admin: Asking, payload: Payload, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let body = crate::http::read_admin(&edge.budget, payload, 64 * 1024).await?;
    let spec: Spec = serde_json::from_slice(&body).map_err(|error| ApiError::bad_request(error.to_string()))?;
    let secrets: Vec<String> = spec.spec.secrets.into_iter().map(|secret| secret.secret).collect();
    let sound =
        |secret: &String| (16..=255).contains(&secret.len()) && secret.bytes().all(|byte| byte.is_ascii_graphic());
    if secrets.len() > 50 || !secrets.iter().all(sound) {
        return Err(ApiError::invalid("secrets", "at most 50 secrets of 16 to 255 printable characters each"));
    }
    edge.front.authority.ask(ReplaceSecrets { secrets, asked_by: admin.name.clone() }, DEADLINE).await?;
    Ok(HttpResponse::Ok().json(json!({})))
}
