//! Which channels a command is for: hosts by UUID (Fleet), or channels by NanoMDM's names.

use std::collections::HashSet;

use actix_web::http::StatusCode;
use actors::dispatcher::Target;
use entities::host_search::Filter;
use entities::{Reader, target};
use protocol::apple::channel::ChannelKind;
use protocol::ids::HostId;

use super::auth::Admin;
use super::device_command::DeviceCommand;
use crate::http::error::ApiError;

/// Fleet's text for hosts whose management is off.
const MDM_OFF: &str = "Can't run the MDM command because one or more hosts have MDM turned off.";

/// The device channels of hosts, for a command to all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Targets {
    /// The channels.
    pub(super) channels: Vec<Target>,
    /// The one platform that Fleet's answer names.
    pub(super) platform: String,
}

/// Hosts that a request names.
pub(super) enum Hosts {
    /// By UUID.
    Uuids(Vec<String>),
    /// By number; ours.
    Ids(Vec<i64>),
}

/// Finds the hosts' device channels for a command; all of them must be on, of one platform, as Fleet requires, and of a
/// kind that takes the command.
pub(super) async fn by_hosts(
    admin: &Admin,
    reader: &Reader,
    hosts: Hosts,
    command: &DeviceCommand,
) -> Result<Targets, ApiError> {
    let (name, wanted, found) = match hosts {
        Hosts::Uuids(uuids) => {
            let wanted = uuids.iter().collect::<HashSet<_>>().len();
            ("host_uuids", wanted, target::of_uuids(reader, uuids).await?)
        }
        Hosts::Ids(ids) => {
            let wanted = ids.iter().collect::<HashSet<_>>().len();
            ("host_ids", wanted, target::of_ids(reader, ids).await?)
        }
    };
    let known: HashSet<i64> = found.iter().map(|one| one.host_id).collect();
    if known.is_empty() || known.len() < wanted {
        let reason = "No hosts targeted. Make sure you provide a valid UUID.";
        return Err(ApiError::because(StatusCode::NOT_FOUND, name, reason));
    }
    found.iter().try_for_each(|one| admin.demand(one.team_id))?;
    let platform = found.first().map(|one| one.platform.clone()).unwrap_or_default();
    if found.iter().any(|one| one.platform != platform) {
        return Err(ApiError::invalid(name, "All hosts must be on the same platform."));
    }
    let mut channels: Vec<(Target, i16)> = found.iter().filter_map(device_channel).collect();
    channels.dedup_by_key(|(target, _)| target.host);
    if channels.len() < known.len() {
        return Err(ApiError::because(StatusCode::PRECONDITION_FAILED, name, MDM_OFF));
    }
    if channels.iter().any(|(_, kind)| !command.is_for(*kind)) {
        let reason = format!("{} is not for this kind of enrollment.", command.request_type());
        return Err(ApiError::invalid("command", reason));
    }
    Ok(Targets { channels: channels.into_iter().map(|(target, _)| target).collect(), platform })
}

/// The device channels of all hosts that a filter lets through, that are on, and that take the command; one at least.
pub(super) async fn by_filter(reader: &Reader, filter: Filter, command: &DeviceCommand) -> Result<Targets, ApiError> {
    let found = target::of_filter(reader, filter).await?;
    let mut channels: Vec<(Target, &str)> = Vec::with_capacity(found.len());
    for one in &found {
        if let Some((target, _)) = device_channel(one).filter(|(_, kind)| command.is_for(*kind)) {
            channels.push((target, &one.platform));
        }
    }
    channels.dedup_by_key(|(target, _)| target.host);
    let Some((_, first)) = channels.first() else {
        let reason = format!("no host of this label or team is on and takes {}", command.request_type());
        return Err(ApiError::invalid("label_id", reason));
    };
    // Fleet's answer names one platform; there may be several.
    let one = channels.iter().all(|(_, platform)| platform == first);
    let platform = if one { (*first).to_owned() } else { String::new() };
    Ok(Targets { channels: channels.into_iter().map(|(target, _)| target).collect(), platform })
}

/// A device channel, rather than a user's, that takes commands now, with its kind.
fn device_channel(of: &target::Target) -> Option<(Target, i16)> {
    let (enrollment, kind) = of.enrollment_id.zip(of.kind).filter(|_| of.enabled == Some(true))?;
    let of_device = ChannelKind::from_code(kind).is_some_and(|kind| !kind.is_user());
    of_device.then_some((Target { host: HostId(of.host_id), enrollment }, kind))
}
