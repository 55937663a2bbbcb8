//! Hosts that shall not be managed, or not be there, any more.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path, Payload};
use actors::authority::enroll::PROFILE_IDENTIFIER;
use actors::dispatcher::Dispatched;
use actors::steward::{DeleteHosts, Walked};
use entities::movers::Movers;
use protocol::apple::command::Command;
use protocol::ids::CommandUuid;
use protocol::windows;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::auth::Asking;
use super::command_run::dispatch;
use super::device_command::DeviceCommand;
use super::host_filter::Filters;
use super::hosts::{MAX_IDS, not_found};
use super::{reach, targets};
use crate::http::edge::AdminEdge;
use crate::http::error::ApiError;
use crate::http::{DEADLINE, read_json};

/// Hosts by their numbers, or by what they have in common.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct DeleteMany {
    #[serde(default)]
    ids: Vec<i64>,
    filters: Option<Filters>,
}

/// `DELETE …/hosts/{id}`
pub async fn delete(admin: Asking, id: Path<(String, i64)>, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let host = reach::host(&admin, &edge, id.into_inner().1).await?;
    match delete_all(&edge, Movers::Hosts(vec![host.id]), &admin.name).await? {
        Walked::Done(0) => Err(not_found()),
        walked => Ok(answer_of(walked)),
    }
}

/// `POST …/hosts/delete`
pub async fn delete_many(admin: Asking, payload: Payload, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let whom = match read_json(&edge.budget, payload).await? {
        DeleteMany { ids, filters: None } if !ids.is_empty() && ids.len() <= MAX_IDS => {
            reach::hosts(&admin, &edge, &ids).await?;
            Movers::Hosts(ids)
        }
        DeleteMany { ids, filters: Some(filters) } if ids.is_empty() => reach::movers(&admin, &edge, filters)?,
        _ => return Err(ApiError::invalid("ids", format!("name 1 to {MAX_IDS} ids, or filters; not both"))),
    };
    Ok(answer_of(delete_all(&edge, whom, &admin.name).await?))
}

/// 200, or 202 where it goes on after the answer, as Fleet's does.
pub(super) fn answer_of(walked: Walked) -> HttpResponse {
    match walked {
        Walked::Done(_) => HttpResponse::Ok().json(json!({})),
        Walked::GoesOn => HttpResponse::Accepted().json(json!({})),
    }
}

/// `DELETE …/hosts/{id}/mdm`: takes the enrollment profile away, and the device checks out then; a Windows host is told to end
/// its management, which is off as soon as it was.
pub async fn unenroll(admin: Asking, id: Path<(String, i64)>, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let host = reach::host(&admin, &edge, id.into_inner().1).await?;
    let uuid = CommandUuid::from(uuid::Uuid::new_v4());
    let command: DeviceCommand = if host.platform == "windows" {
        let command = windows::syncml::Command::unenroll(uuid);
        command.map_err(|error| ApiError::bad_request(error.to_string()))?.into()
    } else {
        Command::remove_profile(uuid, PROFILE_IDENTIFIER).into()
    };
    let hosts = targets::Hosts::Ids(vec![host.id]);
    let targets = targets::by_hosts(&admin, &edge.front.reader, hosts, &command).await?;
    let dispatch = dispatch(&admin, &edge, &command, 0, targets.channels, None).await?;
    match edge.front.dispatcher.ask(dispatch, DEADLINE).await? {
        Dispatched::Queued => Ok(HttpResponse::NoContent().finish()),
        Dispatched::Held => {
            let command_uuid = command.uuid().as_str();
            let message = "Too many hosts lost their profile within an hour: another admin has to approve it";
            Ok(HttpResponse::Accepted().json(json!({ "command_uuid": command_uuid, "message": message })))
        }
    }
}

async fn delete_all(edge: &AdminEdge, whom: Movers, by: &str) -> Result<Walked, ApiError> {
    Ok(edge.front.steward.ask(DeleteHosts { whom, asked_by: by.to_owned() }, DEADLINE).await?)
}
