//! SyncML as a PC speaks it in its sessions: writes its messages in its own way. Reading and judging the server's is
//! [`answer`]'s.
//!
//! Start with [`Message`], then [`answer::read`].

use protocol::windows::xml::Writer;

use super::quirks::{FinalPlace, Quirks};

pub mod answer;

/// The namespace of everything but the content of `Meta`.
pub(super) const SYNCML: &str = "SYNCML:SYNCML1.2";
/// The namespace of what stands in `Meta`.
pub(super) const METINF: &str = "syncml:metinf";
/// The namespace of Microsoft's attributes.
const MICROSOFT: &str = "http://schemas.microsoft.com/MobileDevice/MDM";

/// A message of a PC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The session's name.
    pub session_id: String,
    /// The message's name in it.
    pub msg_id: String,
    /// Whom it is for: the management address.
    pub target: String,
    /// Who sends it.
    pub source: String,
    /// The digest, where one is sent.
    pub credentials: Option<String>,
    /// What is said.
    pub said: Vec<Said>,
    /// Whether nothing of this package follows in another message.
    pub is_final: bool,
}

/// One command of a PC's message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// Something happened.
    Alert {
        /// What kind of alert.
        code: u16,
        /// What happened, where the code alone does not say it.
        item: Option<AlertItem>,
    },
    /// What the PC is (`./DevInfo`).
    Replace(Vec<(String, String)>),
    /// What became of a command.
    Status(Status),
    /// What a node holds.
    Results(Results),
}

/// The item of an alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertItem {
    /// What it is about, where that is a node.
    pub source: Option<String>,
    /// Its type, for example `com.microsoft/MDM/LoginStatus`.
    pub kind: String,
    /// Its format.
    pub format: String,
    /// Its value.
    pub data: String,
}

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The message that it came in.
    pub msg_ref: String,
    /// Its name; `0` is the header.
    pub cmd_ref: String,
    /// Its verb.
    pub cmd: String,
    /// The node that this is about, where a command has several.
    pub target: Option<String>,
    /// The status code.
    pub code: u16,
    /// Windows' own error code.
    pub original_error: Option<String>,
}

/// What a node holds, or a piece of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Results {
    /// The message that the `Get` came in.
    pub msg_ref: String,
    /// The name of the `Get`.
    pub cmd_ref: String,
    /// The node.
    pub source: String,
    /// The format of its value.
    pub format: String,
    /// The value.
    pub data: String,
    /// How long the whole value is, where this is its first piece.
    pub size: Option<usize>,
    /// Whether more of it follows.
    pub more: bool,
}

impl Said {
    /// An alert without an item.
    pub const fn alert(code: u16) -> Self {
        Self::Alert { code, item: None }
    }

    /// An alert about something.
    pub fn event(code: u16, kind: &str, format: &str, data: &str) -> Self {
        let item = AlertItem { source: None, kind: kind.into(), format: format.into(), data: data.into() };
        Self::Alert { code, item: Some(item) }
    }

    /// The status of a command, or of a header (`0`, `SyncHdr`).
    pub fn status(msg_ref: &str, cmd_ref: &str, cmd: &str, code: u16) -> Self {
        let (msg_ref, cmd_ref, cmd) = (msg_ref.to_owned(), cmd_ref.to_owned(), cmd.to_owned());
        Self::Status(Status { msg_ref, cmd_ref, cmd, target: None, code, original_error: None })
    }

    /// What it is called in a status of the server.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Alert { .. } => "Alert",
            Self::Replace(_) => "Replace",
            Self::Status(_) => "Status",
            Self::Results(_) => "Results",
        }
    }
}

impl Message {
    /// The `CmdID` of what is said at this place.
    pub fn cmd_id(place: usize) -> String {
        (place + 1).to_string()
    }

    /// The message as it goes over the wire.
    pub fn write(&self, quirks: &Quirks) -> String {
        let mut out = Writer::new();
        out.element("SyncML", &[("xmlns", SYNCML)], |out| {
            self.header(out);
            out.element("SyncBody", &[], |out| {
                let first = self.msg_id == "1" && quirks.final_place == FinalPlace::First;
                if self.is_final && first {
                    out.raw("<Final></Final>");
                }
                for (place, said) in self.said.iter().enumerate() {
                    said.write(out, &Self::cmd_id(place), quirks);
                }
                if self.is_final && quirks.final_place == FinalPlace::Last {
                    out.empty("Final", &[]);
                }
            });
        });
        out.finish()
    }

    fn header(&self, out: &mut Writer) {
        out.element("SyncHdr", &[], |out| {
            out.leaf("VerDTD", &[], "1.2");
            out.leaf("VerProto", &[], "DM/1.2");
            out.leaf("SessionID", &[], &self.session_id);
            out.leaf("MsgID", &[], &self.msg_id);
            place(out, "Target", &self.target);
            place(out, "Source", &self.source);
            if let Some(digest) = &self.credentials {
                out.element("Cred", &[], |out| {
                    meta(out, Some("b64"), Some("syncml:auth-md5"), None);
                    out.leaf("Data", &[], digest);
                });
            }
        });
    }
}

impl Said {
    fn write(&self, out: &mut Writer, cmd_id: &str, quirks: &Quirks) {
        out.element(self.name(), &[], |out| {
            out.leaf("CmdID", &[], cmd_id);
            match self {
                Self::Alert { code, item } => {
                    out.leaf("Data", &[], &code.to_string());
                    let Some(item) = item else { return };
                    out.element("Item", &[], |out| {
                        item.source.iter().for_each(|source| place(out, "Source", source));
                        meta(out, Some(&item.format), Some(&item.kind), None);
                        data(out, &item.data, quirks);
                    });
                }
                Self::Replace(items) => {
                    for (path, value) in items {
                        out.element("Item", &[], |out| {
                            place(out, "Source", path);
                            data(out, value, quirks);
                        });
                    }
                }
                Self::Status(status) => status.write(out),
                Self::Results(results) => results.write(out, quirks),
            }
        });
    }
}

impl Status {
    fn write(&self, out: &mut Writer) {
        out.leaf("MsgRef", &[], &self.msg_ref);
        out.leaf("CmdRef", &[], &self.cmd_ref);
        out.leaf("Cmd", &[], &self.cmd);
        self.target.iter().for_each(|target| out.leaf("TargetRef", &[], target));
        let code = self.code.to_string();
        match &self.original_error {
            Some(error) => out.leaf("Data", &[("xmlns:msft", MICROSOFT), ("msft:originalerror", error)], &code),
            None => out.leaf("Data", &[], &code),
        }
    }
}

impl Results {
    fn write(&self, out: &mut Writer, quirks: &Quirks) {
        out.leaf("MsgRef", &[], &self.msg_ref);
        out.leaf("CmdRef", &[], &self.cmd_ref);
        out.element("Item", &[], |out| {
            place(out, "Source", &self.source);
            meta(out, Some(&self.format), None, self.size);
            // A piece of a value is exactly what it is, white space included.
            let plain = Quirks { padded: false, ..quirks.clone() };
            data(out, &self.data, &plain);
            if self.more {
                out.empty("MoreData", &[]);
            }
        });
    }
}

fn place(out: &mut Writer, name: &str, uri: &str) {
    out.element(name, &[], |out| out.leaf("LocURI", &[], uri));
}

fn meta(out: &mut Writer, format: Option<&str>, kind: Option<&str>, size: Option<usize>) {
    let names = [("xmlns", METINF)];
    out.element("Meta", &[], |out| {
        format.into_iter().for_each(|format| out.leaf("Format", &names, format));
        kind.into_iter().for_each(|kind| out.leaf("Type", &names, kind));
        size.into_iter().for_each(|size| out.leaf("Size", &names, &size.to_string()));
    });
}

fn data(out: &mut Writer, value: &str, quirks: &Quirks) {
    let padded = if quirks.padded { format!("  {value} ") } else { value.to_owned() };
    if quirks.cdata {
        let safe = padded.replace("]]>", "]]]]><![CDATA[>");
        out.raw(&format!("<Data><![CDATA[{safe}]]></Data>"));
    } else {
        out.leaf("Data", &[], &padded);
    }
}
