//! What a device is given to do for a profile.

use std::collections::HashSet;

use super::{Edit, Profile};
use crate::ids::CommandUuid;
use crate::windows::loc_uri::{is_within, scoped};
use crate::windows::syncml::{Command, CommandError, Item, Operation, Verb};

impl Profile {
    /// Sets the nodes. What a former version of the profile set, and neither this one nor another profile sets (`kept`, as
    /// [`Profile::nodes`] gives them), is taken away.
    ///
    /// # Errors
    /// The name is none.
    pub fn install(
        &self,
        uuid: CommandUuid,
        former: Option<&Self>,
        kept: &HashSet<String>,
    ) -> Result<Command, CommandError> {
        let edits = self.edits.iter().map(|edit| Operation::on(edit.verb, vec![edit.item()]));
        // A certificate is asked for when all that it needs is there.
        let mut operations =
            if self.is_atomic || self.is_scep() { vec![Operation::atomic(edits.collect())] } else { edits.collect() };
        if let Some(former) = former {
            let still: HashSet<String> = kept.iter().cloned().chain(self.nodes()).collect();
            operations.extend(former.deletes(&still));
        }
        Command::new(uuid, operations)
    }

    /// Takes away what the profile and a former version of it set, but for what other profiles set as well (`kept`, as
    /// [`Profile::nodes`] gives them); `None` when nothing is to be done. Never all or nothing: many nodes cannot be deleted.
    ///
    /// # Errors
    /// The name is none.
    pub fn removal(
        &self,
        uuid: CommandUuid,
        former: Option<&Self>,
        kept: &HashSet<String>,
    ) -> Result<Option<Command>, CommandError> {
        let former = former.into_iter().flat_map(|former| &former.edits);
        let edits = former.chain(&self.edits).cloned().collect();
        let deletes = Self { edits, is_atomic: false }.deletes(kept);
        if deletes.is_empty() { Ok(None) } else { Command::new(uuid, deletes).map(Some) }
    }

    /// The last node that was set first: a policy before the file that it comes from, a node before the one that it stands in. What
    /// stands in a node that goes goes with it.
    fn deletes(&self, kept: &HashSet<String>) -> Vec<Operation> {
        let set: Vec<(&Edit, String)> = self.edits.iter().map(|edit| (edit, scoped(&edit.target))).collect();
        let is_kept = |node: &str| kept.iter().any(|kept| is_within(kept, node));
        let goes: Vec<(&Edit, String)> = set.into_iter().filter(|(edit, node)| edit.sets() && !is_kept(node)).collect();
        let all: HashSet<&str> = goes.iter().map(|(_, node)| node.as_str()).collect();
        let mut done = HashSet::new();
        let with_parent = |node: &str| parents(node).any(|parent| all.contains(parent));
        let own = goes.iter().rev().filter(|(_, node)| !with_parent(node) && done.insert(node.as_str()));
        own.map(|(edit, _)| {
            let item = Item { target: Some(edit.target.clone()), ..Item::default() };
            Operation { best_effort: true, ..Operation::on(Verb::Delete, vec![item]) }
        })
        .collect()
    }
}

/// The nodes that a node stands in.
fn parents(node: &str) -> impl Iterator<Item = &str> {
    node.match_indices('/').map(|(at, _)| &node[..at])
}
