//! What a device said about a command, as JSON for people and scripts.

use serde_json::{Map, Value as Json, json};

use super::NAMESPACE;
use super::message::{Item, MessageError, Received};
use crate::windows::xml;

/// Reads what was kept of a command (a `SyncBody` with its statuses and results).
///
/// # Errors
/// The bytes are something else.
pub fn result_json(body: &[u8]) -> Result<Json, MessageError> {
    let said = said(body)?;
    let statuses: Vec<Json> = said.iter().filter_map(status).collect();
    let results: Vec<Json> = said.iter().flat_map(results).collect();
    Ok(json!({ "statuses": statuses, "results": results }))
}

/// Reads what was kept of a command, part by part.
///
/// # Errors
/// The bytes are something else.
pub fn said(body: &[u8]) -> Result<Vec<Received>, MessageError> {
    let document = xml::parse(body, usize::MAX / 2)?;
    if !document.root.is(NAMESPACE, "SyncBody") {
        return Err(MessageError::NotSyncml);
    }
    document.root.children.iter().map(|part| Received::read(&document, part)).collect()
}

fn status(said: &Received) -> Option<Json> {
    let Received::Status(status) = said else { return None };
    let mut one = Map::new();
    one.insert("cmd_ref".into(), status.command_ref.as_str().into());
    one.insert("cmd".into(), status.command.as_str().into());
    one.insert("status".into(), status.code.into());
    if let Some(error) = &status.original_error {
        one.insert("original_error".into(), error.as_str().into());
    }
    if !status.targets.is_empty() {
        one.insert("loc_uris".into(), status.targets.clone().into());
    }
    Some(Json::Object(one))
}

fn results(said: &Received) -> Vec<Json> {
    let Received::Results(results) = said else { return Vec::new() };
    let cmd_ref = &results.command_ref;
    results.items.iter().map(|item| node(cmd_ref, item)).collect()
}

fn node(cmd_ref: &str, item: &Item) -> Json {
    json!({
        "cmd_ref": cmd_ref,
        "loc_uri": item.source.as_deref().or(item.target.as_deref()),
        "format": item.format,
        "type": item.kind,
        "data": item.data,
    })
}
