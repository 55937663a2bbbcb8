//! A simulated device assignment service, as strict as Apple's, with the organizations whose devices it knows, and scripted to
//! fail on demand (Apple, "Device Assignment").
//!
//! An organization is what an admin sees in Apple Business Manager: it buys devices, makes a token for a server's public key, and
//! signs terms. A server is what the service hears over HTTPS: whatever it does against the protocol is a [`Finding`], also where
//! the service bears with it. Never here: what a device does once it knows where to go.
//!
//! Start with [`AssignmentService::start`]; what each request gets is decided in `calls`.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use protocol::pki::Signer;
use protocol::time::Timestamp;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::clock::Clock;
use super::random::Chance;

mod calls;
mod cursor;
mod device;
mod faults;
mod listener;
mod oauth;
mod organization;
mod profiles;
mod sessions;
mod setup;
mod token;

pub use device::{Facts, facts};
use faults::Faults;
pub use faults::{Fault, Target, When};
pub use organization::Mischief;
use organization::Organization;
pub use profiles::Refused;
pub use setup::{Known, Setup};
pub use token::TokenFileError;

/// Findings that are kept: whoever finds more than these finds the same ones again.
const MAX_FINDINGS: usize = 100;

/// A running service. Clones are the same service; it runs until [`stop`](Self::stop).
#[derive(Clone)]
pub struct AssignmentService(Arc<Shared>);

/// How a service runs.
#[derive(Clone, Debug)]
pub struct AssignmentConfig {
    /// Where it listens; port 0 chooses one.
    pub address: SocketAddr,
    /// Its certificate and key.
    pub certificate: Signer,
    /// What time it is there.
    pub clock: Clock,
    /// What chance depends on.
    pub seed: u64,
    /// How long a session lasts.
    pub session_life: Duration,
    /// After so many calls, a session is replaced by the answer's header.
    pub calls_per_session: u32,
}

/// An organization of this service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrganizationId(usize);

/// Something that a server must not do, and did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which rule.
    pub rule: Rule,
    /// What happened.
    pub text: String,
}

/// The rules that the service watches over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// A header that every request has to have, or another value than Apple documents.
    Header,
    /// A method and path that do not exist.
    Path,
    /// A body that is none, or that names too many devices.
    Body,
    /// The signature of the request for a session.
    OAuth,
    /// A session that was replaced is still used.
    Session,
    /// A cursor that was refused comes again.
    Cursor,
    /// A request before the time that `Retry-After` named.
    Haste,
}

struct Shared {
    config: AssignmentConfig,
    address: SocketAddr,
    state: Mutex<State>,
    task: Mutex<Option<AbortHandle>>,
}

/// Everything that the service knows.
struct State {
    organizations: Vec<Organization>,
    faults: Faults,
    findings: Vec<Finding>,
    calls: BTreeMap<String, u64>,
    chance: Chance,
    /// Until when `Retry-After` asked to be left alone, by whom: an organization's server, or somebody who is nobody's.
    quiet_until: BTreeMap<Option<usize>, Timestamp>,
    /// What becomes of an assignment to a device, instead of what would.
    refused: BTreeMap<String, Refused>,
    session_life: Duration,
    calls_per_session: u32,
}

impl AssignmentConfig {
    /// A service on a free port of this machine.
    pub fn local(certificate: Signer, clock: Clock, seed: u64) -> Self {
        Self {
            address: ([127, 0, 0, 1], 0).into(),
            certificate,
            clock,
            seed,
            session_life: Duration::from_secs(600),
            calls_per_session: 50,
        }
    }
}

impl AssignmentService {
    /// Starts a service on a runtime.
    ///
    /// # Errors
    /// The address cannot be listened on, or OpenSSL does not take the certificate.
    pub fn start(config: AssignmentConfig, runtime: &Handle) -> io::Result<Self> {
        let listener = StdListener::bind(config.address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let context = listener::context(&config.certificate)?;
        let state = State {
            organizations: Vec::new(),
            faults: Faults::default(),
            findings: Vec::new(),
            calls: BTreeMap::new(),
            chance: Chance::new(config.seed, 0xABE),
            quiet_until: BTreeMap::new(),
            refused: BTreeMap::new(),
            session_life: config.session_life,
            calls_per_session: config.calls_per_session,
        };
        let service = Self(Arc::new(Shared { config, address, state: Mutex::new(state), task: Mutex::default() }));
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

    /// Where it is, for a client that trusts its certificate.
    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.0.address.port())
    }

    /// Founds an organization, without devices and without a token.
    pub fn found(&self, name: &str) -> OrganizationId {
        let mut state = self.state();
        let organization = Organization::new(name, &mut state.chance);
        state.organizations.push(organization);
        OrganizationId(state.organizations.len() - 1)
    }

    /// Lets requests go wrong, until [`heal`](Self::heal) or as often as it says.
    pub fn script(&self, target: Target, fault: Fault, when: When) {
        self.state().faults.add(target, fault, when);
    }

    /// Ends everything that [`script`](Self::script) and [`refuse_device`](Self::refuse_device) began.
    pub fn heal(&self) {
        let mut state = self.state();
        state.faults.clear();
        state.refused.clear();
        state.quiet_until.clear();
    }

    /// From now on, every assignment to this device ends so.
    pub fn refuse_device(&self, serial_number: &str, refused: Refused) {
        self.state().refused.insert(serial_number.to_owned(), refused);
    }

    /// How often each call was made, by method and path, for example `POST /devices/sync`.
    pub fn calls(&self) -> BTreeMap<String, u64> {
        self.state().calls.clone()
    }

    /// What the server did against the protocol.
    pub fn findings(&self) -> Vec<Finding> {
        self.state().findings.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.0.state)
    }

    fn now(&self) -> Timestamp {
        self.0.config.clock.now()
    }
}

impl State {
    fn find(&mut self, rule: Rule, text: impl Into<String>) {
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(Finding { rule, text: text.into() });
        }
    }
}

impl fmt::Debug for AssignmentService {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("AssignmentService").field("address", &self.0.address).finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Whoever held it changed one thing at a time, so what is inside is whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
