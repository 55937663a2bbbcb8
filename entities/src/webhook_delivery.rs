//! Table `webhook_delivery`: who has not been told of which event yet, in the order in which it happened. A row is gone
//! once its receiver has taken the event; one that it does not take becomes a dead letter.

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{ExprTrait, Func};
use sea_orm::{ActiveValue, ActiveValue::Set, FromQueryResult, QueryOrder, QuerySelect};

use crate::turn::in_sizes;
use crate::webhook_event::{self, NewEvent};
use crate::{Reader, StoreError, Transaction, Writer};

/// [`Model::state`]: not told yet.
pub const PENDING: i16 = 0;
/// [`Model::state`]: a dead letter, which nobody tries again by itself.
pub const DEAD: i16 = 1;

/// A row of `webhook_delivery`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "webhook_delivery")]
pub struct Model {
    /// Row number, and the order in which events happened.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// Who is told.
    pub webhook_id: i64,
    /// Of what.
    pub event_id: String,
    /// Whom it is about.
    pub host_id: i64,
    /// [`PENDING`] or [`DEAD`].
    pub state: i16,
    /// How often it was tried.
    pub attempts: i32,
    /// How often the receiver answered that it does not want it.
    pub refusals: i32,
    /// Since when it is in its state.
    pub since: i64,
    /// When it may be tried again.
    pub due_at: i64,
    /// What went wrong last; never a word of the receiver.
    pub error: Option<String>,
}

/// Related rows are read by their own queries.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// A row that waits, as much of it as a line needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromQueryResult)]
pub struct Waiting {
    /// See [`Model::id`].
    pub id: i64,
    /// See [`Model::host_id`].
    pub host_id: i64,
    /// See [`Model::due_at`].
    pub due_at: i64,
}

/// What became of an attempt that did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The row.
    pub id: i64,
    /// See [`Model::state`].
    pub state: i16,
    /// See [`Model::attempts`].
    pub attempts: i32,
    /// See [`Model::refusals`].
    pub refusals: i32,
    /// See [`Model::since`].
    pub since: i64,
    /// See [`Model::due_at`].
    pub due_at: i64,
    /// See [`Model::error`].
    pub error: String,
}

/// Keeps who is to be told of events.
pub(crate) async fn insert(transaction: &Transaction, events: &[&NewEvent]) -> Result<(), StoreError> {
    let wanted: Vec<(&NewEvent, i64)> =
        events.iter().flat_map(|event| event.webhooks.iter().map(|webhook| (*event, *webhook))).collect();
    for rows in in_sizes(&wanted) {
        let new = rows.iter().map(|(event, webhook)| ActiveModel {
            id: ActiveValue::NotSet,
            webhook_id: Set(*webhook),
            event_id: Set(event.id.clone()),
            host_id: Set(event.host_id),
            state: Set(PENDING),
            attempts: Set(0),
            refusals: Set(0),
            since: Set(event.created_at),
            due_at: Set(event.created_at),
            error: Set(None),
        });
        Entity::insert_many(new).exec_without_returning(transaction).await?;
    }
    Ok(())
}

/// The first rows of a webhook that wait, behind a row.
///
/// # Errors
/// The database does not answer.
pub async fn waiting(reader: &Reader, webhook: i64, after: i64, limit: u64) -> Result<Vec<Waiting>, StoreError> {
    reader
        .run(move |database| async move {
            let rows = waiting_rows(webhook, after).limit(limit).select_only().columns([
                Column::Id,
                Column::HostId,
                Column::DueAt,
            ]);
            Ok(rows.into_model::<Waiting>().all(&database).await?)
        })
        .await
}

/// The first row of a host that waits, and about how long its event is.
///
/// # Errors
/// The database does not answer.
pub async fn first_of_host(reader: &Reader, webhook: i64, host: i64) -> Result<Option<(Model, u64)>, StoreError> {
    reader
        .run(move |database| async move {
            let Some(row) = rows_of_host(webhook, host).one(&database).await? else { return Ok(None) };
            let length = Func::cust("length").arg(Expr::col(webhook_event::Column::Payload));
            let event = webhook_event::Entity::find_by_id(row.event_id.as_str()).select_only();
            let length = event.expr(Expr::expr(length).cast_as("bigint")).into_tuple::<i64>().one(&database).await?;
            Ok(Some((row, length.unwrap_or_default().unsigned_abs())))
        })
        .await
}

/// The event was taken: there is nothing more to tell here.
///
/// # Errors
/// See [`StoreError`].
pub async fn delivered(writer: &Writer, id: i64, event_id: String) -> Result<(), StoreError> {
    writer
        .run((id, event_id), |transaction, (id, event_id)| {
            Box::pin(async move {
                Entity::delete_by_id(id).exec(transaction).await?;
                webhook_event::forget_told(transaction, vec![event_id]).await?;
                Ok(())
            })
        })
        .await
}

/// The event was not taken. Nothing changes where an admin decided otherwise meanwhile.
///
/// # Errors
/// See [`StoreError`].
pub async fn note(writer: &Writer, attempt: Attempt) -> Result<(), StoreError> {
    writer
        .run(attempt, |transaction, attempt| {
            Box::pin(async move {
                Entity::update_many()
                    .col_expr(Column::State, attempt.state.into())
                    .col_expr(Column::Attempts, attempt.attempts.into())
                    .col_expr(Column::Refusals, attempt.refusals.into())
                    .col_expr(Column::Since, attempt.since.into())
                    .col_expr(Column::DueAt, attempt.due_at.into())
                    .col_expr(Column::Error, attempt.error.into())
                    .filter(Column::Id.eq(attempt.id))
                    .filter(Column::State.eq(PENDING))
                    .exec(transaction)
                    .await?;
                Ok(())
            })
        })
        .await
}

fn waiting_rows(webhook: i64, after: i64) -> Select<Entity> {
    in_state(webhook, PENDING).filter(Column::Id.gt(after)).order_by_asc(Column::Id)
}

fn rows_of_host(webhook: i64, host: i64) -> Select<Entity> {
    in_state(webhook, PENDING).filter(Column::HostId.eq(host)).order_by_asc(Column::Id)
}

/// The rows of a webhook in a state.
pub(crate) fn in_state(webhook: i64, state: i16) -> Select<Entity> {
    Entity::find().filter(Column::WebhookId.eq(webhook)).filter(Column::State.eq(state))
}

#[cfg(test)]
mod plans;
