//! The rows of one request to queue a command for many channels: all of them or none.

use std::sync::Arc;

use sea_orm::sea_query::{Expr, Query};
use sea_orm::{ActiveValue, ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait};

use crate::audit::{self, Event};
use crate::vault::{Sealed, Vault};
use crate::{StoreError, Transaction, Writer, command, enrollment, host_times, idempotency, queue_entry};

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
    /// The answer to keep, when the request came with a key.
    pub answer: Option<idempotency::Answer>,
    /// When the hosts are due for it.
    pub due_at: i64,
    /// When it was asked.
    pub now: i64,
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

/// Queues a command for all the named channels, and makes their hosts due at once.
///
/// # Errors
/// [`StoreError::Conflict`] when the command's name is taken, the idempotency key was used, or a channel is not enabled.
pub async fn enqueue(writer: &Writer, request: Enqueue) -> Result<Vec<Queued>, StoreError> {
    let vault = writer.vault();
    let answer = request.answer.as_ref().map(|answer| answer.seal(vault)).transpose()?;
    let body = command::BODY.seal(vault, &[&request.uuid], &request.body)?;
    let input = (vault.clone(), Arc::new(request), body, answer);
    writer
        .run(input, |transaction, (vault, request, body, answer)| {
            Box::pin(enqueue_in(transaction, vault, request, body, answer))
        })
        .await
}

async fn enqueue_in(
    transaction: &Transaction,
    vault: Vault,
    request: Arc<Enqueue>,
    body: Sealed,
    answer: Option<idempotency::Model>,
) -> Result<Vec<Queued>, StoreError> {
    if let Some(answer) = answer {
        idempotency::keep(transaction, answer).await?;
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
        queued.extend(insert_entries(transaction, &request, command_id, some).await?);
    }
    if queued.len() != request.enrollments.len() {
        let missing = request.enrollments.len() - queued.len();
        return Err(StoreError::Conflict(format!("{missing} of the hosts are not enrolled")));
    }
    audit::record(transaction, &vault, event_of(&request)).await?;
    Ok(queued)
}

fn event_of(request: &Enqueue) -> Event {
    Event {
        at: request.now,
        actor: request.created_by.clone().unwrap_or_default(),
        action: "command.queue",
        target: request.uuid.clone(),
        detail: format!("{} for {} channels", request.request_type, request.enrollments.len()),
    }
}

/// Copies host and generation from the channel's own row, so that a new generation never gets an old command.
async fn insert_entries(
    transaction: &Transaction,
    request: &Enqueue,
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
        .from(enrollment::Entity)
        .and_where(is_one)
        .and_where(is_on)
        .to_owned();
    let of_channel = [To::HostId, To::EnrollmentId, To::Generation];
    let of_request = [To::CommandId, To::Priority, To::NoBlindResend, To::CreatedAt, To::ExpiresAt, To::ChangedAt];
    let columns = of_channel.into_iter().chain(of_request);
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
        let (entry_id, host_id, enrollment_id, generation) =
            (row.try_get_by_index(0)?, row.try_get_by_index(1)?, row.try_get_by_index(2)?, row.try_get_by_index(3)?);
        queued.push(Queued { entry_id, host_id, enrollment_id, generation });
    }
    let hosts: Vec<i64> = queued.iter().map(|entry| entry.host_id).collect();
    if request.due_at <= request.now {
        host_times::wake_now(transaction, hosts, request.now).await?;
    } else {
        host_times::wake_by(transaction, hosts.into_iter().map(|host| (host, request.due_at)).collect()).await?;
    }
    Ok(queued)
}
