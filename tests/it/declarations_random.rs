//! Histories by chance: profiles of four teams come, change and go by every route, hosts move and get labels, labels are
//! deleted, the server restarts, replies are lost. In the end each device holds exactly what a model of its own (`ideal`)
//! says, in the version that the server has, and its host's page says how it stands.
//!
//! `ROOKERY_SEED=<seed>` plays one history, `ROOKERY_SEEDS=<n>` so many, from that one on.

mod ideal;
mod steps;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use reqwest::{Method, StatusCode};
use rookery::sim::apple::device::{Device, DeviceError};
use rookery::sim::apple::model::Family;
use rookery::sim::random::Chance;
use serde_json::{Value, json};

use self::ideal::{Body, Host, Ideal, PLACES};
use crate::app::{Answer, PATIENCE, eventually_within};
use crate::declarations::rows;
use crate::people::{ask, team};
use crate::profiles_api::try_upload;
use crate::world::{DEVICE, World, assert_sound, on_each_store_with};

/// Steps of a history.
const STEPS: usize = 30;
/// Histories that are played when nobody says how many.
const SEEDS: u64 = 3;
const LABELS: [&str; 3] = ["red", "green", "blue"];
const HOSTS: [Family; 4] = [Family::Mac, Family::IPhone, Family::Mac, Family::Mac];
/// Rounds of devices' work after which it is not a matter of a moment: a minute later the server asks those that do not tell.
const ROUNDS: u32 = 100;

/// What a host's page shows: status and detail by name.
type Standing = BTreeMap<String, (String, String)>;

/// One history.
struct History<'a> {
    world: &'a mut World,
    seed: u64,
    chance: Chance,
    ideal: Ideal,
    devices: Vec<Device>,
    /// The numbers of the hosts.
    ids: Vec<i64>,
    /// The numbers of the teams, by place.
    teams: [i64; PLACES],
}

#[actix::test]
async fn after_any_history_each_device_has_the_ideal_set() {
    let number = |name: &str| std::env::var(name).ok().and_then(|number| number.parse::<u64>().ok());
    let (first, count) = (number("ROOKERY_SEED"), number("ROOKERY_SEEDS"));
    let count = count.unwrap_or(if first.is_some() { 1 } else { SEEDS });
    for seed in (first.unwrap_or(1)..).take(count as usize) {
        on_each_store_with(|_| {}, async |world: &mut World| History::begin(world, seed).await.play().await).await;
    }
}

impl<'a> History<'a> {
    async fn begin(world: &'a mut World, seed: u64) -> Self {
        println!("seed {seed} on {}", world.store());
        let (mut devices, mut ids, mut ideal, mut teams) = (Vec::new(), Vec::new(), Ideal::default(), [0; PLACES]);
        for (number, family) in (1..).zip(HOSTS) {
            let device = world.enrolled(family, number).await;
            ids.push(world.host(&device).await["id"].as_i64().unwrap());
            ideal.hosts.push(Host::new(family == Family::Mac, &device.model.serial_number));
            devices.push(device);
        }
        for (place, id) in teams.iter_mut().enumerate().skip(1) {
            *id = team(world, &format!("Team {place}")).await;
        }
        let chance = Chance::new(seed, 0);
        let mut history = Self { world, seed, chance, ideal, devices, ids, teams };
        for label in &LABELS[..2] {
            history.ideal.labels.insert(label);
            history.make_label(label).await;
        }
        history
    }

    async fn play(mut self) {
        for _ in 0..STEPS {
            self.step().await;
        }
        self.said("ends");
        self.settle().await;
        self.nothing_is_lost();
        for host in 0..self.devices.len() {
            self.check_texts(host).await;
            assert_sound(&self.devices[host]);
        }
    }

    /// The sweep repairs what waits for a command that had ended, hosts after hosts, slowly: nothing here may need that.
    fn nothing_is_lost(&self) {
        let lost = self.world.app.running().parts.profiled.lost.load(std::sync::atomic::Ordering::Relaxed);
        assert_eq!(lost, 0, "seed {}", self.seed);
    }

    fn said(&self, what: &str) {
        println!("  seed {}: {what}", self.seed);
    }

    /// An admin asks for something, and asks again as long as the server cannot do it now.
    async fn admin(&self, method: Method, path: &str, body: Value) -> Value {
        let what = format!("{method} {path}");
        let key = Some(self.world.app.token.as_str());
        self.persist(&what, async || ask(self.world, key, method.clone(), path, body.clone()).await).await
    }

    async fn send_file(&self, fields: &[(&str, &str)], file: (&str, &str)) {
        self.persist(&format!("upload of {}", file.0), async || try_upload(self.world, fields, file).await).await;
    }

    /// What was refused for now may have been done all the same: then it cannot be done once more.
    async fn persist(&self, what: &str, mut ask: impl AsyncFnMut() -> Answer) -> Value {
        let mut may_be_done = false;
        eventually_within(2 * PATIENCE, what, async || {
            let answer = ask().await;
            let is_done = may_be_done && [StatusCode::CONFLICT, StatusCode::NOT_FOUND].contains(&answer.status);
            if answer.status == StatusCode::SERVICE_UNAVAILABLE {
                may_be_done = true;
                return None;
            }
            let context = format!("seed {}: {what}: {} {}", self.seed, answer.status, answer.json);
            assert!(answer.status.is_success() || is_done, "{context}");
            Some(answer.json)
        })
        .await
    }

    async fn make_label(&self, label: &str) {
        self.admin(Method::POST, "/labels", json!({ "name": label, "hosts": [] })).await;
    }

    async fn label_id(&self, label: &str) -> i64 {
        let listed = self.admin(Method::GET, "/labels", Value::Null).await;
        let found = listed["labels"].as_array().unwrap().iter().find(|one| one["name"] == label).unwrap();
        found["id"].as_i64().unwrap()
    }

    /// The UUIDs of a place's profiles, by name.
    async fn uuids(&self, place: usize) -> BTreeMap<String, String> {
        let path = format!("/configuration_profiles?team_id={}", self.teams[place]);
        let listed = self.admin(Method::GET, &path, Value::Null).await;
        listed["profiles"].as_array().unwrap().iter().map(named).collect()
    }

    async fn shown(&self, host: usize) -> Value {
        self.admin(Method::GET, &format!("/hosts/{}/configuration_profiles", self.ids[host]), Value::Null).await
    }

    /// The admin did something. What a host has of a broken profile depends on what it had before: then the server has to see
    /// each step by itself, as the model does. Otherwise it may see several at once.
    async fn followed(&mut self) {
        let was_broken = self.ideal.is_any_broken();
        self.ideal.follow();
        if was_broken {
            self.assigned().await;
        }
    }

    /// Waits until each host is to have what it shall have.
    async fn assigned(&self) {
        for host in 0..self.devices.len() {
            let uuids = self.uuids(self.ideal.hosts[host].place).await;
            let ideal: BTreeMap<_, _> =
                self.ideal.of(host).keys().map(|name| ((*name).to_owned(), uuids[*name].clone())).collect();
            let mut last = BTreeMap::new();
            let what = format!("seed {}: host {host} is to have {ideal:?}", self.seed);
            eventually_within(2 * PATIENCE, &what, async || {
                let shown = self.shown(host).await;
                let stay =
                    shown["profiles"].as_array().unwrap().iter().filter(|row| row["operation_type"] == "install");
                let now = stay.map(named).collect();
                if last != now {
                    println!("    host {host} is to have {now:?}");
                }
                last = now;
                (last == ideal).then_some(())
            })
            .await;
        }
    }

    /// Lets the devices work until they hold what they shall, and their hosts say so, twice in a row.
    async fn settle(&mut self) {
        let (until, mut settled) = (tokio::time::Instant::now() + 3 * PATIENCE, 0);
        for round in 1.. {
            let mut wrong = None;
            for host in 0..self.devices.len() {
                wrong = self.differs(host).await.or(wrong);
            }
            settled = if wrong.is_none() { settled + 1 } else { 0 };
            if settled == 2 {
                return;
            }
            assert!(tokio::time::Instant::now() < until, "seed {}: {}", self.seed, wrong.unwrap_or_default());
            if round % ROUNDS == 0 {
                println!("    seed {}: a minute later, for {wrong:?}", self.seed);
                self.world.app.running().advance_clock(Duration::from_secs(61));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Lets one device work; how it is not as it shall be.
    async fn differs(&mut self, host: usize) -> Option<String> {
        let device = &mut self.devices[host];
        // Whatever was to be lost and was not.
        device.once(rookery::sim::wire::Manner::Proper);
        passing(device.work(DEVICE).await.map(|_| ()));
        let held = device.declarations(DEVICE).unwrap();
        let held: BTreeSet<_> = held.into_iter().map(|(kind, name, _)| (kind.as_str(), name)).collect();
        let shown: Standing = rows(&self.shown(host).await);
        let stands: BTreeMap<&str, &str> =
            shown.iter().map(|(name, (status, _))| (name.as_str(), status.as_str())).collect();
        let (ideal, standing) = (self.ideal.held(host), self.ideal.standing(host));
        let differs = held != ideal || stands != standing;
        differs.then(|| format!("host {host}: {standing:?} {ideal:?}, and it is {shown:?} {held:?}"))
    }

    /// What the device holds is the version that the server has now, and that is what was uploaded last.
    async fn check_texts(&mut self, host: usize) {
        let serial = &self.ideal.hosts[host].serial;
        let ideal: BTreeMap<&str, Value> =
            self.ideal.of(host).into_iter().map(|(name, body): (_, &Body)| (name, body.payload(serial))).collect();
        let device = &mut self.devices[host];
        for (kind, name, token) in device.declarations(DEVICE).unwrap() {
            let path = format!("declaration/{}/{name}", kind.as_str());
            let reply = device.declarative(DEVICE, &path, None).await.unwrap();
            let document: Value = serde_json::from_slice(&reply.body).unwrap();
            assert_eq!(document["ServerToken"], token, "seed {}: {path}", self.seed);
            if let Some(payload) = ideal.get(name.as_str()) {
                assert_eq!(document["Payload"], *payload, "seed {}: {path}", self.seed);
            }
        }
    }
}

/// The name and the UUID of a profile.
fn named(profile: &Value) -> (String, String) {
    let text = |key: &str| profile[key].as_str().unwrap().to_owned();
    (text("name"), text("profile_uuid"))
}

/// A device may be told to come later, and then does.
fn passing(worked: Result<(), DeviceError>) {
    if let Err(error) = worked {
        assert!(error.is_passing().is_some(), "{error}");
    }
}
