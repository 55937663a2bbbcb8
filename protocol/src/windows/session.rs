//! A management session (OMA-TS-DM_Protocol-V1_2): what is remembered between a device's messages, and what one of them leads to.
//!
//! Pure. A session begins when a device proves itself, with a certificate or with a digest of a nonce that was not used before,
//! and ends when it is sent nothing that it would answer. Whoever holds a [`Session`] decides what is handed out; what is in
//! one is only what the device has and has not answered.
//!
//! Start with [`Session::hear`].

use super::syncml::{Challenge, Command, Header, Heard, Message, OpenCommand, Outcome, Received, Reply, WireId, short};
use crate::ids::CommandUuid;
use crate::time::Timestamp;

/// How the sender of a message proved itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// With the client certificate of its connection, or with a signature.
    Certificate,
    /// With a digest of this nonce.
    Digest([u8; 16]),
}

/// A session.
#[derive(Clone, Debug)]
pub struct Session {
    id: String,
    proof: Proof,
    began_at: Timestamp,
    last_message: u64,
    open: Vec<OpenCommand>,
    /// Whether the device said that no user of ours is logged on.
    without_user: bool,
    /// The model that the device said it is.
    model: Option<String>,
}

/// What a message leads to, before anything is handed out.
#[derive(Clone, Debug, Default)]
pub struct Round {
    /// Final words on commands.
    pub finished: Vec<(CommandUuid, Outcome)>,
    /// Operations to be done instead of some that could not be.
    again: Vec<String>,
    /// Whether a large object goes on in the next message.
    more: bool,
    /// Commands that are not answered yet.
    pub open: Vec<OpenCommand>,
}

/// The name of the command that sets how often a device asks for work.
const POLL: &str = "rookery-poll";
/// What the server itself wants to know of a device, until it is certain which host it is.
const QUESTIONS: [(&str, &str); 3] = [
    ("rookery-serial", "./DevDetail/Ext/Microsoft/SMBIOSSerialNumber"),
    ("rookery-version", "./DevDetail/SwV"),
    ("rookery-name", "./DevDetail/Ext/Microsoft/DNSComputerName"),
];

/// What the server wants of a device besides what is queued for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// To know which host it is.
    pub facts: bool,
    /// That it asks for work every so many minutes.
    pub poll_minutes: Option<i32>,
}

/// A device's answers to the questions of the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Its serial number as its firmware has it, placeholders included.
    pub serial: Option<String>,
    /// Its version of Windows.
    pub os_version: Option<String>,
    /// Its name.
    pub computer_name: Option<String>,
}

impl Session {
    /// A session that begins with a message.
    pub fn begin(header: &Header, proof: Proof, now: Timestamp) -> Self {
        let (id, last_message) = (header.session_id.clone(), number(header));
        Self { id, proof, began_at: now, last_message, open: Vec::new(), without_user: false, model: None }
    }

    /// How its device proved itself.
    pub const fn proof(&self) -> Proof {
        self.proof
    }

    /// When its device proved itself.
    pub const fn began_at(&self) -> Timestamp {
        self.began_at
    }

    /// The model that the device said it is at the beginning of the session.
    pub fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// Whether a command cannot be done in this session, of which `message` is a part.
    pub fn bars(&self, command: &Command, message: &Message) -> bool {
        let without_user = message.has_user().map_or(self.without_user, |has_user| !has_user);
        without_user && command.needs_user()
    }

    /// Whether a message goes on with this session. Some devices call all their sessions alike: a first message then begins
    /// another one.
    pub fn goes_on_with(&self, header: &Header) -> bool {
        self.id == header.session_id && !header.is_first() && number(header) > self.last_message
    }

    /// Whether a message is the last one once more: its answer was lost.
    pub fn repeats(&self, header: &Header) -> bool {
        self.id == header.session_id && number(header) == self.last_message
    }

    /// The commands that a message speaks of and that this session does not hold: it began before we were there.
    pub fn strangers(&self, message: &Message) -> Vec<CommandUuid> {
        let mut found: Vec<CommandUuid> = Vec::new();
        let statuses = message.statuses().map(|status| &status.command_ref);
        let results = message.results().map(|results| &results.command_ref);
        for id in statuses.chain(results).filter(|name| !is_question(name)).filter_map(|name| WireId::parse(name)) {
            let held = self.open.iter().any(|open| *open.uuid() == id.uuid);
            if !held && !found.contains(&id.uuid) {
                found.push(id.uuid);
            }
        }
        found
    }

    /// Takes in what a message says about the commands of this session, and about `others`. Changes nothing.
    pub fn hear(&self, message: &Message, others: Vec<OpenCommand>) -> Round {
        let mut round = Round::default();
        for mut open in self.open.iter().cloned().chain(others) {
            match open.hear(message) {
                Heard::Done(outcome) => {
                    round.finished.push((open.uuid().clone(), outcome));
                    continue;
                }
                Heard::Again(operations) => round.again.extend(operations),
                Heard::Waiting => round.more |= open.is_partial(),
            }
            round.open.push(open);
        }
        round
    }

    /// The session after a message that led to this round, in which these commands were handed out.
    #[must_use]
    pub fn after(self, message: &Message, round: Round, handed_out: impl IntoIterator<Item = Command>) -> Self {
        let mut open = round.open;
        open.extend(handed_out.into_iter().map(OpenCommand::new));
        let without_user = message.has_user().map_or(self.without_user, |has_user| !has_user);
        let model = message.dev_info("Mod").map(str::to_owned).or(self.model);
        Self { last_message: number(&message.header), open, without_user, model, ..self }
    }

    /// The same session, whose device proved itself anew.
    #[must_use]
    pub fn proven_by(self, proof: Proof, now: Timestamp) -> Self {
        Self { proof, began_at: now, ..self }
    }
}

/// Writes the answer to a message that proved where it came from; false in the second place: the session ends with it.
pub fn reply(message: &Message, round: &Round, wishes: Wishes, commands: &[String]) -> (String, bool) {
    let mut reply = Reply::accept(&message.header);
    for said in &message.body {
        match said {
            Received::Command { id, name, .. } if !id.is_empty() => reply.status(id, name, 200),
            Received::Results(results) if results.items.iter().any(|item| item.more_data) => {
                reply.status(&results.id, "Results", 213);
            }
            _ => {}
        }
    }
    if round.more {
        reply.ask_for_more();
    }
    if wishes.facts {
        for (id, target) in QUESTIONS {
            reply.get(id, target);
        }
    }
    let poll = wishes.poll_minutes.zip(CommandUuid::parse(POLL));
    let poll = poll.and_then(|(minutes, name)| Command::poll(name, minutes).ok()).map(|command| command.body());
    round.again.iter().chain(&poll).chain(commands).for_each(|xml| reply.command(xml));
    let goes_on = reply.has_commands();
    (reply.finish(), goes_on)
}

/// The answer to a message that did not prove where it came from.
pub fn challenge(header: &Header, nonce: &[u8]) -> String {
    let why = if header.digest.is_some() { Challenge::Wrong } else { Challenge::Missing };
    Reply::challenge(header, why, nonce)
}

/// What a device answered to our questions, once it has.
pub fn facts(message: &Message) -> Option<Facts> {
    let (serial, _) = QUESTIONS[0];
    message.statuses().find(|status| status.command_ref == serial)?;
    let mut answers = QUESTIONS.map(|(id, _)| {
        let results = message.results().filter(|results| results.command_ref == id);
        let data = results.flat_map(|results| &results.items).find_map(|item| item.data.as_deref());
        data.and_then(short).map(str::to_owned)
    });
    let [serial, os_version, computer_name] = &mut answers;
    Some(Facts { serial: serial.take(), os_version: os_version.take(), computer_name: computer_name.take() })
}

/// Whether a device says that it asks for work as often as it was told; `None` when it says nothing about it.
pub fn polls_as_told(message: &Message) -> Option<bool> {
    let status = message.statuses().find(|status| status.command_ref == POLL)?;
    Some((200..300).contains(&status.code))
}

/// Whether a `CmdRef` is that of one of our own wishes.
fn is_question(command_ref: &str) -> bool {
    command_ref == POLL || QUESTIONS.iter().any(|(id, _)| *id == command_ref)
}

/// The number of a message; 0 for what is none, so that it never goes on with anything.
fn number(header: &Header) -> u64 {
    header.message_id.parse().unwrap_or(0)
}

#[cfg(test)]
mod tests;
