//! Table `api_token`: who may use the admin API. A token is kept as its SHA-256: it has 256 random bits, so a slow
//! hash would add nothing.

use sea_orm::entity::prelude::*;
use sea_orm::{ActiveValue, ActiveValue::Set, Condition};

use crate::audit::{self, Event};
use crate::{Reader, StoreError, Writer};

/// A row of `api_token`.
#[derive(Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "api_token")]
pub struct Model {
    /// Row number.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// What people call it; unique.
    pub name: String,
    /// SHA-256 of the token; unique.
    pub hash: Vec<u8>,
    /// When it was made.
    pub created_at: i64,
    /// When it stops working, if ever.
    pub expires_at: Option<i64>,
    /// When it was last used, with some delay.
    pub last_used_at: Option<i64>,
}

/// Related rows are read by their own queries.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl std::fmt::Debug for Model {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "api_token {} ({})", self.id, self.name)
    }
}

/// The token with this hash, if it still works.
///
/// # Errors
/// The database does not answer.
pub async fn by_hash(reader: &Reader, hash: Vec<u8>, now: i64) -> Result<Option<Model>, StoreError> {
    reader
        .run(move |database| async move {
            let lasting = Condition::any().add(Column::ExpiresAt.is_null()).add(Column::ExpiresAt.gt(now));
            Ok(Entity::find().filter(Column::Hash.eq(hash)).filter(lasting).one(&database).await?)
        })
        .await
}

/// Stores a new token.
///
/// # Errors
/// [`StoreError::Conflict`] when the name is taken; otherwise see [`StoreError`].
pub async fn create(
    writer: &Writer,
    name: String,
    hash: Vec<u8>,
    expires_at: Option<i64>,
    by: &str,
    now: i64,
) -> Result<(), StoreError> {
    let event = Event { at: now, actor: by.into(), action: "token.make", target: name.clone(), detail: String::new() };
    let input = (writer.vault().clone(), event, (name, hash, expires_at, now));
    writer
        .run(input, |transaction, (vault, event, (name, hash, expires_at, now))| {
            Box::pin(async move {
                let row = ActiveModel {
                    id: ActiveValue::NotSet,
                    name: Set(name),
                    hash: Set(hash),
                    created_at: Set(now),
                    expires_at: Set(expires_at),
                    last_used_at: Set(None),
                };
                Entity::insert(row).exec_without_returning(transaction).await?;
                audit::record(transaction, &vault, event).await
            })
        })
        .await
}
