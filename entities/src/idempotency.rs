//! Table `idempotency`: answers kept for a day, so that a request that is sent again is not done again.

use sea_orm::ActiveValue::Set;
use sea_orm::entity::prelude::*;

use crate::{Reader, StoreError, Transaction, Writer};

/// A row of `idempotency`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "idempotency")]
pub struct Model {
    /// Who asked.
    #[sea_orm(primary_key, auto_increment = false)]
    pub principal: String,
    /// The key that they chose.
    #[sea_orm(primary_key, auto_increment = false)]
    pub key: String,
    /// SHA-256 of what they asked.
    pub request_hash: Vec<u8>,
    /// The status of the answer.
    pub status: i16,
    /// The body of the answer.
    pub response: Vec<u8>,
    /// When they asked.
    pub created_at: i64,
}

/// Related rows are read by their own queries.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// The answer that was given under this key.
///
/// # Errors
/// The database does not answer.
pub async fn answer(reader: &Reader, principal: String, key: String) -> Result<Option<Model>, StoreError> {
    reader.run(move |database| async move { Ok(Entity::find_by_id((principal, key)).one(&database).await?) }).await
}

/// Keeps an answer in the transaction that makes it true; a second one under the same key is a conflict.
pub(crate) async fn keep(transaction: &Transaction, answer: Model) -> Result<(), StoreError> {
    let row = ActiveModel {
        principal: Set(answer.principal),
        key: Set(answer.key),
        request_hash: Set(answer.request_hash),
        status: Set(answer.status),
        response: Set(answer.response),
        created_at: Set(answer.created_at),
    };
    Entity::insert(row).exec_without_returning(transaction).await?;
    Ok(())
}

/// Forgets answers from before a moment. Returns how many.
///
/// # Errors
/// See [`StoreError`].
pub async fn forget_before(writer: &Writer, moment: i64) -> Result<u64, StoreError> {
    writer
        .run(moment, |transaction, moment| {
            Box::pin(async move {
                let done = Entity::delete_many().filter(Column::CreatedAt.lt(moment)).exec(transaction).await?;
                Ok(done.rows_affected)
            })
        })
        .await
}
