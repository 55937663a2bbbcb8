//! The rows of one request to queue a command for many channels: all of them or none.

use std::collections::HashSet;
use std::sync::Arc;

use sea_orm::sea_query::{Expr, Query};
use sea_orm::{ActiveValue, ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter};
use sea_orm::{DbErr, JoinType, QueryResult, QuerySelect};

use crate::audit::{self, Event};
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
    /// Who asked.
    pub created_by: Option<String>,
    /// Higher goes first.
    pub priority: i16,
    /// Whether doing it twice is dangerous.
    pub no_blind_resend: bool,
    /// When it stops being worth doing.
    pub expires_at: i64,
    /// The channels it is for.
    pub enrollments: Vec<i64>,
    /// What holds a dangerous command back; `None` for others.
    pub brake: Option<Brake>,
    /// The answers to keep, when the request came with a key: if it is queued, and if it is held.
    pub answers: Option<Answers>,
    /// When the hosts are due for it.
    pub due_at: i64,
    /// When it was asked.
    pub now: i64,
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
}

impl Queued {
    /// What is known of an entry.
    pub(crate) fn of(entry: &queue_entry::Model) -> Self {
        let (entry_id, host_id) = (entry.id, entry.host_id);
        Self { entry_id, host_id, enrollment_id: entry.enrollment_id, generation: entry.generation }
    }

    /// Reads what a statement returned: id, host, enrollment, generation.
    pub(crate) fn read(row: &QueryResult) -> Result<Self, DbErr> {
        let (entry_id, host_id) = (row.try_get_by_index(0)?, row.try_get_by_index(1)?);
        Ok(Self { entry_id, host_id, enrollment_id: row.try_get_by_index(2)?, generation: row.try_get_by_index(3)? })
    }
}

/// Queues a command for all the named channels, and makes their hosts due at once. One that the brake stops is held for
/// all of them.
///
/// # Errors
/// [`StoreError::Conflict`] when the command's name is taken, the idempotency key was used, or a channel is not enabled.
pub async fn enqueue(writer: &Writer, request: Enqueue) -> Result<Enqueued, StoreError> {
    let vault = writer.vault();
    let body = command::BODY.seal(vault, &[&request.uuid], &request.body)?;
    let answers = match &request.answers {
        Some(Answers { queued, held }) => Some((queued.seal(vault)?, held.seal(vault)?)),
        None => None,
    };
    let input = (vault.clone(), Arc::new(request), body, answers);
    writer
        .run(input, |transaction, (vault, request, body, answers)| {
            Box::pin(enqueue_in(transaction, vault, request, body, answers))
        })
        .await
}

/// Queued, held.
type SealedAnswers = (idempotency::Model, idempotency::Model);

async fn enqueue_in(
    transaction: &Transaction,
    vault: Vault,
    request: Arc<Enqueue>,
    body: Sealed,
    answers: Option<SealedAnswers>,
) -> Result<Enqueued, StoreError> {
    let brake = stopped_by(transaction, &request).await?;
    if let Some((queued, held)) = answers {
        idempotency::keep(transaction, if brake.is_some() { held } else { queued }).await?;
    }
    let row = command::ActiveModel {
        id: ActiveValue::NotSet,
        uuid: Set(request.uuid.clone()),
        request_type: Set(request.request_type.clone()),
        body: Set(body),
        created_by: Set(request.created_by.clone()),
        created_at: Set(request.now),
    };
    let command_id = command::Entity::insert(row).exec(transaction).await?.last_insert_id;
    let mut queued = Vec::with_capacity(request.enrollments.len());
    for some in request.enrollments.chunks(500) {
        queued.extend(insert_entries(transaction, &request, brake, command_id, some).await?);
    }
    if queued.len() != request.enrollments.len() {
        let missing = request.enrollments.len() - queued.len();
        return Err(StoreError::Conflict(format!("{missing} of the hosts are not enrolled")));
    }
    audit::record(transaction, &vault, event_of(&request, brake.is_some())).await?;
    if let Some(brake) = brake {
        hold(transaction, &request, brake, command_id).await?;
    }
    Ok(Enqueued { held: brake.is_some(), entries: queued })
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
    hosts.extend(&request.enrollments);
    Ok(Some(brake).filter(|brake| hosts.len() as u64 > brake.limit))
}

async fn hold(transaction: &Transaction, request: &Enqueue, brake: &Brake, command_id: i64) -> Result<(), StoreError> {
    let row = held_command::ActiveModel {
        command_id: Set(command_id),
        asked_by: Set(request.created_by.clone().unwrap_or_default()),
        hosts: Set(i64::try_from(request.enrollments.len()).unwrap_or(i64::MAX)),
        state: Set(held_command::WAITING),
        waits_until: Set(brake.waits_until),
        time_to_live: Set(request.expires_at.saturating_sub(request.now)),
        decided_by: Set(None),
        decided_at: Set(None),
    };
    held_command::Entity::insert(row).exec_without_returning(transaction).await?;
    Ok(())
}

fn event_of(request: &Enqueue, held: bool) -> Event {
    Event {
        at: request.now,
        actor: request.created_by.clone().unwrap_or_default(),
        action: if held { "command.hold" } else { "command.queue" },
        target: request.uuid.clone(),
        detail: format!("{} for {} channels", request.request_type, request.enrollments.len()),
    }
}

/// Copies host and generation from the channel's own row, so that a new generation never gets an old command.
async fn insert_entries(
    transaction: &Transaction,
    request: &Enqueue,
    brake: Option<&Brake>,
    command_id: i64,
    enrollments: &[i64],
) -> Result<Vec<Queued>, StoreError> {
    use queue_entry::Column as To;
    let (is_one, is_on) =
        (enrollment::Column::Id.is_in(enrollments.iter().copied()), enrollment::Column::Enabled.eq(true));
    let from = Query::select()
        .columns([enrollment::Column::HostId, enrollment::Column::Id, enrollment::Column::Generation])
        .expr(Expr::value(command_id))
        .expr(Expr::value(request.priority))
        .expr(Expr::value(request.no_blind_resend))
        .expr(Expr::value(request.now))
        .expr(Expr::value(request.expires_at))
        .expr(Expr::value(request.now))
        .expr(Expr::value(if brake.is_some() { queue_entry::HELD } else { queue_entry::QUEUED }))
        .from(enrollment::Entity)
        .and_where(is_one)
        .and_where(is_on)
        .to_owned();
    let of_channel = [To::HostId, To::EnrollmentId, To::Generation];
    let of_request = [To::CommandId, To::Priority, To::NoBlindResend, To::CreatedAt, To::ExpiresAt, To::ChangedAt];
    let columns = of_channel.into_iter().chain(of_request).chain([To::State]);
    let made = [To::Id, To::HostId, To::EnrollmentId, To::Generation];
    let insert = Query::insert()
        .into_table(queue_entry::Entity)
        .columns(columns)
        .select_from(from)
        .map_err(|error| StoreError::NotApplied(error.to_string()))?
        .returning(Query::returning().columns(made))
        .to_owned();
    let mut queued = Vec::with_capacity(enrollments.len());
    for row in transaction.query_all(&insert).await? {
        queued.push(Queued::read(&row)?);
    }
    if brake.is_some() {
        return Ok(queued);
    }
    let hosts: Vec<i64> = queued.iter().map(|entry| entry.host_id).collect();
    host_times::wake_for_work(transaction, hosts, request.due_at).await?;
    Ok(queued)
}
