//! What admins ask about commands: for each host a command was queued for, where it stands and what came back. Rows of
//! `queue_entry`, `command`, `enrollment`, `host` and `command_result` in one.

use sea_orm::entity::prelude::*;
use sea_orm::{Condition, FromQueryResult, JoinType, QueryOrder, QuerySelect, RelationDef};

use crate::vault::Sealed;
use crate::{Reader, StoreError, command, command_result, enrollment, host, queue_entry};

/// Where one command stands on one channel.
#[derive(Clone, Debug, PartialEq, Eq, FromQueryResult)]
pub struct Status {
    /// The queue entry.
    pub entry_id: i64,
    /// The host.
    pub host_id: i64,
    /// Its UUID.
    pub host_uuid: Option<String>,
    /// Its name.
    pub computer_name: String,
    /// Its serial number.
    pub serial: Option<String>,
    /// NanoMDM's name of the channel.
    pub external_id: String,
    /// What devices call the command.
    pub command_uuid: String,
    /// Its type.
    pub request_type: String,
    /// See [`queue_entry::Model::state`].
    pub state: i16,
    /// See [`queue_entry::Model::not_now_tally`].
    pub not_now_tally: i32,
    /// When it was queued.
    pub created_at: i64,
    /// When its state last changed.
    pub changed_at: i64,
}

/// The text of one entry: what came back.
#[derive(Clone, PartialEq, Eq)]
pub struct Texts {
    /// The queue entry.
    pub entry_id: i64,
    /// The device's report as it came.
    pub result: Vec<u8>,
}

/// Which entries a list shows, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this host only.
    pub host_id: Option<i64>,
    /// Of this command only.
    pub command_uuid: Option<String>,
    /// Of this type only.
    pub request_type: Option<String>,
    /// Of hosts of these teams only: those within reach of who asks.
    pub teams: Option<Vec<i64>>,
    /// In one of these states only; empty for all.
    pub states: Vec<i16>,
}

/// A page of entries, newest first.
///
/// # Errors
/// The database does not answer.
pub async fn list(reader: &Reader, filter: Filter, offset: u64, limit: u64) -> Result<Vec<Status>, StoreError> {
    reader
        .run(move |database| async move {
            let query = queue_entry::Entity::find()
                .select_only()
                .column_as(queue_entry::Column::Id, "entry_id")
                .column_as(queue_entry::Column::HostId, "host_id")
                .column_as(host::Column::Uuid, "host_uuid")
                .columns([host::Column::ComputerName, host::Column::Serial])
                .column(enrollment::Column::ExternalId)
                .column_as(command::Column::Uuid, "command_uuid")
                .column(command::Column::RequestType)
                .columns([queue_entry::Column::State, queue_entry::Column::NotNowTally])
                .columns([queue_entry::Column::CreatedAt, queue_entry::Column::ChangedAt])
                .join(JoinType::InnerJoin, queue_entry::to_command())
                .join(JoinType::InnerJoin, to_host())
                .join(JoinType::InnerJoin, to_enrollment())
                .filter(matching(&filter))
                .order_by_desc(queue_entry::Column::Id)
                .offset(offset)
                .limit(limit);
            Ok(query.into_model::<Status>().all(&database).await?)
        })
        .await
}

/// The results of these entries, where there are any.
///
/// # Errors
/// The database does not answer, or a result does not open.
pub async fn texts(reader: &Reader, entries: Vec<i64>) -> Result<Vec<Texts>, StoreError> {
    let vault = reader.vault().clone();
    reader
        .run(move |database| async move {
            let mut texts = Vec::with_capacity(entries.len());
            for some in entries.chunks(500) {
                let query = command_result::Entity::find()
                    .select_only()
                    .column(command_result::Column::EntryId)
                    .column(command_result::Column::Body)
                    .filter(command_result::Column::EntryId.is_in(some.iter().copied()));
                for (entry_id, body) in query.into_tuple::<(i64, Sealed)>().all(&database).await? {
                    texts.push(Texts { entry_id, result: command_result::BODY.open(&vault, &[&entry_id], &body)? });
                }
            }
            Ok(texts)
        })
        .await
}

/// How many entries of a command are in each state: (state, count).
///
/// # Errors
/// The database does not answer.
pub async fn count_by_state(reader: &Reader, filter: Filter) -> Result<Vec<(i16, i64)>, StoreError> {
    reader
        .run(move |database| async move {
            let query = queue_entry::Entity::find()
                .select_only()
                .column(queue_entry::Column::State)
                .column_as(queue_entry::Column::Id.count(), "count")
                .join(JoinType::InnerJoin, queue_entry::to_command())
                .join(JoinType::InnerJoin, to_host())
                .filter(matching(&filter))
                .group_by(queue_entry::Column::State);
            Ok(query.into_tuple::<(i16, i64)>().all(&database).await?)
        })
        .await
}

fn matching(filter: &Filter) -> Condition {
    let mut condition = Condition::all();
    if let Some(host_id) = filter.host_id {
        condition = condition.add(queue_entry::Column::HostId.eq(host_id));
    }
    if let Some(uuid) = &filter.command_uuid {
        condition = condition.add(command::Column::Uuid.eq(uuid.as_str()));
    }
    if let Some(request_type) = &filter.request_type {
        condition = condition.add(command::Column::RequestType.eq(request_type.as_str()));
    }
    if let Some(teams) = &filter.teams {
        condition = condition.add(host::Column::TeamId.is_in(teams.iter().copied()));
    }
    if !filter.states.is_empty() {
        condition = condition.add(queue_entry::Column::State.is_in(filter.states.iter().copied()));
    }
    condition
}

fn to_host() -> RelationDef {
    queue_entry::Entity::belongs_to(host::Entity).from(queue_entry::Column::HostId).to(host::Column::Id).into()
}

fn to_enrollment() -> RelationDef {
    queue_entry::Entity::belongs_to(enrollment::Entity)
        .from(queue_entry::Column::EnrollmentId)
        .to(enrollment::Column::Id)
        .into()
}
