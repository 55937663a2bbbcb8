//! What rows are read from and written in. Usually these are sea-orm's own types and cost nothing; with the feature
//! `faults` they are those of [`crate::fault`], which can be told to fail.

use sea_orm::DbErr;
#[cfg(not(feature = "faults"))]
use sea_orm::TransactionTrait;
use sea_orm::{SqliteTransactionMode, TransactionOptions};

#[cfg(feature = "faults")]
pub(crate) use crate::fault::{Database, Faults as Pools, Transaction};

/// Opens pools.
#[cfg(not(feature = "faults"))]
#[derive(Debug, Default)]
pub(crate) struct Pools {}

#[cfg(not(feature = "faults"))]
impl Pools {
    pub(crate) async fn connect(&self, options: sea_orm::ConnectOptions) -> Result<Database, DbErr> {
        sea_orm::Database::connect(options).await
    }
}

/// A pool of connections.
#[cfg(not(feature = "faults"))]
pub(crate) type Database = sea_orm::DatabaseConnection;

/// What a job writes in: the writer's open transaction, or a savepoint within it.
#[cfg(not(feature = "faults"))]
pub(crate) type Transaction = sea_orm::DatabaseTransaction;

/// Opens a transaction that has the right to write from its beginning.
pub(crate) async fn begin(database: &Database) -> Result<Transaction, DbErr> {
    let immediate = Some(SqliteTransactionMode::Immediate);
    let options = TransactionOptions { sqlite_transaction_mode: immediate, ..TransactionOptions::default() };
    database.begin_with_options(options).await
}

/// Opens a savepoint: what follows can be taken back alone.
pub(crate) async fn savepoint(transaction: &Transaction) -> Result<Transaction, DbErr> {
    transaction.begin().await
}

/// Ends a savepoint: what was written behind it is kept, or taken back.
pub(crate) async fn end(savepoint: Transaction, keep: bool) -> Result<(), DbErr> {
    match keep {
        true => savepoint.commit().await,
        false => savepoint.rollback().await,
    }
}
