//! Profiles as admins look through them: how many there are, and what stands beside a page of them.

use std::collections::BTreeMap;

use sea_orm::entity::prelude::*;
use sea_orm::{PaginatorTrait, QuerySelect};

use crate::profile::{Column, Entity};
use crate::{Reader, StoreError, profile_content};

/// How many profiles of a team (0: of none) admins made.
///
/// # Errors
/// The database does not answer.
pub async fn count(reader: &Reader, team_id: i64) -> Result<i64, StoreError> {
    reader
        .run(move |database| async move {
            let rows = Entity::find().filter(Column::TeamId.eq(team_id)).filter(Column::Managed.eq(false));
            Ok(i64::try_from(rows.count(&database).await?).unwrap_or(i64::MAX))
        })
        .await
}

/// The checksums of versions, by version; those that are gone are left out.
///
/// # Errors
/// The database does not answer.
pub async fn checksums(reader: &Reader, versions: Vec<i64>) -> Result<BTreeMap<i64, String>, StoreError> {
    use profile_content::Column as Of;
    reader
        .run(move |database| async move {
            let mut found = BTreeMap::new();
            for some in versions.chunks(500) {
                let rows = profile_content::Entity::find().select_only().columns([Of::Id, Of::Checksum]);
                let rows = rows.filter(Of::Id.is_in(some.iter().copied()));
                found.extend(rows.into_tuple::<(i64, String)>().all(&database).await?);
            }
            Ok(found)
        })
        .await
}
