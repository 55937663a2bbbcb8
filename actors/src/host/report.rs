//! A device reports on a command, or asks for one: the turn that everything else exists for.

use std::time::Duration;

use actix::prelude::*;
use bytes::Bytes;
use entities::turn::{EntryChange, NewOrphan, NewResult, Turn as Rows, Wake};
use entities::{Reader, StoreError, Writer, command, orphan_result, queue_entry, queue_window};
use protocol::ids::CommandUuid;
use protocol::queue::{self, Change, Decision, Filing, Heard, OrphanReason, State};
use protocol::time::Timestamp;

use super::window::entry;
use super::{Host, Sender, Turn, at_once, render};
use crate::ask::{Answer, Refusal};
use crate::fault;

/// A host whose row says that it is due so soon will be looked after before it is told anything else.
const SOON: Duration = Duration::from_secs(30);

/// A report of a device; the answer is the next command, if there is one for it now.
#[derive(Debug, Message)]
#[rtype(result = "Answer<Option<Bytes>>")]
pub struct Report {
    /// Who reports.
    pub sender: Sender,
    /// The status, as far as the queue cares.
    pub answer: queue::Answer,
    /// The status in the device's words.
    pub status: String,
    /// The command; absent when the device only asks for one.
    pub command: Option<CommandUuid>,
}

impl Handler<Report> for Host {
    type Result = AtomicResponse<Self, Answer<Option<Bytes>>>;

    fn handle(&mut self, report: Report, _: &mut Context<Self>) -> Self::Result {
        fault::point("host.report");
        let sender = report.sender.clone();
        self.turn_of(&sender, |host, context| host.hear(report, context))
    }
}

impl Host {
    fn hear(&mut self, report: Report, context: &mut Context<Self>) -> Turn<Option<Bytes>> {
        let Some(channel) = self.channel(&report.sender.channel.id) else {
            return at_once(Ok(None)); // a user who has not announced a token yet
        };
        match &report.command {
            Some(uuid) if !channel.queue.is_pending(uuid) => self.look_up(report),
            _ => self.decide(report, None, context),
        }
    }

    /// Memory does not hold the command: has it ended, or is it beyond the window?
    fn look_up(&mut self, report: Report) -> Turn<Option<Bytes>> {
        let reader = self.parts.reader.clone();
        let uuid = report.command.as_ref().map(|uuid| uuid.as_str().to_owned()).unwrap_or_default();
        let row = self.channel(&report.sender.channel.id).map_or(0, |channel| channel.row);
        let looking = async move { queue_window::by_uuid(&reader, row, uuid).await };
        Box::pin(looking.into_actor(self).then(move |found, host, context| {
            let found = match found {
                Ok(found) => found,
                Err(error) => return at_once(Err(Refusal::soon(error))),
            };
            let state = found.as_ref().and_then(|row| State::from_code(row.state));
            let channel = host.channel_of_row(row);
            let current = channel.zip(found).filter(|(channel, row)| channel.generation.0 == row.generation);
            if let Some((channel, row)) = current {
                entry(&row).into_iter().for_each(|entry| channel.queue.admit(entry));
            }
            host.decide(report, state.filter(|state| state.is_terminal()), context)
        }))
    }

    fn decide(&mut self, report: Report, ended: Option<State>, context: &mut Context<Self>) -> Turn<Option<Bytes>> {
        let (now, policy) = (self.now(), self.parts.config.clone());
        let id = report.sender.channel.id.clone();
        let others = self.channels.iter().filter(|channel| channel.id != id);
        let others_wake_at = others.filter_map(|channel| channel.queue.wake_at()).min();
        let Some(channel) = self.channel(&id) else { return at_once(Ok(None)) };
        let heard = Heard { answer: report.answer, uuid: report.command.as_ref(), ended };
        let decision = channel.queue.decide(&heard, now, &policy.queue);
        if decision.wants_more {
            let row = channel.row;
            return Box::pin(self.read_on(row).then(move |read, host, context| match read {
                Ok(()) => host.decide(report, ended, context),
                Err(refusal) => at_once(Err(refusal)),
            }));
        }
        let row = channel.row;
        self.note_turn(row, &report, &decision);
        let is_idle = report.answer == queue::Answer::Idle;
        let mut events = self.tell_report(&report.sender, &report.status, report.command.as_ref(), is_idle);
        events.extend(self.tell_ended(row, &decision.changes));
        let unlocked = self.unlocked_by(&report);
        let (profiles, listed) = self.about_profiles(row, &report, &decision);
        let mut rows = Rows { events, unlocked, profiles, listed, ..rows_of(row, &decision, report, now) };
        let Some(channel) = self.channel(&id) else { return at_once(Ok(None)) };
        let body = decision.next.as_ref().and_then(|next| channel.bodies.get(next.id));
        let handled = decision.next.as_ref().map(|next| next.id).or(rows.results.first().map(|row| row.entry_id));
        self.guard.suspect(handled);
        fault::point_with("host.report.decided", decision.next.as_ref().map(|next| &next.uuid));
        rows.wake = self.wake_along(decision.wake_at.into_iter().chain(others_wake_at).min(), rows.is_empty());
        let Some(channel) = self.channel(&id) else { return at_once(Ok(None)) };
        if rows.is_empty() {
            channel.adopt(&decision);
            self.tell_watchers();
            self.rearm(context);
            return at_once(Ok(None));
        }
        self.commit(id, decision, rows, body)
    }

    fn commit(
        &mut self,
        id: protocol::apple::channel::EnrollmentId,
        decision: Decision,
        rows: Rows,
        body: Option<Bytes>,
    ) -> Turn<Option<Bytes>> {
        let (parts, host, wake) = (self.parts.clone(), self.id, rows.wake);
        let (next, now) = (decision.next.as_ref().map(|next| (next.id, next.uuid.clone())), self.now());
        let unlocked = rows.unlocked.is_some();
        let committing = async move {
            let body = match next {
                Some(next) => Some(render::handed_out(&parts, host, next, body, now).await?),
                None => None,
            };
            parts.writer.host_turn(rows).await?;
            Ok(body)
        };
        Box::pin(committing.into_actor(self).map(move |committed, host, context| {
            fault::point("host.report.committed");
            let body = host.settle(committed, context)?;
            host.stored(wake);
            host.awaits_unlock &= !unlocked;
            if let Some(channel) = host.channel(&id) {
                channel.adopt(&decision);
            }
            host.rearm(context);
            Ok(body)
        }))
    }

    /// The change of the row's wake-up time that goes along with other rows: where it says that the host is due soon although
    /// nothing is, a little write now saves a whole one then.
    pub(super) fn wake_along(&self, wake_at: Option<Timestamp>, nothing_else: bool) -> Option<Wake> {
        let soon = self.now().plus(SOON);
        let stored = self.stored_wake_at.filter(|stored| *stored < soon && !nothing_else);
        match stored.filter(|stored| wake_at.is_none_or(|at| at > *stored)) {
            None => self.wake_sooner(wake_at),
            Some(stored) => {
                let at = wake_at.map(Timestamp::millis);
                Some(Wake::Later { host_id: self.id.0, expected: stored.millis(), at })
            }
        }
    }

    /// The change of the row's wake-up time that work which is due sooner needs.
    pub(super) fn wake_sooner(&self, wake_at: Option<Timestamp>) -> Option<Wake> {
        let at = wake_at.filter(|at| self.stored_wake_at.is_none_or(|stored| *at < stored))?;
        let expected = self.stored_wake_at.map(Timestamp::millis);
        Some(Wake::By { host_id: self.id.0, expected, at: at.millis() })
    }

    /// Remembers what the row says now.
    pub(super) fn stored(&mut self, wake: Option<Wake>) {
        match wake {
            Some(Wake::By { at, .. }) => self.stored_wake_at = Some(Timestamp::from_millis(at)),
            Some(Wake::Later { at, .. }) => self.stored_wake_at = at.map(Timestamp::from_millis),
            None => {}
        }
    }
}

/// The text of a command. One that does not open is parked, so that it does not stand in the way of those behind it.
pub(super) async fn read_body(
    reader: &Reader,
    writer: &Writer,
    entry: i64,
    now: Timestamp,
) -> Result<Bytes, StoreError> {
    let body = command::body_of_entry(reader, entry).await;
    if let Err(StoreError::Unreadable(_)) = body {
        park(writer, entry, now).await?;
    }
    body.map(Bytes::from)
}

/// Takes a command that cannot be read out of the way.
pub(super) async fn park(writer: &Writer, entry: i64, now: Timestamp) -> Result<(), StoreError> {
    tracing::error!(queue.entry = entry, "the command cannot be read and is parked");
    queue_entry::park(writer, entry, now.millis()).await.map(|_| ())
}

fn rows_of(enrollment_id: i64, decision: &Decision, report: Report, now: Timestamp) -> Rows {
    let mut rows = Rows { entries: decision.changes.iter().map(entry_change).collect(), ..Rows::default() };
    let received_at = now.millis();
    match decision.filing {
        Filing::Nothing => {}
        Filing::Result(entry_id) => {
            let body = report.sender.original.body.to_vec();
            rows.results.push(NewResult { entry_id, status: report.status, body, received_at });
        }
        Filing::Orphan(reason) => rows.orphans.push(NewOrphan {
            enrollment_id,
            command_uuid: report.command.map(|uuid| uuid.as_str().to_owned()).unwrap_or_default(),
            status: report.status,
            reason: match reason {
                OrphanReason::Unknown => orphan_result::UNKNOWN,
                OrphanReason::Late => orphan_result::LATE,
            },
            body: report.sender.original.body.to_vec(),
            received_at,
        }),
    }
    rows
}

pub(super) fn entry_change(change: &Change) -> EntryChange {
    EntryChange {
        id: change.id,
        state: change.state.code(),
        attempts: change.attempts,
        not_now_tally: change.not_now_tally,
        sent_at: change.sent_at.map(Timestamp::millis),
        changed_at: change.at.millis(),
    }
}

#[cfg(test)]
mod tests {
    use protocol::apple;

    use super::*;

    #[test]
    fn rows_and_rules_mean_the_same_states() {
        assert_eq!(State::TERMINAL_CODE, queue_entry::TERMINAL);
        assert_eq!(State::Superseded.code(), queue_entry::SUPERSEDED);
        assert_eq!(State::Parked.code(), queue_entry::PARKED);
        assert_eq!(State::Cancelled.code(), queue_entry::CANCELLED);
        assert_eq!(State::Expired.code(), queue_entry::EXPIRED);
        assert_eq!(State::NotNow.code(), queue_entry::NOT_NOW);
        assert_eq!(State::Held.code(), queue_entry::HELD);
        assert_eq!(State::Queued.code(), queue_entry::QUEUED);
        assert_eq!(State::Queued.code(), 0, "the default of new rows");
        assert_eq!(apple::channel::ChannelKind::Windows.code(), entities::windows_host::KIND);
    }
}
