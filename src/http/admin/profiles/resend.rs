//! Profiles are sent again: to one host, or to all on which they failed.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path, Payload};
use actors::profiles::admin::{Resend, ResendFailed};
use actors::tree::Front;
use entities::host;
use entities::profile::change::Resent;
use entities::profile::{self, DECLARATION, WINDOWS};
use protocol::ids::HostId;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::{found, team_id, unknown};
use crate::http::admin::auth::Asking;
use crate::http::admin::reach;
use crate::http::edge::AdminEdge;
use crate::http::error::ApiError;
use crate::http::{DEADLINE, read_json};

/// Which hosts are sent a profile again.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    profile_uuid: String,
    filters: Filters,
}

/// Hosts by how far the profile has come on them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Filters {
    /// Only `failed`.
    profile_status: String,
}

/// `POST …/hosts/{id}/configuration_profiles/{uuid}/resend`, and Fleet's first path for it
pub async fn resend(
    admin: Asking,
    names: Path<(String, i64, String)>,
    edge: Data<AdminEdge>,
) -> Result<HttpResponse, ApiError> {
    let (_, host_id, uuid) = names.into_inner();
    let host = reach::host(&admin, &edge, host_id).await?;
    let profile = found(&admin, &edge, uuid).await?;
    send_again(&edge.front, &host, profile, admin.name.clone()).await
}

/// The same for whoever sits at the host. Profiles of other teams are nobody's there.
///
/// # Errors
/// As an admin is refused.
pub(in crate::http) async fn resend_own(
    front: &Front,
    host: &host::Model,
    uuid: String,
) -> Result<HttpResponse, ApiError> {
    let profile = profile::by_uuid(&front.reader, uuid).await?;
    let profile = profile.filter(|profile| team_id(profile) == host.team_id).ok_or_else(unknown)?;
    send_again(front, host, profile, format!("desktop of host {}", host.id)).await
}

async fn send_again(
    front: &Front,
    host: &host::Model,
    profile: profile::Model,
    asked_by: String,
) -> Result<HttpResponse, ApiError> {
    refuse_declaration(&profile)?;
    if (profile.kind == WINDOWS) != is_windows(host) {
        return Err(ApiError::invalid("profile", "this profile is not for the host's platform"));
    }
    let wish = Resend { host: HostId(host.id), uuid: profile.uuid, asked_by };
    match front.profiles.ask(wish, DEADLINE).await? {
        Resent::Done => Ok(HttpResponse::Accepted().json(json!({}))),
        Resent::NotAssigned => Err(ApiError::not_found("This host is not to have this profile")),
        Resent::UnderWay => {
            Err(ApiError::conflict("The profile is pending or verifying on this host: it is on its way anyway"))
        }
    }
}

/// `POST …/configuration_profiles/resend/batch`
pub async fn resend_failed(admin: Asking, payload: Payload, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let Batch { profile_uuid, filters } = read_json(&edge.budget, payload).await?;
    if filters.profile_status != "failed" {
        return Err(ApiError::invalid("filters.profile_status", "is failed: all others are on their way or done"));
    }
    let profile = found(&admin, &edge, profile_uuid).await?;
    refuse_declaration(&profile)?;
    let wish = ResendFailed { uuid: profile.uuid, asked_by: admin.name.clone() };
    let hosts = edge.front.profiles.ask(wish, DEADLINE).await?;
    Ok(HttpResponse::Accepted().json(json!({ "host_count": hosts })))
}

fn refuse_declaration(profile: &profile::Model) -> Result<(), ApiError> {
    if profile.kind == DECLARATION {
        return Err(ApiError::bad_request("Declarations are not sent: the host itself fetches what it does not have"));
    }
    Ok(())
}

fn is_windows(host: &host::Model) -> bool {
    host.platform == "windows"
}
