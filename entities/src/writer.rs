//! The one task that writes. Whatever queued up while the last transaction ran goes into the next one together, so a
//! busy server pays one disk flush for many hosts and an idle one waits for nobody. A batch with a piece that fails is written
//! again in halves, each behind a savepoint, and so on down to the piece at fault: what fails harms only itself.

mod outage;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::enqueue::{self, Enqueued, Request};
use crate::news::{self, Ear, News};
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
    ear: Ear,
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
    /// Whether nothing can be stored at present: the database is away, or its disk is full.
    pub failing: AtomicBool,
}

/// A future of a job, which borrows the transaction it runs in.
pub(crate) type Running<'t, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 't>>;

enum Work {
    Turn { turn: Turn, reply: oneshot::Sender<Result<(), StoreError>> },
    Enqueue { request: Box<Request>, made: Option<Enqueued>, reply: oneshot::Sender<Result<Enqueued, StoreError>> },
    Job(Box<dyn Job>),
}

/// A job with its type hidden; it may run several times, when a piece beside it failed.
trait Job: Send {
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

    /// Stores all rows of a request to queue a command, or none of them.
    pub(crate) async fn enqueue(&self, request: Request) -> Result<Enqueued, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.submit(Work::Enqueue { request: Box::new(request), made: None, reply }, answer).await
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

    /// Lets somebody be told of what was written, at the moment it is committed. Once.
    pub fn listen(&self, listener: impl Fn(&[News]) + Send + Sync + 'static) {
        self.ear.listen(listener);
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

/// What the writing task works with.
struct Desk {
    database: Database,
    vault: Vault,
    epoch: Option<i64>,
    tally: Arc<Tally>,
    ear: Ear,
}

/// Starts the writing task on the present runtime; with an epoch, it stops writing when another server takes over.
pub(crate) fn start(database: Database, vault: Vault, epoch: Option<i64>) -> Writer {
    let (work, mut queue) = mpsc::channel(WAITING);
    let tally = Arc::new(Tally::default());
    let ear = Ear::default();
    let desk = Desk { database, vault: vault.clone(), epoch, tally: tally.clone(), ear: ear.clone() };
    tokio::spawn(async move {
        let mut batch = Vec::new();
        while queue.recv_many(&mut batch, BATCH).await > 0 {
            if !desk.write(std::mem::take(&mut batch)).await {
                desk.wait_out(&mut queue).await;
            }
        }
    });
    Writer { work, vault, tally, ear }
}

type Applied = (Transaction, Vec<Result<(), StoreError>>);

impl Desk {
    /// One transaction for the whole batch. Where one piece is at fault, a second one, in which it stands alone. False when
    /// nothing could be stored.
    async fn write(&self, mut batch: Vec<Work>) -> bool {
        let (applied, noted) = news::noting(timeout(DEADLINE, self.apply(&mut batch))).await;
        let applied = match applied {
            Ok(applied) => applied,
            Err(_) => Err(StoreError::NotApplied("the database did not answer in time".into())),
        };
        let (outcomes, end) = match applied {
            Ok((transaction, outcomes)) => (outcomes, commit(transaction).await),
            Err(error) => (vec![Ok(()); batch.len()], Err(error)),
        };
        self.ear.tell(&noted);
        let tally = &self.tally;
        tally.fenced.fetch_or(matches!(end, Err(StoreError::Fenced)), Relaxed);
        let mut stores = false;
        for (work, outcome) in batch.into_iter().zip(outcomes) {
            let outcome = outcome.and_then(|()| end.clone());
            stores |= !matches!(outcome, Err(StoreError::NotApplied(_) | StoreError::Unknown(_)));
            let counter = if outcome.is_ok() { &tally.pieces } else { &tally.failures };
            counter.fetch_add(1, Relaxed);
            work.finish(outcome);
        }
        tally.commits.fetch_add(u64::from(end.is_ok()), Relaxed);
        stores
    }

    async fn apply(&self, batch: &mut [Work]) -> Result<Applied, StoreError> {
        let transaction = self.owned().await?;
        match self.together(&transaction, batch).await {
            Ok(()) => return Ok((transaction, vec![Ok(()); batch.len()])),
            Err(_) => transaction.rollback().await?,
        }
        let transaction = self.owned().await?;
        let outcomes = self.apart(&transaction, batch).await?;
        Ok((transaction, outcomes))
    }

    /// A transaction in a database that nobody else took over.
    async fn owned(&self) -> Result<Transaction, StoreError> {
        let transaction = begin(&self.database).await?;
        if let Some(epoch) = self.epoch {
            ownership::check(&transaction, epoch).await?;
        }
        Ok(transaction)
    }

    /// Writes a batch without savepoints, which cost more than what they guard: all turns, and all requests to queue, with one
    /// statement per kind of change, then the jobs. An error says only that some piece is at fault.
    async fn together(&self, transaction: &Transaction, batch: &mut [Work]) -> Result<(), StoreError> {
        let turns: Vec<&Turn> = batch.iter().filter_map(Work::turn).collect();
        turn::apply(transaction, &self.vault, &turns).await?;
        let requests: Vec<&Request> = batch.iter().filter_map(Work::request).collect();
        let mut enqueued = enqueue::apply(transaction, &self.vault, &requests).await?.into_iter();
        for work in batch {
            match work {
                Work::Turn { .. } => {}
                Work::Enqueue { made, .. } => *made = enqueued.next(),
                Work::Job(job) => job.run(transaction).await?,
            }
        }
        Ok(())
    }

    /// Writes a batch of which a piece is at fault: in halves, each behind a savepoint, down to single pieces. The outer error
    /// means that the transaction itself is broken.
    async fn apart(
        &self,
        transaction: &Transaction,
        batch: &mut [Work],
    ) -> Result<Vec<Result<(), StoreError>>, StoreError> {
        let mut outcomes = vec![Ok(()); batch.len()];
        let mut parts = Vec::from_iter(halves(0..batch.len()));
        while let Some(part) = parts.pop() {
            let savepoint = savepoint(transaction).await?;
            match self.together(&savepoint, &mut batch[part.clone()]).await {
                Ok(()) => savepoint.commit().await?,
                Err(error) => {
                    savepoint.rollback().await?;
                    match part.len() {
                        1 => outcomes[part.start] = Err(error),
                        _ => parts.extend(halves(part)),
                    }
                }
            }
        }
        Ok(outcomes)
    }
}

/// The two halves of a part, the second first; a single piece is whole.
fn halves(part: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let middle = part.start + part.len() / 2;
    [middle..part.end, part.start..middle].into_iter().filter(|half| !half.is_empty())
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
            _ => None,
        }
    }

    fn request(&self) -> Option<&Request> {
        match self {
            Self::Enqueue { request, .. } => Some(request),
            _ => None,
        }
    }

    /// Answers the caller; one that went away meanwhile is no concern of the rows.
    fn finish(self, outcome: Result<(), StoreError>) {
        match self {
            Self::Turn { reply, .. } => drop(reply.send(outcome)),
            Self::Enqueue { made, reply, .. } => drop(reply.send(outcome.and_then(|()| made.ok_or_else(no_answer)))),
            Self::Job(job) => job.finish(outcome),
        }
    }
}

/// The rows are there, and nothing tells what they are.
fn no_answer() -> StoreError {
    StoreError::Unknown("the job left no answer".into())
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
        drop(reply.send(outcome.and_then(|()| output.ok_or_else(no_answer))));
    }
}
