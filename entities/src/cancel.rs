//! The rows of one request to take a command back. What a device may have stays: nothing can fetch it from there.

use std::collections::BTreeMap;

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::Query;
use sea_orm::{Condition, QuerySelect};
use serde_json::json;

use crate::activity::{Activity, chronicle};
use crate::audit::Event;
use crate::enqueue::Queued;
use crate::queue_entry::{self, CANCELLED, Column, Entity, TERMINAL};
use crate::vault::Vault;
use crate::{StoreError, Transaction, Writer, command, held_command};

/// A command to take back.
#[derive(Clone, Debug)]
pub struct Cancel {
    /// What devices call it.
    pub uuid: String,
    /// From these hosts only; empty for all.
    pub hosts: Vec<i64>,
    /// Who asks.
    pub by: String,
    /// When.
    pub now: i64,
}

/// What became of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cancelled {
    /// Entries that were taken back.
    pub entries: Vec<Queued>,
    /// Entries that a device may have.
    pub sent: u64,
    /// Entries that had ended before.
    pub ended: u64,
}

/// Takes a command back where no device can have it; `None` when there is no such command.
///
/// # Errors
/// See [`StoreError`].
pub async fn cancel(writer: &Writer, request: Cancel) -> Result<Option<Cancelled>, StoreError> {
    let input = (writer.vault().clone(), request);
    writer.run(input, |transaction, (vault, request)| Box::pin(cancel_in(transaction, vault, request))).await
}

async fn cancel_in(transaction: &Transaction, vault: Vault, request: Cancel) -> Result<Option<Cancelled>, StoreError> {
    let named = command::Entity::find().filter(command::Column::Uuid.eq(request.uuid.as_str()));
    let id = named.select_only().column(command::Column::Id).into_tuple::<i64>().one(transaction).await?;
    let Some(command_id) = id else { return Ok(None) };
    let mut cancelled = Cancelled::default();
    let parts = if request.hosts.is_empty() { vec![&[][..]] } else { request.hosts.chunks(500).collect() };
    for hosts in parts {
        cancel_of(transaction, command_id, hosts, request.now, &mut cancelled).await?;
    }
    let by_us = cancelled.entries.len() as u64;
    cancelled.ended = cancelled.ended.saturating_sub(by_us);
    held_command::taken_back(transaction, command_id, &request.by, request.now).await?;
    let detail = format!("for {by_us} channels; {} may have it", cancelled.sent);
    let Cancel { uuid: target, by: actor, now: at, .. } = request;
    let hosts = cancelled.entries.iter().map(|entry| entry.host_id).collect();
    let said = json!({ "command_uuid": target, "host_count": by_us, "sent_host_count": cancelled.sent });
    let said = vec![Activity::new("canceled_mdm_command", said).about(hosts)];
    let event = Event { at, actor, action: "command.cancel", target, detail };
    chronicle(transaction, &vault, event, said).await?;
    Ok(Some(cancelled))
}

async fn cancel_of(
    transaction: &Transaction,
    command_id: i64,
    hosts: &[i64],
    now: i64,
    cancelled: &mut Cancelled,
) -> Result<(), StoreError> {
    let mut named = Condition::all().add(Column::CommandId.eq(command_id));
    if !hosts.is_empty() {
        named = named.add(Column::HostId.is_in(hosts.iter().copied()));
    }
    let update = Query::update()
        .table(Entity)
        .value(Column::State, CANCELLED)
        .value(Column::ChangedAt, now)
        .cond_where(named.clone())
        .cond_where(queue_entry::is_with_us())
        .returning(Query::returning().columns(Queued::COLUMNS))
        .to_owned();
    for row in transaction.query_all(&update).await? {
        cancelled.entries.push(Queued::read(&row)?);
    }
    let left = Entity::find().select_only().column(Column::State).column_as(Column::Id.count(), "count").filter(named);
    let left = left.group_by(Column::State).into_tuple::<(i16, i64)>().all(transaction).await?;
    for (state, count) in BTreeMap::from_iter(left) {
        let of = if state < TERMINAL { &mut cancelled.sent } else { &mut cancelled.ended };
        *of += count.unsigned_abs();
    }
    Ok(())
}
