//! Table `session`: people who signed in. What proves it has 256 random bits and is kept as its SHA-256.

use sea_orm::entity::prelude::*;
use sea_orm::{ActiveValue, ActiveValue::Set, Condition, QueryOrder};
use serde_json::json;

use crate::activity::{Activity, chronicle};
use crate::audit::{self, Event};
use crate::{Reader, StoreError, Transaction, Writer, invite, password_reset, user};

/// A session ends when it was not used for so long, in milliseconds: 8 hours.
pub const IDLE: i64 = 8 * 3600 * 1000;
/// A session ends at this age however much it is used, in milliseconds: 24 hours.
pub const LONGEST: i64 = 24 * 3600 * 1000;
/// Its last use is noted with a delay of so much, in milliseconds: a minute.
pub const NOTED_EVERY: i64 = 60 * 1000;

/// A row of `session`.
#[derive(Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "session")]
pub struct Model {
    /// Row number.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// Who signed in.
    pub user_id: i64,
    /// SHA-256 of what the person shows; unique.
    pub hash: Vec<u8>,
    /// When they signed in.
    pub created_at: i64,
    /// When it was last used, with some delay.
    pub last_used_at: i64,
    /// When it ends at the latest.
    pub expires_at: i64,
}

/// Related rows are read by their own queries.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl std::fmt::Debug for Model {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "session {} of user {}", self.id, self.user_id)
    }
}

/// Which sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// The one with this row number.
    One(i64),
    /// All of a user.
    OfUser(i64),
}

/// The session of whoever shows this, if it still lasts.
///
/// # Errors
/// The database does not answer.
pub async fn by_hash(reader: &Reader, hash: Vec<u8>, now: i64) -> Result<Option<Model>, StoreError> {
    reader
        .run(move |database| async move {
            Ok(Entity::find().filter(Column::Hash.eq(hash)).filter(lasting(now)).one(&database).await?)
        })
        .await
}

/// The session with this row number, if it still lasts.
///
/// # Errors
/// The database does not answer.
pub async fn by_id(reader: &Reader, id: i64, now: i64) -> Result<Option<Model>, StoreError> {
    reader
        .run(move |database| async move { Ok(Entity::find_by_id(id).filter(lasting(now)).one(&database).await?) })
        .await
}

/// The sessions of a user that still last, the newest first.
///
/// # Errors
/// The database does not answer.
pub async fn list(reader: &Reader, user_id: i64, now: i64) -> Result<Vec<Model>, StoreError> {
    reader
        .run(move |database| async move {
            let of_user = Entity::find().filter(Column::UserId.eq(user_id)).filter(lasting(now));
            Ok(of_user.order_by_desc(Column::Id).all(&database).await?)
        })
        .await
}

/// Signs somebody in. `None` when they may not any more: disabled or gone since it was looked at.
///
/// # Errors
/// See [`StoreError`].
pub async fn open(writer: &Writer, user_id: i64, hash: Vec<u8>, now: i64) -> Result<Option<Model>, StoreError> {
    let input = (writer.vault().clone(), user_id, hash, now);
    writer
        .run(input, |transaction, (vault, user_id, hash, now)| {
            Box::pin(async move {
                let user = user::one(transaction, user::Column::Id.eq(user_id)).await?;
                let Some(user) = user.filter(|user| !user.row.disabled && !user.row.api_only) else { return Ok(None) };
                let row = ActiveModel {
                    id: ActiveValue::NotSet,
                    user_id: Set(user_id),
                    hash: Set(hash),
                    created_at: Set(now),
                    last_used_at: Set(now),
                    expires_at: Set(now.saturating_add(LONGEST)),
                };
                let session = Entity::insert(row).exec_with_returning(transaction).await?;
                let (actor, target) = (user.row.email, format!("session {}", session.id));
                let event = Event { at: now, actor, action: "session.open", target, detail: String::new() };
                let said = Activity::new("user_logged_in", json!({}));
                chronicle(transaction, &vault, event, vec![said]).await?;
                Ok(Some(session))
            })
        })
        .await
}

/// Ends sessions. Returns how many there were.
///
/// # Errors
/// See [`StoreError`].
pub async fn end(writer: &Writer, which: Which, by: String, now: i64) -> Result<u64, StoreError> {
    let input = (writer.vault().clone(), which, by, now);
    writer
        .run(input, |transaction, (vault, which, by, now)| {
            Box::pin(async move {
                let (matching, target) = match which {
                    Which::One(id) => (Column::Id.eq(id), format!("session {id}")),
                    Which::OfUser(id) => (Column::UserId.eq(id), format!("user {id}")),
                };
                let ended = Entity::delete_many().filter(matching).exec(transaction).await?.rows_affected;
                let detail = format!("{ended} ended");
                audit::record(transaction, &vault, Event { at: now, actor: by, action: "session.end", target, detail })
                    .await?;
                Ok(ended)
            })
        })
        .await
}

/// Notes that a session is used.
///
/// # Errors
/// See [`StoreError`].
pub async fn note_use(writer: &Writer, id: i64, now: i64) -> Result<(), StoreError> {
    writer
        .run((id, now), |transaction, (id, now)| {
            Box::pin(async move {
                Entity::update_many()
                    .col_expr(Column::LastUsedAt, now.into())
                    .filter(Column::Id.eq(id))
                    .exec(transaction)
                    .await?;
                Ok(())
            })
        })
        .await
}

/// Forgets sessions, invitations and ways to a new password that have ended. Returns how many.
///
/// # Errors
/// See [`StoreError`].
pub async fn forget_ended(writer: &Writer, now: i64) -> Result<u64, StoreError> {
    writer
        .run(now, |transaction, now| {
            Box::pin(async move {
                let ended = Condition::any().add(Column::ExpiresAt.lte(now)).add(Column::LastUsedAt.lte(now - IDLE));
                let sessions = Entity::delete_many().filter(ended).exec(transaction).await?.rows_affected;
                let invites = invite::forget_ended(transaction, now).await?;
                Ok(sessions + invites + password_reset::forget_ended(transaction, now).await?)
            })
        })
        .await
}

pub(crate) async fn forget_user(transaction: &Transaction, user_id: i64) -> Result<(), StoreError> {
    Entity::delete_many().filter(Column::UserId.eq(user_id)).exec(transaction).await?;
    Ok(())
}

fn lasting(now: i64) -> Condition {
    Condition::all().add(Column::ExpiresAt.gt(now)).add(Column::LastUsedAt.gt(now - IDLE))
}

#[cfg(test)]
mod tests {
    use sea_orm::{ConnectionTrait, Database, PaginatorTrait};

    use super::*;
    use crate::fresh::on_each;
    use crate::store;
    use crate::vault::Vault;

    #[tokio::test]
    async fn what_has_ended_is_forgotten_and_what_lasts_is_not() {
        on_each("sessions", async |url: &str| {
            migration::run(url).await.unwrap();
            let (reader, writer) = store::open(url, Vault::known().unwrap(), 0).await.unwrap();
            let database = Database::connect(url).await.unwrap();
            let now = 10 * LONGEST;
            for (number, (last_used, expires)) in
                [(now, now + 1), (now, now), (now - IDLE, now + 1), (now - IDLE + 1, now + 1)].into_iter().enumerate()
            {
                let row = ActiveModel {
                    id: ActiveValue::NotSet,
                    user_id: Set(1),
                    hash: Set(vec![number as u8]),
                    created_at: Set(0),
                    last_used_at: Set(last_used),
                    expires_at: Set(expires),
                };
                Entity::insert(row).exec_without_returning(&database).await.unwrap();
            }
            let ended = "INSERT INTO invite (email, name, roles, sso_enabled, hash, invited_by, created_at, expires_at) VALUES \
                         ('a', '', '', false, 'x', '', 0, 5)";
            database.execute_unprepared(&ended.replace("'x'", if url.starts_with("sqlite") { "x'00'" } else { "'\\x00'" })).await.unwrap();
            assert_eq!(forget_ended(&writer, now).await.unwrap(), 3);
            let left: Vec<u8> = list(&reader, 1, now).await.unwrap().iter().map(|row| row.hash[0]).collect();
            assert_eq!(left, [3, 0]);
            assert_eq!(Entity::find().count(&database).await.unwrap(), 2);
            database.close().await.unwrap();
        })
        .await;
    }
}
