//! Hosts whose management is dead although they live: an agent speaks, and MDM does not.
//!
//! A device that has nothing to do may be silent for weeks. What counts is work that waits while the host is up, and what APNs
//! says: a token that is dead belongs to a device that removed its profile, or was erased.

use std::collections::HashMap;
use std::time::Duration;

use entities::{Reader, enrollment, host, queue_entry};
use protocol::apple::channel::ChannelKind;

use crate::http::error::ApiError;

/// How long a host may be up and leave its work lying.
const PATIENCE: Duration = Duration::from_secs(3600);

/// Since when the management of these hosts is dead, by host.
pub(super) async fn since(
    reader: &Reader,
    hosts: &[(&host::Model, &[enrollment::Model])],
) -> Result<HashMap<i64, i64>, ApiError> {
    let managed = || {
        let on = hosts
            .iter()
            .filter(|(host, _)| [host::ON_MANUAL, host::ON_AUTOMATIC, host::ON_PERSONAL].contains(&host.mdm_status));
        on.filter_map(|(host, channels)| Some((*host, device(channels)?)))
    };
    let suspects: Vec<i64> = managed().filter(|(host, _)| is_suspect(host)).map(|(_, channel)| channel.id).collect();
    let waiting = queue_entry::waiting_since(reader, suspects).await?;
    Ok(managed()
        .filter_map(|(host, channel)| Some((host.id, of(host, channel, waiting.get(&channel.id).copied())?)))
        .collect())
}

/// The channel by which a device is managed.
pub(super) fn device(channels: &[enrollment::Model]) -> Option<&enrollment::Model> {
    let of_device = |channel: &&enrollment::Model| {
        channel.enabled && ChannelKind::from_code(channel.kind).is_some_and(|kind| !kind.is_user())
    };
    channels.iter().find(of_device)
}

/// Whether a host spoke through an agent long after its management last did.
fn is_suspect(host: &host::Model) -> bool {
    let patience = i64::try_from(PATIENCE.as_millis()).unwrap_or(i64::MAX);
    host.last_seen_at.is_some_and(|seen| seen.saturating_sub(host.mdm_seen_at.unwrap_or_default()) >= patience)
}

/// Since when the management of a host is dead; `waiting` is when the oldest command was queued that it may have.
fn of(host: &host::Model, channel: &enrollment::Model, waiting: Option<i64>) -> Option<i64> {
    let patience = i64::try_from(PATIENCE.as_millis()).unwrap_or(i64::MAX);
    let idle_since = waiting.map(|queued| queued.max(host.mdm_seen_at.unwrap_or_default()));
    let ignored =
        idle_since.filter(|since| host.last_seen_at.is_some_and(|seen| seen.saturating_sub(*since) >= patience));
    channel.push_dead_at.into_iter().chain(ignored).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    fn host(last_seen_at: i64, mdm_seen_at: i64) -> host::Model {
        host::Model {
            id: 1,
            uuid: None,
            serial: None,
            platform: String::new(),
            hardware_model: String::new(),
            computer_name: String::new(),
            os_version: String::new(),
            build_version: String::new(),
            mdm_status: host::ON_MANUAL,
            team_id: None,
            wake_at: None,
            created_at: 0,
            updated_at: 0,
            last_seen_at: Some(last_seen_at),
            mdm_seen_at: Some(mdm_seen_at),
            deleted_at: None,
        }
    }

    fn channel(push_dead_at: Option<i64>) -> enrollment::Model {
        enrollment::Model {
            id: 1,
            host_id: 1,
            external_id: String::new(),
            kind: ChannelKind::Device.code(),
            generation: 1,
            enabled: true,
            topic: None,
            push_token: None,
            push_magic: None,
            token_updated_at: None,
            push_dead_at,
            token_update_tally: 1,
            awaiting_configuration: false,
            automatic: false,
            user_short_name: None,
            user_long_name: None,
            authenticated_at: None,
            enrolled_at: None,
            ended_at: None,
        }
    }

    #[test]
    fn work_that_waits_while_a_host_is_up_tells_that_its_management_is_dead() {
        let alive = channel(None);
        assert_eq!(of(&host(9 * HOUR, HOUR), &alive, None), None, "it has nothing to do");
        assert_eq!(of(&host(9 * HOUR, HOUR), &alive, Some(2 * HOUR)), Some(2 * HOUR));
        assert_eq!(of(&host(9 * HOUR, HOUR), &alive, Some(0)), Some(HOUR), "it spoke after the work was there");
        assert_eq!(of(&host(9 * HOUR, HOUR), &alive, Some(9 * HOUR - 1)), None, "it has not had the time");
        assert_eq!(of(&host(HOUR, HOUR), &alive, Some(0)), None, "nobody hears of it");
        assert!(is_suspect(&host(9 * HOUR, HOUR)) && !is_suspect(&host(HOUR, HOUR)));
    }

    #[test]
    fn a_dead_token_tells_the_same() {
        assert_eq!(of(&host(HOUR, HOUR), &channel(Some(7)), None), Some(7));
        assert_eq!(of(&host(9 * HOUR, HOUR), &channel(Some(3 * HOUR)), Some(2 * HOUR)), Some(2 * HOUR));
        assert!(device(&[channel(None)]).is_some());
        assert!(device(&[enrollment::Model { enabled: false, ..channel(None) }]).is_none());
    }
}
