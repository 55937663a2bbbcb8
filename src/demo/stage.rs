//! What the demo is played on: data directory, simulated Apple, server, enroll secret.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use openssl::rand::rand_bytes;
use protocol::pki::authority::{Authority, AuthorityRole};
use protocol::pki::{Certificate, ServerName, Signer};
use protocol::time::Timestamp;
use tokio::runtime::Handle;

use super::Options;
use super::admin::Admin;
use super::fleets::Fleets;
use crate::config::{Settings, Span, cores};
use crate::serve::{self, Ended, Running};
use crate::sim::abm::{AssignmentConfig, AssignmentService};
use crate::sim::apns::{PushConfig, PushService};
use crate::sim::apple::device::DeviceOptions;
use crate::sim::behaviour::Behaviour;
use crate::sim::clock::Clock;
use crate::sim::fleet::{Fleet, FleetConfig, PcFleetConfig, Persona, Purchase};
use crate::sim::keys::{KeyPool, Keys};
use crate::sim::windows::device::enroll::DISCOVERY_PATH;
use crate::sim::windows::device::{PcOptions, Proof};
use crate::telemetry;

/// The push topic of the demo.
const TOPIC: &str = "com.apple.mgmt.External.demo";
/// How long the simulated Apple's certificates last.
const LIFE: Duration = Duration::from_secs(365 * 86_400);
/// How long a minute of a poll schedule takes: PCs usually come once in a minute.
const MINUTE: Duration = Duration::from_secs(1);
/// Keys for certificates that are renewed.
const RENEWALS: usize = 50_000;
/// Devices that enroll at once.
const RAMP: usize = 16;

/// The stage.
pub(super) struct Stage {
    pub(super) running: Running,
    pub(super) token: String,
    pub(super) pushes: PushService,
    pub(super) data_dir: PathBuf,
    is_temporary: bool,
    push_certificate: Signer,
    secret: String,
    purchase: Purchase,
}

impl Stage {
    /// Starts the simulated Apple and the server.
    pub(super) fn set(options: &Options, runtime: &Handle) -> anyhow::Result<Self> {
        let temporary = || std::env::temp_dir().join(format!("rookery-demo-{}", uuid::Uuid::new_v4()));
        let data_dir = options.data.clone().unwrap_or_else(temporary);
        std::fs::create_dir_all(&data_dir).with_context(|| format!("cannot make {}", data_dir.display()))?;
        let now: Timestamp = actors::clock::Clock::default().now();
        let apple = Authority::create("Simulated Apple", now, 1, AuthorityRole::IssuesOnly)?;
        let pushes = PushService::start(
            PushConfig {
                address: (Ipv4Addr::LOCALHOST, 0).into(),
                certificate: apple.issue_server(&[ServerName::parse("localhost")?], now, LIFE)?,
                issuers: vec![apple.certificate().clone()],
                clock: Clock::default(),
            },
            runtime,
        )?;
        let certificate = apple.issue_server(&[ServerName::parse("localhost")?], now, LIFE)?;
        let config = AssignmentConfig::local(certificate, Clock::default(), options.seed);
        let service = AssignmentService::start(config, runtime)?;
        let organization = service.found("Demo");
        let root = data_dir.join("simulated-apple.pem");
        std::fs::write(&root, apple.certificate().to_pem()?)?;
        let settings = settings(data_dir.clone(), &pushes, &service, root)?;
        telemetry::start(&settings.log)?;
        let running = serve::start(settings)?;
        let token = running.new_token(&format!("demo {}", uuid::Uuid::new_v4()))?;
        let push_certificate = apple.issue_push(TOPIC, now, LIFE)?;
        let secret = secret()?;
        let is_temporary = options.data.is_none();
        let purchase = Purchase { service, organization, authority: apple };
        Ok(Self { running, token, pushes, data_dir, is_temporary, push_certificate, secret, purchase })
    }

    /// Does what an admin does first: push certificate, enroll secret, the token of Apple Business Manager.
    pub(super) async fn prepare(&self, admin: &Admin) -> anyhow::Result<()> {
        let key = String::from_utf8(self.push_certificate.private_key_pem()?)?;
        let pem = format!("{}{key}", self.push_certificate.certificate().to_pem()?);
        admin.put("/v1/pushcert?new_topic=1", pem).await.context("the push certificate was refused")?;
        let spec = serde_json::json!({ "spec": { "secrets": [{ "secret": self.secret }] } });
        admin.post("/api/v1/fleet/spec/enroll_secret", &spec).await.context("the enroll secret was refused")?;
        let key = admin.abm_public_key().await.context("no public key for Apple Business Manager")?;
        let file = self.purchase.service.token_file(self.purchase.organization, &key, LIFE)?;
        admin.upload_abm_token(&file).await.context("the token of Apple Business Manager was refused")
    }

    /// Starts the devices: a third of them PCs, which need a token each.
    pub(super) async fn fleets(&self, options: &Options, admin: &Admin) -> anyhow::Result<Fleets> {
        let ca = self.running.addresses.ca_file.as_ref().context("the demo's server has a self-made certificate")?;
        let ca = Certificate::from_pem(&std::fs::read(ca)?)?;
        let anchors = vec![ca.der().to_vec()];
        let keys = Keys::Pool(Arc::new(KeyPool::new(options.hosts as usize * 2 + RENEWALS)));
        let pcs = options.hosts / 3;
        let tokens = admin.windows_tokens(pcs).await.context("no tokens for PCs")?;
        let windows = Fleet::of_pcs(PcFleetConfig {
            first: 1,
            tokens,
            discovery_url: format!("{}{DISCOVERY_PATH}", self.running.addresses.device_url),
            anchors: anchors.clone(),
            behaviour: Behaviour::lively(),
            proofs: vec![Proof::Digest, Proof::Certificate, Proof::Digest, Proof::Signature],
            options: PcOptions { keys: keys.clone(), dedup: false, ..PcOptions::default() },
            minute: MINUTE,
            seed: options.seed,
            threads: 1,
            ramp: RAMP,
        })?;
        let apple = Fleet::start(FleetConfig {
            count: options.hosts - pcs,
            first: 1,
            mix: Persona::COMPANY.to_vec(),
            enroll_url: self.enroll_url(),
            anchors,
            pushes: self.pushes.clone(),
            behaviour: Behaviour::lively(),
            // A device that did a command twice would not notice; the demo does.
            options: DeviceOptions { keys, dedup: false, ..DeviceOptions::default() },
            seed: options.seed,
            threads: cores(),
            ramp: RAMP,
            purchase: Some(self.purchase.clone()),
        })?;
        Ok(Fleets { apple, windows })
    }

    /// Where a device gets its enrollment profile.
    pub(super) fn enroll_url(&self) -> String {
        format!("{}/api/mdm/apple/enroll?token={}", self.running.addresses.device_url, self.secret)
    }

    /// Stops the server, and removes what was temporary.
    pub(super) fn clear(self) -> anyhow::Result<Ended> {
        self.pushes.stop();
        self.purchase.service.stop();
        let ended = self.running.stop();
        if self.is_temporary {
            let _ = std::fs::remove_dir_all(&self.data_dir);
        }
        ended
    }
}

/// Settings from the environment, with addresses of this machine, short waits and a quiet log.
fn settings(
    data_dir: PathBuf,
    pushes: &PushService,
    service: &AssignmentService,
    root: PathBuf,
) -> anyhow::Result<Settings> {
    let usual = Settings::default();
    let mut settings = Settings::load(None).map_err(|faults| anyhow::anyhow!(faults.join("\n")))?;
    settings.data_dir = data_dir;
    settings.device.listen = free(8443);
    settings.admin.listen = free(8444);
    settings.ops.listen = free(8445);
    settings.server_url = String::new();
    settings.apns.url = format!("https://localhost:{}", pushes.port());
    settings.apns.root_certificate = root.clone();
    settings.abm.url = service.url();
    settings.abm.root_certificate = root.clone();
    settings.abm.device_authorities = root;
    settings.abm.sync_every = seconds(1);
    if settings.hosts == usual.hosts {
        settings.hosts.push_again = seconds(2);
        settings.hosts.push_again_cap = seconds(10);
        settings.hosts.not_now = seconds(2);
        settings.hosts.not_now_safety = seconds(10);
        settings.hosts.push_quiet = Span(Duration::from_millis(100));
        settings.hosts.resend_grace = seconds(3);
        settings.hosts.second_push = seconds(1);
    }
    if settings.log == usual.log {
        settings.log.filter = "error".into();
    }
    Ok(settings)
}

/// The usual port, or any other when that one is taken.
fn free(port: u16) -> SocketAddr {
    let usual = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    match TcpListener::bind(usual) {
        Ok(_) => usual,
        Err(_) => SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
    }
}

fn seconds(seconds: u64) -> Span {
    Span(Duration::from_secs(seconds))
}

fn secret() -> anyhow::Result<String> {
    let mut random = [0; 16];
    rand_bytes(&mut random)?;
    Ok(random.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}")))
}
