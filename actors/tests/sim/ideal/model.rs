//! What hosts shall have, by plain set algebra over plain maps; nothing here knows how the server does it.

use std::collections::{BTreeMap, BTreeSet};

/// The world as admins mean it.
#[derive(Default)]
pub(super) struct Model {
    pub(super) hosts: BTreeMap<i64, Host>,
    pub(super) teams: BTreeSet<i64>,
    pub(super) labels: BTreeMap<i64, (String, BTreeSet<i64>)>,
    pub(super) profiles: BTreeMap<String, Profile>,
    /// What each host was last found to have to have.
    marked: BTreeMap<i64, BTreeSet<String>>,
}

pub(super) struct Host {
    pub(super) platform: &'static str,
    pub(super) team: i64,
}

#[derive(Clone, Debug)]
pub(super) struct Profile {
    pub(super) team: i64,
    pub(super) kind: i16,
    pub(super) identifier: String,
    pub(super) body: String,
    pub(super) all: Vec<Option<i64>>,
    pub(super) any: Vec<Option<i64>>,
    pub(super) none: Vec<Option<i64>>,
}

impl Host {
    pub(super) fn on(platform: &'static str) -> Self {
        Self { platform, team: 0 }
    }
}

impl Profile {
    fn is_broken(&self) -> bool {
        self.all.iter().chain(&self.any).chain(&self.none).any(Option::is_none)
    }
}

impl Model {
    fn is_ideal(&self, host_id: i64, profile: &Profile) -> bool {
        let host = &self.hosts[&host_id];
        let has = |label: &Option<i64>| label.is_some_and(|label| self.labels[&label].1.contains(&host_id));
        let platform = (host.platform == "windows") == (profile.kind == 2);
        let all = profile.all.iter().all(has);
        let any = profile.any.is_empty() || profile.any.iter().any(has);
        let none = profile.none.iter().all(|label| label.is_some() && !has(label));
        host.team == profile.team && platform && all && any && none
    }

    /// The server looks at what has changed.
    pub(super) fn mark(&mut self) {
        let mut marked = BTreeMap::new();
        for (id, host) in &self.hosts {
            let before = self.marked.get(id).cloned().unwrap_or_default();
            let shall = |(uuid, profile): &(&String, &Profile)| {
                let stays = profile.is_broken() && before.contains(*uuid) && profile.team == host.team;
                self.is_ideal(*id, profile) || stays
            };
            marked.insert(*id, self.profiles.iter().filter(shall).map(|(uuid, _)| uuid.clone()).collect());
        }
        self.marked = marked;
    }

    /// A profile is gone for good; another one with its name is another one.
    pub(super) fn forget(&mut self, uuid: &str) {
        self.profiles.remove(uuid);
    }

    /// What a host shall have: place on the device → text.
    pub(super) fn wanted(&self, host: i64) -> BTreeMap<String, String> {
        let uuids = self.marked.get(&host).into_iter().flatten();
        let profiles = uuids.filter_map(|uuid| Some((uuid, self.profiles.get(uuid)?)));
        profiles.map(|(uuid, profile)| (place(profile.kind, &profile.identifier, uuid), profile.body.clone())).collect()
    }
}

/// Where a device keeps a profile: what has the same place replaces each other.
pub(super) fn place(kind: i16, identifier: &str, uuid: &str) -> String {
    if kind == 2 { format!("2 {uuid}") } else { format!("{kind} {identifier}") }
}
