//! P-03: a command never reaches the wrong host or an old enrollment, and a report never changes another's.
//!
//! Devices work, and meanwhile report each other's commands, repeat and delay their own reports, come with each other's
//! certificates, and enroll anew while commands of the former enrollment wait or are on their way; late reports of these come, too.
//! Every command is seen by its own device alone, what the rows say is what that device said, and what was meant for a former
//! enrollment is superseded for good. In this process, the queues of a few hosts live through thousands of random histories
//! of the same kind ([`model`]).
//!
//! Start with [`Scene`].
//!
//! Seen to fail when a new enrollment superseded nothing (entities/src/enrollment.rs): "after somebody enrolled anew: Row { …
//! status: "Pending" } should be Superseded".

mod model;
mod pcs;

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use futures_util::future::join_all;
use protocol::apple::command::Command;
use protocol::ids::CommandUuid;
use protocol::pki::Signer;
use rookery::sim::apple::device::{Answer, ChannelNo, Device, DeviceError};
use rookery::sim::apple::model::Family;
use rookery::sim::random::Chance;

use crate::harness::database::Kind;
use crate::harness::patience::enrolled;
use crate::harness::{Proof, Site, prove};

const DEVICE: ChannelNo = ChannelNo::DEVICE;
/// Commands for each device in one round.
const COMMANDS: usize = 3;

/// Devices that are driven by hand, and everything that was queued for each of them.
struct Scene<'a> {
    proof: &'a mut Proof,
    site: Site,
    devices: Vec<Device>,
    /// By `CommandUUID`: the device's number, and how it has to end.
    meant: BTreeMap<String, (usize, &'static str)>,
    strange_reports: usize,
}

#[test]
fn p03_no_command_reaches_the_wrong_host_or_an_old_enrollment() {
    prove("P-03", "no command reaches the wrong host or an old enrollment", async |proof| {
        if proof.kind == Kind::Sqlite {
            let (began, histories) = (Instant::now(), proof.size.pick(5_000, 100_000));
            let events = model::live(proof.seed, histories);
            proof.figure("histories", histories);
            proof.figure("events", format!("{events} in {:.1} s", began.elapsed().as_secs_f64()));
        }
        let mut scene = Scene::open(proof).await;
        for round in 0..scene.proof.size.pick(2, 20) {
            scene.everybody_works_and_tells_stories(round).await;
            scene.certificates_are_swapped().await;
            scene.somebody_enrolls_anew().await;
        }
        let mut pcs = pcs::Scene::open(&mut scene.site, scene.proof).await;
        for round in 0..scene.proof.size.pick(2, 20) {
            pcs.everybody_works_and_tells_stories(&mut scene, round).await;
            pcs.certificates_are_swapped(&mut scene).await;
            pcs.somebody_enrolls_anew(&mut scene).await;
        }
        scene.strange_reports += pcs.strange_reports;
        scene.close().await;
    });
}

/// Works a session off, repeats itself, and reports what it heard that others have to do. Returns how often it did that.
async fn tell_stories(device: &mut Device, others: &[CommandUuid], mut chance: Chance) -> usize {
    let mut hand: VecDeque<Command> = device.poll(DEVICE).await.unwrap().into_iter().collect();
    let (mut stories, mut told) = (0, Vec::new());
    while let Some(command) = hand.pop_front() {
        if chance.happens(0.5) {
            let answer = chance.pick(&[Answer::acknowledged(), Answer::not_now()]).clone();
            hand.extend(device.report(DEVICE, chance.pick(others), &answer).await.unwrap());
            stories += 1;
        }
        hand.extend(device.report(DEVICE, command.uuid(), &Answer::acknowledged()).await.unwrap());
        told.push(command.uuid().clone());
        if chance.happens(0.3) {
            // Its own reports again, this one or an earlier one, with another word.
            let answer = chance.pick(&[Answer::acknowledged(), Answer::not_now()]).clone();
            hand.extend(device.report(DEVICE, chance.pick(&told), &answer).await.unwrap());
            stories += 1;
        }
    }
    stories
}

impl<'a> Scene<'a> {
    async fn open(proof: &'a mut Proof) -> Self {
        let mut site = Site::open(proof, &[]).await;
        let count = proof.size.pick(8, 100);
        let mut devices: Vec<Device> = (0..count).map(|number| site.device(Family::Mac, 1 + number)).collect();
        let url = site.enroll_url();
        for some in devices.chunks_mut(8) {
            join_all(some.iter_mut().map(async |device| enrolled(device, &url).await)).await;
        }
        proof.figure("devices", count);
        Self { proof, site, devices, meant: BTreeMap::new(), strange_reports: 0 }
    }

    /// Queues commands for one device; returns their names.
    async fn queue(&mut self, number: usize, ends: &'static str) -> Vec<CommandUuid> {
        let channel = [self.devices[number].channel_id(DEVICE).unwrap().to_owned()];
        let mut queued = Vec::new();
        for _ in 0..COMMANDS {
            let uuid = self.site.admin.run(&channel).await.uuid;
            queued.push(CommandUuid::parse(&uuid).unwrap());
            self.meant.insert(uuid, (number, ends));
        }
        queued
    }

    async fn queue_for_all(&mut self) -> Vec<Vec<CommandUuid>> {
        let mut queued = Vec::new();
        for number in 0..self.devices.len() {
            queued.push(self.queue(number, "Acknowledged").await);
        }
        queued
    }

    async fn everybody_works_and_tells_stories(&mut self, round: u64) {
        let queued = self.queue_for_all().await;
        let (seed, devices) = (self.proof.seed, self.devices.iter_mut().enumerate());
        let telling = devices.map(|(number, device)| {
            let others = queued.iter().enumerate().filter(|(other, _)| *other != number);
            let others: Vec<CommandUuid> = others.flat_map(|(_, uuids)| uuids.clone()).collect();
            let chance = Chance::new(seed, round << 32 | number as u64);
            async move { tell_stories(device, &others, chance).await }
        });
        self.strange_reports += join_all(telling).await.into_iter().sum::<usize>();
        self.rows_are_right("everybody told stories").await;
    }

    /// Each device comes with the next one's certificate, and speaks in its own name.
    async fn certificates_are_swapped(&mut self) {
        let queued = self.queue_for_all().await;
        let own: Vec<Signer> = self.devices.iter().map(|device| device.identity().unwrap().clone()).collect();
        let uuids = queued.iter().map(|uuids| &uuids[0]);
        for ((device, stolen), uuid) in self.devices.iter_mut().zip(own.iter().cycle().skip(1)).zip(uuids) {
            device.set_identity(Some(stolen.clone()));
            for answer in [device.poll(DEVICE).await, device.report(DEVICE, uuid, &Answer::acknowledged()).await] {
                let refused = matches!(answer, Err(DeviceError::Refused { status: 400 }));
                self.proof.demand(refused, format!("a stolen certificate was answered {answer:?}"));
                self.strange_reports += 1;
            }
        }
        for (device, own) in self.devices.iter_mut().zip(own) {
            device.set_identity(Some(own));
            device.work(DEVICE).await.unwrap();
        }
        self.rows_are_right("certificates were swapped").await;
    }

    /// One device has commands on their way and waiting, enrolls anew, and reports the old ones.
    async fn somebody_enrolls_anew(&mut self) {
        let number = self.proof.chance(self.strange_reports as u64).below(self.devices.len() as u64) as usize;
        let old = self.queue(number, "Superseded").await;
        let url = self.site.enroll_url();
        let device = &mut self.devices[number];
        let sent = device.poll(DEVICE).await.unwrap().unwrap();
        enrolled(device, &url).await;
        for uuid in [sent.uuid(), &old[1]] {
            let next = device.report(DEVICE, uuid, &Answer::acknowledged()).await.unwrap();
            self.proof.demand(next.is_none(), format!("an old enrollment's command came: {next:?}"));
            self.strange_reports += 1;
        }
        let next = device.poll(DEVICE).await.unwrap();
        self.proof.demand(next.is_none(), format!("an old enrollment's command came: {next:?}"));
        self.queue(number, "Acknowledged").await;
        self.devices[number].work(DEVICE).await.unwrap();
        self.rows_are_right("somebody enrolled anew").await;
    }

    /// Every command has one row, for its own device, that says how it ended; and nobody else has seen it.
    async fn rows_are_right(&mut self, after: &str) {
        let rows = self.site.admin.rows().await;
        self.proof.demand(rows.len() == self.meant.len(), format!("after {after}: {} rows", rows.len()));
        for row in rows {
            let (number, ends) = self.meant[&row.uuid];
            let right = row.status == ends && row.channel == self.devices[number].channel_id(DEVICE).unwrap();
            self.proof.demand(right, format!("after {after}: {row:?} should be {ends}"));
        }
        for (number, device) in self.devices.iter().enumerate() {
            for (uuid, done) in device.log().truth().channels.into_values().flatten() {
                let own = self.meant.get(&uuid).is_none_or(|(owner, _)| *owner == number);
                self.proof
                    .demand(own || done.handed_out == 0, format!("after {after}: {uuid} reached device {number}"));
            }
        }
    }

    async fn close(self) {
        let Self { proof, site, meant, strange_reports, .. } = self;
        proof.figure("commands", meant.len());
        proof.figure("strange reports", strange_reports);
        proof.demand(strange_reports > 0, "nobody told a story");
        site.close_after_refusals(proof).await;
    }
}
