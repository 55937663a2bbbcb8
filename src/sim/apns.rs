//! A simulated APNs: HTTP/2 with client certificates, as strict as Apple's, and scripted to fail on demand.
//!
//! A push that is accepted wakes whoever registered the token, on the thread of the service. It keeps the last push for
//! a device that is off, until the push expires (Apple, "Sending notification requests to APNs", "Handling notification
//! responses from APNs").
//!
//! Start with [`PushService::start`]; what each request gets is decided in `rules` and `registry`.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use protocol::pki::{Certificate, Signer};
use protocol::time::Timestamp;
use serde::Serialize;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::clock::Clock;

mod faults;
mod listener;
mod registry;
mod rules;

use faults::Faults;
pub use faults::{Fault, Target};
use registry::Registry;
pub use registry::{Registration, Wake};

/// Observations that are kept; the oldest go first.
const MAX_OBSERVATIONS: usize = 20_000;

/// A running push service. Clones are the same service; it runs until [`stop`](Self::stop).
#[derive(Clone)]
pub struct PushService(Arc<Shared>);

/// How a push service runs.
#[derive(Clone, Debug)]
pub struct PushConfig {
    /// Where it listens; port 0 chooses one.
    pub address: SocketAddr,
    /// Its certificate and key.
    pub certificate: Signer,
    /// Who may issue push certificates; nobody means anybody.
    pub issuers: Vec<Certificate>,
    /// What time it is there.
    pub clock: Clock,
}

/// One request, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// When it was answered.
    pub at: Timestamp,
    /// The token, where there was a readable one.
    pub token: Option<Vec<u8>>,
    /// The topic of the certificate.
    pub topic: Option<String>,
    /// The header `apns-id` of the answer.
    pub apns_id: String,
    /// The status code; 0 when there was no answer.
    pub status: u16,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The device was woken.
    Delivered,
    /// The device is off; it will be woken when it is on again.
    Stored,
    /// The device is off, and the push was not to be kept.
    Dropped,
    /// The device was woken and ignored it: another push magic.
    WrongMagic,
    /// Refused for this reason.
    Refused(String),
    /// Cut off or never answered, as scripted.
    Unanswered,
}

/// How many requests ended in which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PushCounts {
    /// TLS connections with HTTP/2.
    pub connections: u64,
    /// Requests.
    pub requests: u64,
    /// Devices woken, also later.
    pub delivered: u64,
    /// Pushes kept for devices that are off.
    pub stored: u64,
    /// Pushes with the wrong magic.
    pub wrong_magic: u64,
    /// Requests refused.
    pub refused: u64,
}

struct Shared {
    config: PushConfig,
    address: SocketAddr,
    registry: Mutex<Registry>,
    faults: Mutex<Faults>,
    observations: Mutex<VecDeque<Observation>>,
    tally: Tally,
    requests_per_connection: AtomicU32,
    task: Mutex<Option<AbortHandle>>,
}

#[derive(Default)]
struct Tally {
    connections: AtomicU64,
    requests: AtomicU64,
    delivered: AtomicU64,
    stored: AtomicU64,
    wrong_magic: AtomicU64,
    refused: AtomicU64,
}

impl PushService {
    /// Starts a service on a runtime.
    ///
    /// # Errors
    /// The address cannot be listened on, or OpenSSL does not take the certificate.
    pub fn start(config: PushConfig, runtime: &Handle) -> io::Result<Self> {
        let listener = StdListener::bind(config.address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let context = listener::context(&config.certificate)?;
        let service = Self(Arc::new(Shared {
            config,
            address,
            registry: Mutex::default(),
            faults: Mutex::default(),
            observations: Mutex::default(),
            tally: Tally::default(),
            requests_per_connection: AtomicU32::new(u32::MAX),
            task: Mutex::default(),
        }));
        let listener = {
            let _inside = runtime.enter();
            tokio::net::TcpListener::from_std(listener)?
        };
        let task = runtime.spawn(listener::accept(service.clone(), listener, context));
        *lock(&service.0.task) = Some(task.abort_handle());
        Ok(service)
    }

    /// Stops the service: it listens no more, and every connection is cut.
    pub fn stop(&self) {
        if let Some(task) = lock(&self.0.task).take() {
            task.abort();
        }
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.0.address.port()
    }

    /// Makes a token known. A token that is known already gets the new registration.
    pub fn register(&self, token: &[u8], registration: Registration) {
        lock(&self.0.registry).register(token, registration);
    }

    /// Makes a token unknown: pushes to it are answered 410 from now on.
    pub fn unregister(&self, token: &[u8]) {
        lock(&self.0.registry).unregister(token, self.0.config.clock.now());
    }

    /// Switches the device of a token on or off. When it goes on, it gets the push that was kept for it.
    pub fn switch(&self, token: &[u8], on: bool) {
        let wake = lock(&self.0.registry).switch(token, on, self.0.config.clock.now());
        if let Some(wake) = wake {
            self.0.tally.delivered.fetch_add(1, Relaxed);
            wake();
        }
    }

    /// Lets the next requests go wrong, `times` of them, or all until [`heal`](Self::heal).
    pub fn script(&self, target: Target, fault: Fault, times: Option<u32>) {
        lock(&self.0.faults).add(target, fault, times);
    }

    /// Ends each connection after so many requests, with a GOAWAY.
    pub fn close_after(&self, requests: u32) {
        self.0.requests_per_connection.store(requests, Relaxed);
    }

    /// Ends everything that [`script`](Self::script) and [`close_after`](Self::close_after) began.
    pub fn heal(&self) {
        lock(&self.0.faults).clear();
        self.close_after(u32::MAX);
    }

    /// What happened so far.
    pub fn counts(&self) -> PushCounts {
        let tally = &self.0.tally;
        PushCounts {
            connections: tally.connections.load(Relaxed),
            requests: tally.requests.load(Relaxed),
            delivered: tally.delivered.load(Relaxed),
            stored: tally.stored.load(Relaxed),
            wrong_magic: tally.wrong_magic.load(Relaxed),
            refused: tally.refused.load(Relaxed),
        }
    }

    /// The latest requests, the oldest first.
    pub fn observations(&self) -> Vec<Observation> {
        lock(&self.0.observations).iter().cloned().collect()
    }

    fn now(&self) -> Timestamp {
        self.0.config.clock.now()
    }

    fn observe(&self, observation: Observation) {
        let tally = &self.0.tally;
        let counter = match &observation.outcome {
            Outcome::Delivered => Some(&tally.delivered),
            Outcome::Stored => Some(&tally.stored),
            Outcome::WrongMagic => Some(&tally.wrong_magic),
            Outcome::Refused(_) => Some(&tally.refused),
            Outcome::Dropped | Outcome::Unanswered => None,
        };
        if let Some(counter) = counter {
            counter.fetch_add(1, Relaxed);
        }
        let mut observations = lock(&self.0.observations);
        if observations.len() == MAX_OBSERVATIONS {
            observations.pop_front();
        }
        observations.push_back(observation);
    }
}

impl fmt::Debug for PushService {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("PushService").field("address", &self.0.address).finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Whoever held it changed one thing at a time, so what is inside is whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
pub(in crate::sim) mod tests;
