//! One webhook's round: reads which hosts have something to tell, lets them take turns, and rests when there is nothing to
//! do. Memory holds the hosts' lines and what is under way, whatever the backlog.

use std::sync::Arc;
use std::time::Duration;

use entities::{StoreError, webhook_delivery as delivery};
use protocol::time::Timestamp;
use protocol::webhook::lines::{Lines, Outcome};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::chance;
use super::courier::{Courier, Target};

/// Rows that are read at once.
const PAGE: u64 = 256;
/// The longest rest: a host may have ended before it could ring the bell, and clocks jump.
const LONGEST: Duration = Duration::from_secs(5);
/// The shortest rest.
const SHORTEST: Duration = Duration::from_millis(5);
/// How long what is under way may take when the server stops. What is not answered then is sent again later.
const LAST_CALL: Duration = Duration::from_secs(4);

/// The round.
pub(super) struct Runner {
    pub(super) courier: Courier,
    /// Where events go; it changes when an admin changes it, and ends when the webhook does.
    pub(super) target: watch::Receiver<Arc<Target>>,
    pub(super) bell: watch::Receiver<()>,
    /// Becomes true when the server stops.
    pub(super) stopping: watch::Receiver<bool>,
    pub(super) lines: Lines,
    pub(super) under_way: JoinSet<(i64, Outcome)>,
}

/// What happened.
enum Happened {
    Turn(i64, Outcome),
    Bell,
    Change,
    Nothing,
    End,
}

impl Runner {
    /// Goes on until the webhook is deleted, or the server stops.
    pub(super) async fn run(mut self) {
        let mut has_more = true;
        loop {
            if has_more {
                has_more = self.read_on().await.unwrap_or_else(|error| {
                    tracing::warn!(webhook.id = self.target.borrow().id, "events cannot be read now: {error}");
                    false
                });
            }
            self.begin_turns();
            match self.wait(has_more).await {
                Happened::Turn(host, outcome) => {
                    let was_full = self.lines.read_after().is_none();
                    self.lines.ended(host, outcome, self.courier.clock.now(), chance());
                    has_more |= was_full && self.lines.read_after().is_some();
                }
                Happened::Bell | Happened::Nothing => has_more = true,
                Happened::Change => {
                    self.lines.begin_again();
                    has_more = true;
                }
                Happened::End => break,
            }
        }
        let last_call = async { while self.under_way.join_next().await.is_some() {} };
        if *self.stopping.borrow() && timeout(LAST_CALL, last_call).await.is_err() {
            tracing::warn!(
                webhook.id = self.target.borrow().id,
                "events under way were not answered: they go out again"
            );
        }
    }

    /// Reads the next rows. Returns whether there may be more.
    async fn read_on(&mut self) -> Result<bool, StoreError> {
        let webhook = self.target.borrow().id;
        let Some(after) = self.lines.read_after() else { return Ok(false) };
        let rows = delivery::waiting(&self.courier.reader, webhook, after, PAGE).await?;
        let all = rows.iter().all(|row| self.lines.pass(row.id, row.host_id, Timestamp::from_millis(row.due_at)));
        Ok(all && rows.len() as u64 == PAGE)
    }

    fn begin_turns(&mut self) {
        if !self.target.borrow().enabled {
            return;
        }
        while let Some(host) = self.lines.next(self.courier.clock.now()) {
            let (courier, target) = (self.courier.clone(), self.target.borrow().clone());
            self.under_way.spawn(async move { (host, courier.tell(&target, host).await) });
        }
    }

    async fn wait(&mut self, has_more: bool) -> Happened {
        let rest = if has_more { Duration::ZERO } else { self.rest() };
        tokio::select! {
            biased;
            _ = self.stopping.wait_for(|stopping| *stopping) => Happened::End,
            changed = self.target.changed() => if changed.is_ok() { Happened::Change } else { Happened::End },
            Some(ended) = self.under_way.join_next() => match ended {
                Ok((host, outcome)) => Happened::Turn(host, outcome),
                Err(gone) => {
                    // The actor sees that this round ended, and begins it anew.
                    tracing::error!("an attempt to deliver an event broke: {gone}");
                    Happened::End
                }
            },
            Ok(()) = self.bell.changed() => Happened::Bell,
            () = tokio::time::sleep(rest) => Happened::Nothing,
        }
    }

    /// How long nothing is due.
    fn rest(&self) -> Duration {
        let now = self.courier.clock.now();
        let is_enabled = self.target.borrow().enabled;
        let due = self.lines.due_at(now).filter(|_| is_enabled);
        due.map_or(LONGEST, |due| due.since(now)).clamp(SHORTEST, LONGEST)
    }
}
