//! What becomes of a host in the course of its life: its management begins anew, is turned on, is turned off; an admin
//! deletes it, and it comes back. Everything that follows from one of these stands here, is written in the transaction of
//! whoever causes it, and nowhere else.
//!
//! | what | who causes it |
//! |---|---|
//! | [`reset`] | an Authenticate that is no renewal, an enrollment of Windows |
//! | [`turn_on`] | the TokenUpdate of a device channel, an enrollment of Windows |
//! | [`turn_off`] | a CheckOut, which also follows from taking the enrollment profile away |
//! | [`delete`] | an admin |
//! | [`come_back`] | a message of a host that was deleted |
//!
//! Whoever keeps something else about a host (profiles, locks, recovery keys, a place in Apple Business) says here what
//! becomes of it.

use std::collections::BTreeSet;

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::ExprTrait;
use sea_orm::{ActiveValue::Set, QueryOrder, QuerySelect};
use serde_json::json;

use crate::activity::{self, Activity};
use crate::host::{self, OFF};
use crate::news::{self, News};
use crate::queue_entry::{self, CANCELLED, held};
use crate::vault::Vault;
use crate::{
    StoreError, Transaction, agent, declarative_status, enrollment, held_command, host_action, host_idp_account,
    host_profile, label,
};

/// Numbers that one statement names.
const AT_ONCE: usize = 500;

/// A device begins to enroll: what was pending for it is superseded, all its channels fall silent, and a new generation
/// begins; locked or erased it is no more. Of its device channels of this kind only `goes_on` does: with another UDID (a new logic board, a clone of a
/// virtual machine) it has left under the old one. Returns its channels.
pub(crate) async fn reset(
    transaction: &Transaction,
    host_id: i64,
    kind: i16,
    goes_on: Option<i64>,
    at: i64,
) -> Result<Vec<i64>, StoreError> {
    use enrollment::{Column, Entity};
    news::note(News::Host(host_id));
    let channels = channels_of(transaction, &[host_id]).await?;
    queue_entry::end_pending(transaction, &channels, queue_entry::SUPERSEDED, at).await?;
    host_action::forget(transaction, host_id).await?;
    host_profile::forget(transaction, &[host_id]).await?;
    declarative_status::forget(transaction, &channels).await?;
    Entity::update_many()
        .col_expr(Column::Enabled, false.into())
        .col_expr(Column::Generation, Expr::col(Column::Generation).add(1))
        .col_expr(Column::TokenUpdateTally, 0.into())
        .filter(Column::Id.is_in(channels.iter().copied()))
        .exec(transaction)
        .await?;
    Entity::update_many()
        .col_expr(Column::EndedAt, at.into())
        .filter(Column::HostId.eq(host_id))
        .filter(Column::Kind.eq(kind))
        .filter(Column::Id.is_not_in(goes_on))
        .filter(Column::EndedAt.is_null())
        .exec(transaction)
        .await?;
    Ok(channels)
}

/// A device can be managed from now on; its first token of a generation is its enrollment.
pub(crate) async fn turn_on(
    transaction: &Transaction,
    vault: &Vault,
    device: &enrollment::Model,
    status: i16,
    at: i64,
) -> Result<(), StoreError> {
    host::set_mdm_status(transaction, device.host_id, status, at).await?;
    if device.token_update_tally != 1 {
        return Ok(());
    }
    let host = host::Entity::find_by_id(device.host_id).one(transaction).await?;
    let said = host.iter().map(|host| managed("mdm_enrolled", host, Some(&device.external_id))).collect();
    activity::record(transaction, vault, None, at, said).await
}

/// Channels end: nothing more is sent to them, and what was pending is superseded. Where the device's own is among them, the
/// host's management is off.
pub(crate) async fn turn_off(
    transaction: &Transaction,
    vault: &Vault,
    host_id: i64,
    channels: &[i64],
    whole: bool,
    at: i64,
) -> Result<(), StoreError> {
    use enrollment::{Column, Entity};
    news::note(News::Host(host_id));
    queue_entry::end_pending(transaction, channels, queue_entry::SUPERSEDED, at).await?;
    Entity::update_many()
        .col_expr(Column::Enabled, false.into())
        .col_expr(Column::EndedAt, at.into())
        .filter(Column::Id.is_in(channels.iter().copied()))
        .exec(transaction)
        .await?;
    if !whole {
        return Ok(());
    }
    host_profile::forget(transaction, &[host_id]).await?;
    declarative_status::forget(transaction, channels).await?;
    let host = host::Entity::find_by_id(host_id).filter(host::Column::MdmStatus.ne(OFF)).one(transaction).await?;
    host::set_mdm_status(transaction, host_id, OFF, at).await?;
    let device = Entity::find().filter(Column::Id.is_in(channels.iter().copied())).order_by_asc(Column::Kind);
    let device = device.one(transaction).await?.map(|device| device.external_id);
    let said = host.iter().map(|host| managed("mdm_unenrolled", host, device.as_deref())).collect();
    activity::record(transaction, vault, None, at, said).await
}

/// What people read of a host's management. A host without a serial number is known by its enrollment alone.
fn managed(kind: &'static str, host: &host::Model, enrollment_id: Option<&str>) -> Activity {
    let platform = if host.platform == "windows" { "microsoft" } else { "apple" };
    let mut said = json!({
        "host_serial": host.serial,
        "enrollment_id": enrollment_id.filter(|_| host.serial.is_none()),
        "host_display_name": host.display_name(),
        "installed_from_dep": platform == "apple" && host.mdm_status == host::ON_AUTOMATIC,
        "platform": host.platform,
    });
    if kind == "mdm_enrolled" {
        said["mdm_platform"] = platform.into();
    }
    Activity::new(kind, said).about(vec![host.id])
}

/// An admin deletes hosts: nobody sees them any more, what is pending for them is taken back, they have no label, and their
/// agents must enroll again. Their rows stay: a device that still is enrolled and speaks is there again, under its old number.
pub(crate) async fn delete(
    transaction: &Transaction,
    hosts: &[host::Model],
    by: &str,
    at: i64,
) -> Result<(), StoreError> {
    for some in hosts.chunks(AT_ONCE) {
        let ids: Vec<i64> = some.iter().map(|host| host.id).collect();
        let gone = host::ActiveModel { deleted_at: Set(Some(at)), updated_at: Set(at), ..Default::default() };
        let these = host::Column::Id.is_in(ids.iter().copied());
        host::Entity::update_many().set(gone).filter(these).exec(transaction).await?;
        take_back_all(transaction, &channels_of(transaction, &ids).await?, by, at).await?;
        label::change::forget_hosts(transaction, &ids).await?;
        agent::forget(transaction, &ids).await?;
        host_profile::forget(transaction, &ids).await?;
        host_idp_account::forget(transaction, &ids).await?;
    }
    Ok(())
}

/// Takes back what is pending, and settles what only waited for these channels to be decided.
async fn take_back_all(transaction: &Transaction, channels: &[i64], by: &str, at: i64) -> Result<(), StoreError> {
    let mut waiting = BTreeSet::new();
    for some in channels.chunks(AT_ONCE) {
        let held = queue_entry::Entity::find()
            .select_only()
            .column(queue_entry::Column::CommandId)
            .distinct()
            .filter(queue_entry::Column::EnrollmentId.is_in(some.iter().copied()))
            .filter(held());
        waiting.extend(held.into_tuple::<i64>().all(transaction).await?);
        queue_entry::end_pending(transaction, some, CANCELLED, at).await?;
    }
    for command in waiting {
        held_command::taken_back(transaction, command, by, at).await?;
    }
    Ok(())
}

/// A host that was deleted spoke: it is there again, with the labels that fit it.
pub(crate) async fn come_back(transaction: &Transaction, host_id: i64, at: i64) -> Result<(), StoreError> {
    news::note(News::Host(host_id));
    let there = host::ActiveModel { deleted_at: Set(None), updated_at: Set(at), ..Default::default() };
    host::Entity::update_many().set(there).filter(host::Column::Id.eq(host_id)).exec(transaction).await?;
    let row = host::Entity::find_by_id(host_id).one(transaction).await?;
    label::change::look_at(transaction, row.as_slice()).await
}

async fn channels_of(transaction: &Transaction, hosts: &[i64]) -> Result<Vec<i64>, StoreError> {
    let of_these = enrollment::Column::HostId.is_in(hosts.iter().copied());
    let channels = enrollment::Entity::find().select_only().column(enrollment::Column::Id).filter(of_these);
    Ok(channels.into_tuple::<i64>().all(transaction).await?)
}
