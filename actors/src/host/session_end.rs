//! How a message of a Windows device ends: its rows are committed, memory adopts them, and the device gets its answer. And how its
//! management ends.

use actix::prelude::*;
use bytes::Bytes;
use entities::orphan_result;
use entities::turn::{Leaving, NewOrphan, NewResult, Turn as Rows};
use entities::windows_host::{self, Said};
use openssl::sha::sha256;
use protocol::ids::{CommandUuid, serial_number};
use protocol::queue::{Filing, OrphanReason, Round as Decision, State};
use protocol::time::Timestamp;
use protocol::windows::session::{self, Round, Wishes};
use protocol::windows::syncml::{Command, Outcome};

use super::channel::Channel;
use super::report::entry_change;
use super::session::{Managed, Work};
use super::{Host, Turn, at_once};
use crate::fault;
use crate::feed::What;

/// The longest answer; more commands wait for the next message. A single longer one goes alone.
const MAX_ANSWER_BYTES: usize = 512 * 1024;
/// What is kept of a message that speaks of commands nobody waits for, in bytes.
const MAX_ORPHAN_BYTES: usize = 64 * 1024;

impl Host {
    /// Writes what the device said about itself, once it was asked.
    pub(super) fn take_facts(&mut self, work: Work) -> Turn<Managed> {
        let linked = self.windows(work.row).is_none_or(|windows| windows.linked);
        let Some(facts) = session::facts(&work.message).filter(|_| !linked) else { return self.meet_strangers(work) };
        let serial = facts.serial.as_deref().and_then(serial_number).map(str::to_owned);
        if serial.is_none() {
            tracing::info!(host.id = self.id.0, "the device has no serial number of its own");
        }
        let said = Said {
            enrollment_id: work.row,
            host_id: self.id.0,
            serial,
            os_version: facts.os_version,
            hardware_model: work.session.model().map(str::to_owned),
            computer_name: facts.computer_name,
            at: self.now().millis(),
        };
        let writer = self.parts.writer.clone();
        let describing = async move { windows_host::describe(&writer, said).await };
        Box::pin(describing.into_actor(self).then(move |described, host, context| {
            let is_certain = match host.settle(described, context) {
                Ok(is_certain) => is_certain,
                Err(refusal) => return at_once(Err(refusal)),
            };
            if !is_certain {
                tracing::warn!(host.id = host.id.0, "it says the serial number of another host, which keeps it");
            }
            if let Some(windows) = host.windows(work.row) {
                windows.linked = is_certain;
            }
            host.meet_strangers(work)
        }))
    }

    /// Composes the answer and commits.
    pub(super) fn answer(
        &mut self,
        work: Work,
        round: Round,
        mut decision: Decision,
        commands: Vec<Command>,
    ) -> Turn<Managed> {
        let texts: Vec<String> = commands.iter().map(Command::body).collect();
        let fits = fitting(&commands, &texts);
        if fits < texts.len() {
            return self.consider(Work { most: fits, ..work });
        }
        let wishes = self.wishes_of(&work);
        let (text, goes_on) = session::reply(&work.message, &round, wishes, &texts);
        let unenrolls = commands.iter().find(|command| is_unenroll(command)).map(|command| command.uuid().clone());
        let ends = unenrolls.is_some() || work.message.unenrolls();
        let goes_on = goes_on && work.most > 0;
        let answer = Bytes::from(text);
        let now = self.now();
        let mut rows = self.session_rows(&work, &round, &mut decision, unenrolls.as_ref(), now);
        if ends {
            let (host_id, enrollment_id) = (self.id.0, work.row);
            rows.leaves = Some(Leaving { host_id, enrollment_id, at: now.millis() });
            rows.events.extend(self.tell_left(work.row, &work.body));
            self.note(What::Unenrolled);
        }
        let others = self.channels.iter().filter(|channel| channel.row != work.row);
        let others_wake_at = others.filter_map(|channel| channel.queue.wake_at()).min();
        rows.wake = self.wake_along(decision.wake_at.into_iter().chain(others_wake_at).min(), rows.is_empty());
        self.guard.suspect(decision.next.first().map(|next| next.id).or(rows.results.first().map(|row| row.entry_id)));
        fault::point_with("host.session.decided", decision.next.first().map(|next| &next.uuid));
        let (wake, nothing) = (rows.wake, rows.is_empty());
        let writer = self.parts.writer.clone();
        let committing = async move { if nothing { Ok(()) } else { writer.host_turn(rows).await } };
        Box::pin(committing.into_actor(self).map(move |committed, host, context| {
            fault::point("host.session.committed");
            host.settle(committed, context)?;
            host.stored(wake);
            let row = work.row;
            host.adopt_session(work, round, &decision, commands, goes_on.then(|| answer.clone()));
            if ends {
                host.channel_of_row(row).into_iter().for_each(Channel::end);
                tracing::info!(host.id = host.id.0, "is no longer managed");
            }
            host.rearm(context);
            Ok(Managed::Answer(answer))
        }))
    }

    /// What the device is to be told besides what is queued, where a session begins that goes on.
    fn wishes_of(&mut self, work: &Work) -> Wishes {
        let polls = self.parts.config.polls;
        let windows = self.windows(work.row).filter(|_| work.begins && work.most > 0);
        windows.map(|windows| windows.wishes(polls)).unwrap_or_default()
    }

    /// Writes how often the device asks for work from now on. One that cannot be told is not told again.
    pub(super) fn take_poll(&mut self, work: Work) -> Turn<Managed> {
        let polls = self.parts.config.polls;
        let Some(wanted) = self.windows(work.row).map(|windows| windows.wanted_poll(polls)) else {
            return at_once(Ok(Managed::Unproven));
        };
        if session::polls_as_told(&work.message).is_none() {
            return self.take_facts(work);
        }
        let (writer, row) = (self.parts.writer.clone(), work.row);
        let storing = async move { windows_host::set_poll(&writer, row, wanted).await };
        Box::pin(storing.into_actor(self).then(move |stored, host, context| {
            if let Err(refusal) = host.settle(stored, context) {
                return at_once(Err(refusal));
            }
            if let Some(windows) = host.windows(row) {
                windows.poll_minutes = wanted;
            }
            host.take_facts(work)
        }))
    }

    fn session_rows(
        &mut self,
        work: &Work,
        round: &Round,
        decision: &mut Decision,
        unenrolls: Option<&CommandUuid>,
        now: Timestamp,
    ) -> Rows {
        let mut rows = Rows::default();
        for (place, filing) in &decision.filings {
            let finished = round.finished.get(*place).map(|(uuid, outcome)| (uuid, outcome));
            match (filing, finished) {
                (Filing::Result(entry_id), Some((_, outcome))) => rows.results.push(NewResult {
                    entry_id: *entry_id,
                    status: outcome.status.clone(),
                    body: outcome.body.clone().into_bytes(),
                    received_at: now.millis(),
                }),
                (Filing::Orphan(reason), finished) => {
                    rows.orphans.extend(work.orphan(
                        finished,
                        place.saturating_sub(round.finished.len()),
                        *reason,
                        now,
                    ));
                }
                (Filing::Nothing | Filing::Result(_), _) => {}
            }
        }
        // The device says nothing about the command that ends its management: having sent it is all there is.
        let ends = unenrolls.and_then(|uuid| decision.next.iter().find(|next| next.uuid == *uuid));
        if let Some(id) = ends.map(|next| next.id) {
            let sent = decision.changes.iter_mut().find(|change| change.id == id);
            sent.into_iter().for_each(|change| change.state = State::Acknowledged);
            let (status, body) = ("sent".to_owned(), Vec::new());
            rows.results.push(NewResult { entry_id: id, status, body, received_at: now.millis() });
        }
        rows.profiles = self.about_windows_profiles(round, decision);
        rows.found = self.found(work.findings.clone());
        rows.entries = decision.changes.iter().map(entry_change).collect();
        rows.events = self.tell_ended(work.row, &decision.changes);
        self.noted.clear();
        if work.begins {
            self.note(What::CheckedIn);
        }
        for next in std::iter::once(None).chain(decision.next.iter().map(|next| Some(next.id))) {
            let of_this = decision.changes.iter().filter(|change| match next {
                Some(id) => change.id == id,
                None => decision.next.iter().all(|next| next.id != change.id),
            });
            let changes: Vec<_> = of_this.cloned().collect();
            self.note_changes(work.row, &changes, next);
        }
        rows
    }

    fn adopt_session(
        &mut self,
        work: Work,
        round: Round,
        decision: &Decision,
        commands: Vec<Command>,
        answer: Option<Bytes>,
    ) {
        let Some(channel) = self.channel_of_row(work.row) else { return };
        channel.queue.adopt_round(decision);
        channel.forget_ended(&decision.changes);
        let Some(windows) = &mut channel.windows else { return };
        let session = work.session.after(&work.message, round, commands);
        windows.session = answer.is_some().then_some(session);
        windows.answered = answer.map(|answer| (sha256(&work.body), answer));
    }

    /// A device whose management has ended here, and that does not know it yet: it is told to end it.
    pub(super) fn send_away(&mut self, work: &Work) -> Turn<Managed> {
        let leaving = Command::unenroll(uuid::Uuid::new_v4().into()).ok().filter(|_| work.begins && work.most > 0);
        let texts: Vec<String> = leaving.iter().map(Command::body).collect();
        let (text, _) = session::reply(&work.message, &Round::default(), Wishes::default(), &texts);
        at_once(Ok(Managed::Answer(text.into())))
    }
}

impl Work {
    /// What is kept of a report about a command that nobody waits for: one of this session, or the stranger at this place.
    fn orphan(
        &self,
        finished: Option<(&CommandUuid, &Outcome)>,
        place: usize,
        reason: OrphanReason,
        now: Timestamp,
    ) -> Option<NewOrphan> {
        let (uuid, status, body) = match finished {
            Some((uuid, outcome)) => (uuid.clone(), outcome.status.clone(), outcome.body.clone().into_bytes()),
            None => {
                let (uuid, code, _) = self.reported().into_iter().nth(place)?;
                let body = if self.body.len() <= MAX_ORPHAN_BYTES { self.body.to_vec() } else { Vec::new() };
                (uuid, code.to_string(), body)
            }
        };
        Some(NewOrphan {
            enrollment_id: self.row,
            command_uuid: uuid.as_str().to_owned(),
            status,
            reason: match reason {
                OrphanReason::Unknown => orphan_result::UNKNOWN,
                OrphanReason::Late => orphan_result::LATE,
            },
            body,
            received_at: now.millis(),
        })
    }
}

/// How many of these commands go into one answer; one at least.
fn fitting(commands: &[Command], texts: &[String]) -> usize {
    let mut bytes = 0;
    let fit = commands.iter().zip(texts).enumerate().take_while(|(place, (command, text))| {
        bytes += text.len();
        bytes <= MAX_ANSWER_BYTES && !commands[..*place].iter().any(|earlier| command.must_follow(earlier))
    });
    fit.count().max(1)
}

fn is_unenroll(command: &Command) -> bool {
    let target = command.request_type();
    target.starts_with("./Device/Vendor/MSFT/DMClient/Provider/") && target.ends_with("/Unenroll")
}
