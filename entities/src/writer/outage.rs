//! While nothing can be stored, whoever wants to store something is told so at once, instead of waiting in a line for a database
//! that is away; and it is tried again and again whether it has come back.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::sync::mpsc::Receiver;
use tokio::time::{sleep, timeout};

use super::{BATCH, Desk, Work, commit};
use crate::{StoreError, ownership};

/// How long a trial may take: a database that is slow still stores.
const TRIAL: Duration = Duration::from_secs(4);
/// The pause between two trials.
const PAUSE: Duration = Duration::from_secs(1);

impl Desk {
    /// To be called when nothing of a transaction could be stored. Returns at once when that was the fault of what was in it, and
    /// otherwise when the database stores again, or nobody is left to store anything.
    pub(super) async fn wait_out(&self, queue: &mut Receiver<Work>) {
        let Err(why) = self.try_writing().await else { return };
        tracing::error!("nothing can be stored: {why}. Devices and admins are told to come back until that changes");
        self.tally.failing.store(true, Relaxed);
        let back = async {
            loop {
                sleep(PAUSE).await;
                if self.try_writing().await.is_ok() {
                    return tracing::warn!("the database stores again");
                }
            }
        };
        tokio::select! {
            () = back => {}
            () = self.refuse(queue) => {}
        }
        self.tally.failing.store(false, Relaxed);
    }

    /// Whether the database takes anything at all.
    async fn try_writing(&self) -> Result<(), StoreError> {
        let trial = async {
            let transaction = self.owned().await?;
            ownership::try_writing(&transaction).await?;
            commit(transaction).await
        };
        let late = |_| Err(StoreError::NotApplied("the database does not answer".into()));
        timeout(TRIAL, trial).await.unwrap_or_else(late)
    }

    /// Refuses whatever waits and comes; ends when nothing will come any more.
    async fn refuse(&self, queue: &mut Receiver<Work>) {
        let mut batch = Vec::new();
        while queue.recv_many(&mut batch, BATCH).await > 0 {
            for work in batch.drain(..) {
                self.tally.failures.fetch_add(1, Relaxed);
                work.finish(Err(StoreError::NotApplied("the database stores nothing at present".into())));
            }
        }
    }
}
