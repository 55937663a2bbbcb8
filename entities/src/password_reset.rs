//! Table `password_reset`: who was sent something that lets them choose a new password, once. Kept as its SHA-256.

use sea_orm::ActiveValue::Set;
use sea_orm::entity::prelude::*;

use crate::mail::{self, Letter};
use crate::{StoreError, Transaction, Writer};

/// How long it works, in milliseconds: an hour.
pub const LASTS: i64 = 3600 * 1000;

/// A row of `password_reset`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "password_reset")]
pub struct Model {
    /// SHA-256 of what was sent.
    #[sea_orm(primary_key, auto_increment = false)]
    pub hash: Vec<u8>,
    /// To whom.
    pub user_id: i64,
    /// When it stops working.
    pub expires_at: i64,
}

/// Related rows are read by their own queries.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Lets a user choose a new password, and tells them by mail; what they were sent before stops working.
///
/// # Errors
/// See [`StoreError`].
pub async fn create(writer: &Writer, user_id: i64, hash: Vec<u8>, letter: Letter, now: i64) -> Result<(), StoreError> {
    let input = (writer.vault().clone(), user_id, hash, letter, now);
    writer
        .run(input, |transaction, (vault, user_id, hash, letter, now)| {
            Box::pin(async move {
                forget_user(transaction, user_id).await?;
                let expires_at = Set(now.saturating_add(LASTS));
                let row = ActiveModel { hash: Set(hash), user_id: Set(user_id), expires_at };
                Entity::insert(row).exec_without_returning(transaction).await?;
                mail::post(transaction, &vault, letter, now).await
            })
        })
        .await
}

/// Whose it is, if it works. The caller ends it with everything else by which the user can come in.
pub(crate) async fn user_of(transaction: &Transaction, hash: Vec<u8>, now: i64) -> Result<Option<i64>, StoreError> {
    let row = Entity::find_by_id(hash).one(transaction).await?;
    Ok(row.filter(|row| row.expires_at > now).map(|row| row.user_id))
}

pub(crate) async fn forget_user(transaction: &Transaction, user_id: i64) -> Result<(), StoreError> {
    Entity::delete_many().filter(Column::UserId.eq(user_id)).exec(transaction).await?;
    Ok(())
}

pub(crate) async fn forget_ended(transaction: &Transaction, now: i64) -> Result<u64, StoreError> {
    Ok(Entity::delete_many().filter(Column::ExpiresAt.lte(now)).exec(transaction).await?.rows_affected)
}
