//! Commands: see where they stand, read what came back. Running one is in [`command_run`](super::command_run).

use actix_web::HttpResponse;
use actix_web::web::{Data, Query};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use entities::command_status::{self, Status};
use entities::{command, host};
use protocol::apple::json;
use protocol::queue::State;
use protocol::time::Timestamp;
use protocol::windows::syncml::result_json;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::auth::{Admin, Asking};
use super::reach;
use super::reveal::Sight;
use super::waiting::{until_ended, wait_of};
use crate::http::edge::AdminEdge;
use crate::http::error::ApiError;
use crate::http::paging::Paging;

/// The largest report that is shown as JSON.
const MAX_RESULT_BYTES: usize = 64 * 1024 * 1024;

/// Which results to show.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct ResultsQuery {
    #[serde(default)]
    command_uuid: String,
    host_identifier: Option<String>,
    /// Ours: `true` shows the secrets in it, which is a permission of its own.
    #[serde(default)]
    reveal: String,
    /// Ours: how long to wait until it has ended on all these hosts.
    wait: Option<String>,
    #[serde(flatten)]
    paging: Paging,
}

/// Which commands to list.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct ListQuery {
    host_identifier: Option<String>,
    request_type: Option<String>,
    command_status: Option<String>,
    #[serde(flatten)]
    paging: Paging,
}

/// Where a command stands on one host, in Fleet's words.
#[derive(Debug, Serialize)]
struct Shown {
    host_uuid: String,
    command_uuid: String,
    status: &'static str,
    updated_at: String,
    request_type: String,
    hostname: String,
    /// NanoMDM's name of the channel; ours.
    enrollment_id: String,
    /// How often the device answered `NotNow`; ours.
    not_now_count: i32,
}

/// The same, with the texts.
#[derive(Debug, Serialize)]
struct ShownResult {
    #[serde(flatten)]
    shown: Shown,
    payload: String,
    result: String,
    /// The report as JSON: data in Base64, dates in RFC 3339; of a Windows host `statuses` and `results`; ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    result_json: Option<serde_json::Value>,
}

/// `GET …/commands/results`
pub async fn results(
    admin: Asking,
    query: Query<ResultsQuery>,
    edge: Data<AdminEdge>,
) -> Result<HttpResponse, ApiError> {
    let wait = wait_of(query.wait.as_deref())?;
    let reader = &edge.front.reader;
    let known = command::by_uuid(reader, query.command_uuid.clone()).await?;
    let command = known.ok_or_else(|| ApiError::not_found("No command has this command_uuid"))?;
    reach::command(&admin, &edge, &command.uuid).await?;
    let host_id = host_of(&admin, &edge, query.host_identifier.as_deref()).await?;
    until_ended(&edge, &command, host_id, wait).await?;
    let sight = Sight::of(&admin, &edge, &command.uuid, query.reveal == "true").await?;
    let payload = STANDARD.encode(sight.show(&command.open(reader.vault())?));
    let filter = command_status::Filter { command_uuid: Some(command.uuid), host_id, ..Default::default() };
    let (offset, limit) = query.paging.window(1000)?;
    let rows = command_status::list(reader, filter, offset, limit).await?;
    let texts = command_status::texts(reader, rows.iter().map(|row| row.entry_id).collect()).await?;
    let results: Vec<ShownResult> = rows
        .into_iter()
        .map(|row| {
            let text = texts.iter().find(|text| text.entry_id == row.entry_id);
            let result = text.map(|text| sight.show(&text.result));
            ShownResult {
                shown: Shown::of(row),
                payload: payload.clone(),
                result_json: result.as_ref().and_then(|bytes| as_json(bytes)),
                result: result.map(|bytes| STANDARD.encode(bytes)).unwrap_or_default(),
            }
        })
        .collect();
    Ok(HttpResponse::Ok().json(serde_json::json!({ "results": results })))
}

/// A report as JSON: a property list, or what a Windows device said.
fn as_json(report: &[u8]) -> Option<serde_json::Value> {
    json::from_xml(report, MAX_RESULT_BYTES).or_else(|_| result_json(report).map_err(drop)).ok()
}

/// `GET …/commands`
pub async fn list(admin: Asking, query: Query<ListQuery>, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let ListQuery { host_identifier, request_type, command_status, paging } = query.into_inner();
    let host_id = host_of(&admin, &edge, host_identifier.as_deref()).await?;
    let teams = reach::teams(&admin)?;
    let states = command_status.as_deref().map_or(Ok(Vec::new()), states)?;
    let filter = command_status::Filter { host_id, command_uuid: None, request_type, teams, states };
    let (offset, limit) = paging.window(100)?;
    let rows = command_status::list(&edge.front.reader, filter.clone(), offset, limit).await?;
    let counts = command_status::count_by_state(&edge.front.reader, filter).await?;
    let count: i64 = counts.iter().map(|(_, count)| count).sum();
    let meta = paging.meta(offset, limit, rows.len(), count);
    let results: Vec<Shown> = rows.into_iter().map(Shown::of).collect();
    Ok(HttpResponse::Ok().json(serde_json::json!({ "results": results, "count": count, "meta": meta })))
}

async fn host_of(admin: &Admin, edge: &AdminEdge, identifier: Option<&str>) -> Result<Option<i64>, ApiError> {
    let Some(identifier) = identifier else { return Ok(None) };
    let found = host::by_identifier(&edge.front.reader, identifier.to_owned()).await?;
    let host = found.ok_or_else(|| ApiError::not_found("Invalid Host"))?;
    admin.demand(host.team_id)?;
    Ok(Some(host.id))
}

/// Fleet's groups of states, and the states themselves.
fn states(status: &str) -> Result<Vec<i16>, ApiError> {
    let of =
        |wanted: fn(State) -> bool| State::ALL.into_iter().filter(|state| wanted(*state)).map(State::code).collect();
    match status {
        "pending" => Ok(of(|state| !state.is_terminal())),
        "ran" => Ok(of(|state| state == State::Acknowledged)),
        "failed" => Ok(of(|state| state.is_terminal() && state != State::Acknowledged)),
        name => {
            let named = State::ALL.into_iter().find(|state| status_name(*state) == name);
            let unknown =
                || ApiError::invalid("command_status", "use pending, ran, failed, or a status such as NotNow");
            Ok(vec![named.ok_or_else(unknown)?.code()])
        }
    }
}

/// What Fleet calls a state; the ones that Fleet does not know are ours.
fn status_name(state: State) -> &'static str {
    match state {
        State::Held => "Held",
        State::Queued | State::Sent => "Pending",
        State::NotNow => "NotNow",
        State::Acknowledged => "Acknowledged",
        State::Error => "Error",
        State::FormatError => "CommandFormatError",
        State::Expired => "Expired",
        State::Cancelled => "Cancelled",
        State::Superseded => "Superseded",
        State::Parked => "Parked",
    }
}

impl Shown {
    fn of(row: Status) -> Self {
        Self {
            host_uuid: row.host_uuid.unwrap_or_default(),
            command_uuid: row.command_uuid,
            status: State::from_code(row.state).map_or("Unknown", status_name),
            updated_at: Timestamp::from_millis(row.changed_at).to_rfc3339(),
            request_type: row.request_type,
            hostname: row.computer_name,
            enrollment_id: row.external_id,
            not_now_count: row.not_now_tally,
        }
    }
}
