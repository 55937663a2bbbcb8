//! Histories by chance: declarations come, change and go, hosts get and lose a label, the server restarts, replies are lost.
//! In the end each device holds exactly what a small model of it says, and its host says that it is verified.
//!
//! `ROOKERY_SEED=<seed>` plays one history.

use std::collections::{BTreeMap, BTreeSet};

use protocol::apple::check_in::DeclarationKind;
use reqwest::Method;
use rookery::sim::apple::device::Device;
use rookery::sim::apple::model::Family;
use rookery::sim::random::Chance;
use rookery::sim::wire::Manner;
use serde_json::{Value, json};

use crate::declarations::{assign, passcode, standing};
use crate::people::{ask, done};
use crate::world::{DEVICE, World, assert_sound, on_each_store_with};

/// Steps of a history.
const STEPS: usize = 24;
const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// What hosts shall have, and who has the label.
#[derive(Debug, Default)]
struct Model {
    /// Length of the passcode, and whether only labelled hosts have it, by name.
    assigned: BTreeMap<&'static str, (i64, bool)>,
    labelled: BTreeSet<usize>,
}

impl Model {
    fn profiles(&self) -> Vec<Value> {
        let profile = |(name, (length, labelled)): (&&str, &(i64, bool))| {
            let mut profile = passcode(name, *length);
            if *labelled {
                profile["labels_include_any"] = json!(["chosen"]);
            }
            profile
        };
        self.assigned.iter().map(profile).collect()
    }

    /// The lengths that a host has, by name.
    fn of(&self, host: usize) -> BTreeMap<&'static str, i64> {
        let wanted = self.assigned.iter().filter(|(_, (_, labelled))| !labelled || self.labelled.contains(&host));
        wanted.map(|(name, (length, _))| (*name, *length)).collect()
    }
}

#[actix::test]
async fn after_any_history_each_device_has_the_ideal_set() {
    let one = std::env::var("ROOKERY_SEED").ok().and_then(|seed| seed.parse::<u64>().ok());
    for seed in one.map_or(1..4, |seed| seed..seed + 1) {
        on_each_store_with(|_| {}, async |world: &mut World| play(world, seed).await).await;
    }
}

async fn play(world: &mut World, seed: u64) {
    println!("seed {seed} on {}", world.store());
    let mut chance = Chance::new(seed, 0);
    let (mut model, mut devices) = (Model::default(), Vec::new());
    for (number, family) in [(1, Family::Mac), (2, Family::IPhone)] {
        devices.push(world.enrolled(family, number).await);
    }
    done(world, &world.app.token, Method::POST, "/labels", json!({ "name": "chosen", "hosts": [] })).await;
    for _ in 0..STEPS {
        step(world, &mut chance, &mut model, &mut devices).await;
    }
    for (host, device) in devices.iter_mut().enumerate() {
        settle(world, device, &model.of(host), seed).await;
        assert_sound(device);
    }
}

async fn step(world: &mut World, chance: &mut Chance, model: &mut Model, devices: &mut [Device]) {
    let host = chance.below(2) as usize;
    match chance.below(10) {
        0..4 => {
            let name = NAMES[chance.below(4) as usize];
            let (length, labelled) = (4 + chance.below(3) as i64, chance.below(2) == 0);
            model.assigned.insert(name, (length, labelled));
            assign(world, &model.profiles()).await;
        }
        4 => {
            model.assigned.remove(NAMES[chance.below(4) as usize]);
            assign(world, &model.profiles()).await;
        }
        5 => {
            let given = model.labelled.insert(host);
            if !given {
                model.labelled.remove(&host);
            }
            let id = world.host(&devices[host]).await["id"].as_i64().unwrap();
            let method = if given { Method::POST } else { Method::DELETE };
            let body = json!({ "labels": ["chosen"] });
            let answer = ask(world, Some(&world.app.token), method, &format!("/hosts/{id}/labels"), body).await;
            assert!(answer.status.is_success(), "{}", answer.json);
        }
        6 => {
            world.app.restart();
            devices.iter_mut().for_each(|device| device.wire_mut().disconnect());
        }
        lost => {
            let device = &mut devices[host];
            if lost == 9 {
                device.once([Manner::DropBeforeReading, Manner::DropAfterSending][chance.below(2) as usize]);
            }
            // Where a reply was lost the rest of the session is, too.
            let _ = device.work(DEVICE).await;
        }
    }
}

/// Lets the device work until it holds these, and its host says so.
async fn settle(world: &World, device: &mut Device, ideal: &BTreeMap<&str, i64>, seed: u64) {
    let (mut seen, mut settled) = (None, false);
    for _ in 0..600 {
        device.work(DEVICE).await.unwrap();
        let standing = standing(world, device).await;
        let held: BTreeSet<String> = configurations(device);
        let shown: BTreeMap<&str, &str> =
            standing.iter().map(|(name, (status, _))| (name.as_str(), status.as_str())).collect();
        let expected: BTreeMap<&str, &str> = ideal.keys().map(|name| (*name, "verified")).collect();
        let names: BTreeSet<String> = ideal.keys().map(|name| (*name).to_owned()).collect();
        settled = shown == expected && held == names;
        if settled {
            break;
        }
        seen = Some((standing.clone(), held));
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert!(settled, "seed {seed}: expected {ideal:?}, and it is {seen:?}");
    check_texts(device, ideal, seed).await;
}

/// The admin's configurations that the device holds.
fn configurations(device: &Device) -> BTreeSet<String> {
    let held = device.declarations(DEVICE).unwrap().into_iter();
    let of_admin = held.filter(|(kind, name, _)| *kind == DeclarationKind::Configuration && name.len() == 1);
    of_admin.map(|(_, name, _)| name).collect()
}

/// What the device holds is the version that the server has now.
async fn check_texts(device: &mut Device, ideal: &BTreeMap<&str, i64>, seed: u64) {
    for (kind, name, token) in device.declarations(DEVICE).unwrap() {
        let path = format!("declaration/{}/{name}", kind.as_str());
        let reply = device.declarative(DEVICE, &path, None).await.unwrap();
        let document: Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(document["ServerToken"], token, "seed {seed}: {path}");
        if let Some(length) = ideal.get(name.as_str()) {
            assert_eq!(document["Payload"]["MinimumLength"], *length, "seed {seed}: {path}");
        }
    }
}
