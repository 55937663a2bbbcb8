//! P-09: NotNow is obeyed, and neither loops nor stalls.
//!
//! A fleet defers two of three commands for ever and comes by itself again and again, as real devices do: it is offered each
//! command once in a session and hardly pushed, the third command is done, and when the time of the deferred ones has ended they are
//! expired and come no more. A device that defers one command for ever is offered the others that it deferred before, too. A
//! device whose last word was another than NotNow does not come by itself: it is pushed.
//!
//! Seen to fail when nothing that was deferred was offered after a NotNow (protocol/src/queue/decide.rs): "["NotNow"] where it should
//! be Acknowledged".

use std::time::{Duration, Instant};

use rookery::sim::apple::device::{Answer, ChannelNo};
use rookery::sim::apple::model::Family;
use rookery::sim::behaviour::Behaviour;
use rookery::sim::fleet::{Fleet, Persona, Truth};

use crate::harness::admin::Asked;
use crate::harness::patience::enrolled;
use crate::harness::reckoning::reckon;
use crate::harness::{PATIENCE, Proof, Site, eventually, prove};

const DEVICE: ChannelNo = ChannelNo::DEVICE;
/// How long the fleet's devices stay locked: so often they come by themselves.
const LOCKED_FOR: Duration = Duration::from_millis(500);
/// The wait before a device that comes by itself is pushed all the same, as the site sets it, less a fifth by which waits are
/// spread.
const SAFETY: Duration = Duration::from_millis(6400);

#[test]
fn p09_not_now_is_obeyed_and_neither_loops_nor_stalls() {
    prove("P-09", "NotNow is obeyed, and neither loops nor stalls", async |proof| {
        let mut site = Site::open(proof, &[]).await;
        a_command_deferred_for_ever_stands_in_nobodys_way(&mut site, proof).await;
        a_device_that_does_not_come_by_itself_is_pushed(&mut site, proof).await;
        let hosts = proof.size.pick(20, 1000);
        let fleet = site.fleet(proof, hosts, &[Persona::IPhone], locked()).await;
        let (deferred, done) = a_fleet_defers_for_ever(&mut site, &fleet, proof).await;
        their_time_ends(&mut site, &deferred, proof).await;
        let (rows, truth) = (site.admin.rows().await, fleet.stop());
        nothing_was_done(&deferred, &truth, proof);
        proof.figure("hosts", hosts);
        proof.judge(reckon(std::slice::from_ref(&done), &rows, &truth));
        site.close(proof).await;
    });
}

/// A phone that is locked whenever it is asked something: it then answers little more than which profiles it has.
const fn locked() -> Behaviour {
    Behaviour { locks: 1.0, locked_for: LOCKED_FOR, ..Behaviour::calm() }
}

/// Three commands are deferred; then the first one is, again and again, and the others are done all the same.
async fn a_command_deferred_for_ever_stands_in_nobodys_way(site: &mut Site, proof: &mut Proof) {
    let mut device = site.device(Family::Mac, 900_001);
    enrolled(&mut device, &site.enroll_url()).await;
    let channel = [device.channel_id(DEVICE).unwrap().to_owned()];
    let mut queued = Vec::new();
    for _ in 0..3 {
        queued.push(site.admin.run(&channel).await.uuid);
    }
    for session in 0..4 {
        let mut next = device.poll(DEVICE).await.unwrap();
        while let Some(command) = next {
            let is_never_done = command.uuid().as_str() == queued[0];
            let answer = if session == 0 || is_never_done { Answer::not_now() } else { Answer::acknowledged() };
            next = device.report(DEVICE, command.uuid(), &answer).await.unwrap();
        }
    }
    for (uuid, expected) in queued.iter().zip(["NotNow", "Acknowledged", "Acknowledged"]) {
        let statuses = site.admin.statuses(uuid).await.unwrap();
        proof.demand(statuses == [expected], format!("{statuses:?} where it should be {expected}"));
    }
    let mut next = device.poll(DEVICE).await.unwrap();
    while let Some(command) = next {
        next = device.report(DEVICE, command.uuid(), &Answer::acknowledged()).await.unwrap();
    }
}

/// Its last word was Acknowledged, and one command is deferred: it waits for a push.
async fn a_device_that_does_not_come_by_itself_is_pushed(site: &mut Site, proof: &mut Proof) {
    let mut device = site.device(Family::Mac, 900_002);
    enrolled(&mut device, &site.enroll_url()).await;
    let channel = [device.channel_id(DEVICE).unwrap().to_owned()];
    let token = device.push_target(DEVICE).unwrap().token;
    for _ in 0..2 {
        site.admin.run(&channel).await;
    }
    let first = device.poll(DEVICE).await.unwrap().unwrap();
    let second = device.report(DEVICE, first.uuid(), &Answer::not_now()).await.unwrap().unwrap();
    let before = site.pushes_to(&token);
    let none = device.report(DEVICE, second.uuid(), &Answer::acknowledged()).await.unwrap();
    proof.demand(none.is_none(), "a command came twice in one session");
    eventually("the device is pushed", PATIENCE, async || (site.pushes_to(&token) > before).then_some(())).await;
    let again = device.poll(DEVICE).await.unwrap();
    proof.demand(again.as_ref().map(|command| command.uuid()) == Some(first.uuid()), "it was pushed for nothing");
    device.report(DEVICE, first.uuid(), &Answer::acknowledged()).await.unwrap();
}

/// All devices defer two commands, come by themselves many times, and do the third.
async fn a_fleet_defers_for_ever(site: &mut Site, fleet: &Fleet, proof: &mut Proof) -> (Vec<Asked>, Asked) {
    let channels: Vec<String> = fleet.members().iter().map(|member| member.channels[0].clone()).collect();
    let hosts = channels.len() as u64;
    let (before, began) = (site.pushes.counts().requests, Instant::now());
    site.server.look();
    let cpu_before = site.server.peak.cpu_ms;
    let mut deferred = Vec::new();
    for _ in 0..2 {
        deferred.push(site.admin.queue("SecurityInfo", &channels).await);
    }
    let times = proof.size.pick(5, 20);
    let enough = async || (fleet.progress().not_now >= 2 * times * hosts).then_some(());
    eventually("all have deferred again and again", PATIENCE, enough).await;
    let done = site.admin.run(&channels).await;
    eventually("what is not deferred is done", PATIENCE, async || {
        let statuses = site.admin.statuses(&done.uuid).await?;
        statuses.iter().all(|status| status == "Acknowledged").then_some(())
    })
    .await;
    let (pushes, took) = (site.pushes.counts().requests - before, began.elapsed());
    // One for each command that was queued, the second one of the enrollment, and those that make sure.
    let allowed = hosts as f64 * (4.0 + took.as_secs_f64() / SAFETY.as_secs_f64());
    proof.demand(pushes as f64 <= allowed, format!("{pushes} pushes in {took:.1?}, {allowed:.0} at most"));
    site.server.look();
    proof.figure("NotNow", fleet.progress().not_now);
    proof.figure("pushes meanwhile", format!("{pushes} ({allowed:.0} allowed)"));
    proof.figure("CPU meanwhile", format!("{} ms of {} ms", site.server.peak.cpu_ms - cpu_before, took.as_millis()));
    (deferred, done)
}

/// The rows say that nobody wants them any more; the server finds out.
async fn their_time_ends(site: &mut Site, deferred: &[Asked], proof: &mut Proof) {
    site.server.kill();
    let changed = site.store.execute("UPDATE queue_entry SET expires_at = 1 WHERE state < 10").await;
    proof.demand(changed > 0, "nothing was pending any more");
    site.server.start().await;
    proof.demand(site.admin.drained(PATIENCE).await, "commands whose time has ended are pending");
    for asked in deferred {
        let statuses = site.admin.statuses(&asked.uuid).await.unwrap();
        let expired = statuses.iter().filter(|status| *status == "Expired").count();
        proof.demand(expired == asked.channels.len(), format!("{expired} of {} have expired", asked.channels.len()));
    }
}

/// A device that says NotNow does not do it secretly, and what has expired does not come.
fn nothing_was_done(deferred: &[Asked], truth: &Truth, proof: &mut Proof) {
    for (channel, uuid, done) in truth.commands() {
        let is_one = deferred.iter().any(|asked| asked.uuid == uuid);
        proof.demand(!is_one || done.executed == 0, format!("{channel} did {uuid}, which it deferred"));
    }
}
