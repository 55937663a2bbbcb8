//! Everything of one proof in one place: server, database, simulated Apple, devices.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime};

use protocol::pki::authority::{Authority, AuthorityRole};
use protocol::pki::{Certificate, ServerName};
use protocol::time::Timestamp;
use reqwest::Method;
use rookery::http::{ROUTES, Who};
use rookery::sim::apns::{PushConfig, PushService};
use rookery::sim::apple::device::{Device, DeviceOptions};
use rookery::sim::apple::model::{Family, Model};
use rookery::sim::behaviour::Behaviour;
use rookery::sim::clock::Clock;
use rookery::sim::fleet::{Fleet, FleetConfig, Persona};
use rookery::sim::keys::{KeyPool, Keys};
use rookery::sim::log::{DeviceLog, Fault};
use rookery::sim::wire::{Statuses, Trust, Wire, WireOptions};
use serde_json::json;
use tokio::runtime::Handle;

use super::Proof;
use super::admin::Admin;
use super::database::{Kind, Store};
use super::proxy::Proxy;
use super::server::Server;

/// How long something may take that must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// The push topic.
pub(crate) const TOPIC: &str = "com.apple.mgmt.External.proof";
const SECRET: &str = "an-enroll-secret-for-proofs";
const DAY: Duration = Duration::from_secs(86_400);
/// Devices that enroll at once.
pub(crate) const RAMP: usize = 16;
/// How long a device waits for a reply.
const DEVICE_DEADLINE: Duration = Duration::from_secs(15);

/// Waits that fit a proof: minutes become seconds.
const WAITS: [(&str, &str); 7] = [
    ("ROOKERY_HOSTS__PUSH_AGAIN", "2s"),
    ("ROOKERY_HOSTS__PUSH_AGAIN_CAP", "8s"),
    ("ROOKERY_HOSTS__NOT_NOW", "2s"),
    ("ROOKERY_HOSTS__NOT_NOW_SAFETY", "8s"),
    ("ROOKERY_HOSTS__PUSH_QUIET", "100ms"),
    ("ROOKERY_HOSTS__RESEND_GRACE", "3s"),
    ("ROOKERY_HOSTS__SECOND_PUSH", "1s"),
];

/// A server with all that is around it.
pub(crate) struct Site {
    pub(crate) server: Server,
    pub(crate) store: Store,
    /// Between the server and PostgreSQL, where it was asked for.
    pub(crate) proxy: Option<Proxy>,
    pub(crate) pushes: PushService,
    pub(crate) admin: Admin,
    /// What devices were answered.
    pub(crate) statuses: Statuses,
    pub(super) logs: Vec<DeviceLog>,
    folder: PathBuf,
}

impl Site {
    /// Starts everything, and does what an admin does first: push certificate, enroll secret.
    pub(crate) async fn open(proof: &Proof, settings: &[(&str, &str)]) -> Self {
        Self::set_up(proof, settings, false, new_folder()).await
    }

    /// The same in a folder that is there already.
    pub(crate) async fn open_in(proof: &Proof, settings: &[(&str, &str)], folder: PathBuf) -> Self {
        Self::set_up(proof, settings, false, folder).await
    }

    /// The same with a [`Proxy`] between the server and PostgreSQL.
    pub(crate) async fn open_with_proxy(proof: &Proof, settings: &[(&str, &str)]) -> Self {
        Self::set_up(proof, settings, proof.kind == Kind::Postgres, new_folder()).await
    }

    async fn set_up(proof: &Proof, settings: &[(&str, &str)], proxied: bool, folder: PathBuf) -> Self {
        let store = Store::make(proof.kind, &folder).await;
        let proxy = if proxied { Some(Proxy::start(Store::server_address()).await) } else { None };
        let database = proxy.as_ref().map_or(store.url(), |proxy| store.url_through(&proxy.address.to_string()));
        let pushes = pushes();
        let root = folder.join("simulated-apple.pem");
        std::fs::write(&root, apple().certificate().to_pem().unwrap()).unwrap();
        let apns = format!("https://localhost:{}", pushes.port());
        let mut all = vec![
            ("ROOKERY_APNS__URL", apns.as_str()),
            ("ROOKERY_APNS__ROOT_CERTIFICATE", root.to_str().unwrap()),
            ("ROOKERY_DATABASE_URL", &database),
        ];
        all.extend(WAITS);
        all.extend(settings);
        let mut server = Server::new(&folder, &all);
        let token = server.new_token("prover");
        server.start().await;
        let admin = Admin::new(&server, token);
        let site =
            Self { server, store, proxy, pushes, admin, statuses: Statuses::default(), logs: Vec::new(), folder };
        site.prepare().await;
        site
    }

    /// What an admin does first.
    pub(crate) async fn prepare(&self) {
        let signer = apple().issue_push(TOPIC, now(), DAY).unwrap();
        let key = String::from_utf8(signer.private_key_pem().unwrap()).unwrap();
        let pem = format!("{}{key}", signer.certificate().to_pem().unwrap());
        self.admin.ask(Method::PUT, "/v1/pushcert", pem.into_bytes(), None).await.unwrap();
        let spec = json!({ "spec": { "secrets": [{ "secret": SECRET }] } }).to_string();
        self.admin.ask(Method::POST, "/api/v1/fleet/spec/enroll_secret", spec.into_bytes(), None).await.unwrap();
    }

    /// Where a device gets its enrollment profile.
    pub(crate) fn enroll_url(&self) -> String {
        format!("{}/api/mdm/apple/enroll?token={SECRET}", self.server.url("device_url"))
    }

    /// Devices that live on their own; all of them are enrolled. None of them notices when it does a command twice.
    pub(crate) async fn fleet(
        &mut self,
        proof: &mut Proof,
        count: u32,
        mix: &[Persona],
        behaviour: Behaviour,
    ) -> Fleet {
        let config = FleetConfig {
            count,
            first: 1,
            mix: mix.to_vec(),
            enroll_url: self.enroll_url(),
            anchors: vec![self.anchor().der().to_vec()],
            pushes: self.pushes.clone(),
            behaviour,
            options: self.device_options(),
            seed: proof.seed,
            threads: 2,
            ramp: RAMP,
            purchase: None,
        };
        let fleet = Fleet::start(config).unwrap();
        let patience = PATIENCE + Duration::from_millis(100) * count;
        assert!(fleet.enrolled(patience, |_| ()).await, "not every device enrolled: {:?}", fleet.progress());
        self.logs.extend(fleet.members().iter().map(|member| member.log.clone()));
        let enroll = fleet.progress().enroll;
        proof.tell(format!("{count} devices enrolled, each within {:.0} ms (p99)", enroll.p99_ms));
        fleet
    }

    /// A device out of the box, to be driven by hand; it is pushed in vain.
    pub(crate) fn device(&mut self, family: Family, number: u32) -> Device {
        let trust = self.trust();
        let model = Model::new(family, 7, number);
        let mut device = Device::new(model, trust, self.device_options(), u64::from(number));
        device.set_pushes(self.pushes.clone(), Arc::new(|_| {}));
        self.logs.push(device.log().clone());
        device
    }

    /// Somebody who has no certificate and speaks HTTP; its answers count as devices' answers.
    pub(crate) fn stranger(&self) -> Wire {
        Wire::new(self.trust(), self.device_options().wire)
    }

    pub(super) fn device_options(&self) -> DeviceOptions {
        static KEYS: LazyLock<Arc<KeyPool>> = LazyLock::new(|| Arc::new(KeyPool::new(50_000)));
        let wire =
            WireOptions { deadline: DEVICE_DEADLINE, statuses: Some(self.statuses.clone()), ..WireOptions::default() };
        DeviceOptions { wire, keys: Keys::Pool(KEYS.clone()), dedup: false, ..DeviceOptions::default() }
    }

    pub(super) fn trust(&self) -> Trust {
        Trust::new([self.anchor().der()]).unwrap()
    }

    pub(super) fn anchor(&self) -> Certificate {
        Certificate::from_pem(&self.server.ca_pem()).unwrap()
    }

    /// How often the routes of enrolled devices answered with each status.
    pub(crate) fn device_statuses(&self) -> BTreeMap<u16, u64> {
        let mut sums = BTreeMap::new();
        for ((path, status), count) in self.statuses.counts() {
            let newcomer = ROUTES.iter().any(|route| route.who == Who::Newcomer && route.path == path);
            if !newcomer {
                *sums.entry(status).or_default() += count;
            }
        }
        sums
    }

    /// Stops the server in order and starts it again, with whatever settings it has by now.
    pub(crate) async fn restart(&mut self, proof: &mut Proof) {
        let status = self.server.terminate().await;
        proof.demand(status.success(), format!("the server ended with {status}"));
        self.server.start().await;
    }

    /// How often a token was pushed to.
    pub(crate) fn pushes_to(&self, token: &[u8]) -> usize {
        self.pushes.observations().iter().filter(|seen| seen.token.as_deref() == Some(token)).count()
    }

    /// Stops the server in order, judges what every promise includes, and clears up.
    pub(crate) async fn close(self, proof: &mut Proof) {
        self.end(proof, |_| true).await;
    }

    /// The same after a proof in which devices were to be refused; of what they found, only a 401 or 403 counts.
    pub(crate) async fn close_after_refusals(self, proof: &mut Proof) {
        self.end(proof, |fault| fault == Fault::Unenrolls).await;
    }

    async fn end(mut self, proof: &mut Proof, counts: impl Fn(Fault) -> bool) {
        if self.server.is_up() {
            let status = self.server.terminate().await;
            proof.demand(status.success(), format!("the server ended with {status}"));
        }
        self.pushes.stop();
        let statuses = self.device_statuses();
        for status in [401, 403] {
            let count = statuses.get(&status).copied().unwrap_or(0);
            proof.demand(count == 0, format!("device routes answered {status} {count} times"));
        }
        let found = self.logs.iter().flat_map(DeviceLog::findings).filter(|found| counts(found.fault));
        found.for_each(|found| proof.demand(false, format!("a device found {:?}: {}", found.fault, found.text)));
        for line in self.server.panics() {
            proof.demand(false, format!("the server's log: {line}"));
        }
        let texts: Vec<String> = statuses.iter().map(|(status, count)| format!("{status} ×{count}")).collect();
        proof.figure("device answers", texts.join(" "));
        let peak = self.server.peak;
        proof.figure("peak memory", format!("{} MiB", peak.memory_mib));
        proof.figure("peak files", peak.files);
        proof.figure("server CPU", format!("{:.1} s", peak.cpu_ms as f64 / 1000.0));
        self.store.remove().await;
        drop(self.server);
        if proof.is_kept() {
            let _ = std::fs::remove_dir_all(&self.folder);
        } else {
            println!("the server's data and log: {}", self.folder.display());
        }
    }
}

/// A place for everything of one proof.
pub(crate) fn new_folder() -> PathBuf {
    let folder = std::env::temp_dir().join(format!("rookery-prove-{}", uuid::Uuid::new_v4()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// The simulated Apple, one for all: its key takes a while to make.
pub(crate) fn apple() -> &'static Authority {
    static APPLE: LazyLock<Authority> =
        LazyLock::new(|| Authority::create("Simulated Apple", now(), 1, AuthorityRole::IssuesOnly).unwrap());
    &APPLE
}

pub(crate) fn now() -> Timestamp {
    SystemTime::now().into()
}

/// A simulated APNs on the present runtime.
fn pushes() -> PushService {
    let localhost = ServerName::parse("localhost").unwrap();
    let config = PushConfig {
        address: (Ipv4Addr::LOCALHOST, 0).into(),
        certificate: apple().issue_server(&[localhost], now(), DAY).unwrap(),
        issuers: vec![apple().certificate().clone()],
        clock: Clock::default(),
    };
    PushService::start(config, &Handle::current()).unwrap()
}
