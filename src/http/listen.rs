//! The listeners: devices, admins, operators. Limits stand here: connections, handshakes, heads; bodies are limited where
//! they are read.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::middleware::from_fn;
use actix_web::web::Data;
use actix_web::{App, HttpServer};

use super::edge::{AdminEdge, DeviceEdge, OpsEdge};
use super::tls::{self, Files};
use super::{Who, configure, error, guard, identity};

/// How long an idle connection stays open.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// How long a request's head may take.
const HEAD_DEADLINE: Duration = Duration::from_secs(10);
/// How long requests may go on when the server stops, in seconds.
const DRAIN_SECONDS: u64 = 5;
/// Open connections of one worker at most. actix-web's own limit on handshakes lets one laptop stop a server.
const CONNECTIONS: usize = 25_000;

/// Where a listener listens, and how.
#[derive(Clone, Debug)]
pub struct Binding {
    /// The address; port 0 takes a free one.
    pub address: SocketAddr,
    /// The certificate; `None` for plain HTTP, behind a proxy or on loopback.
    pub tls: Option<Files>,
    /// Threads that serve it.
    pub workers: usize,
}

/// Whom a listener serves, with what its handlers need.
#[derive(Clone, Debug)]
pub enum Served {
    /// Devices.
    Devices(Arc<DeviceEdge>),
    /// Admins.
    Admins(Arc<AdminEdge>),
    /// Operators.
    Operators(Arc<OpsEdge>),
}

/// A listener that serves.
pub struct Listening {
    /// Drive this.
    pub server: Server,
    /// Where it listens.
    pub address: SocketAddr,
    /// Keeps its certificate fresh.
    pub reloading: Option<tls::Reloading>,
}

/// Starts a listener on the present runtime's arbiter.
///
/// # Errors
/// The address cannot be used, or the certificate.
pub fn listen(binding: &Binding, served: Served) -> anyhow::Result<Listening> {
    let whom = served.whom();
    let app_of = served.clone();
    let server = HttpServer::new(move || {
        let app = App::new().wrap(from_fn(guard::panics)).wrap(from_fn(guard::unread_bodies));
        let app = app.configure(|config| configure(config, whom));
        match app_of.clone() {
            Served::Devices(edge) => app.app_data(Data::from(edge)),
            Served::Admins(edge) => app.configure(error::in_json).app_data(Data::from(edge)),
            Served::Operators(edge) => app.app_data(Data::from(edge)),
        }
    })
    .on_connect(identity::on_connect)
    .workers(binding.workers)
    .keep_alive(KEEP_ALIVE)
    .client_request_timeout(HEAD_DEADLINE)
    .client_disconnect_timeout(Duration::from_secs(2))
    .max_connections(CONNECTIONS)
    .max_connection_rate(CONNECTIONS / 2)
    .backlog(4096)
    .tcp_nodelay(true)
    .shutdown_timeout(DRAIN_SECONDS)
    .disable_signals();
    let unusable = |error| anyhow::anyhow!("cannot listen on {}: {error}", binding.address);
    let socket = TcpListener::bind(binding.address).map_err(unusable)?;
    let address = socket.local_addr()?;
    let (server, reloading) = match &binding.tls {
        Some(files) => {
            let (acceptor, reloading) = tls::acceptor(files, served.asks_for_certificate())?;
            (server.listen_openssl(socket, acceptor)?, Some(reloading))
        }
        None => (server.listen(socket)?, None),
    };
    Ok(Listening { server: server.run(), address, reloading })
}

impl Served {
    fn whom(&self) -> fn(Who) -> bool {
        match self {
            Self::Devices(_) => |who| matches!(who, Who::EnrolledDevice | Who::Newcomer | Who::Agent),
            Self::Admins(_) => |who| matches!(who, Who::Admin(_) | Who::Anyone),
            Self::Operators(_) => |who| who == Who::Operator,
        }
    }

    /// Devices may prove who they are by a client certificate.
    pub const fn asks_for_certificate(&self) -> bool {
        matches!(self, Self::Devices(_))
    }
}
