//! Undoing and holding: take a command back; agree or disagree to a dangerous one for many hosts.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Path, Payload};
use actors::brakes::{Cancel, Decide};
use entities::cancel::Cancelled;
use entities::held_command::{self, Shown, Verdict};
use entities::host;
use protocol::ids::{CommandUuid, HostId};
use protocol::time::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::auth::Asking;
use super::reach;
use crate::http::DEADLINE;
use crate::http::edge::AdminEdge;
use crate::http::error::ApiError;

/// The largest request: host UUIDs.
const MAX_REQUEST_BYTES: usize = 8 * 1024 * 1024;
/// Held commands that are shown at most.
const MOST: u64 = 1000;

/// From which hosts a command is taken back.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::http) struct CancelBody {
    /// Absent for all.
    host_uuids: Option<Vec<String>>,
}

/// For how many hosts an admin believes the command to be.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct ApproveBody {
    hosts: i64,
}

/// A held command.
#[derive(Debug, Serialize)]
struct Held {
    command_uuid: String,
    request_type: String,
    hosts: i64,
    status: &'static str,
    asked_by: String,
    asked_at: String,
    approve_until: String,
    decided_by: Option<String>,
    decided_at: Option<String>,
}

/// `POST …/commands/{uuid}/cancel`
pub async fn cancel(
    admin: Asking,
    uuid: Path<Named>,
    payload: Payload,
    edge: Data<AdminEdge>,
) -> Result<HttpResponse, ApiError> {
    let body = crate::http::read_admin(&edge.budget, payload, MAX_REQUEST_BYTES).await?;
    let body: CancelBody = if body.is_empty() { CancelBody::default() } else { parse(&body)? };
    let uuid: CommandUuid = uuid.into_inner().parse()?;
    let hosts = hosts_of(&edge, body.host_uuids).await?;
    match hosts.as_slice() {
        [] => reach::command(&admin, &edge, uuid.as_str()).await?,
        some => reach::hosts(&admin, &edge, &some.iter().map(|host| host.0).collect::<Vec<_>>()).await?,
    }
    let cancel = Cancel { uuid: uuid.clone(), hosts, by: admin.name.clone() };
    let done = edge.front.brakes.ask(cancel, DEADLINE).await?.ok_or_else(unknown)?;
    let Cancelled { entries, sent, ended } = done;
    let message = match sent {
        0 => "Nothing of it is on its way any more.".to_owned(),
        sent => format!("{sent} of its hosts may have it already: what was sent cannot be taken back."),
    };
    Ok(HttpResponse::Ok().json(json!({
        "command_uuid": uuid.as_str(),
        "cancelled": entries.len(),
        "sent": sent,
        "ended": ended,
        "message": message,
    })))
}

/// `POST …/commands/{uuid}/approve`
pub async fn approve(
    admin: Asking,
    uuid: Path<Named>,
    payload: Payload,
    edge: Data<AdminEdge>,
) -> Result<HttpResponse, ApiError> {
    let body = crate::http::read_admin(&edge.budget, payload, MAX_REQUEST_BYTES).await?;
    let ApproveBody { hosts } = parse(&body)?;
    let uuid: CommandUuid = uuid.into_inner().parse()?;
    reach::command(&admin, &edge, uuid.as_str()).await?;
    let word = Decide { uuid: uuid.clone(), by: admin.name.clone(), agrees_for: Some(hosts) };
    let hosts = counts(edge.front.brakes.ask(word, DEADLINE).await?)?;
    let pace = edge.front.brakes_config.release_per_minute;
    tracing::warn!(hosts, by = admin.name, "a held command is approved: {uuid}");
    let message = format!("It goes out to {pace} hosts a minute at most; until then it can be cancelled.");
    let answer = json!({
        "command_uuid": uuid.as_str(),
        "hosts": hosts,
        "hosts_per_minute": pace,
        "message": message,
    });
    Ok(HttpResponse::Ok().json(answer))
}

/// `POST …/commands/{uuid}/reject`
pub async fn reject(admin: Asking, uuid: Path<Named>, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let uuid: CommandUuid = uuid.into_inner().parse()?;
    reach::command(&admin, &edge, uuid.as_str()).await?;
    let word = Decide { uuid: uuid.clone(), by: admin.name.clone(), agrees_for: None };
    let hosts = counts(edge.front.brakes.ask(word, DEADLINE).await?)?;
    Ok(HttpResponse::Ok().json(json!({ "command_uuid": uuid.as_str(), "cancelled": hosts })))
}

/// `GET …/commands/held`: what waits for a second admin, or goes out now.
pub async fn held(admin: Asking, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let states = vec![held_command::WAITING, held_command::APPROVED];
    let rows = held_command::list(&edge.front.reader, states, reach::teams(&admin)?, MOST).await?;
    let held: Vec<Held> = rows.into_iter().map(Held::of).collect();
    Ok(HttpResponse::Ok().json(json!({ "held": held })))
}

/// The command that a path names.
#[derive(Debug, Deserialize)]
pub struct Named {
    uuid: String,
}

impl Named {
    fn parse(self) -> Result<CommandUuid, ApiError> {
        CommandUuid::parse(&self.uuid).ok_or_else(unknown)
    }
}

impl Held {
    fn of(row: Shown) -> Self {
        let text = |millis: i64| Timestamp::from_millis(millis).to_rfc3339();
        Self {
            command_uuid: row.command_uuid,
            request_type: row.request_type,
            hosts: row.hosts,
            status: if row.state == held_command::WAITING { "waiting" } else { "approved" },
            asked_by: row.asked_by,
            asked_at: text(row.created_at),
            approve_until: text(row.waits_until),
            decided_by: row.decided_by,
            decided_at: row.decided_at.map(text),
        }
    }
}

fn counts(verdict: Verdict) -> Result<i64, ApiError> {
    match verdict {
        Verdict::Counts(hosts) => Ok(hosts),
        Verdict::NotHeld => Err(ApiError::not_found("No command with this command_uuid waits for approval")),
        Verdict::Decided(state) => Err(ApiError::conflict(match state {
            held_command::REJECTED => "It was rejected or cancelled before: run the command again if it is needed",
            held_command::LAPSED => "Nobody approved it in time: run the command again if it is needed",
            _ => "It was approved before: cancel it to stop what has not gone out",
        })),
        Verdict::OwnCommand => {
            let reason = "You asked for this command yourself: another admin has to approve it, with their own token";
            Err(ApiError::because(StatusCode::FORBIDDEN, "base", reason))
        }
        Verdict::OtherCount(hosts) => {
            let reason = format!(
                "This command is for {hosts} hosts: look again, and send {{\"hosts\": {hosts}}} if it is meant"
            );
            Err(ApiError::invalid("hosts", reason))
        }
    }
}

/// The rows of hosts that a request names; none for all of them.
async fn hosts_of(edge: &AdminEdge, uuids: Option<Vec<String>>) -> Result<Vec<HostId>, ApiError> {
    let Some(mut uuids) = uuids else { return Ok(Vec::new()) };
    uuids.sort_unstable();
    uuids.dedup();
    let wanted = uuids.len();
    let hosts = host::list_by_uuids(&edge.front.reader, uuids).await?;
    if hosts.is_empty() || hosts.len() < wanted {
        let reason = "No hosts targeted. Make sure you provide a valid UUID, or leave host_uuids out for all hosts.";
        return Err(ApiError::because(StatusCode::NOT_FOUND, "host_uuids", reason));
    }
    Ok(hosts.iter().map(|host| HostId(host.id)).collect())
}

fn parse<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(body).map_err(|error| ApiError::bad_request(error.to_string()))
}

fn unknown() -> ApiError {
    ApiError::not_found("No command has this command_uuid")
}
