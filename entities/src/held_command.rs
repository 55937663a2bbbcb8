//! Table `held_command`: dangerous commands for many hosts, which wait for a second admin. Their queue entries are
//! [`HELD`](crate::queue_entry::HELD) until they are released, a few at a time.

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{Expr, ExprTrait, Query};
use sea_orm::{Condition, FromQueryResult, JoinType, QueryOrder, QuerySelect, RelationDef};
use serde_json::json;

use crate::activity::{Activity, chronicle};
use crate::audit::Event;
use crate::enqueue::Queued;
use crate::news::{self, News};
use crate::queue_entry::{self, CANCELLED, EXPIRED, QUEUED, held};
use crate::vault::Vault;
use crate::{Reader, StoreError, Transaction, Writer, command, host, host_times};

/// [`Model::state`]: nobody has decided.
pub const WAITING: i16 = 0;
/// [`Model::state`]: a second admin agreed; hosts are released one after the other.
pub const APPROVED: i16 = 1;
/// [`Model::state`]: an admin said no, or took it back.
pub const REJECTED: i16 = 2;
/// [`Model::state`]: nobody decided in time.
pub const LAPSED: i16 = 3;
/// [`Model::state`]: all its hosts were released.
pub const RELEASED: i16 = 4;

/// A row of `held_command`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "held_command")]
pub struct Model {
    /// The command.
    #[sea_orm(primary_key, auto_increment = false)]
    pub command_id: i64,
    /// Who asked.
    pub asked_by: String,
    /// For how many hosts.
    pub hosts: i64,
    /// [`WAITING`], [`APPROVED`], [`REJECTED`], [`LAPSED`] or [`RELEASED`].
    pub state: i16,
    /// Until when an admin may agree.
    pub waits_until: i64,
    /// How long it stays worth doing once a host is released, in milliseconds; 0: until the moment that its entries name.
    pub time_to_live: i64,
    /// Who decided.
    pub decided_by: Option<String>,
    /// When.
    pub decided_at: Option<i64>,
}

/// Related rows are read by their own queries.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// A held command as admins see it.
#[derive(Clone, Debug, PartialEq, Eq, FromQueryResult)]
pub struct Shown {
    /// What devices call the command.
    pub command_uuid: String,
    /// Its type.
    pub request_type: String,
    /// See [`Model::asked_by`].
    pub asked_by: String,
    /// When it was asked for.
    pub created_at: i64,
    /// See [`Model::hosts`].
    pub hosts: i64,
    /// See [`Model::state`].
    pub state: i16,
    /// See [`Model::waits_until`].
    pub waits_until: i64,
    /// See [`Model::decided_by`].
    pub decided_by: Option<String>,
    /// See [`Model::decided_at`].
    pub decided_at: Option<i64>,
}

/// An admin's word on a held command.
#[derive(Clone, Debug)]
pub struct Word {
    /// What devices call the command.
    pub uuid: String,
    /// Who says it.
    pub by: String,
    /// For how many hosts they believe it is; needed to agree, absent to say no.
    pub agrees_for: Option<i64>,
    /// When.
    pub now: i64,
}

/// What became of an admin's word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It counts, for so many hosts.
    Counts(i64),
    /// No command that is called so is or was held.
    NotHeld,
    /// Somebody has decided before: the state.
    Decided(i16),
    /// Whoever asked cannot agree.
    OwnCommand,
    /// It is for another number of hosts.
    OtherCount(i64),
}

/// Hosts that were released.
#[derive(Clone, Debug, Default)]
pub struct Released {
    /// What devices call the command.
    pub uuid: String,
    /// When it stops being worth doing.
    pub expires_at: i64,
    /// Higher goes first.
    pub priority: i16,
    /// Whether doing it twice is dangerous.
    pub no_blind_resend: bool,
    /// The entries.
    pub entries: Vec<Queued>,
}

/// The held commands in these states, newest first.
///
/// # Errors
/// The database does not answer.
pub async fn list(
    reader: &Reader,
    states: Vec<i16>,
    teams: Option<Vec<i64>>,
    limit: u64,
) -> Result<Vec<Shown>, StoreError> {
    reader
        .run(move |database| async move {
            let query = Entity::find()
                .select_only()
                .column_as(command::Column::Uuid, "command_uuid")
                .columns([command::Column::RequestType, command::Column::CreatedAt])
                .columns([Column::AskedBy, Column::Hosts, Column::State, Column::WaitsUntil])
                .columns([Column::DecidedBy, Column::DecidedAt])
                .join(JoinType::InnerJoin, to_command())
                .filter(Column::State.is_in(states))
                .filter(Condition::all().add_option(teams.map(has_hosts_of)))
                .order_by_desc(Column::CommandId)
                .limit(limit);
            Ok(query.into_model::<Shown>().all(&database).await?)
        })
        .await
}

/// How many hosts were released since a moment.
///
/// # Errors
/// The database does not answer.
pub async fn count_released_since(reader: &Reader, moment: i64) -> Result<u64, StoreError> {
    reader
        .run(move |database| async move {
            let released = Entity::find()
                .join(JoinType::InnerJoin, to_entries())
                .filter(Column::State.is_in([APPROVED, RELEASED]))
                .filter(queue_entry::Column::State.gte(QUEUED))
                .filter(queue_entry::Column::CreatedAt.gt(moment));
            Ok(released.count(&database).await?)
        })
        .await
}

/// Takes an admin's word on a held command.
///
/// # Errors
/// See [`StoreError`].
pub async fn decide(writer: &Writer, word: Word) -> Result<Verdict, StoreError> {
    let input = (writer.vault().clone(), word);
    writer.run(input, |transaction, (vault, word)| Box::pin(decide_in(transaction, vault, word))).await
}

async fn decide_in(transaction: &Transaction, vault: Vault, word: Word) -> Result<Verdict, StoreError> {
    let named = command::Column::Uuid.eq(word.uuid.as_str());
    let found = Entity::find().join(JoinType::InnerJoin, to_command()).filter(named).one(transaction).await?;
    let Some(row) = found else { return Ok(Verdict::NotHeld) };
    if row.state != WAITING {
        return Ok(Verdict::Decided(row.state));
    }
    let of_command = queue_entry::Column::CommandId.eq(row.command_id);
    let entries = queue_entry::Entity::find().filter(of_command).filter(held()).count(transaction).await?;
    let entries = i64::try_from(entries).unwrap_or(i64::MAX);
    let state = match word.agrees_for {
        None => {
            end(transaction, row.command_id, CANCELLED, word.now).await?;
            REJECTED
        }
        Some(_) if row.asked_by == word.by => return Ok(Verdict::OwnCommand),
        Some(hosts) if hosts != entries => return Ok(Verdict::OtherCount(entries)),
        Some(_) => APPROVED,
    };
    settle(transaction, row.command_id, state, Some((&word.by, word.now))).await?;
    let (action, kind) = match state {
        APPROVED => ("command.approve", "approved_mdm_command"),
        _ => ("command.reject", "rejected_mdm_command"),
    };
    let Word { uuid: target, by: actor, now: at, .. } = word;
    let detail = format!("for {entries} channels, asked for by {}", row.asked_by);
    let said = json!({ "command_uuid": target, "host_count": entries, "asked_by": row.asked_by });
    let event = Event { at, actor, action, target, detail };
    chronicle(transaction, &vault, event, vec![Activity::new(kind, said)]).await?;
    Ok(Verdict::Counts(entries))
}

/// Releases some hosts of the oldest command that was agreed to; `None` when there is none.
///
/// # Errors
/// See [`StoreError`].
pub async fn release(writer: &Writer, most: u64, now: i64) -> Result<Option<Released>, StoreError> {
    writer
        .run((most, now), |transaction, (most, now)| {
            Box::pin(async move {
                let approved = Entity::find().filter(Column::State.eq(APPROVED)).order_by_asc(Column::CommandId);
                let Some(row) = approved.one(transaction).await? else { return Ok(None) };
                let released = release_some(transaction, &row, most, now).await?;
                if released.entries.is_empty() {
                    settle(transaction, row.command_id, RELEASED, None).await?;
                }
                Ok(Some(released))
            })
        })
        .await
}

async fn release_some(transaction: &Transaction, row: &Model, most: u64, now: i64) -> Result<Released, StoreError> {
    use queue_entry::Column as Of;
    let first = queue_entry::Entity::find()
        .filter(Of::CommandId.eq(row.command_id))
        .filter(held())
        .order_by_asc(Of::Id)
        .limit(most);
    let entries = first.all(transaction).await?;
    let expires_at = match row.time_to_live {
        0 => entries.first().map_or(now, |entry| entry.expires_at),
        time_to_live => now.saturating_add(time_to_live),
    };
    for some in entries.chunks(500) {
        let update = Query::update()
            .table(queue_entry::Entity)
            .values([
                (Of::State, Expr::value(QUEUED)),
                (Of::CreatedAt, Expr::value(now)),
                (Of::ChangedAt, Expr::value(now)),
                (Of::ExpiresAt, Expr::value(expires_at)),
            ])
            .and_where(Expr::col(Of::Id).is_in(some.iter().map(|entry| entry.id)))
            .and_where(held())
            .to_owned();
        transaction.execute(&update).await?;
    }
    entries.iter().for_each(|entry| news::note(News::Work(entry.host_id)));
    host_times::wake_for_work(transaction, entries.iter().map(|entry| (entry.host_id, now)).collect()).await?;
    let command = command::Entity::find_by_id(row.command_id).select_only().column(command::Column::Uuid);
    Ok(Released {
        uuid: command.into_tuple::<String>().one(transaction).await?.unwrap_or_default(),
        expires_at,
        priority: entries.first().map_or(0, |entry| entry.priority),
        no_blind_resend: entries.first().is_some_and(|entry| entry.no_blind_resend),
        entries: entries.iter().map(Queued::of).collect(),
    })
}

/// Ends what nobody agreed to in time. Returns how many commands.
///
/// # Errors
/// See [`StoreError`].
pub async fn lapse(writer: &Writer, now: i64) -> Result<usize, StoreError> {
    writer
        .run(now, |transaction, now| {
            Box::pin(async move {
                let late = Entity::find().filter(Column::State.eq(WAITING)).filter(Column::WaitsUntil.lte(now));
                let late = late.all(transaction).await?;
                for row in &late {
                    end(transaction, row.command_id, EXPIRED, now).await?;
                    settle(transaction, row.command_id, LAPSED, None).await?;
                }
                Ok(late.len())
            })
        })
        .await
}

/// Everything of a held command was taken back: nobody need decide any more.
pub(crate) async fn taken_back(
    transaction: &Transaction,
    command_id: i64,
    by: &str,
    now: i64,
) -> Result<(), StoreError> {
    let of_command = queue_entry::Column::CommandId.eq(command_id);
    let left = queue_entry::Entity::find().filter(of_command).filter(held()).count(transaction).await?;
    let waiting = Entity::find_by_id(command_id).filter(Column::State.eq(WAITING)).one(transaction).await?;
    if left == 0 && waiting.is_some() {
        settle(transaction, command_id, REJECTED, Some((by, now))).await?;
    }
    Ok(())
}

/// Ends all entries of a command that are held.
async fn end(transaction: &Transaction, command_id: i64, state: i16, now: i64) -> Result<(), StoreError> {
    queue_entry::Entity::update_many()
        .col_expr(queue_entry::Column::State, state.into())
        .col_expr(queue_entry::Column::ChangedAt, now.into())
        .filter(queue_entry::Column::CommandId.eq(command_id))
        .filter(held())
        .exec(transaction)
        .await?;
    Ok(())
}

async fn settle(
    transaction: &Transaction,
    command_id: i64,
    state: i16,
    decided: Option<(&str, i64)>,
) -> Result<(), StoreError> {
    let mut update = Entity::update_many().col_expr(Column::State, state.into());
    if let Some((by, at)) = decided {
        update = update.col_expr(Column::DecidedBy, by.into()).col_expr(Column::DecidedAt, at.into());
    }
    update.filter(Column::CommandId.eq(command_id)).exec(transaction).await?;
    Ok(())
}

fn to_command() -> RelationDef {
    Entity::belongs_to(command::Entity).from(Column::CommandId).to(command::Column::Id).into()
}

/// Whether a host of these teams is among those that a held command is for.
fn has_hosts_of(teams: Vec<i64>) -> Expr {
    let entries = Query::select()
        .expr(Expr::val(1))
        .from(queue_entry::Entity)
        .inner_join(
            host::Entity,
            Expr::col((host::Entity, host::Column::Id)).equals((queue_entry::Entity, queue_entry::Column::HostId)),
        )
        .and_where(Expr::col((queue_entry::Entity, queue_entry::Column::CommandId)).equals((Entity, Column::CommandId)))
        .and_where(Expr::col((host::Entity, host::Column::TeamId)).is_in(teams))
        .to_owned();
    Expr::exists(entries)
}

fn to_entries() -> RelationDef {
    Entity::belongs_to(queue_entry::Entity).from(Column::CommandId).to(queue_entry::Column::CommandId).into()
}
