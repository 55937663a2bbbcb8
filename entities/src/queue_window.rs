//! The entries of a channel as its queue reads them: a window of the pending ones, in the order in which they are tried.
//! Nothing here looks at finished entries, sorts, or reads the text of a command.

use std::collections::HashMap;

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::ExprTrait;
use sea_orm::{FromQueryResult, JoinType, QueryOrder, QuerySelect, Select};

use crate::queue_entry::{ACKNOWLEDGED, Column, Entity, TERMINAL, held, pending, to_command};
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
    /// See [`crate::queue_entry::Model::needs_success`].
    pub needs_success: bool,
    /// It needs the success of one that has ended otherwise, or that nobody knows of any more.
    #[sea_orm(skip)]
    pub is_let_down: bool,
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
        .column(Column::NeedsSuccess)
        .column(command::Column::Uuid)
        .join(JoinType::InnerJoin, to_command())
}

/// Forgets what entries waited for, where that has ended, and marks those that needed another end of it.
async fn forget_ended(database: &Database, rows: &mut [Row]) -> Result<(), StoreError> {
    let awaited: Vec<i64> = rows.iter().filter_map(|row| row.after_id).collect();
    let mut states: HashMap<i64, i16> = HashMap::new();
    for some in awaited.chunks(500) {
        let some = Entity::find().filter(Column::Id.is_in(some.iter().copied()));
        let some = some.select_only().columns([Column::Id, Column::State]).into_tuple::<(i64, i16)>();
        states.extend(some.all(database).await?);
    }
    for row in rows {
        let Some(awaited) = row.after_id else { continue };
        let state = states.get(&awaited).copied();
        row.after_id = row.after_id.filter(|_| state.is_some_and(|state| state < TERMINAL));
        row.is_let_down = row.needs_success && row.after_id.is_none() && state != Some(ACKNOWLEDGED);
    }
    Ok(())
}

#[cfg(test)]
mod plans;
