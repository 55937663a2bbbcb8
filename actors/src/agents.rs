//! The memory of agents: from the key that an agent shows to its host, with everything that the answers to its polls depend on.
//!
//! Each agent polls every few seconds, and most of them are told nothing. So what was read once is kept, in memory of bounded size,
//! until a write changes it ([`entities::news`]): a poll of an agent that is known costs no query, and no host's actor is started for
//! it. See docs/adr/0014-agent-polls.md.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use entities::Reader;
use entities::agent::Kind;
use entities::agent_known::{self, Known};
use entities::news::News;
use openssl::sha::sha256;
use protocol::agent::details::are_due;
use protocol::ids::HostId;
use protocol::time::Timestamp;

use crate::ask::Answer;
use crate::generations::Generations;

/// Locks that the memory is split into.
const SHARDS: usize = 16;
/// Keys, and hosts, that one of them keeps at most; together some hundred megabytes, if there are so many agents.
const KEPT: usize = 32_768;
/// An agent that was handed queries is handed them again after this time at the earliest, if it does not answer.
const ASKED_AGAIN: Duration = Duration::from_secs(60);
/// How often the rows are read again of a device that looks as if it had never got our answer.
const LOOKED_AGAIN: Duration = Duration::from_secs(60);

/// SHA-256 of a key.
type Hash = [u8; 32];

/// What is kept of a host.
#[derive(Debug)]
pub struct Remembered {
    /// What its rows say.
    pub known: Known,
    read_at: Timestamp,
    asked_at: AtomicI64,
}

/// The memory. Clones share it.
#[derive(Clone)]
pub struct Agents {
    reader: Reader,
    shards: Arc<[Shard; SHARDS]>,
}

#[derive(Default)]
struct Shard {
    keys: Mutex<Generations<Hash, HostId, KEPT>>,
    hosts: Mutex<Generations<HostId, Arc<Remembered>, KEPT>>,
    /// How often something was forgotten here: what was read before that may be old.
    forgotten: AtomicU64,
}

impl Agents {
    /// An empty memory.
    pub fn new(reader: Reader) -> Self {
        Self { reader, shards: Arc::default() }
    }

    /// The host of an agent's key; `None` for a key that is none, or whose host was deleted.
    ///
    /// # Errors
    /// The database is away.
    pub async fn recognize(&self, kind: Kind, key: &str, now: Timestamp) -> Answer<Option<Arc<Remembered>>> {
        let hash = sha256(key.as_bytes());
        if let Some(remembered) = self.recall(kind, &hash)
            && !remembered.must_be_looked_at(now)
        {
            return Ok(Some(remembered));
        }
        let before: [u64; SHARDS] = std::array::from_fn(|shard| self.shards[shard].forgotten.load(Relaxed));
        let Some(known) = agent_known::by_key(&self.reader, kind, hash.to_vec()).await? else { return Ok(None) };
        let host = HostId(known.host_id);
        let asked_at = AtomicI64::new(i64::MIN);
        let remembered = Arc::new(Remembered { known, read_at: now, asked_at });
        let (number, shard) = (number_of(host), self.shard_of(host));
        let mut hosts = lock(&shard.hosts);
        if shard.forgotten.load(Relaxed) == before[number] {
            hosts.insert(host, remembered.clone());
            drop(hosts);
            lock(&self.shards[usize::from(hash[0]) % SHARDS].keys).insert(hash, host);
        }
        Ok(Some(remembered))
    }

    /// Forgets what may have changed.
    pub fn hear(&self, news: &[News]) {
        for one in news {
            match *one {
                News::Host(host) => self.forget(HostId(host)),
                News::Work(host) => self.forget_work(HostId(host)),
            }
        }
    }

    /// Forgets whether there is work for a host, where that matters: only agents of Windows devices start sessions.
    pub fn forget_work(&self, host: HostId) {
        let shard = self.shard_of(host);
        let mut hosts = lock(&shard.hosts);
        let is_known_not_to_care = hosts.recall(&host).is_some_and(|remembered| remembered.known.windows.is_none());
        if !is_known_not_to_care {
            shard.forgotten.fetch_add(1, Relaxed);
            hosts.forget(&host);
        }
    }

    fn forget(&self, host: HostId) {
        let shard = self.shard_of(host);
        let mut hosts = lock(&shard.hosts);
        shard.forgotten.fetch_add(1, Relaxed);
        hosts.forget(&host);
    }

    fn recall(&self, kind: Kind, hash: &Hash) -> Option<Arc<Remembered>> {
        let host = lock(&self.shards[usize::from(hash[0]) % SHARDS].keys).recall(hash)?;
        let remembered = lock(&self.shard_of(host).hosts).recall(&host)?;
        remembered.known.is_key(kind, hash).then_some(remembered)
    }

    fn shard_of(&self, host: HostId) -> &Shard {
        &self.shards[number_of(host)]
    }
}

impl Remembered {
    /// Whether its agent is to be told to enroll it: no management has it, or its device never got our answer.
    pub fn may_enroll(&self, own_url: &str, now: Timestamp) -> bool {
        let elsewhere = self.known.mdm_url.as_deref().is_some_and(|url| !url.is_empty() && !url.starts_with(own_url));
        let is_free = self.known.is_off && !elsewhere;
        self.known.platform == "windows" && (is_free || self.known.seems_lost(now.millis()))
    }

    /// Whether its agent is to be asked for details now. It is asked once, and again after a while if it does not answer.
    pub fn is_to_be_asked(&self, interval: Duration, now: Timestamp) -> bool {
        let asked = self.asked_at.load(Relaxed);
        let again = asked.saturating_add(i64::try_from(ASKED_AGAIN.as_millis()).unwrap_or(i64::MAX));
        let may_ask = now.millis() >= again || now.millis() < asked;
        may_ask
            && self.lacks_details(interval, now)
            && self.asked_at.compare_exchange(asked, now.millis(), Relaxed, Relaxed).is_ok()
    }

    /// Whether details of it are due. What an agent says unasked is not listened to.
    pub fn lacks_details(&self, interval: Duration, now: Timestamp) -> bool {
        let moment = |at: Option<i64>| at.map(Timestamp::from_millis);
        let known = &self.known;
        are_due(known.host_id, moment(known.detail_at), moment(known.refetch_at), interval, now)
    }

    fn must_be_looked_at(&self, now: Timestamp) -> bool {
        self.known.seems_lost(now.millis()) && (now < self.read_at || now.since(self.read_at) >= LOOKED_AGAIN)
    }
}

fn number_of(host: HostId) -> usize {
    host.0.unsigned_abs() as usize % SHARDS
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for Agents {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Agents")
    }
}
