//! A long queue is in memory only as far as a window of it reaches. Here more of it is read.

use actix::prelude::*;
use entities::{StoreError, queue_window};
use protocol::ids::CommandUuid;
use protocol::queue::{Entry, State, Window};
use protocol::time::Timestamp;

use super::{Host, Turn, at_once};
use crate::ask::Refusal;

/// Pending commands of a channel that are read at once.
pub(super) const WINDOW: u64 = 256;

impl Host {
    /// Reads more of a channel's queue. Each time twice as much, so that a queue in which nothing may go is read whole
    /// after a few times.
    pub(super) fn read_on(&mut self, row: i64) -> Turn<()> {
        let in_memory = self.channel_of_row(row).map_or(0, |channel| channel.queue.in_memory() as u64);
        self.read_first(row, in_memory.saturating_add(in_memory.max(WINDOW)))
    }

    /// The row says that the host is due at another moment than memory believes: somebody queued commands and could not
    /// tell. They are read, so that the row is not set to a later moment before they were tried.
    pub(super) fn read_untold(&mut self, stored_wake_at: Timestamp) -> Turn<()> {
        let channels: Vec<(i64, i32, u64)> = self
            .channels
            .iter()
            .map(|channel| {
                let limit = (channel.queue.in_memory() as u64).saturating_add(WINDOW);
                (channel.row, channel.generation.0, limit)
            })
            .collect();
        let reader = self.parts.reader.clone();
        let reading = async move {
            let mut windows = Vec::with_capacity(channels.len());
            for (row, generation, limit) in channels {
                windows.push((row, queue_window::of_channel(&reader, row, generation, limit).await?));
            }
            Ok::<_, StoreError>(windows)
        };
        Box::pin(reading.into_actor(self).map(move |read, host, _| {
            let (now, policy) = (host.now(), host.parts.config.clone());
            for (row, rows) in read.map_err(Refusal::soon)? {
                let Some(channel) = host.channel_of_row(row) else { continue };
                if channel.queue.extend(window(&rows)) > 0 {
                    channel.queue.schedule(now, &policy.queue);
                }
            }
            host.stored_wake_at = Some(stored_wake_at);
            Ok(())
        }))
    }

    fn read_first(&mut self, row: i64, limit: u64) -> Turn<()> {
        let reader = self.parts.reader.clone();
        let Some(channel) = self.channel_of_row(row) else { return at_once(Ok(())) };
        let generation = channel.generation.0;
        let reading = async move { queue_window::of_channel(&reader, row, generation, limit).await };
        Box::pin(reading.into_actor(self).then(move |read, host, _| {
            let window = match read {
                Ok(rows) => window(&rows),
                Err(error) => return at_once(Err(Refusal::soon(error))),
            };
            let Some(channel) = host.channel_of_row(row) else { return at_once(Ok(())) };
            let new = channel.queue.extend(window);
            if new == 0 && channel.queue.more_in_rows() {
                return host.read_first(row, limit.saturating_mul(2));
            }
            at_once(Ok(()))
        }))
    }
}

/// A window of rows as the queue knows it.
pub(super) fn window(rows: &queue_window::Window) -> Window {
    Window { entries: rows.rows.iter().filter_map(entry).collect(), more: rows.more }
}

/// A row as the queue knows it.
pub(super) fn entry(row: &queue_window::Row) -> Option<Entry> {
    Some(Entry {
        id: row.id,
        uuid: CommandUuid::parse(&row.uuid)?,
        priority: row.priority,
        state: State::from_code(row.state)?,
        attempts: row.attempts,
        not_now_tally: row.not_now_tally,
        sent_at: row.sent_at.map(Timestamp::from_millis),
        expires_at: Timestamp::from_millis(row.expires_at),
        after: row.after_id,
        needs_success: row.needs_success,
        is_let_down: row.is_let_down,
        no_blind_resend: row.no_blind_resend,
    })
}
