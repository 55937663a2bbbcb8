//! Tokens that let one Windows device enroll: shown once, used once, for a while.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::{Data, Payload};
use actors::authority::enroll::Entitlement;
use actors::authority::windows::MakeToken;
use protocol::time::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::auth::Asking;
use super::reach;
use crate::http::edge::AdminEdge;
use crate::http::error::ApiError;
use crate::http::{DEADLINE, read_json};
use protocol::percent::percent_encoded;

/// How long a token works if nobody says otherwise.
const USUALLY: Duration = Duration::from_secs(24 * 3600);
/// How long it works at most.
const AT_MOST: Duration = Duration::from_secs(30 * 86_400);

/// Whose device a token is for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Make {
    /// The host that it enrolls; absent for a device that is new.
    host_id: Option<i64>,
    /// The team that a new host joins.
    team_id: Option<i64>,
    /// The name of the device's user.
    upn: Option<String>,
    /// When it stops working (RFC 3339), within 30 days; absent for a day from now.
    expires_at: Option<String>,
}

/// `POST …/windows_enrollment_tokens`
pub async fn make(admin: Asking, payload: Payload, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let Make { host_id, team_id, upn, expires_at } = read_json(&edge.budget, payload).await?;
    match host_id {
        Some(id) => {
            let host = reach::host(&admin, &edge, id).await?;
            if !matches!(host.platform.as_str(), "" | "windows") {
                return Err(ApiError::invalid("host_id", "this host is none of Windows"));
            }
            if team_id.is_some() {
                return Err(ApiError::invalid("team_id", "is for new hosts: this one keeps its team"));
            }
        }
        None => admin.demand(team_id)?,
    }
    let is_name = |upn: &String| !upn.is_empty() && upn.len() <= 255 && !upn.contains(char::is_control);
    if upn.as_ref().is_some_and(|upn| !is_name(upn)) {
        return Err(ApiError::invalid("upn", "must have 1 to 255 characters"));
    }
    let now = edge.front.clock.now();
    let lasts = lasts(expires_at.as_deref(), now)?;
    let entitlement = Entitlement::Admin(admin.name.clone());
    let make = MakeToken { entitlement, host_id, upn: upn.clone(), team_id, lasts };
    let token = edge.front.authority.ask(make, DEADLINE).await?;
    let address = format!("{}/EnrollmentServer/Discovery.svc", edge.front.authority_config.server_url);
    let user = upn.map(|upn| format!("&username={}", percent_encoded(&upn))).unwrap_or_default();
    let link =
        format!("ms-device-enrollment:?mode=mdm{user}&servername={}&accesstoken={token}", percent_encoded(&address));
    let expires_at = now.plus(lasts).to_rfc3339();
    let made = json!({ "token": token, "expires_at": expires_at, "discovery_url": address, "link": link });
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(made))
}

fn lasts(expires_at: Option<&str>, now: Timestamp) -> Result<Duration, ApiError> {
    let Some(text) = expires_at else { return Ok(USUALLY) };
    let moment = Timestamp::parse_rfc3339(text).map(|moment| moment.since(now));
    let sound = moment.filter(|lasts| !lasts.is_zero() && *lasts <= AT_MOST);
    sound.ok_or_else(|| ApiError::invalid("expires_at", "must be a moment (RFC 3339) within the next 30 days"))
}
