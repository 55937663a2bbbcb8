//! What hosts have in the end, against a small independent model of what they shall have: over random teams, labels,
//! profiles and changes of all of them, with devices that put off, fail and lose replies.
//!
//! A *history* is a few changes, with deliveries at random moments between them, and then peace: everything that is under way
//! comes to its end, and each device must have exactly what the model says. A world lives through many histories.

mod changes;
mod device;
mod model;

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::Duration;

use actors::profiles::decide::decide;
use entities::fault::Faults;
use entities::{Reader, Writer, delivery, host_profile, marking};
use protocol::time::Timestamp;

use crate::random::Random;
use crate::stage::{BEGIN, enroll, fresh_folder};
use device::Device;
use model::Model;

/// Histories of a world.
const HISTORIES: usize = 20;
/// The kind of a Windows device's channel.
const WINDOWS: i16 = entities::windows_host::KIND;
/// Platforms of a world's hosts, and the kinds of channels that they have.
const HOSTS: [(&str, i16); 6] =
    [("darwin", 0), ("darwin", 0), ("darwin", 0), ("ipados", 0), ("windows", WINDOWS), ("windows", WINDOWS)];
/// Rounds of deliveries after which everything has come to its end.
const ROUNDS: usize = 40;

/// A world: the store, the devices, and the model beside them.
pub(crate) struct World {
    reader: Reader,
    writer: Writer,
    now: Timestamp,
    random: Random,
    devices: Vec<Device>,
    model: Model,
    named: usize,
    log: Vec<String>,
}

/// Runs a world; returns what must not be.
pub(crate) fn run(seed: u64, loud: bool) -> Vec<String> {
    let folder = fresh_folder();
    let file = folder.join("sim.sqlite");
    std::fs::write(&file, template()).unwrap();
    let url = format!("sqlite:{}", file.display());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let findings = runtime.block_on(async {
        let (reader, writer) = entities::store::open_with(&url, BEGIN.millis(), &Faults::default()).await.unwrap();
        let mut world = World::new(reader, writer, seed).await;
        for history in 0..HISTORIES {
            world.log.clear();
            world.live().await;
            let findings = world.compare().await;
            if loud || !findings.is_empty() {
                println!("history {history}: {:#?}", world.log);
            }
            if !findings.is_empty() {
                return findings;
            }
        }
        Vec::new()
    });
    drop(runtime);
    let _ = std::fs::remove_dir_all(folder);
    findings
}

/// The file of a database with hosts of all platforms.
fn template() -> &'static [u8] {
    static TEMPLATE: OnceLock<Vec<u8>> = OnceLock::new();
    TEMPLATE.get_or_init(|| {
        let folder = fresh_folder();
        let file = folder.join("sim.sqlite");
        let url = format!("sqlite:{}", file.display());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            migration::run(&format!("{url}?mode=rwc")).await.unwrap();
            let (reader, writer) = entities::store::open_with(&url, BEGIN.millis(), &Faults::default()).await.unwrap();
            for (number, (platform, kind)) in HOSTS.iter().enumerate() {
                enroll(&writer, number, platform, *kind).await;
            }
            drop((reader, writer));
        });
        while folder.join("sim.sqlite-wal").exists() {
            std::thread::sleep(Duration::from_millis(5));
            runtime.block_on(migration::run(&url)).unwrap();
        }
        let bytes = std::fs::read(&file).unwrap();
        let _ = std::fs::remove_dir_all(folder);
        bytes
    })
}

impl World {
    async fn new(reader: Reader, writer: Writer, seed: u64) -> Self {
        let mut devices = Vec::new();
        let mut model = Model::default();
        for id in 1..=HOSTS.len() as i64 {
            let channels = entities::enrollment::list_of_host(&reader, id).await.unwrap();
            devices.push(Device::new(id, channels[0].id, channels[0].generation));
            model.hosts.insert(id, model::Host::on(HOSTS[id as usize - 1].0));
        }
        Self {
            reader,
            writer,
            now: BEGIN.plus(Duration::from_secs(60)),
            random: Random::of(seed, "ideal"),
            devices,
            model,
            named: 0,
            log: Vec::new(),
        }
    }

    /// A few changes with deliveries between them, and then peace.
    async fn live(&mut self) {
        for _ in 0..self.random.within(1..7) {
            self.change().await;
            if self.random.permille(500) {
                self.mark().await;
            }
            if self.random.permille(500) {
                self.deliver().await;
            }
            for _ in 0..self.random.within(0..8) {
                self.poll(false).await;
            }
        }
        for _ in 0..ROUNDS {
            self.mark().await;
            self.deliver().await;
            self.poll(true).await;
            self.resend_failed().await;
            if self.is_quiet().await {
                break;
            }
        }
    }

    /// Whether nothing is left to do for any host, as far as its rows say.
    async fn is_quiet(&self) -> bool {
        let hosts: Vec<i64> = self.devices.iter().map(|device| device.host).collect();
        let rows = host_profile::of_hosts(&self.reader, hosts).await.unwrap();
        rows.iter().all(|row| {
            let is_done = [host_profile::VERIFIED, host_profile::VERIFYING].contains(&row.status);
            is_done && row.operation == host_profile::INSTALL && row.command_uuid.is_none()
        })
    }

    async fn mark(&mut self) {
        self.now = self.now.plus(Duration::from_secs(1));
        while marking::step(&self.writer, self.now.millis()).await.unwrap().goes_on {}
        self.model.mark();
    }

    async fn deliver(&mut self) {
        let hosts = host_profile::hosts_to_serve(&self.reader, 0, 100).await.unwrap();
        let candidates = delivery::read(&self.reader, hosts).await.unwrap();
        let (now, expires_at) = (self.now, self.now.plus(Duration::from_secs(86_400)));
        let decided = decide(&candidates, &|_| now, now, expires_at);
        delivery::deliver(&self.writer, decided).await.unwrap();
    }

    /// Each device asks for work, and does what it gets: in peace everything, well.
    async fn poll(&mut self, peace: bool) {
        for place in 0..self.devices.len() {
            if peace || self.random.permille(600) {
                let mut device = self.devices[place].clone();
                device.work(self, peace).await;
                self.devices[place] = device;
            }
        }
    }

    async fn resend_failed(&mut self) {
        for uuid in self.model.profiles.keys().cloned().collect::<Vec<_>>() {
            let by = changes::by(self.now);
            entities::profile::change::resend_failed(&self.writer, uuid, by).await.unwrap();
        }
    }

    /// What differs between the devices, the rows and the model.
    async fn compare(&self) -> Vec<String> {
        let mut findings = Vec::new();
        for device in &self.devices {
            let wanted = self.model.wanted(device.host);
            let has: BTreeMap<String, String> = device.has();
            if has != wanted {
                findings.push(format!("host {}: has {has:?}, shall have {wanted:?}", device.host));
            }
            let rows = host_profile::of_host(&self.reader, device.host).await.unwrap();
            for row in &rows {
                let is_done = [host_profile::VERIFIED, host_profile::VERIFYING].contains(&row.status);
                if !is_done || row.operation != host_profile::INSTALL || row.command_uuid.is_some() {
                    findings.push(format!("host {}: a row that is not at its end: {row:?}", device.host));
                }
            }
            if rows.len() != wanted.len() {
                findings.push(format!("host {}: {} rows for {} profiles", device.host, rows.len(), wanted.len()));
            }
        }
        findings
    }
}
