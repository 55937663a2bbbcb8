//! What a device says about one command, gathered until it is the last word.
//!
//! A command is answered when each of its operations is. Of an `Atomic` its own `Status` decides: some devices send no other.
//! An `Add` whose node is there already (418) is done again as a `Replace`, once; so is an `Atomic` that failed for it, with every `Add`
//! in it.

use std::sync::Arc;

use super::NAMESPACE;
use super::WireId;
use super::command::{Command, MAX_OPERATIONS, Operation, Verb};
use super::message::{Item, Message, Received, Results, Status};
use crate::ids::CommandUuid;
use crate::queue::Answer;
use crate::windows::xml::Writer;

/// What is kept of the results of one command, in bytes.
const MAX_RESULT_BYTES: usize = 4 * 1024 * 1024;
/// Statuses that are kept of one command.
const MAX_STATUSES: usize = 2 * MAX_OPERATIONS;
/// Failures that are named.
const MAX_NAMED: usize = 16;

/// A command that a device has, and what it said about it so far.
#[derive(Clone)]
pub struct OpenCommand {
    command: Arc<Command>,
    statuses: Vec<(WireId, Status)>,
    results: Vec<(WireId, Item)>,
    /// A large object of which more is to come.
    partial: Option<(WireId, Item)>,
    /// `Add`s that were sent again as `Replace`.
    replaced: Vec<usize>,
}

/// A device's final word on a command.
#[derive(Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The command.
    pub command: Arc<Command>,
    /// What it means for the queue.
    pub answer: Answer,
    /// The code that tells how it went: the first failure, or the first success.
    pub status: String,
    /// The statuses and results, as one `SyncBody`.
    pub body: String,
    /// What failed, node by node, for people; empty where nothing did.
    pub detail: String,
}

/// What a message leads to for one command.
#[derive(Clone, PartialEq, Eq)]
pub enum Heard {
    /// The last word.
    Done(Outcome),
    /// This must be done instead of what could not be.
    Again(Vec<String>),
    /// There is more to come.
    Waiting,
}

impl OpenCommand {
    /// A command that was just handed out.
    pub fn new(command: Command) -> Self {
        Self {
            command: Arc::new(command),
            statuses: Vec::new(),
            results: Vec::new(),
            partial: None,
            replaced: Vec::new(),
        }
    }

    /// The command's name.
    pub fn uuid(&self) -> &CommandUuid {
        self.command.uuid()
    }

    /// Whether a large object is on its way.
    pub fn is_partial(&self) -> bool {
        self.partial.is_some()
    }

    /// Takes in what a message says about this command.
    pub fn hear(&mut self, message: &Message) -> Heard {
        for said in &message.body {
            match said {
                Received::Status(status) => self.hear_status(status),
                Received::Results(results) => self.hear_results(results),
                Received::Alert(alert) if alert.code == 1225 => self.partial = None,
                Received::Alert(_) | Received::Command { .. } => {}
            }
        }
        let again = self.again_as_replace();
        if !again.is_empty() {
            return Heard::Again(again);
        }
        let waits_for_results = |one: &Top<'_>| {
            let index = one.index;
            one.operation.verb == Verb::Get
                && self.code(index) == Some(200)
                && !message.is_final
                && !self.has_results(index)
        };
        let answered = |one: &Top<'_>| self.code(one.index).is_some_and(|code| code != 213);
        let is_complete = self.partial.is_none() && self.top().all(|one| answered(&one));
        if !is_complete || self.top().any(|one| waits_for_results(&one)) {
            return Heard::Waiting;
        }
        Heard::Done(self.outcome())
    }

    fn own(&self, command_ref: &str) -> Option<WireId> {
        WireId::parse(command_ref).filter(|id| id.uuid == *self.command.uuid())
    }

    fn hear_status(&mut self, status: &Status) {
        if let Some(id) = self.own(&status.command_ref)
            && self.statuses.len() < MAX_STATUSES
        {
            self.statuses.push((id, status.clone()));
        }
    }

    fn hear_results(&mut self, results: &Results) {
        let Some(id) = self.own(&results.command_ref) else { return };
        for item in &results.items {
            let mut whole = item.clone();
            if let Some((of, begun)) = self.partial.take_if(|(of, begun)| *of == id && begun.source == item.source) {
                debug_assert_eq!(of, id);
                let data = begun.data.unwrap_or_default() + item.data.as_deref().unwrap_or_default();
                whole = Item { data: Some(data), more_data: item.more_data, ..begun };
            }
            let kept: usize = self.results.iter().filter_map(|(_, item)| item.data.as_ref()).map(String::len).sum();
            if kept + whole.data.as_ref().map_or(0, String::len) > MAX_RESULT_BYTES {
                // Too large to be kept: what came so far is dropped, and the rest will be, too.
                whole = Item { data: None, more_data: item.more_data, ..whole };
            }
            if whole.more_data {
                self.partial = Some((id.clone(), whole));
            } else {
                self.results.push((id.clone(), whole));
            }
        }
    }

    /// What could not be done because a node is there already, with `Replace` for each `Add`.
    fn again_as_replace(&mut self) -> Vec<String> {
        let command = self.command.clone();
        let exists = |one: &Top<'_>| !self.replaced.contains(&one.index) && self.is_there_already(one);
        let new: Vec<Top<'_>> = tops(&command).filter(exists).collect();
        self.replaced.extend(new.iter().map(|one| one.index));
        // From now on only what is said of the Replace counts.
        self.statuses.retain(|(id, _)| id.replaces || !new.iter().any(|one| one.holds(id.index)));
        new.into_iter().filter_map(|one| command.as_replace(one.index)).collect()
    }

    /// Whether an operation failed, because a node that it adds is there.
    fn is_there_already(&self, top: &Top<'_>) -> bool {
        match top.operation.verb {
            Verb::Add => top.sets_data() && self.code(top.index) == Some(418),
            Verb::Atomic => {
                let parts = 1..=top.operation.children.len();
                let failed = self.code(top.index).is_some_and(|code| !is_success(top.operation, code));
                let adds = top.operation.children.iter().any(|child| child.verb == Verb::Add);
                failed && adds && parts.chain([0]).any(|part| self.code(top.index + part) == Some(418))
            }
            _ => false,
        }
    }

    /// The operations that need an answer.
    fn top(&self) -> impl Iterator<Item = Top<'_>> {
        tops(&self.command)
    }

    /// The code of an operation, once it is answered: of several, for its items, the worst.
    fn code(&self, index: usize) -> Option<u16> {
        self.said_of(index).map(|status| status.code).max()
    }

    /// What is said of an operation; of one that was sent again, what is said of it since.
    fn said_of(&self, index: usize) -> impl Iterator<Item = &Status> {
        let replaced = self.top().any(|one| one.holds(index) && self.replaced.contains(&one.index));
        let own = self.statuses.iter().filter(move |(id, _)| id.index == index && id.replaces == replaced);
        own.map(|(_, status)| status)
    }

    fn has_results(&self, index: usize) -> bool {
        self.results.iter().any(|(id, _)| id.index == index)
    }

    fn outcome(&self) -> Outcome {
        let codes: Vec<(Top<'_>, u16)> = self.top().filter_map(|one| Some((one, self.code(one.index)?))).collect();
        let mut failed = codes.iter().filter(|(one, code)| !is_success(one.operation, *code)).peekable();
        let code = failed.peek().copied().or(codes.first()).map_or(500, |(_, code)| *code);
        let answer = if failed.peek().is_some() { Answer::Error } else { Answer::Acknowledged };
        let named: Vec<String> = failed.flat_map(|(one, code)| self.failures(one, *code)).take(MAX_NAMED).collect();
        let (command, status) = (self.command.clone(), code.to_string());
        Outcome { command, answer, status, body: self.body(), detail: named.join(", ") }
    }

    /// What failed in an operation, node by node; what an `Atomic` did not do because of it is not named.
    fn failures(&self, top: &Top<'_>, code: u16) -> Vec<String> {
        let children = top.operation.children.iter().zip(top.index + 1..);
        let parts = children.chain(top.operation.children.is_empty().then_some((top.operation, top.index)));
        let failed = parts.flat_map(|(operation, index)| {
            let is_failure = move |status: &&Status| status.code >= 300 && !is_success(operation, status.code);
            self.said_of(index).filter(is_failure).flat_map(move |status| {
                let about = |target: &&str| status.targets.is_empty() || status.targets.iter().any(|one| one == target);
                operation.targets().filter(about).map(|target| named(target, status.code))
            })
        });
        let failed: Vec<String> = failed.collect();
        if failed.is_empty() { vec![named(top.operation.verb.as_str(), code)] } else { failed }
    }

    /// What was said, as a document of its own: it holds nothing about other commands.
    fn body(&self) -> String {
        let mut writer = Writer::new();
        writer.element("SyncBody", &[("xmlns", NAMESPACE)], |body| {
            for (id, status) in &self.statuses {
                write_status(body, id, status);
            }
            for (id, item) in &self.results {
                body.element("Results", &[], |results| {
                    results.leaf("CmdRef", &[], &id.to_string());
                    item.write(results);
                });
            }
        });
        writer.finish()
    }
}

fn write_status(writer: &mut Writer, id: &WireId, status: &Status) {
    const MSFT: (&str, &str) = ("xmlns:msft", "http://schemas.microsoft.com/MobileDevice/MDM");
    writer.element("Status", &[], |one| {
        one.leaf("CmdRef", &[], &id.to_string());
        one.leaf("Cmd", &[], &status.command);
        for target in &status.targets {
            one.leaf("TargetRef", &[], target);
        }
        let code = status.code.to_string();
        match &status.original_error {
            Some(error) => one.leaf("Data", &[MSFT, ("msft:originalerror", error)], &code),
            None => one.leaf("Data", &[], &code),
        }
    });
}

fn named(what: &str, code: u16) -> String {
    format!("{what}: status {code}")
}

/// An operation that needs an answer.
#[derive(Clone, Copy)]
struct Top<'a> {
    /// Its number.
    index: usize,
    operation: &'a Operation,
}

impl Top<'_> {
    /// Whether the operation with this number is this one, or a part of it.
    fn holds(&self, index: usize) -> bool {
        (self.index..=self.index + self.operation.children.len()).contains(&index)
    }

    /// Whether it sets what its node holds.
    fn sets_data(&self) -> bool {
        sets_data(self.operation)
    }
}

fn tops(command: &Command) -> impl Iterator<Item = Top<'_>> {
    command.operations().iter().scan(0, |next, operation| {
        let index = *next;
        *next += 1 + operation.children.len();
        Some(Top { index, operation })
    })
}

fn sets_data(operation: &Operation) -> bool {
    operation.items.iter().any(|item| item.data.is_some())
}

/// Whether a code means that an operation did what it was for. 202: Windows goes on with it. 404: what was to be deleted is not
/// there. 418: a node that was to be there, with nothing in it, is. 214 to 216: cancelled, not executed, rolled back. 404, 405 and
/// 500 of what is tidied up: it is not there, or its provider cannot take it away.
fn is_success(operation: &Operation, code: u16) -> bool {
    match code {
        214..=216 => false,
        200..=299 => true,
        404 if operation.verb == Verb::Delete => true,
        418 => operation.verb == Verb::Add && !sets_data(operation),
        404 | 405 | 500 => operation.best_effort,
        _ => false,
    }
}

impl std::fmt::Debug for OpenCommand {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{:?}, {} statuses", self.command, self.statuses.len())
    }
}

impl std::fmt::Debug for Outcome {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{:?} ({})", self.answer, self.status)
    }
}

impl std::fmt::Debug for Heard {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Done(outcome) => write!(out, "{outcome:?}"),
            Self::Again(operations) => write!(out, "{} operations again", operations.len()),
            Self::Waiting => out.write_str("waiting"),
        }
    }
}
