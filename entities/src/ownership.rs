//! Table `ownership`: who may write. The one row holds an epoch that each start raises; a transaction that finds another epoch than its
//! own writes nothing, so a server that was paused and replaced cannot harm its successor's hosts.

use sea_orm::ActiveValue::Set;
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{ExprTrait, LockType, OnConflict, Query};

use crate::transaction::begin;
use crate::{Database, StoreError, Transaction};

/// The one row of `ownership`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "ownership")]
pub struct Model {
    /// Always 1.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// How often a server took the database over.
    pub epoch: i64,
    /// When the present owner did.
    pub since: i64,
    /// How often it was tried whether the database takes anything at all.
    pub trials: i64,
}

/// It stands alone.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

const ONLY: i64 = 1;

/// Makes the caller the owner and returns its epoch.
pub(crate) async fn claim(database: &Database, now: i64) -> Result<i64, StoreError> {
    let claiming = begin(database).await?;
    let first = ActiveModel { id: Set(ONLY), epoch: Set(0), since: Set(now), trials: Set(0) };
    let unless_there = OnConflict::column(Column::Id).do_nothing().to_owned();
    Entity::insert(first).on_conflict(unless_there).exec_without_returning(&claiming).await?;
    Entity::update_many()
        .col_expr(Column::Epoch, Expr::col(Column::Epoch).add(1))
        .col_expr(Column::Since, Expr::value(now))
        .filter(Column::Id.eq(ONLY))
        .exec(&claiming)
        .await?;
    let epoch = current(&claiming).await?;
    claiming.commit().await?;
    Ok(epoch)
}

/// Makes sure that no server that ever owned this database, or a later state of it, owns it still: the epoch becomes one
/// that counting has not reached.
pub(crate) async fn leap(transaction: &Transaction, now: i64) -> Result<(), StoreError> {
    let first = ActiveModel { id: Set(ONLY), epoch: Set(0), since: Set(now), trials: Set(0) };
    let unless_there = OnConflict::column(Column::Id).do_nothing().to_owned();
    Entity::insert(first).on_conflict(unless_there).exec_without_returning(transaction).await?;
    let epoch = Ord::max(current(transaction).await?, now) + 1;
    Entity::update_many().col_expr(Column::Epoch, epoch.into()).filter(Column::Id.eq(ONLY)).exec(transaction).await?;
    Ok(())
}

/// Changes something that nobody reads: a disk that is full refuses it as it refuses everything else.
pub(crate) async fn try_writing(transaction: &Transaction) -> Result<(), StoreError> {
    let trial = Expr::col(Column::Trials).add(1);
    Entity::update_many().col_expr(Column::Trials, trial).filter(Column::Id.eq(ONLY)).exec(transaction).await?;
    Ok(())
}

/// Refuses to go on when somebody else owns the database. The shared lock keeps it so until the end of the transaction.
pub(crate) async fn check(transaction: &Transaction, epoch: i64) -> Result<(), StoreError> {
    if current(transaction).await? == epoch { Ok(()) } else { Err(StoreError::Fenced) }
}

async fn current(transaction: &Transaction) -> Result<i64, StoreError> {
    let query = Query::select()
        .column(Column::Epoch)
        .from(Entity)
        .and_where(Column::Id.eq(ONLY))
        .lock(LockType::Share)
        .to_owned();
    let row = transaction.query_one(&query).await?.ok_or(StoreError::Fenced)?;
    Ok(row.try_get_by_index(0)?)
}
