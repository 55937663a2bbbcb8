//! A device's message.

use super::{MAX_NAME_CHARS, METINF, NAMESPACE};
use crate::windows::xml::{self, Document, Element, XmlError};

/// A message of a device.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// `SyncHdr`.
    pub header: Header,
    /// What stands in `SyncBody`, in its order.
    pub body: Vec<Received>,
    /// Whether the device has nothing to add.
    pub is_final: bool,
}

/// `SyncHdr`.
#[derive(Clone, PartialEq, Eq)]
pub struct Header {
    /// `SessionID`: any short text; it need not grow.
    pub session_id: String,
    /// `MsgID`.
    pub message_id: String,
    /// `Target`: the address of ours that the device was given, perhaps with a query behind it.
    pub target: String,
    /// `Source`: who the device says that it is.
    pub source: String,
    /// `Cred`: an MD5 digest, as it came.
    pub digest: Option<String>,
}

/// One thing that a device says.
#[derive(Clone, PartialEq, Eq)]
pub enum Received {
    /// How a command of ours, or our header (`CmdRef` 0), went.
    Status(Status),
    /// What a `Get` of ours found.
    Results(Results),
    /// Something happened.
    Alert(Alert),
    /// Anything else that wants a `Status`: `Replace` (of `./DevInfo`), and what nobody knows.
    Command {
        /// Its `CmdID`.
        id: String,
        /// Its name.
        name: String,
        /// What it speaks of.
        items: Vec<Item>,
    },
}

/// `Status`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The command that it is about; `0` is our header.
    pub command_ref: String,
    /// The kind of that command.
    pub command: String,
    /// The code; 500 for what is none.
    pub code: u16,
    /// `msft:originalerror`: what Windows itself says about a failure, for example `0x80070005`.
    pub original_error: Option<String>,
    /// Which items it is about, where it is not about all.
    pub targets: Vec<String>,
}

/// `Results`.
#[derive(Clone, PartialEq, Eq)]
pub struct Results {
    /// Its `CmdID`.
    pub id: String,
    /// The command that asked.
    pub command_ref: String,
    /// What was found.
    pub items: Vec<Item>,
}

/// `Alert`.
#[derive(Clone, PartialEq, Eq)]
pub struct Alert {
    /// Its `CmdID`.
    pub id: String,
    /// Its code, for example 1201.
    pub code: u16,
    /// What it is about.
    pub items: Vec<Item>,
}

/// `Item`. Its data may be secret, so `Debug` shows none.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Item {
    /// `Target/LocURI`.
    pub target: Option<String>,
    /// `Source/LocURI`.
    pub source: Option<String>,
    /// `Meta/Format`.
    pub format: Option<String>,
    /// `Meta/Type`.
    pub kind: Option<String>,
    /// `Data`; elements in it as they were written.
    pub data: Option<String>,
    /// Whether the rest of the data follows in a later message.
    pub more_data: bool,
}

/// Why a message was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// It is no XML that this server reads.
    #[error(transparent)]
    Xml(#[from] XmlError),
    /// It is some other XML.
    #[error("the document is not SyncML 1.2")]
    NotSyncml,
    /// Something is missing.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// Something is too long, or holds control characters.
    #[error("{0} is too long or holds control characters")]
    BadName(&'static str),
}

impl Message {
    /// Reads a message of at most `max_bytes` bytes.
    ///
    /// # Errors
    /// See [`MessageError`].
    pub fn parse(bytes: &[u8], max_bytes: usize) -> Result<Self, MessageError> {
        let document = xml::parse(bytes, max_bytes)?;
        if !document.root.is(NAMESPACE, "SyncML") {
            return Err(MessageError::NotSyncml);
        }
        let header = document.root.child(NAMESPACE, "SyncHdr").ok_or(MessageError::Missing("SyncHdr"))?;
        let body = document.root.child(NAMESPACE, "SyncBody").ok_or(MessageError::Missing("SyncBody"))?;
        let said = body.children.iter().filter(|child| !child.is(NAMESPACE, "Final"));
        Ok(Self {
            header: Header::read(header)?,
            body: said.map(|child| Received::read(&document, child)).collect::<Result<_, _>>()?,
            is_final: body.child(NAMESPACE, "Final").is_some(),
        })
    }

    /// The statuses in it.
    pub fn statuses(&self) -> impl Iterator<Item = &Status> {
        self.body.iter().filter_map(|said| match said {
            Received::Status(status) => Some(status),
            _ => None,
        })
    }

    /// The results in it.
    pub fn results(&self) -> impl Iterator<Item = &Results> {
        self.body.iter().filter_map(|said| match said {
            Received::Results(results) => Some(results),
            _ => None,
        })
    }

    /// The alerts in it.
    pub fn alerts(&self) -> impl Iterator<Item = &Alert> {
        self.body.iter().filter_map(|said| match said {
            Received::Alert(alert) => Some(alert),
            _ => None,
        })
    }

    /// Whether it says that it begins a session (Alert 1200 or 1201).
    pub fn begins(&self) -> bool {
        self.alerts().any(|alert| matches!(alert.code, 1200 | 1201))
    }

    /// Whether a user whom this server manages is logged on (Alert 1224, `com.microsoft/MDM/LoginStatus`); `None` where the device
    /// does not say.
    pub fn has_user(&self) -> Option<bool> {
        let mut items = self.alerts().filter(|alert| alert.code == 1224).flat_map(|alert| &alert.items);
        let status = items.find(|item| item.kind.as_deref() == Some("com.microsoft/MDM/LoginStatus"))?;
        Some(status.data.as_deref() == Some("user"))
    }

    /// Whether the user, or the device itself, ends its management (Alert 1226,
    /// `com.microsoft:mdm.unenrollment.userrequest`).
    pub fn unenrolls(&self) -> bool {
        const TYPE: &str = "com.microsoft:mdm.unenrollment.userrequest";
        let mut items = self.alerts().filter(|alert| alert.code == 1226).flat_map(|alert| &alert.items);
        items.any(|item| item.kind.as_deref() == Some(TYPE) && item.data.as_deref() == Some("1"))
    }

    /// Whether the device breaks the session off (Alert 1223).
    pub fn aborts(&self) -> bool {
        self.alerts().any(|alert| alert.code == 1223)
    }

    /// What the device says about itself in a node of `./DevInfo`, if it is worth keeping.
    pub fn dev_info(&self, node: &str) -> Option<&str> {
        let items = self.body.iter().filter_map(|said| match said {
            Received::Command { name, items, .. } if name == "Replace" => Some(items),
            _ => None,
        });
        let named = |item: &&Item| {
            item.source.as_deref().and_then(|source| source.strip_prefix("./DevInfo/")).is_some_and(|name| name == node)
        };
        items.flatten().find(named).and_then(|item| item.data.as_deref()).and_then(short)
    }
}

impl Header {
    fn read(header: &Element) -> Result<Self, MessageError> {
        let named = |name| name_in(header, name).and_then(|found| found.ok_or(MessageError::Missing(name)));
        let loc = |name| match header.child(NAMESPACE, name) {
            Some(place) => name_in(place, "LocURI").and_then(|found| found.ok_or(MessageError::Missing(name))),
            None => Err(MessageError::Missing(name)),
        };
        Ok(Self {
            session_id: named("SessionID")?,
            message_id: named("MsgID")?,
            target: loc("Target")?,
            source: loc("Source")?,
            digest: header.child(NAMESPACE, "Cred").and_then(digest),
        })
    }

    /// Whether this is the first message of a session, as far as its number tells.
    pub fn is_first(&self) -> bool {
        self.message_id == "1"
    }
}

/// An MD5 digest; credentials of another kind are none.
fn digest(credentials: &Element) -> Option<String> {
    let meta = credentials.child(NAMESPACE, "Meta")?;
    let is_md5 = meta_text(meta, "Type")? == "syncml:auth-md5";
    let data = credentials.child_text(NAMESPACE, "Data")?;
    (is_md5 && data.len() <= 64).then(|| data.to_owned())
}

/// A text that is worth keeping of what a device says about itself: short, and free of control characters.
pub fn short(text: &str) -> Option<&str> {
    let text = text.trim();
    let sound = !text.is_empty() && text.chars().nth(255).is_none() && !text.contains(char::is_control);
    sound.then_some(text)
}

/// The text of a child of `Meta`. Some write what belongs into the namespace of meta information without saying so.
fn meta_text<'e>(meta: &'e Element, name: &str) -> Option<&'e str> {
    meta.child_text(METINF, name).or_else(|| meta.child_text(NAMESPACE, name))
}

/// The text of a child that is a name.
fn name_in(element: &Element, name: &'static str) -> Result<Option<String>, MessageError> {
    let Some(text) = element.child_text(NAMESPACE, name) else { return Ok(None) };
    if text.chars().nth(MAX_NAME_CHARS).is_some() || text.contains(char::is_control) {
        return Err(MessageError::BadName(name));
    }
    Ok(Some(text.to_owned()))
}

impl Received {
    pub(super) fn read(document: &Document<'_>, element: &Element) -> Result<Self, MessageError> {
        let meta = element.child(NAMESPACE, "Meta");
        let items = || -> Result<Vec<Item>, MessageError> {
            element.children(NAMESPACE, "Item").map(|item| Item::read(document, item, meta)).collect()
        };
        let name = |what| name_in(element, what);
        let code = || name("Data").map(|data| data.and_then(|data| data.parse().ok()));
        Ok(match element.name.as_str() {
            "Status" => Self::Status(Status {
                command_ref: name("CmdRef")?.ok_or(MessageError::Missing("CmdRef"))?,
                command: name("Cmd")?.unwrap_or_default(),
                code: code()?.unwrap_or(500),
                original_error: original_error(element),
                targets: element
                    .children(NAMESPACE, "TargetRef")
                    .map(|target| target.text.trim().chars().take(MAX_NAME_CHARS).collect())
                    .collect(),
            }),
            "Results" => Self::Results(Results {
                id: name("CmdID")?.unwrap_or_default(),
                command_ref: name("CmdRef")?.ok_or(MessageError::Missing("CmdRef"))?,
                items: items()?,
            }),
            "Alert" => Self::Alert(Alert {
                id: name("CmdID")?.unwrap_or_default(),
                code: code()?.unwrap_or(0),
                items: items()?,
            }),
            _ => Self::Command {
                id: name("CmdID")?.unwrap_or_default(),
                name: element.name.chars().take(64).collect(),
                items: items()?,
            },
        })
    }
}

fn original_error(status: &Element) -> Option<String> {
    let error = status.child(NAMESPACE, "Data")?.attribute("originalerror")?.trim();
    let sound = !error.is_empty() && error.len() <= 64 && !error.contains(char::is_control);
    sound.then(|| error.to_owned())
}

impl Item {
    /// Reads an item; what it does not say of its data, its command's `Meta` says.
    pub(in crate::windows) fn read(
        document: &Document<'_>,
        item: &Element,
        of_command: Option<&Element>,
    ) -> Result<Self, MessageError> {
        let loc = |name| match item.child(NAMESPACE, name) {
            Some(place) => name_in(place, "LocURI"),
            None => Ok(None),
        };
        let own = item.child(NAMESPACE, "Meta");
        let meta = |name: &str| {
            let text = |meta: Option<&Element>| meta_text(meta?, name).map(str::to_owned);
            text(own).or_else(|| text(of_command))
        };
        Ok(Self {
            target: loc("Target")?,
            source: loc("Source")?,
            format: meta("Format").map(shortened),
            kind: meta("Type").map(shortened),
            data: item.child(NAMESPACE, "Data").map(|data| match data.children.is_empty() {
                // Chunks of a large object may begin and end with white space.
                true if item.child(NAMESPACE, "MoreData").is_some() => data.text.clone(),
                _ => document.value(data).to_owned(),
            }),
            more_data: item.child(NAMESPACE, "MoreData").is_some(),
        })
    }
}

fn shortened(text: String) -> String {
    if text.len() <= 255 { text } else { text.chars().take(255).collect() }
}

impl std::fmt::Debug for Message {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{:?} with {} parts", self.header, self.body.len())
    }
}

impl std::fmt::Debug for Header {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "message {:?} of session {:?}", self.message_id, self.session_id)
    }
}
