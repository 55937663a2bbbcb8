//! Apple Business Manager: the public key to upload there, the server tokens that come back, and what Apple says of a host's
//! device.

use actix_web::web::{Bytes, Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use actors::dep::admin::{DeleteToken, GetPublicKey, SetTeams, StoreToken};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use entities::abm_token::{self, DefaultTeams, REJECTED, TERMS_EXPIRED};
use entities::{Reader, dep_device, team};
use protocol::apple::dep::token::MAX_TOKEN_BYTES;
use protocol::time::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::auth::Asking;
use super::reach;
use crate::http::edge::AdminEdge;
use crate::http::error::ApiError;
use crate::http::multipart::Form;
use crate::http::{DEADLINE, read_json};

/// The largest form with a token in it, in bytes.
const MAX_FORM_BYTES: usize = MAX_TOKEN_BYTES + 16 * 1024;

/// The teams that a token's new devices join, by platform; nothing or 0 for none.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Teams {
    macos_team_id: Option<i64>,
    ios_team_id: Option<i64>,
    ipados_team_id: Option<i64>,
}

/// `GET …/mdm/apple/abm_public_key`
pub async fn public_key(_: Asking, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let pem = edge.front.dep.ask(GetPublicKey, DEADLINE).await?;
    Ok(HttpResponse::Ok().json(json!({ "public_key": STANDARD.encode(pem) })))
}

/// `GET …/abm_tokens`
pub async fn list(_: Asking, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let mut shown = Vec::new();
    for token in abm_token::list(&edge.front.reader).await? {
        shown.push(show(&edge, &token).await?);
    }
    Ok(HttpResponse::Ok().json(json!({ "abm_tokens": shown })))
}

/// `GET …/abm_tokens/count`
pub async fn count(_: Asking, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let count = abm_token::list(&edge.front.reader).await?.len();
    Ok(HttpResponse::Ok().json(json!({ "count": count })))
}

/// `POST …/abm_tokens`
pub async fn upload(
    admin: Asking,
    request: HttpRequest,
    payload: Payload,
    edge: Data<AdminEdge>,
) -> Result<HttpResponse, ApiError> {
    let file = file(&request, payload, &edge).await?;
    store(&edge, StoreToken { file: file.to_vec(), renews: None, asked_by: admin.name.clone() }).await
}

/// `PATCH …/abm_tokens/{id}/renew`
pub async fn renew(
    admin: Asking,
    id: Path<(String, i64)>,
    request: HttpRequest,
    payload: Payload,
    edge: Data<AdminEdge>,
) -> Result<HttpResponse, ApiError> {
    let (file, id) = (file(&request, payload, &edge).await?, id.into_inner().1);
    found(&edge.front.reader, id).await?;
    store(&edge, StoreToken { file: file.to_vec(), renews: Some(id), asked_by: admin.name.clone() }).await
}

async fn file(request: &HttpRequest, payload: Payload, edge: &AdminEdge) -> Result<Bytes, ApiError> {
    let form = Form::read(request, &edge.budget, payload, MAX_FORM_BYTES).await?;
    let file = form.into_fields().into_iter().find(|field| field.name == "token");
    file.map(|field| field.content)
        .ok_or_else(|| ApiError::bad_request("send the token's file (.p7m) as the field token"))
}

async fn store(edge: &AdminEdge, store: StoreToken) -> Result<HttpResponse, ApiError> {
    let token = edge.front.dep.ask(store, DEADLINE).await?;
    Ok(HttpResponse::Ok().json(json!({ "abm_token": show(edge, &token).await? })))
}

/// `PATCH …/abm_tokens/{id}/teams`
pub async fn set_teams(
    admin: Asking,
    id: Path<(String, i64)>,
    payload: Payload,
    edge: Data<AdminEdge>,
) -> Result<HttpResponse, ApiError> {
    let Teams { macos_team_id, ios_team_id, ipados_team_id } = read_json(&edge.budget, payload).await?;
    let id = id.into_inner().1;
    found(&edge.front.reader, id).await?;
    let some = |team: Option<i64>| team.filter(|id| *id != 0);
    let teams = DefaultTeams { macos: some(macos_team_id), ios: some(ios_team_id), ipados: some(ipados_team_id) };
    let token = edge.front.dep.ask(SetTeams { id, teams, asked_by: admin.name.clone() }, DEADLINE).await?;
    Ok(HttpResponse::Ok().json(json!({ "abm_token": show(&edge, &token).await? })))
}

/// `DELETE …/abm_tokens/{id}`
pub async fn delete(admin: Asking, id: Path<(String, i64)>, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let delete = DeleteToken { id: id.into_inner().1, asked_by: admin.name.clone() };
    edge.front.dep.ask(delete, DEADLINE).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// `GET …/hosts/{id}/dep_assignment`
pub async fn of_host(admin: Asking, id: Path<(String, i64)>, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let host = reach::host(&admin, &edge, id.into_inner().1).await?;
    let device = match host.serial {
        Some(serial) => dep_device::by_serial(&edge.front.reader, serial).await?,
        None => None,
    };
    let device = device.ok_or_else(|| ApiError::not_found("This host's device is not in Apple Business Manager"))?;
    let moment = |at: Option<i64>| at.map(|at| Timestamp::from_millis(at).to_rfc3339());
    let shown = json!({
        "serial_number": device.serial,
        "abm_token_id": device.token_id,
        "model": device.model,
        "description": device.description,
        "color": device.color,
        "asset_tag": device.asset_tag,
        "device_family": device.device_family,
        "os": device.os,
        "profile_status": device.status_word(),
        "profile_uuid": device.profile_uuid,
        "profile_assign_time": moment(device.profile_assigned_at),
        "profile_push_time": moment(device.profile_pushed_at),
        "device_assigned_date": moment(device.assigned_at),
        "device_assigned_by": device.assigned_by,
        "mdm_migration_deadline": moment(device.migration_deadline),
        "assign_profile_response": device.response_word(),
        "response_updated_at": moment(device.responded_at),
        "retry_after": moment(device.rests_until),
        "deleted_at": moment(device.removed_at),
    });
    Ok(HttpResponse::Ok().json(json!({ "id": host.id, "dep_device": shown })))
}

async fn found(reader: &Reader, id: i64) -> Result<abm_token::Model, ApiError> {
    let token = abm_token::by_id(reader, id).await?;
    token.ok_or_else(|| ApiError::not_found("AbmToken was not found in the datastore"))
}

/// A token as Fleet shows it, with how far its devices are read.
async fn show(edge: &AdminEdge, token: &abm_token::Model) -> Result<Value, ApiError> {
    let moment = |at: i64| Timestamp::from_millis(at).to_rfc3339();
    Ok(json!({
        "id": token.id,
        "apple_id": token.apple_id,
        "org_name": token.organization,
        "server_name": token.server_name,
        "mdm_server_url": edge.front.authority_config.server_url,
        "renew_date": moment(token.expires_at),
        "terms_expired": token.standing == TERMS_EXPIRED,
        "token_invalid": token.standing == REJECTED,
        "macos_team": named(&edge.front.reader, token.macos_team_id).await?,
        "ios_team": named(&edge.front.reader, token.ios_team_id).await?,
        "ipados_team": named(&edge.front.reader, token.ipados_team_id).await?,
        "device_count": dep_device::count(&edge.front.reader, token.id).await?,
        "synced_at": token.synced_at.map(moment),
        "sync_error": token.fault,
        "sync_rests_until": token.rests_until.map(moment),
    }))
}

/// A team as Fleet names it here; 0 for none.
async fn named(reader: &Reader, team_id: Option<i64>) -> Result<Value, ApiError> {
    let team = match team_id {
        Some(id) => team::by_id(reader, id).await?,
        None => None,
    };
    Ok(team.map_or_else(|| json!({ "id": 0, "name": "No team" }), |team| json!({ "id": team.id, "name": team.name })))
}
