//! P-01: no failure of ours un-enrolls a device.
//!
//! An Apple device that is answered 401 or 403 removes its management, so the routes of enrolled devices never say so,
//! whatever has gone wrong. Here everything goes wrong that an operator can live through: rows that cannot be reached,
//! that are gone, old, or another server's; certificates that nobody knows; panicking actors; a server that stands still,
//! stops or is flooded; messages of any size and shape. Meanwhile devices speak, and every status is counted on their side
//! of the wire. After each trouble every device must find itself still enrolled: it gets a new command and its report is taken.
//!
//! Start with [`Scene`]; each trouble is one of its verbs.
//!
//! Seen to fail when device routes could say 401 instead of 400 (src/http/error.rs): "device routes answered 401 732 times".

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use futures_util::future::join_all;
use protocol::ids::CommandUuid;
use protocol::pki::{NewKey, Signer, self_signed};
use reqwest::Method;
use rookery::http::{ROUTES, Who};
use rookery::sim::apple::device::{ChannelNo, Destination, Device};
use rookery::sim::apple::model::Family;
use rookery::sim::windows::device::{Fate, Pc, Proof as Way};
use rookery::sim::wire::{Manner, Request};
use tokio::time::{sleep, timeout};

use crate::harness::admin::{Admin, Target};
use crate::harness::database::Kind;
use crate::harness::patience::{enrolled, patiently};
use crate::harness::pcs::target;
use crate::harness::proxy::Passes;
use crate::harness::server::Server;
use crate::harness::site::{apple, now};
use crate::harness::{Proof, Site, prove};

const DEVICE: ChannelNo = ChannelNo::DEVICE;
const DAY: Duration = Duration::from_secs(86_400);
/// How long a device may take to find itself enrolled again.
const RECOVERY: Duration = Duration::from_secs(60);
/// The largest message, and memory for all of them, in mebibytes: small, so that both ends are reached.
const LIMITS: [(&str, &str); 2] = [("ROOKERY_DEVICE__MAX_BODY_MIB", "1"), ("ROOKERY_DEVICE__BODY_BUDGET_MIB", "2")];
/// Actors that die all the time, at every point of what they do.
const PANICS: &str = "host.report/3 host.report.decided/4 host.report.committed/5 host.token_update/3 \
                      host.session/3 host.session.decided/4 host.session.committed/5 \
                      host.token_update.committed/4 host.due/2 authority.request/2 registrar.admit/2 dispatcher.dispatch/9";

/// Devices that are enrolled for good, and the server that they belong to.
struct Scene<'a> {
    proof: &'a mut Proof,
    site: Site,
    devices: Vec<Device>,
    pcs: Vec<Pc>,
    troubles: u32,
}

#[test]
fn p01_no_failure_of_ours_unenrolls_a_device() {
    prove("P-01", "no failure of ours un-enrolls a device", async |proof| {
        let mut scene = Scene::open(proof).await;
        scene.rows_cannot_be_reached().await;
        scene.the_server_stands_still().await;
        scene.certificates_are_not_the_devices_own().await;
        scene.messages_are_wrong().await;
        scene.too_much_at_once().await;
        scene.the_certificate_has_ended().await;
        scene.rows_are_old().await;
        scene.rows_are_another_servers().await;
        scene.rows_are_garbage().await;
        scene.actors_panic().await;
        scene.the_server_stops_while_devices_speak().await;
        scene.close().await;
    });
}

/// What a device says, one thing after the other; whatever it is told, it goes on.
async fn talk(device: &mut Device) {
    let _ = device.work(DEVICE).await;
    let _ = device.update_token(DEVICE).await;
    let _ = device.bootstrap_token().await;
    let _ = device.send(Destination::CheckIn, "no plist").await;
}

/// The same of a PC.
async fn talk_of_pc(pc: &mut Pc) {
    let _ = pc.work().await;
    let _ = pc.post("no SyncML").await;
}

/// All devices talk at once, and somebody without a certificate knocks at every door.
async fn speak(site: &Site, devices: &mut [Device], pcs: &mut [Pc]) {
    let mut stranger = site.stranger();
    let base = site.server.url("device_url");
    let knock = async {
        for route in ROUTES.iter().filter(|route| route.who == Who::EnrolledDevice) {
            for method in route.methods.split(' ').chain(["DELETE"]) {
                let url = format!("{base}{}?operation=GetCACert", route.path);
                let method = method.parse::<Method>().unwrap();
                let _ = stranger.send(&Request::new(method, &url, "<plist version=\"1.0\"><dict/></plist>")).await;
            }
        }
    };
    tokio::join!(join_all(devices.iter_mut().map(talk)), join_all(pcs.iter_mut().map(talk_of_pc)), knock);
}

/// Speaks for at least so long.
async fn speak_for(site: &Site, devices: &mut [Device], pcs: &mut [Pc], time: Duration) {
    let over = AtomicBool::new(false);
    let speaking = async {
        while !over.load(Relaxed) {
            speak(site, devices, pcs).await;
        }
    };
    tokio::join!(speaking, async {
        sleep(time).await;
        over.store(true, Relaxed);
    });
}

/// The device works until this command of its own is confirmed.
async fn finds_itself_enrolled(device: &mut Device, uuid: &CommandUuid) -> Result<(), String> {
    let channel = device.channel_id(DEVICE).unwrap().to_owned();
    loop {
        let error = match device.work(DEVICE).await {
            Ok(_) => None,
            Err(error) if error.is_passing().is_some() => None,
            Err(error) => Some(error.to_string()),
        };
        if device.log().command(&channel, uuid.as_str()).is_some_and(|done| done.final_status().is_some()) {
            return Ok(());
        }
        if let Some(error) = error {
            return Err(error);
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// The same of a PC, which was not told to leave either.
async fn pc_finds_itself_enrolled(pc: &mut Pc, uuid: &str) -> Result<(), String> {
    let channel = target(pc).channel;
    loop {
        let error = pc.work().await.err().filter(|error| error.is_passing().is_none());
        if pc.fate() != Fate::Stays {
            return Err(format!("it was told to leave: {:?}", pc.fate()));
        }
        if pc.log().command(&channel, uuid).is_some_and(|done| done.final_status().is_some()) {
            return Ok(());
        }
        if let Some(error) = error {
            return Err(error.to_string());
        }
        sleep(Duration::from_millis(100)).await;
    }
}

impl<'a> Scene<'a> {
    async fn open(proof: &'a mut Proof) -> Self {
        let site = Site::open_with_proxy(proof, &LIMITS).await;
        let mut scene = Self { proof, site, devices: Vec::new(), pcs: Vec::new(), troubles: 0 };
        scene.enroll(scene.proof.size.pick(8, 50)).await;
        scene
    }

    /// Enrolls so many more devices.
    async fn enroll(&mut self, count: u32) {
        let (first, url) = (self.devices.len() as u32, self.site.enroll_url());
        let mut new: Vec<Device> =
            (first..first + count).map(|number| self.site.device(Family::Mac, 1 + number)).collect();
        join_all(new.iter_mut().map(async |device| {
            enrolled(device, &url).await;
            patiently(async || device.set_bootstrap_token(Some(b"a bootstrap token")).await).await;
        }))
        .await;
        self.devices.extend(new);
        for number in first..first + count.div_ceil(2) {
            let way = [Way::Digest, Way::Certificate, Way::Signature][number as usize % 3];
            let pc = self.site.pc(1 + number, way).await;
            self.pcs.push(pc);
        }
    }

    /// After a trouble: every device gets a new command, and its report is taken.
    async fn all_are_still_enrolled(&mut self, after: &str) {
        self.troubles += 1;
        self.site.server.until_ready(true).await;
        let (channels, uuid) = (self.channels(), self.queue_for_all().await);
        let found = self.devices.iter_mut().map(|device| timeout(RECOVERY, finds_itself_enrolled(device, &uuid)));
        for (channel, found) in channels.iter().zip(join_all(found).await) {
            let found = found.unwrap_or_else(|_| Err("it got nothing in time".into()));
            if let Err(error) = found {
                self.proof.demand(false, format!("after {after}, {channel} is not enrolled: {error}"));
            }
        }
        let targets: Vec<Target> = self.pcs.iter().map(target).collect();
        let uuid = self.site.admin.run_on_pcs(&targets).await.uuid;
        let found = self.pcs.iter_mut().map(|pc| timeout(RECOVERY, pc_finds_itself_enrolled(pc, &uuid)));
        for (pc, found) in targets.iter().zip(join_all(found).await) {
            let found = found.unwrap_or_else(|_| Err("it got nothing in time".into()));
            if let Err(error) = found {
                self.proof.demand(false, format!("after {after}, the PC {} is not enrolled: {error}", pc.channel));
            }
        }
        self.proof.tell(format!("after {after}: {:?}", self.site.device_statuses()));
    }

    fn channels(&self) -> Vec<String> {
        self.devices.iter().map(|device| device.channel_id(DEVICE).unwrap().to_owned()).collect()
    }

    /// Gives every device something to do.
    async fn queue_for_all(&self) -> CommandUuid {
        let asked = self.site.admin.run(&self.channels()).await;
        CommandUuid::parse(&asked.uuid).unwrap()
    }

    async fn rows_cannot_be_reached(&mut self) {
        let time = self.proof.size.pick(Duration::from_secs(7), Duration::from_secs(30));
        self.queue_for_all().await;
        let Self { proof, site, devices, pcs, .. } = self;
        if proof.kind == Kind::Sqlite {
            let lock = site.store.lock().await;
            speak_for(site, devices, pcs, time).await;
            lock.release().await;
            return self.all_are_still_enrolled("the file was locked").await;
        }
        let proxy = site.proxy.as_ref().unwrap();
        for passes in [Passes::Cut, Passes::Nothing] {
            proxy.set(passes);
            speak_for(site, devices, pcs, time).await;
            proxy.set(Passes::All);
        }
        self.all_are_still_enrolled("the wire to the database was cut, and dead").await;
        self.site.store.take_away("hidden").await;
        speak_for(&self.site, &mut self.devices, &mut self.pcs, time / 2).await;
        self.site.store.bring_back("hidden").await;
        self.all_are_still_enrolled("the database had another name").await;
    }

    async fn the_server_stands_still(&mut self) {
        self.queue_for_all().await;
        let Self { site, devices, pcs, .. } = self;
        site.server.pause();
        tokio::join!(speak(site, devices, pcs), async {
            sleep(Duration::from_secs(3)).await;
            site.server.go_on();
        });
        self.all_are_still_enrolled("the server stood still").await;
    }

    /// Nobody's certificate, a made-up one, one of another authority, the neighbour's, none at all.
    async fn certificates_are_not_the_devices_own(&mut self) {
        let own: Vec<Signer> = self.devices.iter().map(|device| device.identity().unwrap().clone()).collect();
        let made_up = self_signed(NewKey::Rsa2048.generate().unwrap(), "device", now(), DAY).unwrap();
        let foreign = apple().issue_push("com.apple.mgmt.External.foreign", now(), DAY).unwrap();
        for identity in [made_up, foreign] {
            self.devices.iter_mut().for_each(|device| device.set_identity(Some(identity.clone())));
            speak(&self.site, &mut self.devices, &mut self.pcs).await;
        }
        for (device, neighbour) in self.devices.iter_mut().zip(own.iter().cycle().skip(1)) {
            device.set_identity(Some(neighbour.clone()));
        }
        speak(&self.site, &mut self.devices, &mut self.pcs).await;
        for (device, own) in self.devices.iter_mut().zip(own) {
            device.set_identity(Some(own));
        }
        self.all_are_still_enrolled("certificates were others'").await;
    }

    async fn messages_are_wrong(&mut self) {
        let nested =
            |levels: usize| format!("<plist>{}{}</plist>", "<array>".repeat(levels), "</array>".repeat(levels));
        let bodies: [Vec<u8>; 8] = [
            Vec::new(),
            b"bplist00\xd1\x01\x02SudidAx".to_vec(),
            b"<plist version=\"1.0\"><dict><key>Status".to_vec(),
            b"<plist version=\"1.0\"><dict><key>Status</key><integer>7</integer></dict></plist>".to_vec(),
            nested(60_000).into_bytes(),
            (0..=255).collect(),
            vec![b'x'; (1 << 20) + 1],
            vec![b'x'; 5 << 20],
        ];
        for (number, device) in self.devices.iter_mut().enumerate() {
            // Each device sends some of them: all are sent by somebody.
            for body in bodies.iter().cycle().skip(number).take(4) {
                for to in [Destination::CheckIn, Destination::Command] {
                    let _ = device.send(to, body.clone()).await;
                }
            }
        }
        self.all_are_still_enrolled("messages were wrong").await;
    }

    /// More large messages at once than there is memory for, and more small ones than a device ever sends.
    async fn too_much_at_once(&mut self) {
        let rounds = self.proof.size.pick(3, 20);
        join_all(self.devices.iter_mut().map(async |device| {
            for _ in 0..rounds {
                device.once(Manner::Slow { piece: 300_000, pause: Duration::from_millis(100) });
                let _ = device.send(Destination::Command, vec![b'x'; 900_000]).await;
                for _ in 0..30 {
                    let _ = device.poll(DEVICE).await;
                }
            }
        }))
        .await;
        self.all_are_still_enrolled("too much came at once").await;
    }

    /// A device comes with a certificate that its row knows and that has ended long ago.
    async fn the_certificate_has_ended(&mut self) {
        let long_ago = now().minus(DAY * 400);
        let ended = self_signed(NewKey::Rsa2048.generate().unwrap(), "device", long_ago, DAY).unwrap();
        let own = self.devices[0].identity().unwrap().clone();
        let swap = |from: &Signer, to: &Signer, kind: Kind| {
            let hex = |signer: &Signer| {
                let hex: String =
                    signer.certificate().fingerprint().as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
                if kind == Kind::Sqlite { format!("X'{hex}'") } else { format!("'\\x{hex}'::bytea") }
            };
            format!("UPDATE identity SET fingerprint = {} WHERE fingerprint = {}", hex(to), hex(from))
        };
        for (from, to) in [(&own, &ended), (&ended, &own)] {
            self.site.server.terminate().await;
            let changed = self.site.store.execute(&swap(from, to, self.proof.kind)).await;
            self.proof.demand(changed == 1, "the identity's row was not found");
            self.site.server.start().await;
            self.devices[0].set_identity(Some(to.clone()));
            speak(&self.site, &mut self.devices, &mut self.pcs).await;
        }
        self.all_are_still_enrolled("a certificate had ended").await;
    }

    /// A backup is restored from before half of the devices enrolled; then the newest rows come back.
    async fn rows_are_old(&mut self) {
        self.site.server.terminate().await;
        self.site.store.copy("backup").await;
        self.site.server.start().await;
        self.enroll(self.devices.len() as u32).await;
        self.all_are_still_enrolled("more enrolled").await;
        self.site.server.terminate().await;
        self.site.store.take_away("newest").await;
        self.site.store.bring_back("backup").await;
        self.site.server.start().await;
        speak(&self.site, &mut self.devices, &mut self.pcs).await;
        self.site.server.terminate().await;
        self.site.store.bring_back("newest").await;
        self.site.server.start().await;
        self.all_are_still_enrolled("an old backup was restored").await;
    }

    /// First no rows at all, which make another authority; then those of a server that others have enrolled with.
    async fn rows_are_another_servers(&mut self) {
        self.site.server.terminate().await;
        self.site.store.put_away("own").await;
        self.site.server.start().await;
        speak(&self.site, &mut self.devices, &mut self.pcs).await;
        let token = self.site.server.new_token("other");
        let other = Admin::new(&self.site.server, token);
        let own = std::mem::replace(&mut self.site.admin, other);
        self.site.prepare().await;
        let mut settler = self.site.device(Family::Mac, 1000);
        enrolled(&mut settler, &self.site.enroll_url()).await;
        speak(&self.site, &mut self.devices, &mut self.pcs).await;
        self.site.admin = own;
        self.site.server.terminate().await;
        self.site.store.bring_back("own").await;
        self.site.server.start().await;
        self.all_are_still_enrolled("the rows were another server's").await;
    }

    /// What is no database of ours keeps the server from starting; nobody is answered anything.
    async fn rows_are_garbage(&mut self) {
        self.site.server.terminate().await;
        self.site.store.put_away("own").await;
        self.site.store.spoil().await;
        let status = self.site.server.start_in_vain().await;
        self.proof.demand(!status.success(), "the server started with what is no database of ours");
        speak(&self.site, &mut self.devices, &mut self.pcs).await;
        self.site.store.bring_back("own").await;
        self.site.server.start().await;
        self.all_are_still_enrolled("the rows were garbage").await;
    }

    async fn actors_panic(&mut self) {
        self.site.server.set("ROOKERY_TEST_FAULTS", PANICS);
        self.queue_for_all().await;
        self.site.restart(self.proof).await;
        let before = self.device_busy();
        for _ in 0..self.proof.size.pick(4, 20) {
            speak(&self.site, &mut self.devices, &mut self.pcs).await;
        }
        self.proof.demand(self.device_busy() > before, "no actor panicked");
        self.site.server.set("ROOKERY_TEST_FAULTS", "");
        self.site.restart(self.proof).await;
        self.all_are_still_enrolled("actors panicked").await;
    }

    fn device_busy(&self) -> u64 {
        self.site.device_statuses().get(&503).copied().unwrap_or(0)
    }

    async fn the_server_stops_while_devices_speak(&mut self) {
        for _ in 0..self.proof.size.pick(3, 20) {
            self.queue_for_all().await;
            let Self { site, devices, pcs, .. } = self;
            // Signals go by the process's number, so that the devices can go on looking at the site.
            let (pid, over) = (site.server.pid(), AtomicBool::new(false));
            let stopping = async {
                sleep(Duration::from_millis(300)).await;
                Server::ask_to_stop(pid);
                sleep(Duration::from_millis(300)).await;
                over.store(true, Relaxed);
            };
            let speaking = async {
                while !over.load(Relaxed) {
                    speak(site, devices, pcs).await;
                }
            };
            tokio::join!(speaking, stopping);
            let status = site.server.end().await;
            self.proof.demand(status.success(), format!("the server ended with {status}"));
            self.site.server.start().await;
        }
        self.all_are_still_enrolled("the server stopped while devices spoke").await;
    }

    async fn close(self) {
        let Self { proof, site, devices, pcs, troubles } = self;
        proof.figure("devices", devices.len());
        proof.figure("PCs", pcs.len());
        proof.figure("troubles", troubles);
        let statuses = site.device_statuses();
        let harmless = |status: u16| matches!(status, 200 | 400 | 404 | 405 | 408 | 410 | 413 | 429 | 500..=599);
        for (status, count) in statuses.iter().filter(|(status, _)| !harmless(**status)) {
            proof.demand(false, format!("device routes answered {status} {count} times"));
        }
        for met in [200, 400, 413, 503] {
            proof.demand(statuses.contains_key(&met), format!("nobody was answered {met}: the troubles were none"));
        }
        site.close_after_refusals(proof).await;
    }
}
