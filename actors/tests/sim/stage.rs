//! Where a run takes place: a database of its own, and the lives of a server on it. A life has a runtime whose time is
//! paused, so hours pass in milliseconds; its end is that of a killed process.

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use actix::prelude::{Arbiter, System};
use actors::clock::Clock;
use actors::dispatcher::Dispatcher;
use actors::host::HostConfig;
use actors::keeper::Keeper;
use actors::pusher::Pusher;
use actors::supervisor::{self, Limit, Node, Strategy};
use actors::tree::{Config, Parts};
use entities::enrollment::{self, Authenticated, TokenUpdated};
use entities::fault::{Faults, Plan};
use entities::{host, host_admission, identity, scep};
use protocol::queue::Policy;
use protocol::time::Timestamp;
use tokio::runtime::Runtime;

/// The hosts of every run.
pub(crate) const HOSTS: usize = 3;
/// Certificates that each host may use, one after the other.
pub(crate) const CERTIFICATES: usize = 40;
/// The push topic.
pub(crate) const TOPIC: &str = "com.apple.mgmt.External.sim";
/// When every run begins.
pub(crate) const BEGIN: Timestamp = Timestamp::from_seconds(1_800_000_000);

/// The actors of a life: those that hosts live with.
static TREE: Node<Parts> = Node::Group(
    "root",
    Strategy::OneForOne,
    Limit::per_minute(3),
    &[Node::Group(
        "hosts",
        Strategy::RestForOne,
        Limit::per_minute(5),
        &[Node::Worker("keeper", Keeper::launch), Node::Worker("dispatcher", Dispatcher::launch)],
    )],
);

/// The runtime on which pools do what they do beside statements.
static IO: LazyLock<Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap());

/// A database of a run; its files go with it.
#[derive(Debug)]
pub(crate) struct Stage {
    folder: PathBuf,
}

/// One life of a server.
pub(crate) struct Life {
    pub(crate) parts: Parts,
    /// The moment at which it began, as the run counts time.
    began: Timestamp,
    since: tokio::time::Instant,
}

impl Life {
    /// The moment as the run counts time; the server's clock may show another.
    pub(crate) fn moment(&self) -> Timestamp {
        self.began.plus(self.since.elapsed())
    }
}

/// How patient hosts are: as by default, in small.
pub(crate) fn policy() -> Policy {
    Policy {
        push_again: Duration::from_secs(10),
        push_again_cap: Duration::from_secs(80),
        not_now: Duration::from_secs(15),
        not_now_safety: Duration::from_secs(100),
        push_quiet: Duration::from_secs(2),
        resend_grace: Duration::from_secs(20),
        max_attempts: 10,
        second_push: Duration::from_secs(5),
        longest_rest: Duration::from_secs(300),
    }
}

impl Stage {
    /// A database in which all hosts are enrolled.
    pub(crate) fn new() -> Self {
        static TEMPLATE: LazyLock<Vec<u8>> = LazyLock::new(template);
        let stage = Self { folder: fresh_folder() };
        std::fs::write(stage.file(), &*TEMPLATE).unwrap();
        stage
    }

    fn file(&self) -> PathBuf {
        self.folder.join("sim.sqlite")
    }

    fn url(&self) -> String {
        format!("sqlite:{}", self.file().display())
    }

    /// Lets a server live for as long as the body takes, and kills it.
    pub(crate) fn live<T>(
        &self,
        (now, ahead): (Timestamp, i64),
        plan: Arc<dyn Plan>,
        pusher: Arc<dyn Pusher>,
        body: impl AsyncFnOnce(Rc<Life>) -> T,
    ) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let system = System::with_tokio_rt(|| runtime);
        system.block_on(async {
            let clock = Clock::of_runtime(now);
            let by = Duration::from_millis(ahead.unsigned_abs());
            if ahead < 0 {
                clock.set_back(by)
            } else {
                clock.advance(by)
            }
            let faults = Faults::planned(plan).in_steps(IO.handle().clone());
            let stores = entities::store::open_with(&self.url(), clock.now().millis(), &faults).await.unwrap();
            let host = HostConfig::new(policy(), Duration::from_secs(20));
            let config = Config { host: Arc::new(host), ..Config::default() };
            let io = tokio::runtime::Handle::current();
            let parts = Parts::pushing_to(pusher, stores, clock, io, config, vec![Arbiter::current()]);
            let _tree = supervisor::start(&TREE, parts.clone());
            let life = Life { parts, began: now, since: tokio::time::Instant::now() };
            body(Rc::new(life)).await
        })
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// In memory where the machine has a place for that: a run flushes to the disk thousands of times.
pub(crate) fn fresh_folder() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    let base = if memory.is_dir() { memory } else { std::env::temp_dir() };
    let folder = base.join(format!("rookery-sim-{}", uuid::Uuid::new_v4()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// The name of a host's device channel.
pub(crate) fn udid(host: usize) -> String {
    format!("00000000-0000-4000-8000-{host:012}")
}

/// One of a host's certificates.
pub(crate) fn fingerprint(host: usize, certificate: usize) -> [u8; 32] {
    let mut bytes = [7; 32];
    bytes[0] = u8::try_from(host).unwrap();
    bytes[1] = u8::try_from(certificate).unwrap();
    bytes
}

/// The file of a database with enrolled hosts, made once by the store's own functions.
fn template() -> Vec<u8> {
    let stage = Stage { folder: fresh_folder() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        migration::run(&format!("{}?mode=rwc", stage.url())).await.unwrap();
        let (reader, writer) =
            entities::store::open_with(&stage.url(), BEGIN.millis(), &Faults::default()).await.unwrap();
        for number in 0..HOSTS {
            enroll(&writer, number, "darwin", 0).await;
        }
        drop((reader, writer));
    });
    // The last connection takes the write-ahead log with it.
    while stage.folder.join("sim.sqlite-wal").exists() {
        std::thread::sleep(Duration::from_millis(5));
        runtime.block_on(migration::run(&stage.url())).unwrap();
    }
    std::fs::read(stage.file()).unwrap()
}

/// Enrolls a host of a platform through a channel of this kind.
pub(crate) async fn enroll(writer: &entities::Writer, number: usize, platform: &str, kind: i16) -> (i64, i64) {
    let (at, udid) = (BEGIN.millis(), udid(number));
    let description = host::Description { platform: platform.into(), ..description(number) };
    let host_id = host_admission::admit(writer, description.clone(), udid.clone(), at).await.unwrap();
    issue(writer, number).await;
    let authenticated = Authenticated {
        host_id,
        external_id: udid.clone(),
        kind,
        fingerprint: fingerprint(number, 0).to_vec(),
        description,
        topic: TOPIC.into(),
        at,
        events: vec![],
    };
    let row = enrollment::authenticate(writer, authenticated).await.unwrap();
    let updated = TokenUpdated {
        host_id,
        external_id: udid,
        kind,
        generation: row.generation,
        topic: TOPIC.into(),
        push_token: vec![u8::try_from(number).unwrap(), 0],
        push_magic: "magic".into(),
        unlock_token: None,
        awaiting_configuration: false,
        user_short_name: None,
        user_long_name: None,
        mdm_status: Some(host::ON_MANUAL),
        at,
        events: vec![],
    };
    enrollment::token_update(writer, updated).await.unwrap();
    (host_id, row.id)
}

/// Issues the certificates of a host.
async fn issue(writer: &entities::Writer, number: usize) {
    let at = BEGIN.millis();
    for certificate in 0..CERTIFICATES {
        let fingerprint = fingerprint(number, certificate).to_vec();
        let serial = format!("{number:08x}{certificate:08x}");
        let identity = identity::Model {
            fingerprint,
            serial: serial.clone(),
            certificate: vec![1],
            not_before: at,
            not_after: i64::MAX,
            state: identity::ISSUED,
            enrollment_id: None,
            renewal: false,
            promised_serial: None,
            promised_uuid: None,
            team_id: None,
            automatic: false,
            account_uuid: None,
            issued_at: at,
            bound_at: None,
        };
        let issue = scep::Issue { transaction_id: serial, request_hash: vec![2], challenge: None, identity };
        scep::issue(writer, issue).await.unwrap();
    }
}

fn description(number: usize) -> host::Description {
    host::Description {
        uuid: udid(number),
        serial: Some(format!("SIM{number:09}")),
        platform: "darwin".into(),
        hardware_model: "Mac15,3".into(),
        computer_name: format!("Mac {number}"),
        os_version: "15.1".into(),
        build_version: "24B83".into(),
    }
}
