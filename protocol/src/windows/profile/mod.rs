//! Profiles for Windows hosts: what an administrator wants some nodes to hold, written as a fragment of SyncML.
//!
//! A file is read once, strictly ([`Profile::parse`]), into [`Edit`]s: one for each node, in their order. What a device gets is
//! written anew from these: [`Profile::install`] and [`Profile::removal`]. [`Profile::questions`] says which nodes tell whether it
//! is there, and [`Profile::verdict`] compares what they hold. Everything stands on [`syncml::Command`](super::syncml::Command), so names on the wire, a
//! node that is there already, and failures are handled where those of all commands are.
//!
//! Never here: which host gets which profile, what its placeholders stand for, and how often something is tried again.

mod commands;
mod error;
mod matches;
pub mod os_updates;
mod read;
mod rules;
pub(crate) mod verify;

#[cfg(test)]
mod tests;

use super::loc_uri::{Scope, scope, scoped};
use super::syncml::{Command, Item, Operation, Verb};

pub use error::{ProfileError, Rule};
pub use verify::{Told, Verdict};

/// The longest file that is taken, in bytes.
pub const MAX_BYTES: usize = 1024 * 1024;
/// The most edits of one profile: with those that tidy up after its former version they still are one command.
pub const MAX_EDITS: usize = 250;
/// The placeholder that names the certificate of a SCEP profile, without what marks it as one.
const CERTIFICATE_ID: &str = "SCEP_WINDOWS_CERTIFICATE_ID";

/// What an administrator wants of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    edits: Vec<Edit>,
    is_atomic: bool,
}

/// What is done to one node.
#[derive(Clone, PartialEq, Eq)]
pub struct Edit {
    /// Which command of the file it is of, counted from 1.
    number: usize,
    /// What is done; never `Get` or `Atomic`.
    pub verb: Verb,
    /// The node, as the file writes its address.
    pub target: String,
    /// `Meta/Format`.
    pub format: Option<String>,
    /// `Meta/Type`.
    pub kind: Option<String>,
    /// What it shall hold.
    pub data: Option<String>,
}

impl Profile {
    /// What a command of [`Profile::install`] sets.
    pub fn sent(command: &Command) -> Self {
        let set = command.all().filter(|(_, one)| !one.best_effort && one.verb != Verb::Atomic);
        let edits = set.flat_map(|(number, one)| one.items.iter().map(move |item| Edit::of(number, one, item)));
        let is_atomic = command.operations().iter().any(|one| one.verb == Verb::Atomic);
        Self { edits: edits.collect(), is_atomic }
    }

    /// The profile with the name of a host's certificate in the place of the variable of SCEP, the one that can stand in addresses.
    #[must_use]
    pub fn named(mut self, certificate: &str) -> Self {
        self.edits.iter_mut().for_each(|edit| rules::name_certificate(&mut edit.target, certificate));
        self
    }

    /// The edits, in their order.
    pub fn edits(&self) -> &[Edit] {
        &self.edits
    }

    /// Whether all of it is done, or nothing.
    pub const fn is_atomic(&self) -> bool {
        self.is_atomic
    }

    /// Whether it is about what belongs to a user: without one who is logged on it cannot be done.
    pub fn needs_user(&self) -> bool {
        self.edits.iter().any(|edit| edit.scope() == Scope::User)
    }

    /// The nodes that it sets, in the form in which those of two profiles can be compared.
    pub fn nodes(&self) -> impl Iterator<Item = String> {
        self.edits.iter().filter(|edit| edit.sets()).map(|edit| scoped(&edit.target))
    }

    /// Whether a device gets a certificate by it.
    fn is_scep(&self) -> bool {
        self.edits.iter().any(Edit::is_scep)
    }
}

impl Edit {
    /// Whose node it is about.
    pub fn scope(&self) -> Scope {
        scope(&self.target)
    }

    /// Whether the node holds something by it.
    pub const fn sets(&self) -> bool {
        matches!(self.verb, Verb::Add | Verb::Replace)
    }

    fn of(number: usize, operation: &Operation, item: &Item) -> Self {
        let Item { target, format, kind, data, .. } = item.clone();
        Self { number, verb: operation.verb, target: target.unwrap_or_default(), format, kind, data }
    }

    fn is_scep(&self) -> bool {
        rules::in_scep(&self.target)
    }

    fn item(&self) -> Item {
        let Self { target, format, kind, data, .. } = self.clone();
        Item { target: Some(target), format, kind, data, ..Item::default() }
    }
}

/// What it sets may be secret.
impl std::fmt::Debug for Edit {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} {}", self.verb.as_str(), self.target)
    }
}
