//! A Windows device speaks: one message of a management session, from its proof to its answer.
//!
//! The same turn as Apple's report, with more in it: a message answers several commands and is answered with several. What is
//! remembered between two messages is in memory alone; if it is lost, the device begins a new session.

use actix::prelude::*;
use bytes::Bytes;
use entities::{StoreError, command, queue_window};
use openssl::sha::sha256;
use protocol::ids::CommandUuid;
use protocol::queue::{self, Heard, Room, Round as Decision, State};
use protocol::windows::session::{self, Round, Session};
use protocol::windows::syncml::{Command, Message as SyncMl, OpenCommand};

use super::prove::{Presented, Proven};
use super::window::entry;
use super::{Host, Turn, at_once};
use crate::ask::{Answer, Refusal};
use crate::fault;

/// Commands in one answer.
const MOST: usize = 16;
/// Commands of other sessions that one message may speak of; what it says of more is not looked at.
const MOST_STRANGERS: usize = 64;

/// A message of a Windows device.
#[derive(Debug, Message)]
#[rtype(result = "Answer<Managed>")]
pub struct Manage {
    /// What the device shows.
    pub presented: Presented,
    /// What it says.
    pub message: SyncMl,
    /// The message as it came.
    pub body: Bytes,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Managed {
    /// The answer.
    Answer(Bytes),
    /// The device did not prove that it is who it says; nothing else was looked at.
    Unproven,
}

/// A message on its way through its turn.
pub(super) struct Work {
    /// The channel's row.
    pub(super) row: i64,
    /// Whether the message begins a session.
    pub(super) begins: bool,
    /// The session as it was before the message.
    pub(super) session: Session,
    /// The message.
    pub(super) message: SyncMl,
    /// The message as it came.
    pub(super) body: Bytes,
    /// Commands of which the message speaks and that the session does not hold.
    pub(super) others: Vec<OpenCommand>,
    /// Commands of which the message speaks and that are not pending: how they ended before, where anybody knows them.
    pub(super) strangers: Vec<(CommandUuid, Option<State>)>,
    /// How many commands may be handed out; none in a session that ends.
    pub(super) most: usize,
    /// Commands that may not go in this session, by their queue entries.
    pub(super) barred: Vec<i64>,
}

impl Handler<Manage> for Host {
    type Result = AtomicResponse<Self, Answer<Managed>>;

    fn handle(&mut self, manage: Manage, _: &mut Context<Self>) -> Self::Result {
        fault::point("host.session");
        let Manage { presented, message, body } = manage;
        let proving = self.prove(presented, &message.header);
        AtomicResponse::new(Box::pin(proving.then(move |proven, host, _| match proven {
            Err(refusal) => at_once(Err(refusal)),
            Ok(None) => at_once(Ok(Managed::Unproven)),
            Ok(Some(proven)) => {
                host.touch();
                match host.stale() {
                    Some(refusal) => at_once(Err(refusal)),
                    None if host.deleted => host.come_back(move |host, _| host.listen(proven, message, body)),
                    None => host.listen(proven, message, body),
                }
            }
        })))
    }
}

impl Host {
    /// Which session is it?
    fn listen(&mut self, proven: Proven, message: SyncMl, body: Bytes) -> Turn<Managed> {
        let (now, Proven { row, proof, is_new }) = (self.now(), proven);
        let Some(channel) = self.channel_of_row(row) else { return at_once(Ok(Managed::Unproven)) };
        let (enabled, Some(windows)) = (channel.enabled, &mut channel.windows) else {
            return at_once(Ok(Managed::Unproven));
        };
        let header = &message.header;
        let is_repeated = windows.session.as_ref().is_some_and(|session| session.repeats(header));
        if is_repeated
            && !is_new
            && let Some((hash, answer)) = &windows.answered
            && *hash == sha256(&body)
            && (proof != session::Proof::Certificate || !header.is_first())
        {
            return at_once(Ok(Managed::Answer(answer.clone())));
        }
        // Some devices call all their sessions alike, and count on when they are challenged: what they say decides.
        let going_on = windows.session.as_ref().filter(|session| session.goes_on_with(header) && !message.begins());
        let session = match going_on {
            Some(session) => session.clone().proven_by(proof, if is_new { now } else { session.began_at() }),
            // A digest that was seen before begins nothing: somebody says again what was said.
            None if proof != session::Proof::Certificate && !is_new => return at_once(Ok(Managed::Unproven)),
            None => Session::begin(header, proof, now),
        };
        let begins = going_on.is_none();
        let (others, strangers) = (Vec::new(), Vec::new());
        let most = if message.unenrolls() || message.aborts() { 0 } else { MOST };
        let barred = Vec::new();
        let work = Work { row, begins, session, message, body, others, strangers, most, barred };
        if enabled { self.take_poll(work) } else { self.send_away(&work) }
    }

    /// Looks up the commands that the message speaks of and that the session does not hold: this actor may be younger than
    /// the session, or the device answers late.
    pub(super) fn meet_strangers(&mut self, work: Work) -> Turn<Managed> {
        let mut names = work.session.strangers(&work.message);
        names.truncate(MOST_STRANGERS);
        if names.is_empty() {
            return self.consider(work);
        }
        let (reader, row) = (self.parts.reader.clone(), work.row);
        let generation = self.channel_of_row(row).map_or(0, |channel| channel.generation.0);
        let looking = async move {
            let mut found = Vec::with_capacity(names.len());
            for name in names {
                let known = queue_window::by_uuid(&reader, row, name.as_str().to_owned()).await?;
                let pending = known.as_ref().filter(|known| known.generation == generation && entry(known).is_some());
                let body = match pending {
                    Some(row) => match command::body_of_entry(&reader, row.id).await {
                        Err(StoreError::Unreadable(_)) => None, // it is parked when it is to be handed out again
                        read => Some(read?),
                    },
                    None => None,
                };
                found.push((name, known, body));
            }
            Ok::<_, StoreError>(found)
        };
        Box::pin(looking.into_actor(self).then(move |found, host, _| {
            let mut work = work;
            let found = match found {
                Ok(found) => found,
                Err(error) => return at_once(Err(Refusal::soon(error))),
            };
            for (name, known, body) in found {
                let command = body.and_then(|body| Command::from_body(&body, name.clone()).ok());
                let state = known.as_ref().and_then(|row| State::from_code(row.state));
                match (command, known.as_ref().and_then(entry), host.channel_of_row(row)) {
                    (Some(command), Some(entry), Some(channel)) if entry.state.is_queued() => {
                        channel.queue.admit(entry);
                        work.others.push(OpenCommand::new(command));
                    }
                    _ => work.strangers.push((name, state.filter(|state| state.is_terminal()))),
                }
            }
            host.consider(work)
        }))
    }

    /// Decides what the message changes, and what the device gets.
    pub(super) fn consider(&mut self, work: Work) -> Turn<Managed> {
        let (now, policy) = (self.now(), self.parts.config.clone());
        let row = work.row;
        let Some(channel) = self.channel_of_row(row) else { return at_once(Ok(Managed::Unproven)) };
        let round = work.session.hear(&work.message, work.others.clone());
        // What this session handed out and is pending no more has ended otherwise meanwhile.
        let ended = |uuid| if channel.queue.is_pending(uuid) { None } else { Some(State::Superseded) };
        let finished = round.finished.iter().map(|(uuid, outcome)| (uuid, outcome.answer, ended(uuid)));
        let reported = work.reported();
        let of_strangers = reported.iter().map(|(uuid, code, ended)| (uuid, answer(*code), *ended));
        let heard: Vec<Heard<'_>> = finished
            .chain(of_strangers)
            .map(|(uuid, answer, ended)| Heard { answer, uuid: Some(uuid), ended })
            .collect();
        let room = Room { most: work.most, barred: &work.barred };
        let decision = channel.queue.decide_round(work.begins, &heard, room, now, &policy.windows);
        if decision.wants_more && work.most > 0 {
            return Box::pin(self.read_on(row).then(move |read, host, _| match read {
                Ok(()) => host.consider(work),
                Err(refusal) => at_once(Err(refusal)),
            }));
        }
        self.fetch(work, round, decision)
    }

    /// Gets the texts of what is handed out. When they are too long for one answer, fewer are.
    fn fetch(&mut self, work: Work, round: Round, decision: Decision) -> Turn<Managed> {
        let Some(channel) = self.channel_of_row(work.row) else { return at_once(Ok(Managed::Unproven)) };
        let wanted: Vec<(i64, CommandUuid, Option<Bytes>)> =
            decision.next.iter().map(|next| (next.id, next.uuid.clone(), channel.bodies.get(next.id))).collect();
        if wanted.is_empty() {
            return self.answer(work, round, decision, Vec::new());
        }
        let (reader, writer, now) = (self.parts.reader.clone(), self.parts.writer.clone(), self.now());
        let fetching = async move {
            let mut commands = Vec::with_capacity(wanted.len());
            for (entry, uuid, body) in wanted {
                let body = match body {
                    Some(body) => body,
                    None => super::report::read_body(&reader, &writer, entry, now).await?,
                };
                commands.push((entry, Command::from_body(&body, uuid)));
            }
            for (entry, command) in &commands {
                if command.is_err() {
                    super::report::park(&writer, *entry, now).await?;
                }
            }
            Ok::<_, StoreError>(commands)
        };
        Box::pin(fetching.into_actor(self).then(move |fetched, host, context| {
            let fetched = match host.settle(fetched, context) {
                Ok(fetched) => fetched,
                Err(refusal) => return at_once(Err(refusal)),
            };
            let is_barred = |command: &Command| work.session.bars(command, &work.message);
            let barred = fetched.iter().filter(|(_, command)| command.as_ref().is_ok_and(is_barred));
            let barred: Vec<i64> = barred.map(|(entry, _)| *entry).collect();
            if !barred.is_empty() {
                let barred = [work.barred.as_slice(), &barred].concat();
                return host.consider(Work { barred, ..work });
            }
            match fetched.into_iter().map(|(_, command)| command).collect::<Result<Vec<_>, _>>() {
                Ok(commands) => host.answer(work, round, decision, commands),
                // What cannot be read is parked now: memory has to know.
                Err(error) => at_once(host.become_stale(Refusal::soon(error), context)),
            }
        }))
    }
}

impl Work {
    /// What the message says of commands that are not pending.
    pub(super) fn reported(&self) -> Vec<(CommandUuid, u16, Option<State>)> {
        let code = |uuid: &CommandUuid| {
            let of_this = self.message.statuses().filter(|status| names(&status.command_ref, uuid));
            of_this.map(|status| status.code).max()
        };
        self.strangers.iter().filter_map(|(uuid, ended)| Some((uuid.clone(), code(uuid)?, *ended))).collect()
    }
}

/// Whether a `CmdRef` is about this command.
fn names(command_ref: &str, uuid: &CommandUuid) -> bool {
    protocol::windows::syncml::WireId::parse(command_ref).is_some_and(|id| id.uuid == *uuid)
}

fn answer(code: u16) -> queue::Answer {
    if (200..300).contains(&code) { queue::Answer::Acknowledged } else { queue::Answer::Error }
}
