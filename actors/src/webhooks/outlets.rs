//! Who wants which events, in memory, for every host at every message: one atomic load where nobody wants anything. Also
//! the bell that wakes those who deliver.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};

use entities::{Reader, StoreError, webhook};
use protocol::webhook::{Form, Interest, Topic};
use tokio::sync::watch;

/// The table. Clones share it.
#[derive(Clone, Debug)]
pub struct Outlets(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// What any of them wants.
    wanted: AtomicU32,
    table: RwLock<Vec<(i64, Interest)>>,
    bell: watch::Sender<()>,
}

impl Default for Outlets {
    fn default() -> Self {
        Self(Arc::new(Shared { wanted: AtomicU32::new(0), table: RwLock::default(), bell: watch::Sender::new(()) }))
    }
}

impl Outlets {
    /// Reads the table from its rows. A server does so before it takes in the first message.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn load(&self, reader: &Reader) -> Result<(), StoreError> {
        self.replace(&webhook::list(reader).await?);
        Ok(())
    }

    /// Takes over what rows say now.
    pub(super) fn replace(&self, rows: &[webhook::Model]) {
        let enabled = rows.iter().filter(|row| row.enabled);
        let table: Vec<(i64, Interest)> = enabled.map(|row| (row.id, interest(row))).collect();
        let all = table.iter().fold(Interest::default(), |all, (_, one)| all.or(*one));
        let mut place = self.0.table.write().unwrap_or_else(PoisonError::into_inner);
        *place = table;
        self.0.wanted.store(all.bits(), Relaxed);
    }

    /// Whether anyone wants an event; `idle` for a request that only asks for a command.
    pub fn wants(&self, topic: Topic, idle: bool) -> bool {
        Interest::from_bits(self.0.wanted.load(Relaxed)).wants(topic, idle)
    }

    /// The webhooks that want an event.
    pub fn who_wants(&self, topic: Topic, idle: bool) -> Vec<i64> {
        let table = self.0.table.read().unwrap_or_else(PoisonError::into_inner);
        table.iter().filter(|(_, interest)| interest.wants(topic, idle)).map(|(id, _)| *id).collect()
    }

    /// Tells those who deliver that there is something new.
    pub fn ring(&self) {
        self.0.bell.send_replace(());
    }

    /// Hears the bell from now on.
    pub(super) fn listen(&self) -> watch::Receiver<()> {
        self.0.bell.subscribe()
    }
}

fn interest(row: &webhook::Model) -> Interest {
    let topics: Vec<Topic> = row.topics.split(',').filter_map(Topic::parse).collect();
    Interest::of(Form::from_code(row.form), &topics, row.idle)
}
