//! The Setup Assistant profile of a team: what its new Apple devices show and allow when they are switched on.

use actix_web::HttpResponse;
use actix_web::web::{Data, Payload, Query};
use actors::dep::admin::SaveSetupAssistant;
use entities::abm_token;
use entities::setup_assistant::{self, Model};
use protocol::apple::dep::profile::SetupProfile;
use protocol::time::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::auth::Asking;
use super::profiles::team_of;
use crate::http::edge::AdminEdge;
use crate::http::error::ApiError;
use crate::http::{DEADLINE, read_json};

/// The longest name of a file, in characters.
const MAX_NAME_CHARS: usize = 255;

/// Whose profile.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct OfTeam {
    /// The team; absent or 0 for hosts that are in none.
    team_id: Option<i64>,
}

/// A profile to be stored.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Save {
    /// The team; absent or 0 for hosts that are in none.
    team_id: Option<i64>,
    /// The name of its file.
    name: String,
    /// The profile, as Apple's "Define a Profile" has it, without what the server sets itself.
    #[schemars(with = "Value")]
    enrollment_profile: Box<RawValue>,
}

/// `GET …/enrollment_profiles/automatic`
pub async fn show(admin: Asking, query: Query<OfTeam>, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let team_id = team_of(&admin, &edge, query.into_inner().team_id, None).await?;
    let stored = setup_assistant::by_team(&edge.front.reader, team_id).await?;
    let stored = stored.ok_or_else(|| ApiError::not_found("This team has the standard Setup Assistant profile"))?;
    Ok(HttpResponse::Ok().json(shown(&edge, &stored).await?))
}

/// `POST …/enrollment_profiles/automatic`
pub async fn save(admin: Asking, payload: Payload, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let Save { team_id, name, enrollment_profile } = read_json(&edge.budget, payload).await?;
    let team_id = team_of(&admin, &edge, team_id, None).await?;
    if !(1..=MAX_NAME_CHARS).contains(&name.chars().count()) || name.contains(char::is_control) {
        return Err(ApiError::invalid("name", format!("must have 1 to {MAX_NAME_CHARS} characters")));
    }
    let profile = enrollment_profile.get();
    SetupProfile::parse(profile.as_bytes()).map_err(|fault| ApiError::invalid("profile", fault.to_string()))?;
    let profile = Some((name, profile.to_owned()));
    edge.front.dep.ask(SaveSetupAssistant { team_id, profile, asked_by: admin.name.clone() }, DEADLINE).await?;
    let stored = setup_assistant::by_team(&edge.front.reader, team_id).await?;
    let stored = stored.ok_or_else(|| ApiError::conflict("the profile was deleted meanwhile"))?;
    Ok(HttpResponse::Ok().json(shown(&edge, &stored).await?))
}

/// `DELETE …/enrollment_profiles/automatic`
pub async fn delete(admin: Asking, query: Query<OfTeam>, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let team_id = team_of(&admin, &edge, query.into_inner().team_id, None).await?;
    let save = SaveSetupAssistant { team_id, profile: None, asked_by: admin.name.clone() };
    match edge.front.dep.ask(save, DEADLINE).await? {
        true => Ok(HttpResponse::NoContent().finish()),
        false => Err(ApiError::not_found("This team has the standard Setup Assistant profile")),
    }
}

/// A profile as Fleet shows it, with what Apple made of it for each organization.
async fn shown(edge: &AdminEdge, stored: &Model) -> Result<Value, ApiError> {
    let tokens = abm_token::list(&edge.front.reader).await?;
    let defined = setup_assistant::of_team(&edge.front.reader, stored.team_id).await?;
    let organizations: Vec<Value> = defined
        .iter()
        .map(|row| {
            let token = tokens.iter().find(|token| token.id == row.token_id);
            json!({
                "abm_token_id": row.token_id,
                "org_name": token.map(|token| &token.organization),
                "profile_uuid": row.profile_uuid,
                "defined_at": Timestamp::from_millis(row.defined_at).to_rfc3339(),
                "error": row.fault,
            })
        })
        .collect();
    let profile: Value = serde_json::from_str(&stored.profile).unwrap_or_default();
    Ok(json!({
        "team_id": Some(stored.team_id).filter(|id| *id != 0),
        "name": stored.name,
        "uploaded_at": Timestamp::from_millis(stored.updated_at).to_rfc3339(),
        "enrollment_profile": profile,
        "organizations": organizations,
    }))
}
