//! Runs a command: a document in Base64 or our JSON form becomes a `Command`, checked; hosts become channels.

use std::ops::RangeInclusive;
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Payload};
use actors::dispatcher::{Dispatch, Dispatched, Target, TimeToLive};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use entities::command;
use entities::enqueue::{self, After};
use entities::host_search::Filter;
use protocol::apple::command::Command;
use protocol::ids::CommandUuid;
use protocol::time::Timestamp;
use protocol::windows;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::auth::{Admin, Asking};
use super::device_command::DeviceCommand;
use super::idempotent::Answers;
use super::targets::{self, Hosts, Targets};
use super::{command_policy, reach};
use crate::http::DEADLINE;
use crate::http::edge::AdminEdge;
use crate::http::error::ApiError;

/// The largest command, in bytes.
pub(super) const MAX_COMMAND_BYTES: usize = 4 * 1024 * 1024;
/// The largest request: a command in Base64, and host UUIDs.
const MAX_REQUEST_BYTES: usize = 12 * 1024 * 1024;

/// Priorities that may be asked for.
const PRIORITIES: RangeInclusive<i16> = -100..=100;
/// How long a command may be asked to stay worth doing.
const LONGEST_LIFE: Duration = Duration::from_secs(365 * 86_400);

/// A command for hosts, as Fleet's tools send it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Run {
    /// A command document in Base64, with or without padding: a plist for Apple's devices; for Windows SyncML, one or more of
    /// `<Exec>`, `<Get>`, `<Add>`, `<Replace>`, `<Delete>` and `<Atomic>`. Or, ours, an object: for Apple's devices see
    /// [`Command::from_json`], for Windows `{"verb", "target", "format", "data"}`, `{"operations": […]}` or `{"install_msi": {…}}`:
    /// see [`windows::syncml::Command::from_json`].
    command: Json,
    /// The hosts; Fleet's older name is `device_ids`.
    #[serde(alias = "device_ids", default)]
    host_uuids: Vec<String>,
    /// The hosts by their numbers; ours.
    #[serde(default)]
    host_ids: Vec<i64>,
    /// Instead of hosts: all that have this label and take the command; ours.
    label_id: Option<i64>,
    /// Instead of hosts: all of this team that take the command; ours. 0: of no team.
    team_id: Option<i64>,
    /// Higher goes first; ours. 0 is usual.
    #[serde(default)]
    priority: i16,
    /// When it stops being worth doing: RFC 3339, or seconds from now; ours. Without, each type has its own time.
    #[serde(default)]
    expiry: Json,
    /// The command of the same hosts that must have ended before; ours.
    after: Option<String>,
    /// Whether that one must have been acknowledged; ours.
    #[serde(default)]
    after_success: bool,
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
pub(super) struct HeldFor {
    hosts: usize,
    message: String,
}

/// `POST …/commands/run`
pub async fn run(
    admin: Asking,
    request: HttpRequest,
    payload: Payload,
    edge: Data<AdminEdge>,
) -> Result<HttpResponse, ApiError> {
    let body = crate::http::read_admin(&edge.budget, payload, MAX_REQUEST_BYTES).await?;
    let answers = Answers::of(&request, &edge, &admin.name, &body)?;
    if let Some(answer) = answers.given().await? {
        return Ok(answer);
    }
    let mut run: Run = serde_json::from_slice(&body).map_err(|error| ApiError::bad_request(error.to_string()))?;
    let command = read_command(run.command.take())?;
    let targets = run.targets(&admin, &edge, &command).await?;
    let ran = |held| {
        let (command_uuid, request_type) = (command.uuid().as_str(), command.request_type());
        let hosts = run.label_id.or(run.team_id).map(|_| targets.channels.len());
        let ran = Ran { command_uuid, request_type, platform: &targets.platform, hosts, held };
        serde_json::to_vec(&ran).map_err(|error| ApiError::bad_request(error.to_string()))
    };
    let (queued, held) = (ran(None)?, ran(Some(HeldFor::hosts(targets.channels.len(), &command)))?);
    let to_keep = answers.to_keep(&queued, &held);
    let mut dispatch = dispatch(&admin, &edge, &command, run.priority, targets.channels, to_keep).await?;
    run.order(&edge, &mut dispatch).await?;
    match edge.front.dispatcher.ask(dispatch, DEADLINE).await {
        Ok(Dispatched::Queued) => Ok(HttpResponse::Ok().content_type("application/json").body(queued)),
        Ok(Dispatched::Held) => Ok(HttpResponse::Accepted().content_type("application/json").body(held)),
        // The same request may have come twice at once: then the other one's answer is ours.
        Err(refusal) => answers.given().await?.ok_or_else(|| refusal.into()),
    }
}

/// A command as its row says, if the policy lets the admin send it: every door that commands come by leads through here.
///
/// # Errors
/// 403: the policy says otherwise.
pub(super) async fn dispatch(
    admin: &Admin,
    edge: &AdminEdge,
    command: &DeviceCommand,
    priority: i16,
    channels: Vec<Target>,
    answers: Option<enqueue::Answers>,
) -> Result<Dispatch, ApiError> {
    command_policy::demand(admin, edge, command, channels.iter().map(|target| target.host)).await?;
    Ok(Dispatch {
        uuid: command.uuid().clone(),
        request_type: command.request_type().to_owned(),
        body: command.body().into(),
        asked_by: admin.name.clone(),
        priority,
        no_blind_resend: command.no_blind_resend(),
        time_to_live: TimeToLive::Usual(command.time_to_live()),
        after: None,
        push: true,
        channels,
        answers,
        action: None,
    })
}

impl Run {
    /// Puts in when the command goes, and until when.
    async fn order(&self, edge: &AdminEdge, dispatch: &mut Dispatch) -> Result<(), ApiError> {
        if !PRIORITIES.contains(&self.priority) {
            let (least, most) = (PRIORITIES.start(), PRIORITIES.end());
            return Err(ApiError::invalid("priority", format!("must be from {least} to {most}")));
        }
        if let Some(moment) = expiry(&self.expiry, edge.front.clock.now())? {
            dispatch.time_to_live = TimeToLive::Until(moment);
        }
        let Some(uuid) = self.after.clone() else {
            let alone = ApiError::invalid("after_success", "says nothing without after");
            return if self.after_success { Err(alone) } else { Ok(()) };
        };
        if command::by_uuid(&edge.front.reader, uuid.clone()).await?.is_none() {
            return Err(ApiError::invalid("after", "No command has this command_uuid"));
        }
        dispatch.after = Some(After { uuid, needs_success: self.after_success });
        Ok(())
    }

    /// The channels of the hosts that the request means: named ones, or those of a label or team.
    async fn targets(&mut self, admin: &Admin, edge: &AdminEdge, command: &DeviceCommand) -> Result<Targets, ApiError> {
        let (uuids, ids) = (std::mem::take(&mut self.host_uuids), std::mem::take(&mut self.host_ids));
        let group = self.label_id.or(self.team_id).is_some();
        match (uuids.is_empty(), ids.is_empty(), group) {
            (_, true, false) => targets::by_hosts(admin, &edge.front.reader, Hosts::Uuids(uuids), command).await,
            (true, false, false) => targets::by_hosts(admin, &edge.front.reader, Hosts::Ids(ids), command).await,
            (true, true, true) => {
                let group = Filter { label: self.label_id, team: self.team_id, ..Filter::default() };
                let group = reach::within(admin, group)?;
                targets::by_filter(&edge.front.reader, group, command).await
            }
            _ => Err(ApiError::invalid("host_uuids", "use one of host_uuids, host_ids, and label_id with team_id")),
        }
    }
}

/// Reads the moment at which a command stops being worth doing.
fn expiry(asked: &Json, now: Timestamp) -> Result<Option<Timestamp>, ApiError> {
    let moment = match asked {
        Json::Null => return Ok(None),
        Json::String(text) => Timestamp::parse_rfc3339(text),
        Json::Number(seconds) => seconds.as_u64().map(|seconds| now.plus(Duration::from_secs(seconds))),
        _ => None,
    };
    let moment = moment.filter(|moment| *moment > now && moment.since(now) <= LONGEST_LIFE);
    let days = LONGEST_LIFE.as_secs() / 86_400;
    let invalid = || ApiError::invalid("expiry", format!("must be RFC 3339 or seconds, in the next {days} days"));
    moment.map(Some).ok_or_else(invalid)
}

/// Reads a command in any of its forms, and checks its arguments.
fn read_command(form: Json) -> Result<DeviceCommand, ApiError> {
    let fresh = CommandUuid::from(uuid::Uuid::new_v4());
    let command = match form {
        Json::String(text) => read_document(&text, fresh)?,
        Json::Object(form) if windows::syncml::Command::is_form(&form) => {
            windows::syncml::Command::from_json(form, fresh).map_err(|error| invalid(&error))?.into()
        }
        Json::Object(form) => Command::from_json(form, fresh).map_err(|error| invalid(&error))?.into(),
        _ => return Err(ApiError::invalid("command", "must be a document in Base64, or an object; see docs/API.md")),
    };
    if command.body().len() > MAX_COMMAND_BYTES {
        return Err(ApiError::invalid("command", format!("is longer than {MAX_COMMAND_BYTES} bytes")));
    }
    if let DeviceCommand::Apple(command) = &command {
        command.check().map_err(|error| invalid(&error))?;
    }
    Ok(command)
}

fn invalid(error: &dyn std::error::Error) -> ApiError {
    ApiError::invalid("command", error.to_string())
}

/// Reads a command document in Base64: a property list for Apple's devices, or else SyncML for Windows. The statuses are Fleet's.
fn read_document(text: &str, fresh: CommandUuid) -> Result<DeviceCommand, ApiError> {
    let text = text.trim();
    let decoded = STANDARD.decode(text).or_else(|_| STANDARD_NO_PAD.decode(text.trim_end_matches('=')));
    let document = decoded.map_err(|_| ApiError::bad_request("unable to decode base64 command"))?;
    if windows::syncml::is_fragment(&document) {
        let command = windows::syncml::Command::parse(document.trim_ascii(), MAX_COMMAND_BYTES, fresh);
        return Ok(command.map_err(|error| invalid(&error))?.into());
    }
    let command = Command::parse(&document, MAX_COMMAND_BYTES, fresh).map_err(|error| {
        let reason = format!("unable to decode plist command: {error}");
        ApiError::because(StatusCode::UNSUPPORTED_MEDIA_TYPE, "command", reason)
    })?;
    Ok(command.into())
}

impl HeldFor {
    pub(super) fn hosts(hosts: usize, command: &DeviceCommand) -> Self {
        let message = format!(
            "Held: too many hosts for {} within an hour. Another admin has to approve it: \
             POST /api/v1/fleet/commands/{}/approve with {{\"hosts\": {hosts}}}",
            command.request_type(),
            command.uuid(),
        );
        Self { hosts, message }
    }
}
