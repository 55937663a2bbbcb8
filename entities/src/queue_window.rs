//! The entries of a channel as its queue reads them: a window of the pending ones, in the order in which they are tried.
//! Nothing here looks at finished entries, sorts, or reads the text of a command.

use std::collections::HashSet;

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::ExprTrait;
use sea_orm::{FromQueryResult, JoinType, QueryOrder, QuerySelect, Select};

use crate::queue_entry::{Column, Entity, held, pending, to_command};
use crate::{Database, Reader, StoreError, command};

/// The first pending entries of a channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// The entries.
    pub rows: Vec<Row>,
    /// Whether others come after them.
    pub more: bool,
}

/// An entry with the facts of its command that the queue needs.
#[derive(Clone, Debug, PartialEq, Eq, FromQueryResult)]
pub struct Row {
    /// See [`crate::queue_entry::Model::id`].
    pub id: i64,
    /// See [`crate::queue_entry::Model::generation`].
    pub generation: i32,
    /// What the device calls the command.
    pub uuid: String,
    /// See [`crate::queue_entry::Model::priority`].
    pub priority: i16,
    /// See [`crate::queue_entry::Model::state`].
    pub state: i16,
    /// See [`crate::queue_entry::Model::attempts`].
    pub attempts: i16,
    /// See [`crate::queue_entry::Model::not_now_tally`].
    pub not_now_tally: i32,
    /// See [`crate::queue_entry::Model::no_blind_resend`].
    pub no_blind_resend: bool,
    /// See [`crate::queue_entry::Model::after_id`]; `None` once that entry has ended.
    pub after_id: Option<i64>,
    /// See [`crate::queue_entry::Model::expires_at`].
    pub expires_at: i64,
    /// See [`crate::queue_entry::Model::sent_at`].
    pub sent_at: Option<i64>,
}

/// The first `limit` pending entries of a channel's generation.
///
/// # Errors
/// The database does not answer.
pub async fn of_channel(
    reader: &Reader,
    enrollment_id: i64,
    generation: i32,
    limit: u64,
) -> Result<Window, StoreError> {
    reader.run(move |database| async move { read(&database, enrollment_id, generation, limit).await }).await
}

/// The entry that a channel has for the command which its device calls `uuid`, whatever became of it.
///
/// # Errors
/// The database does not answer.
pub async fn by_uuid(reader: &Reader, enrollment_id: i64, uuid: String) -> Result<Option<Row>, StoreError> {
    reader
        .run(move |database| async move {
            let row = one(enrollment_id, &uuid).into_model::<Row>().one(&database).await?;
            let mut rows = Vec::from_iter(row);
            forget_ended(&database, &mut rows).await?;
            Ok(rows.pop())
        })
        .await
}

pub(crate) async fn read(
    database: &Database,
    enrollment_id: i64,
    generation: i32,
    limit: u64,
) -> Result<Window, StoreError> {
    let query = first(enrollment_id, generation, limit.saturating_add(1));
    let mut rows = query.into_model::<Row>().all(database).await?;
    let more = rows.len() as u64 > limit;
    rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    forget_ended(database, &mut rows).await?;
    Ok(Window { rows, more })
}

fn first(enrollment_id: i64, generation: i32, limit: u64) -> Select<Entity> {
    columns()
        .filter(Column::EnrollmentId.eq(enrollment_id))
        .filter(pending())
        .filter(held().not())
        .filter(Column::Generation.eq(generation))
        .order_by_desc(Column::Priority)
        .order_by_asc(Column::Id)
        .limit(limit)
}

fn one(enrollment_id: i64, uuid: &str) -> Select<Entity> {
    columns().filter(command::Column::Uuid.eq(uuid)).filter(Column::EnrollmentId.eq(enrollment_id))
}

fn columns() -> Select<Entity> {
    Entity::find()
        .select_only()
        .columns([Column::Id, Column::Generation, Column::Priority, Column::State, Column::Attempts])
        .columns([Column::NotNowTally, Column::NoBlindResend, Column::AfterId, Column::ExpiresAt, Column::SentAt])
        .column(command::Column::Uuid)
        .join(JoinType::InnerJoin, to_command())
}

/// Forgets what entries waited for, where that has ended.
async fn forget_ended(database: &Database, rows: &mut [Row]) -> Result<(), StoreError> {
    let awaited: Vec<i64> = rows.iter().filter_map(|row| row.after_id).collect();
    let mut lasting: HashSet<i64> = HashSet::new();
    for some in awaited.chunks(500) {
        let some = Entity::find().filter(Column::Id.is_in(some.iter().copied())).filter(pending());
        lasting.extend(some.select_only().column(Column::Id).into_tuple::<i64>().all(database).await?);
    }
    for row in rows {
        row.after_id = row.after_id.filter(|id| lasting.contains(id));
    }
    Ok(())
}

#[cfg(test)]
mod plans;
