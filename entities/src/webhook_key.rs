//! Table `webhook_key`: the secrets with which events are signed. A webhook has one, or two while its receiver changes
//! from the one to the other.

use sea_orm::entity::prelude::*;
use sea_orm::{ActiveValue, ActiveValue::Set, QueryOrder};
use serde_json::json;
use zeroize::Zeroizing;

use crate::activity::{Activity, chronicle};
use crate::vault::{Part, Sealed, SealedColumn, Vault};
use crate::webhook::By;
use crate::{Reader, StoreError, Transaction, Writer};

pub(crate) static SECRET: SealedColumn = SealedColumn {
    table: "webhook_key",
    column: "secret",
    key: &[Part::Number("id")],
    context: &[Part::Number("webhook_id"), Part::Text("key_id")],
};

/// A row of `webhook_key`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "webhook_key")]
pub struct Model {
    /// Row number; the older of two has the smaller one.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// The webhook.
    pub webhook_id: i64,
    /// What receivers know it by.
    pub key_id: String,
    /// The secret, sealed.
    pub secret: Sealed,
    /// When it was made.
    pub created_at: i64,
}

/// Related rows are read by their own queries.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// A key on its way into the table.
#[derive(Clone)]
pub struct NewKey {
    /// See [`Model::key_id`].
    pub key_id: String,
    /// The secret.
    pub secret: Zeroizing<String>,
}

/// What became of a wish to change keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    /// It was done; the key that is now there, or is gone.
    Done(String),
    /// There is no such webhook.
    NoWebhook,
    /// Two keys are valid already, or there is only one left.
    NotNow,
}

impl Model {
    /// The secret.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`] when it does not open.
    pub fn open(&self, vault: &Vault) -> Result<Zeroizing<String>, StoreError> {
        let plain = Zeroizing::new(SECRET.open(vault, &[&self.webhook_id, &self.key_id], &self.secret)?);
        Ok(Zeroizing::new(String::from_utf8_lossy(&plain).into_owned()))
    }
}

/// The keys of all webhooks, oldest first.
///
/// # Errors
/// The database does not answer.
pub async fn list(reader: &Reader) -> Result<Vec<Model>, StoreError> {
    reader.run(|database| async move { Ok(Entity::find().order_by_asc(Column::Id).all(&database).await?) }).await
}

/// Adds a second key.
///
/// # Errors
/// See [`StoreError`].
pub async fn add(writer: &Writer, webhook_id: i64, key: NewKey, by: By) -> Result<Changed, StoreError> {
    let input = (writer.vault().clone(), webhook_id, key, by);
    writer
        .run(input, |transaction, (vault, id, key, by)| {
            Box::pin(async move {
                let key_id = key.key_id.clone();
                match of_webhook(transaction, id).await?.len() {
                    0 => Ok(Changed::NoWebhook),
                    1 => {
                        insert(transaction, &vault, id, key, by.at).await?;
                        let event = by.event("webhook.key.add", id, format!("key {key_id}"));
                        let said = json!({ "webhook_id": id, "key_id": key_id });
                        chronicle(transaction, &vault, event, vec![Activity::new("added_webhook_secret", said)])
                            .await?;
                        Ok(Changed::Done(key_id))
                    }
                    _ => Ok(Changed::NotNow),
                }
            })
        })
        .await
}

/// Takes the older of two keys away.
///
/// # Errors
/// See [`StoreError`].
pub async fn retire(writer: &Writer, webhook_id: i64, by: By) -> Result<Changed, StoreError> {
    let input = (writer.vault().clone(), webhook_id, by);
    writer
        .run(input, |transaction, (vault, id, by)| {
            Box::pin(async move {
                match &of_webhook(transaction, id).await?[..] {
                    [] => Ok(Changed::NoWebhook),
                    [_] => Ok(Changed::NotNow),
                    [oldest, ..] => {
                        Entity::delete_by_id(oldest.id).exec(transaction).await?;
                        let event = by.event("webhook.key.retire", id, format!("key {}", oldest.key_id));
                        let said = json!({ "webhook_id": id, "key_id": oldest.key_id });
                        chronicle(transaction, &vault, event, vec![Activity::new("retired_webhook_secret", said)])
                            .await?;
                        Ok(Changed::Done(oldest.key_id.clone()))
                    }
                }
            })
        })
        .await
}

async fn of_webhook(transaction: &Transaction, id: i64) -> Result<Vec<Model>, StoreError> {
    Ok(Entity::find().filter(Column::WebhookId.eq(id)).order_by_asc(Column::Id).all(transaction).await?)
}

pub(crate) async fn insert(
    transaction: &Transaction,
    vault: &Vault,
    webhook_id: i64,
    key: NewKey,
    created_at: i64,
) -> Result<(), StoreError> {
    let row = ActiveModel {
        id: ActiveValue::NotSet,
        webhook_id: Set(webhook_id),
        secret: Set(SECRET.seal(vault, &[&webhook_id, &key.key_id], key.secret.as_bytes())?),
        key_id: Set(key.key_id),
        created_at: Set(created_at),
    };
    Entity::insert(row).exec_without_returning(transaction).await?;
    Ok(())
}

pub(crate) async fn delete_all(transaction: &Transaction, webhook_id: i64) -> Result<(), StoreError> {
    Entity::delete_many().filter(Column::WebhookId.eq(webhook_id)).exec(transaction).await?;
    Ok(())
}
