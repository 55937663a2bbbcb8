//! Table `vault_key`: the names of the root keys that values may be sealed with, each with a canary. A server whose keys do
//! not open every canary refuses to start: it would work on, and lose what devices entrust to it.

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveValue::Set, QueryOrder};

use crate::audit::{self, Event};
use crate::vault::{KeyId, Part, Sealed, SealedColumn, Vault};
use crate::{Database, Reader, StoreError, Writer, authority};

/// What a canary says.
const SONG: &[u8] = b"this key is the right one";

/// The canary is sealed with the key whose row it stands in, and never anew.
static CANARY: SealedColumn =
    SealedColumn { table: "vault_key", column: "canary", key: &[Part::Text("id")], context: &[Part::Text("id")] };

/// A row of `vault_key`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "vault_key")]
pub struct Model {
    /// The key's name: [`KeyId`] as text.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// A known text under this key.
    pub canary: Sealed,
    /// When the key was first used.
    pub created_at: i64,
    /// Since when no value needs it any more.
    pub retired_at: Option<i64>,
}

/// It stands alone.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// All keys that were ever used, oldest first.
///
/// # Errors
/// The database does not answer.
pub async fn list(reader: &Reader) -> Result<Vec<Model>, StoreError> {
    reader.run(|database| async move { Ok(Entity::find().order_by_asc(Column::CreatedAt).all(&database).await?) }).await
}

/// Names the active key in the database, before anything is sealed with it.
///
/// # Errors
/// See [`StoreError`].
pub async fn register(writer: &Writer, vault: &Vault, now: i64) -> Result<(), StoreError> {
    let row = row_of(vault, now)?;
    let target = vault.ring().active_id().map(|id| id.to_string()).unwrap_or_default();
    let event = event("root_key.use", target, now);
    writer
        .run((writer.vault().clone(), event, row), |transaction, (vault, event, row)| {
            Box::pin(async move {
                Entity::insert(row).on_conflict(in_use_again()).exec_without_returning(transaction).await?;
                audit::record(transaction, &vault, event).await
            })
        })
        .await
}

/// Notes that nothing needs the other keys any more.
///
/// # Errors
/// See [`StoreError`].
pub async fn retire_others(writer: &Writer, active: KeyId, now: i64) -> Result<u64, StoreError> {
    writer
        .run((writer.vault().clone(), active, now), |transaction, (vault, active, now)| {
            Box::pin(async move {
                let done = Entity::update_many()
                    .col_expr(Column::RetiredAt, now.into())
                    .filter(Column::Id.ne(active.to_string()))
                    .filter(Column::RetiredAt.is_null())
                    .exec(transaction)
                    .await?;
                audit::record(transaction, &vault, event("root_key.retire_others", active.to_string(), now)).await?;
                Ok(done.rows_affected)
            })
        })
        .await
}

/// Whether any key was ever used in this database.
pub(crate) async fn is_any(database: &Database) -> Result<bool, StoreError> {
    Ok(Entity::find().one(database).await?.is_some())
}

/// Refuses keys that do not fit the database; names the active one in it where it is new.
pub(crate) async fn check(database: &Database, vault: &Vault, now: i64) -> Result<(), StoreError> {
    let ring = vault.ring();
    let known = Entity::find().all(database).await?;
    for row in known.iter().filter(|row| row.retired_at.is_none()) {
        let here = KeyId::parse(&row.id).is_some_and(|id| ring.ids().any(|have| have == id));
        if !here {
            return Err(StoreError::WrongKey(format!(
                "this database needs root key {}, which is not among the keys given ({ring:?}): put its key file back",
                row.id
            )));
        }
        if CANARY.open(vault, &[&row.id], &row.canary).ok().as_deref() != Some(SONG) {
            return Err(StoreError::WrongKey(format!("the canary of root key {} was changed in the database", row.id)));
        }
    }
    if known.is_empty() && authority::Entity::find().one(database).await?.is_some() {
        return Err(StoreError::WrongKey(
            "this database holds keys, but names no root key: table vault_key was emptied, or a version from before \
             secrets were sealed made it. Restore a backup, or begin with a new database"
                .into(),
        ));
    }
    let row = row_of(vault, now)?;
    Entity::insert(row).on_conflict(in_use_again()).exec_without_returning(database).await?;
    Ok(())
}

fn event(action: &'static str, target: String, at: i64) -> Event {
    Event { at, actor: "locksmith".into(), action, target, detail: String::new() }
}

fn row_of(vault: &Vault, now: i64) -> Result<ActiveModel, StoreError> {
    let active = vault.ring().active_id().ok_or_else(|| StoreError::WrongKey("there is no root key".into()))?;
    let id = active.to_string();
    let canary = CANARY.seal(vault, &[&id], SONG)?;
    Ok(ActiveModel { id: Set(id), canary: Set(canary), created_at: Set(now), retired_at: Set(None) })
}

/// A key that had been retired and is given again is in use again.
fn in_use_again() -> OnConflict {
    OnConflict::column(Column::Id).update_column(Column::RetiredAt).to_owned()
}
