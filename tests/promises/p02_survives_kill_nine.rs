//! P-02: every accepted command is delivered at least once and recorded exactly once, however often the server's process is
//! killed with `kill -9`.
//!
//! Sixteen API clients queue commands for a fleet that works them off; every second client insists, under one
//! `Idempotency-Key` for each command, until it is answered. Meanwhile the server is killed at random moments and started
//! again. When everything has come to its end, three accounts must agree: what the clients were promised, what the devices
//! did, and what the rows say. A quarter of the devices are Windows PCs, which come by themselves. Devices lose replies, come late and
//! put commands off on their own, too.
//!
//! Seen to fail when requests were answered a quarter of a second before their commit (entities/src/writer.rs): "… (accepted) has no
//! row; the device said None". And when a PC's words about commands of a session that the process did not know were not looked at
//! (actors/src/host/session.rs): "a device found HandedOutTwice: Get … again, which the server knows the end of".

use std::time::{Duration, Instant};

use rookery::sim::behaviour::Behaviour;
use rookery::sim::fleet::Persona;

use crate::harness::office::Office;
use crate::harness::pcs::all_of;
use crate::harness::reckoning::reckon;
use crate::harness::{PATIENCE, Proof, Site, prove, until_confirmed};

/// API clients.
const CLERKS: u64 = 16;
/// The kinds of devices: user channels take part, too.
const MIX: [Persona; 5] = [Persona::MacWithUser, Persona::IPhone, Persona::Mac, Persona::IPhone, Persona::SharedIPad];

/// How large it is.
struct Plan {
    hosts: u32,
    pcs: u32,
    commands: u64,
    kills: u64,
    /// About the time between two kills.
    beat: Duration,
}

#[test]
fn p02_every_accepted_command_is_done_and_recorded_once_across_kill_nine() {
    prove("P-02", "what was accepted is done and recorded once, whatever kill -9 does", async |proof| {
        let plan = Plan {
            hosts: proof.size.pick(150, 1500),
            pcs: proof.size.pick(50, 500),
            commands: proof.size.pick(1000, 10_000),
            kills: proof.size.pick(5, 30),
            beat: proof.size.pick(Duration::from_millis(1500), Duration::from_secs(2)),
        };
        let mut site = Site::open(proof, &[]).await;
        let fleet = site.fleet(proof, plan.hosts, &MIX, mishaps()).await;
        let pcs = site.pcs(proof, plan.pcs, mishaps()).await;
        // A pace that makes the planned commands within the planned kills.
        let beats = u32::try_from(plan.kills * CLERKS).unwrap();
        let pace = plan.beat * beats / u32::try_from(plan.commands).unwrap();
        let members = fleet.members().iter().chain(pcs.members());
        let office = Office::open(&site, members, CLERKS, pace, proof);
        let slowest = kill_again_and_again(&mut site, &plan, &office, proof).await;
        office.have_accepted(plan.commands).await;
        let asked = office.close().await;
        proof.tell(format!("{} commands were asked for; now the devices come to an end", asked.len()));
        proof.demand(site.admin.drained(PATIENCE).await, "commands are pending although the devices come");
        until_confirmed(&fleet).await;
        until_confirmed(&pcs).await;
        let sessions = pcs.progress().polls;
        let (rows, progress) = (site.admin.rows().await, fleet.progress());
        proof.figure("hosts", plan.hosts);
        proof.figure("PCs", format!("{} with {sessions} sessions", plan.pcs));
        proof.figure("kills", plan.kills);
        proof.figure("slowest start", format!("{} ms", slowest.as_millis()));
        proof.judge(reckon(&asked, &rows, &all_of(fleet.stop(), pcs.stop())));
        proof.figure("pushes", progress.pushes);
        proof.figure("messages sent again", progress.retries);
        proof.figure("NotNow", progress.not_now);
        site.close(proof).await;
    });
}

/// What goes wrong on the devices' side meanwhile.
const fn mishaps() -> Behaviour {
    Behaviour {
        loses_replies: 0.02,
        is_late: 0.02,
        locks: 0.02,
        locked_for: Duration::from_secs(1),
        works_for: Duration::from_millis(20),
        rests_for: Duration::from_millis(300),
        rests_at_most: Duration::from_secs(2),
        ..Behaviour::calm()
    }
}

/// Kills the process at random moments, as often as planned and spread over all the commands; returns the longest time
/// until it was ready again.
async fn kill_again_and_again(site: &mut Site, plan: &Plan, office: &Office, proof: &Proof) -> Duration {
    let (mut chance, mut slowest) = (proof.chance(1), Duration::ZERO);
    for kill in 1..=plan.kills {
        office.have_accepted(plan.commands * (kill - 1) / plan.kills).await;
        tokio::time::sleep(chance.around(plan.beat)).await;
        site.server.kill();
        let began = Instant::now();
        site.server.start().await;
        slowest = slowest.max(began.elapsed());
        if kill % 5 == 0 {
            proof.tell(format!("killed {kill} times"));
        }
    }
    slowest
}
