//! Tables `host` and `enrollment` together: the channels of the hosts that an admin names, in one query.

use sea_orm::entity::prelude::*;
use sea_orm::{FromQueryResult, JoinType, QueryOrder, QuerySelect, RelationDef};

use crate::host_search::Filter;
use crate::{Reader, StoreError, command, enrollment, host, queue_entry};

/// A host that a request names by its UUID, with one of its channels.
#[derive(Clone, Debug, PartialEq, Eq, FromQueryResult)]
pub struct Target {
    /// The host.
    pub host_id: i64,
    /// Its team.
    pub team_id: Option<i64>,
    /// See [`host::Model::platform`].
    pub platform: String,
    /// Its channel's row, if it has one.
    pub enrollment_id: Option<i64>,
    /// See [`enrollment::Model::kind`].
    pub kind: Option<i16>,
    /// See [`enrollment::Model::enabled`].
    pub enabled: Option<bool>,
}

/// The hosts that a filter lets through, as [`of_uuids`] gives them.
///
/// # Errors
/// The database does not answer.
pub async fn of_filter(reader: &Reader, filter: Filter) -> Result<Vec<Target>, StoreError> {
    reader
        .run(move |database| async move {
            Ok(channels().filter(filter.condition()).into_model::<Target>().all(&database).await?)
        })
        .await
}

/// The hosts with these UUIDs: each once for every channel, the newest first, and once if it has none.
///
/// # Errors
/// The database does not answer.
pub async fn of_uuids(reader: &Reader, uuids: Vec<String>) -> Result<Vec<Target>, StoreError> {
    reader
        .run(move |database| async move {
            let mut found = Vec::with_capacity(uuids.len());
            for some in uuids.chunks(1000) {
                let query = channels().filter(host::is_there()).filter(host::Column::Uuid.is_in(some));
                found.extend(query.into_model::<Target>().all(&database).await?);
            }
            Ok(found)
        })
        .await
}

/// The hosts with these row numbers, as [`of_uuids`] gives them.
///
/// # Errors
/// The database does not answer.
pub async fn of_ids(reader: &Reader, ids: Vec<i64>) -> Result<Vec<Target>, StoreError> {
    reader
        .run(move |database| async move {
            let mut found = Vec::with_capacity(ids.len());
            for some in ids.chunks(1000) {
                let named = host::Column::Id.is_in(some.iter().copied());
                let query = channels().filter(host::is_there()).filter(named);
                found.extend(query.into_model::<Target>().all(&database).await?);
            }
            Ok(found)
        })
        .await
}

/// The teams that these hosts are in, `None` among them for hosts of none.
///
/// # Errors
/// The database does not answer.
pub async fn teams_of_hosts(reader: &Reader, hosts: Vec<i64>) -> Result<Vec<Option<i64>>, StoreError> {
    reader
        .run(move |database| async move {
            let mut teams = Vec::new();
            for some in hosts.chunks(1000) {
                let query = teams_of().filter(host::Column::Id.is_in(some.iter().copied()));
                teams.extend(query.into_tuple::<Option<i64>>().all(&database).await?);
            }
            Ok(teams)
        })
        .await
}

/// The teams that the hosts of a command are in, `None` among them for hosts of none.
///
/// # Errors
/// The database does not answer.
pub async fn teams_of_command(reader: &Reader, uuid: String) -> Result<Vec<Option<i64>>, StoreError> {
    reader
        .run(move |database| async move {
            let to_entries: RelationDef = host::Entity::belongs_to(queue_entry::Entity)
                .from(host::Column::Id)
                .to(queue_entry::Column::HostId)
                .into();
            let query = teams_of()
                .join(JoinType::InnerJoin, to_entries)
                .join(JoinType::InnerJoin, queue_entry::to_command())
                .filter(command::Column::Uuid.eq(uuid));
            Ok(query.into_tuple::<Option<i64>>().all(&database).await?)
        })
        .await
}

fn teams_of() -> Select<host::Entity> {
    host::Entity::find().select_only().column(host::Column::TeamId).distinct()
}

fn channels() -> Select<host::Entity> {
    let to_channels: RelationDef =
        host::Entity::belongs_to(enrollment::Entity).from(host::Column::Id).to(enrollment::Column::HostId).into();
    host::Entity::find()
        .select_only()
        .column_as(host::Column::Id, "host_id")
        .columns([host::Column::TeamId, host::Column::Platform])
        .column_as(enrollment::Column::Id, "enrollment_id")
        .columns([enrollment::Column::Kind, enrollment::Column::Enabled])
        .join(JoinType::LeftJoin, to_channels)
        .order_by_asc(host::Column::Id)
        .order_by_desc(enrollment::Column::Id)
}
