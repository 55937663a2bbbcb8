//! P-12: time may jump.
//!
//! The server's wall clock leaps ten years ahead and is set right again, an hour ahead and an hour back, and ten years back, while a
//! fleet works and one device with a command waiting is off. Nothing expires because of a leap ahead, which counts only when it
//! has stood for an hour; timers go on when the clock is set back; commands that are queued meanwhile are done; nobody is pushed
//! more than the policy allows; and in the end the device that was off gets its command.
//!
//! The clock is moved by a file that only builds with the feature `faults` read: a released server has no such file.
//!
//! Start with [`Scene`].
//!
//! Seen to fail when every leap was believed (actors/src/clock/jumps.rs): "waited in vain: what is queued after a jump is done"; and
//! without the plans that move with a step back (actors/src/host/due.rs): "waited in vain: a device that does not come is pushed
//! again".

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rookery::sim::apple::device::{ChannelNo, Device};
use rookery::sim::apple::model::Family;
use rookery::sim::behaviour::Behaviour;
use rookery::sim::fleet::{Fleet, Persona};

use crate::harness::admin::Asked;
use crate::harness::patience::enrolled;
use crate::harness::reckoning::reckon;
use crate::harness::site::new_folder;
use crate::harness::{PATIENCE, Proof, Site, eventually, prove, until_confirmed};

const DEVICE: ChannelNo = ChannelNo::DEVICE;
const HOUR: i64 = 3_600_000;
const YEAR: i64 = 8766 * HOUR;
/// The wait before a push is repeated, less a fifth by which waits are spread.
const PUSH_AGAIN: Duration = Duration::from_millis(480);
/// How far the clock is off, one after the other, in milliseconds.
const JUMPS: [i64; 6] = [10 * YEAR, 0, HOUR, -HOUR, -10 * YEAR, 0];

/// Devices that live on their own, one that is off, and the server whose clock jumps.
struct Scene<'a> {
    proof: &'a mut Proof,
    site: Site,
    clock: PathBuf,
    fleet: Fleet,
    channels: Vec<String>,
    asked: Vec<Asked>,
    /// A device that does not come, however often it is pushed.
    sleeper: Device,
    waiting: String,
}

#[test]
fn p12_time_may_jump() {
    prove("P-12", "time may jump", async |proof| {
        let mut scene = Scene::open(proof).await;
        for _ in 0..scene.proof.size.pick(1, 5) {
            for off in JUMPS {
                scene.the_clock_is_off_by(off).await;
            }
        }
        scene.close().await;
    });
}

/// Sets the clock in one step, so that nobody reads half of it.
fn set(clock: &Path, off: i64) {
    let new = clock.with_extension("new");
    fs::write(&new, off.to_string()).unwrap();
    fs::rename(new, clock).unwrap();
}

impl<'a> Scene<'a> {
    async fn open(proof: &'a mut Proof) -> Self {
        let folder = new_folder();
        let clock = folder.join("clock");
        set(&clock, 0);
        let settings = [
            ("ROOKERY_TEST_CLOCK", clock.to_str().unwrap()),
            ("ROOKERY_HOSTS__PUSH_AGAIN", "600ms"),
            ("ROOKERY_HOSTS__PUSH_AGAIN_CAP", "1s"),
        ];
        let mut site = Site::open_in(proof, &settings, folder).await;
        let hosts = proof.size.pick(15, 500);
        let fleet = site.fleet(proof, hosts, &[Persona::Mac], Behaviour::calm()).await;
        let channels = fleet.members().iter().map(|member| member.channels[0].clone()).collect();
        let mut sleeper = site.device(Family::Mac, 900_000);
        enrolled(&mut sleeper, &site.enroll_url()).await;
        let waiting = site.admin.run(&[sleeper.channel_id(DEVICE).unwrap().to_owned()]).await.uuid;
        proof.figure("hosts", hosts);
        Self { proof, site, clock, fleet, channels, asked: Vec::new(), sleeper, waiting }
    }

    /// Work goes on, nothing has ended, and whoever does not come is pushed again, but not too often.
    async fn the_clock_is_off_by(&mut self, off: i64) {
        let (began, before) = (Instant::now(), self.site.pushes.counts().requests);
        let pushed = self.pushes_to_sleeper();
        set(&self.clock, off);
        // One push may have been on its way: of two, one is after the jump.
        let again = async || (self.pushes_to_sleeper() >= pushed + 2).then_some(());
        eventually("a device that does not come is pushed again", PATIENCE, again).await;
        let hours = off / HOUR;
        let uuid = self.queue_for_all().await;
        eventually("what is queued after a jump is done", PATIENCE, async || {
            let statuses = self.site.admin.statuses(&uuid).await?;
            statuses.iter().all(|status| status == "Acknowledged").then_some(())
        })
        .await;
        let waits = self.site.admin.statuses(&self.waiting).await;
        let pending = waits.as_ref().is_some_and(|statuses| statuses == &["Pending"]);
        self.proof.demand(pending, format!("{hours} hours off, a command that waits is {waits:?}"));
        let (pushes, took) = (self.site.pushes.counts().requests - before, began.elapsed());
        let each = 3.0 + took.as_secs_f64() / PUSH_AGAIN.as_secs_f64();
        let allowed = each * (self.channels.len() + 1) as f64;
        let what = format!("{hours} hours off: {pushes} pushes, {allowed:.0} at most");
        self.proof.demand(pushes as f64 <= allowed, &what);
        let restarts = self.site.server.restarts().await;
        self.proof.demand(restarts == 0, format!("{hours} hours off, {restarts} actors were started again"));
        self.proof.tell(what);
    }

    async fn queue_for_all(&mut self) -> String {
        let asked = self.site.admin.run(&self.channels).await;
        let uuid = asked.uuid.clone();
        self.asked.push(asked);
        uuid
    }

    fn pushes_to_sleeper(&self) -> usize {
        self.site.pushes_to(&self.sleeper.push_target(DEVICE).unwrap().token)
    }

    async fn close(self) {
        let Self { proof, site, fleet, asked, mut sleeper, waiting, .. } = self;
        let done = sleeper.work(DEVICE).await.unwrap();
        let statuses = site.admin.statuses(&waiting).await;
        let right = done == 1 && statuses.as_ref().is_some_and(|statuses| statuses == &["Acknowledged"]);
        proof.demand(right, format!("the device that was off did {done} commands, its command is {statuses:?}"));
        until_confirmed(&fleet).await;
        proof.figure("jumps", asked.len());
        proof.judge(reckon(&asked, &site.admin.rows().await, &fleet.stop()));
        site.close(proof).await;
    }
}
