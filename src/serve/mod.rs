//! The composition root: from settings to a running server, in order: lock → migrate → open → keys → tree → listen, and
//! back in reverse when it stops.
//!
//! A server lives on a thread of its own with its own actix system, so that the demo and tests can run several in one
//! process. Start with [`start`].

mod compose;
pub(crate) mod directory;
pub mod info;
pub(crate) mod storage;
mod tls_files;

use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

pub use actors::fault;
use actors::tree::Parts;
use entities::api_token;
use protocol::time::Timestamp;
use tokio::sync::oneshot;

use crate::config::Settings;
use crate::http::admin::auth::{Kind, new_key};

pub use tls_files::SelfMade;

/// How long a server may take to stop.
pub const DRAIN: Duration = Duration::from_secs(10);
/// The exit code of a server that gave up: a process manager should start it again.
pub const EXIT_GAVE_UP: u8 = 70;

/// Why a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was asked to, and finished what was under way.
    Asked,
    /// It was asked to, and something did not finish in time.
    Late,
    /// Restarts did not help, or another server took over its database.
    GaveUp,
}

/// A running server.
#[derive(Debug)]
pub struct Running {
    /// Where it can be reached.
    pub addresses: Addresses,
    /// Its actors, for those who run in the same process.
    pub parts: Parts,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<anyhow::Result<Ended>>,
}

/// Where a server can be reached.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// Devices.
    pub device: SocketAddr,
    /// Admins.
    pub admin: SocketAddr,
    /// Operators.
    pub ops: SocketAddr,
    /// The address that devices are told, without a slash at its end.
    pub device_url: String,
    /// The address for admins.
    pub admin_url: String,
    /// The address for operators.
    pub ops_url: String,
    /// The certificate of the self-made authority (PEM file), when a listener uses one.
    pub ca_file: Option<std::path::PathBuf>,
}

/// What a server tells once it is ready.
type Ready = (Addresses, Parts);

/// Starts a server and waits until it is ready.
///
/// # Errors
/// Whatever keeps it from starting, with what to do about it.
pub fn start(settings: Settings) -> anyhow::Result<Running> {
    let (stop, stopped) = oneshot::channel();
    let (tell, told) = mpsc::channel::<Ready>();
    let thread = std::thread::Builder::new()
        .name("rookery".into())
        .spawn(move || compose::run(settings, stopped, tell))
        .map_err(anyhow::Error::from)?;
    match told.recv() {
        Ok((addresses, parts)) => Ok(Running { addresses, parts, stop, thread }),
        Err(_) => Err(match join(thread) {
            Ok(ended) => anyhow::anyhow!("the server ended before it was ready ({ended:?})"),
            Err(error) => error,
        }),
    }
}

impl Running {
    /// Makes an API token.
    ///
    /// # Errors
    /// The name is taken, or the database is away.
    pub fn new_token(&self, name: &str) -> anyhow::Result<String> {
        let (tell, told) = mpsc::channel();
        let (writer, name, now) = (self.parts.writer.clone(), name.to_owned(), self.parts.clock.now());
        self.parts.io.spawn(async move { tell.send(store_token(&writer, &name, None, "server", now).await) });
        told.recv()?
    }

    /// Stops the server: no new requests, turns under way are finished, actors stop in reverse order.
    ///
    /// # Errors
    /// Whatever went wrong while it ran.
    pub fn stop(self) -> anyhow::Result<Ended> {
        let _ = self.stop.send(());
        join(self.thread)
    }

    /// Puts the server's clock forward, and lets what is due by then happen at once. For tests in the same process.
    pub fn advance_clock(&self, by: Duration) {
        self.parts.clock.advance(by);
        self.parts.keeper.tell(actors::keeper::Look);
    }

    /// Whether the server has ended by itself.
    pub fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }
}

/// Makes an API token, stores its hash, and returns it; nobody will see it again.
///
/// # Errors
/// The name is taken, or looks like a user's; or the database is away.
pub async fn store_token(
    writer: &entities::Writer,
    name: &str,
    expires_at: Option<Timestamp>,
    by: &str,
    now: Timestamp,
) -> anyhow::Result<String> {
    if name.contains('@') {
        anyhow::bail!(
            "{name:?} looks like a user's email address, which is what the audit log calls users: choose another name"
        )
    }
    let (token, hash) = new_key(Kind::Token)?;
    let expires_at = expires_at.map(Timestamp::millis);
    let new = api_token::New { name: name.to_owned(), hash, expires_at, user_id: None, scopes: None };
    match api_token::create(writer, new, by, now.millis()).await {
        Ok(_) => Ok(token),
        Err(entities::StoreError::Conflict(_)) => anyhow::bail!("there is a token named {name:?} already"),
        Err(error) => Err(error.into()),
    }
}

fn join(thread: JoinHandle<anyhow::Result<Ended>>) -> anyhow::Result<Ended> {
    thread.join().unwrap_or_else(|_| Err(anyhow::anyhow!("the server's thread panicked")))
}
