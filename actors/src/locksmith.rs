//! Root keys while the server runs: notices that a key was added to the key file, takes it into use, and seals what older
//! keys sealed anew, a little at a time. When nothing needs an old key any more, its row says so.
//!
//! Never here: a change of the key file. Whoever keeps it changes it (`rookery admin rotate-keys`).

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use entities::vault::key_file::KeySource;
use entities::vault::rotate::{self, Cursor, Step};
use entities::vault::{KeyId, Ring, Vault};
use entities::{Reader, Writer, vault_key};
use tokio::runtime::Handle as Io;

use crate::ask::{Answer, Refusal};
use crate::clock::Clock;
use crate::supervisor::{Guard, Stop};
use crate::tree::Parts;

/// How often the key file is looked at.
const EVERY: Duration = Duration::from_secs(1);
/// Rest between two steps, so that devices never wait long for the writer.
const REST: Duration = Duration::from_millis(5);
/// Rest after a pass that found values which do not open: they are in the log, and looking more often mends nothing.
const AFTER_DAMAGE: Duration = Duration::from_secs(600);

/// The actor.
pub struct Locksmith {
    guard: Guard,
    desk: Desk,
    /// Whether a look is under way.
    is_busy: bool,
}

/// What a look needs.
#[derive(Clone)]
struct Desk {
    reader: Reader,
    writer: Writer,
    clock: Clock,
    io: Io,
    source: Option<Arc<KeySource>>,
}

impl Locksmith {
    /// Starts the actor.
    pub fn launch(parts: &Parts, guard: Guard) -> Recipient<Stop> {
        let desk = Desk {
            reader: parts.reader.clone(),
            writer: parts.writer.clone(),
            clock: parts.clock.clone(),
            io: parts.io.clone(),
            source: parts.config.keys.clone(),
        };
        Self { guard, desk, is_busy: false }.start().recipient()
    }

    fn look(&mut self, context: &mut Context<Self>) {
        if std::mem::replace(&mut self.is_busy, true) {
            return;
        }
        self.guard.gauge().turn(self.desk.clock.now());
        let desk = self.desk.clone();
        let looking = async move {
            desk.take_new_keys().await?;
            desk.pass().await
        };
        context.spawn(looking.into_actor(self).map(|looked, locksmith, context| match looked {
            Ok(Step { left: 0, .. }) => locksmith.is_busy = false,
            Ok(step) => {
                tracing::error!(left = step.left, "old root keys are still needed: some values do not open");
                context.run_later(AFTER_DAMAGE, |locksmith, _| locksmith.is_busy = false);
            }
            Err(error) => {
                tracing::warn!("root keys cannot be looked after now: {error}");
                locksmith.is_busy = false;
            }
        }));
    }
}

impl Desk {
    /// Takes the file's keys into use, if they are others than before and nothing that is needed is missing.
    async fn take_new_keys(&self) -> Answer<()> {
        let Some(source) = self.source.clone() else { return Ok(()) };
        let read = self.io.spawn_blocking(move || source.load()).await.map_err(Refusal::soon)?;
        let ring = read.map_err(Refusal::soon)?.ok_or_else(|| Refusal::soon("the key file is gone: put it back"))?;
        let vault = self.reader.vault();
        if ring.ids().eq(vault.ring().ids()) {
            return Ok(());
        }
        if let Some(missing) = self.needed().await?.into_iter().find(|id| !holds(&ring, *id)) {
            return Err(Refusal::soon(format!("root key {missing} is gone from the key file but needed: put it back")));
        }
        let new = Vault::new(ring);
        // Named in the database first: a server that is killed now finds in its file what the database needs.
        vault_key::register(&self.writer, &new, self.clock.now().millis()).await?;
        vault.replace(new.ring());
        tracing::info!("root keys in use: {:?}, the last one seals", vault.ring());
        Ok(())
    }

    /// Goes through all sealed columns once, if an old key is still needed. A pass that finds nothing to do ends that need;
    /// the pass that did the work proves nothing, since what was on its way to the writer may have had the old key.
    async fn pass(&self) -> Answer<Step> {
        let Some(active) = self.reader.vault().ring().active_id() else { return Ok(Step::default()) };
        let old: Vec<KeyId> = self.needed().await?.into_iter().filter(|id| *id != active).collect();
        let (mut sum, mut cursor) = (Step::default(), Cursor::default());
        if old.is_empty() {
            return Ok(sum);
        }
        while !sum.is_last {
            crate::fault::point("locksmith.step");
            let step = rotate::step(&self.reader, &self.writer, &mut cursor).await?;
            sum = Step { resealed: sum.resealed + step.resealed, left: sum.left + step.left, is_last: step.is_last };
            tokio::time::sleep(REST).await;
        }
        let now = self.clock.now().millis();
        match sum {
            Step { resealed: 0, left: 0, .. } => {
                vault_key::retire_others(&self.writer, active, now).await?;
                tracing::info!("everything is sealed with root key {active}; {old:?} may be taken away (--prune)");
            }
            Step { resealed, left, .. } => tracing::info!(resealed, left, "sealed values anew with root key {active}"),
        }
        Ok(sum)
    }

    /// The keys that values may be sealed with.
    async fn needed(&self) -> Answer<Vec<KeyId>> {
        let rows = vault_key::list(&self.reader).await?;
        let needed = rows.iter().filter(|row| row.retired_at.is_none());
        Ok(needed.filter_map(|row| KeyId::parse(&row.id)).collect())
    }
}

fn holds(ring: &Ring, id: KeyId) -> bool {
    ring.ids().any(|have| have == id)
}

impl Actor for Locksmith {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.run_interval(EVERY, Self::look);
    }
}

impl Handler<Stop> for Locksmith {
    type Result = ();

    fn handle(&mut self, _: Stop, context: &mut Self::Context) {
        context.stop();
    }
}
