//! Table `enroll_secret`: what a person shows to be given an enrollment profile.

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveValue::Set, QueryOrder};

use crate::{Reader, StoreError, Writer};

/// A row of `enroll_secret`.
#[derive(Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "enroll_secret")]
pub struct Model {
    /// The secret.
    #[sea_orm(primary_key, auto_increment = false)]
    pub secret: String,
    /// When it was made.
    pub created_at: i64,
}

/// Related rows are read by their own queries.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl std::fmt::Debug for Model {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "enroll_secret of {}", self.created_at)
    }
}

/// Whether a secret opens the door.
///
/// # Errors
/// The database does not answer.
pub async fn is_known(reader: &Reader, secret: String) -> Result<bool, StoreError> {
    reader.run(move |database| async move { Ok(Entity::find_by_id(secret).one(&database).await?.is_some()) }).await
}

/// All secrets, oldest first.
///
/// # Errors
/// The database does not answer.
pub async fn list(reader: &Reader) -> Result<Vec<Model>, StoreError> {
    reader.run(|database| async move { Ok(Entity::find().order_by_asc(Column::CreatedAt).all(&database).await?) }).await
}

/// Replaces all secrets.
///
/// # Errors
/// See [`StoreError`].
pub async fn replace(writer: &Writer, secrets: Vec<String>, now: i64) -> Result<(), StoreError> {
    writer
        .run((secrets, now), |transaction, (secrets, now)| {
            Box::pin(async move {
                Entity::delete_many().filter(Column::Secret.is_not_in(&secrets)).exec(transaction).await?;
                for secret in secrets {
                    let row = ActiveModel { secret: Set(secret), created_at: Set(now) };
                    let known = OnConflict::column(Column::Secret).do_nothing().to_owned();
                    Entity::insert(row).on_conflict(known).exec_without_returning(transaction).await?;
                }
                Ok(())
            })
        })
        .await
}
