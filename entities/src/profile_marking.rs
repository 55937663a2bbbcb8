//! Tables `profile_marking` and `host_marking`: what has to be looked at again, profiles on all hosts or hosts for all
//! profiles. Whoever changes a profile writes the former in the same transaction; the latter is written by the database
//! itself, whenever a host changes its team, its labels or its enrollment.

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveValue::Set, QueryOrder, QuerySelect};

use crate::{Reader, StoreError, Transaction};

/// A row of `profile_marking`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "profile_marking")]
pub struct Model {
    /// The profile, which may be gone: then it is taken from the hosts that have it.
    #[sea_orm(primary_key, auto_increment = false)]
    pub profile_id: i64,
    /// Behind which host to go on.
    pub after_host_id: i64,
}

/// Related rows are read by their own queries.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Table `host_marking`.
pub mod host {
    use sea_orm::entity::prelude::*;

    /// A row of `host_marking`: this host is to be looked at.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "host_marking")]
    pub struct Model {
        /// The host.
        #[sea_orm(primary_key, auto_increment = false)]
        pub host_id: i64,
    }

    /// Related rows are read by their own queries.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Whether anything is to be looked at.
///
/// # Errors
/// The database does not answer.
pub async fn is_any(reader: &Reader) -> Result<bool, StoreError> {
    reader
        .run(|database| async move {
            let profile = Entity::find().one(&database).await?;
            Ok(profile.is_some() || host::Entity::find().one(&database).await?.is_some())
        })
        .await
}

/// Profiles changed: they are to be looked at on all hosts, from the first on.
pub(crate) async fn note(transaction: &Transaction, profiles: &[i64]) -> Result<(), StoreError> {
    for some in profiles.chunks(500) {
        let rows = some.iter().map(|id| ActiveModel { profile_id: Set(*id), after_host_id: Set(0) });
        let again = OnConflict::column(Column::ProfileId).update_column(Column::AfterHostId).to_owned();
        Entity::insert_many(rows).on_conflict(again).exec_without_returning(transaction).await?;
    }
    Ok(())
}

/// Takes hosts out that are to be looked at, at most so many.
pub(crate) async fn take_hosts(transaction: &Transaction, most: u64) -> Result<Vec<i64>, StoreError> {
    let rows = host::Entity::find().select_only().column(host::Column::HostId).order_by_asc(host::Column::HostId);
    let hosts = rows.limit(most).into_tuple::<i64>().all(transaction).await?;
    if !hosts.is_empty() {
        let these = host::Column::HostId.is_in(hosts.iter().copied());
        host::Entity::delete_many().filter(these).exec(transaction).await?;
    }
    Ok(hosts)
}

/// The next profile to be looked at.
pub(crate) async fn next(transaction: &Transaction) -> Result<Option<Model>, StoreError> {
    Ok(Entity::find().order_by_asc(Column::ProfileId).one(transaction).await?)
}

/// A profile was looked at on the hosts up to this one; `None`: on all of them.
pub(crate) async fn go_on(transaction: &Transaction, profile_id: i64, after: Option<i64>) -> Result<(), StoreError> {
    match after {
        None => {
            Entity::delete_by_id(profile_id).exec(transaction).await?;
        }
        Some(after) => {
            let row = ActiveModel { profile_id: Set(profile_id), after_host_id: Set(after) };
            Entity::update(row).exec(transaction).await?;
        }
    }
    Ok(())
}
