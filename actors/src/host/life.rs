//! What those who watch a host are told: noted while a turn is decided, told once it is committed.

use protocol::queue::{self, Change, Decision, State};

use super::Host;
use super::report::Report;
use crate::feed::What;

impl Host {
    /// Notes what a report leads to.
    pub(super) fn note_turn(&mut self, row: i64, report: &Report, decision: &Decision) {
        self.noted.clear();
        if !self.parts.feed.is_watched() {
            return;
        }
        if report.answer == queue::Answer::Idle {
            self.noted.push(What::CheckedIn);
        }
        let next = decision.next.as_ref().map(|next| next.id);
        self.note_changes(row, &decision.changes, next);
    }

    /// Notes where commands of a channel stand from now on; `next` is the one that its device gets.
    pub(super) fn note_changes(&mut self, row: i64, changes: &[Change], next: Option<i64>) {
        if !self.parts.feed.is_watched() {
            return;
        }
        let Some(channel) = self.channels.iter().find(|channel| channel.row == row) else { return };
        for change in changes {
            // A deferred command stays so while it is on its way again.
            let state = if next == Some(change.id) { State::Sent } else { change.state };
            let uuid = channel.queue.get(change.id).map(|entry| entry.uuid.clone());
            self.noted.extend(uuid.map(|uuid| What::Command(uuid, state)));
        }
    }

    /// Notes something else.
    pub(super) fn note(&mut self, what: What) {
        if self.parts.feed.is_watched() {
            self.noted.push(what);
        }
    }

    /// Tells what was noted.
    pub(super) fn tell_watchers(&mut self) {
        if !self.noted.is_empty() {
            let noted = std::mem::take(&mut self.noted);
            self.parts.feed.tell(self.id, self.now(), noted);
        }
    }
}
