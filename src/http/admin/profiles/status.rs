//! How far profiles have come: one on all hosts, a team's hosts with all, one host with each.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path, Query};
use entities::host_profile::tally::{self, Tally};
use entities::host_profile::{self, FAILED, REMOVE, VERIFIED, VERIFYING};
use entities::{Reader, host_profile_list};
use protocol::time::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{found, list, team_of};
use crate::http::admin::auth::Asking;
use crate::http::admin::reach;
use crate::http::edge::AdminEdge;
use crate::http::error::ApiError;

/// Whose hosts are counted.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct TeamQuery {
    /// The team; without it, or with 0, hosts of no team.
    team_id: Option<i64>,
}

/// `GET …/configuration_profiles/{uuid}/status`
pub async fn of_profile(
    admin: Asking,
    uuid: Path<(String, String)>,
    edge: Data<AdminEdge>,
) -> Result<HttpResponse, ApiError> {
    let profile = found(&admin, &edge, uuid.into_inner().1).await?;
    Ok(HttpResponse::Ok().json(counts(tally::of_profile(&edge.front.reader, profile.id).await?)))
}

/// `GET …/configuration_profiles/summary`
pub async fn summary(admin: Asking, query: Query<TeamQuery>, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let team = team_of(&admin, &edge, query.team_id, None).await?;
    let team = Some(team).filter(|id| *id != 0);
    Ok(HttpResponse::Ok().json(counts(tally::of_team(&edge.front.reader, team).await?)))
}

/// `GET …/hosts/{id}/configuration_profiles`: what it shall have, and what it last said it has.
pub async fn of_host(admin: Asking, id: Path<(String, i64)>, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let host = reach::host(&admin, &edge, id.into_inner().1).await?;
    let reader = &edge.front.reader;
    let mut listed = Vec::new();
    for (row, body) in host_profile_list::of_host(reader, host.id).await? {
        listed.push(json!({
            "enrollment_id": row.enrollment_id,
            "last_sync_at": row.last_sync_at.map(|at| Timestamp::from_millis(at).to_rfc3339()),
            "sync_status": row.sync_status,
            "profiles": serde_json::from_slice::<Value>(&body).unwrap_or_default(),
        }));
    }
    let profiles = shown_of_host(reader, host.id).await?;
    Ok(HttpResponse::Ok().json(json!({ "host_id": host.id, "profiles": profiles, "host_profiles": listed })))
}

/// The profiles of a host, as its detail shows them.
pub(in crate::http::admin) async fn shown_of_host(reader: &Reader, host_id: i64) -> Result<Vec<Value>, ApiError> {
    let rows = host_profile::of_host(reader, host_id).await?;
    let shown = |row: &host_profile::Model| {
        json!({
            "profile_uuid": row.uuid,
            "name": row.name,
            "identifier": row.identifier,
            "scope": list::scope(row.scope),
            "operation_type": if row.operation == REMOVE { "remove" } else { "install" },
            "status": word(row.status),
            "detail": row.detail,
            "retries": row.retries,
            "command_uuid": row.command_uuid,
            "updated_at": Timestamp::from_millis(row.changed_at).to_rfc3339(),
        })
    };
    Ok(rows.iter().map(shown).collect())
}

fn counts(tally: Tally) -> Value {
    json!({
        "verified": tally.verified,
        "verifying": tally.verifying,
        "failed": tally.failed,
        "pending": tally.pending,
    })
}

/// Fleet's words for how far a profile has come on a host.
const fn word(status: i16) -> &'static str {
    match status {
        VERIFYING => "verifying",
        VERIFIED => "verified",
        FAILED => "failed",
        _ => "pending",
    }
}
