//! Sealing values anew after the active key changed: bounded steps over every sealed column, by primary key, so that a
//! server stays responsive and a killed one only looks at some rows twice.

use sea_orm::sea_query::{Expr, ExprTrait, Func, Query, SelectStatement, SimpleExpr, Value};
use sea_orm::{ConnectionTrait, Order, QueryResult};

use super::{HEAD_BYTES, KeyId, Part, Sealed, SealedColumn, Vault};
use crate::{
    Reader, StoreError, Transaction, Writer, abm_token, audit, authority, command, command_result, declarative_status,
    enroll_secret, enrollment_secret, host_action, host_profile_list, idempotency, mail, orphan_result,
    profile_content, push_certificate, secret_variable, webhook, webhook_event, webhook_key,
};

/// Every sealed column. One that is missing here would keep its old key for ever.
pub static SEALED: &[&SealedColumn] = &[
    &authority::PRIVATE_KEY,
    &push_certificate::PRIVATE_KEY,
    &enroll_secret::SECRET,
    &enrollment_secret::VALUE,
    &command::BODY,
    &command_result::BODY,
    &orphan_result::BODY,
    &declarative_status::BODY,
    &idempotency::ANSWER,
    &audit::HASH,
    &webhook::URL,
    &webhook_key::SECRET,
    &webhook_event::PAYLOAD,
    &mail::BODY,
    &host_action::PIN,
    &profile_content::BODY,
    &host_profile_list::PROFILES,
    &secret_variable::VALUE,
    &abm_token::TOKEN,
];

/// Rows whose heads are looked at in one step.
const HEADS: u64 = 500;
/// Rows that are sealed anew in one step at most.
const ROWS: usize = 64;
/// Bytes that are sealed anew in one step, roughly.
const BYTES: i64 = 1024 * 1024;

/// How far a pass over all sealed columns has come.
#[derive(Clone, Debug, Default)]
pub struct Cursor {
    column: usize,
    after: Option<Vec<Value>>,
}

/// What one step did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Values that have the active key now.
    pub resealed: usize,
    /// Values that still have another one: they do not open, or changed meanwhile.
    pub left: usize,
    /// Whether the pass has come to its end.
    pub is_last: bool,
}

/// How many values a key seals.
pub type Census = std::collections::BTreeMap<KeyId, u64>;

/// What a step looks at before it reads a value.
struct Head {
    row: Vec<Value>,
    key: Option<KeyId>,
    bytes: i64,
}

/// A value on its way from one key to another.
#[derive(Clone)]
struct Change {
    column: &'static SealedColumn,
    row: Vec<Value>,
    old: Sealed,
    new: Sealed,
}

/// One step of a pass: seals some values anew where they have another key than the active one.
///
/// # Errors
/// See [`StoreError`]; a value that does not open is left as it is and does not stop the pass.
pub async fn step(reader: &Reader, writer: &Writer, cursor: &mut Cursor) -> Result<Step, StoreError> {
    let vault = reader.vault().clone();
    let (Some(column), Some(active)) = (SEALED.get(cursor.column).copied(), vault.ring().active_id()) else {
        return Ok(Step { is_last: true, ..Step::default() });
    };
    let heads = heads(reader, column, cursor.after.clone()).await?;
    let is_last = heads.len() < HEADS as usize;
    let (mut stale, mut bytes, mut seen) = (Vec::new(), 0, None);
    for head in heads {
        if stale.len() == ROWS || bytes > BYTES {
            break;
        }
        seen = Some(head.row.clone());
        if head.key != Some(active) {
            bytes += head.bytes;
            stale.push(head.row);
        }
    }
    let full = stale.len() == ROWS || bytes > BYTES;
    let wanted = stale.len();
    let changes = change(reader, column, stale).await?;
    let count = changes.len();
    if count > 0 {
        writer.run(changes, |transaction, changes| Box::pin(store(transaction, changes))).await?;
        vault.0.resealed.fetch_add(count as u64, std::sync::atomic::Ordering::Relaxed);
    }
    if is_last && !full {
        *cursor = Cursor { column: cursor.column + 1, after: None };
    } else {
        cursor.after = seen;
    }
    Ok(Step { resealed: count, left: wanted - count, is_last: cursor.column == SEALED.len() })
}

/// Counts the values under each key, over all tables.
///
/// # Errors
/// The database does not answer.
pub async fn census(reader: &Reader) -> Result<Census, StoreError> {
    let mut census = Census::new();
    for column in SEALED {
        let mut after = None;
        loop {
            let heads = heads(reader, column, after).await?;
            for id in heads.iter().filter_map(|head| head.key) {
                *census.entry(id).or_default() += 1;
            }
            match heads.into_iter().nth(HEADS as usize - 1) {
                Some(last) => after = Some(last.row),
                None => break,
            }
        }
    }
    Ok(census)
}

async fn heads(
    reader: &Reader,
    column: &'static SealedColumn,
    after: Option<Vec<Value>>,
) -> Result<Vec<Head>, StoreError> {
    let head = Func::cust("substr").arg(Expr::col(column.column)).arg(1).arg(HEAD_BYTES as i32);
    let mut query = by_key(column);
    query.expr(head).expr(length_of(column)).limit(HEADS);
    if let Some(after) = after {
        query.and_where(row_of(column).gt(Expr::tuple(after.into_iter().map(SimpleExpr::from))));
    }
    reader
        .run(move |database| async move {
            let rows = database.query_all(&query).await?;
            rows.iter().map(|row| Head::read(column, row)).collect()
        })
        .await
}

/// Opens and seals some values of a column.
async fn change(
    reader: &Reader,
    column: &'static SealedColumn,
    rows: Vec<Vec<Value>>,
) -> Result<Vec<Change>, StoreError> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let mut query = by_key(column);
    for part in column.context {
        match part {
            // PostgreSQL does not read a smaller number as a larger one.
            Part::Number(name) => query.expr(Expr::col(*name).cast_as("bigint")),
            Part::Text(name) => query.column(*name),
        };
    }
    let wanted = rows.into_iter().map(|row| Expr::tuple(row.into_iter().map(SimpleExpr::from)));
    query.column(column.column).and_where(row_of(column).is_in(wanted));
    let vault = reader.vault().clone();
    reader
        .run(move |database| async move {
            let rows = database.query_all(&query).await?;
            let changes = rows.iter().map(|row| Change::make(column, row, &vault));
            changes.filter_map(Result::transpose).collect()
        })
        .await
}

/// Replaces each value, unless it changed meanwhile: then it has the active key already.
async fn store(transaction: &Transaction, changes: Vec<Change>) -> Result<(), StoreError> {
    for change in changes {
        let row = Expr::tuple(change.row.into_iter().map(SimpleExpr::from));
        let update = Query::update()
            .table(change.column.table)
            .value(change.column.column, change.new)
            .and_where(row_of(change.column).eq(row))
            .and_where(Expr::col(change.column.column).eq(change.old))
            .to_owned();
        transaction.execute(&update).await?;
    }
    Ok(())
}

fn by_key(column: &SealedColumn) -> SelectStatement {
    let mut query = Query::select();
    for part in column.key {
        query.column(part.name()).order_by(part.name(), Order::Asc);
    }
    query.from(column.table);
    query
}

/// The primary key as one value that can be compared.
fn row_of(column: &SealedColumn) -> SimpleExpr {
    Expr::tuple(column.key.iter().map(|part| Expr::col(part.name())))
}

fn length_of(column: &SealedColumn) -> SimpleExpr {
    Expr::expr(Func::cust("length").arg(Expr::col(column.column))).cast_as("bigint")
}

impl Head {
    fn read(column: &SealedColumn, row: &QueryResult) -> Result<Self, StoreError> {
        let parts = column.key.len();
        let key = Sealed(row.try_get_by_index(parts)?).parts().map(|(id, _)| id);
        Ok(Self { row: read_parts(column.key, row, 0)?, key, bytes: row.try_get_by_index(parts + 1)? })
    }
}

impl Change {
    /// `None` for a value that does not open: it is in the log, and stays as it is for whoever looks into it.
    fn make(column: &'static SealedColumn, row: &QueryResult, vault: &Vault) -> Result<Option<Self>, StoreError> {
        let key = read_parts(column.key, row, 0)?;
        let context = read_parts(column.context, row, column.key.len())?;
        let context: Vec<String> = context.iter().map(shown).collect();
        let context: Vec<&dyn std::fmt::Display> = context.iter().map(|part| part as _).collect();
        let old = Sealed(row.try_get_by_index(column.key.len() + column.context.len())?);
        let Ok(plain) = column.open(vault, &context, &old) else { return Ok(None) };
        let new = column.seal(vault, &context, zeroize::Zeroizing::new(plain))?;
        Ok(Some(Self { column, row: key, old, new }))
    }
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::Number(name) | Self::Text(name) => name,
        }
    }
}

fn read_parts(parts: &[Part], row: &QueryResult, first: usize) -> Result<Vec<Value>, StoreError> {
    let read = |(index, part): (usize, &Part)| match part {
        Part::Number(_) => Ok(Value::from(row.try_get_by_index::<i64>(index)?)),
        Part::Text(_) => Ok(Value::from(row.try_get_by_index::<String>(index)?)),
    };
    parts.iter().enumerate().map(|(index, part)| read((first + index, part))).collect()
}

/// A part as the code that seals writes it.
fn shown(part: &Value) -> String {
    match part {
        Value::BigInt(Some(number)) => number.to_string(),
        Value::String(Some(text)) => text.to_string(),
        other => other.to_string(),
    }
}
