//! P-06: a database that is away, stands still or is slow costs time and nothing else.
//!
//! Clients queue commands and devices work them off while the database goes away under the server: PostgreSQL's connections
//! are cut, stand still behind a proxy, or get slower; another process holds SQLite's write lock. Devices and admins
//! are told to come back (503, devices with `Retry-After`), the server says of itself that it lives and is not ready, and as
//! soon as the database is there again it goes on by itself: no actor is started again, because an error of the database is no
//! panic. In the end P-02's reckoning holds.
//!
//! Start with [`Scene`]; each trouble is one of its verbs.
//!
//! Seen to fail without the `Retry-After` of src/http/error.rs: "a device was told to come back, and not when".

use std::time::Duration;

use rookery::sim::apple::device::{ChannelNo, Device, DeviceError};
use rookery::sim::apple::model::Family;
use rookery::sim::behaviour::Behaviour;
use rookery::sim::fleet::{Fleet, Persona};
use tokio::time::sleep;

use crate::harness::admin::Trouble;
use crate::harness::database::Kind;
use crate::harness::office::Office;
use crate::harness::patience::enrolled;
use crate::harness::proxy::Passes;
use crate::harness::reckoning::reckon;
use crate::harness::{PATIENCE, Proof, Site, eventually, prove, until_confirmed};

/// API clients.
const CLERKS: u64 = 8;
/// About how often each of them queues something.
const PACE: Duration = Duration::from_millis(250);
/// Devices and clients at work, and the server whose database goes away.
struct Scene<'a> {
    proof: &'a mut Proof,
    site: Site,
    fleet: Fleet,
    office: Office,
    /// A device that says what has to be stored.
    watcher: Device,
    troubles: u32,
}

#[test]
fn p06_a_database_that_is_away_costs_time_and_nothing_else() {
    prove("P-06", "a database that is away costs time and nothing else", async |proof| {
        let mut scene = Scene::open(proof).await;
        for _ in 0..scene.proof.size.pick(1, 5) {
            match scene.proof.kind {
                Kind::Sqlite => scene.another_process_holds_the_lock().await,
                Kind::Postgres => {
                    scene.connections_are_cut().await;
                    scene.connections_stand_still().await;
                    scene.connections_are_slow().await;
                }
            }
        }
        scene.close().await;
    });
}

/// Devices that come back soon, since everything here is over soon.
const fn eager() -> Behaviour {
    Behaviour { rests_for: Duration::from_millis(300), rests_at_most: Duration::from_secs(2), ..Behaviour::calm() }
}

impl<'a> Scene<'a> {
    async fn open(proof: &'a mut Proof) -> Self {
        let mut site = Site::open_with_proxy(proof, &[]).await;
        let hosts = proof.size.pick(30, 500);
        let fleet = site.fleet(proof, hosts, &[Persona::Mac, Persona::IPhone], eager()).await;
        let mut watcher = site.device(Family::Mac, 900_000);
        enrolled(&mut watcher, &site.enroll_url()).await;
        let office = Office::open(&site, fleet.members(), CLERKS, PACE, proof);
        proof.figure("hosts", hosts);
        Self { proof, site, fleet, office, watcher, troubles: 0 }
    }

    async fn another_process_holds_the_lock(&mut self) {
        let lock = self.site.store.lock().await;
        self.it_is_away().await;
        lock.release().await;
        self.it_is_back("the file was locked").await;
    }

    async fn connections_are_cut(&mut self) {
        self.site.proxy.as_ref().unwrap().set(Passes::Cut);
        self.site.store.cut_connections().await;
        self.it_is_away().await;
        self.site.proxy.as_ref().unwrap().set(Passes::All);
        self.it_is_back("the connections were cut").await;
    }

    async fn connections_stand_still(&mut self) {
        self.site.proxy.as_ref().unwrap().set(Passes::Nothing);
        self.it_is_away().await;
        self.site.proxy.as_ref().unwrap().set(Passes::All);
        self.it_is_back("the connections stood still").await;
    }

    /// Slow is not away: commands are accepted all the same. 100 ms there and back, or 250 ms; at twice as much the transactions
    /// of a connection that is new take longer than the five seconds after which the server gives up on them.
    async fn connections_are_slow(&mut self) {
        let (before, each_way) = (self.office.accepted(), Duration::from_millis(self.proof.size.pick(50, 125)));
        self.site.proxy.as_ref().unwrap().set(Passes::Late(each_way));
        self.office.have_accepted(before + 5).await;
        self.site.proxy.as_ref().unwrap().set(Passes::All);
        self.it_is_back("the database was slow").await;
    }

    /// Everybody is told so, and nobody waits for ever.
    async fn it_is_away(&mut self) {
        let after = loop {
            match self.watcher.update_token(ChannelNo::DEVICE).await {
                Err(DeviceError::Busy { status: 503, after }) => break after,
                // Whoever spoke before it went away was answered; whoever spoke just then may have been cut off.
                Ok(()) | Err(DeviceError::Wire(_)) => sleep(Duration::from_millis(20)).await,
                Err(error) => return self.proof.demand(false, format!("a device was told: {error}")),
            }
        };
        self.proof.demand(after.is_some(), "a device was told to come back, and not when");
        let channel = self.watcher.channel_id(ChannelNo::DEVICE).unwrap().to_owned();
        let told = eventually("an admin is told", PATIENCE, async || {
            match self.site.admin.try_queue("ProfileList", std::slice::from_ref(&channel)).await.1 {
                Some(Trouble::Refused(status, _)) => Some(status.as_u16()),
                _ => None,
            }
        })
        .await;
        self.proof.demand(told == 503, format!("an admin was told {told}"));
        self.site.server.until_ready(false).await;
        let lives = self.site.server.ops("/healthz").await.map(|(status, _)| status);
        self.proof.demand(lives == Some(200), format!("the server says that it does not live: {lives:?}"));
        sleep(self.proof.size.pick(Duration::ZERO, Duration::from_secs(10))).await;
    }

    /// The server goes on by itself: ready, and at work.
    async fn it_is_back(&mut self, after: &str) {
        self.troubles += 1;
        let began = std::time::Instant::now();
        self.site.server.until_ready(true).await;
        let ready = began.elapsed();
        self.office.have_accepted(self.office.accepted() + CLERKS).await;
        let watcher = &mut self.watcher;
        eventually("a device is served again", PATIENCE, async || watcher.update_token(ChannelNo::DEVICE).await.ok())
            .await;
        self.site.server.look();
        let restarts = self.site.server.restarts().await;
        self.proof.demand(restarts == 0, format!("after {after}, {restarts} actors were started again"));
        self.proof.tell(format!("after {after}: ready within {} ms", ready.as_millis()));
    }

    async fn close(self) {
        let Self { proof, site, fleet, office, mut watcher, troubles } = self;
        let asked = office.close().await;
        watcher.work(ChannelNo::DEVICE).await.unwrap();
        proof.demand(site.admin.drained(PATIENCE).await, "commands are pending although the devices come");
        until_confirmed(&fleet).await;
        proof.figure("troubles", troubles);
        proof.judge(reckon(&asked, &site.admin.rows().await, &fleet.stop()));
        site.close(proof).await;
    }
}
