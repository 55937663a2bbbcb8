//! The one task that writes. Whatever queued up while the last transaction ran goes into the next one together, so a
//! busy server pays one disk flush for many hosts and an idle one waits for nobody. A batch with a piece that fails is written
//! again, each piece behind a savepoint of its own: what fails harms only itself.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::transaction::{begin, savepoint};
use crate::turn::{self, Turn};
use crate::vault::Vault;
use crate::{Database, StoreError, Transaction, ownership};

/// Pieces of work in one transaction at most; nearly all of the gain is there at 64.
const BATCH: usize = 256;
/// Pieces of work that may wait; beyond that callers are told to come back.
const WAITING: usize = 8192;
/// Longest time a transaction may take before its callers are answered.
const DEADLINE: Duration = Duration::from_secs(5);

/// The right to change rows.
#[derive(Clone, Debug)]
pub struct Writer {
    work: mpsc::Sender<Work>,
    vault: Vault,
    tally: Arc<Tally>,
}

/// What the writer has done since it started.
#[derive(Debug, Default)]
pub struct Tally {
    /// Committed transactions.
    pub commits: AtomicU64,
    /// Pieces of work in them.
    pub pieces: AtomicU64,
    /// Pieces of work that were not applied.
    pub failures: AtomicU64,
    /// Whether another server took the database over.
    pub fenced: AtomicBool,
}

/// A future of a job, which borrows the transaction it runs in.
pub(crate) type Running<'t, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 't>>;

#[derive(Debug)]
enum Work {
    Turn { turn: Turn, reply: oneshot::Sender<Result<(), StoreError>> },
    Job(Box<dyn Job>),
}

/// A job with its type hidden; it may run twice, when the first transaction that held it failed.
trait Job: Send + std::fmt::Debug {
    fn run<'t>(&'t mut self, transaction: &'t Transaction) -> Running<'t, ()>;
    fn finish(self: Box<Self>, outcome: Result<(), StoreError>);
}

struct TypedJob<I, T> {
    input: I,
    run: for<'t> fn(&'t Transaction, I) -> Running<'t, T>,
    output: Option<T>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl Writer {
    /// Stores all rows of one host's turn, or none of them.
    ///
    /// # Errors
    /// See [`StoreError`]; after [`StoreError::Unknown`] the caller must read its rows again.
    pub async fn host_turn(&self, mut turn: Turn) -> Result<(), StoreError> {
        turn.seal(&self.vault)?;
        let (reply, answer) = oneshot::channel();
        self.submit(Work::Turn { turn, reply }, answer).await
    }

    /// Runs a job in a transaction. The function gets a copy of the input each time it runs.
    pub(crate) async fn run<I, T>(
        &self,
        input: I,
        run: for<'t> fn(&'t Transaction, I) -> Running<'t, T>,
    ) -> Result<T, StoreError>
    where
        I: Clone + Send + 'static,
        T: Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        self.submit(Work::Job(Box::new(TypedJob { input, run, output: None, reply })), answer).await
    }

    /// What seals and opens secrets.
    pub fn vault(&self) -> &Vault {
        &self.vault
    }

    /// What the writer has done so far.
    pub fn tally(&self) -> Arc<Tally> {
        self.tally.clone()
    }

    async fn submit<T>(&self, work: Work, answer: oneshot::Receiver<Result<T, StoreError>>) -> Result<T, StoreError> {
        let refused = |why: &str| StoreError::NotApplied(why.into());
        self.work.try_send(work).map_err(|_| refused("too much work is waiting for the database"))?;
        match timeout(DEADLINE * 2, answer).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(StoreError::Unknown("the writer stopped".into())),
            Err(_) => Err(StoreError::Unknown("the database did not answer in time".into())),
        }
    }
}

/// Starts the writing task on the present runtime; with an epoch, it stops writing when another server takes over.
pub(crate) fn start(database: Database, vault: Vault, epoch: Option<i64>) -> Writer {
    let (work, mut queue) = mpsc::channel(WAITING);
    let tally = Arc::new(Tally::default());
    let counted = tally.clone();
    tokio::spawn(async move {
        let mut batch = Vec::new();
        while queue.recv_many(&mut batch, BATCH).await > 0 {
            write(&database, epoch, std::mem::take(&mut batch), &counted).await;
        }
    });
    Writer { work, vault, tally }
}

/// One transaction for the whole batch. Where one piece is at fault, a second one, in which each piece stands alone.
async fn write(database: &Database, epoch: Option<i64>, mut batch: Vec<Work>, tally: &Tally) {
    let applied = match timeout(DEADLINE, apply(database, epoch, &mut batch)).await {
        Ok(applied) => applied,
        Err(_) => Err(StoreError::NotApplied("the database did not answer in time".into())),
    };
    let (outcomes, end) = match applied {
        Ok((transaction, outcomes)) => (outcomes, commit(transaction).await),
        Err(error) => (vec![Ok(()); batch.len()], Err(error)),
    };
    tally.fenced.fetch_or(matches!(end, Err(StoreError::Fenced)), Relaxed);
    for (work, outcome) in batch.into_iter().zip(outcomes) {
        let outcome = outcome.and_then(|()| end.clone());
        let counter = if outcome.is_ok() { &tally.pieces } else { &tally.failures };
        counter.fetch_add(1, Relaxed);
        work.finish(outcome);
    }
    tally.commits.fetch_add(u64::from(end.is_ok()), Relaxed);
}

type Applied = (Transaction, Vec<Result<(), StoreError>>);

async fn apply(database: &Database, epoch: Option<i64>, batch: &mut [Work]) -> Result<Applied, StoreError> {
    let transaction = owned(database, epoch).await?;
    match together(&transaction, batch).await {
        Ok(()) => return Ok((transaction, vec![Ok(()); batch.len()])),
        Err(_) => transaction.rollback().await?,
    }
    let transaction = owned(database, epoch).await?;
    let mut outcomes = Vec::with_capacity(batch.len());
    for work in batch {
        outcomes.push(alone(&transaction, work).await?);
    }
    Ok((transaction, outcomes))
}

/// A transaction in a database that nobody else took over.
async fn owned(database: &Database, epoch: Option<i64>) -> Result<Transaction, StoreError> {
    let transaction = begin(database).await?;
    if let Some(epoch) = epoch {
        ownership::check(&transaction, epoch).await?;
    }
    Ok(transaction)
}

/// Writes a batch without savepoints, which cost more than what they guard: all turns with one statement per kind of change, then
/// the jobs. An error says only that some piece is at fault.
async fn together(transaction: &Transaction, batch: &mut [Work]) -> Result<(), StoreError> {
    let turns: Vec<&Turn> = batch.iter().filter_map(Work::turn).collect();
    turn::apply(transaction, &turns).await?;
    for work in batch {
        if let Work::Job(job) = work {
            job.run(transaction).await?;
        }
    }
    Ok(())
}

/// Runs one piece behind a savepoint. The outer error means that the transaction itself is broken.
async fn alone(transaction: &Transaction, work: &mut Work) -> Result<Result<(), StoreError>, StoreError> {
    let savepoint = savepoint(transaction).await?;
    let outcome = match work {
        Work::Turn { turn, .. } => turn::apply(&savepoint, &[turn]).await,
        Work::Job(job) => job.run(&savepoint).await,
    };
    match outcome {
        Ok(()) => savepoint.commit().await?,
        Err(_) => savepoint.rollback().await?,
    }
    Ok(outcome)
}

/// Once a commit was sent, only its success is certain; what a full disk refused is certain too.
async fn commit(transaction: Transaction) -> Result<(), StoreError> {
    match timeout(DEADLINE, transaction.commit()).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) if error.to_string().contains("database or disk is full") => {
            Err(StoreError::NotApplied(error.to_string()))
        }
        Ok(Err(error)) => Err(StoreError::Unknown(error.to_string())),
        Err(_) => Err(StoreError::Unknown("the commit was not confirmed in time".into())),
    }
}

impl Work {
    fn turn(&self) -> Option<&Turn> {
        match self {
            Self::Turn { turn, .. } => Some(turn),
            Self::Job(_) => None,
        }
    }

    /// Answers the caller; one that went away meanwhile is no concern of the rows.
    fn finish(self, outcome: Result<(), StoreError>) {
        match self {
            Self::Turn { reply, .. } => drop(reply.send(outcome)),
            Self::Job(job) => job.finish(outcome),
        }
    }
}

impl<I: Clone + Send, T: Send> Job for TypedJob<I, T> {
    fn run<'t>(&'t mut self, transaction: &'t Transaction) -> Running<'t, ()> {
        let running = (self.run)(transaction, self.input.clone());
        let output = &mut self.output;
        Box::pin(async move {
            *output = Some(running.await?);
            Ok(())
        })
    }

    fn finish(self: Box<Self>, outcome: Result<(), StoreError>) {
        let Self { output, reply, .. } = *self;
        let lost = || StoreError::Unknown("the job left no answer".into());
        drop(reply.send(outcome.and_then(|()| output.ok_or_else(lost))));
    }
}

impl<I, T> std::fmt::Debug for TypedJob<I, T> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("TypedJob")
    }
}
