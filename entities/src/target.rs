//! Tables `host` and `enrollment` together: the channels of the hosts that an admin names, in one query.

use sea_orm::entity::prelude::*;
use sea_orm::{FromQueryResult, JoinType, QueryOrder, QuerySelect, RelationDef};

use crate::{Reader, StoreError, enrollment, host};

/// A host that a request names by its UUID, with one of its channels.
#[derive(Clone, Debug, PartialEq, Eq, FromQueryResult)]
pub struct Target {
    /// The host.
    pub host_id: i64,
    /// See [`host::Model::platform`].
    pub platform: String,
    /// Its channel's row, if it has one.
    pub enrollment_id: Option<i64>,
    /// See [`enrollment::Model::kind`].
    pub kind: Option<i16>,
    /// See [`enrollment::Model::enabled`].
    pub enabled: Option<bool>,
}

/// The hosts with these UUIDs: each once for every channel, the newest first, and once if it has none.
///
/// # Errors
/// The database does not answer.
pub async fn of_uuids(reader: &Reader, uuids: Vec<String>) -> Result<Vec<Target>, StoreError> {
    reader
        .run(move |database| async move {
            let to_channels =
                host::Entity::belongs_to(enrollment::Entity).from(host::Column::Id).to(enrollment::Column::HostId);
            let to_channels: RelationDef = to_channels.into();
            let mut found = Vec::with_capacity(uuids.len());
            for some in uuids.chunks(1000) {
                let query = host::Entity::find()
                    .select_only()
                    .column_as(host::Column::Id, "host_id")
                    .column(host::Column::Platform)
                    .column_as(enrollment::Column::Id, "enrollment_id")
                    .columns([enrollment::Column::Kind, enrollment::Column::Enabled])
                    .join(JoinType::LeftJoin, to_channels.clone())
                    .filter(host::Column::Uuid.is_in(some))
                    .filter(host::is_there())
                    .order_by_asc(host::Column::Id)
                    .order_by_desc(enrollment::Column::Id);
                found.extend(query.into_model::<Target>().all(&database).await?);
            }
            Ok(found)
        })
        .await
}
