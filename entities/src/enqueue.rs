//! The rows of requests to queue commands, each for one channel or many: all rows of a request or none.

mod records;

use std::collections::{HashMap, HashSet};

use sea_orm::sea_query::{Expr, ExprTrait, Query, Value};
use sea_orm::{ActiveValue, ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter};
use sea_orm::{DbErr, JoinType, QueryResult, QuerySelect};

use crate::activity;
use crate::audit;
use crate::awaited::Awaited;
use crate::host_action::{self, NewAction, SealedAction};
use crate::news::{self, News};
use crate::turn::{given, in_sizes, values};
use crate::vault::{Sealed, Vault};
use crate::{StoreError, Transaction, Writer, command, enrollment, held_command, host_times, idempotency, queue_entry};

/// A command for many channels.
#[derive(Clone)]
pub struct Enqueue {
    /// What devices call it.
    pub uuid: String,
    /// Apple's `RequestType`, or the target of a Windows command.
    pub request_type: String,
    /// The document as devices get it.
    pub body: Vec<u8>,
    /// Who asked; `None` for the server itself.
    pub created_by: Option<String>,
    /// Higher goes first.
    pub priority: i16,
    /// Whether doing it twice is dangerous.
    pub no_blind_resend: bool,
    /// When it stops being worth doing.
    pub expires_at: i64,
    /// Whether somebody chose that moment: then it counts also for a command that is released later.
    pub expires_as_asked: bool,
    /// The command of the same channels that must have ended before.
    pub after: Option<After>,
    /// The channels it is for.
    pub channels: Vec<Channel>,
    /// What holds a dangerous command back; `None` for others.
    pub brake: Option<Brake>,
    /// The answers to keep, when the request came with a key: if it is queued, and if it is held.
    pub answers: Option<Answers>,
    /// What it is to its one host, where it locks, unlocks or erases it.
    pub action: Option<NewAction>,
    /// When it was asked.
    pub now: i64,
}

/// A channel that a command is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Channel {
    /// Its row.
    pub enrollment_id: i64,
    /// When its host is due for the command.
    pub due_at: i64,
}

/// A command that another one waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct After {
    /// What devices call it.
    pub uuid: String,
    /// Whether it must have been acknowledged.
    pub needs_success: bool,
}

/// When a dangerous command has to wait for a second admin.
#[derive(Clone, Debug)]
pub struct Brake {
    /// Since when hosts are counted.
    pub since: i64,
    /// Hosts that may get commands of this type since then, without a second admin.
    pub limit: u64,
    /// Until when a second admin may agree.
    pub waits_until: i64,
}

/// One answer for each outcome.
#[derive(Clone, Debug)]
pub struct Answers {
    /// The command is queued.
    pub queued: idempotency::Answer,
    /// It is held.
    pub held: idempotency::Answer,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enqueued {
    /// Whether it waits for a second admin.
    pub held: bool,
    /// The entries.
    pub entries: Vec<Queued>,
}

/// An entry that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queued {
    /// Its row.
    pub entry_id: i64,
    /// The host.
    pub host_id: i64,
    /// The channel.
    pub enrollment_id: i64,
    /// The channel's generation.
    pub generation: i32,
    /// See [`queue_entry::Model::after_id`].
    pub after_id: Option<i64>,
    /// See [`queue_entry::Model::needs_success`].
    pub needs_success: bool,
}

impl Queued {
    /// What is known of an entry.
    pub(crate) fn of(entry: &queue_entry::Model) -> Self {
        Self {
            entry_id: entry.id,
            host_id: entry.host_id,
            enrollment_id: entry.enrollment_id,
            generation: entry.generation,
            after_id: entry.after_id,
            needs_success: entry.needs_success,
        }
    }

    /// The columns that [`read`](Self::read) reads.
    pub(crate) const COLUMNS: [queue_entry::Column; 6] = {
        use queue_entry::Column as Of;
        [Of::Id, Of::HostId, Of::EnrollmentId, Of::Generation, Of::AfterId, Of::NeedsSuccess]
    };

    /// Reads what a statement returned of [`COLUMNS`](Self::COLUMNS).
    pub(crate) fn read(row: &QueryResult) -> Result<Self, DbErr> {
        Ok(Self {
            entry_id: row.try_get_by_index(0)?,
            host_id: row.try_get_by_index(1)?,
            enrollment_id: row.try_get_by_index(2)?,
            generation: row.try_get_by_index(3)?,
            after_id: row.try_get_by_index(4)?,
            needs_success: row.try_get_by_index(5)?,
        })
    }
}

/// A request whose secrets are sealed.
pub(crate) struct Request {
    asked: Enqueue,
    body: Sealed,
    /// The answers for its key: if it is queued, and if it is held.
    answers: Option<(idempotency::Model, idempotency::Model)>,
    action: Option<SealedAction>,
}

impl Request {
    /// Seals the secrets of a request.
    pub(crate) fn seal(vault: &Vault, asked: Enqueue) -> Result<Self, StoreError> {
        let body = command::BODY.seal(vault, &[&asked.uuid], &asked.body)?;
        let answers = match &asked.answers {
            Some(Answers { queued, held }) => Some((queued.seal(vault)?, held.seal(vault)?)),
            None => None,
        };
        let action = match &asked.action {
            Some(action) => Some(SealedAction::seal(vault, action)?),
            None => None,
        };
        Ok(Self { asked, body, answers, action })
    }

    /// What devices call the command.
    pub(crate) fn uuid(&self) -> &str {
        &self.asked.uuid
    }

    /// Whether an admin asks, who is to be found in the records; the server's own deliveries have records of their own.
    const fn is_asked(&self) -> bool {
        self.asked.created_by.is_some()
    }

    /// Whether it may be written together with others: nothing is looked up for it.
    const fn is_plain(&self) -> bool {
        self.asked.brake.is_none() && self.action.is_none()
    }
}

/// Queues a command for all the named channels, and makes their hosts due at once. One that the brake stops is held for
/// all of them.
///
/// # Errors
/// [`StoreError::Conflict`] when the command's name is taken, the idempotency key was used, or a channel is not enabled.
pub async fn enqueue(writer: &Writer, asked: Enqueue) -> Result<Enqueued, StoreError> {
    let request = Request::seal(writer.vault(), asked)?;
    writer.enqueue(request).await
}

/// Writes the rows of many requests, with one statement for each kind of row. What a brake may stop is written by itself: how
/// many hosts there were before it is read from rows. Fails as a whole when one request cannot be done: the caller then
/// tries fewer.
pub(crate) async fn apply(
    transaction: &Transaction,
    vault: &Vault,
    requests: &[&Request],
) -> Result<Vec<Enqueued>, StoreError> {
    let mut made = Vec::with_capacity(requests.len());
    for some in requests.chunk_by(|one, next| one.is_plain() && next.is_plain()) {
        let brake = match some {
            [one] => stopped_by(transaction, &one.asked).await?,
            _ => None,
        };
        let [Request { asked, action: Some(action), .. }] = some else {
            made.extend(apply_alike(transaction, vault, some, brake).await?);
            continue;
        };
        host_action::check(transaction, action).await?;
        let queued = apply_alike(transaction, vault, some, brake).await?;
        if let Some(entry) = queued.first().and_then(|queued| queued.entries.first()) {
            let by = (asked.created_by.clone().unwrap_or_default(), asked.now);
            host_action::note(transaction, vault, action, entry.entry_id, by).await?;
        }
        made.extend(queued);
    }
    Ok(made)
}

/// Writes requests that are all queued, or one that a brake holds.
async fn apply_alike(
    transaction: &Transaction,
    vault: &Vault,
    requests: &[&Request],
    brake: Option<&Brake>,
) -> Result<Vec<Enqueued>, StoreError> {
    let held = brake.is_some();
    let answers = requests.iter().filter_map(|request| request.answers.as_ref());
    idempotency::keep(transaction, answers.map(|(queued, answer)| if held { answer } else { queued })).await?;
    let commands = requests.iter().map(|Request { asked, body, .. }| command::ActiveModel {
        id: ActiveValue::NotSet,
        uuid: Set(asked.uuid.clone()),
        request_type: Set(asked.request_type.clone()),
        body: Set(body.clone()),
        created_by: Set(asked.created_by.clone()),
        created_at: Set(asked.now),
    });
    let ids = command::insert(transaction, commands.collect()).await?;
    let asked: Vec<(i64, &Enqueue)> =
        requests.iter().filter_map(|request| Some((*ids.get(&request.asked.uuid)?, &request.asked))).collect();
    let mut made = insert_entries(transaction, &asked, held).await?;
    let mut wakes = Vec::new();
    let mut outcomes = Vec::with_capacity(requests.len());
    for Request { asked, .. } in requests {
        let entries = ids.get(&asked.uuid).and_then(|id| made.remove(id)).unwrap_or_default();
        if entries.len() != asked.channels.len() {
            let missing = asked.channels.len() - entries.len();
            return Err(StoreError::Conflict(format!("{missing} of the hosts are not enrolled")));
        }
        wakes.extend(asked.wakes(&entries));
        outcomes.push(Enqueued { held, entries });
    }
    let asked = requests.iter().filter(|request| request.is_asked());
    audit::record_all(transaction, vault, asked.map(|request| records::event_of(&request.asked, held))).await?;
    let said = requests.iter().zip(&outcomes).filter(|(request, _)| request.is_asked()).map(
        |(Request { asked, .. }, outcome)| {
            (asked.created_by.as_deref(), asked.now, records::activity_of(asked, outcome))
        },
    );
    activity::record_all(transaction, vault, said.collect()).await?;
    match (brake, requests) {
        (Some(brake), [one]) => hold(transaction, &one.asked, brake, &ids).await?,
        _ => host_times::wake_for_work(transaction, wakes).await?,
    }
    Ok(outcomes)
}

/// The brake, where it stops this request: too many hosts got such a command lately. Those that a second admin agreed to,
/// and those that were taken back, do not count.
async fn stopped_by<'r>(transaction: &Transaction, request: &'r Enqueue) -> Result<Option<&'r Brake>, StoreError> {
    let Some(brake) = &request.brake else { return Ok(None) };
    let to_held = command::Entity::belongs_to(held_command::Entity)
        .from(command::Column::Id)
        .to(held_command::Column::CommandId)
        .into();
    let recent = queue_entry::Entity::find()
        .select_only()
        .distinct()
        .column(queue_entry::Column::EnrollmentId)
        .join(JoinType::InnerJoin, queue_entry::to_command())
        .join(JoinType::LeftJoin, to_held)
        .filter(command::Column::RequestType.eq(request.request_type.as_str()))
        .filter(command::Column::CreatedAt.gt(brake.since))
        .filter(held_command::Column::CommandId.is_null())
        .filter(queue_entry::Column::State.ne(queue_entry::CANCELLED));
    let mut hosts = HashSet::<i64>::from_iter(recent.into_tuple::<i64>().all(transaction).await?);
    hosts.extend(request.channels.iter().map(|channel| channel.enrollment_id));
    Ok(Some(brake).filter(|brake| hosts.len() as u64 > brake.limit))
}

async fn hold(
    transaction: &Transaction,
    request: &Enqueue,
    brake: &Brake,
    ids: &HashMap<String, i64>,
) -> Result<(), StoreError> {
    let row = held_command::ActiveModel {
        command_id: Set(ids.get(&request.uuid).copied().unwrap_or_default()),
        asked_by: Set(request.created_by.clone().unwrap_or_default()),
        hosts: Set(i64::try_from(request.channels.len()).unwrap_or(i64::MAX)),
        state: Set(held_command::WAITING),
        waits_until: Set(brake.waits_until),
        time_to_live: Set(if request.expires_as_asked { 0 } else { request.expires_at.saturating_sub(request.now) }),
        decided_by: Set(None),
        decided_at: Set(None),
    };
    held_command::Entity::insert(row).exec_without_returning(transaction).await?;
    Ok(())
}

impl Enqueue {
    /// When the hosts of these entries are due: (host, moment).
    fn wakes(&self, entries: &[Queued]) -> Vec<(i64, i64)> {
        let due: HashMap<i64, i64> =
            self.channels.iter().map(|channel| (channel.enrollment_id, channel.due_at)).collect();
        entries
            .iter()
            .map(|entry| (entry.host_id, due.get(&entry.enrollment_id).copied().unwrap_or(self.now)))
            .collect()
    }

    /// What an entry takes from its request.
    fn values(&self, command_id: i64, channel: Channel, state: i16, after: &Awaited) -> Vec<Value> {
        let mut values: Vec<Value> = vec![channel.enrollment_id.into(), command_id.into(), self.priority.into()];
        values.extend([self.no_blind_resend.into(), self.now.into(), self.expires_at.into(), state.into()]);
        let needs_success = self.after.as_ref().is_some_and(|after| after.needs_success);
        values.extend([after.entry_of(&self.uuid, channel.enrollment_id).into(), needs_success.into()]);
        values
    }
}

/// The entries of requests, by their commands. Host and generation are copied from the channel's own row, so that a new
/// generation never gets an old command.
async fn insert_entries(
    transaction: &Transaction,
    asked: &[(i64, &Enqueue)],
    held: bool,
) -> Result<HashMap<i64, Vec<Queued>>, StoreError> {
    use queue_entry::Column as To;
    let state = if held { queue_entry::HELD } else { queue_entry::QUEUED };
    let rows: Vec<(i64, &Enqueue, Channel)> = asked
        .iter()
        .flat_map(|(id, request)| request.channels.iter().map(|channel| (*id, *request, *channel)))
        .collect();
    let of_channel = [To::HostId, To::Generation];
    let of_request =
        [To::EnrollmentId, To::CommandId, To::Priority, To::NoBlindResend, To::CreatedAt, To::ExpiresAt, To::State];
    let of_after = [To::AfterId, To::NeedsSuccess];
    let after = Awaited::by(transaction, asked.iter().map(|(_, request)| *request)).await?;
    let mut made: HashMap<i64, Vec<Queued>> = HashMap::with_capacity(asked.len());
    for some in in_sizes(&rows) {
        let values = values(some.iter().map(|(id, request, channel)| request.values(*id, *channel, state, &after)));
        let is_one = Expr::col((enrollment::Entity, enrollment::Column::Id)).eq(given("column1"));
        let from = Query::select()
            .columns([enrollment::Column::HostId, enrollment::Column::Generation].map(|of| (enrollment::Entity, of)))
            .exprs(["column1", "column2", "column3", "column4", "column5", "column6", "column7"].map(given))
            .exprs(["column8", "column9", "column5"].map(given))
            .from(values)
            .join(JoinType::InnerJoin, enrollment::Entity, is_one)
            .and_where(Expr::col((enrollment::Entity, enrollment::Column::Enabled)).eq(true))
            .to_owned();
        let insert = Query::insert()
            .into_table(queue_entry::Entity)
            .columns(of_channel.into_iter().chain(of_request).chain(of_after).chain([To::ChangedAt]))
            .select_from(from)
            .map_err(|error| StoreError::NotApplied(error.to_string()))?
            .returning(Query::returning().columns(Queued::COLUMNS.into_iter().chain([To::CommandId])))
            .to_owned();
        for row in transaction.query_all(&insert).await? {
            let queued = Queued::read(&row)?;
            if !held {
                news::note(News::Work(queued.host_id));
            }
            made.entry(row.try_get_by_index(6)?).or_default().push(queued);
        }
    }
    Ok(made)
}
