//! P-14: an admin's mistake is bounded.
//!
//! A request that is sent a hundred times makes one batch. A command that erases every host waits for a second admin, who
//! has to say for how many hosts it is; whoever asked cannot approve it. Then it goes out at a pace, also across `kill -9`,
//! and what has not gone out is taken back: no device ever sees that. Ten thousand commands for one host are a long queue and
//! nothing else: they come out in order, the process being killed in between.
//!
//! Seen to fail when nothing was ever held (entities/src/enqueue.rs): "waited in vain: another command comes", every device being
//! erased.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use rookery::sim::apple::device::{Answer, ChannelNo, Device};
use rookery::sim::apple::model::Family;
use rookery::sim::behaviour::Behaviour;
use rookery::sim::fleet::{Fleet, Persona};
use serde_json::{Value, json};

use crate::harness::admin::{Admin, Asked, Trouble};
use crate::harness::patience::enrolled;
use crate::harness::reckoning::reckon;
use crate::harness::{PATIENCE, Proof, Site, eventually, prove};

const DEVICE: ChannelNo = ChannelNo::DEVICE;
/// Requests that are the same.
const REPEATS: usize = 100;
/// Clients that queue commands for the one host.
const CLIENTS: usize = 8;
const COMMANDS: &str = "/api/v1/fleet/commands";

/// Devices that live on their own, and two admins.
struct Scene<'a> {
    proof: &'a mut Proof,
    site: Site,
    fleet: Fleet,
    channels: Vec<String>,
    second: Admin,
    pace: u32,
}

#[test]
fn p14_admin_mistakes_are_bounded() {
    prove("P-14", "an admin's mistake is bounded", async |proof| {
        let mut scene = Scene::open(proof).await;
        let asked = scene.a_request_is_sent_a_hundred_times().await;
        let uuid = scene.everything_is_to_be_erased().await;
        scene.only_another_admin_can_approve_it(&uuid).await;
        let began = Instant::now();
        scene.approve(&uuid).await;
        scene.it_goes_out_at_a_pace(&uuid, began).await;
        scene.the_rest_is_taken_back(&uuid).await;
        scene.one_host_gets_a_long_queue().await;
        scene.close(&asked).await;
    });
}

/// A command without a name: the server makes one, another one each time that it does the request.
fn unnamed(request_type: &str) -> String {
    let plist = format!(
        "<plist version=\"1.0\"><dict><key>Command</key><dict><key>RequestType</key>\
         <string>{request_type}</string></dict></dict></plist>"
    );
    openssl::base64::encode_block(plist.as_bytes())
}

fn run_request(request_type: &str, channels: &[String]) -> Vec<u8> {
    json!({ "command": unnamed(request_type), "host_uuids": channels }).to_string().into_bytes()
}

fn text(answer: &Value, key: &str) -> String {
    answer[key].as_str().unwrap_or_default().to_owned()
}

/// The status of a refusal; `None` for a 2xx.
fn refusal(answer: Result<Value, Trouble>) -> Option<StatusCode> {
    match answer {
        Err(Trouble::Refused(status, _)) => Some(status),
        _ => None,
    }
}

impl<'a> Scene<'a> {
    async fn open(proof: &'a mut Proof) -> Self {
        let pace = proof.size.pick(60, 120);
        let settings =
            [("ROOKERY_BRAKES__ERASE_PER_HOUR", "5"), ("ROOKERY_BRAKES__RELEASE_PER_MINUTE", &pace.to_string())];
        let mut site = Site::open(proof, &settings).await;
        let hosts = proof.size.pick(30, 300);
        let fleet = site.fleet(proof, hosts, &[Persona::Mac], Behaviour::calm()).await;
        let channels = fleet.members().iter().map(|member| member.channels[0].clone()).collect();
        let second = Admin::new(&site.server, site.server.new_token("second"));
        proof.figure("hosts", hosts);
        Self { proof, site, fleet, channels, second, pace }
    }

    async fn verb(&self, admin: &Admin, uuid: &str, verb: &str, body: &Value) -> Result<Value, Trouble> {
        let path = format!("{COMMANDS}/{uuid}/{verb}");
        admin.ask(Method::POST, &path, body.to_string().into_bytes(), None).await
    }

    async fn a_request_is_sent_a_hundred_times(&mut self) -> Asked {
        let body = run_request("SecurityInfo", &self.channels);
        let (admin, path) = (&self.site.admin, format!("{COMMANDS}/run"));
        let ask = || admin.ask(Method::POST, &path, body.clone(), Some("the same key"));
        let mut answers = join_all((0..REPEATS / 2).map(|_| ask())).await;
        for _ in REPEATS / 2..REPEATS {
            answers.push(ask().await);
        }
        let given: BTreeSet<String> = answers.into_iter().map(|answer| answer.unwrap().to_string()).collect();
        self.proof.demand(given.len() == 1, format!("the same request has {} answers", given.len()));
        let uuid = text(&serde_json::from_str(given.first().unwrap()).unwrap(), "command_uuid");
        self.proof.demand(self.site.admin.drained(PATIENCE).await, "commands are pending although the devices come");
        let rows = self.site.admin.rows().await;
        let (all, mine) = (rows.len(), rows.iter().filter(|row| row.uuid == uuid).count());
        let hosts = self.channels.len();
        self.proof.demand((all, mine) == (hosts, hosts), format!("{all} rows, {mine} of the command, {hosts} hosts"));
        self.proof.figure("repeats", REPEATS);
        Asked { uuid, channels: self.channels.iter().cloned().collect(), accepted: true }
    }

    async fn everything_is_to_be_erased(&mut self) -> String {
        let body = run_request("EraseDevice", &self.channels);
        let answer = self.site.admin.ask(Method::POST, &format!("{COMMANDS}/run"), body, None).await.unwrap();
        let held = answer["held"]["hosts"].as_u64();
        self.proof.demand(held == Some(self.channels.len() as u64), format!("it is not held: {answer}"));
        text(&answer, "command_uuid")
    }

    async fn only_another_admin_can_approve_it(&mut self, uuid: &str) {
        let hosts = self.channels.len();
        let (asker, second) = (self.site.admin.clone(), self.second.clone());
        let tries = [
            (&asker, json!({ "hosts": hosts }), StatusCode::FORBIDDEN),
            (&second, json!({ "hosts": hosts - 1 }), StatusCode::UNPROCESSABLE_ENTITY),
            (&second, json!({}), StatusCode::BAD_REQUEST),
        ];
        for (admin, body, expected) in tries {
            let status = refusal(self.verb(admin, uuid, "approve", &body).await);
            self.proof.demand(status == Some(expected), format!("approve with {body}: {status:?}, not {expected}"));
        }
        // Whatever is due now would have come: another command does.
        let asked = self.site.admin.run(&self.channels).await;
        eventually("another command comes", PATIENCE, async || {
            let done = self.count("command_status=Acknowledged&request_type=ProfileList").await;
            (done == Some(asked.channels.len() as u64)).then_some(())
        })
        .await;
        let erased = self.erased(uuid).len();
        self.proof.demand(erased == 0, format!("{erased} hosts were erased although nobody approved it"));
    }

    async fn approve(&mut self, uuid: &str) {
        let body = json!({ "hosts": self.channels.len() });
        let second = self.second.clone();
        let approved = self.verb(&second, uuid, "approve", &body).await;
        self.proof.demand(approved.is_ok(), format!("the second admin cannot approve: {approved:?}"));
    }

    /// How many rows a list of commands has; `None` while the server does not answer.
    async fn count(&self, query: &str) -> Option<u64> {
        self.site.admin.get(&format!("{COMMANDS}?per_page=1&{query}")).await.ok()?["count"].as_u64()
    }

    /// Looks again and again how many were released, until it is a third; meanwhile the process is killed. However slow
    /// the machine is, it may never be too many: time that passes only allows more.
    async fn it_goes_out_at_a_pace(&mut self, uuid: &str, began: Instant) {
        let hosts = self.channels.len() as u64;
        let (a_second, enough) = (f64::from(self.pace) / 60.0, hosts / 3);
        let (mut killed, mut released) = (false, 0);
        while released < enough {
            assert!(began.elapsed() < PATIENCE, "{released} released");
            if !killed && released > enough / 3 {
                self.site.server.kill();
                self.site.server.start().await;
                killed = true;
            }
            if let Some(held) = self.count("command_status=Held&request_type=EraseDevice").await {
                released = hosts - held;
                let seconds = began.elapsed().as_secs_f64();
                let most = seconds * a_second + a_second.max(1.0);
                self.proof.demand(released as f64 <= most, format!("{released} released in {seconds:.1} s"));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        self.proof.demand(killed, "nothing was killed");
        self.proof.figure("released at a pace", format!("{released} in {:.0} s", began.elapsed().as_secs_f64()));
        self.proof.tell(format!("{released} hosts were released, {} did it", self.erased(uuid).len()));
    }

    async fn the_rest_is_taken_back(&mut self, uuid: &str) {
        let admin = self.site.admin.clone();
        let answer = self.verb(&admin, uuid, "cancel", &json!({})).await.unwrap();
        let number = |key: &str| answer[key].as_u64().unwrap_or_default() as usize;
        let (cancelled, others) = (number("cancelled"), number("sent") + number("ended"));
        self.proof.demand(cancelled > 0 && cancelled + others == self.channels.len(), format!("cancel: {answer}"));
        let rows = self.site.admin.rows().await;
        let spared = rows.iter().filter(|row| row.uuid == uuid && row.status == "Cancelled");
        let spared: BTreeSet<&str> = spared.map(|row| row.channel.as_str()).collect();
        self.proof.demand(spared.len() == cancelled, format!("{cancelled} cancelled, {} rows say so", spared.len()));
        // Those that were too late are done; the others get other commands and never this one.
        eventually("what was sent is done", PATIENCE, async || (self.erased(uuid).len() == others).then_some(())).await;
        let left: Vec<String> = spared.iter().map(|channel| (*channel).to_owned()).collect();
        let asked = self.site.admin.run(&left).await;
        eventually("the others go on", PATIENCE, async || {
            let path = format!("{COMMANDS}/results?command_uuid={}", asked.uuid);
            let results = self.site.admin.get(&path).await.ok()?;
            let done = results["results"].as_array()?.iter().filter(|row| row["status"] == "Acknowledged").count();
            (done == left.len()).then_some(())
        })
        .await;
        let erased = self.erased(uuid);
        self.proof.demand(left.iter().all(|channel| !erased.contains(channel)), "a host got what was taken back");
        self.proof.figure("cancelled", cancelled);
    }

    /// The channels whose devices say that they got the command.
    fn erased(&self, uuid: &str) -> BTreeSet<String> {
        let uuid = protocol::ids::CommandUuid::parse(uuid).unwrap();
        let got =
            |channel: &str, member: &rookery::sim::fleet::Member| member.log.command(channel, uuid.as_str()).is_some();
        let members = self.fleet.members().iter();
        members
            .map(|member| (&member.channels[0], member))
            .filter(|(channel, member)| got(channel, member))
            .map(|(channel, _)| channel.clone())
            .collect()
    }

    async fn one_host_gets_a_long_queue(&mut self) {
        let commands = self.proof.size.pick(1000, 10_000);
        let mut device = self.site.device(Family::Mac, 900_000);
        enrolled(&mut device, &self.site.enroll_url()).await;
        let channel = device.channel_id(DEVICE).unwrap().to_owned();
        let mut enqueues = self.queue_many(&channel, commands).await;
        let mut expected: Vec<String> =
            self.site.admin.rows().await.into_iter().filter(|row| row.channel == channel).map(|row| row.uuid).collect();
        expected.reverse(); // the list has the newest first
        self.proof.demand(expected.len() == commands, format!("{} of {commands} are there", expected.len()));
        self.site.server.kill();
        self.site.server.start().await;
        let mut nexts = self.take_all(&mut device, &expected).await;
        self.proof.figure("commands for one host", commands);
        self.proof.figure("enqueue", percentiles(&mut enqueues));
        self.proof.figure("report and next command", percentiles(&mut nexts));
    }

    /// Queues commands for one channel as fast as a few clients can; returns how long each took.
    async fn queue_many(&self, channel: &str, commands: usize) -> Vec<Duration> {
        let plist = openssl::base64::decode_block(&unnamed("ProfileList")).unwrap();
        let clients = (0..CLIENTS).map(async |_| {
            let mut took = Vec::new();
            for _ in 0..commands / CLIENTS {
                let began = Instant::now();
                self.site.admin.ask(Method::PUT, &format!("/v1/enqueue/{channel}"), plist.clone(), None).await.unwrap();
                took.push(began.elapsed());
            }
            took
        });
        join_all(clients).await.into_iter().flatten().collect()
    }

    /// The device takes and acknowledges everything; returns how long each report took.
    async fn take_all(&mut self, device: &mut Device, expected: &[String]) -> Vec<Duration> {
        let (mut took, mut out_of_order) = (Vec::new(), 0);
        let mut next = device.poll(DEVICE).await.unwrap();
        let mut expected = expected.iter();
        while let Some(command) = next {
            out_of_order += usize::from(expected.next().map(String::as_str) != Some(command.uuid().as_str()));
            let began = Instant::now();
            next = device.report(DEVICE, command.uuid(), &Answer::acknowledged()).await.unwrap();
            took.push(began.elapsed());
        }
        self.proof.demand(out_of_order == 0, format!("{out_of_order} commands came out of their order"));
        self.proof.demand(expected.next().is_none(), "the device did not get all of them");
        took
    }

    async fn close(self, asked: &Asked) {
        let Self { proof, site, fleet, .. } = self;
        proof.judge(reckon(std::slice::from_ref(asked), &site.admin.rows().await, &fleet.stop()));
        site.close(proof).await;
    }
}

fn percentiles(took: &mut [Duration]) -> String {
    took.sort_unstable();
    let at = |share: usize| took.get(took.len() * share / 100).copied().unwrap_or_default().as_secs_f64() * 1000.0;
    format!("{:.1} ms (p50) {:.1} ms (p99)", at(50), at(99))
}
