//! A store that fails where a test wants it to: any statement, in each of the ways in which statements fail. Only with
//! the feature `faults`; the released binary is built without it.
//!
//! A [`Plan`] is asked about every statement before it runs. With [`Faults::in_steps`] a statement also becomes one step
//! on the thread of the one who asks, whatever threads the database uses: under a runtime whose time is paused, a run is
//! then the same each time.

use std::fmt::Debug;
use std::future::{Future, pending};
use std::ops::Deref;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use sea_orm::prelude::async_trait::async_trait;
use sea_orm::{
    ConnectOptions, ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, ExecResult,
    QueryResult, RuntimeErr, Statement as Sql, TransactionOptions, TransactionTrait,
};
use tokio::runtime::Handle;

/// What is about to be asked of the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Statement {
    /// A query outside of transactions.
    Read,
    /// The beginning of a transaction.
    Begin,
    /// A statement within a transaction.
    Within,
    /// The beginning of a savepoint.
    Savepoint,
    /// The end of a savepoint.
    EndSavepoint,
    /// The end of a transaction.
    Commit,
}

/// What becomes of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// It runs.
    Runs,
    /// It has no effect, and its caller gets an error.
    Fails,
    /// It takes effect, and its caller gets an error nevertheless.
    FailsAfterwards,
    /// It has no effect, and its caller never gets an answer.
    Hangs,
    /// It takes effect, and its caller never gets an answer.
    HangsAfterwards,
}

/// Decides about statements.
pub trait Plan: Debug + Send + Sync {
    /// What becomes of the next statement, and how long that takes.
    fn next(&self, statement: Statement) -> (Duration, Fate);
}

/// The faults of one store. The default has none.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    plan: Option<Arc<dyn Plan>>,
    io: Option<Handle>,
}

/// A pool of connections whose statements can fail.
#[derive(Clone, Debug)]
pub(crate) struct Database {
    inner: DatabaseConnection,
    faults: Faults,
}

/// A transaction or a savepoint whose statements can fail.
#[derive(Debug)]
pub(crate) struct Transaction {
    inner: Held,
    savepoint: bool,
}

/// A transaction that is dropped where its connection is at home.
#[derive(Debug)]
struct Held {
    inner: Option<DatabaseTransaction>,
    faults: Faults,
}

impl Faults {
    /// Statements go as the plan says.
    pub fn planned(plan: Arc<dyn Plan>) -> Self {
        Self { plan: Some(plan), io: None }
    }

    /// Each statement runs in one step on the thread of its caller; what the pool does beside it runs on `io`, a runtime
    /// with threads of its own.
    #[must_use]
    pub fn in_steps(self, io: Handle) -> Self {
        Self { io: Some(io), ..self }
    }

    /// Opens a pool.
    pub(crate) async fn connect(&self, mut options: ConnectOptions) -> Result<Database, DbErr> {
        if self.io.is_some() {
            options.max_connections(1); // one step at a time needs no more
        }
        let inner = self.run(sea_orm::Database::connect(options)).await?;
        Ok(Database { inner, faults: self.clone() })
    }

    async fn statement<T, F>(&self, statement: Statement, start: impl FnOnce() -> F) -> Result<T, DbErr>
    where
        F: Future<Output = Result<T, DbErr>>,
    {
        let Some(plan) = &self.plan else { return self.run(start()).await };
        let (delay, fate) = plan.next(statement);
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        let failed = || DbErr::Exec(RuntimeErr::Internal(format!("a test lets this fail: {statement:?}")));
        match fate {
            Fate::Runs => self.run(start()).await,
            Fate::Fails => Err(failed()),
            Fate::FailsAfterwards => {
                self.discard(self.run(start()).await?);
                Err(failed())
            }
            Fate::Hangs => pending().await,
            Fate::HangsAfterwards => {
                self.discard(self.run(start()).await);
                pending().await
            }
        }
    }

    async fn run<F: Future>(&self, future: F) -> F::Output {
        match &self.io {
            Some(io) => in_one_step(io, future),
            None => future.await,
        }
    }

    /// Drops something that may hold a connection where that is at home.
    fn discard<T>(&self, value: T) {
        let _at_home = self.io.as_ref().map(Handle::enter);
        drop(value);
    }

    fn held(&self, inner: DatabaseTransaction) -> Held {
        Held { inner: Some(inner), faults: self.clone() }
    }
}

impl Held {
    fn get(&self) -> Result<&DatabaseTransaction, DbErr> {
        self.inner.as_ref().ok_or_else(gone)
    }

    async fn end(mut self, commit: bool) -> Result<(), DbErr> {
        let inner = self.inner.take().ok_or_else(gone)?;
        if commit { inner.commit().await } else { inner.rollback().await }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.faults.discard(self.inner.take());
    }
}

impl Database {
    pub(crate) async fn begin_with_options(&self, options: TransactionOptions) -> Result<Transaction, DbErr> {
        let begun = self.faults.statement(Statement::Begin, || self.inner.begin_with_options(options));
        Ok(Transaction { inner: self.faults.held(begun.await?), savepoint: false })
    }
}

impl Transaction {
    pub(crate) async fn begin(&self) -> Result<Self, DbErr> {
        let (faults, inner) = (&self.inner.faults, self.inner.get()?);
        let begun = faults.statement(Statement::Savepoint, || inner.begin());
        Ok(Self { inner: faults.held(begun.await?), savepoint: true })
    }

    pub(crate) async fn commit(self) -> Result<(), DbErr> {
        self.end(true).await
    }

    pub(crate) async fn rollback(self) -> Result<(), DbErr> {
        self.end(false).await
    }

    async fn end(self, commit: bool) -> Result<(), DbErr> {
        let statement = if self.savepoint { Statement::EndSavepoint } else { Statement::Commit };
        let faults = self.inner.faults.clone();
        faults.statement(statement, move || self.inner.end(commit)).await
    }
}

/// Reading what cannot fail: the kind of the database, and whether it answers.
impl Deref for Database {
    type Target = DatabaseConnection;

    fn deref(&self) -> &Self::Target {
        &self.inner
    }
}

#[async_trait]
impl ConnectionTrait for Database {
    fn get_database_backend(&self) -> DbBackend {
        self.inner.get_database_backend()
    }

    async fn execute_raw(&self, sql: Sql) -> Result<ExecResult, DbErr> {
        self.faults.statement(Statement::Read, || self.inner.execute_raw(sql)).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.faults.statement(Statement::Read, || self.inner.execute_unprepared(sql)).await
    }

    async fn query_one_raw(&self, sql: Sql) -> Result<Option<QueryResult>, DbErr> {
        self.faults.statement(Statement::Read, || self.inner.query_one_raw(sql)).await
    }

    async fn query_all_raw(&self, sql: Sql) -> Result<Vec<QueryResult>, DbErr> {
        self.faults.statement(Statement::Read, || self.inner.query_all_raw(sql)).await
    }
}

#[async_trait]
impl ConnectionTrait for Transaction {
    fn get_database_backend(&self) -> DbBackend {
        self.inner.inner.as_ref().map_or(DbBackend::Sqlite, ConnectionTrait::get_database_backend)
    }

    async fn execute_raw(&self, sql: Sql) -> Result<ExecResult, DbErr> {
        let inner = self.inner.get()?;
        self.inner.faults.statement(Statement::Within, || inner.execute_raw(sql)).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        let inner = self.inner.get()?;
        self.inner.faults.statement(Statement::Within, || inner.execute_unprepared(sql)).await
    }

    async fn query_one_raw(&self, sql: Sql) -> Result<Option<QueryResult>, DbErr> {
        let inner = self.inner.get()?;
        self.inner.faults.statement(Statement::Within, || inner.query_one_raw(sql)).await
    }

    async fn query_all_raw(&self, sql: Sql) -> Result<Vec<QueryResult>, DbErr> {
        let inner = self.inner.get()?;
        self.inner.faults.statement(Statement::Within, || inner.query_all_raw(sql)).await
    }
}

/// A transaction is taken only by its end, which consumes it.
fn gone() -> DbErr {
    DbErr::Exec(RuntimeErr::Internal("the transaction has ended".into()))
}

/// Runs a future to its end on this thread. Nothing else happens on it meanwhile, so no paused time goes on.
fn in_one_step<F: Future>(io: &Handle, future: F) -> F::Output {
    let _at_home = io.enter();
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    // The runtime's fairness has no meaning here: this future would wait for a turn that never comes.
    let mut future = pin!(tokio::task::unconstrained(future));
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
