//! Table `windows_token`: what lets one Windows device enroll, once. Only hashes of tokens are kept. A token of an identity
//! provider has a row from the moment that it was used, so that it is not used again.

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::OnConflict;
use serde_json::json;

use crate::activity::{Activity, chronicle};
use crate::audit::Event;
use crate::{Reader, StoreError, Transaction, Writer, host, team};

/// A row of `windows_token`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "windows_token")]
pub struct Model {
    /// SHA-256 of the token.
    #[sea_orm(primary_key, auto_increment = false)]
    pub hash: Vec<u8>,
    /// The host that it enrolls, where that is certain.
    pub host_id: Option<i64>,
    /// The user whose device it is, where known.
    pub upn: Option<String>,
    /// Who may enroll the same device again with another token; see `windows_enrollment`.
    pub owner: Option<String>,
    /// The team that the host joins.
    pub team_id: Option<i64>,
    /// Who made it.
    pub created_by: String,
    /// When it was made.
    pub created_at: i64,
    /// When it stops working.
    pub expires_at: i64,
    /// When it was used.
    pub used_at: Option<i64>,
}

/// Related rows are read by their own queries.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Keeps a token that was made. `false`: its host or its team is gone.
///
/// # Errors
/// See [`StoreError`].
pub async fn make(writer: &Writer, token: Model) -> Result<bool, StoreError> {
    let input = (writer.vault().clone(), token);
    writer
        .run(input, |transaction, (vault, token)| {
            Box::pin(async move {
                if let Some(id) = token.host_id
                    && host::Entity::find_by_id(id).filter(host::is_there()).one(transaction).await?.is_none()
                {
                    return Ok(false);
                }
                if let Some(id) = token.team_id
                    && team::Entity::find_by_id(id).one(transaction).await?.is_none()
                {
                    return Ok(false);
                }
                let target = token.host_id.map(|id| format!("host {id}")).or(token.upn.clone()).unwrap_or_default();
                let detail = token.team_id.map(|id| format!("team {id}")).unwrap_or_default();
                let (actor, action) = (token.created_by.clone(), "windows_token.make");
                let event = Event { at: token.created_at, actor, action, target, detail };
                let said = json!({ "host_id": token.host_id, "upn": token.upn, "team_id": token.team_id });
                let said = Activity::new("created_windows_enrollment_token", said);
                let said = vec![said.about(token.host_id.into_iter().collect())];
                Entity::insert(ActiveModel::from(token)).exec_without_returning(transaction).await?;
                chronicle(transaction, &vault, event, said).await?;
                Ok(true)
            })
        })
        .await
}

/// The token with this hash, if it can be used now.
///
/// # Errors
/// The database does not answer.
pub async fn usable(reader: &Reader, hash: Vec<u8>, now: i64) -> Result<Option<Model>, StoreError> {
    reader
        .run(move |database| async move {
            let open = Entity::find_by_id(hash).filter(Column::UsedAt.is_null()).filter(Column::ExpiresAt.gt(now));
            Ok(open.one(&database).await?)
        })
        .await
}

/// Whether a token with this hash was used before.
///
/// # Errors
/// The database does not answer.
pub async fn was_used(reader: &Reader, hash: Vec<u8>) -> Result<bool, StoreError> {
    reader
        .run(move |database| async move {
            let used = Entity::find_by_id(hash).filter(Column::UsedAt.is_not_null());
            Ok(used.one(&database).await?.is_some())
        })
        .await
}

/// Uses a token up; `None` if it cannot be used any more.
pub(crate) async fn consume(transaction: &Transaction, hash: Vec<u8>, now: i64) -> Result<Option<Model>, StoreError> {
    let used = Entity::update_many()
        .col_expr(Column::UsedAt, now.into())
        .filter(Column::Hash.eq(hash.clone()))
        .filter(Column::UsedAt.is_null())
        .filter(Column::ExpiresAt.gt(now))
        .exec(transaction)
        .await?;
    if used.rows_affected != 1 {
        return Ok(None);
    }
    Ok(Entity::find_by_id(hash).one(transaction).await?)
}

/// Notes that a token of somebody else was used; `false` if it was before.
pub(crate) async fn note(transaction: &Transaction, used: Model) -> Result<bool, StoreError> {
    let known = OnConflict::column(Column::Hash).do_nothing().to_owned();
    let done = Entity::insert(ActiveModel::from(used)).on_conflict(known).exec_without_returning(transaction).await;
    match done {
        Ok(rows) => Ok(rows == 1),
        Err(DbErr::RecordNotInserted) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Forgets tokens that ended before a moment. Returns how many.
///
/// # Errors
/// See [`StoreError`].
pub async fn forget_before(writer: &Writer, moment: i64) -> Result<u64, StoreError> {
    writer
        .run(moment, |transaction, moment| {
            Box::pin(async move {
                let old = Entity::delete_many().filter(Column::ExpiresAt.lt(moment)).exec(transaction).await?;
                Ok(old.rows_affected)
            })
        })
        .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fresh::on_each;
    use crate::store;
    use crate::vault::Vault;

    fn token(hash: u8, expires_at: i64) -> Model {
        Model {
            hash: vec![hash; 32],
            host_id: None,
            upn: None,
            owner: None,
            team_id: None,
            created_by: "ada".into(),
            created_at: 0,
            expires_at,
            used_at: None,
        }
    }

    #[tokio::test]
    async fn tokens_are_forgotten_some_time_after_they_ended() {
        on_each("windows_tokens", async |url: &str| {
            migration::run(url).await.unwrap();
            let (reader, writer) = store::open(url, Vault::known().unwrap(), 0).await.unwrap();
            for (hash, expires_at) in [(1, 1000), (2, 2000), (3, 3000)] {
                assert!(make(&writer, token(hash, expires_at)).await.unwrap());
            }
            assert!(usable(&reader, vec![2; 32], 1999).await.unwrap().is_some());
            assert!(usable(&reader, vec![2; 32], 2000).await.unwrap().is_none(), "it is over");
            assert_eq!(forget_before(&writer, 2000).await.unwrap(), 1);
            assert_eq!(forget_before(&writer, 2000).await.unwrap(), 0);
            assert!(usable(&reader, vec![2; 32], 1999).await.unwrap().is_some(), "one that ends then stays");
            let nowhere = Model { host_id: Some(999), ..token(4, 1000) };
            assert!(!make(&writer, nowhere).await.unwrap(), "there is no such host");
        })
        .await;
    }
}
