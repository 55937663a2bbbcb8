//! Commands: run one, see where it stands, read what came back.

use actix_web::HttpRequest;
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Payload, Query};
use actors::dispatcher::{Dispatch, Dispatched, Target};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use entities::command_status::{self, Status};
use entities::host_search::Filter;
use entities::{command, enqueue, host, idempotency};
use openssl::sha::sha256;
use protocol::apple::command::Command;
use protocol::apple::{json, request_types};
use protocol::ids::CommandUuid;
use protocol::queue::State;
use protocol::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::auth::{Admin, Asking};
use super::{reach, targets};
use crate::http::DEADLINE;
use crate::http::edge::AdminEdge;
use crate::http::error::ApiError;
use crate::http::paging::Paging;

/// The largest command, in bytes.
pub(super) const MAX_COMMAND_BYTES: usize = 4 * 1024 * 1024;
/// The largest request: a command in Base64, and host UUIDs.
const MAX_REQUEST_BYTES: usize = 12 * 1024 * 1024;
/// The largest report that is shown as JSON.
const MAX_RESULT_BYTES: usize = 64 * 1024 * 1024;

/// A command for hosts, as Fleet's tools send it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Run {
    /// A command document (plist) in Base64, with or without padding.
    command: String,
    /// The hosts; Fleet's older name is `device_ids`.
    #[serde(alias = "device_ids", default)]
    host_uuids: Vec<String>,
    /// Instead of hosts: all that have this label and take the command; ours.
    label_id: Option<i64>,
    /// Instead of hosts: all of this team that take the command; ours. 0: of no team.
    team_id: Option<i64>,
    /// Higher goes first; ours.
    #[serde(default)]
    priority: i16,
}

/// What was run.
#[derive(Debug, Serialize)]
struct Ran<'a> {
    command_uuid: &'a str,
    request_type: &'a str,
    platform: &'a str,
    /// Ours, for a command to a label or a team: how many hosts get it.
    #[serde(skip_serializing_if = "Option::is_none")]
    hosts: Option<usize>,
    /// Ours, for a dangerous command that waits for a second admin: for how many hosts, and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    held: Option<HeldFor>,
}

/// What a held command waits for.
#[derive(Clone, Debug, Serialize)]
struct HeldFor {
    hosts: usize,
    message: String,
}

/// Which results to show.
#[derive(Debug, Deserialize)]
pub struct ResultsQuery {
    #[serde(default)]
    command_uuid: String,
    host_identifier: Option<String>,
    #[serde(flatten)]
    paging: Paging,
}

/// Which commands to list.
#[derive(Debug, Deserialize)]
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
    /// The report as JSON: data in Base64, dates in RFC 3339; ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    result_json: Option<serde_json::Value>,
}

/// `POST …/commands/run`
pub async fn run(
    admin: Asking,
    request: HttpRequest,
    payload: Payload,
    edge: Data<AdminEdge>,
) -> Result<HttpResponse, ApiError> {
    let body = crate::http::read_admin(&edge.budget, payload, MAX_REQUEST_BYTES).await?;
    let answers = Answers { edge: &edge, admin: &admin.name, key: idempotency_key(&request)?, request_hash: &body };
    if let Some(answer) = answers.given().await? {
        return Ok(answer);
    }
    let run: Run = serde_json::from_slice(&body).map_err(|error| ApiError::bad_request(error.to_string()))?;
    let command = read_command(&run.command)?;
    let group = reach::within(&admin, Filter { label: run.label_id, team: run.team_id, ..Filter::default() })?;
    let targets = match (run.host_uuids, run.label_id.or(run.team_id)) {
        (uuids, None) => targets::by_host_uuids(&admin, &edge.front.reader, uuids, &command).await?,
        (uuids, Some(_)) if uuids.is_empty() => targets::by_filter(&edge.front.reader, group, &command).await?,
        _ => return Err(ApiError::invalid("host_uuids", "name hosts, or a label or team; not both")),
    };
    let ran = |held| {
        let (command_uuid, request_type) = (command.uuid().as_str(), command.request_type());
        let hosts = run.label_id.or(run.team_id).map(|_| targets.channels.len());
        let ran = Ran { command_uuid, request_type, platform: &targets.platform, hosts, held };
        serde_json::to_vec(&ran).map_err(|error| ApiError::bad_request(error.to_string()))
    };
    let (queued, held) = (ran(None)?, ran(Some(HeldFor::hosts(targets.channels.len(), &command)))?);
    let to_keep = answers.to_keep(&queued, &held);
    let dispatch = dispatch(&command, run.priority, targets.channels, &admin.name, to_keep);
    match edge.front.dispatcher.ask(dispatch, DEADLINE).await {
        Ok(Dispatched::Queued) => Ok(HttpResponse::Ok().content_type("application/json").body(queued)),
        Ok(Dispatched::Held) => Ok(HttpResponse::Accepted().content_type("application/json").body(held)),
        // The same request may have come twice at once: then the other one's answer is ours.
        Err(refusal) => answers.given().await?.ok_or_else(|| refusal.into()),
    }
}

/// `GET …/commands/results`
pub async fn results(
    admin: Asking,
    query: Query<ResultsQuery>,
    edge: Data<AdminEdge>,
) -> Result<HttpResponse, ApiError> {
    let reader = &edge.front.reader;
    let known = command::by_uuid(reader, query.command_uuid.clone()).await?;
    let command = known.ok_or_else(|| ApiError::not_found("No command has this command_uuid"))?;
    reach::command(&admin, &edge, &command.uuid).await?;
    let host_id = host_of(&admin, &edge, query.host_identifier.as_deref()).await?;
    let payload = STANDARD.encode(command.open(reader.vault())?);
    let filter = command_status::Filter { command_uuid: Some(command.uuid), host_id, ..Default::default() };
    let (offset, limit) = query.paging.window(1000)?;
    let rows = command_status::list(reader, filter, offset, limit).await?;
    let texts = command_status::texts(reader, rows.iter().map(|row| row.entry_id).collect()).await?;
    let results: Vec<ShownResult> = rows
        .into_iter()
        .map(|row| {
            let text = texts.iter().find(|text| text.entry_id == row.entry_id);
            let result = text.map(|text| text.result.as_slice());
            ShownResult {
                shown: Shown::of(row),
                payload: payload.clone(),
                result: result.map(|bytes| STANDARD.encode(bytes)).unwrap_or_default(),
                result_json: result.and_then(|bytes| json::from_xml(bytes, MAX_RESULT_BYTES).ok()),
            }
        })
        .collect();
    Ok(HttpResponse::Ok().json(serde_json::json!({ "results": results })))
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

/// A command as its row says.
pub(super) fn dispatch(
    command: &Command,
    priority: i16,
    channels: Vec<Target>,
    asked_by: &str,
    answers: Option<enqueue::Answers>,
) -> Dispatch {
    let facts = request_types::facts(command.request_type());
    Dispatch {
        uuid: command.uuid().clone(),
        request_type: command.request_type().to_owned(),
        body: command.to_xml().into(),
        asked_by: asked_by.to_owned(),
        priority,
        no_blind_resend: facts.no_blind_resend,
        time_to_live: facts.time_to_live,
        push: true,
        channels,
        answers,
    }
}

fn read_command(text: &str) -> Result<Command, ApiError> {
    let text = text.trim();
    let decoded = STANDARD.decode(text).or_else(|_| STANDARD_NO_PAD.decode(text.trim_end_matches('=')));
    let document = decoded.map_err(|_| ApiError::bad_request("unable to decode base64 command"))?;
    let unreadable = |error: String| {
        let reason = format!("unable to decode plist command: {error}");
        ApiError::because(StatusCode::UNSUPPORTED_MEDIA_TYPE, "command", reason)
    };
    let fresh = CommandUuid::from(uuid::Uuid::new_v4());
    let command = Command::parse(&document, MAX_COMMAND_BYTES, fresh).map_err(|error| unreadable(error.to_string()))?;
    match command.missing_arguments().as_slice() {
        [] => Ok(command),
        missing => {
            let reason = format!("{} needs {}", command.request_type(), missing.join(", "));
            Err(ApiError::invalid("command", reason))
        }
    }
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

impl HeldFor {
    fn hosts(hosts: usize, command: &Command) -> Self {
        let message = format!(
            "Held: too many hosts for {} within an hour. Another admin has to approve it: \
             POST /api/v1/fleet/commands/{}/approve with {{\"hosts\": {hosts}}}",
            command.request_type(),
            command.uuid(),
        );
        Self { hosts, message }
    }
}

/// The answer to a request that may be sent again under the same key.
struct Answers<'a> {
    edge: &'a AdminEdge,
    admin: &'a str,
    key: Option<String>,
    request_hash: &'a [u8],
}

impl Answers<'_> {
    /// The answer that was given under this key, if the request is the same.
    async fn given(&self) -> Result<Option<HttpResponse>, ApiError> {
        let Some(key) = &self.key else { return Ok(None) };
        let given = idempotency::answer(&self.edge.front.reader, self.admin.to_owned(), key.clone()).await?;
        let Some(given) = given else { return Ok(None) };
        if given.request_hash != sha256(self.request_hash) {
            return Err(ApiError::invalid("Idempotency-Key", "this key was used for another request"));
        }
        let status = u16::try_from(given.status).ok().and_then(|code| StatusCode::from_u16(code).ok());
        let mut response = HttpResponse::build(status.unwrap_or(StatusCode::OK));
        Ok(Some(response.content_type("application/json").body(given.response)))
    }

    /// The rows of which one becomes the answer for the key.
    fn to_keep(&self, queued: &[u8], held: &[u8]) -> Option<enqueue::Answers> {
        let key = self.key.clone()?;
        let row = |status, response: &[u8]| idempotency::Answer {
            principal: self.admin.to_owned(),
            key: key.clone(),
            request_hash: sha256(self.request_hash),
            status,
            response: response.to_vec(),
            created_at: self.edge.front.clock.now().millis(),
        };
        Some(enqueue::Answers { queued: row(200, queued), held: row(202, held) })
    }
}

fn idempotency_key(request: &HttpRequest) -> Result<Option<String>, ApiError> {
    let Some(value) = request.headers().get("idempotency-key") else { return Ok(None) };
    let key = value.to_str().ok().filter(|key| !key.is_empty() && key.len() <= 255);
    key.map(|key| Some(key.to_owned()))
        .ok_or_else(|| ApiError::invalid("Idempotency-Key", "1 to 255 printable characters"))
}
