//! What each host shall have in the end, and how it stands there, by rules that are written here once more: from the
//! documentation, and from nothing of the server.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

/// Places of hosts: no team, and three teams.
pub(super) const PLACES: usize = 4;
/// What may stand in a predicate; the last one cannot be read.
pub(super) const PREDICATES: [&str; 4] =
    ["TRUEPREDICATE", "FALSEPREDICATE", "(@status(device.operating-system.family) == 'macOS')", "moon == 'full'"];

/// What a declaration says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// A configuration; devices take lengths up to 16.
    Passcode(i64),
    /// A configuration that needs this asset.
    Mail(&'static str),
    /// An asset, in this version.
    Asset(i64),
    /// An activation of these configurations.
    Activation(BTreeSet<&'static str>, Option<&'static str>),
    /// A management declaration that is another one on each host, in this version.
    Organisation(i64),
}

/// Which hosts a profile is for: those that satisfy all of its rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) mode: Mode,
    pub(super) labels: BTreeSet<&'static str>,
    /// Whether a label that it named was deleted.
    pub(super) is_broken: bool,
}

/// What a rule wants of its labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    IncludeAny,
    IncludeAll,
    ExcludeAny,
}

/// A declaration of a team.
#[derive(Clone, Debug)]
pub(super) struct Profile {
    pub(super) body: Body,
    pub(super) rules: Vec<Rule>,
    /// What it is, however often it is edited: one that is deleted and made again is another one.
    id: u64,
}

/// A host.
#[derive(Clone, Debug)]
pub(super) struct Host {
    pub(super) is_mac: bool,
    pub(super) serial: String,
    pub(super) place: usize,
    pub(super) labels: BTreeSet<&'static str>,
    /// The profiles that it has, or is to get.
    has: BTreeSet<u64>,
}

/// What the admin did, and what follows from it.
#[derive(Debug, Default)]
pub(super) struct Ideal {
    pub(super) profiles: [BTreeMap<&'static str, Profile>; PLACES],
    pub(super) hosts: Vec<Host>,
    pub(super) labels: BTreeSet<&'static str>,
    made: u64,
}

impl Body {
    /// Apple's type, without its first two words.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Passcode(_) => "configuration.passcode.settings",
            Self::Mail(_) => "configuration.account.mail",
            Self::Asset(_) => "asset.useridentity",
            Self::Activation(..) => "activation.simple",
            Self::Organisation(_) => "management.organization-info",
        }
    }

    /// The word for it in a device's questions.
    pub(super) fn part(&self) -> &'static str {
        self.kind().split('.').next().unwrap()
    }

    /// What it says to a host; `serial` is what stands for the host's serial number.
    pub(super) fn payload(&self, serial: &str) -> Value {
        match self {
            Self::Passcode(length) => json!({ "MinimumLength": length }),
            Self::Mail(asset) => {
                json!({ "UserIdentityAssetReference": asset, "IncomingServer": { "HostName": "mail.example.com" } })
            }
            Self::Asset(version) => json!({ "FullName": format!("Ada {version}") }),
            Self::Activation(names, None) => json!({ "StandardConfigurations": names }),
            Self::Activation(names, Some(when)) => json!({ "StandardConfigurations": names, "Predicate": when }),
            Self::Organisation(version) => json!({ "Name": format!("{version} {serial}") }),
        }
    }
}

impl Mode {
    /// What requests call it.
    pub(super) const fn key(self) -> &'static str {
        match self {
            Self::IncludeAny => "labels_include_any",
            Self::IncludeAll => "labels_include_all",
            Self::ExcludeAny => "labels_exclude_any",
        }
    }
}

impl Rule {
    fn fits(&self, host: &Host) -> bool {
        let has_one = self.labels.iter().any(|label| host.labels.contains(label));
        match self.mode {
            Mode::IncludeAny => has_one,
            Mode::IncludeAll => !self.is_broken && self.labels.is_subset(&host.labels),
            Mode::ExcludeAny => !self.is_broken && !has_one,
        }
    }
}

impl Profile {
    fn is_broken(&self) -> bool {
        self.rules.iter().any(|rule| rule.is_broken)
    }

    /// An admin names it again; labels that are gone cannot be named.
    fn restate(&mut self) {
        self.rules.iter_mut().for_each(|rule| rule.is_broken = false);
        self.rules.retain(|rule| !rule.labels.is_empty());
    }
}

impl Host {
    pub(super) fn new(is_mac: bool, serial: &str) -> Self {
        let (labels, has) = (BTreeSet::new(), BTreeSet::new());
        Self { is_mac, serial: serial.to_owned(), place: 0, labels, has }
    }
}

impl Ideal {
    /// A profile is to be there, and to say this.
    pub(super) fn put(&mut self, place: usize, name: &'static str, body: Body, rules: Vec<Rule>) {
        self.made += 1;
        let id = self.profiles[place].get(name).map_or(self.made, |profile| profile.id);
        self.profiles[place].insert(name, Profile { body, rules, id });
    }

    /// An admin names all profiles of a place.
    pub(super) fn restate(&mut self, place: usize) {
        self.profiles[place].values_mut().for_each(Profile::restate);
    }

    /// A label is deleted: what names it stays where it is, and goes to no further host for its sake.
    pub(super) fn delete_label(&mut self, label: &str) {
        self.labels.remove(label);
        self.hosts.iter_mut().for_each(|host| _ = host.labels.remove(label));
        let rules = self.profiles.iter_mut().flat_map(BTreeMap::values_mut).flat_map(|profile| &mut profile.rules);
        for rule in rules {
            rule.is_broken |= rule.labels.remove(label);
        }
    }

    /// Something was done: what the hosts have from now on.
    pub(super) fn follow(&mut self) {
        for host in &mut self.hosts {
            let wanted = |profile: &&Profile| {
                let stays = profile.is_broken() && host.has.contains(&profile.id);
                stays || profile.rules.iter().all(|rule| rule.fits(host))
            };
            host.has = self.profiles[host.place].values().filter(wanted).map(|profile| profile.id).collect();
        }
    }

    /// Whether it matters in which order the server sees what was done.
    pub(super) fn is_any_broken(&self) -> bool {
        self.profiles.iter().flat_map(BTreeMap::values).any(Profile::is_broken)
    }

    /// What a host shall have, by name.
    pub(super) fn of(&self, host: usize) -> BTreeMap<&'static str, &Body> {
        let host = &self.hosts[host];
        let all = self.profiles[host.place].iter().filter(|(_, profile)| host.has.contains(&profile.id));
        all.map(|(name, profile)| (*name, &profile.body)).collect()
    }

    /// How a host's page shows each.
    pub(super) fn standing(&self, host: usize) -> BTreeMap<&'static str, &'static str> {
        let (all, is_mac) = (self.of(host), self.hosts[host].is_mac);
        let status = |name: &str, body: &Body| if fails(&all, name, body, is_mac) { "failed" } else { "verified" };
        all.iter().map(|(name, body)| (*name, status(name, body))).collect()
    }

    /// The names of everything that its device holds, with what the server adds.
    pub(super) fn held(&self, host: usize) -> BTreeSet<(&'static str, String)> {
        let all = self.of(host);
        let mut held: BTreeSet<_> = all.iter().map(|(name, body)| (body.part(), (*name).to_owned())).collect();
        if held.is_empty() {
            return held;
        }
        held.insert(("configuration", "org.rookery.status-subscriptions".to_owned()));
        let idle =
            held.iter().filter(|(part, name)| *part == "configuration" && activations(&all, name).next().is_none());
        let idle: Vec<_> = idle.map(|(_, name)| ("activation", format!("{name}.activation"))).collect();
        held.extend(idle);
        held
    }
}

type All<'a> = BTreeMap<&'static str, &'a Body>;

/// The activations that name a configuration.
fn activations<'a>(all: &'a All<'a>, name: &'a str) -> impl Iterator<Item = &'a Body> {
    let names = move |body: &&&Body| matches!(body, Body::Activation(names, _) if names.contains(name));
    all.values().filter(names).copied()
}

/// Whether a device cannot use it.
fn fails(all: &All<'_>, name: &str, body: &Body, is_mac: bool) -> bool {
    let is_configuration = |name: &&str| all.get(*name).is_some_and(|body| body.part() == "configuration");
    let is_invalid = |activation: &Body| match activation {
        Body::Activation(names, when) => !names.iter().all(is_configuration) || applies(*when, is_mac).is_none(),
        _ => false,
    };
    let takes_effect =
        |activation: &Body| matches!(activation, Body::Activation(_, when) if applies(*when, is_mac) == Some(true));
    match body {
        Body::Asset(_) | Body::Organisation(_) => false,
        Body::Activation(..) => is_invalid(body),
        Body::Passcode(length) if *length > 16 => true,
        Body::Mail(asset) if !matches!(all.get(asset), Some(Body::Asset(_))) => true,
        // One that waits for a predicate alone does what was asked for.
        Body::Passcode(_) | Body::Mail(_) => {
            !activations(all, name).any(takes_effect) && activations(all, name).any(is_invalid)
        }
    }
}

/// Whether a predicate holds; `None` when it cannot be read.
fn applies(predicate: Option<&str>, is_mac: bool) -> Option<bool> {
    match predicate {
        None | Some("TRUEPREDICATE") => Some(true),
        Some("FALSEPREDICATE") => Some(false),
        Some(text) if text.starts_with("(@status(") => Some(is_mac),
        Some(_) => None,
    }
}
