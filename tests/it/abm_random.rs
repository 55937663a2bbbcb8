//! Histories by chance against the simulated device assignment service: devices come, go and move between organizations, hosts
//! between teams, Setup Assistant profiles change, every call fails in every way, the server restarts. In the end every device is
//! an expected host and is assigned the profile of its host's team, and nothing is asked but what is new.
//!
//! `ROOKERY_SEED=<seed>` plays one history, `ROOKERY_SEEDS=<count>` so many.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use reqwest::{Method, StatusCode};
use rookery::sim::abm::{Fault, Mischief, OrganizationId, Refused, Target, When, facts};
use rookery::sim::random::Chance;
use serde_json::{Value, json};

use crate::abm::{Apple, RESTS_END, with_apple};
use crate::app::{eventually, eventually_within};
use crate::people::ask;
use crate::world::World;

/// Steps of a history.
const STEPS: usize = 40;
/// Devices that there are in all.
const DEVICES: u32 = 60;
const PATHS: [&str; 6] = ["/session", "/account", "/server/devices", "/devices/sync", "/profile", "/profile/devices"];

/// What shall be.
struct Model {
    /// Whose a device is; nobody's where it is absent.
    owners: BTreeMap<u32, usize>,
    organizations: Vec<(OrganizationId, i64)>,
    /// The teams, 0 among them, and what their profile is called.
    teams: BTreeMap<i64, String>,
    serials: Vec<String>,
}

#[actix::test]
async fn after_any_history_every_device_is_assigned() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = number("ROOKERY_SEED").map_or(1..1 + number("ROOKERY_SEEDS").unwrap_or(2), |seed| seed..seed + 1);
    for seed in seeds {
        with_apple(seed, async |world, apple| play(world, apple, seed).await).await;
    }
}

async fn play(world: &mut World, apple: &Apple, seed: u64) {
    println!("seed {seed} on {}", world.store());
    let mut chance = Chance::new(seed, 0xDE9);
    let mut model = begin(world, apple).await;
    for _ in 0..STEPS {
        step(world, apple, &mut model, &mut chance).await;
    }
    apple.service.heal();
    pass(world, RESTS_END);
    settle(world, apple, &model, seed).await;
    rests(world, apple).await;
}

async fn begin(world: &World, apple: &Apple) -> Model {
    let mut organizations = Vec::new();
    for name in ["One", "Two"] {
        organizations.push(apple.organization(world, name).await);
    }
    let mut teams = BTreeMap::from([(0, "Default enrollment profile".to_owned())]);
    for name in ["a", "b"] {
        teams.insert(crate::people::team(world, name).await, "Default enrollment profile".to_owned());
    }
    let serials = facts(7, 0..DEVICES).map(|facts| facts.serial_number).collect();
    Model { owners: BTreeMap::new(), organizations, teams, serials }
}

/// Time goes on for both sides. Apple tells when something happened in whole seconds.
fn pass(world: &World, time: Duration) {
    world.app.running().parts.clock.advance(time);
}

async fn step(world: &mut World, apple: &Apple, model: &mut Model, chance: &mut Chance) {
    pass(world, Duration::from_secs(2));
    let number = chance.below(u64::from(DEVICES)) as u32;
    let from = model.owners.get(&number).copied();
    let to = chance.below(2) as usize;
    match (chance.below(16), from) {
        (0..5, None) => {
            let many = chance.below(12) as u32;
            let new: Vec<u32> =
                (number..DEVICES.min(number + many)).filter(|one| !model.owners.contains_key(one)).collect();
            let bought = new.iter().flat_map(|one| facts(7, *one..one + 1));
            apple.service.add_devices(model.organizations[to].0, bought);
            model.owners.extend(new.into_iter().map(|one| (one, to)));
        }
        (0..2, Some(owner)) => {
            apple.service.remove_devices(model.organizations[owner].0, &[model.serials[number as usize].clone()]);
            model.owners.remove(&number);
        }
        (2..4, Some(owner)) => {
            let (here, there) = (model.organizations[owner].0, model.organizations[1 - owner].0);
            apple.service.move_devices(here, there, &[model.serials[number as usize].clone()]);
            model.owners.insert(number, 1 - owner);
        }
        (4, Some(owner)) => {
            apple.service.tag_device(model.organizations[owner].0, &model.serials[number as usize], "tag")
        }
        (5, _) => {
            let mischief = Mischief { duplicated: 0.3, repeated_late: 0.3, shuffled: true };
            apple.service.set_mischief(model.organizations[to].0, mischief);
        }
        (6, _) => sign(apple, model, to, chance),
        (7, _) => apple.service.heal(),
        (8, _) => restart(world, apple),
        (9, _) => change_profile(world, model, chance).await,
        (10, _) => transfer(world, model, number, chance).await,
        (11, _) => delete_host(world, &model.serials[number as usize]).await,
        (12, _) => {
            let refused = [Refused::NotAccessible, Refused::Failed, Refused::Throttled(Duration::from_secs(60))];
            apple.service.refuse_device(&model.serials[number as usize], *chance.pick(&refused));
        }
        (13, _) => tokio::time::sleep(Duration::from_millis(chance.below(300))).await,
        _ => fail(apple, chance),
    }
}

/// Terms are not signed for a while.
fn sign(apple: &Apple, model: &Model, of: usize, chance: &mut Chance) {
    let all = model.organizations.iter();
    all.for_each(|(organization, _)| apple.service.sign_terms(*organization, true));
    if chance.below(2) == 0 {
        apple.service.sign_terms(model.organizations[of].0, false);
    }
}

fn restart(world: &mut World, apple: &Apple) {
    let before = world.now();
    world.app.stop();
    apple.leave();
    world.app.start_again();
    apple.join(world);
    // The new server's clock began at the system's time; the world's goes on, for both sides at once.
    pass(world, before.since(world.now()));
}

fn fail(apple: &Apple, chance: &mut Chance) {
    let after = Some(Duration::from_secs(chance.below(30)));
    let faults = [
        Fault::answer(500, "INTERNAL"),
        Fault::Answer { status: 503, code: "UNAVAILABLE".into(), retry_after: after },
        Fault::Answer { status: 429, code: "THROTTLED".into(), retry_after: after },
        Fault::answer(401, "UNAUTHORIZED"),
        Fault::answer(403, "FORBIDDEN"),
        Fault::answer(400, "EXPIRED_CURSOR"),
        Fault::answer(400, "INVALID_CURSOR"),
        Fault::answer(404, "PROFILE_NOT_FOUND"),
        Fault::Truncated,
        Fault::ClosedBefore,
        Fault::ClosedAfter,
        Fault::Delay(Duration::from_millis(50)),
    ];
    let target = Target::Path((*chance.pick(&PATHS)).to_owned());
    let when = [When::Next(1 + chance.below(3) as u32), When::Chance(0.4)];
    apple.service.script(target, chance.pick(&faults).clone(), *chance.pick(&when));
}

async fn change_profile(world: &World, model: &mut Model, chance: &mut Chance) {
    let teams: Vec<i64> = model.teams.keys().copied().collect();
    let team = *chance.pick(&teams);
    let name = format!("profile {}", chance.below(1000));
    let body = json!({ "team_id": team, "name": "a.json", "enrollment_profile": { "profile_name": name } });
    certainly(world, Method::POST, "/enrollment_profiles/automatic", body).await;
    model.teams.insert(team, name);
}

async fn transfer(world: &World, model: &Model, number: u32, chance: &mut Chance) {
    let teams: Vec<i64> = model.teams.keys().copied().collect();
    let Some(host) = host(world, &model.serials[number as usize]).await else { return };
    let body = json!({ "team_id": chance.pick(&teams), "hosts": [host["id"]] });
    // The host may be gone by now, with its device.
    ask(world, Some(&world.app.token), Method::POST, "/hosts/transfer", body).await;
}

async fn delete_host(world: &World, serial: &str) {
    let Some(host) = host(world, serial).await else { return };
    let path = format!("/hosts/{}", host["id"]);
    ask(world, Some(&world.app.token), Method::DELETE, &path, Value::Null).await;
}

async fn host(world: &World, serial: &str) -> Option<Value> {
    let path = format!("/hosts/identifier/{serial}");
    let answer = ask(world, Some(&world.app.token), Method::GET, &path, Value::Null).await;
    (answer.status == StatusCode::OK).then(|| answer.json["host"].clone())
}

/// Does it, as often as it takes.
async fn certainly(world: &World, method: Method, path: &str, body: Value) {
    eventually(path, async || {
        let answer = ask(world, Some(&world.app.token), method.clone(), path, body.clone()).await;
        answer.status.is_success().then_some(())
    })
    .await;
}

/// Waits until everything is as the model has it.
async fn settle(world: &World, apple: &Apple, model: &Model, seed: u64) {
    for (organization, _) in &model.organizations {
        apple.service.sign_terms(*organization, true);
    }
    let mut differences = Vec::new();
    let settled = eventually_within(Duration::from_secs(60), "everything is as it shall be", async || {
        // Whatever rests now rests no more.
        pass(world, Duration::from_secs(1200));
        tokio::time::sleep(Duration::from_millis(200)).await;
        differences = differs(world, apple, model).await;
        differences.is_empty().then_some(())
    });
    let patience = Duration::from_secs(55);
    let settled = tokio::time::timeout(patience, settled).await.is_ok();
    let mut known = Vec::new();
    if !settled {
        for serial in &model.serials {
            let Some(host) = host(world, serial).await else { continue };
            let path = format!("/hosts/{}/dep_assignment", host["id"]);
            let said = ask(world, Some(&world.app.token), Method::GET, &path, Value::Null).await.json;
            if !said["dep_device"]["deleted_at"].is_null() || said["dep_device"].is_null() {
                known.push(said);
            }
        }
    }
    assert!(settled, "seed {seed}: {differences:?}; {known:?}");
}

/// What is not as it shall be.
async fn differs(world: &World, apple: &Apple, model: &Model) -> Vec<String> {
    let listed = ask(world, Some(&world.app.token), Method::GET, "/hosts?per_page=100", Value::Null).await.json;
    let listed = listed["hosts"].as_array().cloned().unwrap_or_default();
    let hosts: BTreeMap<&str, &Value> =
        listed.iter().map(|host| (host["hardware_serial"].as_str().unwrap(), host)).collect();
    let owned: BTreeSet<&str> = model.owners.keys().map(|number| model.serials[*number as usize].as_str()).collect();
    let there: BTreeSet<&str> = hosts.keys().copied().collect();
    let missing = owned.difference(&there).map(|serial| format!("no host {serial}"));
    let superfluous = there.difference(&owned).map(|serial| format!("host {serial}: {}", hosts[serial]["mdm"]));
    let mut differences: Vec<String> = missing.chain(superfluous).collect();
    for (number, owner) in &model.owners {
        let serial = &model.serials[*number as usize];
        let Some(host) = hosts.get(serial.as_str()) else { continue };
        let wanted = &model.teams[&host["team_id"].as_i64().unwrap_or(0)];
        let known = apple.service.device(serial);
        let organization = model.organizations[*owner].0;
        let profile =
            known.as_ref().and_then(|known| apple.service.profile(organization, known.profile_uuid.as_deref()?));
        if profile.as_ref().is_none_or(|profile| profile["profile_name"] != *wanted) {
            differences.push(format!("{serial} has {profile:?} instead of {wanted}"));
        }
    }
    differences
}

/// Once everything is as it shall be, rounds come to ask what is new, and nothing else.
async fn rests(world: &World, apple: &Apple) {
    eventually("both tokens are well", async || {
        pass(world, Duration::from_secs(1200));
        let tokens = crate::abm::get(world, "/abm_tokens").await;
        let mut tokens = tokens["abm_tokens"].as_array().unwrap().iter();
        tokens.all(|token| token["sync_error"] == "" && token["sync_rests_until"].is_null()).then_some(())
    })
    .await;
    // An assignment whose answer was lost may be made once more; from some round on nothing is.
    eventually("a while in which changes alone are asked for", async || {
        let before = apple.service.calls();
        eventually("some rounds are played", async || {
            let synced = |calls: &BTreeMap<String, u64>| calls["POST /devices/sync"];
            (synced(&apple.service.calls()) >= synced(&before) + 6).then_some(())
        })
        .await;
        let others = |mut calls: BTreeMap<String, u64>| {
            calls.retain(|path, _| !["POST /devices/sync", "GET /session"].contains(&path.as_str()));
            calls
        };
        (others(apple.service.calls()) == others(before)).then_some(())
    })
    .await;
}
