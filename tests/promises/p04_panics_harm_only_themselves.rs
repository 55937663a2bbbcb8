//! P-04: an actor that panics harms only itself, and a storm of panics does not take the server down.
//!
//! Hosts die at every point of their turns, and so do the actors that queue commands and push, while a fleet works: the process
//! stays the same, each panic costs one restart of one actor, and P-02's reckoning holds. A command that its host dies of is
//! parked after three tries, and what is queued behind it is done. Then every report of every host panics: the hosts are left
//! alone one by one, everybody else is served, and with the fault gone they do their work.
//!
//! Start with [`Scene`].
//!
//! Seen to fail when a host had a thousand tries instead of three (actors/src/hosts/trouble.rs): "waited in vain: a device does its
//! command".

use std::time::Duration;

use rookery::sim::apple::device::{ChannelNo, Device, DeviceError};
use rookery::sim::apple::model::Family;
use rookery::sim::behaviour::Behaviour;
use rookery::sim::fleet::Persona;
use rookery::sim::windows::device::{Pc, Proof as Way};
use serde_json::Value;

use crate::harness::office::Office;
use crate::harness::patience::enrolled;
use crate::harness::pcs::{all_of, target};
use crate::harness::reckoning::reckon;
use crate::harness::{PATIENCE, Proof, Site, eventually, prove, until_confirmed};

const DEVICE: ChannelNo = ChannelNo::DEVICE;
const FAULTS: &str = "ROOKERY_TEST_FAULTS";
/// Actors that die now and then, at every point of what they do; the singletons more seldom than makes their group give up.
const NOW_AND_THEN: &str = "host.report/31 host.report.decided/43 host.report.committed/37 host.due/29 \
                            host.session/53 host.session.decided/61 host.session.committed/47 \
                            dispatcher.dispatch/23 apns.push/41";
/// API clients.
const CLERKS: u64 = 4;
/// About how often each of them queues something.
const PACE: Duration = Duration::from_millis(250);

/// Devices that are driven by hand, and the server whose actors die.
struct Scene<'a> {
    proof: &'a mut Proof,
    site: Site,
    devices: Vec<Device>,
    pc: Pc,
}

#[test]
fn p04_a_panicking_actor_harms_only_itself() {
    prove("P-04", "a panicking actor harms only itself", async |proof| {
        let mut site = Site::open(proof, &[]).await;
        actors_die_now_and_then(&mut site, proof).await;
        let mut scene = Scene::open(proof, site).await;
        scene.a_command_kills_its_host().await;
        scene.a_command_kills_the_host_of_a_pc().await;
        scene.every_report_panics().await;
        scene.close().await;
    });
}

/// A fleet works while actors die.
async fn actors_die_now_and_then(site: &mut Site, proof: &mut Proof) {
    let hosts = proof.size.pick(20, 500);
    let eager = Behaviour { rests_at_most: Duration::from_secs(2), ..Behaviour::calm() };
    let fleet = site.fleet(proof, hosts, &[Persona::Mac, Persona::IPhone], eager.clone()).await;
    let pcs = site.pcs(proof, hosts / 2, eager).await;
    site.server.set(FAULTS, NOW_AND_THEN);
    site.restart(proof).await;
    let (pid, told_before) = (site.server.pid(), site.server.faults().len());
    let members = fleet.members().iter().chain(pcs.members());
    let office = Office::open(site, members, CLERKS, PACE, proof);
    office.have_accepted(proof.size.pick(40, 500)).await;
    let asked = office.close().await;
    proof.demand(site.server.is_up() && site.server.pid() == pid, "the process is another one");
    let panics = eventually("each panic of a host is one crash of one host", PATIENCE, async || {
        let faults = site.server.faults().split_off(told_before);
        let of_hosts = faults.iter().filter(|line| line.contains("fault at host.")).count();
        (census(site).await["crashed"] == of_hosts).then_some(faults.len() as u64)
    })
    .await;
    proof.demand(panics > 0, "nobody panicked");
    // An actor that is started again takes those with it that are told by it.
    let restarts = site.server.restarts().await;
    proof.demand(restarts >= panics, format!("{panics} panics, and {restarts} restarts"));
    // Whoever was unlucky three times is left alone for minutes; a new process begins anew.
    site.server.set(FAULTS, "");
    site.restart(proof).await;
    proof.demand(site.admin.drained(PATIENCE).await, "commands are pending although the devices come");
    until_confirmed(&fleet).await;
    until_confirmed(&pcs).await;
    proof.figure("hosts", hosts);
    proof.figure("PCs", format!("{} with {} sessions", hosts / 2, pcs.progress().polls));
    proof.figure("panics", panics);
    proof.figure("reports", format!("{:.0} ms (p99)", fleet.progress().report.p99_ms));
    proof.judge(reckon(&asked, &site.admin.rows().await, &all_of(fleet.stop(), pcs.stop())));
}

async fn census(site: &Site) -> Value {
    site.server.ops("/tree").await.unwrap().1["hosts"].clone()
}

/// Works until this command of its own is done, whatever happens to the host.
async fn works(device: &mut Device, uuid: &str) {
    let uuid = protocol::ids::CommandUuid::parse(uuid).unwrap();
    let channel = device.channel_id(DEVICE).unwrap().to_owned();
    eventually("a device does its command", PATIENCE, async || {
        let _ = device.work(DEVICE).await;
        device.log().command(&channel, uuid.as_str())?.final_status().map(drop)
    })
    .await;
}

impl<'a> Scene<'a> {
    async fn open(proof: &'a mut Proof, mut site: Site) -> Self {
        let url = site.enroll_url();
        let mut devices: Vec<Device> = (0..10).map(|number| site.device(Family::Mac, 900_000 + number)).collect();
        for device in &mut devices {
            enrolled(device, &url).await;
        }
        let pc = site.pc(900_000, Way::Digest).await;
        Self { proof, site, devices, pc }
    }

    async fn queue(&self, number: usize) -> String {
        self.site.admin.run(&[self.devices[number].channel_id(DEVICE).unwrap().to_owned()]).await.uuid
    }

    async fn set_faults(&mut self, faults: &str) {
        self.site.server.set(FAULTS, faults);
        self.site.restart(self.proof).await;
    }

    /// Whenever it is to be handed out, the host dies.
    async fn a_command_kills_its_host(&mut self) {
        let (poison, next) = (self.queue(0).await, self.queue(0).await);
        let others = self.queue(1).await;
        self.set_faults(&format!("host.report.decided@{poison}/1")).await;
        works(&mut self.devices[1], &others).await;
        works(&mut self.devices[0], &next).await;
        let statuses = self.site.admin.statuses(&poison).await;
        let parked = statuses.as_ref().is_some_and(|statuses| statuses == &["Parked"]);
        self.proof.demand(parked, format!("what a host dies of is {statuses:?}"));
        let census = census(&self.site).await;
        self.proof.demand(census["crashed"] == 3, format!("it was tried {} times", census["crashed"]));
        let at_large = census["quarantined"].as_array().is_some_and(Vec::is_empty);
        self.proof.demand(at_large, format!("its host is left alone: {}", census["quarantined"]));
    }

    /// The same of Windows: what came with the command is done.
    async fn a_command_kills_the_host_of_a_pc(&mut self) {
        let pc = [target(&self.pc)];
        let (poison, next) = (self.site.admin.run_on_pcs(&pc).await.uuid, self.site.admin.run_on_pcs(&pc).await.uuid);
        self.set_faults(&format!("host.session.decided@{poison}/1")).await;
        let channel = pc[0].channel.clone();
        eventually("a PC does its command", PATIENCE, async || {
            let _ = self.pc.work().await;
            self.pc.log().command(&channel, &next)?.final_status().map(drop)
        })
        .await;
        let statuses = self.site.admin.statuses(&poison).await;
        let parked = statuses.as_ref().is_some_and(|statuses| statuses == &["Parked"]);
        self.proof.demand(parked, format!("what the host of a PC dies of is {statuses:?}"));
        let census = census(&self.site).await;
        self.proof.demand(census["crashed"] == 3, format!("it was tried {} times", census["crashed"]));
        let at_large = census["quarantined"].as_array().is_some_and(Vec::is_empty);
        self.proof.demand(at_large, format!("its host is left alone: {}", census["quarantined"]));
    }

    /// Three panics, and a host is left alone; the others never notice.
    async fn every_report_panics(&mut self) {
        let mut queued = Vec::new();
        for number in 0..self.devices.len() {
            queued.push(self.queue(number).await);
        }
        self.set_faults("host.report/1").await;
        let pid = self.site.server.pid();
        for device in &mut self.devices {
            for _ in 0..4 {
                let polled = device.poll(DEVICE).await;
                let told = matches!(polled, Err(DeviceError::Busy { status: 503, after: Some(_) }));
                self.proof.demand(told, format!("a device whose host dies was answered {polled:?}"));
            }
        }
        let census = census(&self.site).await;
        let alone = census["quarantined"].as_array().map_or(0, Vec::len);
        self.proof.demand(alone == self.devices.len(), format!("{alone} hosts of {} are left alone", queued.len()));
        self.proof.demand(census["crashed"] == 3 * queued.len(), format!("{} crashes", census["crashed"]));
        let same = self.site.server.is_up() && self.site.server.pid() == pid;
        self.proof.demand(same && self.site.admin.get("/api/v1/fleet/commands").await.is_ok(), "the server went down");
        self.proof.figure("hosts left alone", alone);
        self.set_faults("").await;
        for (device, uuid) in self.devices.iter_mut().zip(&queued) {
            works(device, uuid).await;
        }
    }

    async fn close(self) {
        self.site.close(self.proof).await;
    }
}
