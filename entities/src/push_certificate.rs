//! Table `push_certificate`: what lets us push, one for each APNs topic.

use sea_orm::QueryOrder;
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::OnConflict;
use serde_json::json;

use zeroize::Zeroizing;

use crate::activity::{Activity, chronicle};
use crate::audit::Event;
use crate::vault::{Part, Sealed, SealedColumn, Vault};
use crate::{Reader, StoreError, Writer};

pub(crate) static PRIVATE_KEY: SealedColumn = SealedColumn {
    table: "push_certificate",
    column: "private_key",
    key: &[Part::Text("topic")],
    context: &[Part::Text("topic")],
};

/// A row of `push_certificate`.
#[derive(Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "push_certificate")]
pub struct Model {
    /// The APNs topic: the certificate's subject UID.
    #[sea_orm(primary_key, auto_increment = false)]
    pub topic: String,
    /// The certificate, with its chain where there is one (PEM).
    pub certificate: String,
    /// The private key (PKCS #8 PEM), sealed.
    pub private_key: Sealed,
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

/// A certificate with its key, on its way into the table.
#[derive(Clone)]
pub struct NewCertificate {
    /// See [`Model::topic`].
    pub topic: String,
    /// See [`Model::certificate`].
    pub certificate: String,
    /// The private key (PKCS #8 PEM).
    pub private_key: Zeroizing<Vec<u8>>,
    /// See [`Model::not_after`].
    pub not_after: i64,
    /// See [`Model::updated_at`].
    pub updated_at: i64,
}

impl Model {
    /// The private key (PKCS #8 PEM).
    ///
    /// # Errors
    /// [`StoreError::Unreadable`] when it does not open.
    pub fn open(&self, vault: &Vault) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        PRIVATE_KEY.open(vault, &[&self.topic], &self.private_key).map(Zeroizing::new)
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
pub async fn store(writer: &Writer, new: NewCertificate, by: String) -> Result<(), StoreError> {
    let (target, detail) = (new.topic.clone(), format!("ends at {} (ms since 1970)", new.not_after));
    let event = Event { at: new.updated_at, actor: by, action: "push_certificate.store", target, detail };
    let row = Model {
        private_key: PRIVATE_KEY.seal(writer.vault(), &[&new.topic], &new.private_key)?,
        topic: new.topic,
        certificate: new.certificate,
        not_after: new.not_after,
        updated_at: new.updated_at,
    };
    writer
        .run((writer.vault().clone(), event, row), |transaction, (vault, event, row)| {
            Box::pin(async move {
                let row = ActiveModel::from(row).reset_all();
                let changed = [Column::Certificate, Column::PrivateKey, Column::NotAfter, Column::UpdatedAt];
                let replace = OnConflict::column(Column::Topic).update_columns(changed).to_owned();
                Entity::insert(row).on_conflict(replace).exec_without_returning(transaction).await?;
                let said = json!({ "topic": event.target });
                chronicle(transaction, &vault, event, vec![Activity::new("uploaded_apns_certificate", said)]).await
            })
        })
        .await
}
