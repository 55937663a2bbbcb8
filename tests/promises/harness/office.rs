//! An office full of clerks: API clients that queue commands for a fleet all the time, whatever happens to the server.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use rookery::sim::fleet::Member;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::admin::{Asked, Clerk, Targets};
use super::{PATIENCE, Proof, Site, eventually};

/// The clients at work.
pub(crate) struct Office {
    clerks: JoinSet<Vec<Asked>>,
    accepted: Arc<AtomicU64>,
    stop: watch::Sender<bool>,
}

impl Office {
    /// Lets so many clients begin, each of which queues something about every `pace`.
    pub(crate) fn open<'m>(
        site: &Site,
        members: impl IntoIterator<Item = &'m Member>,
        clerks: u64,
        pace: Duration,
        proof: &Proof,
    ) -> Self {
        let (stop, stopped) = watch::channel(false);
        let (mut at_work, accepted, targets) = (JoinSet::new(), Arc::default(), Arc::new(Targets::of(members)));
        for number in 0..clerks {
            let clerk = Clerk::new(&site.admin, &targets, number, proof.chance(100 + number));
            at_work.spawn(clerk.work(pace, stopped.clone(), Arc::clone(&accepted)));
        }
        Self { clerks: at_work, accepted, stop }
    }

    /// How many commands were accepted so far.
    pub(crate) fn accepted(&self) -> u64 {
        self.accepted.load(Relaxed)
    }

    /// Waits until so many commands were accepted.
    pub(crate) async fn have_accepted(&self, commands: u64) {
        let enough = async || (self.accepted() >= commands).then_some(());
        eventually("enough commands are accepted", PATIENCE, enough).await;
    }

    /// Lets them finish, and collects what they recorded.
    pub(crate) async fn close(self) -> Vec<Asked> {
        self.stop.send_replace(true);
        self.clerks.join_all().await.into_iter().flatten().collect()
    }
}
