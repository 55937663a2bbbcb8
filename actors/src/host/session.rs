//! A Windows device speaks: one message of a management session, from its proof to its answer.
//!
//! The same turn as Apple's report, with more in it: a message answers several commands and is answered with several. What is
//! remembered between two messages is in memory alone; if it is lost, the device begins a new session.

use actix::prelude::*;
use bytes::Bytes;
use entities::host_profile::report::Finding;
use entities::{StoreError, command, queue_window};
use openssl::sha::sha256;
use protocol::ids::{CommandUuid, HostId};
use protocol::queue::{self, Heard, Room, Round as Decision, State};
use protocol::time::Timestamp;
use protocol::windows::session::{self, Round, Session};
use protocol::windows::syncml::{Command, Message as SyncMl, OpenCommand};

use super::prove::{Presented, Proven};
use super::window::entry;
use super::{Host, HostParts, Turn, at_once, windows_profiles};
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
    /// What the message tells of the host's profiles.
    pub(super) findings: Vec<Finding>,
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
        let (barred, findings) = (Vec::new(), Vec::new());
        let work = Work { row, begins, session, message, body, others, strangers, most, barred, findings };
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
        let (parts, host, row) = (self.parts.clone(), self.id, work.row);
        let generation = self.channel_of_row(row).map_or(0, |channel| channel.generation.0);
        let looking = async move {
            let mut found = Vec::with_capacity(names.len());
            for name in names {
                let known = queue_window::by_uuid(&parts.reader, row, name.as_str().to_owned()).await?;
                let pending = known.as_ref().filter(|known| known.generation == generation && entry(known).is_some());
                let command = match pending {
                    Some(row) => match handed_out_before(&parts, host, row.id, &name).await {
                        Err(StoreError::Unreadable(_)) => None, // it is parked when it is to be handed out again
                        read => Some(read?),
                    },
                    None => None,
                };
                found.push((name, known, command));
            }
            Ok::<_, StoreError>(found)
        };
        Box::pin(looking.into_actor(self).then(move |found, host, _| {
            let mut work = work;
            let found = match found {
                Ok(found) => found,
                Err(error) => return at_once(Err(Refusal::soon(error))),
            };
            for (name, known, command) in found {
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
        let told = windows_profiles::told(&round);
        if wanted.is_empty() && told.is_empty() {
            return self.answer(work, round, decision, Vec::new());
        }
        let (parts, host, now) = (self.parts.clone(), self.id, self.now());
        let fetching = async move {
            let mut commands = Vec::with_capacity(wanted.len());
            for wanted in wanted {
                commands.push((wanted.0, made(&parts, host, wanted, now).await?));
            }
            let findings = match told.as_slice() {
                [] => Vec::new(),
                _ => windows_profiles::findings(&parts, host, told).await?,
            };
            Ok::<_, StoreError>((commands, findings))
        };
        Box::pin(fetching.into_actor(self).then(move |fetched, host, context| {
            let (fetched, findings) = match host.settle(fetched, context) {
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
                Ok(commands) => host.answer(Work { findings, ..work }, round, decision, commands),
                // What cannot be made is taken out of the way now: memory has to know.
                Err(why) => at_once(host.become_stale(Refusal::soon(why), context)),
            }
        }))
    }
}

/// A command that is to be handed out; `Err` says why it cannot be made, and it is taken out of the way.
async fn made(
    parts: &HostParts,
    host: HostId,
    (entry, uuid, body): (i64, CommandUuid, Option<Bytes>),
    now: Timestamp,
) -> Result<Result<Command, String>, StoreError> {
    let body = match body {
        Some(body) => body,
        None => super::report::read_body(&parts.reader, &parts.writer, entry, now).await?,
    };
    match windows_profiles::handed_out(parts, host, uuid.clone(), &body).await {
        Err(StoreError::Unreadable(why)) => {
            windows_profiles::set_aside(parts, host, (entry, &uuid, &body), &why, now).await?;
            Ok(Err(why))
        }
        made => made.map(Ok),
    }
}

/// A command that the device has, as it got it.
async fn handed_out_before(
    parts: &HostParts,
    host: HostId,
    entry: i64,
    name: &CommandUuid,
) -> Result<Command, StoreError> {
    let body = command::body_of_entry(&parts.reader, entry).await?;
    windows_profiles::handed_out(parts, host, name.clone(), &body).await
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
