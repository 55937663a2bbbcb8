//! Tables `profile_label` and `profile_variable`: which hosts of a team a profile is for, and what has to be put into it.

use std::collections::{BTreeMap, BTreeSet};

use sea_orm::entity::prelude::*;
use sea_orm::{ActiveValue, ActiveValue::Set, QueryOrder, QuerySelect};

use crate::{Reader, StoreError, Transaction, label};

/// [`Model::mode`]: the host has all of these labels.
pub const INCLUDE_ALL: i16 = 0;
/// [`Model::mode`]: the host has one of these labels at least.
pub const INCLUDE_ANY: i16 = 1;
/// [`Model::mode`]: the host has none of these labels.
pub const EXCLUDE_ANY: i16 = 2;

/// A row of `profile_label`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "profile_label")]
pub struct Model {
    /// Row number.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// The profile.
    pub profile_id: i64,
    /// The label; `None` when it was deleted: the profile is broken, goes to no host any more, and is taken from none.
    pub label_id: Option<i64>,
    /// Its name when the profile was uploaded.
    pub label_name: String,
    /// [`INCLUDE_ALL`], [`INCLUDE_ANY`] or [`EXCLUDE_ANY`].
    pub mode: i16,
}

/// Related rows are read by their own queries.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Table `profile_variable`.
pub mod variable {
    use sea_orm::entity::prelude::*;

    /// A row of `profile_variable`: this profile names this variable or secret.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "profile_variable")]
    pub struct Model {
        /// The profile.
        #[sea_orm(primary_key, auto_increment = false)]
        pub profile_id: i64,
        /// For example `FLEET_VAR_HOST_UUID` or `FLEET_SECRET_WIFI`.
        #[sea_orm(primary_key, auto_increment = false)]
        pub name: String,
    }

    /// Related rows are read by their own queries.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// A label that a profile names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Named {
    /// Its name.
    pub name: String,
    /// See [`Model::mode`].
    pub mode: i16,
}

/// The labels of profiles, by profile.
///
/// # Errors
/// The database does not answer.
pub async fn of_profiles(reader: &Reader, profiles: Vec<i64>) -> Result<BTreeMap<i64, Vec<Model>>, StoreError> {
    reader
        .run(move |database| async move {
            let mut found = BTreeMap::<i64, Vec<Model>>::new();
            for some in profiles.chunks(500) {
                let rows = Entity::find().filter(Column::ProfileId.is_in(some.iter().copied()));
                for row in rows.order_by_asc(Column::Id).all(&database).await? {
                    found.entry(row.profile_id).or_default().push(row);
                }
            }
            Ok(found)
        })
        .await
}

/// The labels with these names, by their names in lower case.
pub(crate) async fn find(transaction: &Transaction, names: &[Named]) -> Result<BTreeMap<String, i64>, StoreError> {
    let folded: BTreeSet<String> = names.iter().map(|label| label.name.to_lowercase()).collect();
    let rows = label::Entity::find().filter(label::Column::FoldedName.is_in(folded));
    Ok(rows.all(transaction).await?.into_iter().map(|row| (row.folded_name, row.id)).collect())
}

/// Whether a profile has these labels, and no others.
pub(crate) async fn is_as(
    transaction: &Transaction,
    profile_id: i64,
    names: &[Named],
    known: &BTreeMap<String, i64>,
) -> Result<bool, StoreError> {
    let wanted: BTreeSet<(Option<i64>, i16)> =
        names.iter().map(|label| (known.get(&label.name.to_lowercase()).copied(), label.mode)).collect();
    let there = Entity::find().filter(Column::ProfileId.eq(profile_id)).all(transaction).await?;
    Ok(wanted == there.iter().map(|row| (row.label_id, row.mode)).collect())
}

/// Replaces the labels of a profile.
pub(crate) async fn replace(
    transaction: &Transaction,
    profile_id: i64,
    names: &[Named],
    known: &BTreeMap<String, i64>,
) -> Result<(), StoreError> {
    Entity::delete_many().filter(Column::ProfileId.eq(profile_id)).exec(transaction).await?;
    let rows: Vec<ActiveModel> = names
        .iter()
        .map(|label| ActiveModel {
            id: ActiveValue::NotSet,
            profile_id: Set(profile_id),
            label_id: Set(known.get(&label.name.to_lowercase()).copied()),
            label_name: Set(label.name.clone()),
            mode: Set(label.mode),
        })
        .collect();
    if !rows.is_empty() {
        Entity::insert_many(rows).exec_without_returning(transaction).await?;
    }
    Ok(())
}

/// A label is deleted: profiles that name it are broken from now on.
pub(crate) async fn break_off(transaction: &Transaction, label_id: i64) -> Result<(), StoreError> {
    let none = Expr::value(None::<i64>);
    Entity::update_many()
        .col_expr(Column::LabelId, none)
        .filter(Column::LabelId.eq(label_id))
        .exec(transaction)
        .await?;
    Ok(())
}

/// Replaces what has to be put into a profile.
pub(crate) async fn replace_variables(
    transaction: &Transaction,
    profile_id: i64,
    names: &[String],
) -> Result<(), StoreError> {
    let of_this = variable::Column::ProfileId.eq(profile_id);
    variable::Entity::delete_many().filter(of_this).exec(transaction).await?;
    let names: BTreeSet<&String> = names.iter().collect();
    let rows = names
        .into_iter()
        .map(|name| variable::ActiveModel { profile_id: Set(profile_id), name: Set(name.clone()) })
        .collect::<Vec<_>>();
    if !rows.is_empty() {
        variable::Entity::insert_many(rows).exec_without_returning(transaction).await?;
    }
    Ok(())
}

/// The profiles that name a variable or secret.
pub(crate) async fn that_name(transaction: &Transaction, name: &str) -> Result<Vec<i64>, StoreError> {
    let rows = variable::Entity::find().select_only().column(variable::Column::ProfileId);
    Ok(rows.filter(variable::Column::Name.eq(name)).into_tuple().all(transaction).await?)
}

/// A profile is gone.
pub(crate) async fn forget(transaction: &Transaction, profile_id: i64) -> Result<(), StoreError> {
    Entity::delete_many().filter(Column::ProfileId.eq(profile_id)).exec(transaction).await?;
    replace_variables(transaction, profile_id, &[]).await
}
