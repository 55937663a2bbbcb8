//! What piles up in `webhook_delivery`: counted, shown, tried again, dropped, forgotten; in bounded steps, because it may be
//! much.

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::Query;
use sea_orm::{FromQueryResult, JoinType, QueryOrder, QuerySelect, RelationDef};

use crate::audit;
use crate::webhook::{self, By};
use crate::webhook_delivery::{Column, DEAD, Entity, PENDING, in_state};
use crate::{Reader, StoreError, Transaction, Writer, webhook_event};

/// Rows that one transaction changes at most.
pub const AT_ONCE: u64 = 1000;

/// A row as admins see it.
#[derive(Clone, Debug, PartialEq, Eq, FromQueryResult)]
pub struct Shown {
    /// See [`crate::webhook_delivery::Model::id`].
    pub id: i64,
    /// See [`crate::webhook_delivery::Model::event_id`].
    pub event_id: String,
    /// See [`crate::webhook_delivery::Model::host_id`].
    pub host_id: i64,
    /// See [`webhook_event::Model::topic`].
    pub topic: String,
    /// When the event happened.
    pub created_at: i64,
    /// See [`crate::webhook_delivery::Model::attempts`].
    pub attempts: i32,
    /// See [`crate::webhook_delivery::Model::since`].
    pub since: i64,
    /// See [`crate::webhook_delivery::Model::due_at`].
    pub due_at: i64,
    /// See [`crate::webhook_delivery::Model::error`].
    pub error: Option<String>,
}

/// How many rows a webhook has in a state, and since when the oldest of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromQueryResult)]
pub struct Count {
    /// See [`crate::webhook_delivery::Model::webhook_id`].
    pub webhook_id: i64,
    /// See [`crate::webhook_delivery::Model::state`].
    pub state: i16,
    /// How many.
    pub rows: i64,
    /// See [`crate::webhook_delivery::Model::since`].
    pub oldest: i64,
}

/// One row of a webhook, or all of its dead letters.
#[derive(Clone, Copy, Debug)]
pub struct Letters {
    /// The webhook.
    pub webhook: i64,
    /// This one alone.
    pub only: Option<i64>,
}

/// A page of a webhook's rows in a state, oldest first.
///
/// # Errors
/// The database does not answer.
pub async fn list(
    reader: &Reader,
    webhook: i64,
    state: i16,
    offset: u64,
    limit: u64,
) -> Result<Vec<Shown>, StoreError> {
    reader
        .run(move |database| async move {
            let rows = in_state(webhook, state).select_only();
            let rows = rows.columns([Column::Id, Column::EventId, Column::HostId, Column::Attempts, Column::Since]);
            let rows = rows.columns([Column::DueAt, Column::Error]);
            let rows = rows.columns([webhook_event::Column::Topic, webhook_event::Column::CreatedAt]);
            let rows = rows.join(JoinType::InnerJoin, to_event()).order_by_asc(Column::Id);
            Ok(rows.offset(offset).limit(limit).into_model::<Shown>().all(&database).await?)
        })
        .await
}

/// How many rows each webhook has in each state.
///
/// # Errors
/// The database does not answer.
pub async fn counts(reader: &Reader) -> Result<Vec<Count>, StoreError> {
    reader
        .run(|database| async move {
            let rows = Entity::find().select_only().columns([Column::WebhookId, Column::State]);
            let rows = rows.column_as(Column::Id.count(), "rows").column_as(Column::Since.min(), "oldest");
            let rows = rows.group_by(Column::WebhookId).group_by(Column::State);
            Ok(rows.into_model::<Count>().all(&database).await?)
        })
        .await
}

/// Lets dead letters wait again, some at once. Returns how many; fewer than could be means that it was the last step.
///
/// # Errors
/// See [`StoreError`].
pub async fn replay(writer: &Writer, letters: Letters, by: By) -> Result<u64, StoreError> {
    let input = (writer.vault().clone(), letters, by);
    writer
        .run(input, |transaction, (vault, letters, by)| {
            Box::pin(async move {
                let ids = some(transaction, letters.webhook, Some(DEAD), letters.only).await?;
                let count = ids.len() as u64;
                Entity::update_many()
                    .col_expr(Column::State, PENDING.into())
                    .col_expr(Column::Attempts, 0.into())
                    .col_expr(Column::Refusals, 0.into())
                    .col_expr(Column::Since, by.at.into())
                    .col_expr(Column::DueAt, by.at.into())
                    .filter(Column::Id.is_in(ids))
                    .exec(transaction)
                    .await?;
                if count > 0 {
                    let event = by.event("webhook.replay", letters.webhook, format!("{count} dead letters"));
                    audit::record(transaction, &vault, event).await?;
                }
                Ok(count)
            })
        })
        .await
}

/// Drops dead letters, some at once. Returns how many.
///
/// # Errors
/// See [`StoreError`].
pub async fn drop_dead(writer: &Writer, letters: Letters, by: By) -> Result<u64, StoreError> {
    let input = (writer.vault().clone(), letters, by);
    writer
        .run(input, |transaction, (vault, letters, by)| {
            Box::pin(async move {
                let ids = some(transaction, letters.webhook, Some(DEAD), letters.only).await?;
                let count = delete_rows(transaction, ids).await?;
                if count > 0 {
                    let event = by.event("webhook.drop", letters.webhook, format!("{count} dead letters"));
                    audit::record(transaction, &vault, event).await?;
                }
                Ok(count)
            })
        })
        .await
}

/// Makes dead letters of some rows that have waited since before a moment, and forgets some that have been dead since
/// before another. Returns how many of both.
///
/// # Errors
/// See [`StoreError`].
pub async fn age(writer: &Writer, die_before: i64, forget_before: i64, now: i64) -> Result<(u64, u64), StoreError> {
    writer
        .run((die_before, forget_before, now), |transaction, (die_before, forget_before, now)| {
            Box::pin(async move {
                let late = older(transaction, PENDING, die_before).await?;
                let died = late.len() as u64;
                Entity::update_many()
                    .col_expr(Column::State, DEAD.into())
                    .col_expr(Column::Since, now.into())
                    .filter(Column::Id.is_in(late))
                    .exec(transaction)
                    .await?;
                let old = older(transaction, DEAD, forget_before).await?;
                Ok((died, delete_rows(transaction, old).await?))
            })
        })
        .await
}

/// Forgets some rows of webhooks that are gone. Returns how many.
///
/// # Errors
/// See [`StoreError`].
pub async fn forget_gone(reader: &Reader, writer: &Writer) -> Result<u64, StoreError> {
    let gone = |database: crate::Database| async move {
        let known = Query::select().column(webhook::Column::Id).from(webhook::Entity).take();
        let rows = Entity::find().select_only().column(Column::WebhookId).distinct();
        let rows = rows.filter(Column::WebhookId.not_in_subquery(known));
        Ok(rows.into_tuple::<i64>().one(&database).await?)
    };
    let Some(webhook) = reader.run(gone).await? else { return Ok(0) };
    writer.run(webhook, |transaction, webhook| Box::pin(delete_some(transaction, webhook))).await
}

/// Deletes some rows of a webhook.
pub(crate) async fn delete_some(transaction: &Transaction, webhook: i64) -> Result<u64, StoreError> {
    let ids = some(transaction, webhook, None, None).await?;
    delete_rows(transaction, ids).await
}

/// Deletes rows, and events of which nobody is to be told any more.
async fn delete_rows(transaction: &Transaction, ids: Vec<i64>) -> Result<u64, StoreError> {
    if ids.is_empty() {
        return Ok(0);
    }
    let mine = Entity::find().filter(Column::Id.is_in(ids.clone())).select_only().column(Column::EventId);
    let events = mine.into_tuple::<String>().all(transaction).await?;
    let done = Entity::delete_many().filter(Column::Id.is_in(ids)).exec(transaction).await?;
    webhook_event::forget_told(transaction, events).await?;
    Ok(done.rows_affected)
}

/// The first rows of a webhook, as many as one transaction may change.
async fn some(
    transaction: &Transaction,
    webhook: i64,
    state: Option<i16>,
    only: Option<i64>,
) -> Result<Vec<i64>, StoreError> {
    let mut rows = Entity::find().filter(Column::WebhookId.eq(webhook));
    if let Some(state) = state {
        rows = rows.filter(Column::State.eq(state));
    }
    if let Some(id) = only {
        rows = rows.filter(Column::Id.eq(id));
    }
    ids_of(transaction, rows).await
}

/// The first rows that have been in a state since before a moment.
async fn older(transaction: &Transaction, state: i16, moment: i64) -> Result<Vec<i64>, StoreError> {
    ids_of(transaction, rows_before(state, moment)).await
}

fn rows_before(state: i16, moment: i64) -> Select<Entity> {
    let rows = Entity::find().filter(Column::State.eq(state)).filter(Column::Since.lt(moment));
    rows.order_by_asc(Column::Since)
}

async fn ids_of(transaction: &Transaction, rows: Select<Entity>) -> Result<Vec<i64>, StoreError> {
    let ids = rows.select_only().column(Column::Id).limit(AT_ONCE);
    Ok(ids.into_tuple::<i64>().all(transaction).await?)
}

fn to_event() -> RelationDef {
    Entity::belongs_to(webhook_event::Entity).from(Column::EventId).to(webhook_event::Column::Id).into()
}

#[cfg(test)]
mod tests;
