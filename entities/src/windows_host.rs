//! Tables `windows_enrollment` and `host`, as management sessions need them: who is known under a device's name, and which host
//! a device turns out to be.

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{ExprTrait, Query};
use sea_orm::{FromQueryResult, QueryOrder, QuerySelect, Set};

use crate::enrollment;
use crate::host::{self, Description};
use crate::windows_enrollment::{Column, Entity, Model};
use crate::{Database, Reader, StoreError, Transaction, Writer, agent, host_admission, queue_entry};

/// The kind of a Windows channel: the code of `protocol::apple::ChannelKind::Windows`.
pub const KIND: i16 = 10;
/// Hosts that are tried for one name; the newest first.
const MOST: u64 = 8;

/// What a device says about itself once it is asked.
#[derive(Clone, Debug)]
pub struct Said {
    /// The enrollment that says so.
    pub enrollment_id: i64,
    /// Its host.
    pub host_id: i64,
    /// Its serial number; `None` for placeholders.
    pub serial: Option<String>,
    /// Its version of Windows.
    pub os_version: Option<String>,
    /// Its model.
    pub hardware_model: Option<String>,
    /// Its name.
    pub computer_name: Option<String>,
    /// When.
    pub at: i64,
}

/// The hosts that have an enrollment under this name, also ones that ended; the newest first.
///
/// # Errors
/// The database does not answer.
pub async fn of_device(reader: &Reader, device_id: String) -> Result<Vec<i64>, StoreError> {
    reader
        .run(move |database| async move {
            let rows = enrollment::Entity::find()
                .select_only()
                .column(enrollment::Column::HostId)
                .join(sea_orm::JoinType::InnerJoin, to_enrollment().rev())
                .filter(Column::DeviceId.eq(device_id))
                .order_by_desc(enrollment::Column::Enabled)
                .order_by_desc(enrollment::Column::Id)
                .limit(MOST);
            let mut hosts: Vec<i64> = rows.into_tuple::<i64>().all(&database).await?;
            let mut seen = std::collections::HashSet::new();
            hosts.retain(|host| seen.insert(*host));
            Ok(hosts)
        })
        .await
}

/// What Windows channels are, of a host's channels.
pub(crate) async fn of_channels(database: &Database, channels: &[enrollment::Model]) -> Result<Vec<Model>, StoreError> {
    let windows: Vec<i64> = channels.iter().filter(|row| row.kind == KIND).map(|row| row.id).collect();
    if windows.is_empty() {
        return Ok(Vec::new());
    }
    Ok(Entity::find().filter(Column::EnrollmentId.is_in(windows)).all(database).await?)
}

/// Writes what a device said about itself, and makes one host of two, if an agent or an import knows the same serial number and no
/// management of its own. One that is managed, or that belongs to another team, stays apart: a serial number is a claim. `false`:
/// another host has the serial number.
///
/// # Errors
/// See [`StoreError`].
pub async fn describe(writer: &Writer, said: Said) -> Result<bool, StoreError> {
    writer.run(said, |transaction, said| Box::pin(describe_in(transaction, said))).await
}

async fn describe_in(transaction: &Transaction, said: Said) -> Result<bool, StoreError> {
    let Some(own) = host::Entity::find_by_id(said.host_id).one(transaction).await? else {
        return Err(StoreError::Conflict(format!("host {} is gone", said.host_id)));
    };
    let own = match said.serial.as_deref().filter(|_| own.serial.is_none()) {
        Some(serial) => host_admission::meet(transaction, own, serial, said.at).await?,
        None => own,
    };
    let description = Description {
        uuid: String::new(),
        serial: said.serial,
        platform: own.platform.clone(),
        hardware_model: said.hardware_model.unwrap_or_else(|| own.hardware_model.clone()),
        computer_name: said.computer_name.unwrap_or_else(|| own.computer_name.clone()),
        os_version: said.os_version.unwrap_or_else(|| own.os_version.clone()),
        build_version: own.build_version.clone(),
    };
    let wanted = description.serial.clone();
    host_admission::describe(transaction, own.id, &description, said.at).await?;
    let row = host::Entity::find_by_id(own.id).one(transaction).await?;
    let is_certain = wanted.is_none() || row.is_some_and(|row| row.serial == wanted);
    if is_certain {
        Entity::update_many()
            .col_expr(Column::LinkedAt, said.at.into())
            .filter(Column::EnrollmentId.eq(said.enrollment_id))
            .exec(transaction)
            .await?;
    }
    Ok(is_certain)
}

/// A Windows device as its agent's requests need it.
#[derive(Clone, Debug, PartialEq, Eq, FromQueryResult)]
pub struct Agented {
    /// The enrollment.
    pub enrollment_id: i64,
    /// Whether its agent was known to start sessions.
    pub agent_wakes: bool,
    /// Whether commands wait for the device.
    pub has_work: bool,
}

/// The enrollment of a host whose device is managed, for its agent.
pub(crate) async fn agented(database: &Database, host_id: i64) -> Result<Option<Agented>, StoreError> {
    let waiting = Query::select()
        .expr(Expr::val(1))
        .from(queue_entry::Entity)
        .and_where(
            Expr::col((queue_entry::Entity, queue_entry::Column::EnrollmentId)).equals((Entity, Column::EnrollmentId)),
        )
        .and_where(queue_entry::pending())
        .and_where(queue_entry::held().not())
        .to_owned();
    let rows = Entity::find()
        .select_only()
        .columns([Column::EnrollmentId, Column::AgentWakes])
        .column_as(Expr::exists(waiting), "has_work")
        .join(sea_orm::JoinType::InnerJoin, to_enrollment())
        .filter(enrollment::Column::HostId.eq(host_id))
        .filter(enrollment::Column::Enabled.eq(true));
    Ok(rows.into_model::<Agented>().one(database).await?)
}

/// An agent says under which name its device speaks to our management. If that device has a host of its own, without an agent and not
/// yet certain by its serial number, both are one: what the agent's row has goes into the device's, unless they belong to different
/// teams. A name that several devices claim proves nothing. Returns the agent's host.
pub(crate) async fn meet_agent(
    transaction: &Transaction,
    host_id: i64,
    device_id: &str,
    now: i64,
) -> Result<i64, StoreError> {
    let claims = Entity::find()
        .select_only()
        .column(enrollment::Column::HostId)
        .column(Column::LinkedAt)
        .join(sea_orm::JoinType::InnerJoin, to_enrollment())
        .filter(Column::DeviceId.eq(device_id))
        .filter(enrollment::Column::EndedAt.is_null())
        .limit(2);
    let claims = claims.into_tuple::<(i64, Option<i64>)>().all(transaction).await?;
    let [(device, None)] = claims.as_slice() else { return Ok(host_id) };
    let of = async |id: i64| host::Entity::find_by_id(id).filter(host::is_there()).one(transaction).await;
    let (Some(keep), Some(other)) = (of(*device).await?, of(host_id).await?) else { return Ok(host_id) };
    let enrolled = enrollment::Entity::find().filter(enrollment::Column::HostId.eq(host_id)).count(transaction).await?;
    let has_agent = agent::Entity::find_by_id(keep.id).count(transaction).await?;
    let one_team = keep.team_id.is_none() || other.team_id.is_none() || keep.team_id == other.team_id;
    let one_serial = keep.serial.is_none() || other.serial.is_none() || keep.serial == other.serial;
    if keep.id == host_id || enrolled + has_agent > 0 || !one_team || !one_serial {
        return Ok(host_id);
    }
    Ok(host_admission::absorb(transaction, keep, other, now).await?.id)
}

/// Remembers whether a device's agent starts sessions.
///
/// # Errors
/// See [`StoreError`].
pub async fn set_agent_wakes(writer: &Writer, enrollment_id: i64, agent_wakes: bool) -> Result<(), StoreError> {
    let row = crate::windows_enrollment::ActiveModel { agent_wakes: Set(agent_wakes), ..Default::default() };
    change(writer, enrollment_id, row).await
}

/// Remembers how often a device was told to ask for work.
///
/// # Errors
/// See [`StoreError`].
pub async fn set_poll(writer: &Writer, enrollment_id: i64, minutes: i32) -> Result<(), StoreError> {
    let row = crate::windows_enrollment::ActiveModel { poll_minutes: Set(minutes), ..Default::default() };
    change(writer, enrollment_id, row).await
}

async fn change(
    writer: &Writer,
    enrollment_id: i64,
    row: crate::windows_enrollment::ActiveModel,
) -> Result<(), StoreError> {
    writer
        .run((enrollment_id, row), |transaction, (enrollment_id, row)| {
            Box::pin(async move {
                Entity::update_many().set(row).filter(Column::EnrollmentId.eq(enrollment_id)).exec(transaction).await?;
                Ok(())
            })
        })
        .await
}

fn to_enrollment() -> RelationDef {
    Entity::belongs_to(enrollment::Entity).from(Column::EnrollmentId).to(enrollment::Column::Id).into()
}
