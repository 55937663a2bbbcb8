//! What admins need to enroll devices: an enrollment profile, and enroll secrets for links.

use actix_web::HttpResponse;
use actix_web::web::{Data, Payload, Query};
use actors::authority::enroll::{Entitlement, Invite, ReplaceSecrets, RevealSecrets};
use entities::enroll_secret::Opened;
use protocol::time::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::auth::Asking;
use crate::http::device::enroll::mobileconfig;
use crate::http::edge::AdminEdge;
use crate::http::error::ApiError;
use crate::http::{DEADLINE, read_json};

/// For which device a profile is; the certificate will work for no other.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ManualQuery {
    serial: Option<String>,
    uuid: Option<String>,
}

/// All enroll secrets, in Fleet's shape.
#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::http) struct Spec {
    spec: Secrets,
}

/// Enroll secrets, in Fleet's shape.
#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::http) struct Secrets {
    secrets: Vec<Secret>,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(in crate::http) struct Secret {
    secret: String,
}

/// `GET …/enrollment_profiles/manual`
pub async fn manual(admin: Asking, query: Query<ManualQuery>, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    admin.demand(None)?;
    let ManualQuery { serial, uuid } = query.into_inner();
    let invite =
        Invite { entitlement: Entitlement::Admin(admin.name.clone()), promised_serial: serial, promised_uuid: uuid };
    Ok(mobileconfig(edge.front.authority.ask(invite, DEADLINE).await?))
}

/// `GET …/spec/enroll_secret`
pub async fn secrets(admin: Asking, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    admin.demand(None)?;
    let shown = reveal(&edge, None, &admin.name).await?;
    Ok(HttpResponse::Ok().json(json!({ "spec": { "secrets": shown } })))
}

/// The secrets of a team, or those for hosts of none, as Fleet shows them.
pub(super) async fn reveal(edge: &AdminEdge, team_id: Option<i64>, by: &str) -> Result<Vec<Value>, ApiError> {
    let known = edge.front.authority.ask(RevealSecrets { team_id, asked_by: by.to_owned() }, DEADLINE).await?;
    let show = |row: &Opened| {
        let created_at = Timestamp::from_millis(row.created_at).to_rfc3339();
        match row.team_id {
            None => json!({ "secret": *row.secret, "created_at": created_at }),
            Some(team_id) => json!({ "secret": *row.secret, "created_at": created_at, "team_id": team_id }),
        }
    };
    Ok(known.iter().map(show).collect())
}

/// `POST …/spec/enroll_secret`: replaces all of them.
pub async fn replace_secrets(admin: Asking, payload: Payload, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    admin.demand(None)?;
    let spec: Spec = read_json(&edge.budget, payload).await?;
    replace(&edge, None, spec.spec, &admin.name).await?;
    Ok(HttpResponse::Ok().json(json!({})))
}

/// Replaces the secrets of a team, or those for hosts of none.
pub(super) async fn replace(
    edge: &AdminEdge,
    team_id: Option<i64>,
    secrets: Secrets,
    by: &str,
) -> Result<(), ApiError> {
    let secrets = checked(secrets.secrets)?;
    edge.front.authority.ask(ReplaceSecrets { team_id, secrets, asked_by: by.to_owned() }, DEADLINE).await?;
    Ok(())
}

/// Secrets that hosts may enroll with.
///
/// # Errors
/// 422: too many, or one that is too short or too long.
pub(super) fn checked(secrets: Vec<Secret>) -> Result<Vec<String>, ApiError> {
    let secrets: Vec<String> = secrets.into_iter().map(|secret| secret.secret).collect();
    let sound =
        |secret: &String| (16..=255).contains(&secret.len()) && secret.bytes().all(|byte| byte.is_ascii_graphic());
    if secrets.len() > 50 || !secrets.iter().all(sound) {
        return Err(ApiError::invalid("secrets", "at most 50 secrets of 16 to 255 printable characters each"));
    }
    Ok(secrets)
}
