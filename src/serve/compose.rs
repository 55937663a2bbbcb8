//! One server from its first to its last moment.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc;
use std::time::Duration;

use actix::{Arbiter, System};
use actors::apns::ApnsConfig;
use actors::authority::AuthorityConfig;
use actors::clock::Clock;
use actors::host::HostConfig;
use actors::setup_experience::SetupConfig;
use actors::supervisor::{Stop, Tree, TreeEnd, watch_panics};
use actors::tree::{Config, Parts, TREE};
use anyhow::Context;
use futures_util::future::join_all;
use protocol::queue::Policy;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::tls_files::{self, SelfMade};
use super::{Addresses, DRAIN, Ended, Ready, directory, storage};
use crate::config::{Settings, cores, pem};
use crate::http::admin::auth::Remembered;
use crate::http::admin::passwords::Passwords;
use crate::http::body::Budget;
use crate::http::device::agent::AgentEdge;
use crate::http::device::sso::SsoEdge;
use crate::http::device::windows_enroll::WindowsEdge;
use crate::http::device::windows_enroll::entra::Entra;
use crate::http::edge::{AdminEdge, DeviceEdge, OpsEdge};
use crate::http::identity::Proxies;
use crate::http::limiter::Limiter;
use crate::http::listen::{Binding, Listening, Served, listen};
use crate::http::tls::Files;

/// How often it is looked whether another server took the database over.
const WATCH: Duration = Duration::from_secs(1);

/// Runs a server until it is asked to stop, or gives up.
pub(super) fn run(
    settings: Settings,
    stopped: oneshot::Receiver<()>,
    ready: mpsc::Sender<Ready>,
) -> anyhow::Result<Ended> {
    watch_panics();
    let _lock = directory::take(&settings.data_dir)?;
    let io = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores().max(2))
        .thread_name("io")
        .enable_all()
        .build()
        .context("cannot start threads")?;
    let clock = Clock::default();
    let stores = io.block_on(storage::own(&settings, &clock))?;
    let system = System::new();
    let ended = system.block_on(serve(settings, stores, clock, &io, stopped, ready));
    io.shutdown_timeout(Duration::from_secs(1));
    ended
}

async fn serve(
    settings: Settings,
    stores: (entities::Reader, entities::Writer),
    clock: Clock,
    io: &Runtime,
    stopped: oneshot::Receiver<()>,
    ready: mpsc::Sender<Ready>,
) -> anyhow::Result<Ended> {
    let since = clock.now();
    let bindings = Bindings::of(&settings, since)?;
    let arbiters: Vec<Arbiter> = (0..cores()).map(|_| Arbiter::new()).collect();
    let handles = arbiters.iter().map(Arbiter::handle).collect();
    let config = actor_config(&settings, &bindings)?;
    let parts = Parts::new(stores, clock, io.handle().clone(), config, handles);
    parts.outlets.load(&parts.reader).await?;
    let tree = actors::supervisor::start(&TREE, parts.clone());
    let stopping = Arc::new(AtomicBool::new(false));
    let ops = OpsEdge { front: parts.front(), board: tree.board.clone(), stopping: stopping.clone(), since };
    let listening = bindings.listen(&settings, &parts, ops)?;
    let addresses = bindings.addresses(&listening);
    let (device_url, admin_url, ops_url) = (&addresses.device_url, &addresses.admin_url, &addresses.ops_url);
    tracing::info!(%device_url, %admin_url, %ops_url, "ready");
    let _ = ready.send((addresses, parts.clone()));
    let ended = watch(tree, &parts, listening, stopped, &stopping).await;
    for arbiter in arbiters {
        arbiter.stop();
    }
    Ok(ended)
}

/// Lets everything run until there is a reason to stop, then stops it in order.
async fn watch(
    mut tree: Tree<Parts>,
    parts: &Parts,
    listening: Vec<Listening>,
    mut stopped: oneshot::Receiver<()>,
    stopping: &AtomicBool,
) -> Ended {
    let handles: Vec<_> = listening.iter().map(|listening| listening.server.handle()).collect();
    for (index, Listening { server, reloading, .. }) in listening.into_iter().enumerate() {
        actix::spawn(server);
        if let Some(reloading) = reloading {
            actix::spawn(reloading.keep(index == 0));
        }
    }
    let asked = loop {
        tokio::select! {
            _ = &mut stopped => break true,
            _ = &mut tree.ended => break false,
            () = sleep(WATCH) => if parts.writer.tally().fenced.load(Relaxed) {
                tracing::error!("another server owns this database now; this one stops");
                break false;
            }
        }
    };
    stopping.store(true, Relaxed);
    tracing::info!("stops: finishes requests, then turns, then actors");
    parts.feed.close();
    let draining = async {
        join_all(handles.iter().map(|handle| handle.stop(asked))).await;
        tree.root.do_send(Stop);
        if asked { tree.ended.await.is_ok_and(|end| end == TreeEnd::Asked) } else { false }
    };
    match timeout(DRAIN, draining).await {
        Ok(true) => Ended::Asked,
        Ok(false) => Ended::GaveUp,
        Err(_) => Ended::Late,
    }
}

/// Where listeners listen, and with which certificates.
struct Bindings {
    device: Binding,
    admin: Binding,
    ops: Binding,
    self_made: Option<SelfMade>,
    server_url: String,
}

impl Bindings {
    fn of(settings: &Settings, now: protocol::time::Timestamp) -> anyhow::Result<Self> {
        let (device, admin) = (&settings.device, &settings.admin);
        let host = settings.server_url.trim_start_matches("https://");
        let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
        let needs_one = |plain: bool, certificate: &PathBuf| !plain && certificate.as_os_str().is_empty();
        let self_made = if needs_one(device.plain, &device.certificate) || needs_one(admin.plain, &admin.certificate) {
            let names: Vec<&str> =
                ["localhost", "127.0.0.1"].into_iter().chain((!host.is_empty()).then_some(host)).collect();
            Some(tls_files::establish(&settings.data_dir, &names, now)?)
        } else {
            None
        };
        let files = |plain: bool, certificate: &PathBuf, private_key: &PathBuf| match &self_made {
            _ if plain => None,
            Some(made) if certificate.as_os_str().is_empty() => Some(made.files.clone()),
            _ => Some(Files { certificate: certificate.clone(), private_key: private_key.clone() }),
        };
        let device_tls = files(device.plain, &device.certificate, &device.private_key);
        let admin_tls = files(admin.plain, &admin.certificate, &admin.private_key);
        Ok(Self {
            device: Binding { address: free_port(device.listen)?, tls: device_tls, workers: device.workers },
            admin: Binding { address: admin.listen, tls: admin_tls, workers: admin.workers },
            ops: Binding { address: settings.ops.listen, tls: None, workers: 1 },
            server_url: settings.server_url.clone(),
            self_made,
        })
    }

    fn listen(&self, settings: &Settings, parts: &Parts, ops: OpsEdge) -> anyhow::Result<Vec<Listening>> {
        let device = &settings.device;
        let entra = settings.windows.entra(&self.device_url()).map(Entra::new);
        let end_users = settings.end_user_authentication.provider(&self.device_url())?;
        let end_user_provider = end_users.as_ref().map(|provider| provider.name().to_owned());
        let edge = DeviceEdge {
            front: parts.front(),
            budget: Budget::new(device.body_budget_mib),
            max_body_bytes: device.max_body_mib * 1024 * 1024,
            proxies: Proxies {
                trusted: device.trusted_proxies.clone(),
                header: device.client_certificate_header.to_ascii_lowercase(),
            },
            manage_network_users: device.manage_network_users,
            agents: AgentEdge {
                limiter: Limiter::new(device.trusted_proxies.clone()),
                detail_interval: settings.agents.detail_interval.0,
                query_interval: settings.agents.query_interval.0,
            },
            sso: SsoEdge {
                account_driven: settings.end_user_authentication.ownership(),
                provider: end_users,
                limiter: Limiter::new(device.trusted_proxies.clone()),
            },
            windows: WindowsEdge {
                enabled: settings.windows.enabled,
                limiter: Limiter::new(device.trusted_proxies.clone()),
                entra: entra.transpose().map_err(anyhow::Error::msg)?,
            },
        };
        let admin = AdminEdge {
            front: parts.front(),
            budget: Budget::new(device.body_budget_mib),
            remembered: Remembered::default(),
            limiter: Limiter::new(settings.admin.trusted_proxies.clone()),
            passwords: Passwords::default(),
            provider: settings.oidc.provider(&settings.admin.url, &settings.saml)?,
            end_user_provider,
            url: settings.admin.url.clone(),
        };
        Ok(vec![
            listen(&self.device, Served::Devices(Arc::new(edge)))?,
            listen(&self.admin, Served::Admins(Arc::new(admin)))?,
            listen(&self.ops, Served::Operators(Arc::new(ops)))?,
        ])
    }

    /// The address that devices are told: the setting, or this machine.
    fn device_url(&self) -> String {
        match self.server_url.as_str() {
            "" => format!("https://localhost:{}", self.device.address.port()),
            url => url.to_owned(),
        }
    }

    fn addresses(&self, listening: &[Listening]) -> Addresses {
        let of = |index: usize| listening[index].address;
        let scheme = |binding: &Binding| if binding.tls.is_some() { "https" } else { "http" };
        Addresses {
            device: of(0),
            admin: of(1),
            ops: of(2),
            device_url: self.device_url(),
            admin_url: format!("{}://localhost:{}", scheme(&self.admin), of(1).port()),
            ops_url: format!("http://{}", of(2)),
            ca_file: self.self_made.as_ref().map(|made| made.ca_file.clone()),
        }
    }
}

/// A free port must be known before profiles with its number are made.
fn free_port(address: SocketAddr) -> anyhow::Result<SocketAddr> {
    if address.port() != 0 {
        return Ok(address);
    }
    Ok(std::net::TcpListener::bind(address)?.local_addr()?)
}

fn actor_config(settings: &Settings, bindings: &Bindings) -> anyhow::Result<Config> {
    let (hosts, scep) = (&settings.hosts, &settings.scep);
    let queue = Policy {
        push_again: hosts.push_again.0,
        push_again_cap: hosts.push_again_cap.0,
        not_now: hosts.not_now.0,
        not_now_safety: hosts.not_now_safety.0,
        push_quiet: hosts.push_quiet.0,
        resend_grace: hosts.resend_grace.0,
        max_attempts: hosts.max_attempts,
        second_push: hosts.second_push.0,
        ..Policy::default()
    };
    let root_certificate = pem(&settings.apns.root_certificate)?;
    Ok(Config {
        host: Arc::new(HostConfig { polls: settings.windows.polls(), ..HostConfig::new(queue, hosts.idle.0) }),
        brakes: Arc::new(settings.brakes.to_config()),
        webhooks: Arc::new(settings.webhooks.to_config()),
        egress: Arc::new(settings.egress.to_config()?),
        mail: Arc::new(settings.smtp.to_config()?),
        keep_activities: settings.activities.keep.0,
        profiles: Arc::default(),
        dep: Arc::new(settings.abm.to_config()?),
        setup: Arc::new(SetupConfig { time_limit: settings.abm.setup_time_limit.0 }),
        apns: Arc::new(ApnsConfig { url: settings.apns.url.clone(), root_certificate }),
        authority: Arc::new(AuthorityConfig {
            organization: settings.organization.clone(),
            server_url: bindings.device_url(),
            identity_validity: scep.identity_validity.0,
            challenge_validity: scep.challenge_validity.0,
            static_challenge: Some(scep.static_challenge.clone()).filter(|challenge| !challenge.is_empty()),
            allow_legacy: scep.allow_legacy,
            separate_ra: scep.separate_ra,
            windows_poll_minutes: settings.windows.poll_minutes,
            device_authorities: settings.abm.authorities()?,
            roots: bindings.self_made.iter().map(|made| made.ca.der().to_vec()).collect(),
        }),
        keys: Some(Arc::new(settings.key_source())),
        audit_anchor: Some(Arc::new(settings.audit_anchor())),
    })
}
