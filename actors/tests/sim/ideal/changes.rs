//! What admins do, at random: to the server and to the model alike.

use std::collections::BTreeSet;

use entities::label::change::{Changed, Save, label_host};
use entities::movers::Movers;
use entities::profile::change::{By, Draft, Saved};
use entities::profile::set;
use entities::profile_label::{EXCLUDE_ANY, INCLUDE_ALL, INCLUDE_ANY, Named};
use entities::team::Naming;
use entities::{label, profile, team};
use protocol::time::Timestamp;

use super::World;
use super::model::Profile;

/// The admin.
pub(super) fn by(now: Timestamp) -> By {
    By { name: "admin".into(), at: now.millis() }
}

impl World {
    pub(super) async fn change(&mut self) {
        self.now = self.now.plus(std::time::Duration::from_secs(1));
        match self.random.within(0..100) {
            0..25 => self.upload().await,
            25..35 => self.delete_profile().await,
            35..45 => self.edit().await,
            45..60 => self.transfer().await,
            60..80 => self.label().await,
            80..88 => self.new_label().await,
            88..93 => self.delete_label().await,
            93..97 => self.new_team().await,
            _ => self.delete_team().await,
        }
    }

    fn name(&mut self) -> String {
        self.named += 1;
        format!("thing {}", self.named)
    }

    fn any_team(&mut self) -> i64 {
        let teams: Vec<i64> = [0].into_iter().chain(self.model.teams.iter().copied()).collect();
        *self.random.one_of(&teams)
    }

    fn any_host(&mut self) -> i64 {
        1 + self.random.within(0..self.devices.len() as u64) as i64
    }

    fn any_profile(&mut self) -> Option<String> {
        let all: Vec<String> = self.model.profiles.keys().cloned().collect();
        (!all.is_empty()).then(|| self.random.one_of(&all).clone())
    }

    fn any_label(&mut self) -> Option<i64> {
        let all: Vec<i64> = self.model.labels.keys().copied().collect();
        (!all.is_empty()).then(|| *self.random.one_of(&all))
    }

    fn some_labels(&mut self) -> BTreeSet<i64> {
        let number = self.random.within(0..3);
        (0..number).filter_map(|_| self.any_label()).collect()
    }

    async fn upload(&mut self) {
        if self.model.profiles.len() >= 14 {
            return self.delete_profile().await;
        }
        let (team, name) = (self.any_team(), self.name());
        let kind = i16::try_from(self.random.within(0..3)).unwrap();
        let uuid = format!("{}{name}", ['a', 'd', 'w'][kind as usize]);
        let identifier = if kind == 2 { String::new() } else { format!("id{}", self.random.within(0..4)) };
        let body = format!("{kind}|{identifier}|{uuid}|{}", self.random.within(0..3));
        // The same text under another profile is the same thing to a device that goes by identifiers.
        let body = if kind == 2 { body } else { format!("{kind}|{identifier}||{}", self.random.within(0..3)) };
        let mode = self.random.within(0..5);
        let labels = if mode < 3 { self.some_labels() } else { BTreeSet::new() };
        let of = |wanted: u64| labels.iter().filter(|_| mode == wanted).map(|id| Some(*id)).collect::<Vec<_>>();
        let made = Profile {
            team,
            kind,
            identifier: identifier.clone(),
            body: body.clone(),
            all: of(0),
            any: of(1),
            none: of(2),
        };
        let draft = Draft { labels: self.named(&made), ..draft(&uuid, &name, &made) };
        match profile::change::create(&self.writer, draft, by(self.now)).await.unwrap() {
            Saved::Done(_) => {
                self.log.push(format!("upload {uuid}: {made:?}"));
                self.model.profiles.insert(uuid, made);
            }
            Saved::IdentifierTaken => {
                let same = |other: &Profile| other.team == team && other.kind == kind && other.identifier == identifier;
                assert!(self.model.profiles.values().any(same), "{identifier} is free");
            }
            refused => panic!("{refused:?}"),
        }
    }

    fn named(&self, profile: &Profile) -> Vec<Named> {
        let name = |id: &Option<i64>| id.map(|id| self.model.labels[&id].0.clone());
        let of = |labels: &[Option<i64>], mode| -> Vec<Named> {
            labels.iter().filter_map(name).map(|name| Named { name, mode }).collect()
        };
        [of(&profile.all, INCLUDE_ALL), of(&profile.any, INCLUDE_ANY), of(&profile.none, EXCLUDE_ANY)].concat()
    }

    async fn delete_profile(&mut self) {
        let Some(uuid) = self.any_profile() else { return };
        self.log.push(format!("delete {uuid}"));
        assert!(profile::change::delete(&self.writer, uuid.clone(), by(self.now)).await.unwrap().is_some());
        self.model.forget(&uuid);
    }

    /// Another text for one profile of a team, by replacing the whole set of the team; those with broken labels go.
    async fn edit(&mut self) {
        let Some(uuid) = self.any_profile() else { return };
        let team = self.model.profiles[&uuid].team;
        let next = self.random.within(0..3);
        let mut drafts = Vec::new();
        for (other, profile) in self.model.profiles.clone() {
            let is_broken = profile.all.iter().chain(&profile.any).chain(&profile.none).any(Option::is_none);
            if profile.team != team {
                continue;
            }
            if is_broken {
                self.model.forget(&other);
                continue;
            }
            let mut profile = profile;
            if other == uuid {
                let end = profile.body.rfind('|').unwrap();
                profile.body = format!("{}|{next}", &profile.body[..end]);
            }
            let labels = self.named(&profile);
            drafts.push(Draft { labels, ..draft(&other, &other[1..], &profile) });
            self.model.profiles.insert(other, profile);
        }
        self.log.push(format!("replace the set of team {team}: {uuid} gets text {next}"));
        let plan = set::replace(&self.writer, team, drafts.clone(), true, by(self.now)).await.unwrap().unwrap();
        let done = set::replace(&self.writer, team, drafts, false, by(self.now)).await.unwrap().unwrap();
        assert_eq!(plan, done, "the plan is what is done");
    }

    async fn transfer(&mut self) {
        let (team, host) = (self.any_team(), self.any_host());
        self.log.push(format!("host {host} to team {team}"));
        let team_id = (team != 0).then_some(team);
        let transfer =
            team::Transfer { team_id, movers: Movers::Hosts(vec![host]), by: "admin".into(), at: self.now.millis() };
        team::transfer_some(&self.writer, transfer, 0).await.unwrap().unwrap();
        self.model.hosts.get_mut(&host).unwrap().team = team;
    }

    async fn label(&mut self) {
        let (Some(id), host, give) = (self.any_label(), self.any_host(), self.random.permille(500)) else { return };
        let name = self.model.labels[&id].0.clone();
        self.log.push(format!("host {host}, label {id}: {give}"));
        let unknown =
            label_host(&self.writer, host, vec![name], give, "admin".into(), self.now.millis()).await.unwrap();
        assert!(unknown.is_empty());
        let hosts = &mut self.model.labels.get_mut(&id).unwrap().1;
        if give {
            hosts.insert(host)
        } else {
            hosts.remove(&host)
        };
    }

    async fn new_label(&mut self) {
        if self.model.labels.len() >= 5 {
            return;
        }
        let (name, host) = (self.name(), self.any_host());
        let save =
            Save { id: None, name: name.clone(), description: String::new(), rule: None, hosts: Some(vec![host]) };
        let made = label::change::save(&self.writer, save, "admin".into(), self.now.millis()).await.unwrap();
        let Changed::Done(label) = made else { panic!("{made:?}") };
        self.log.push(format!("label {} of host {host}", label.id));
        self.model.labels.insert(label.id, (name, [host].into()));
    }

    async fn delete_label(&mut self) {
        let Some(id) = self.any_label() else { return };
        self.log.push(format!("delete label {id}"));
        label::change::delete(&self.writer, id, "admin".into(), self.now.millis()).await.unwrap();
        self.model.labels.remove(&id);
        for profile in self.model.profiles.values_mut() {
            for labels in [&mut profile.all, &mut profile.any, &mut profile.none] {
                labels.iter_mut().filter(|label| **label == Some(id)).for_each(|label| *label = None);
            }
        }
    }

    async fn new_team(&mut self) {
        if self.model.teams.len() < 3 {
            let naming = Naming { name: self.name(), description: String::new() };
            let team = team::create(&self.writer, naming, "admin".into(), self.now.millis()).await.unwrap();
            self.log.push(format!("team {}", team.id));
            self.model.teams.insert(team.id);
        }
    }

    async fn delete_team(&mut self) {
        let team = self.any_team();
        if team == 0 {
            return;
        }
        self.log.push(format!("delete team {team}"));
        team::delete(&self.writer, team, "admin".into(), self.now.millis()).await.unwrap().unwrap();
        self.model.teams.remove(&team);
        self.model.profiles.retain(|_, profile| profile.team != team);
        self.model.hosts.values_mut().filter(|host| host.team == team).for_each(|host| host.team = 0);
    }
}

fn draft(uuid: &str, name: &str, profile: &Profile) -> Draft {
    Draft {
        uuid: uuid.to_owned(),
        team_id: profile.team,
        kind: profile.kind,
        name: name.to_owned(),
        identifier: profile.identifier.clone(),
        scope: profile::SYSTEM,
        part: profile::CONFIGURATION,
        body: profile.body.clone().into_bytes(),
        variables: Vec::new(),
        labels: Vec::new(),
        managed: false,
        rollout_percent: 100,
        rollout_max_failures: None,
    }
}
