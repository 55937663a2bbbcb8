//! Table `queue_entry`: one command for one channel of one host, from queued to its end.

use std::collections::HashMap;

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{ExprTrait, Query, Value};
use sea_orm::{Condition, QuerySelect};

use crate::turn::{EntryChange, beside_its_index, given, values};
use crate::{Reader, StoreError, Transaction, Writer, command};

/// States from here on are final: nothing leaves them.
pub const TERMINAL: i16 = 10;
/// The state of commands that wait for a second admin, or for their turn after one agreed.
pub const HELD: i16 = -1;
/// The state of commands that wait for their device.
pub const QUEUED: i16 = 0;
/// The state of commands that were handed out.
pub const SENT: i16 = 1;
/// The state of commands that their device put off.
pub const NOT_NOW: i16 = 2;
/// The final state of commands that their device has done.
pub const ACKNOWLEDGED: i16 = 10;
/// The final state of commands whose time was over.
pub const EXPIRED: i16 = 13;
/// The final state of commands that an admin took back.
pub const CANCELLED: i16 = 14;
/// The final state of commands whose enrollment ended.
pub const SUPERSEDED: i16 = 15;
/// The final state of commands that were taken out of the way.
pub const PARKED: i16 = 16;

/// A row of `queue_entry`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "queue_entry")]
pub struct Model {
    /// Row number, and the order in which commands were queued.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// The host, for loading all its channels at once.
    pub host_id: i64,
    /// The channel.
    pub enrollment_id: i64,
    /// The command.
    pub command_id: i64,
    /// The generation of the enrollment that it was meant for.
    pub generation: i32,
    /// Higher goes first.
    pub priority: i16,
    /// Where it stands: `protocol::queue::State::code`.
    pub state: i16,
    /// Hand-outs since the last answer.
    pub attempts: i16,
    /// How often the device answered `NotNow`.
    pub not_now_tally: i32,
    /// Whether doing it twice is dangerous.
    pub no_blind_resend: bool,
    /// The entry that must have ended before.
    pub after_id: Option<i64>,
    /// Whether that one must have been acknowledged.
    pub needs_success: bool,
    /// When it was queued.
    pub created_at: i64,
    /// When it stops being worth doing.
    pub expires_at: i64,
    /// When it was last handed out.
    pub sent_at: Option<i64>,
    /// When its state last changed.
    pub changed_at: i64,
}

/// Related rows are read by their own queries.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// What has not ended. The number stands in the statement itself, so that databases see that an index of pending
/// entries is enough.
pub(crate) fn pending() -> Expr {
    Expr::col((Entity, Column::State)).lt(Expr::cust(TERMINAL.to_string()))
}

/// What can still be taken back: held, queued, or deferred and not on its way again.
pub(crate) fn is_with_us() -> Condition {
    let deferred = Condition::all().add(Column::State.eq(NOT_NOW)).add(Column::Attempts.eq(0));
    Condition::any().add(Column::State.lte(QUEUED)).add(deferred)
}

/// What is held; the number stands in the statement for the same reason.
pub(crate) fn held() -> Expr {
    Expr::col((Entity, Column::State)).lt(Expr::cust(QUEUED.to_string()))
}

/// The way from an entry to its command.
pub(crate) fn to_command() -> RelationDef {
    Entity::belongs_to(command::Entity).from(Column::CommandId).to(command::Column::Id).into()
}

/// When the oldest command was queued that each of these channels may have and has not answered; channels without one are left
/// out.
///
/// # Errors
/// The database does not answer.
pub async fn waiting_since(reader: &Reader, channels: Vec<i64>) -> Result<HashMap<i64, i64>, StoreError> {
    reader
        .run(move |database| async move {
            let mut found = HashMap::new();
            for some in channels.chunks(1000) {
                let rows = Entity::find()
                    .select_only()
                    .column(Column::EnrollmentId)
                    .column_as(Column::CreatedAt.min(), "since")
                    .filter(Column::EnrollmentId.is_in(some.iter().copied()))
                    .filter(Column::State.is_in([QUEUED, SENT]))
                    .filter(pending())
                    .group_by(Column::EnrollmentId);
                found.extend(rows.into_tuple::<(i64, i64)>().all(&database).await?);
            }
            Ok(found)
        })
        .await
}

/// Takes a command out of a host's way after it broke the actor that handled it. `false`: it had ended already.
///
/// # Errors
/// See [`StoreError`].
pub async fn park(writer: &Writer, entry_id: i64, now: i64) -> Result<bool, StoreError> {
    writer.run((entry_id, now), |transaction, (entry_id, now)| Box::pin(set_parked(transaction, entry_id, now))).await
}

/// The same within somebody else's transaction.
pub(crate) async fn set_parked(transaction: &Transaction, entry_id: i64, now: i64) -> Result<bool, StoreError> {
    let done = Entity::update_many()
        .col_expr(Column::State, PARKED.into())
        .col_expr(Column::ChangedAt, now.into())
        .filter(Column::Id.eq(entry_id))
        .filter(pending())
        .exec(transaction)
        .await?;
    Ok(done.rows_affected == 1)
}

/// Ends everything that is pending for these channels.
pub(crate) async fn end_pending(
    transaction: &Transaction,
    enrollments: &[i64],
    state: i16,
    now: i64,
) -> Result<u64, StoreError> {
    let done = Entity::update_many()
        .col_expr(Column::State, state.into())
        .col_expr(Column::ChangedAt, now.into())
        .filter(Column::EnrollmentId.is_in(enrollments.iter().copied()))
        .filter(pending())
        .exec(transaction)
        .await?;
    Ok(done.rows_affected)
}

/// Moves entries on. A row that is gone or has ended makes the whole statement fail, so nothing ends twice.
pub(crate) async fn change(transaction: &Transaction, rows: &[&EntryChange]) -> Result<(), StoreError> {
    let new = rows.iter().map(|row| -> Vec<Value> {
        vec![
            row.id.into(),
            row.state.into(),
            row.attempts.into(),
            row.not_now_tally.into(),
            row.sent_at.into(),
            row.changed_at.into(),
        ]
    });
    let update = Query::update()
        .table(Entity)
        .value(Column::State, given("column2"))
        .value(Column::Attempts, given("column3"))
        .value(Column::NotNowTally, given("column4"))
        .value(Column::SentAt, given("column5"))
        .value(Column::ChangedAt, given("column6"))
        .from(values(new))
        .and_where(Expr::col((Entity, Column::Id)).eq(given("column1")))
        .and_where(beside_its_index("queue_entry", "state").lt(TERMINAL))
        .to_owned();
    let done = transaction.execute(&update).await?.rows_affected();
    if done == rows.len() as u64 {
        return Ok(());
    }
    Err(StoreError::Conflict(format!("{} of {} commands had ended already", rows.len() as u64 - done, rows.len())))
}
