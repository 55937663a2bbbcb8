//! What happens in a history: what an admin does, what devices do, and what happens to both.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::Method;
use rookery::sim::random::Chance;
use rookery::sim::wire::Manner;
use serde_json::{Value, json};

use super::ideal::{Body, Ideal, Mode, PLACES, PREDICATES, Profile, Rule};
use super::{History, LABELS};
use crate::declarations::declaration;
use crate::world::DEVICE;

/// The names of configurations that activations may name; `either` sometimes is an asset.
const CONFIGURATIONS: [&str; 5] = ["one", "two", "three", "mail", "either"];
const ASSETS: [&str; 2] = ["who", "else"];
/// All names.
const NAMES: [&str; 10] = ["one", "two", "three", "mail", "either", "who", "else", "acts", "when", "org"];
/// What is put into a declaration for the serial number of its host.
const SERIAL: &str = "$FLEET_VAR_HOST_HARDWARE_SERIAL";

impl History<'_> {
    /// One step.
    pub(super) async fn step(&mut self) {
        match self.chance.below(20) {
            0..6 => self.replace_set().await,
            6 => self.apply_files().await,
            7 | 8 => self.upload_or_delete().await,
            9 | 10 => self.label_a_host().await,
            11 | 12 => self.make_or_delete_label().await,
            13 | 14 => self.move_hosts().await,
            15 => self.restart().await,
            what => self.work(what).await,
        }
    }

    /// All profiles of a place are replaced.
    async fn replace_set(&mut self) {
        let place = self.place();
        self.edit(place);
        let path = format!("/mdm/profiles/batch?team_id={}", self.teams[place]);
        let profiles = self.entries(place);
        self.admin(Method::POST, &path, json!({ "profiles": profiles })).await;
        self.followed().await;
    }

    /// The profiles of two places are replaced in one go.
    async fn apply_files(&mut self) {
        let places = BTreeSet::from([self.place(), self.place()]);
        let mut teams = Vec::new();
        for place in places {
            self.edit(place);
            let name = (place > 0).then(|| format!("Team {place}"));
            teams.push(json!({ "name": name, "profiles": self.entries(place) }));
        }
        self.admin(Method::POST, "/spec/gitops", json!({ "teams": teams })).await;
        self.followed().await;
    }

    /// One profile more, or one less; the others are not named.
    async fn upload_or_delete(&mut self) {
        let (place, name) = (self.place(), *self.chance.pick(&NAMES));
        if self.ideal.profiles[place].remove(name).is_some() {
            let uuid = self.uuids(place).await[name].clone();
            self.said(&format!("deletes {name} of {place}"));
            self.admin(Method::DELETE, &format!("/configuration_profiles/{uuid}"), Value::Null).await;
        } else {
            let (body, rules) = (body(&mut self.chance, name), rules(&mut self.chance, &self.ideal));
            self.said(&format!("uploads {name} of {place}: {body:?} {rules:?}"));
            self.ideal.put(place, name, body, rules);
            self.upload(place, name).await;
        }
        self.followed().await;
    }

    /// A host gets a label, or loses it.
    async fn label_a_host(&mut self) {
        let (host, label) = (self.host(), *self.chance.pick(&LABELS));
        if !self.ideal.labels.contains(label) {
            return;
        }
        let labels = &mut self.ideal.hosts[host].labels;
        let given = labels.insert(label);
        if !given {
            labels.remove(label);
        }
        self.said(&format!("host {host} {} {label}", if given { "gets" } else { "loses" }));
        let method = if given { Method::POST } else { Method::DELETE };
        let path = format!("/hosts/{}/labels", self.ids[host]);
        self.admin(method, &path, json!({ "labels": [label] })).await;
        self.followed().await;
    }

    /// A label that is not there is made, one that is there is deleted.
    async fn make_or_delete_label(&mut self) {
        let label = *self.chance.pick(&LABELS);
        if !self.ideal.labels.contains(label) {
            self.said(&format!("makes {label}"));
            self.ideal.labels.insert(label);
            return self.make_label(label).await;
        }
        // What has the label's profiles keeps them: so it has to be certain who does.
        self.assigned().await;
        self.said(&format!("deletes {label}"));
        self.ideal.delete_label(label);
        if self.chance.below(3) == 0 {
            let others: Vec<Value> = self.ideal.labels.iter().map(|name| json!({ "name": name })).collect();
            self.admin(Method::POST, "/spec/gitops", json!({ "labels": others })).await;
        } else {
            let id = self.label_id(label).await;
            self.admin(Method::DELETE, &format!("/labels/id/{id}"), Value::Null).await;
        }
        self.followed().await;
    }

    /// One or two hosts go to another place.
    async fn move_hosts(&mut self) {
        let (movers, place) = (BTreeSet::from([self.host(), self.host()]), self.chance.below(PLACES as u64) as usize);
        self.said(&format!("moves {movers:?} to {place}"));
        movers.iter().for_each(|host| self.ideal.hosts[*host].place = place);
        let hosts: Vec<i64> = movers.iter().map(|host| self.ids[*host]).collect();
        let team = Some(self.teams[place]).filter(|id| *id > 0);
        self.admin(Method::POST, "/hosts/transfer", json!({ "team_id": team, "hosts": hosts })).await;
        self.followed().await;
    }

    async fn restart(&mut self) {
        self.said("restarts");
        self.nothing_is_lost();
        self.world.app.restart();
        self.devices.iter_mut().for_each(|device| device.wire_mut().disconnect());
        if self.chance.below(2) == 0 {
            self.world.ready().await;
        }
    }

    /// A device works; or it loses a reply in the middle of it, and the rest of its session with it.
    async fn work(&mut self, what: u64) {
        let host = self.host();
        let (after, manner) =
            (self.chance.below(6) as u32, *self.chance.pick(&[Manner::DropBeforeReading, Manner::DropAfterSending]));
        let device = &mut self.devices[host];
        let worked = match what {
            16 => device.poll(DEVICE).await.map(|_| 0), // it is gone with its command
            17 => device.send_status(DEVICE, true).await.map(|()| 0),
            18 => device.work(DEVICE).await,
            _ => {
                device.once_after(after, manner);
                device.work(DEVICE).await
            }
        };
        println!("    device {host}: {what} {after} {manner:?}: {worked:?}");
    }

    /// Changes one or two profiles of a place, and names the others again as they are.
    fn edit(&mut self, place: usize) {
        self.ideal.restate(place);
        for _ in 0..=self.chance.below(3) {
            let name = *self.chance.pick(&NAMES);
            if self.chance.below(4) == 0 {
                self.ideal.profiles[place].remove(name);
                self.said(&format!("{place} has no {name}"));
                continue;
            }
            let mut rules = rules(&mut self.chance, &self.ideal);
            // Most edits change the text alone.
            if let Some(known) = self.ideal.profiles[place].get(name).filter(|_| self.chance.below(3) > 0) {
                rules = known.rules.clone();
            }
            let body = body(&mut self.chance, name);
            self.said(&format!("{place} has {name}: {body:?} {rules:?}"));
            self.ideal.put(place, name, body, rules);
        }
    }

    fn entries(&self, place: usize) -> Vec<Value> {
        let entry = |(name, profile): (&&'static str, &Profile)| {
            let mut entry = declaration(profile.body.kind(), name, profile.body.payload(SERIAL));
            for rule in &profile.rules {
                entry[rule.mode.key()] = json!(rule.labels);
            }
            entry
        };
        self.ideal.profiles[place].iter().map(entry).collect()
    }

    async fn upload(&self, place: usize, name: &'static str) {
        let profile = &self.ideal.profiles[place][name];
        let (team, payload) = (self.teams[place].to_string(), profile.body.payload(SERIAL));
        let file = json!({
            "Type": format!("com.apple.{}", profile.body.kind()), "Identifier": name, "Payload": payload,
        });
        let labels = profile.rules.iter().flat_map(|rule| rule.labels.iter().map(|label| (rule.mode.key(), *label)));
        let fields: Vec<(&str, &str)> = labels.chain([("team_id", team.as_str())]).collect();
        self.send_file(&fields, (&format!("{name}.json"), &file.to_string())).await;
    }

    /// Where something is to happen: most often where a host is.
    fn place(&mut self) -> usize {
        let host = self.host();
        match self.chance.below(4) {
            0 => self.chance.below(PLACES as u64) as usize,
            _ => self.ideal.hosts[host].place,
        }
    }

    fn host(&mut self) -> usize {
        self.chance.below(self.devices.len() as u64) as usize
    }
}

/// Something that a declaration with this name may say.
fn body(chance: &mut Chance, name: &str) -> Body {
    match name {
        "mail" => Body::Mail(ASSETS[chance.below(2) as usize]),
        "either" if chance.below(2) == 0 => Body::Asset(0),
        "who" | "else" => Body::Asset(chance.below(3) as i64),
        "org" => Body::Organisation(chance.below(3) as i64),
        "acts" | "when" => {
            let names = (0..=chance.below(3)).map(|_| *chance.pick(&CONFIGURATIONS)).collect();
            let predicate = (chance.below(3) > 0).then(|| *chance.pick(&PREDICATES));
            Body::Activation(names, predicate)
        }
        _ => Body::Passcode(*chance.pick(&[4, 5, 6, 7, 99])),
    }
}

/// Whom a profile is for: all, or some by the labels that there are.
fn rules(chance: &mut Chance, ideal: &Ideal) -> Vec<Rule> {
    let labels: Vec<&'static str> = ideal.labels.iter().copied().collect();
    let mut rules = BTreeMap::new();
    for _ in 0..chance.below(3) {
        let mode = *chance.pick(&[Mode::IncludeAny, Mode::IncludeAll, Mode::ExcludeAny]);
        let include = mode != Mode::ExcludeAny;
        // A label stands in one rule alone.
        let free: Vec<_> =
            labels.iter().filter(|label| !rules.values().any(|rule: &Rule| rule.labels.contains(*label))).collect();
        if !free.is_empty() {
            let labels = (0..=chance.below(2)).map(|_| **chance.pick(&free)).collect();
            rules.entry(include).or_insert(Rule { mode, labels, is_broken: false });
        }
    }
    rules.into_values().collect()
}
