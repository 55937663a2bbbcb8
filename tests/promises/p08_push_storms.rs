//! P-08: a push is best effort, a delivery is not; and no failure of APNs makes a storm.
//!
//! A fleet works while APNs answers 429, 500 and 503, ends its connections (GOAWAY) or cuts them, swallows pushes or is slow:
//! every command is done all the same, and the server does not push more than its policy allows. A token that APNs calls
//! dead (410) or wrong (400) is pushed once and then left alone, whatever is queued and however long it takes, until the
//! device has a new one; a 410 that is older than the token says nothing about it. An admin who queues command after command for
//! a device that is off makes a few pushes, not one each. Nothing is judged by how long it took: the more time passes, the more
//! is allowed, and the silence of one token is measured by the pushes to another.
//!
//! Start with [`Scene`]; each kind of weather is one of its verbs.
//!
//! Seen to fail when hosts pushed dead tokens (actors/src/host/due.rs): "a token that is dead was pushed 3 times".

use std::time::{Duration, Instant};

use protocol::time::Timestamp;
use rookery::sim::apns::{Fault, Target};
use rookery::sim::apple::device::{ChannelNo, Device};
use rookery::sim::apple::model::Family;
use rookery::sim::behaviour::Behaviour;
use rookery::sim::fleet::{Fleet, Persona};

use crate::harness::admin::Asked;
use crate::harness::patience::enrolled;
use crate::harness::reckoning::reckon;
use crate::harness::{PATIENCE, Proof, Site, Size, eventually, prove};

const DEVICE: ChannelNo = ChannelNo::DEVICE;
/// Waits so short that many of them pass.
const SETTINGS: [(&str, &str); 2] = [("ROOKERY_HOSTS__PUSH_AGAIN", "600ms"), ("ROOKERY_HOSTS__PUSH_AGAIN_CAP", "3s")];
/// The first wait before a push is repeated, less a fifth by which waits are spread.
const PUSH_AGAIN: Duration = Duration::from_millis(480);
/// How long an admin does not stop queuing commands for the device that is off.
const FLOOD: Duration = Duration::from_secs(2);

/// Devices that live on their own, and those that are driven by hand.
struct Scene<'a> {
    proof: &'a mut Proof,
    site: Site,
    fleet: Fleet,
    channels: Vec<String>,
    asked: Vec<Asked>,
    /// A device that is pushed in vain: what it gets tells how much time has passed for the server.
    metronome: Device,
    devices: u32,
    weathers: u32,
}

#[test]
fn p08_no_failure_of_apns_makes_a_storm_or_loses_a_command() {
    prove("P-08", "no failure of APNs makes a storm or loses a command", async |proof| {
        let mut scene = Scene::open(proof).await;
        for _ in 0..scene.proof.size.pick(1, 5) {
            for fault in weathers(scene.proof.size) {
                scene.everybody_meets(fault).await;
            }
            scene.connections_end_after_a_few().await;
            scene.a_dead_token_is_left_alone().await;
            scene.a_wrong_token_is_left_alone().await;
            scene.an_old_death_means_nothing().await;
            scene.an_admin_queues_command_after_command().await;
        }
        scene.close().await;
    });
}

/// What goes wrong with everybody's pushes.
fn weathers(size: Size) -> Vec<Fault> {
    let later = |status, reason: &str| Fault::Answer {
        status,
        reason: reason.to_owned(),
        retry_after: Some(Duration::from_secs(1)),
        timestamp: None,
    };
    let refusals =
        vec![later(503, "ServiceUnavailable"), later(429, "TooManyRequests"), later(500, "InternalServerError")];
    let others = [Fault::GoAway, Fault::Reset, Fault::BlackHole, Fault::Delay(Duration::from_millis(700))];
    refusals.into_iter().take(size.pick(2, 3)).chain(others).collect()
}

impl<'a> Scene<'a> {
    async fn open(proof: &'a mut Proof) -> Self {
        let mut site = Site::open(proof, &SETTINGS).await;
        let hosts = proof.size.pick(15, 500);
        let fleet = site.fleet(proof, hosts, &[Persona::Mac], Behaviour::calm()).await;
        let channels = fleet.members().iter().map(|member| member.channels[0].clone()).collect();
        let mut metronome = site.device(Family::Mac, 900_000);
        enrolled(&mut metronome, &site.enroll_url()).await;
        proof.figure("hosts", hosts);
        Self { proof, site, fleet, channels, asked: Vec::new(), metronome, devices: 900_000, weathers: 0 }
    }

    /// Another device, which never comes by itself.
    async fn device(&mut self) -> Device {
        self.devices += 1;
        let mut device = self.site.device(Family::Mac, self.devices);
        enrolled(&mut device, &self.site.enroll_url()).await;
        device
    }

    async fn queue_for(&self, device: &Device) {
        self.site.admin.run(&[device.channel_id(DEVICE).unwrap().to_owned()]).await;
    }

    /// A command for everybody, whose pushes all meet this; when it is over, everything is done.
    async fn everybody_meets(&mut self, fault: Fault) {
        self.weathers += 1;
        let began = Instant::now();
        let before = self.site.pushes.counts();
        self.site.pushes.script(Target::All, fault.clone(), None);
        self.asked.push(self.site.admin.run(&self.channels).await);
        let hosts = self.channels.len() as u64;
        let met = async || (self.site.pushes.counts().requests >= before.requests + hosts).then_some(());
        eventually("everybody was pushed", PATIENCE, met).await;
        self.site.pushes.heal();
        self.everything_is_done(&format!("{fault:?}")).await;
        // A push for the command, one for each wait since, and what was owed from before.
        let pushes = self.site.pushes.counts().requests - before.requests;
        let waits = began.elapsed().as_secs_f64() / PUSH_AGAIN.as_secs_f64();
        let allowed = (hosts + 1) as f64 * (2.0 + waits);
        self.proof.demand(pushes as f64 <= allowed, format!("{fault:?}: {pushes} pushes, {allowed} at most"));
        self.proof.tell(format!("{fault:?}: {pushes} pushes for {hosts} hosts"));
    }

    async fn connections_end_after_a_few(&mut self) {
        self.site.pushes.close_after(3);
        self.asked.push(self.site.admin.run(&self.channels).await);
        self.everything_is_done("connections that end after three pushes").await;
        self.site.pushes.heal();
    }

    async fn everything_is_done(&mut self, after: &str) {
        let uuid = self.asked.last().map(|asked| asked.uuid.clone()).unwrap_or_default();
        let done = eventually("commands are done", PATIENCE, async || {
            let statuses = self.site.admin.statuses(&uuid).await?;
            statuses.iter().all(|status| status == "Acknowledged").then_some(statuses.len())
        })
        .await;
        self.proof.demand(done == self.channels.len(), format!("after {after}, {done} hosts have a result"));
    }

    /// APNs says 410: one push, then silence, also for new commands, until there is a new token.
    async fn a_dead_token_is_left_alone(&mut self) {
        let mut device = self.device().await;
        let token = device.push_target(DEVICE).unwrap().token;
        self.site.pushes.unregister(&token);
        self.it_is_left_alone(&mut device, token, "dead").await;
    }

    /// APNs says 400 BadDeviceToken: our fault, and repeating it does not help.
    async fn a_wrong_token_is_left_alone(&mut self) {
        let mut device = self.device().await;
        let token = device.push_target(DEVICE).unwrap().token;
        let wrong = Fault::answer(400, "BadDeviceToken");
        self.site.pushes.script(Target::Token(token.clone()), wrong, None);
        self.it_is_left_alone(&mut device, token, "wrong").await;
        self.site.pushes.heal();
    }

    async fn it_is_left_alone(&mut self, device: &mut Device, token: Vec<u8>, how: &str) {
        let before = self.site.pushes_to(&token);
        self.queue_for(device).await;
        self.until_pushed(&token, before + 1).await;
        self.queue_for(device).await;
        self.several_waits_pass().await;
        let pushes = self.site.pushes_to(&token) - before;
        self.proof.demand(pushes == 1, format!("a token that is {how} was pushed {pushes} times"));
        device.renew_token(DEVICE).await.unwrap();
        let renewed = device.push_target(DEVICE).unwrap().token;
        self.until_pushed(&renewed, 1).await;
        let done = device.work(DEVICE).await.unwrap();
        self.proof.demand(done == 2, format!("{done} commands are there for a device whose token was {how}"));
    }

    /// The 410 is about a time before the token was renewed: it is alive, and pushed again.
    async fn an_old_death_means_nothing(&mut self) {
        let mut device = self.device().await;
        let token = device.push_target(DEVICE).unwrap().token;
        let timestamp = Some(Timestamp::from_seconds(1_000_000_000));
        let old = Fault::Answer { status: 410, reason: "Unregistered".to_owned(), retry_after: None, timestamp };
        self.site.pushes.script(Target::Token(token.clone()), old, Some(1));
        let before = self.site.pushes_to(&token);
        self.queue_for(&device).await;
        self.until_pushed(&token, before + 2).await;
        device.work(DEVICE).await.unwrap();
    }

    /// The quiet time after a push grows as long as the device does not come.
    async fn an_admin_queues_command_after_command(&mut self) {
        let mut device = self.device().await;
        let token = device.push_target(DEVICE).unwrap().token;
        self.several_waits_pass().await;
        let (before, began) = (self.site.pushes_to(&token), Instant::now());
        let mut commands = 0;
        while began.elapsed() < FLOOD {
            self.queue_for(&device).await;
            commands += 1;
        }
        self.until_pushed(&token, before + 1).await;
        let (pushes, took) = (self.site.pushes_to(&token) - before, began.elapsed());
        // The quiet times are 100 ms, 200 ms, 400 ms, and so on up to the wait before a push is repeated.
        let allowed = 4.0 + took.as_secs_f64() / PUSH_AGAIN.as_secs_f64();
        let what = format!("{pushes} pushes for {commands} commands within {took:.1?}, {allowed:.1} at most");
        self.proof.demand(pushes as f64 <= allowed, &what);
        self.proof.tell(what);
        let done = device.work(DEVICE).await.unwrap();
        self.proof.demand(done == commands, format!("{done} of {commands} commands are there"));
    }

    /// Time passes for the server: another device, which does not come, was pushed again and again.
    async fn several_waits_pass(&mut self) {
        let token = self.metronome.push_target(DEVICE).unwrap().token;
        let before = self.site.pushes_to(&token);
        self.queue_for(&self.metronome).await;
        self.until_pushed(&token, before + 2).await;
        self.metronome.work(DEVICE).await.unwrap();
    }

    async fn until_pushed(&self, token: &[u8], times: usize) {
        let pushed = async || (self.site.pushes_to(token) >= times).then_some(());
        eventually("a device is pushed", PATIENCE, pushed).await;
    }

    async fn close(self) {
        let Self { proof, site, fleet, asked, weathers, .. } = self;
        let counts = site.pushes.counts();
        proof.figure("weathers", weathers);
        proof.figure("pushes", counts.requests);
        proof.figure("connections to APNs", counts.connections);
        proof.judge(reckon(&asked, &site.admin.rows().await, &fleet.stop()));
        site.close(proof).await;
    }
}
