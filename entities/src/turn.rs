//! The rows of one host's turn, and how many turns are written together: one statement for each kind of change,
//! in fixed sizes so that the database can keep its prepared statements.

use sea_orm::sea_query::{Expr, IntoIden, TableRef, Value, ValueTuple};

use crate::host_profile::report::{self, Findings, Reported};
use crate::host_profile_list::{self, Listed};
use crate::vault::Vault;
use crate::webhook_event::{self, NewEvent};
use crate::{
    StoreError, Transaction, command_result, host_action, host_lifecycle, host_times, orphan_result, queue_entry,
};

/// Rows per statement, largest first.
const SIZES: [usize; 4] = [64, 16, 4, 1];

/// Everything that one turn of a host changes; stored as a whole or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// Entries that move on, each at most once.
    pub entries: Vec<EntryChange>,
    /// Final results of entries.
    pub results: Vec<NewResult>,
    /// Reports that belong to no pending command.
    pub orphans: Vec<NewOrphan>,
    /// When the host must be woken, where that differs from what its row says.
    pub wake: Option<Wake>,
    /// What webhooks are to be told.
    pub events: Vec<NewEvent>,
    /// The host, where its device shows that it was unlocked.
    pub unlocked: Option<i64>,
    /// The channel that ends with this turn, and with it its host's management.
    pub leaves: Option<Leaving>,
    /// What the device said of commands for profiles.
    pub profiles: Vec<Reported>,
    /// Which profiles the device said it has.
    pub listed: Option<Box<Listed>>,
    /// What its nodes hold of its profiles.
    pub found: Option<Box<Findings>>,
}

/// A device whose management ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaving {
    /// The host.
    pub host_id: i64,
    /// Its device's channel.
    pub enrollment_id: i64,
    /// When.
    pub at: i64,
}

/// A change of the moment by which a host must be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// Not later than this.
    By {
        /// The host.
        host_id: i64,
        /// What the row says, as its owner believes.
        expected: Option<i64>,
        /// The moment.
        at: i64,
    },
    /// Later, or not at all, provided that the row still says what its owner believes: work that came meanwhile is
    /// not forgotten.
    Later {
        /// The host.
        host_id: i64,
        /// What the row says.
        expected: i64,
        /// What it shall say.
        at: Option<i64>,
    },
}

/// The new state of a queue entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryChange {
    /// The row.
    pub id: i64,
    /// See [`queue_entry::Model::state`].
    pub state: i16,
    /// See [`queue_entry::Model::attempts`].
    pub attempts: i16,
    /// See [`queue_entry::Model::not_now_tally`].
    pub not_now_tally: i32,
    /// See [`queue_entry::Model::sent_at`].
    pub sent_at: Option<i64>,
    /// When it changed.
    pub changed_at: i64,
}

/// A device's final word on a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewResult {
    /// The entry that ended.
    pub entry_id: i64,
    /// The status in the device's words.
    pub status: String,
    /// The report as it came.
    pub body: Vec<u8>,
    /// When it came.
    pub received_at: i64,
}

/// A report that belongs to no pending command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewOrphan {
    /// Who reported.
    pub enrollment_id: i64,
    /// The command it names.
    pub command_uuid: String,
    /// The status in the device's words.
    pub status: String,
    /// See [`orphan_result::Model::reason`].
    pub reason: i16,
    /// The report as it came.
    pub body: Vec<u8>,
    /// When it came.
    pub received_at: i64,
}

impl Turn {
    /// Seals what devices reported. From here on the bodies are what the columns hold.
    pub(crate) fn seal(&mut self, vault: &Vault) -> Result<(), StoreError> {
        for result in &mut self.results {
            result.body = command_result::BODY.seal(vault, &[&result.entry_id], &result.body)?.0;
        }
        for orphan in &mut self.orphans {
            let context: [&dyn std::fmt::Display; 3] = [&orphan.enrollment_id, &orphan.command_uuid, &orphan.status];
            orphan.body = orphan_result::BODY.seal(vault, &context, &orphan.body)?.0;
        }
        if let Some(listed) = &mut self.listed {
            listed.seal(vault)?;
        }
        webhook_event::seal_all(vault, &mut self.events)
    }

    /// Whether there is nothing to store.
    pub fn is_empty(&self) -> bool {
        let has_rows = !(self.entries.is_empty() && self.results.is_empty() && self.orphans.is_empty());
        let nothing_else = self.wake.is_none() && self.unlocked.is_none() && self.leaves.is_none();
        let no_profiles = self.profiles.is_empty() && self.listed.is_none() && self.found.is_none();
        !has_rows && self.events.is_empty() && nothing_else && no_profiles
    }
}

/// Writes turns of different hosts. Fails as a whole when one entry is gone or had ended: the caller then tries singly.
pub(crate) async fn apply(transaction: &Transaction, vault: &Vault, turns: &[&Turn]) -> Result<(), StoreError> {
    let mut entries: Vec<&EntryChange> = turns.iter().flat_map(|turn| &turn.entries).collect();
    entries.sort_by_key(|entry| entry.id);
    for rows in in_sizes(&entries) {
        queue_entry::change(transaction, rows).await?;
    }
    let results: Vec<&NewResult> = turns.iter().flat_map(|turn| &turn.results).collect();
    for rows in in_sizes(&results) {
        command_result::insert(transaction, rows).await?;
    }
    let orphans: Vec<&NewOrphan> = turns.iter().flat_map(|turn| &turn.orphans).collect();
    for rows in in_sizes(&orphans) {
        orphan_result::insert(transaction, rows).await?;
    }
    webhook_event::insert(transaction, turns.iter().flat_map(|turn| &turn.events)).await?;
    host_action::unlocked(transaction, turns.iter().filter_map(|turn| turn.unlocked).collect()).await?;
    for Leaving { host_id, enrollment_id, at } in turns.iter().filter_map(|turn| turn.leaves) {
        host_lifecycle::turn_off(transaction, vault, host_id, &[enrollment_id], true, at).await?;
    }
    for reported in turns.iter().flat_map(|turn| &turn.profiles) {
        report::reported(transaction, reported).await?;
    }
    for listed in turns.iter().filter_map(|turn| turn.listed.as_deref()) {
        host_profile_list::listed(transaction, listed).await?;
    }
    for found in turns.iter().filter_map(|turn| turn.found.as_deref()) {
        report::found(transaction, found.host_id, &found.findings, found.max_retries, found.at).await?;
    }
    let (mut sooner, mut later) = (Vec::new(), Vec::new());
    for wake in turns.iter().filter_map(|turn| turn.wake) {
        match wake {
            Wake::By { host_id, expected, at } => sooner.push((host_id, at, expected)),
            Wake::Later { host_id, expected, at } => later.push((host_id, expected, at)),
        }
    }
    host_times::wake_by(transaction, sooner).await?;
    host_times::wake_later(transaction, later).await
}

/// Cuts rows into runs of fixed sizes.
pub(crate) fn in_sizes<T>(rows: &[T]) -> impl Iterator<Item = &[T]> {
    let mut left = rows;
    std::iter::from_fn(move || {
        let size = SIZES.into_iter().find(|size| *size <= left.len())?;
        let (run, rest) = left.split_at(size);
        left = rest;
        Some(run)
    })
}

/// The table of values in `UPDATE … FROM (VALUES …)`.
const GIVEN: &str = "given";

/// `UPDATE … FROM (VALUES …)`; both databases call the columns of the values `column1`, `column2` …
pub(crate) fn values(rows: impl IntoIterator<Item = Vec<Value>>) -> TableRef {
    TableRef::ValuesList(rows.into_iter().map(ValueTuple::Many).collect(), GIVEN.into_iden())
}

/// A column, without its indexes, in the condition of such an update. Rows are found by their keys; but when SQLite's statistics
/// (`ANALYZE`) are from a time when an index had no rows, it would read all of that index each time.
pub(crate) fn beside_its_index(table: &str, column: &str) -> Expr {
    Expr::cust(format!("+{table}.{column}"))
}

/// A column of the values.
pub(crate) fn given(column: &'static str) -> Expr {
    Expr::col((GIVEN, column))
}
