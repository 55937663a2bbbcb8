//! Whether a device holds what a profile set: it is asked for each node, and what it says is compared by meaning.
//!
//! Many nodes cannot be read, and some that are set hold something else under another name: what a device cannot tell counts for
//! the profile, whose installation it reported as done.

use std::collections::{HashMap, HashSet};

use super::matches::holds;
use super::read::shown;
use super::{Edit, Profile, rules};
use crate::windows::loc_uri::{Scope, canonical, is_within, scoped};
use crate::windows::syncml::{Command, Received, WireId, said};

/// Nodes that are set to start something, or to be kept under another name.
const NEVER_READ: [&str; 2] =
    ["vendor/msft/enterprisedesktopappmanagement", "vendor/msft/enterprisemodernappmanagement"];
/// Differences that are named.
const MAX_NAMED: usize = 16;

/// What came of asking a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every node that can be read holds what it shall.
    Holds,
    /// Some hold something else: their addresses, for people.
    Differs(String),
}

/// What a device answered when it was asked what nodes hold.
#[derive(Clone, Default)]
pub struct Told {
    asked: HashSet<String>,
    held: HashMap<String, String>,
}

impl Told {
    /// Reads an answer as it is kept of a command (a `SyncBody`).
    pub fn read(asked: &Command, answer: &[u8]) -> Self {
        let said = said(answer).unwrap_or_default();
        let held = asked.all().filter_map(|(place, get)| Some((get.targets().next()?, value(&said, place)?)));
        Self {
            held: held.map(|(node, value)| (node.to_owned(), value.to_owned())).collect(),
            asked: asked.targets().map(str::to_owned).collect(),
        }
    }
}

impl Profile {
    /// The nodes that tell whether a device holds what the profile set; none when none of them can be read.
    pub fn questions(&self) -> Vec<String> {
        self.readable().into_iter().map(|edit| place_of_result(&edit.target)).collect()
    }

    /// Compares what a device told with what the profile set; `None` when it was not asked for all of it.
    pub fn verdict(&self, told: &Told) -> Option<Verdict> {
        let readable = self.readable();
        let place = |edit: &Edit| place_of_result(&edit.target);
        if !readable.iter().all(|edit| told.asked.contains(&place(edit))) {
            return None;
        }
        let differs = |edit: &&Edit| told.held.get(&place(edit)).is_some_and(|value| !holds(edit, value));
        Some(Verdict::of(readable.iter().copied().filter(differs)))
    }

    /// The edits whose nodes can be asked for, each node once: the last edit counts.
    pub(crate) fn readable(&self) -> Vec<&Edit> {
        let mut later = HashSet::new();
        let last = self.edits.iter().rev().filter(|edit| later.insert(scoped(&edit.target)));
        let mut readable: Vec<&Edit> = last.filter(|edit| edit.is_readable()).collect();
        readable.reverse();
        readable
    }
}

impl Verdict {
    /// What follows from the edits whose nodes hold something else.
    pub(crate) fn of<'e>(differing: impl Iterator<Item = &'e Edit>) -> Self {
        let named: Vec<String> =
            differing.take(MAX_NAMED).map(|edit| format!("{}: holds something else", shown(&edit.target))).collect();
        if named.is_empty() { Self::Holds } else { Self::Differs(named.join(", ")) }
    }
}

impl Edit {
    /// Whether this is what the edit set its node to.
    pub(crate) fn is_held_by(&self, value: &str) -> bool {
        holds(self, value)
    }

    fn is_readable(&self) -> bool {
        let node = canonical(&self.target);
        self.sets()
            && self.data.is_some()
            && !matches!(self.format.as_deref(), Some("node" | "null"))
            && self.scope() == Scope::Device
            && !self.is_scep()
            && !rules::in_admx(&self.target)
            && !NEVER_READ.iter().any(|tree| is_within(&node, tree))
    }
}

/// What a device says that a node holds; `None` when it does not say it.
fn value(said: &[Received], place: usize) -> Option<&str> {
    let is_own = |command_ref: &str| WireId::parse(command_ref).is_some_and(|id| id.index == place);
    let was_found = said.iter().any(|one| {
        matches!(one, Received::Status(status) if is_own(&status.command_ref) && (200..300).contains(&status.code))
    });
    let results = said.iter().filter_map(|one| match one {
        Received::Results(results) if is_own(&results.command_ref) => Some(results),
        _ => None,
    });
    results.flat_map(|results| &results.items).find_map(|item| item.data.as_deref()).filter(|_| was_found)
}

/// Where a policy's value in force can be read: policies are set in one tree, and read in another.
pub(crate) fn place_of_result(target: &str) -> String {
    let mut names: Vec<&str> = target.split('/').collect();
    let config = names
        .windows(2)
        .position(|pair| pair[0].eq_ignore_ascii_case("Policy") && pair[1].eq_ignore_ascii_case("Config"));
    if let Some(name) = config.and_then(|policy| names.get_mut(policy + 1)) {
        *name = "Result";
    }
    names.join("/")
}

/// What nodes hold may be secret.
impl std::fmt::Debug for Told {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} of {} nodes", self.held.len(), self.asked.len())
    }
}
