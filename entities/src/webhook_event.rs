//! Table `webhook_event`: what webhooks are to be told of, written in the transaction that makes it true. Gone when
//! everyone was told.

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{ExprTrait, Query};
use sea_orm::{ActiveValue::Set, Condition, QueryOrder, QuerySelect};

use crate::turn::in_sizes;
use crate::vault::{Part, Sealed, SealedColumn, Vault};
use crate::{Reader, StoreError, Transaction, Writer, webhook_delivery};

/// Events that are looked at in one step of tidying.
const STEP: u64 = 1000;

/// Sealed by [`seal_all`].
pub(crate) static PAYLOAD: SealedColumn =
    SealedColumn { table: "webhook_event", column: "payload", key: &[Part::Text("id")], context: &[Part::Text("id")] };

/// A row of `webhook_event`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "webhook_event")]
pub struct Model {
    /// The event's name, by which receivers know it again.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// Whom it is about.
    pub host_id: i64,
    /// `protocol::webhook::Topic::as_str`.
    pub topic: String,
    /// How many TokenUpdates of its generation a TokenUpdate is; only its transaction knows.
    pub tally: Option<i32>,
    /// When it happened.
    pub created_at: i64,
    /// The rest, sealed: a device's message may hold an unlock token.
    pub payload: Sealed,
}

/// Related rows are read by their own queries.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// An event on its way into the table, with the webhooks that want it.
#[derive(Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// See [`Model::id`].
    pub id: String,
    /// See [`Model::host_id`].
    pub host_id: i64,
    /// See [`Model::topic`].
    pub topic: &'static str,
    /// See [`Model::tally`].
    pub tally: Option<i32>,
    /// See [`Model::created_at`].
    pub created_at: i64,
    /// The rest; from `seal_all` on what the column holds.
    pub payload: Vec<u8>,
    /// Who is told.
    pub webhooks: Vec<i64>,
}

impl std::fmt::Debug for NewEvent {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "webhook event {} ({})", self.id, self.topic)
    }
}

impl Model {
    /// The rest of the event.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`] when it does not open.
    pub fn open(&self, vault: &Vault) -> Result<Vec<u8>, StoreError> {
        PAYLOAD.open(vault, &[&self.id], &self.payload)
    }
}

/// Seals events; from here on their payloads are what the column holds.
pub(crate) fn seal_all(vault: &Vault, events: &mut [NewEvent]) -> Result<(), StoreError> {
    for event in events {
        event.payload = PAYLOAD.seal(vault, &[&event.id], &event.payload)?.0;
    }
    Ok(())
}

/// Keeps events, and who is to be told of them.
pub(crate) async fn insert<'e>(
    transaction: &Transaction,
    events: impl IntoIterator<Item = &'e NewEvent>,
) -> Result<(), StoreError> {
    let events: Vec<&NewEvent> = events.into_iter().collect();
    for rows in in_sizes(&events) {
        let new = rows.iter().map(|event| ActiveModel {
            id: Set(event.id.clone()),
            host_id: Set(event.host_id),
            topic: Set(event.topic.to_owned()),
            tally: Set(event.tally),
            created_at: Set(event.created_at),
            payload: Set(Sealed(event.payload.clone())),
        });
        Entity::insert_many(new).exec_without_returning(transaction).await?;
    }
    webhook_delivery::insert(transaction, &events).await
}

/// The event of this name.
///
/// # Errors
/// The database does not answer.
pub async fn by_id(reader: &Reader, id: String) -> Result<Option<Model>, StoreError> {
    reader.run(move |database| async move { Ok(Entity::find_by_id(id).one(&database).await?) }).await
}

/// Forgets an event of which nobody is to be told any more.
pub(crate) async fn forget_told(transaction: &Transaction, ids: Vec<String>) -> Result<u64, StoreError> {
    let done = Entity::delete_many().filter(Column::Id.is_in(ids)).filter(told()).exec(transaction).await?;
    Ok(done.rows_affected)
}

/// Nobody is to be told of it any more.
fn told() -> Condition {
    let mut delivery = Query::select();
    delivery.column(webhook_delivery::Column::EventId).from(webhook_delivery::Entity);
    delivery.and_where(
        Expr::col((webhook_delivery::Entity, webhook_delivery::Column::EventId)).equals((Entity, Column::Id)),
    );
    Condition::all().add(Expr::exists(delivery).not())
}

/// Forgets some events of which nobody is to be told any more, by name behind `after`. Returns how many, and how far it
/// has come; `None` at the end.
///
/// # Errors
/// See [`StoreError`].
pub async fn tidy(reader: &Reader, writer: &Writer, after: String) -> Result<(u64, Option<String>), StoreError> {
    let page = move |database: crate::Database| async move {
        let names = Entity::find().select_only().column(Column::Id).filter(Column::Id.gt(after));
        let page = names.order_by_asc(Column::Id).limit(STEP).into_tuple::<String>().all(&database).await?;
        let done = Entity::find().select_only().column(Column::Id).filter(Column::Id.is_in(page.clone()));
        Ok((page, done.filter(told()).into_tuple::<String>().all(&database).await?))
    };
    let (page, done) = reader.run(page).await?;
    let end = (page.len() as u64 == STEP).then(|| page.last().cloned()).flatten();
    if done.is_empty() {
        return Ok((0, end));
    }
    let gone = writer.run(done, |transaction, ids| Box::pin(forget_told(transaction, ids))).await?;
    Ok((gone, end))
}
