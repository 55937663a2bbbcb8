//! Table `host`, the columns that all hosts change all the time and that are written in bulk: when a host must be woken, and
//! when it last spoke to us.

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{ExprTrait, Query, Value};
use sea_orm::{Condition, QueryOrder, QuerySelect};

use crate::host::{Column, Entity};
use crate::turn::{given, in_sizes, values};
use crate::{Reader, StoreError, Transaction, Writer};

/// Hosts whose time has come, the longest due first, after the given place in that order.
///
/// # Errors
/// The database does not answer.
pub async fn list_due(
    reader: &Reader,
    now: i64,
    after: (i64, i64),
    limit: usize,
) -> Result<Vec<(i64, i64)>, StoreError> {
    reader
        .run(move |database| async move {
            let later = Condition::any()
                .add(Column::WakeAt.gt(after.0))
                .add(Condition::all().add(Column::WakeAt.eq(after.0)).add(Column::Id.gt(after.1)));
            let due = Entity::find()
                .select_only()
                .columns([Column::WakeAt, Column::Id])
                .filter(Column::WakeAt.is_not_null())
                .filter(Column::WakeAt.lte(now))
                .filter(later)
                .order_by_asc(Column::WakeAt)
                .order_by_asc(Column::Id)
                .limit(limit as u64);
            Ok(due.into_tuple::<(i64, i64)>().all(&database).await?)
        })
        .await
}

/// Makes sure that hosts are woken by a moment at the latest; some may be named more than once.
pub(crate) async fn wake_by(transaction: &Transaction, mut rows: Vec<(i64, i64)>) -> Result<(), StoreError> {
    rows.sort_unstable();
    rows.dedup_by_key(|row| row.0);
    for some in in_sizes(&rows) {
        let new = some.iter().map(|(host_id, at)| -> Vec<Value> { vec![(*host_id).into(), (*at).into()] });
        let later = wake_at().is_null().or(wake_at().gt(given("column2")));
        update(transaction, Column::WakeAt, new, Some(later)).await?;
    }
    Ok(())
}

/// Makes hosts due at this moment, whatever their rows say.
pub(crate) async fn wake_now(transaction: &Transaction, mut hosts: Vec<i64>, now: i64) -> Result<(), StoreError> {
    hosts.sort_unstable();
    hosts.dedup();
    for some in in_sizes(&hosts) {
        let new = some.iter().map(|host_id| -> Vec<Value> { vec![(*host_id).into(), now.into()] });
        update(transaction, Column::WakeAt, new, None).await?;
    }
    Ok(())
}

/// Lets hosts be woken later, where their rows still say what is expected: (host, expected, new).
pub(crate) async fn wake_later(
    transaction: &Transaction,
    mut rows: Vec<(i64, i64, Option<i64>)>,
) -> Result<(), StoreError> {
    rows.sort_unstable();
    for some in in_sizes(&rows) {
        let new = some
            .iter()
            .map(|(host_id, expected, at)| -> Vec<Value> { vec![(*host_id).into(), (*at).into(), (*expected).into()] });
        update(transaction, Column::WakeAt, new, Some(wake_at().eq(given("column3")))).await?;
    }
    Ok(())
}

/// Writes when hosts last spoke to us: (host, moment).
///
/// # Errors
/// See [`StoreError`].
pub async fn seen(writer: &Writer, rows: Vec<(i64, i64)>) -> Result<(), StoreError> {
    writer
        .run(rows, |transaction, mut rows| {
            Box::pin(async move {
                rows.sort_unstable();
                for some in in_sizes(&rows) {
                    let new = some.iter().map(|(host_id, at)| -> Vec<Value> { vec![(*host_id).into(), (*at).into()] });
                    update(transaction, Column::LastSeenAt, new, None).await?;
                }
                Ok(())
            })
        })
        .await
}

fn wake_at() -> Expr {
    Expr::col((Entity, Column::WakeAt))
}

/// Sets one column of many hosts: (host, value, …).
async fn update(
    transaction: &Transaction,
    column: Column,
    rows: impl Iterator<Item = Vec<Value>>,
    provided: Option<Expr>,
) -> Result<(), StoreError> {
    let update = Query::update()
        .table(Entity)
        .value(column, given("column2"))
        .from(values(rows))
        .and_where(Expr::col((Entity, Column::Id)).eq(given("column1")))
        .and_where_option(provided)
        .to_owned();
    transaction.execute(&update).await?;
    Ok(())
}
