//! Table `host`, as it grows: whatever learns of a device first makes its row, and whoever comes later finds it there. MDM,
//! agents and admins all come through here.
//!
//! A valid serial number decides, and no two rows share one (a unique index). The UUID decides where one side knows no
//! serial number: cheap boards share UUIDs.

use sea_orm::entity::prelude::*;
use sea_orm::{ActiveValue, ActiveValue::Set, Condition};
use serde_json::json;

use crate::activity::{self, Activity, chronicle};
use crate::audit::Event;
use crate::host::{self, Column, Description, Entity, Model, OFF, PENDING};
use crate::news::{self, News};
use crate::{StoreError, Transaction, Writer, agent, enrollment, host_idp_account, label, team};

/// Devices that an admin knows, before they spoke to us.
#[derive(Clone, Debug)]
pub struct Import {
    /// What is known of them; each has a serial number, and no two have the same one.
    pub devices: Vec<Description>,
    /// The team that those join which are in none.
    pub team_id: Option<i64>,
    /// Who says so.
    pub by: String,
    /// When.
    pub at: i64,
}

/// A device that was imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// Its row.
    pub host_id: i64,
    /// Its serial number.
    pub serial: String,
    /// Whether nobody knew it before.
    pub is_new: bool,
}

/// Makes sure that there is exactly one row for a device whose management says that it is this one, and returns it. An
/// enrollment that is known leads to its host.
///
/// # Errors
/// See [`StoreError`].
pub async fn admit(
    writer: &Writer,
    description: Description,
    external_id: String,
    now: i64,
) -> Result<i64, StoreError> {
    let input = (description, external_id, now);
    writer
        .run(input, |transaction, (description, external_id, now)| {
            Box::pin(async move {
                let enrolled = enrollment::Entity::find().filter(enrollment::Column::ExternalId.eq(external_id));
                if let Some(known) = enrolled.one(transaction).await? {
                    return Ok(known.host_id);
                }
                Ok(find_or_make(transaction, &description, OFF, now).await?.0.id)
            })
        })
        .await
}

/// Makes rows for devices that nobody knew: they are expected to enroll. Those that are known and were never managed are
/// expected too, and those that were deleted are there again. `None` when there is no such team.
///
/// # Errors
/// See [`StoreError`].
pub async fn import(writer: &Writer, import: Import) -> Result<Option<Vec<Imported>>, StoreError> {
    let input = (writer.vault().clone(), import);
    writer
        .run(input, |transaction, (vault, import)| {
            Box::pin(async move {
                let Import { devices, team_id, by, at } = import;
                if let Some(team) = team_id
                    && team::Entity::find_by_id(team).one(transaction).await?.is_none()
                {
                    return Ok(None);
                }
                let mut imported = Vec::with_capacity(devices.len());
                for device in &devices {
                    imported.push(import_one(transaction, device, team_id, at).await?);
                }
                let new = imported.iter().filter(|one| one.is_new).count();
                let detail = format!("{} devices, {new} of them new", imported.len());
                let target = team_id.map(|id| format!("team {id}")).unwrap_or_default();
                let event = Event { at, actor: by, action: "hosts.import", target, detail };
                let hosts: Vec<i64> = imported.iter().map(|one| one.host_id).collect();
                let said = json!({ "team_id": team_id, "host_count": hosts.len(), "new_host_count": new });
                let said = vec![Activity::new("imported_hosts", said).about(hosts)];
                chronicle(transaction, &vault, event, said).await?;
                Ok(Some(imported))
            })
        })
        .await
}

pub(crate) async fn import_one(
    transaction: &Transaction,
    device: &Description,
    team_id: Option<i64>,
    at: i64,
) -> Result<Imported, StoreError> {
    let (row, is_new) = find_or_make(transaction, device, PENDING, at).await?;
    if !is_new {
        complete(transaction, &row, device, at).await?;
        if row.mdm_status == OFF {
            host::set_mdm_status(transaction, row.id, PENDING, at).await?;
        }
    }
    if let Some(team) = team_id {
        host::join_team(transaction, row.id, team).await?;
    }
    Ok(Imported { host_id: row.id, serial: device.serial.clone().unwrap_or_default(), is_new })
}

/// The row of a device, and whether it is new.
pub(crate) async fn find_or_make(
    transaction: &Transaction,
    device: &Description,
    mdm_status: i16,
    now: i64,
) -> Result<(Model, bool), StoreError> {
    if let Some(row) = find(transaction, device, now).await? {
        return Ok((row, false));
    }
    Ok((make(transaction, device, mdm_status, now).await?, true))
}

/// A new row for a device, whatever other rows say. A UUID that another host holds is left to that host.
pub(crate) async fn make(
    transaction: &Transaction,
    device: &Description,
    mdm_status: i16,
    now: i64,
) -> Result<Model, StoreError> {
    let uuid = Some(device.uuid.clone()).filter(|uuid| !uuid.is_empty());
    let is_taken = match &uuid {
        None => false,
        Some(uuid) => Entity::find().filter(Column::Uuid.eq(uuid.as_str())).count(transaction).await? > 0,
    };
    let row = host::ActiveModel {
        id: ActiveValue::NotSet,
        uuid: Set(uuid.filter(|_| !is_taken)),
        serial: Set(device.serial.clone()),
        platform: Set(device.platform.clone()),
        hardware_model: Set(device.hardware_model.clone()),
        computer_name: Set(device.computer_name.clone()),
        os_version: Set(device.os_version.clone()),
        build_version: Set(device.build_version.clone()),
        mdm_status: Set(mdm_status),
        team_id: Set(None),
        wake_at: Set(None),
        created_at: Set(now),
        updated_at: Set(now),
        last_seen_at: Set(None),
        mdm_seen_at: Set(None),
        deleted_at: Set(None),
    };
    let row = Entity::insert(row).exec_with_returning(transaction).await?;
    label::change::look_at(transaction, std::slice::from_ref(&row)).await?;
    Ok(row)
}

/// The row that a device has already. Two rows may turn out to be one device: an agent that cannot read the serial number
/// came first, and the serial number came with somebody else.
async fn find(transaction: &Transaction, device: &Description, now: i64) -> Result<Option<Model>, StoreError> {
    let by_serial = match &device.serial {
        None => None,
        Some(serial) => Entity::find().filter(Column::Serial.eq(serial.as_str())).one(transaction).await?,
    };
    let by_uuid = match device.uuid.as_str() {
        "" => None,
        uuid => Entity::find().filter(Column::Uuid.eq(uuid)).one(transaction).await?,
    };
    let same = |row: &Model| row.serial.is_none() || device.serial.is_none() || row.serial == device.serial;
    match (by_serial, by_uuid.filter(same)) {
        (Some(keep), Some(other)) if keep.id != other.id => Ok(Some(absorb(transaction, keep, other, now).await?)),
        (Some(row), _) | (None, Some(row)) => Ok(Some(row)),
        (None, None) => Ok(None),
    }
}

/// A device that is managed says its serial number for the first time. A row that was never managed and has the same number is
/// about the same device, and becomes part of the device's own, unless the two belong to different teams. One that was managed, and
/// is no more or was deleted, leaves it the number and stays what it was.
pub(crate) async fn meet(transaction: &Transaction, own: Model, serial: &str, now: i64) -> Result<Model, StoreError> {
    let known = Entity::find().filter(Column::Serial.eq(serial)).filter(Column::Id.ne(own.id)).one(transaction).await?;
    let Some(other) = known else { return Ok(own) };
    let live = enrollment::Entity::find().filter(enrollment::Column::HostId.eq(other.id));
    let live = live.filter(enrollment::Column::Enabled.eq(true)).count(transaction).await? > 0;
    if live && other.deleted_at.is_none() {
        return Ok(own);
    }
    let one_team = own.team_id.is_none() || other.team_id.is_none() || own.team_id == other.team_id;
    let both = |mine: &str, others: &str| mine.is_empty() || others.is_empty() || mine == others;
    let id = other.id;
    let keep = match (other.deleted_at, one_team && both(&own.platform, &other.platform)) {
        // What an admin deleted gives nobody its team.
        (Some(_), _) => own,
        (None, true) => absorb(transaction, own, other, now).await?,
        (None, false) => return Ok(own),
    };
    let free = host::ActiveModel { serial: Set(None), updated_at: Set(now), ..Default::default() };
    Entity::update_many().set(free).filter(Column::Id.eq(id)).exec(transaction).await?;
    Ok(keep)
}

/// Puts everything of one row into another one, and takes the row away. A row with enrollments stays: its queues and its
/// certificates are its own.
pub(crate) async fn absorb(
    transaction: &Transaction,
    mut keep: Model,
    other: Model,
    now: i64,
) -> Result<Model, StoreError> {
    let enrolled = enrollment::Entity::find().filter(enrollment::Column::HostId.eq(other.id));
    if enrolled.count(transaction).await? > 0 {
        return Ok(keep);
    }
    agent::hand_over(transaction, other.id, keep.id).await?;
    label::change::hand_over(transaction, other.id, keep.id).await?;
    activity::hand_over(transaction, other.id, keep.id).await?;
    host_idp_account::hand_over(transaction, other.id, keep.id).await?;
    Entity::delete_by_id(other.id).exec(transaction).await?;
    keep.uuid = keep.uuid.or(other.uuid);
    keep.team_id = keep.team_id.or(other.team_id);
    Entity::update_many()
        .col_expr(Column::Uuid, keep.uuid.clone().into())
        .col_expr(Column::TeamId, keep.team_id.into())
        .col_expr(Column::UpdatedAt, now.into())
        .filter(Column::Id.eq(keep.id))
        .exec(transaction)
        .await?;
    Ok(keep)
}

/// Adds what somebody who is not the device's management says about it, where nothing is known yet; if it was deleted, it
/// is there again.
pub(crate) async fn complete(
    transaction: &Transaction,
    row: &Model,
    said: &Description,
    now: i64,
) -> Result<(), StoreError> {
    let mut whole = row.clone();
    for (known, said) in [
        (&mut whole.platform, &said.platform),
        (&mut whole.hardware_model, &said.hardware_model),
        (&mut whole.computer_name, &said.computer_name),
        (&mut whole.os_version, &said.os_version),
        (&mut whole.build_version, &said.build_version),
    ] {
        if known.is_empty() {
            known.clone_from(said);
        }
    }
    let uuid = Some(said.uuid.clone()).filter(|uuid| !uuid.is_empty());
    whole.uuid = whole.uuid.or(uuid);
    whole.serial = whole.serial.or_else(|| said.serial.clone());
    store(transaction, row, whole, now).await
}

/// Writes what an agent says about its host: what changes in the course of a host's life. A serial number or UUID is only added
/// where none is known, because an agent merely claims it.
pub(crate) async fn refresh(
    transaction: &Transaction,
    row: &Model,
    said: &Description,
    now: i64,
) -> Result<(), StoreError> {
    let mut whole = row.clone();
    for (known, said) in [
        (&mut whole.hardware_model, &said.hardware_model),
        (&mut whole.computer_name, &said.computer_name),
        (&mut whole.os_version, &said.os_version),
        (&mut whole.build_version, &said.build_version),
    ] {
        if !said.is_empty() {
            known.clone_from(said);
        }
    }
    if whole.platform.is_empty() {
        whole.platform.clone_from(&said.platform);
    }
    whole.uuid = whole.uuid.or_else(|| Some(said.uuid.clone()).filter(|uuid| !uuid.is_empty()));
    whole.serial = whole.serial.or_else(|| said.serial.clone());
    store(transaction, row, whole, now).await
}

/// Writes what a device's management said about it; if it was deleted, it is there again. A serial number or UUID that
/// another host holds is left to that host.
pub(crate) async fn describe(
    transaction: &Transaction,
    host_id: i64,
    said: &Description,
    now: i64,
) -> Result<(), StoreError> {
    let Some(row) = Entity::find_by_id(host_id).one(transaction).await? else {
        return Err(StoreError::Conflict(format!("host {host_id} is gone")));
    };
    let uuid = Some(said.uuid.clone()).filter(|uuid| !uuid.is_empty());
    let whole = Model {
        uuid: uuid.or_else(|| row.uuid.clone()),
        serial: said.serial.clone().or_else(|| row.serial.clone()),
        platform: said.platform.clone(),
        hardware_model: said.hardware_model.clone(),
        computer_name: said.computer_name.clone(),
        os_version: said.os_version.clone(),
        build_version: said.build_version.clone(),
        ..row.clone()
    };
    store(transaction, &row, whole, now).await
}

/// Writes a row as it is to be, and gives it the labels that fit it then. Nothing is written where nothing changed.
async fn store(transaction: &Transaction, old: &Model, mut new: Model, now: i64) -> Result<(), StoreError> {
    new.deleted_at = None;
    if new.uuid != old.uuid && is_held(transaction, Column::Uuid, &new.uuid, old.id).await? {
        new.uuid.clone_from(&old.uuid);
    }
    if new.serial != old.serial && is_held(transaction, Column::Serial, &new.serial, old.id).await? {
        new.serial.clone_from(&old.serial);
    }
    if new == *old {
        return Ok(());
    }
    news::note(News::Host(old.id));
    let row = host::ActiveModel {
        uuid: Set(new.uuid.clone()),
        serial: Set(new.serial.clone()),
        platform: Set(new.platform.clone()),
        hardware_model: Set(new.hardware_model.clone()),
        computer_name: Set(new.computer_name.clone()),
        os_version: Set(new.os_version.clone()),
        build_version: Set(new.build_version.clone()),
        updated_at: Set(now),
        deleted_at: Set(None),
        ..Default::default()
    };
    Entity::update_many().set(row).filter(Column::Id.eq(old.id)).exec(transaction).await?;
    label::change::look_at(transaction, std::slice::from_ref(&new)).await
}

/// Whether another host has a name.
async fn is_held(
    transaction: &Transaction,
    column: Column,
    name: &Option<String>,
    by_other_than: i64,
) -> Result<bool, StoreError> {
    let Some(name) = name else { return Ok(false) };
    let held = Condition::all().add(column.eq(name.as_str())).add(Column::Id.ne(by_other_than));
    Ok(Entity::find().filter(held).count(transaction).await? > 0)
}
