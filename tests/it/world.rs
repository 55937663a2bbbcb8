//! A server, a simulated APNs and an enroll secret: everything that a simulated device needs.

use std::path::PathBuf;
use std::sync::{Arc, LazyLock, OnceLock};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use protocol::apple::command::Command;
use protocol::apple::report::Status;
use protocol::ids::CommandUuid;
use protocol::pki::ServerName;
use protocol::pki::authority::{Authority, AuthorityRole};
use protocol::time::Timestamp;
use reqwest::{Method, StatusCode};
use rookery::config::Settings;
use rookery::sim::apns::{PushConfig, PushService};
use rookery::sim::apple::device::{Answer as Done, ChannelNo, Device, DeviceOptions};
use rookery::sim::apple::model::{Family, Model};
use rookery::sim::clock::Clock;
use rookery::sim::keys::{KeyPool, Keys};
use rookery::sim::windows::device::{Pc, PcOptions, Proof};
use rookery::sim::wire::Trust;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::sync::RwLock;

use crate::app::{App, eventually};
use crate::postgres::{self, Fresh};
use crate::process::enroll;

/// What a person shows to be given an enrollment profile.
pub(crate) const SECRET: &str = "an-enroll-secret-for-tests";
/// The push topic.
pub(crate) const TOPIC: &str = "com.apple.mgmt.External.it";
/// The device's own channel.
pub(crate) const DEVICE: ChannelNo = ChannelNo::DEVICE;

/// A world for one test.
pub(crate) struct World {
    pub(crate) app: App,
    pub(crate) push: PushService,
    runtime: Option<Runtime>,
    fresh: Option<Fresh>,
    root: PathBuf,
}

/// Faults are armed for the whole process: a test that arms one runs while no other world exists.
static WORLDS: RwLock<()> = RwLock::const_new(());

/// Runs a test on SQLite, and on PostgreSQL where a server is named.
pub(crate) async fn on_each_store(test: impl AsyncFn(&World)) {
    on_each_store_with(|_| {}, async |world| test(world).await).await;
}

/// The same with changed settings, and with the right to restart the server.
pub(crate) async fn on_each_store_with(change: impl Fn(&mut Settings), test: impl AsyncFn(&mut World)) {
    let _shared = WORLDS.read().await;
    in_worlds(change, test).await;
}

/// The same for a test that arms faults.
pub(crate) async fn alone_on_each_store(test: impl AsyncFn(&World)) {
    let _alone = WORLDS.write().await;
    in_worlds(|_| {}, async |world: &mut World| test(world).await).await;
}

async fn in_worlds(change: impl Fn(&mut Settings), test: impl AsyncFn(&mut World)) {
    let mut world = World::start(None, &change).await;
    test(&mut world).await;
    world.end().await;
    match Fresh::make().await {
        Some(fresh) => {
            let mut world = World::start(Some(fresh), &change).await;
            test(&mut world).await;
            world.end().await;
        }
        None => println!("left out: PostgreSQL (ROOKERY_TEST_POSTGRES is not set)"),
    }
}

impl World {
    async fn start(fresh: Option<Fresh>, change: &impl Fn(&mut Settings)) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (apple, day) = (apple(), Duration::from_secs(86_400));
        let clock = Arc::new(OnceLock::<Clock>::new());
        let shared = clock.clone();
        let localhost = ServerName::parse("localhost").unwrap();
        let config = PushConfig {
            address: "127.0.0.1:0".parse().unwrap(),
            certificate: apple.issue_server(&[localhost], now(), day).unwrap(),
            issuers: vec![apple.certificate().clone()],
            clock: Clock::new(move || shared.get().map_or_else(now, Clock::now)),
        };
        let push = PushService::start(config, runtime.handle()).unwrap();
        let root = std::env::temp_dir().join(format!("rookery-it-root-{}.pem", uuid::Uuid::new_v4()));
        std::fs::write(&root, apple.certificate().to_pem().unwrap()).unwrap();
        let app = App::with(|settings| {
            settings.apns.url = format!("https://localhost:{}", push.port());
            settings.apns.root_certificate = root.clone();
            settings.database_url = fresh.as_ref().map(Fresh::url).unwrap_or_default();
            change(settings);
        });
        let world = Self { app, push, runtime: Some(runtime), fresh, root };
        let _ = clock.set(world.clock());
        world.prepare().await;
        world
    }

    /// Uploads the push certificate and makes the enroll secret, as an admin would.
    async fn prepare(&self) {
        self.ready().await;
        let uploaded = self.upload_push_certificate(TOPIC, "").await;
        assert_eq!(uploaded.0, StatusCode::OK, "{}", uploaded.1);
        let spec = json!({ "spec": { "secrets": [{ "secret": SECRET }] } });
        let made = self.app.post("/api/v1/fleet/spec/enroll_secret", &spec).await;
        assert_eq!(made.status, StatusCode::OK, "{}", made.json);
    }

    /// Waits until the server says that it is ready.
    pub(crate) async fn ready(&self) {
        let ready = async || (self.app.ops("/readyz").await.status == StatusCode::OK).then_some(());
        eventually("the server is ready", ready).await;
    }

    pub(crate) async fn upload_push_certificate(&self, topic: &str, query: &str) -> (StatusCode, Value) {
        let pem = push_certificate_pem(topic);
        let answer = crate::app::answer(self.app.admin(Method::PUT, &format!("/v1/pushcert{query}")).body(pem)).await;
        (answer.status, answer.json)
    }

    async fn end(mut self) {
        let fresh = self.fresh.take();
        let runtime = self.runtime.take();
        drop(self.app);
        let _ = std::fs::remove_file(&self.root);
        runtime.unwrap().shutdown_background();
        if let Some(fresh) = fresh {
            fresh.drop().await;
        }
    }

    /// The server's clock, which devices and APNs share.
    pub(crate) fn clock(&self) -> Clock {
        let clock = self.app.running().parts.clock.clone();
        Clock::new(move || clock.now())
    }

    /// What time it is there.
    pub(crate) fn now(&self) -> Timestamp {
        self.app.running().parts.clock.now()
    }

    /// The store, as people call it.
    pub(crate) fn store(&self) -> &'static str {
        if self.fresh.is_some() { "PostgreSQL" } else { "SQLite" }
    }

    /// How many unlock tokens of a channel are kept. No API shows them.
    pub(crate) async fn unlock_tokens(&self, id: &str) -> i64 {
        let rows = "enrollment_secret JOIN enrollment ON enrollment.id = enrollment_secret.enrollment_id";
        let of_kind = format!("enrollment_secret.kind = 0 AND enrollment.external_id = '{id}'");
        postgres::count(
            &self.app.settings.database(),
            &format!("SELECT count(*) AS counted FROM {rows} WHERE {of_kind}"),
        )
        .await
    }

    pub(crate) fn enroll_url(&self) -> String {
        self.app.device_url(&format!("/api/mdm/apple/enroll?token={SECRET}"))
    }

    /// A device out of the box.
    pub(crate) fn device(&self, family: Family, number: u32, options: DeviceOptions) -> Device {
        let ca = std::fs::read(self.app.running().addresses.ca_file.as_ref().unwrap()).unwrap();
        let ca = protocol::pki::Certificate::from_pem(&ca).unwrap();
        let model = Model::new(family, 7, number);
        let options = DeviceOptions { dedup: false, keys: keys(), clock: self.clock(), ..options };
        let mut device = Device::new(model, Trust::new([ca.der()]).unwrap(), options, u64::from(number));
        device.set_pushes(self.push.clone(), Arc::new(|_| {}));
        device
    }

    /// A PC out of the box.
    pub(crate) fn pc(&self, number: u32, proof: Proof) -> Pc {
        let ca = std::fs::read(self.app.running().addresses.ca_file.as_ref().unwrap()).unwrap();
        let ca = protocol::pki::Certificate::from_pem(&ca).unwrap();
        let options = PcOptions { proof, dedup: false, keys: keys(), clock: self.clock(), ..PcOptions::default() };
        let model = rookery::sim::windows::model::Model::new(7, number);
        Pc::new(model, Trust::new([ca.der()]).unwrap(), options, u64::from(number))
    }

    /// A device that has enrolled.
    pub(crate) async fn enrolled(&self, family: Family, number: u32) -> Device {
        let mut device = self.device(family, number, DeviceOptions::default());
        enroll(&mut device, &self.enroll_url()).await;
        device
    }

    /// Queues a command for devices; returns its name.
    pub(crate) async fn run(&self, devices: &[&Device], request_type: &str) -> CommandUuid {
        let uuid = fresh_uuid();
        let answer = self.try_run(devices, &uuid, request_type).await;
        assert_eq!(answer.0, StatusCode::OK, "{}", answer.1);
        uuid
    }

    pub(crate) async fn try_run(
        &self,
        devices: &[&Device],
        uuid: &CommandUuid,
        request_type: &str,
    ) -> (StatusCode, Value) {
        let command = Command::new(uuid.clone(), request_type, Default::default()).unwrap();
        let uuids: Vec<&str> = devices.iter().map(|device| device.channel_id(DEVICE).unwrap()).collect();
        let body = json!({ "command": STANDARD.encode(command.to_xml()), "host_uuids": uuids });
        let answer = self.app.post("/api/v1/fleet/commands/run", &body).await;
        (answer.status, answer.json)
    }

    /// Queues a command for any channel by NanoMDM's name of it.
    pub(crate) async fn enqueue(&self, id: &str, request_type: &str) -> CommandUuid {
        let (status, answer) = self.try_enqueue(id, request_type).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        CommandUuid::parse(answer["command_uuid"].as_str().unwrap()).unwrap()
    }

    /// Asks for the same and gives the answer.
    pub(crate) async fn try_enqueue(&self, id: &str, request_type: &str) -> (StatusCode, Value) {
        let command = Command::new(fresh_uuid(), request_type, Default::default()).unwrap();
        let request = self.app.admin(Method::PUT, &format!("/v1/enqueue/{id}")).body(command.to_xml());
        let answer = crate::app::answer(request).await;
        (answer.status, answer.json)
    }

    /// The results of a command, one for each host.
    pub(crate) async fn results(&self, uuid: &CommandUuid) -> Vec<Value> {
        let answer = self.app.get(&format!("/api/v1/fleet/commands/results?command_uuid={uuid}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.json);
        answer.json["results"].as_array().unwrap().clone()
    }

    /// The one status of a command for one host.
    pub(crate) async fn status(&self, uuid: &CommandUuid) -> String {
        let results = self.results(uuid).await;
        assert_eq!(results.len(), 1);
        results[0]["status"].as_str().unwrap().to_owned()
    }

    /// The host of a device, as the API shows it.
    pub(crate) async fn host(&self, device: &Device) -> Value {
        let id = device.channel_id(DEVICE).unwrap();
        let answer = self.app.get(&format!("/api/latest/fleet/hosts/identifier/{id}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.json);
        answer.json["host"].clone()
    }

    /// Reports that belonged to no command.
    pub(crate) async fn orphans(&self, device: &Device) -> Vec<Value> {
        let id = self.host(device).await["id"].as_i64().unwrap();
        let answer = self.app.get(&format!("/api/v1/fleet/hosts/{id}/orphan_results")).await;
        answer.json["orphan_results"].as_array().unwrap().clone()
    }

    /// Waits until APNs has delivered more than so many pushes.
    pub(crate) async fn pushed_since(&self, before: u64) -> u64 {
        eventually("a push", async || Some(self.push.counts().delivered).filter(|now| *now > before)).await
    }
}

/// A name for a command that nobody has used.
pub(crate) fn fresh_uuid() -> CommandUuid {
    CommandUuid::parse(&uuid::Uuid::new_v4().to_string()).unwrap()
}

/// A push certificate and its key, as an admin uploads them.
pub(crate) fn push_certificate_pem(topic: &str) -> String {
    let signer = apple().issue_push(topic, now(), Duration::from_secs(86_400)).unwrap();
    let key = String::from_utf8(signer.private_key_pem().unwrap()).unwrap();
    format!("{}{key}", signer.certificate().to_pem().unwrap())
}

/// The simulated Apple, one for all tests: its key takes a while to make.
pub(crate) fn apple() -> Authority {
    static APPLE: LazyLock<Authority> =
        LazyLock::new(|| Authority::create("Apple", now(), 1, AuthorityRole::IssuesOnly).unwrap());
    APPLE.clone()
}

/// Keys of devices: different ones, made quickly from few primes.
pub(crate) fn keys() -> Keys {
    static POOL: LazyLock<Arc<KeyPool>> = LazyLock::new(|| Arc::new(KeyPool::new(5000)));
    Keys::Pool(POOL.clone())
}

pub(crate) fn now() -> Timestamp {
    std::time::SystemTime::now().into()
}

/// An answer with this status and nothing else.
pub(crate) fn saying(status: Status) -> Done {
    Done { status, ..Done::acknowledged() }
}

/// What a server must never do, and did.
pub(crate) fn assert_sound(device: &Device) {
    assert_eq!(device.log().findings(), vec![], "the device found faults of the server");
}
