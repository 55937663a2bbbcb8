//! The server's SyncML messages, read and judged by every rule of OMA DM 1.2 that a server can break.
//!
//! Start with [`read`].

use openssl::base64::decode_block;
use protocol::windows::xml::{Document, Element, parse};

use super::{METINF, Message, SYNCML};
use crate::sim::windows::judge::Judge;

/// The largest message that is read, in bytes.
const MAX_BYTES: usize = 16 << 20;

const STATUS: &[&str] =
    &["CmdID", "MsgRef", "CmdRef", "Cmd", "TargetRef*", "SourceRef*", "Cred", "Chal", "Data", "Item*"];
const COMMAND: &[&str] = &["CmdID", "NoResp", "Lang", "Cred", "Meta", "Correlator", "Item*"];
const ATOMIC: &[&str] =
    &["CmdID", "NoResp", "Meta", "Add*", "Replace*", "Delete*", "Exec*", "Get*", "Atomic*", "Sequence*"];
const HEADER: &[&str] =
    &["VerDTD", "VerProto", "SessionID", "MsgID", "Target", "Source", "RespURI", "NoResp", "Cred", "Meta"];
const ITEM: &[&str] = &["Target", "Source", "SourceParent", "TargetParent", "Meta", "Data", "MoreData"];
const META: &[&str] =
    &["FieldLevel", "Format", "Type", "Mark", "Size", "Anchor", "Version", "NextNonce", "MaxMsgSize", "MaxObjSize"];
const FORMATS: &[&str] = &["chr", "int", "bool", "b64", "xml", "node", "null", "bin", "float", "date", "time"];

/// What a message of the server says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The status of the header of the PC's message.
    pub header: u16,
    /// The nonce of the challenge, where there is one.
    pub nonce: Option<Vec<u8>>,
    /// What the PC shall do.
    pub orders: Vec<Order>,
    /// The name of the alert that asks for the next piece of a large value.
    pub wants_more: Option<String>,
    /// The statuses of the PC's results, by their `CmdID`.
    pub results: Vec<(String, u16)>,
}

/// Something that the PC shall do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// Its `CmdID`.
    pub id: String,
    /// `Get`, `Add`, `Replace`, `Delete`, `Exec` or `Atomic`.
    pub verb: String,
    /// What it is about.
    pub items: Vec<Item>,
    /// What an `Atomic` holds.
    pub parts: Vec<Order>,
}

/// What an order is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Item {
    /// The node.
    pub target: String,
    /// The format of the value; `chr` when it is not said.
    pub format: String,
    /// The value, where there is one.
    pub data: Option<String>,
}

/// Reads the answer to a message and says what is wrong with it; `Err` when nothing can be read of it.
pub fn read(bytes: &[u8], sent: &Message) -> Result<(Answer, Vec<String>), String> {
    let document = parse(bytes, MAX_BYTES).map_err(|error| error.to_string())?;
    let mut judge = Judge::default();
    let root = &document.root;
    judge.demand(root.is(SYNCML, "SyncML"), || format!("the message is {} of {}", root.name, root.namespace));
    judge.order(root, SYNCML, &["SyncHdr", "SyncBody"]);
    let header = root.child(SYNCML, "SyncHdr").ok_or("there is no SyncHdr")?;
    let body = root.child(SYNCML, "SyncBody").ok_or("there is no SyncBody")?;
    judge_header(header, sent, &mut judge);
    let last = body.children.last().is_some_and(|last| last.is(SYNCML, "Final") && last.children.is_empty());
    judge.demand(last, || "the message does not end with Final".into());
    let mut reader = Reader { document: &document, judge, ids: Vec::new(), answer: Answer::default() };
    reader.body(body, sent);
    Ok((reader.answer, reader.judge.breaches()))
}

fn judge_header(header: &Element, sent: &Message, judge: &mut Judge) {
    judge.order(header, SYNCML, HEADER);
    judge.says("VerDTD", header.child_text(SYNCML, "VerDTD"), "1.2");
    judge.says("VerProto", header.child_text(SYNCML, "VerProto"), "DM/1.2");
    judge.says("SessionID", header.child_text(SYNCML, "SessionID"), &sent.session_id);
    judge.says("MsgID", header.child_text(SYNCML, "MsgID"), &sent.msg_id);
    judge.says("Target", uri(header, "Target"), &sent.source);
    judge.says("Source", uri(header, "Source"), &sent.target);
}

struct Reader<'a> {
    document: &'a Document<'a>,
    judge: Judge,
    ids: Vec<String>,
    answer: Answer,
}

impl Reader<'_> {
    fn body(&mut self, body: &Element, sent: &Message) {
        let mut open: Vec<(String, &str)> = Vec::new();
        for (place, said) in sent.said.iter().enumerate() {
            open.push((Message::cmd_id(place), said.name()));
        }
        for (place, child) in body.children.iter().enumerate() {
            self.judge.demand(child.is(SYNCML, &child.name), || format!("{} has the wrong namespace", child.name));
            match child.name.as_str() {
                "Status" => self.status(child, place, sent, &mut open),
                "Alert" => self.alert(child),
                "Final" => self.judge.demand(place + 1 == body.children.len(), || "something follows Final".into()),
                _ => {
                    let order = self.order(child, false);
                    self.answer.orders.push(order);
                }
            }
        }
        self.judge.demand(self.answer.header != 0, || "the header has no status".into());
        if self.answer.header == 200 {
            for (id, name) in open.iter().filter(|(_, name)| !matches!(*name, "Alert" | "Status" | "Results")) {
                self.judge.demand(false, || format!("{name} {id} has no status"));
            }
        } else {
            let orders = self.answer.orders.len();
            self.judge.demand(orders == 0, || format!("{orders} commands for somebody who is not known"));
        }
        self.judge.demand(self.answer.header != 212, || "a status 212: the PC would stop to send its digest".into());
    }

    fn status(&mut self, status: &Element, place: usize, sent: &Message, open: &mut Vec<(String, &str)>) {
        self.judge.order(status, SYNCML, STATUS);
        self.id(status);
        let said = |name: &str| status.child_text(SYNCML, name).unwrap_or_default();
        let (reference, cmd, code) = (said("CmdRef"), said("Cmd"), said("Data").parse().unwrap_or(0_u16));
        self.judge.demand((200..600).contains(&code), || format!("a status of {:?}", said("Data")));
        self.judge.says("MsgRef", Some(said("MsgRef")), &sent.msg_id);
        let nonce = self.challenge(status);
        self.judge.demand(nonce.is_some() == matches!(code, 401 | 407), || format!("a challenge does not fit {code}"));
        if reference == "0" {
            self.judge.demand(place == 0, || "the status of the header is not the first".into());
            self.judge.says("Cmd of the header's status", Some(cmd), "SyncHdr");
            (self.answer.header, self.answer.nonce) = (code, nonce);
            return;
        }
        let Some(found) = open.iter().position(|(id, _)| id == reference) else {
            return self.judge.demand(false, || format!("a status of {reference}, which was not said, or had one"));
        };
        let (id, name) = open.remove(found);
        self.judge.says("Cmd of a status", Some(cmd), name);
        self.judge.demand(name != "Status", || "a status of a status".into());
        if name == "Results" {
            self.answer.results.push((id, code));
        }
    }

    fn challenge(&mut self, status: &Element) -> Option<Vec<u8>> {
        let meta = status.child(SYNCML, "Chal")?.child(SYNCML, "Meta");
        let said = |name: &str| meta.and_then(|meta| meta.child_text(METINF, name));
        self.judge.says("the challenge's Type", said("Type"), "syncml:auth-md5");
        self.judge.says("the challenge's Format", said("Format"), "b64");
        let nonce = said("NextNonce").and_then(|text| decode_block(text).ok()).filter(|nonce| !nonce.is_empty());
        self.judge.demand(nonce.is_some(), || "the challenge has no NextNonce".into());
        Some(nonce.unwrap_or_default())
    }

    fn alert(&mut self, alert: &Element) {
        self.judge.order(alert, SYNCML, &["CmdID", "NoResp", "Cred", "Data", "Correlator", "Item*"]);
        let id = self.id(alert);
        match alert.child_text(SYNCML, "Data") {
            Some("1222") => self.answer.wants_more = Some(id),
            Some("1223") => {}
            other => self.judge.demand(false, || format!("the server alerts {other:?}")),
        }
    }

    fn order(&mut self, command: &Element, inside: bool) -> Order {
        let verb = command.name.as_str();
        let is_atomic = verb == "Atomic";
        let known = matches!(verb, "Get" | "Add" | "Replace" | "Delete" | "Exec" | "Atomic");
        self.judge.demand(known, || format!("the server says {verb}"));
        self.judge.demand(!inside || !matches!(verb, "Get" | "Atomic"), || format!("an Atomic holds {verb}"));
        self.judge_parts(command, is_atomic);
        let id = self.id(command);
        let mut order = Order { id, verb: verb.to_owned(), ..Order::default() };
        let is_command = |child: &&Element| !matches!(child.name.as_str(), "CmdID" | "NoResp" | "Meta");
        if is_atomic {
            for child in command.children.iter().filter(is_command) {
                order.parts.push(self.order(child, true));
            }
        } else {
            order.items = command.children(SYNCML, "Item").map(|item| self.item(item, verb)).collect();
        }
        let empty = order.parts.is_empty() && order.items.is_empty();
        self.judge.demand(!empty, || format!("{verb} {} holds nothing", order.id));
        order
    }

    /// The commands in an Atomic may stand in any order; everything else may not.
    fn judge_parts(&mut self, command: &Element, is_atomic: bool) {
        if is_atomic {
            let names: Vec<&str> = command.children.iter().map(|child| child.name.as_str()).collect();
            self.judge.demand(names.first() == Some(&"CmdID"), || "an Atomic does not begin with its CmdID".into());
            let known = |name: &&str| ATOMIC.iter().any(|known| known.trim_end_matches('*') == *name);
            self.judge.demand(names.iter().all(known), || format!("an Atomic holds {names:?}"));
        } else {
            self.judge.order(command, SYNCML, COMMAND);
        }
    }

    fn item(&mut self, item: &Element, verb: &str) -> Item {
        self.judge.order(item, SYNCML, ITEM);
        let target = uri(item, "Target").unwrap_or_default().to_owned();
        self.judge.demand(!target.is_empty() && !target.starts_with('/'), || format!("{verb} is about {target:?}"));
        let format = item.child(SYNCML, "Meta").map(|meta| {
            self.judge.order(meta, METINF, META);
            let format = meta.child_text(METINF, "Format").unwrap_or("chr");
            self.judge.demand(FORMATS.contains(&format), || format!("the format of {target} is {format}"));
            format.to_owned()
        });
        let data = item.child(SYNCML, "Data").map(|data| self.document.value(data).to_owned());
        let wants_data = matches!(verb, "Add" | "Replace");
        let is_node = matches!(format.as_deref(), Some("node" | "null"));
        // The node of an MSI is added without a value, as Fleet and Microsoft do it.
        let bare = verb == "Add" && format.is_none();
        self.judge
            .demand(!wants_data || is_node || bare || data.is_some(), || format!("{verb} of {target} has no Data"));
        Item { target, format: format.unwrap_or_else(|| "chr".into()), data }
    }

    /// The name of a command, which no other command of the message has.
    fn id(&mut self, command: &Element) -> String {
        let id = command.child_text(SYNCML, "CmdID").unwrap_or_default().to_owned();
        self.judge.demand(!id.is_empty() && id != "0", || format!("{} has the CmdID {id:?}", command.name));
        self.judge.demand(!self.ids.contains(&id), || format!("the CmdID {id} stands twice in the message"));
        self.ids.push(id.clone());
        id
    }
}

fn uri<'e>(parent: &'e Element, name: &str) -> Option<&'e str> {
    parent.child(SYNCML, name)?.child_text(SYNCML, "LocURI")
}

#[cfg(test)]
mod tests;
