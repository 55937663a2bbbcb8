//! One round of the manager's work. Each step is one short transaction, so that devices never wait long for the writer, and
//! a killed server goes on where it stopped.

use std::sync::Arc;
use std::time::Duration;

use entities::delivery::{self, Delivered};
use entities::{Reader, StoreError, Writer, host_profile, marking, profile, profile_content};
use protocol::apple::request_types;
use protocol::ids::{CommandUuid, HostId};
use protocol::time::Timestamp;
use tokio::sync::Mutex;

use super::decide::decide;
use super::{ProfilesConfig, Tally};
use crate::clock::Clock;
use crate::dispatcher::announce::{Announcer, News};
use crate::host::cancelled::Cancelled;
use crate::tree::Parts;
use crate::{Hosts, profiles::verify};

/// Hosts that are delivered to at once.
const BATCH: u64 = 500;
/// How long the delivery to one host takes, roughly.
const EACH: Duration = Duration::from_micros(100);
/// How often roll-outs are looked at that stop by themselves.
const ROLL_OUTS: Duration = Duration::from_secs(5);
/// How often versions are looked for that nobody has any more.
const TIDY: Duration = Duration::from_secs(600);

/// What the work needs.
pub(super) struct Desk {
    pub(super) reader: Reader,
    pub(super) writer: Writer,
    pub(super) clock: Clock,
    pub(super) tally: Arc<Tally>,
    pub(super) announcer: Announcer,
    pub(super) config: Arc<ProfilesConfig>,
    hosts: Hosts,
    rest: Mutex<Rest>,
}

/// Where the slow work stands.
#[derive(Debug, Default)]
struct Rest {
    /// Behind which host the sweep goes on.
    swept: i64,
    swept_at: Timestamp,
    roll_outs_at: Timestamp,
    tidied_at: Timestamp,
}

impl Desk {
    pub(super) fn new(parts: &Parts) -> Self {
        Self {
            reader: parts.reader.clone(),
            writer: parts.writer.clone(),
            clock: parts.clock.clone(),
            tally: parts.profiled.clone(),
            announcer: Announcer::new(parts),
            config: parts.config.profiles.clone(),
            hosts: parts.hosts.clone(),
            rest: Mutex::default(),
        }
    }

    /// Everything that is to be done now.
    pub(super) async fn work(&self) -> Result<(), StoreError> {
        self.mark().await?;
        self.deliver_all().await?;
        verify::ask(self).await?;
        self.do_the_rest().await
    }

    /// Marks what was noted.
    pub(super) async fn mark(&self) -> Result<(), StoreError> {
        if !entities::profile_marking::is_any(&self.reader).await? {
            return Ok(());
        }
        loop {
            let step = marking::step(&self.writer, self.clock.now().millis()).await?;
            Tally::add(&self.tally.marked, step.marked);
            Tally::add(&self.tally.hosts, step.hosts);
            if !step.goes_on {
                return Ok(());
            }
        }
    }

    /// Delivers what is marked, to all hosts, each once. Where there are very many, they are woken when their commands wait, not
    /// before: all those that begin to work meanwhile would hold the delivery up.
    async fn deliver_all(&self) -> Result<(), StoreError> {
        let mut after = i64::MIN;
        let mut push_at = self.clock.now();
        loop {
            let hosts = host_profile::hosts_to_serve(&self.reader, after, BATCH).await?;
            let Some(last) = hosts.last().copied() else { return Ok(()) };
            if after == i64::MIN && hosts.len() as u64 == BATCH {
                let waiting = host_profile::count_to_serve(&self.reader).await?;
                push_at = push_at.plus(EACH.saturating_mul(waiting));
            }
            self.deliver(hosts, push_at).await?;
            after = last;
        }
    }

    async fn deliver(&self, hosts: Vec<i64>, push_at: Timestamp) -> Result<(), StoreError> {
        let now = self.clock.now();
        let due = self.announcer.due(hosts.iter().map(|host| HostId(*host)), true, push_at.max(now));
        let candidates = delivery::read(&self.reader, hosts).await?;
        let expires_at = now.plus(request_types::facts("InstallProfile").time_to_live);
        let decided = decide(&candidates, &|host| due.of(host), now, expires_at);
        let commands = decided.commands.clone();
        let delivered = delivery::deliver(&self.writer, decided).await?;
        for (uuid, queued) in &delivered.queued {
            let (Some(command), Some(uuid)) = (commands.get(uuid), CommandUuid::parse(uuid)) else { continue };
            let body = command.body.clone().into();
            let news = News { uuid, priority: 0, no_blind_resend: false, body, expires_at, push: true };
            self.announcer.tell(&news, &queued.entries, &due);
            Tally::add(&self.tally.commands, queued.entries.len() as u64);
        }
        self.tell_taken_back(&delivered);
        Tally::add(&self.tally.delivered, delivered.rows);
        Ok(())
    }

    /// Hosts at work forget what was taken back; the others read their rows.
    fn tell_taken_back(&self, delivered: &Delivered) {
        for (host, enrollment, entry) in &delivered.taken_back {
            self.hosts.tell_resident(HostId(*host), Cancelled { enrollment: *enrollment, entry: *entry });
        }
    }

    /// What is never urgent.
    async fn do_the_rest(&self) -> Result<(), StoreError> {
        let mut rest = self.rest.lock().await;
        let now = self.clock.now();
        let is_due = |at: Timestamp, every: Duration| now < at || now.since(at) >= every;
        if is_due(rest.roll_outs_at, ROLL_OUTS) {
            rest.roll_outs_at = now;
            for stopped in profile::rollout::stop_failing(&self.writer, now.millis()).await? {
                tracing::warn!(profile = stopped.uuid, "failed on too many hosts: its roll-out is stopped");
            }
        }
        if is_due(rest.swept_at, self.config.sweep_every) {
            rest.swept_at = now;
            let (step, next) = marking::sweep(&self.writer, rest.swept, now.millis()).await?;
            rest.swept = next.unwrap_or_default();
            Tally::add(&self.tally.marked, step.marked);
            Tally::add(&self.tally.lost, step.lost);
            if step.marked > 0 {
                tracing::info!("the sweep found {} profiles of hosts that nobody had noted", step.marked);
            }
        }
        if is_due(rest.tidied_at, TIDY) {
            rest.tidied_at = now;
            let mut after = 0;
            while let Some(next) = profile_content::forget_unused(&self.writer, after).await? {
                after = next;
            }
        }
        Ok(())
    }
}
