//! Opening a database, asking it, and what can go wrong.
//!
//! SQLite keeps everything in one file: write-ahead log, `synchronous=FULL`, one connection that writes and a few that
//! only read. PostgreSQL is one pool. Connections live on the I/O runtime alone: a pooled connection belongs to the
//! runtime that opened it, and a busy actor thread would stall whoever shares it.

use std::future::Future;
use std::time::Duration;

use sea_orm::sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous};
use sea_orm::sqlx::{self, Connection};
use sea_orm::{ConnectOptions, DbErr, SqlErr};
use tokio::runtime::Handle;
use tokio::time::timeout;

#[cfg(feature = "faults")]
use crate::fault::Faults;
use crate::transaction::Pools;
use crate::vault::Vault;
use crate::writer::Writer;
use crate::{Database, ownership, vault_key, writer};

/// Longest time a read may take before its caller is told to try again.
const READ_DEADLINE: Duration = Duration::from_secs(5);
/// How long SQLite waits for a lock that another process holds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long to wait for a free connection of a pool, or for a new one, which takes several ways there and back.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(4);

/// What went wrong, by what the caller can do about it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Another row stands in the way, or the row to change is no longer as expected. Nothing was changed.
    #[error("conflicts with what is stored: {0}")]
    Conflict(String),
    /// The change was certainly not made; it may be tried again.
    #[error("not stored: {0}")]
    NotApplied(String),
    /// Nobody knows whether the change was made: read the rows before going on.
    #[error("it is unknown whether it was stored: {0}")]
    Unknown(String),
    /// A stored secret does not open: it was changed, or its key is missing. Trying again does not help.
    #[error("a stored secret cannot be read: {0}")]
    Unreadable(String),
    /// The root keys do not fit the database: nothing may be done with it.
    #[error("{0}")]
    WrongKey(String),
    /// Another server took over this database; this one must stop.
    #[error("another server owns this database now")]
    Fenced,
}

/// The right to ask.
#[derive(Clone, Debug)]
pub struct Reader {
    database: Database,
    io: Handle,
    vault: Vault,
}

/// Opens the database behind `url` (`sqlite:<path>` or `postgres://…`), takes ownership of it, and starts the task
/// that writes. Must run on the I/O runtime; migrations must have been applied.
///
/// # Errors
/// The database cannot be reached, its schema is not there, or the vault's keys do not fit it.
pub async fn open(url: &str, vault: Vault, now: i64) -> Result<(Reader, Writer), StoreError> {
    own(connect(url, vault, now, &Pools::default()).await?, now).await
}

/// The same with a store that fails as it is told to. Its root key is always the same one, and no secret.
///
/// # Errors
/// Those of [`open`], and what the plan lets fail.
#[cfg(feature = "faults")]
pub async fn open_with(url: &str, now: i64, faults: &Faults) -> Result<(Reader, Writer), StoreError> {
    own(connect(url, Vault::known()?, now, faults).await?, now).await
}

async fn own((reader, writing): (Reader, Database), now: i64) -> Result<(Reader, Writer), StoreError> {
    let epoch = ownership::claim(&writing, now).await?;
    let vault = reader.vault.clone();
    Ok((reader, writer::start(writing, vault, Some(epoch))))
}

/// Opens the database beside the server that owns it, for small changes that touch no host, such as a new API token.
///
/// # Errors
/// The database cannot be reached, or the vault's keys do not fit it.
pub async fn open_beside(url: &str, vault: Vault, now: i64) -> Result<(Reader, Writer), StoreError> {
    let (reader, writing) = connect(url, vault, now, &Pools::default()).await?;
    let vault = reader.vault.clone();
    Ok((reader, writer::start(writing, vault, None)))
}

/// Whether the database behind `url` holds sealed values, so that a new root key would be the wrong one. Migrations must
/// have been applied.
///
/// # Errors
/// The database cannot be reached.
pub async fn needs_keys(url: &str) -> Result<bool, StoreError> {
    vault_key::is_any(&connect_alone(url).await?).await
}

/// One connection for what takes as long as the database is large.
pub(crate) async fn connect_alone(url: &str) -> Result<Database, StoreError> {
    let options = if url.starts_with("sqlite:") { sqlite(url, false) } else { postgres(url) };
    Ok(Pools::default().connect(options).await?)
}

async fn connect(url: &str, vault: Vault, now: i64, pools: &Pools) -> Result<(Reader, Database), StoreError> {
    let io = Handle::current();
    let (reading, writing) = if url.starts_with("sqlite:") {
        let writing = pools.connect(sqlite(url, false)).await?;
        (pools.connect(sqlite(url, true)).await?, writing)
    } else {
        let pool = pools.connect(postgres(url)).await?;
        (pool.clone(), pool)
    };
    vault_key::check(&writing, &vault, now).await?;
    Ok((Reader { database: reading, io, vault }, writing))
}

fn sqlite(url: &str, read_only: bool) -> ConnectOptions {
    let mut options = ConnectOptions::new(url);
    options.max_connections(if read_only { 4 } else { 1 }).min_connections(1);
    options.acquire_timeout(ACQUIRE_TIMEOUT).sqlx_logging(false).test_before_acquire(false);
    options.idle_timeout(None::<Duration>).max_lifetime(None::<Duration>);
    options.map_sqlx_sqlite_pool_opts(|pool| pool.before_acquire(|connection, _| Box::pin(is_at_rest(connection))));
    options.map_sqlx_sqlite_opts(move |sqlite| {
        let sqlite = sqlite.busy_timeout(BUSY_TIMEOUT).foreign_keys(true).statement_cache_capacity(256);
        if read_only {
            sqlite.pragma("query_only", "ON")
        } else {
            sqlite.journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Full)
        }
    });
    options
}

fn postgres(url: &str) -> ConnectOptions {
    let mut options = ConnectOptions::new(url);
    options.max_connections(8).min_connections(1).acquire_timeout(ACQUIRE_TIMEOUT).sqlx_logging(false);
    options.set_application_name("rookery").statement_timeout(READ_DEADLINE);
    options.map_sqlx_postgres_pool_opts(|pool| pool.before_acquire(|connection, _| Box::pin(is_at_rest(connection))));
    options
}

/// Whether a connection may be used again. When a full disk refuses a commit, SQLite ends the transaction, and sqlx goes on
/// believing in it: what follows would be savepoints within a transaction that nobody ever commits, and everything that was
/// confirmed since would be gone with the process. Such a connection is closed instead.
async fn is_at_rest<C: Connection>(connection: &mut C) -> Result<bool, sqlx::Error> {
    if connection.is_in_transaction() {
        connection.ping().await?; // a transaction that was dropped may only now be taken back
    }
    Ok(!connection.is_in_transaction())
}

impl Reader {
    /// Runs a query on the I/O runtime; the query's own future is dropped neither by its caller nor by a deadline.
    pub(crate) async fn run<T, Q, F>(&self, query: Q) -> Result<T, StoreError>
    where
        T: Send + 'static,
        Q: FnOnce(Database) -> F + Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let asked = self.io.spawn(query(self.database.clone()));
        match timeout(READ_DEADLINE, asked).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(gone)) => Err(StoreError::NotApplied(format!("the query did not end: {gone}"))),
            Err(_) => Err(StoreError::NotApplied("the database did not answer in time".into())),
        }
    }

    /// What seals and opens secrets.
    pub fn vault(&self) -> &Vault {
        &self.vault
    }

    /// Whether the database answers at all.
    ///
    /// # Errors
    /// It does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.run(|database| async move { Ok(database.ping().await?) }).await
    }

    /// The name of the database's kind, for people.
    pub fn kind(&self) -> &'static str {
        match self.database.get_database_backend() {
            sea_orm::DbBackend::Sqlite => "SQLite",
            _ => "PostgreSQL",
        }
    }
}

/// Before a commit was sent, every failure means that nothing was stored.
impl From<DbErr> for StoreError {
    fn from(error: DbErr) -> Self {
        match error.sql_err() {
            Some(SqlErr::UniqueConstraintViolation(text) | SqlErr::ForeignKeyConstraintViolation(text)) => {
                Self::Conflict(text)
            }
            _ => Self::NotApplied(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use sea_orm::ConnectionTrait;

    use super::*;
    use crate::transaction::begin;

    #[tokio::test]
    async fn a_transaction_that_ended_by_itself_swallows_none_that_follow() {
        let file = std::env::temp_dir().join(format!("rookery-store-{}.sqlite", std::process::id()));
        let url = format!("sqlite:{}?mode=rwc", file.display());
        let database = connect_alone(&url).await.unwrap();
        database.execute_unprepared("CREATE TABLE kept (what TEXT)").await.unwrap();
        let ended = begin(&database).await.unwrap();
        ended.execute_unprepared("ROLLBACK").await.unwrap(); // as SQLite itself does when its disk is full
        assert!(ended.commit().await.is_err());
        begin(&database).await.unwrap().rollback().await.unwrap();
        let next = begin(&database).await.unwrap();
        next.execute_unprepared("INSERT INTO kept VALUES ('this')").await.unwrap();
        next.commit().await.unwrap();
        let other = connect_alone(&url).await.unwrap();
        let seen = other.execute_unprepared("DELETE FROM kept").await.unwrap();
        assert_eq!(seen.rows_affected(), 1, "another connection sees what was committed");
        drop((database, other));
        for part in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{part}", file.display()));
        }
    }
}
