//! Table `push_certificate`: what lets us push, one for each APNs topic.

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveValue::Set, QueryOrder};

use crate::{Reader, StoreError, Writer};

/// A row of `push_certificate`.
#[derive(Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "push_certificate")]
pub struct Model {
    /// The APNs topic: the certificate's subject UID.
    #[sea_orm(primary_key, auto_increment = false)]
    pub topic: String,
    /// The certificate, with its chain where there is one (PEM).
    pub certificate: String,
    /// The private key (PKCS #8 PEM).
    pub private_key: String,
    /// When the certificate ends.
    pub not_after: i64,
    /// When it was uploaded.
    pub updated_at: i64,
}

/// Related rows are read by their own queries.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl std::fmt::Debug for Model {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "push_certificate {}", self.topic)
    }
}

/// All of them, by topic.
///
/// # Errors
/// The database does not answer.
pub async fn list(reader: &Reader) -> Result<Vec<Model>, StoreError> {
    reader.run(|database| async move { Ok(Entity::find().order_by_asc(Column::Topic).all(&database).await?) }).await
}

/// The certificate of a topic.
///
/// # Errors
/// The database does not answer.
pub async fn by_topic(reader: &Reader, topic: String) -> Result<Option<Model>, StoreError> {
    reader.run(move |database| async move { Ok(Entity::find_by_id(topic).one(&database).await?) }).await
}

/// Stores the certificate of a topic in place of an older one.
///
/// # Errors
/// See [`StoreError`].
pub async fn store(writer: &Writer, certificate: Model) -> Result<(), StoreError> {
    writer
        .run(certificate, |transaction, new| {
            Box::pin(async move {
                let row = ActiveModel {
                    topic: Set(new.topic),
                    certificate: Set(new.certificate),
                    private_key: Set(new.private_key),
                    not_after: Set(new.not_after),
                    updated_at: Set(new.updated_at),
                };
                let changed = [Column::Certificate, Column::PrivateKey, Column::NotAfter, Column::UpdatedAt];
                let replace = OnConflict::column(Column::Topic).update_columns(changed).to_owned();
                Entity::insert(row).on_conflict(replace).exec_without_returning(transaction).await?;
                Ok(())
            })
        })
        .await
}
