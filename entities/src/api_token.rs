//! Table `api_token`: who may use the admin API. A token is kept as its SHA-256: it has 256 random bits, so a slow
//! hash would add nothing.

use sea_orm::entity::prelude::*;
use sea_orm::{ActiveValue, ActiveValue::Set, Condition, QueryOrder};
use serde_json::json;

use crate::activity::{Activity, chronicle};
use crate::audit::Event;
use crate::{Reader, StoreError, Transaction, Writer};

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
    /// Whose it is; `None` for those that were made on the command line, which may do everything.
    pub user_id: Option<i64>,
    /// What it is limited to, separated by spaces; `None` for everything that its user may do.
    pub scopes: Option<String>,
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

/// The tokens of a user, the newest first.
///
/// # Errors
/// The database does not answer.
pub async fn list(reader: &Reader, user_id: i64) -> Result<Vec<Model>, StoreError> {
    reader
        .run(move |database| async move {
            Ok(Entity::find().filter(Column::UserId.eq(user_id)).order_by_desc(Column::Id).all(&database).await?)
        })
        .await
}

/// A token that is to be made.
#[derive(Clone, PartialEq, Eq)]
pub struct New {
    /// See [`Model::name`].
    pub name: String,
    /// See [`Model::hash`].
    pub hash: Vec<u8>,
    /// See [`Model::expires_at`].
    pub expires_at: Option<i64>,
    /// See [`Model::user_id`].
    pub user_id: Option<i64>,
    /// See [`Model::scopes`].
    pub scopes: Option<String>,
}

impl std::fmt::Debug for New {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "new api_token {}", self.name)
    }
}

/// Stores a new token.
///
/// # Errors
/// [`StoreError::Conflict`] when the name is taken; otherwise see [`StoreError`].
pub async fn create(writer: &Writer, new: New, by: &str, now: i64) -> Result<Model, StoreError> {
    let detail = new.scopes.as_ref().map(|scopes| format!("only {scopes}")).unwrap_or_default();
    let event = Event { at: now, actor: by.into(), action: "token.make", target: new.name.clone(), detail };
    let input = (writer.vault().clone(), event, new);
    writer
        .run(input, |transaction, (vault, event, new)| {
            Box::pin(async move {
                let row = ActiveModel {
                    id: ActiveValue::NotSet,
                    name: Set(new.name),
                    hash: Set(new.hash),
                    created_at: Set(event.at),
                    expires_at: Set(new.expires_at),
                    last_used_at: Set(None),
                    user_id: Set(new.user_id),
                    scopes: Set(new.scopes),
                };
                let token = Entity::insert(row).exec_with_returning(transaction).await?;
                let said = json!({ "token_name": token.name, "user_id": token.user_id });
                chronicle(transaction, &vault, event, vec![Activity::new("created_api_token", said)]).await?;
                Ok(token)
            })
        })
        .await
}

/// Takes a user's token away. `None` when they have none with this row number.
///
/// # Errors
/// See [`StoreError`].
pub async fn delete(writer: &Writer, user_id: i64, id: i64, by: String, now: i64) -> Result<Option<Model>, StoreError> {
    let input = (writer.vault().clone(), (user_id, id), by, now);
    writer
        .run(input, |transaction, (vault, (user_id, id), by, now)| {
            Box::pin(async move {
                let found = Entity::find_by_id(id).filter(Column::UserId.eq(user_id)).one(transaction).await?;
                let Some(token) = found else { return Ok(None) };
                Entity::delete_by_id(id).exec(transaction).await?;
                let (target, detail) = (token.name.clone(), String::new());
                let event = Event { at: now, actor: by, action: "token.take_away", target, detail };
                let said = json!({ "token_name": token.name, "user_id": user_id });
                chronicle(transaction, &vault, event, vec![Activity::new("deleted_api_token", said)]).await?;
                Ok(Some(token))
            })
        })
        .await
}

pub(crate) async fn forget_user(transaction: &Transaction, user_id: i64) -> Result<(), StoreError> {
    Entity::delete_many().filter(Column::UserId.eq(user_id)).exec(transaction).await?;
    Ok(())
}
