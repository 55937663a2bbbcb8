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

/// Hosts that are to be woken only after a moment, the last first.
///
/// # Errors
/// The database does not answer.
pub async fn list_beyond(reader: &Reader, moment: i64, limit: usize) -> Result<Vec<(i64, i64)>, StoreError> {
    reader
        .run(move |database| async move {
            let beyond = Entity::find()
                .select_only()
                .columns([Column::WakeAt, Column::Id])
                .filter(Column::WakeAt.gt(moment))
                .order_by_desc(Column::WakeAt)
                .limit(limit as u64);
            Ok(beyond.into_tuple::<(i64, i64)>().all(&database).await?)
        })
        .await
}

/// Makes sure that hosts are woken by a moment at the latest: (host, moment, expected). A row that does not say what its
/// owner expects gets a moment that its owner cannot know, who so learns of work that nobody told it of.
pub(crate) async fn wake_by(
    transaction: &Transaction,
    mut rows: Vec<(i64, i64, Option<i64>)>,
) -> Result<(), StoreError> {
    rows.sort_unstable();
    rows.dedup_by_key(|row| row.0);
    for some in in_sizes(&rows) {
        let new = some
            .iter()
            .map(|(host_id, at, expected)| -> Vec<Value> { vec![(*host_id).into(), (*at).into(), (*expected).into()] });
        let (at, expected) = (|| given("column2"), || given("column3"));
        let as_expected = wake_at().eq(expected()).or(wake_at().is_null().and(expected().is_null()));
        let moment =
            Expr::case(as_expected, at()).case(wake_at().lte(at()), wake_at().sub(1_i64)).finally(at().sub(1_i64));
        set(transaction, Column::WakeAt, moment.into(), new, None).await?;
    }
    Ok(())
}

/// Makes hosts due for new work: (host, moment). A host that is due before keeps its moment less a millisecond: its row then says
/// something else than its owner believes, who so learns of work that nobody told it of.
pub(crate) async fn wake_for_work(transaction: &Transaction, mut rows: Vec<(i64, i64)>) -> Result<(), StoreError> {
    rows.sort_by_key(|row| row.0);
    while !rows.is_empty() {
        // A host that several commands came for is made due for one after the other, as it counts them itself.
        let mut others = Vec::new();
        rows.dedup_by(|next, row| {
            next.0 == row.0 && {
                others.push(*next);
                true
            }
        });
        for some in in_sizes(&rows) {
            let new = some.iter().map(|(host_id, at)| -> Vec<Value> { vec![(*host_id).into(), (*at).into()] });
            let earlier = wake_at().lte(given("column2"));
            let moment = Expr::case(earlier, wake_at().sub(1_i64)).finally(given("column2"));
            set(transaction, Column::WakeAt, moment.into(), new, None).await?;
        }
        rows = others;
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

/// Writes when hosts last spoke to us: (host, moment, when their management did, where it did).
///
/// # Errors
/// See [`StoreError`].
pub async fn seen(writer: &Writer, rows: Vec<(i64, i64, Option<i64>)>) -> Result<(), StoreError> {
    writer
        .run(rows, |transaction, mut rows| {
            Box::pin(async move {
                rows.sort_unstable();
                for some in in_sizes(&rows) {
                    let new =
                        some.iter().map(|(host_id, at, _)| -> Vec<Value> { vec![(*host_id).into(), (*at).into()] });
                    update(transaction, Column::LastSeenAt, new, None).await?;
                }
                let by_mdm: Vec<(i64, i64)> =
                    rows.iter().filter_map(|(host, _, by_mdm)| Some((*host, (*by_mdm)?))).collect();
                for some in in_sizes(&by_mdm) {
                    let new = some.iter().map(|(host_id, at)| -> Vec<Value> { vec![(*host_id).into(), (*at).into()] });
                    update(transaction, Column::MdmSeenAt, new, None).await?;
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
    set(transaction, column, given("column2"), rows, provided).await
}

/// Sets one column of many hosts, each to what comes of the row and of what is given for it.
async fn set(
    transaction: &Transaction,
    column: Column,
    value: Expr,
    rows: impl Iterator<Item = Vec<Value>>,
    provided: Option<Expr>,
) -> Result<(), StoreError> {
    let update = Query::update()
        .table(Entity)
        .value(column, value)
        .from(values(rows))
        .and_where(Expr::col((Entity, Column::Id)).eq(given("column1")))
        .and_where_option(provided)
        .to_owned();
    transaction.execute(&update).await?;
    Ok(())
}
