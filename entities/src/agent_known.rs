//! Tables `agent`, `host` and `windows_enrollment`, as the polls of agents need them: everything that an answer depends on, read once
//! and remembered by whoever answers. What changes any of it is told by [`crate::news`].

use sea_orm::entity::prelude::*;

use crate::agent::{self, Kind};
use crate::windows_admission::{self, UNHEARD};
use crate::windows_host::{self, Agented};
use crate::{Reader, StoreError, host};

/// A host as its agents' polls need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The host.
    pub host_id: i64,
    /// See [`host::Model::platform`].
    pub platform: String,
    /// See [`agent::Model::orbit_key_hash`].
    pub orbit_key_hash: Option<Vec<u8>>,
    /// See [`agent::Model::osquery_key_hash`].
    pub osquery_key_hash: Option<Vec<u8>>,
    /// Nothing manages it, as far as we know.
    pub is_off: bool,
    /// When a Windows device enrolled that has been silent ever since: the answer with its certificate may have been lost.
    pub silent_since: Option<i64>,
    /// Its Windows device, where that is managed.
    pub windows: Option<Agented>,
    /// See [`agent::Model::detail_at`].
    pub detail_at: Option<i64>,
    /// See [`agent::Model::refetch_at`].
    pub refetch_at: Option<i64>,
    /// See [`agent::Model::mdm_url`].
    pub mdm_url: Option<String>,
}

/// The host of an agent's key, unless it was deleted.
///
/// # Errors
/// The database does not answer.
pub async fn by_key(reader: &Reader, kind: Kind, key: Vec<u8>) -> Result<Option<Known>, StoreError> {
    reader
        .run(move |database| async move {
            let agent = agent::Entity::find().filter(kind.column().eq(key)).one(&database).await?;
            let Some(agent) = agent else { return Ok(None) };
            let host = host::Entity::find_by_id(agent.host_id).filter(host::is_there()).one(&database).await?;
            let Some(host) = host else { return Ok(None) };
            let (mut silent_since, mut windows) = (None, None);
            if host.platform == "windows" {
                silent_since = windows_admission::silent_since(&database, &host).await?;
                windows = windows_host::agented(&database, host.id).await?;
            }
            Ok(Some(Known {
                host_id: host.id,
                is_off: windows_admission::is_off(&host),
                platform: host.platform,
                orbit_key_hash: agent.orbit_key_hash,
                osquery_key_hash: agent.osquery_key_hash,
                silent_since,
                windows,
                detail_at: agent.detail_at,
                refetch_at: agent.refetch_at,
                mdm_url: agent.mdm_url,
            }))
        })
        .await
}

impl Known {
    /// Whether a key is the one that its agent has now.
    pub fn is_key(&self, kind: Kind, hash: &[u8]) -> bool {
        let own = match kind {
            Kind::Orbit => &self.orbit_key_hash,
            Kind::Osquery => &self.osquery_key_hash,
        };
        own.as_deref() == Some(hash)
    }

    /// Whether its Windows device looks as if it had never got our answer when it enrolled. A device that spoke since was seen, which
    /// is written some time later and told to nobody: whoever remembers this reads the rows again before believing it.
    pub fn seems_lost(&self, now: i64) -> bool {
        !self.is_off && self.silent_since.is_some_and(|since| now.saturating_sub(since) >= UNHEARD)
    }
}
