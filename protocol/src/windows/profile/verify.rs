//! Whether a device holds what a profile set: it is asked for each node, and what it says is compared by meaning.
//!
//! Many nodes cannot be read, and some that are set hold something else under another name: what a device cannot tell counts for
//! the profile, whose installation it reported as done.

use super::matches::holds;
use super::read::shown;
use super::{Edit, Profile, rules};
use crate::ids::CommandUuid;
use crate::windows::loc_uri::{Scope, canonical, is_within, scoped};
use crate::windows::syncml::{Command, CommandError, Item, Operation, Received, Verb, WireId, said};

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

impl Profile {
    /// Asks what the nodes hold; `None` when none of them can be read.
    ///
    /// # Errors
    /// The name is none.
    pub fn verification(&self, uuid: CommandUuid) -> Result<Option<Command>, CommandError> {
        let gets = self.readable().into_iter().map(|edit| {
            let item = Item { target: Some(place_of_result(&edit.target)), ..Item::default() };
            Operation::on(Verb::Get, vec![item])
        });
        let gets: Vec<Operation> = gets.collect();
        if gets.is_empty() { Ok(None) } else { Command::new(uuid, gets).map(Some) }
    }

    /// Compares what a device answered to [`Profile::verification`], as it is kept of commands (a `SyncBody`).
    pub fn verdict(&self, answer: &[u8]) -> Verdict {
        let said = said(answer).unwrap_or_default();
        let differing = self.readable().into_iter().enumerate().filter(|(place, edit)| {
            let value = value(&said, *place);
            value.is_some_and(|value| !holds(edit, value))
        });
        let named: Vec<String> = differing
            .take(MAX_NAMED)
            .map(|(_, edit)| format!("{}: holds something else", shown(&edit.target)))
            .collect();
        if named.is_empty() { Verdict::Holds } else { Verdict::Differs(named.join(", ")) }
    }

    /// The edits whose nodes can be asked for, each node once: the last edit counts.
    fn readable(&self) -> Vec<&Edit> {
        let mut later = std::collections::HashSet::new();
        let last = self.edits.iter().rev().filter(|edit| later.insert(scoped(&edit.target)));
        let mut readable: Vec<&Edit> = last.filter(|edit| edit.is_readable()).collect();
        readable.reverse();
        readable
    }
}

impl Edit {
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
fn place_of_result(target: &str) -> String {
    let mut names: Vec<&str> = target.split('/').collect();
    let config = names
        .windows(2)
        .position(|pair| pair[0].eq_ignore_ascii_case("Policy") && pair[1].eq_ignore_ascii_case("Config"));
    if let Some(name) = config.and_then(|policy| names.get_mut(policy + 1)) {
        *name = "Result";
    }
    names.join("/")
}
