//! Table `secret_variable`: values that profiles name and nobody reads back. They are put in when a profile is delivered.

use std::collections::BTreeMap;

use sea_orm::entity::prelude::*;
use sea_orm::{ActiveValue, ActiveValue::Set, QueryOrder, QuerySelect};
use serde_json::json;
use zeroize::Zeroizing;

use crate::activity::{Activity, chronicle};
use crate::audit::Event;
use crate::profile::change::By;
use crate::profile::set::Plan;
use crate::vault::{Part, Sealed, SealedColumn, Vault};
use crate::{Reader, StoreError, Transaction, Writer, profile, profile_label};

/// What the name of a secret begins with in a profile, behind its `$`.
pub const PREFIX: &str = "FLEET_SECRET_";

pub(crate) static VALUE: SealedColumn = SealedColumn {
    table: "secret_variable",
    column: "value",
    key: &[Part::Number("id")],
    context: &[Part::Text("name")],
};

/// A row of `secret_variable`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "secret_variable")]
pub struct Model {
    /// Row number.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// Its name without [`PREFIX`]; unique.
    pub name: String,
    /// Its value, sealed.
    pub value: Sealed,
    /// When it was made.
    pub created_at: i64,
    /// When its value was last changed.
    pub updated_at: i64,
}

/// Related rows are read by their own queries.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// What people may know of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Row number.
    pub id: i64,
    /// See [`Model::name`].
    pub name: String,
    /// See [`Model::updated_at`].
    pub updated_at: i64,
}

/// A secret that is to be set.
#[derive(Clone)]
pub struct Secret {
    /// See [`Model::name`].
    pub name: String,
    /// Its value.
    pub value: Zeroizing<String>,
}

/// What became of a wish to delete a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deleted {
    /// It is gone.
    Done,
    /// There is none.
    NotFound,
    /// These profiles name it.
    Used(Vec<String>),
}

/// All secrets, by name.
///
/// # Errors
/// The database does not answer.
pub async fn list(reader: &Reader) -> Result<Vec<Known>, StoreError> {
    reader
        .run(|database| async move {
            let rows = Entity::find().select_only().columns([Column::Id, Column::Name, Column::UpdatedAt]);
            let rows = rows.order_by_asc(Column::Name).into_tuple::<(i64, String, i64)>().all(&database).await?;
            Ok(rows.into_iter().map(|(id, name, updated_at)| Known { id, name, updated_at }).collect())
        })
        .await
}

/// The values of these secrets, by name; those that are not there are left out.
///
/// # Errors
/// The database does not answer, or a value does not open.
pub async fn values(reader: &Reader, names: Vec<String>) -> Result<BTreeMap<String, Zeroizing<String>>, StoreError> {
    let vault = reader.vault().clone();
    reader
        .run(move |database| async move {
            let rows = Entity::find().filter(Column::Name.is_in(names)).all(&database).await?;
            let open = |row: Model| {
                let value = Zeroizing::new(VALUE.open(&vault, &[&row.name], &row.value)?);
                Ok((row.name, Zeroizing::new(String::from_utf8_lossy(&value).into_owned())))
            };
            rows.into_iter().map(open).collect()
        })
        .await
}

/// Sets secrets, all of them or none. Profiles that name one whose value changed are delivered again. Returns how many
/// values changed.
///
/// # Errors
/// See [`StoreError`].
pub async fn set(writer: &Writer, secrets: Vec<Secret>, by: By) -> Result<u64, StoreError> {
    let input = (writer.vault().clone(), secrets, by);
    writer
        .run(input, |transaction, (vault, secrets, by)| {
            Box::pin(async move {
                let plan = set_in(transaction, &vault, &secrets, &by).await?;
                Ok((plan.added.len() + plan.changed.len()) as u64)
            })
        })
        .await
}

/// The same within somebody else's transaction; tells which secrets are new, and which have another value.
pub(crate) async fn set_in(
    transaction: &Transaction,
    vault: &Vault,
    secrets: &[Secret],
    by: &By,
) -> Result<Plan, StoreError> {
    let mut plan = Plan::default();
    for secret in secrets {
        let there = Entity::find().filter(Column::Name.eq(&secret.name)).one(transaction).await?;
        let value = VALUE.seal(vault, &[&secret.name], secret.value.as_bytes())?;
        let kind = match there {
            None => {
                let row = ActiveModel {
                    id: ActiveValue::NotSet,
                    name: Set(secret.name.clone()),
                    value: Set(value),
                    created_at: Set(by.at),
                    updated_at: Set(by.at),
                };
                Entity::insert(row).exec_without_returning(transaction).await?;
                plan.added.push(secret.name.clone());
                "created_custom_variable"
            }
            Some(row) => {
                let old = Zeroizing::new(VALUE.open(vault, &[&row.name], &row.value)?);
                if old.as_slice() == secret.value.as_bytes() {
                    plan.unchanged.push(secret.name.clone());
                    continue;
                }
                // A revision of its own also where the clock stands still.
                let updated_at = Set(by.at.max(row.updated_at + 1));
                Entity::update(ActiveModel { value: Set(value), updated_at, ..row.into() }).exec(transaction).await?;
                plan.changed.push(secret.name.clone());
                "edited_custom_variable"
            }
        };
        profile::secret_changed(transaction, vault, &secret.name, by.at).await?;
        let said = vec![Activity::new(kind, json!({ "custom_variable_name": secret.name }))];
        let (at, actor, target) = (by.at, by.name.clone(), secret.name.clone());
        let event = Event { at, actor, action: "secret.set", target, detail: String::new() };
        chronicle(transaction, vault, event, said).await?;
    }
    Ok(plan)
}

/// Deletes a secret that no profile names.
///
/// # Errors
/// See [`StoreError`].
pub async fn delete(writer: &Writer, id: i64, by: String, now: i64) -> Result<Deleted, StoreError> {
    let input = (writer.vault().clone(), id, by, now);
    writer
        .run(input, |transaction, (vault, id, by, now)| {
            Box::pin(async move {
                let Some(row) = Entity::find_by_id(id).one(transaction).await? else { return Ok(Deleted::NotFound) };
                let users = profile_label::that_name(transaction, &format!("{PREFIX}{}", row.name)).await?;
                if !users.is_empty() {
                    return profile::names(transaction, users).await.map(Deleted::Used);
                }
                Entity::delete_by_id(id).exec(transaction).await?;
                let said = vec![Activity::new("deleted_custom_variable", json!({ "custom_variable_name": row.name }))];
                let event =
                    Event { at: now, actor: by, action: "secret.delete", target: row.name, detail: String::new() };
                chronicle(transaction, &vault, event, said).await?;
                Ok(Deleted::Done)
            })
        })
        .await
}

/// The revisions of the secrets that these variables name, and the names of those that are not there.
pub(crate) async fn revisions(
    transaction: &Transaction,
    variables: &[String],
) -> Result<(Vec<(String, i64)>, Vec<String>), StoreError> {
    let names: Vec<&str> = variables.iter().filter_map(|name| name.strip_prefix(PREFIX)).collect();
    let rows = Entity::find().select_only().columns([Column::Name, Column::UpdatedAt]);
    let rows = rows.filter(Column::Name.is_in(names.iter().copied()));
    let known = rows.into_tuple::<(String, i64)>().all(transaction).await?;
    let is_unknown = |name: &&str| known.iter().all(|(known, _)| known != name);
    let unknown = names.iter().copied().filter(is_unknown).map(str::to_owned).collect();
    Ok((known, unknown))
}
