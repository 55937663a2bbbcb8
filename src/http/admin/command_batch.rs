//! A command as a whole: what it is, and on how many hosts it stands where.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path, Query};
use entities::{command, command_count};
use protocol::queue::State;
use protocol::time::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, json};

use super::auth::Asking;
use super::reach;
use super::waiting::{until_ended, wait_of};
use crate::http::edge::AdminEdge;
use crate::http::error::ApiError;

/// How long to wait.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct BatchQuery {
    wait: Option<String>,
}

/// `GET …/commands/{uuid}`
pub async fn status(
    admin: Asking,
    path: Path<(String, String)>,
    query: Query<BatchQuery>,
    edge: Data<AdminEdge>,
) -> Result<HttpResponse, ApiError> {
    let wait = wait_of(query.wait.as_deref())?;
    let reader = &edge.front.reader;
    let known = command::by_uuid(reader, path.into_inner().1).await?;
    let command = known.ok_or_else(|| ApiError::not_found("No command has this command_uuid"))?;
    reach::command(&admin, &edge, &command.uuid).await?;
    until_ended(&edge, &command, None, wait).await?;
    let counted = command_count::by_state(reader, command.id).await?;
    let count = |state: State| counted.iter().find(|(code, _)| *code == state.code()).map_or(0, |(_, count)| *count);
    let status: Map<String, serde_json::Value> =
        State::ALL.into_iter().map(|state| (state.as_str().to_owned(), count(state).into())).collect();
    let pending: i64 = State::ALL.into_iter().filter(|state| !state.is_terminal()).map(count).sum();
    Ok(HttpResponse::Ok().json(json!({
        "command_uuid": command.uuid,
        "request_type": command.request_type,
        "asked_by": command.created_by,
        "created_at": Timestamp::from_millis(command.created_at).to_rfc3339(),
        "hosts": counted.iter().map(|(_, count)| count).sum::<i64>(),
        "pending": pending,
        "status": status,
    })))
}
