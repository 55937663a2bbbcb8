//! From the bytes of a file to its edits.

use super::error::{ProfileError, Rule};
use super::{Edit, MAX_BYTES, MAX_EDITS, Profile, rules};
use crate::windows::syncml::{CommandError, Item, NAMESPACE, Verb};
use crate::windows::xml::{self, Document, Element, Fault, XmlError};

/// How much longer a file may be once its placeholders are filled.
const RENDERED: usize = 4;
/// What is shown of a name that somebody typed, in characters.
const SHOWN: usize = 200;

impl Profile {
    /// Reads what an administrator sent.
    ///
    /// # Errors
    /// See [`ProfileError`].
    pub fn parse(file: &[u8]) -> Result<Self, ProfileError> {
        let profile = Self::read(file, MAX_BYTES)?;
        rules::check(&profile)?;
        Ok(profile)
    }

    /// Reads what [`Profile::parse`] took before, or what the server wrote itself; its placeholders may be filled meanwhile.
    ///
    /// # Errors
    /// What was filled in made something else of it.
    pub fn accepted(content: &[u8]) -> Result<Self, ProfileError> {
        Self::read(content, MAX_BYTES * RENDERED)
    }

    fn read(file: &[u8], max_bytes: usize) -> Result<Self, ProfileError> {
        if file.len() > max_bytes {
            return Err(ProfileError::TooLong);
        }
        let file = file.strip_prefix(b"\xef\xbb\xbf").unwrap_or(file);
        let before = format!("<SyncBody xmlns=\"{NAMESPACE}\">");
        let wrapped = [before.as_bytes(), file, b"</SyncBody>"].concat();
        let document = xml::parse(&wrapped, usize::MAX).map_err(|error| match error.fault {
            Fault::Instruction => ProfileError::Instruction,
            fault => {
                let position = error.position.saturating_sub(before.len() as u64);
                ProfileError::Xml(XmlError { position, fault })
            }
        })?;
        Reader { document: &document, edits: Vec::new(), number: 0 }.file(&document.root)
    }
}

struct Reader<'a> {
    document: &'a Document<'a>,
    edits: Vec<Edit>,
    /// How many commands were begun.
    number: usize,
}

impl Reader<'_> {
    fn file(mut self, body: &Element) -> Result<Profile, ProfileError> {
        if !body.text.trim().is_empty() {
            return Err(ProfileError::Whole(Rule::Text));
        }
        let is_atomic = body.children.iter().any(is_atomic);
        match body.children.as_slice() {
            [] => return Err(ProfileError::Empty),
            [atomic] if is_atomic => self.atomic(atomic)?,
            _ if is_atomic => return Err(ProfileError::Whole(Rule::AtomicIsNotAll)),
            several => several.iter().try_for_each(|command| self.command(command))?,
        }
        Ok(Profile { edits: self.edits, is_atomic })
    }

    fn atomic(&mut self, atomic: &Element) -> Result<(), ProfileError> {
        if !atomic.text.trim().is_empty() {
            return Err(ProfileError::Whole(Rule::Text));
        }
        // What a command is called, and whether it wants an answer, is the server's business.
        let is_command = |child: &&Element| !matches!(child.name.as_str(), "CmdID" | "Meta" | "NoResp");
        let mut commands = atomic.children.iter().filter(is_command).peekable();
        if commands.peek().is_none() || atomic.children.iter().any(is_atomic) {
            return Err(ProfileError::Whole(Rule::AtomicHolds));
        }
        commands.try_for_each(|command| self.command(command))
    }

    fn command(&mut self, command: &Element) -> Result<(), ProfileError> {
        self.number += 1;
        let verb = Verb::parse(&command.name).filter(|verb| !matches!(verb, Verb::Get | Verb::Atomic));
        let Some(verb) = verb.filter(|_| *command.namespace == *NAMESPACE) else {
            return Err(self.wrong(command, "", Rule::Verb));
        };
        let known = ["CmdID", "NoResp", "Meta", "Item"];
        self.only(command, command, &known, "")?;
        if command.child(NAMESPACE, "Item").is_none() {
            return Err(self.wrong(command, "", Rule::NoItem));
        }
        command.children(NAMESPACE, "Item").try_for_each(|item| self.item(command, verb, item))
    }

    fn item(&mut self, command: &Element, verb: Verb, item: &Element) -> Result<(), ProfileError> {
        let read = Item::read(self.document, item, command.child(NAMESPACE, "Meta"));
        let read = read.map_err(|error| self.wrong(command, "", Rule::Message(error)))?;
        let target = read.target.clone().unwrap_or_default();
        let wrong = |rule| Err(self.wrong(command, &target, rule));
        self.only(command, item, &["Target", "Meta", "Data"], &target)?;
        let climbs = target.split('/').skip(1).any(|name| matches!(name, "." | ".."));
        match read.check() {
            Ok(()) if climbs => return wrong(Rule::LocUri),
            Ok(()) => {}
            Err(CommandError::Format) => return wrong(Rule::Format),
            Err(_) => return wrong(Rule::LocUri),
        }
        let Item { format, kind, data, .. } = read;
        // An Add without a format makes a node that holds others (an MSI package, for example).
        let has_none = match format.as_deref() {
            Some("node" | "null") => true,
            None => verb == Verb::Add,
            Some(_) => false,
        };
        if matches!(verb, Verb::Add | Verb::Replace) && data.is_none() && !has_none {
            return wrong(Rule::NoData);
        }
        if self.edits.len() == MAX_EDITS {
            return Err(ProfileError::TooMany);
        }
        self.edits.push(Edit { number: self.number, verb, target, format, kind, data });
        Ok(())
    }

    /// Nothing else than these elements may stand in it, and no text.
    fn only(&self, command: &Element, element: &Element, known: &[&str], target: &str) -> Result<(), ProfileError> {
        let stray = |child: &&Element| !known.contains(&child.name.as_str()) || *child.namespace != *NAMESPACE;
        if let Some(stray) = element.children.iter().find(stray) {
            return Err(self.wrong(command, target, Rule::Part(shown(&stray.name))));
        }
        if element.text.trim().is_empty() { Ok(()) } else { Err(self.wrong(command, target, Rule::Text)) }
    }

    fn wrong(&self, command: &Element, target: &str, rule: Rule) -> ProfileError {
        ProfileError::Command { number: self.number, verb: shown(&command.name), target: shown(target), rule }
    }
}

fn is_atomic(element: &Element) -> bool {
    element.is(NAMESPACE, "Atomic")
}

/// The beginning of what somebody typed.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}
