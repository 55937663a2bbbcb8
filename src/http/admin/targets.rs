//! Which channels a command is for: hosts by UUID (Fleet), or channels by NanoMDM's names.

use std::collections::HashMap;

use actix_web::http::StatusCode;
use entities::{Reader, enrollment, host};
use protocol::apple::channel::ChannelKind;
use protocol::apple::command::Command;
use protocol::apple::request_types;

use crate::http::error::ApiError;

/// Fleet's text for hosts whose management is off.
const MDM_OFF: &str = "Can't run the MDM command because one or more hosts have MDM turned off.";

/// The device channels of hosts, for a command to all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Targets {
    /// The channels' rows.
    pub(super) enrollments: Vec<i64>,
    /// The one platform that Fleet's answer names.
    pub(super) platform: String,
}

/// Finds the hosts' device channels for a command; all of them must be on, of one platform, as Fleet requires, and of a
/// kind that takes the command.
pub(super) async fn by_host_uuids(
    reader: &Reader,
    mut uuids: Vec<String>,
    command: &Command,
) -> Result<Targets, ApiError> {
    uuids.sort_unstable();
    uuids.dedup();
    let hosts = host::list_by_uuids(reader, uuids.clone()).await?;
    if hosts.is_empty() || hosts.len() < uuids.len() {
        let reason = "No hosts targeted. Make sure you provide a valid UUID.";
        return Err(ApiError::because(StatusCode::NOT_FOUND, "host_uuids", reason));
    }
    let platform = platform_of(&hosts)?;
    let channels = enrollment::list_of_hosts(reader, hosts.iter().map(|host| host.id).collect()).await?;
    let by_host: HashMap<i64, &enrollment::Model> =
        channels.iter().filter(|channel| is_on(channel)).map(|channel| (channel.host_id, channel)).collect();
    let found: Option<Vec<_>> = hosts.iter().map(|host| by_host.get(&host.id).copied()).collect();
    let found = found.ok_or_else(|| ApiError::because(StatusCode::PRECONDITION_FAILED, "host_uuids", MDM_OFF))?;
    if found.iter().any(|channel| !takes(channel, command)) {
        let reason = format!("{} is not for this kind of enrollment.", command.request_type());
        return Err(ApiError::invalid("command", reason));
    }
    Ok(Targets { enrollments: found.iter().map(|channel| channel.id).collect(), platform })
}

/// Whether Apple lets a channel of this kind take the command.
pub(super) fn takes(channel: &enrollment::Model, command: &Command) -> bool {
    let facts = request_types::facts(command.request_type());
    ChannelKind::from_code(channel.kind).is_none_or(|kind| facts.allows(kind))
}

fn platform_of(hosts: &[host::Model]) -> Result<String, ApiError> {
    let first = hosts.first().map(|host| host.platform.clone()).unwrap_or_default();
    if hosts.iter().any(|host| host.platform != first) {
        return Err(ApiError::invalid("host_uuids", "All hosts must be on the same platform."));
    }
    Ok(first)
}

/// A device channel, rather than a user's, that takes commands now.
fn is_on(channel: &enrollment::Model) -> bool {
    channel.enabled && ChannelKind::from_code(channel.kind).is_some_and(|kind| !kind.is_user())
}
