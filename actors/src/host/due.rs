//! What a host does without being asked: push, end commands whose time is over, retire.

use std::time::Duration;

use actix::prelude::*;
use entities::turn::{Turn as Rows, Wake};
use protocol::queue::Change;
use protocol::time::Timestamp;

use super::report::entry_change;
use super::{Host, Standing};
use crate::apns::Push;
use crate::fault;
use crate::feed::What;
use crate::hosts::LetGo;

/// The longest sleep of a timer: clocks jump, and a timer that was armed before a jump must not sleep for years.
const LONGEST_SLEEP: Duration = Duration::from_secs(3600);
/// When a timer rings again that rang within a turn.
const AFTER_THE_TURN: Duration = Duration::from_millis(1);
/// Commands ended in one turn at most.
const ENDED_AT_ONCE: usize = 256;

/// The wheel read in the host's row that it is due.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct Due {
    /// What the row says.
    pub stored_wake_at: Timestamp,
}

impl Handler<Due> for Host {
    type Result = ();

    fn handle(&mut self, due: Due, context: &mut Context<Self>) {
        if !matches!(self.standing, Standing::Ready) {
            return;
        }
        if self.stored_wake_at == Some(due.stored_wake_at) {
            if self.wake_at() == self.stored_wake_at {
                // Whoever is woken for a later moment has plans of a clock that was set back since.
                self.come_earlier(due.stored_wake_at.since(self.now()));
            }
            return self.work_off(context);
        }
        let reading = self.read_untold(due.stored_wake_at);
        context.wait(reading.map(|read, host, context| match read {
            Ok(()) => host.work_off(context),
            Err(_) => host.try_again_later(context),
        }));
    }
}

impl Handler<LetGo> for Host {
    type Result = ();

    fn handle(&mut self, _: LetGo, context: &mut Context<Self>) {
        self.disarm(context);
    }
}

impl Host {
    /// Makes sure that the one timer rings when the next thing is due, which may be the end of this actor. One that rings
    /// too early finds nothing to do and is set again: that is cheaper than setting it at every message.
    pub(super) fn rearm(&mut self, context: &mut Context<Self>) {
        if self.stale().is_some() {
            return; // whoever has a timer does not end
        }
        let idle_at = self.touched_at.plus(self.parts.config.idle);
        let at = match self.worked_off() {
            Some(_) => self.now(),
            None => self.wake_at().map_or(idle_at, |wake_at| wake_at.min(idle_at)),
        };
        if self.timer.as_ref().is_some_and(|(armed, _)| *armed <= at) {
            return;
        }
        self.disarm(context);
        let sleep = at.since(self.now()).min(LONGEST_SLEEP);
        self.timer = Some((at, context.run_later(sleep, Self::ring)));
    }

    /// The timer rings. One that was cancelled in the turn during which its time came still gets here, and is none any
    /// more: it must not set another one, which would keep an actor alive that was told to go.
    fn ring(&mut self, context: &mut Context<Self>) {
        if self.timer.as_ref().is_none_or(|(_, timer)| *timer != context.handle()) {
            return;
        }
        self.timer = None;
        if context.waiting() {
            // A message that came together with the ring has begun its turn: nothing happens beside it.
            self.timer = Some((self.now(), context.run_later(AFTER_THE_TURN, Self::ring)));
        } else {
            self.work_off(context);
        }
    }

    /// Cancels the timer: an actor with one does not end.
    pub(super) fn disarm(&mut self, context: &mut Context<Self>) {
        if let Some((_, timer)) = self.timer.take() {
            context.cancel_future(timer);
        }
    }

    /// Does everything that is due now.
    pub(super) fn work_off(&mut self, context: &mut Context<Self>) {
        fault::point("host.due");
        if let Some(row) = self.worked_off() {
            return self.go_on_reading(row, context);
        }
        let now = self.now();
        self.touched_at = self.touched_at.min(now); // the clock may have been set back
        self.push_what_is_due(now);
        let expired: Vec<(i64, Change)> = self
            .channels
            .iter()
            .flat_map(|channel| channel.queue.expired(now).map(|change| (channel.row, change)))
            .take(ENDED_AT_ONCE)
            .collect();
        let wake = self.wake_change(now);
        if !expired.is_empty() || wake.is_some() {
            return self.commit_due(expired, wake, context);
        }
        let idle = now.since(self.touched_at) >= self.parts.config.idle;
        if idle && self.stored_wake_at == self.wake_at() && self.wake_at().is_none_or(|at| at > now) {
            return self.guard.retire();
        }
        if idle {
            self.touched_at = now; // not yet: something is due, or its row does not say so yet
        }
        self.rearm(context);
    }

    /// A channel whose window was worked off by other things than reports: expiry, cancellation.
    fn worked_off(&self) -> Option<i64> {
        self.channels.iter().find(|channel| channel.queue.is_worked_off()).map(|channel| channel.row)
    }

    fn go_on_reading(&mut self, row: i64, context: &mut Context<Self>) {
        let reading = self.read_on(row);
        context.wait(reading.map(|read, host, context| match read {
            Ok(()) => host.work_off(context),
            Err(_) => host.try_again_later(context),
        }));
    }

    /// All plans come so much earlier.
    fn come_earlier(&mut self, by: Duration) {
        self.channels.iter_mut().for_each(|channel| channel.queue.clock_was_set_back(by));
    }

    pub(super) fn push_what_is_due(&mut self, now: Timestamp) {
        let stepped_back = self.parts.clock.stepped_back();
        let since = std::mem::replace(&mut self.stepped_back, stepped_back);
        self.come_earlier(stepped_back.saturating_sub(since));
        let policy = self.parts.config.clone();
        let host = self.id;
        for channel in &mut self.channels {
            channel.queue.set_right(now, &policy.queue);
            if channel.queue.push_at().is_none_or(|at| at > now) {
                continue;
            }
            channel.queue.set_wakeups(channel.queue.wakeups().pushed(now, &policy.queue));
            let Some(target) = channel.push.as_ref().filter(|target| channel.enabled && !target.dead) else { continue };
            self.parts.pusher.push(Push { host, enrollment: channel.row, target: target.clone() });
            self.parts.feed.tell(host, now, [What::Pushed]);
        }
    }

    /// The change that a row needs which says "due" although nothing is due before a later moment, which does not say it
    /// soon enough, or which says a moment that no clock but a wrong one can have planned.
    fn wake_change(&self, now: Timestamp) -> Option<Wake> {
        let at = self.wake_at();
        let horizon = now.plus(self.parts.config.queue.longest_wait());
        match self.stored_wake_at {
            Some(stored) if stored > horizon || stored <= now && at.is_none_or(|at| at > stored) => {
                Some(Wake::Later { host_id: self.id.0, expected: stored.millis(), at: at.map(Timestamp::millis) })
            }
            _ => self.wake_sooner(at),
        }
    }

    fn commit_due(&mut self, expired: Vec<(i64, Change)>, wake: Option<Wake>, context: &mut Context<Self>) {
        let entries = expired.iter().map(|(_, change)| entry_change(change)).collect();
        let told: Vec<_> =
            expired.iter().flat_map(|(row, change)| self.tell_ended(*row, std::slice::from_ref(change))).collect();
        self.noted.clear();
        for (row, change) in &expired {
            self.note_changes(*row, std::slice::from_ref(change), None);
        }
        let (writer, rows) = (self.parts.writer.clone(), Rows { entries, wake, events: told, ..Rows::default() });
        let committing = async move { writer.host_turn(rows).await };
        context.wait(committing.into_actor(self).map(move |committed, host, context| {
            if host.settle(committed, context).is_err() {
                return host.try_again_later(context);
            }
            host.stored(wake);
            for (row, change) in expired {
                tracing::info!(host.id = host.id.0, queue.entry = change.id, "a command expired");
                if let Some(channel) = host.channel_of_row(row) {
                    channel.apply(&[change]);
                }
            }
            host.rearm(context);
        }));
    }

    /// The database is away: what is due stays due.
    pub(super) fn try_again_later(&mut self, context: &mut Context<Self>) {
        if matches!(self.standing, Standing::Ready) {
            self.disarm(context);
            self.timer = Some((self.now(), context.run_later(Duration::from_secs(5), Self::ring)));
        }
    }
}
