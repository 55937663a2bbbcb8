//! A command for Windows hosts: one or more operations on nodes, done in their order.
//!
//! Administrators write it as SyncML (a fragment, as Fleet's tools send it) or in our JSON form; either way it is read, checked
//! and written anew, so that a device never sees what somebody else typed. `CmdID`s are this server's: the command's name, and
//! behind it the number of the operation ([`WireId`]).

use std::collections::HashSet;
use std::fmt;

use super::message::{Item, MessageError};
use super::{MAX_NAME_CHARS, METINF, NAMESPACE, WireId};
use crate::danger::Danger;
use crate::ids::CommandUuid;
use crate::windows::loc_uri::{Scope, canonical, scope};
use crate::windows::xml::{self, Document, Element, Fault, Writer};

/// Operations of one command, children counted.
pub const MAX_OPERATIONS: usize = 512;
/// The longest name of a Windows command, in characters.
const MAX_UUID_CHARS: usize = 64;
/// What `Format` may say (OMA-TS-DM_StdObj, and Windows).
const FORMATS: [&str; 11] = ["chr", "int", "bool", "b64", "xml", "node", "null", "bin", "float", "date", "time"];

/// What is done to nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Makes a node.
    Add,
    /// Sets a node.
    Replace,
    /// Takes a node away.
    Delete,
    /// Reads a node.
    Get,
    /// Does what a node stands for.
    Exec,
    /// Does the operations in it, or none of them.
    Atomic,
}

/// One operation.
#[derive(Clone, PartialEq, Eq)]
pub struct Operation {
    /// What is done.
    pub verb: Verb,
    /// To which nodes, with which data; empty for an `Atomic`.
    pub items: Vec<Item>,
    /// What an `Atomic` is made of.
    pub children: Vec<Operation>,
    /// Whether its failure is none of the command's: what is tidied up, and may not be there, or cannot be. Devices do not see it.
    pub best_effort: bool,
}

/// A command.
#[derive(Clone, PartialEq, Eq)]
pub struct Command {
    uuid: CommandUuid,
    operations: Vec<Operation>,
}

/// Why something is not a command. The administrator has to send something else.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// It cannot be read.
    #[error("The payload isn't valid XML: {0}")]
    Unreadable(#[from] MessageError),
    /// It is a whole document.
    #[error("send the operations alone, without <?xml …?> or other instructions")]
    Instruction,
    /// It holds something else than operations.
    #[error("<{0}> is no command: use Add, Replace, Delete, Get, Exec or Atomic")]
    NotAnOperation(String),
    /// An operation without a node, or a node whose address cannot be one.
    #[error(
        "every operation needs the address of a node (LocURI), which does not begin with a slash and has no spaces around it"
    )]
    LocUri,
    /// An `Atomic` with something in it that it must not hold.
    #[error("an Atomic holds Add, Replace, Delete and Exec only, and at least one of them")]
    Atomic,
    /// A format that there is none of.
    #[error("Format must be one of chr, int, bool, b64, xml, node, null, bin, float, date and time")]
    Format,
    /// Nothing, or too much.
    #[error("a command has 1 to {MAX_OPERATIONS} operations")]
    Count,
    /// A name that cannot be a `CmdID`.
    #[error("the command's name must be 1 to {MAX_UUID_CHARS} letters, digits and hyphens, and no number")]
    Name,
    /// The JSON form is not as documented.
    #[error("{0}")]
    Form(String),
}

impl Verb {
    /// Its name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Add => "Add",
            Self::Replace => "Replace",
            Self::Delete => "Delete",
            Self::Get => "Get",
            Self::Exec => "Exec",
            Self::Atomic => "Atomic",
        }
    }

    /// Reads its name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Add, Self::Replace, Self::Delete, Self::Get, Self::Exec, Self::Atomic]
            .into_iter()
            .find(|verb| verb.as_str() == name)
    }
}

impl Command {
    /// Reads a fragment of SyncML of at most `max_bytes` bytes. A single operation's `CmdID` is the command's name, if it can be
    /// one; other names in it mean nothing.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub fn parse(fragment: &[u8], max_bytes: usize, fallback: CommandUuid) -> Result<Self, CommandError> {
        let mut wrapped = format!("<SyncBody xmlns=\"{NAMESPACE}\">").into_bytes();
        wrapped.extend_from_slice(fragment);
        wrapped.extend_from_slice(b"</SyncBody>");
        let document = xml::parse(&wrapped, max_bytes.saturating_add(64)).map_err(|error| match error.fault {
            Fault::Instruction => CommandError::Instruction,
            _ => CommandError::Unreadable(error.into()),
        })?;
        if !document.root.text.trim().is_empty() {
            return Err(CommandError::NotAnOperation("text".into()));
        }
        let found = &document.root.children;
        let own = found.first().filter(|_| found.len() == 1).and_then(|first| first.child_text(NAMESPACE, "CmdID"));
        let uuid = own.and_then(name).unwrap_or(fallback);
        let operations = found.iter().map(|one| read(&document, one)).collect::<Result<_, _>>()?;
        Self::new(uuid, operations)
    }

    /// Reads what [`Command::body`] wrote.
    ///
    /// # Errors
    /// It was written by somebody else.
    pub fn from_body(body: &[u8], uuid: CommandUuid) -> Result<Self, CommandError> {
        Self::parse(body, usize::MAX / 2, uuid.clone()).map(|read| Self { uuid, ..read })
    }

    /// A command of these operations.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub fn new(uuid: CommandUuid, operations: Vec<Operation>) -> Result<Self, CommandError> {
        let all = operations.iter().map(|one| 1 + one.children.len()).sum::<usize>();
        if all == 0 || all > MAX_OPERATIONS {
            return Err(CommandError::Count);
        }
        operations.iter().try_for_each(Operation::check)?;
        let uuid = name(uuid.as_str()).ok_or(CommandError::Name)?;
        Ok(Self { uuid, operations })
    }

    /// One operation on one node.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub fn one(uuid: CommandUuid, verb: Verb, item: Item) -> Result<Self, CommandError> {
        Self::new(uuid, vec![Operation::on(verb, vec![item])])
    }

    /// The command's name.
    pub const fn uuid(&self) -> &CommandUuid {
        &self.uuid
    }

    /// Its operations.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// What people know it by: the first node that it is about. What does harm must not hide behind another one.
    pub fn request_type(&self) -> &str {
        let dangerous = self.targets().find(|target| Danger::of(target).is_some());
        dangerous.or_else(|| self.targets().next()).unwrap_or_default()
    }

    /// Whether it must not be handed out together with an earlier command: that one adds a node which this one is about, too. Where the
    /// node is there already, the `Add` comes again as a `Replace`, and would undo what this one did.
    pub fn must_follow(&self, earlier: &Self) -> bool {
        let adds = earlier.all().filter(|(_, one)| one.verb == Verb::Add).flat_map(|(_, one)| &one.items);
        let added = adds.filter(|item| item.data.is_some()).filter_map(|item| item.target.as_deref());
        let added: HashSet<String> = added.map(canonical).collect();
        !added.is_empty() && self.targets().any(|target| added.contains(&canonical(target)))
    }

    /// All the nodes that it is about.
    pub fn targets(&self) -> impl Iterator<Item = &str> {
        self.all().flat_map(|(_, one)| one.targets())
    }

    /// Whether doing it twice may do harm: whatever executes something.
    pub fn no_blind_resend(&self) -> bool {
        self.all().any(|(_, one)| one.verb == Verb::Exec)
    }

    /// Whether it is about what belongs to a user: without one it cannot be done.
    pub fn needs_user(&self) -> bool {
        self.targets().any(|target| scope(target) == Scope::User)
    }

    /// Whether it erases the device.
    pub fn erases(&self) -> bool {
        Danger::of(self.request_type()) == Some(Danger::Erase)
    }

    /// The operations with their numbers; children follow their `Atomic`.
    pub fn all(&self) -> impl Iterator<Item = (usize, &Operation)> {
        self.operations.iter().flat_map(|one| std::iter::once(one).chain(&one.children)).enumerate()
    }

    /// The operations as a device gets them.
    pub fn body(&self) -> String {
        let (mut writer, mut next) = (Writer::new(), 0);
        let mut name = || {
            next += 1;
            WireId { uuid: self.uuid.clone(), index: next - 1, replaces: false }
        };
        self.operations.iter().for_each(|operation| operation.write(&mut writer, &mut name));
        writer.finish()
    }

    /// The `Add` with this number as a `Replace`, or the `Atomic` with every `Add` in it as one, for a device on which a node is there
    /// already.
    pub fn as_replace(&self, index: usize) -> Option<String> {
        let known =
            |(number, one): &(usize, &Operation)| *number == index && matches!(one.verb, Verb::Add | Verb::Atomic);
        let (_, operation) = self.all().find(known)?;
        let (mut writer, mut next) = (Writer::new(), index);
        operation.write(&mut writer, &mut || {
            next += 1;
            WireId { uuid: self.uuid.clone(), index: next - 1, replaces: true }
        });
        Some(writer.finish())
    }
}

/// A name that can be a `CmdID`. Numbers are those of other things in a message.
pub(super) fn name(text: &str) -> Option<CommandUuid> {
    let named = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let sound = named && text.len() <= MAX_UUID_CHARS && !text.bytes().all(|byte| byte.is_ascii_digit());
    CommandUuid::parse(text).filter(|_| sound)
}

fn read(document: &Document<'_>, element: &Element) -> Result<Operation, CommandError> {
    let unknown = || CommandError::NotAnOperation(element.name.chars().take(32).collect());
    let verb = Verb::parse(&element.name).filter(|_| *element.namespace == *NAMESPACE).ok_or_else(unknown)?;
    let meta = element.child(NAMESPACE, "Meta");
    let named = |child: &&Element| !matches!(child.name.as_str(), "CmdID" | "Meta" | "Item" | "NoResp");
    if verb == Verb::Atomic {
        let children = element.children.iter().filter(named).map(|child| read(document, child));
        return Ok(Operation::atomic(children.collect::<Result<_, _>>()?));
    }
    if let Some(stray) = element.children.iter().find(named) {
        return Err(CommandError::NotAnOperation(stray.name.chars().take(32).collect()));
    }
    let items = element.children(NAMESPACE, "Item").map(|item| Item::read(document, item, meta));
    Ok(Operation::on(verb, items.collect::<Result<_, _>>()?))
}

impl Operation {
    /// Something that is done to nodes.
    pub const fn on(verb: Verb, items: Vec<Item>) -> Self {
        Self { verb, items, children: Vec::new(), best_effort: false }
    }

    /// Operations that are all done, or none of them.
    pub const fn atomic(children: Vec<Self>) -> Self {
        Self { verb: Verb::Atomic, items: Vec::new(), children, best_effort: false }
    }

    /// The nodes that it is about, without those of its children.
    pub fn targets(&self) -> impl Iterator<Item = &str> {
        self.items.iter().filter_map(|item| item.target.as_deref())
    }

    fn check(&self) -> Result<(), CommandError> {
        if self.verb == Verb::Atomic {
            let may = |child: &Operation| !matches!(child.verb, Verb::Atomic | Verb::Get);
            if self.children.is_empty() || !self.children.iter().all(may) {
                return Err(CommandError::Atomic);
            }
            return self.children.iter().try_for_each(Self::check);
        }
        if self.items.is_empty() {
            return Err(CommandError::LocUri);
        }
        self.items.iter().try_for_each(Item::check)
    }

    /// Writes it, with the names that it is given; one that comes again has every `Add` in it as a `Replace`.
    fn write(&self, writer: &mut Writer, name: &mut dyn FnMut() -> WireId) {
        let id = name();
        let verb = if id.replaces && self.verb == Verb::Add { Verb::Replace } else { self.verb };
        writer.element(verb.as_str(), &[], |operation| {
            operation.leaf("CmdID", &[], &id.to_string());
            self.items.iter().for_each(|item| item.write(operation));
            self.children.iter().for_each(|child| child.write(operation, name));
        });
    }
}

impl Item {
    /// A node with data.
    pub fn of(target: impl Into<String>, format: &str, data: &str) -> Self {
        let data = (format != "null").then(|| data.to_owned());
        Self {
            target: Some(target.into()),
            format: Some(format.into()),
            kind: Some("text/plain".into()),
            data,
            ..Self::default()
        }
    }

    /// Whether a device can be given it.
    pub(in crate::windows) fn check(&self) -> Result<(), CommandError> {
        let target = self.target.as_deref().unwrap_or_default();
        let sound = !target.is_empty()
            && !target.starts_with('/')
            && target.trim() == target
            && target.chars().nth(MAX_NAME_CHARS).is_none()
            && !target.contains(char::is_control);
        if !sound {
            return Err(CommandError::LocUri);
        }
        let known = |format: &String| FORMATS.contains(&format.as_str());
        if self.format.as_ref().is_none_or(known) { Ok(()) } else { Err(CommandError::Format) }
    }

    /// The elements in the order of the DTD: `Target`, `Source`, `Meta`, `Data`.
    pub(in crate::windows) fn write(&self, writer: &mut Writer) {
        let place = |writer: &mut Writer, name, uri: &Option<String>| {
            if let Some(uri) = uri {
                writer.element(name, &[], |place| place.leaf("LocURI", &[], uri));
            }
        };
        writer.element("Item", &[], |item| {
            place(item, "Target", &self.target);
            place(item, "Source", &self.source);
            if self.format.is_some() || self.kind.is_some() {
                item.element("Meta", &[], |meta| {
                    for (name, text) in [("Format", &self.format), ("Type", &self.kind)] {
                        if let Some(text) = text {
                            meta.leaf(name, &[("xmlns", METINF)], text);
                        }
                    }
                });
            }
            if let Some(data) = &self.data {
                item.leaf("Data", &[], data);
            }
        });
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "command {} ({} operations)", self.uuid, self.operations.len())
    }
}
