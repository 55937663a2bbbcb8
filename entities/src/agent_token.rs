//! Table `agent_token`: the tokens by which the desktop of a host is known to be on that host. Its agent makes a new one every hour;
//! the one before goes on until it ends, so that nobody is cut off in between. Only hashes are kept.

use sea_orm::entity::prelude::*;
use sea_orm::{ActiveValue::Set, QueryOrder, QuerySelect};

use crate::{Reader, StoreError, Transaction, Writer, host};

/// Tokens of a host that are kept.
const KEPT: u64 = 2;

/// A row of `agent_token`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "agent_token")]
pub struct Model {
    /// SHA-256 of the token.
    #[sea_orm(primary_key, auto_increment = false)]
    pub token_hash: Vec<u8>,
    /// The host.
    pub host_id: i64,
    /// When it was made.
    pub created_at: i64,
}

/// Related rows are read by their own queries.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Gives a host a token; one that it has already stays as old as it is.
///
/// # Errors
/// [`StoreError::Conflict`] when another host has it; see [`StoreError`].
pub async fn set(writer: &Writer, host_id: i64, token_hash: Vec<u8>, now: i64) -> Result<(), StoreError> {
    writer
        .run((host_id, token_hash, now), |transaction, (host_id, token_hash, now)| {
            Box::pin(set_in(transaction, host_id, token_hash, now))
        })
        .await
}

async fn set_in(transaction: &Transaction, host_id: i64, token_hash: Vec<u8>, now: i64) -> Result<(), StoreError> {
    let known = Entity::find_by_id(token_hash.clone()).one(transaction).await?;
    match known {
        Some(row) if row.host_id == host_id => return Ok(()),
        Some(_) => return Err(StoreError::Conflict("another host has this token".into())),
        None => {}
    }
    let row = ActiveModel { token_hash: Set(token_hash), host_id: Set(host_id), created_at: Set(now) };
    Entity::insert(row).exec_without_returning(transaction).await?;
    let kept = Entity::find().select_only().column(Column::TokenHash).filter(Column::HostId.eq(host_id));
    let kept = kept.order_by_desc(Column::CreatedAt).order_by_desc(Column::TokenHash).limit(KEPT);
    let kept = kept.into_tuple::<Vec<u8>>().all(transaction).await?;
    let rest = Entity::delete_many().filter(Column::HostId.eq(host_id)).filter(Column::TokenHash.is_not_in(kept));
    rest.exec(transaction).await?;
    Ok(())
}

/// The host of a token that was made after this moment, unless the host was deleted.
///
/// # Errors
/// The database does not answer.
pub async fn host_of(reader: &Reader, token_hash: Vec<u8>, since: i64) -> Result<Option<host::Model>, StoreError> {
    reader
        .run(move |database| async move {
            let token = Entity::find_by_id(token_hash).filter(Column::CreatedAt.gt(since)).one(&database).await?;
            let Some(token) = token else { return Ok(None) };
            Ok(host::Entity::find_by_id(token.host_id).filter(host::is_there()).one(&database).await?)
        })
        .await
}

/// Whoever is on these hosts must be given a new token.
pub(crate) async fn forget(transaction: &Transaction, hosts: &[i64]) -> Result<(), StoreError> {
    Entity::delete_many().filter(Column::HostId.is_in(hosts.iter().copied())).exec(transaction).await?;
    Ok(())
}

/// One host turns out to be another one.
pub(crate) async fn hand_over(transaction: &Transaction, from: i64, to: i64) -> Result<(), StoreError> {
    Entity::update_many().col_expr(Column::HostId, to.into()).filter(Column::HostId.eq(from)).exec(transaction).await?;
    Ok(())
}
