//! P-07: a full disk loses nothing that was acknowledged, and the server goes on by itself when there is room again.
//!
//! SQLite's file lies on a small disk of its own that is filled to the last byte while clients queue commands and devices work
//! them off. Where no disk may be mounted, the kernel forbids the server's files to grow instead. A PostgreSQL is told to take nothing, as hosted ones
//! do when their disk is full. Admins and devices are told to come back, reading goes on, the server says that it is not
//! ready; with room again it is, without a restart, the file is sound, and P-02's reckoning holds. Then the log is on a full disk,
//! which nobody but a reader of the log notices.
//!
//! Seen to fail without `is_at_rest` (entities/src/store.rs): "… (accepted) has no row; the device said Some("Acknowledged")", for
//! everything that was confirmed between the full disk and the next start.

use std::time::Duration;

use rookery::sim::apple::device::{ChannelNo, Device, DeviceError};
use rookery::sim::apple::model::Family;
use rookery::sim::behaviour::Behaviour;
use rookery::sim::fleet::{Fleet, Persona};
use tokio::time::sleep;

use crate::harness::admin::{Asked, Trouble};
use crate::harness::database::Kind;
use crate::harness::disk::Disk;
use crate::harness::office::Office;
use crate::harness::patience::enrolled;
use crate::harness::reckoning::reckon;
use crate::harness::site::new_folder;
use crate::harness::{PATIENCE, Proof, Site, prove, until_confirmed};

/// API clients.
const CLERKS: u64 = 4;
/// About how often each of them queues something.
const PACE: Duration = Duration::from_millis(250);
/// Bytes of a command that leaves no room for others.
const LARGE: usize = 200_000;

/// Devices and clients at work, and the server whose disk is full now and then.
struct Scene<'a> {
    proof: &'a mut Proof,
    site: Site,
    /// Where the server's data is.
    disk: Option<Disk>,
    fleet: Fleet,
    office: Office,
    asked: Vec<Asked>,
    /// A device that says what has to be stored.
    watcher: Device,
}

#[test]
fn p07_a_full_disk_loses_nothing_that_was_acknowledged() {
    prove("P-07", "a full disk loses nothing that was acknowledged", async |proof| {
        let folder = new_folder();
        let disk = if proof.kind == Kind::Sqlite { Disk::mount(&folder.join("data")) } else { None };
        let mut scene = Scene::open(proof, disk, folder).await;
        for _ in 0..scene.proof.size.pick(1, 5) {
            if scene.can_be_full() {
                scene.fill().await;
                scene.everybody_is_told().await;
                scene.make_room().await;
                scene.it_goes_on().await;
            }
        }
        scene.the_log_is_full().await;
        scene.close().await;
    });
}

impl<'a> Scene<'a> {
    async fn open(proof: &'a mut Proof, disk: Option<Disk>, folder: std::path::PathBuf) -> Self {
        let mut site = Site::open_in(proof, &[], folder).await;
        let hosts = proof.size.pick(20, 300);
        let eager = Behaviour { rests_at_most: Duration::from_secs(2), ..Behaviour::calm() };
        let fleet = site.fleet(proof, hosts, &[Persona::Mac, Persona::IPhone], eager).await;
        let mut watcher = site.device(Family::Mac, 900_000);
        enrolled(&mut watcher, &site.enroll_url()).await;
        let office = Office::open(&site, fleet.members(), CLERKS, PACE, proof);
        proof.figure("hosts", hosts);
        Self { proof, site, disk, fleet, office, asked: Vec::new(), watcher }
    }

    /// Whether there is a way here to let nothing be stored; says so where there is none.
    fn can_be_full(&self) -> bool {
        let can = self.disk.is_some() || self.proof.kind == Kind::Postgres || self.site.server.limit_files(None);
        if !can {
            println!("left out: a full disk under SQLite (neither mount nor prlimit can be used here)");
        }
        can
    }

    async fn fill(&mut self) {
        match (&self.disk, self.proof.kind) {
            (Some(disk), _) => disk.fill(),
            (None, Kind::Postgres) => self.site.store.read_only(true).await,
            (None, Kind::Sqlite) => {
                let limited = self.site.server.limit_files(Some(self.site.store.wal_bytes()));
                self.proof.demand(limited, "files could not be limited");
            }
        }
    }

    async fn make_room(&mut self) {
        match (&self.disk, self.proof.kind) {
            (Some(disk), _) => disk.free(),
            (None, Kind::Postgres) => self.site.store.read_only(false).await,
            (None, Kind::Sqlite) => {
                self.site.server.limit_files(None);
            }
        }
    }

    /// A file that has room in itself takes a little more; then nothing is taken any more.
    async fn everybody_is_told(&mut self) {
        let channel = [self.watcher.channel_id(ChannelNo::DEVICE).unwrap().to_owned()];
        let (mut admins, mut devices) = (0, 0);
        while admins < 3 || devices < 3 {
            match self.site.admin.try_queue_large(LARGE, &channel).await.1 {
                Some(Trouble::Refused(status, _)) if matches!(status.as_u16(), 503 | 507) => admins += 1,
                None | Some(Trouble::Unanswered(_)) => {}
                Some(trouble) => return self.proof.demand(false, format!("an admin was told {trouble}")),
            }
            match self.watcher.update_token(ChannelNo::DEVICE).await {
                Err(DeviceError::Busy { status: 503, after: Some(_) }) => devices += 1,
                Ok(()) => {}
                Err(error) => return self.proof.demand(false, format!("a device was told: {error}")),
            }
        }
        self.site.server.until_ready(false).await;
        let lives = self.site.server.ops("/healthz").await.map(|(status, _)| status);
        self.proof.demand(lives == Some(200), format!("the server says that it does not live: {lives:?}"));
        let read = self.site.admin.get("/api/v1/fleet/commands?per_page=5").await;
        self.proof.demand(read.is_ok(), format!("reading does not go on: {:?}", read.err()));
        sleep(self.proof.size.pick(Duration::from_millis(500), Duration::from_secs(10))).await;
    }

    async fn it_goes_on(&mut self) {
        self.site.server.until_ready(true).await;
        self.office.have_accepted(self.office.accepted() + 2 * CLERKS).await;
        self.watcher.work(ChannelNo::DEVICE).await.unwrap();
        let restarts = self.site.server.restarts().await;
        self.proof.demand(restarts == 0, format!("{restarts} actors were started again"));
        if self.proof.kind == Kind::Sqlite {
            let faults = self.site.store.faults().await;
            self.proof.demand(faults.is_empty(), format!("the file is broken: {faults:?}"));
        }
        self.proof.tell(format!("{} commands accepted so far", self.office.accepted()));
    }

    /// Every line of the log is refused.
    async fn the_log_is_full(&mut self) {
        let log = std::mem::replace(&mut self.site.server.log_file, "/dev/full".into());
        self.site.server.set("ROOKERY_LOG__FILTER", "debug");
        self.site.restart(self.proof).await;
        let channels: Vec<String> = self.fleet.members().iter().map(|member| member.channels[0].clone()).collect();
        self.asked.push(self.site.admin.queue("DeviceInformation", &channels[..1]).await);
        self.office.have_accepted(self.office.accepted() + 2 * CLERKS).await;
        let restarts = self.site.server.restarts().await;
        self.proof.demand(restarts == 0, format!("with a full log, {restarts} actors were started again"));
        self.site.server.log_file = log;
        self.site.server.set("ROOKERY_LOG__FILTER", "warn");
        self.site.restart(self.proof).await;
    }

    async fn close(self) {
        let Self { proof, site, disk, fleet, office, mut asked, mut watcher } = self;
        asked.extend(office.close().await);
        watcher.work(ChannelNo::DEVICE).await.unwrap();
        proof.demand(site.admin.drained(PATIENCE).await, "commands are pending although the devices come");
        until_confirmed(&fleet).await;
        proof.judge(reckon(&asked, &site.admin.rows().await, &fleet.stop()));
        site.close(proof).await;
        drop(disk);
    }
}
