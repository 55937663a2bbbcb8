//! Teams: make, rename and delete them, see and replace their enroll secrets, move hosts between them.

use std::collections::HashMap;

use actix_web::HttpResponse;
use actix_web::web::{Data, Path, Payload};
use actors::steward::{DeleteTeam, SaveTeam, Transfer};
use entities::movers::Movers;
use entities::team::{self, Naming};
use entities::{Reader, host_search};
use protocol::time::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::auth::{Admin, Asking};
use super::enrollment::{self, Secrets};
use super::host_filter::Filters;
use super::host_removal::answer_of;
use super::hosts::MAX_IDS;
use super::os_updates::{self, Mdm, Settings};
use super::setup_experience;
use super::{naming, reach};
use crate::http::edge::AdminEdge;
use crate::http::error::ApiError;
use crate::http::{DEADLINE, read_json};

/// What a team is to be called; what is absent stays.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Save {
    name: Option<String>,
    description: Option<String>,
    mdm: Option<Mdm>,
}

/// Hosts that are moved by their numbers.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct TransferHosts {
    team_id: Option<i64>,
    hosts: Vec<i64>,
}

/// Hosts that are moved by what they have in common.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct TransferFilter {
    team_id: Option<i64>,
    filters: Filters,
}

/// `GET …/teams`
pub async fn list(admin: Asking, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let (counts, extent) = (host_counts(&edge.front.reader, None).await?, admin.extent()?);
    let mut teams = team::list(&edge.front.reader).await?;
    teams.retain(|team| extent.holds(Some(team.id)));
    let settings = os_updates::of_teams(&edge.front.reader, teams.iter().map(|team| team.id).collect()).await?;
    let shown: Vec<Value> = teams.iter().map(|team| show(team, &counts, &settings)).collect();
    Ok(HttpResponse::Ok().json(json!({ "teams": shown })))
}

/// `GET …/teams/{id}`
pub async fn by_id(admin: Asking, id: Path<(String, i64)>, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let team = found(&admin, &edge.front.reader, id.into_inner().1).await?;
    answer(&edge, &team).await
}

/// `POST …/teams`
pub async fn create(admin: Asking, payload: Payload, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let save: Save = read_json(&edge.budget, payload).await?;
    let name = save.name.ok_or_else(|| ApiError::invalid("name", "missing required argument"))?;
    let naming = naming(&name, save.description.unwrap_or_default())?;
    let mdm = save.mdm.unwrap_or_default();
    // Nothing is made where its settings are none.
    setup_experience::demand_possible(&edge, &mdm.changes(0)?)?;
    let save = SaveTeam { id: None, naming, asked_by: admin.name.clone() };
    let team = edge.front.steward.ask(save, DEADLINE).await?;
    os_updates::save(&admin, &edge, team.id, mdm.changes(team.id)?).await?;
    answer(&edge, &team).await
}

/// `PATCH …/teams/{id}`
pub async fn change(
    admin: Asking,
    id: Path<(String, i64)>,
    payload: Payload,
    edge: Data<AdminEdge>,
) -> Result<HttpResponse, ApiError> {
    let save: Save = read_json(&edge.budget, payload).await?;
    let team = found(&admin, &edge.front.reader, id.into_inner().1).await?;
    let changes = save.mdm.unwrap_or_default().changes(team.id)?;
    let only_settings = save.name.is_none() && save.description.is_none();
    let naming = naming(&save.name.unwrap_or(team.name.clone()), save.description.unwrap_or(team.description.clone()))?;
    os_updates::save(&admin, &edge, team.id, changes).await?;
    if only_settings {
        return answer(&edge, &team).await;
    }
    let save = SaveTeam { id: Some(team.id), naming, asked_by: admin.name.clone() };
    answer(&edge, &edge.front.steward.ask(save, DEADLINE).await?).await
}

/// `DELETE …/teams/{id}`
pub async fn delete(admin: Asking, id: Path<(String, i64)>, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let delete = DeleteTeam { id: id.into_inner().1, asked_by: admin.name.clone() };
    edge.front.steward.ask(delete, DEADLINE).await?;
    Ok(HttpResponse::Ok().json(json!({})))
}

/// `GET …/teams/{id}/secrets`
pub async fn secrets(admin: Asking, id: Path<(String, i64)>, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let team = found(&admin, &edge.front.reader, id.into_inner().1).await?;
    let shown = enrollment::reveal(&edge, Some(team.id), &admin.name).await?;
    Ok(HttpResponse::Ok().json(json!({ "secrets": shown })))
}

/// `PATCH …/teams/{id}/secrets`: replaces all of them.
pub async fn replace_secrets(
    admin: Asking,
    id: Path<(String, i64)>,
    payload: Payload,
    edge: Data<AdminEdge>,
) -> Result<HttpResponse, ApiError> {
    let secrets: Secrets = read_json(&edge.budget, payload).await?;
    let team = found(&admin, &edge.front.reader, id.into_inner().1).await?;
    enrollment::replace(&edge, Some(team.id), secrets, &admin.name).await?;
    let shown = enrollment::reveal(&edge, Some(team.id), &admin.name).await?;
    Ok(HttpResponse::Ok().json(json!({ "secrets": shown })))
}

/// `POST …/hosts/transfer`
pub async fn transfer(admin: Asking, payload: Payload, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let TransferHosts { team_id, hosts } = read_json(&edge.budget, payload).await?;
    if hosts.len() > MAX_IDS {
        return Err(ApiError::invalid(
            "hosts",
            format!("at most {MAX_IDS} hosts at once; use hosts/transfer/filter for more"),
        ));
    }
    reach::hosts(&admin, &edge, &hosts).await?;
    move_hosts(&edge, team_id, Movers::Hosts(hosts), &admin).await
}

/// `POST …/hosts/transfer/filter`
pub async fn transfer_filter(admin: Asking, payload: Payload, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let TransferFilter { team_id, filters } = read_json(&edge.budget, payload).await?;
    let movers = reach::movers(&admin, &edge, filters)?;
    move_hosts(&edge, team_id, movers, &admin).await
}

async fn move_hosts(
    edge: &AdminEdge,
    team_id: Option<i64>,
    movers: Movers,
    admin: &Admin,
) -> Result<HttpResponse, ApiError> {
    // 0 is Fleet's name for "no team".
    let team_id = team_id.filter(|id| *id != 0);
    admin.demand(team_id)?;
    let transfer = Transfer { team_id, movers, asked_by: admin.name.clone() };
    Ok(answer_of(edge.front.steward.ask(transfer, DEADLINE).await?))
}

async fn answer(edge: &AdminEdge, team: &team::Model) -> Result<HttpResponse, ApiError> {
    let counts = host_counts(&edge.front.reader, Some(team.id)).await?;
    let settings = os_updates::of_teams(&edge.front.reader, vec![team.id]).await?;
    Ok(HttpResponse::Ok().json(json!({ "team": show(team, &counts, &settings) })))
}

async fn found(admin: &Admin, reader: &Reader, id: i64) -> Result<team::Model, ApiError> {
    admin.demand(Some(id))?;
    team::by_id(reader, id).await?.ok_or_else(|| ApiError::not_found("Team was not found in the datastore"))
}

async fn host_counts(reader: &Reader, team: Option<i64>) -> Result<HashMap<i64, i64>, ApiError> {
    let mut counts = HashMap::new();
    for tally in host_search::tally(reader, team).await? {
        *counts.entry(tally.team_id).or_default() += tally.hosts;
    }
    Ok(counts)
}

fn show(team: &team::Model, counts: &HashMap<i64, i64>, settings: &Settings) -> Value {
    json!({
        "id": team.id,
        "name": team.name,
        "description": team.description,
        "created_at": Timestamp::from_millis(team.created_at).to_rfc3339(),
        "host_count": counts.get(&team.id).copied().unwrap_or_default(),
        "mdm": os_updates::shown(settings, team.id),
    })
}

/// What a team may be called.
///
/// # Errors
/// 422: it may not be called so.
pub(super) fn naming(name: &str, description: String) -> Result<Naming, ApiError> {
    let (name, description) = naming::checked(name, description)?;
    // Fleet's own names for what is not a team.
    if ["all teams", "no team"].contains(&name.to_lowercase().as_str()) {
        let reason = "\"All teams\" and \"No team\" mean something else: choose another name";
        return Err(ApiError::invalid("name", reason));
    }
    Ok(Naming { name, description })
}
