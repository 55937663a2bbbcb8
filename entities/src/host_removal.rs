//! Deleting hosts, as admins mean it: nobody sees them any more and nothing is sent to them, but their rows stay. A device
//! that still is enrolled and speaks again is there again, under its old number.

use sea_orm::entity::prelude::*;
use sea_orm::{ActiveValue::Set, QuerySelect};

use crate::audit::{self, Event};
use crate::host::{self, Entity};
use crate::queue_entry::{self, CANCELLED};
use crate::team::Movers;
use crate::{StoreError, Transaction, Writer, enrollment};

/// Hosts that one statement names.
const AT_ONCE: usize = 500;

/// Deletes hosts and takes back what is pending for them. Returns those that were there.
///
/// # Errors
/// See [`StoreError`].
pub async fn delete(writer: &Writer, whom: Movers, by: String, now: i64) -> Result<Vec<i64>, StoreError> {
    let input = (writer.vault().clone(), whom, by, now);
    writer
        .run(input, |transaction, (vault, whom, by, now)| {
            Box::pin(async move {
                let deleted = delete_in(transaction, whom, now).await?;
                let target = match deleted.as_slice() {
                    [one] => format!("host {one}"),
                    _ => String::new(),
                };
                let detail = format!("{} hosts", deleted.len());
                audit::record(
                    transaction,
                    &vault,
                    Event { at: now, actor: by, action: "hosts.delete", target, detail },
                )
                .await?;
                Ok(deleted)
            })
        })
        .await
}

async fn delete_in(transaction: &Transaction, whom: Movers, now: i64) -> Result<Vec<i64>, StoreError> {
    let there = Entity::find().select_only().column(host::Column::Id).filter(host::is_there());
    let mut deleted = Vec::new();
    match whom {
        Movers::Filter(filter) => {
            deleted = there.filter(filter.condition()).into_tuple::<i64>().all(transaction).await?;
        }
        Movers::Hosts(ids) => {
            for some in ids.chunks(AT_ONCE) {
                let these = there.clone().filter(host::Column::Id.is_in(some.iter().copied()));
                deleted.extend(these.into_tuple::<i64>().all(transaction).await?);
            }
        }
    }
    for some in deleted.chunks(AT_ONCE) {
        let gone = host::ActiveModel { deleted_at: Set(Some(now)), updated_at: Set(now), ..Default::default() };
        let these = host::Column::Id.is_in(some.iter().copied());
        Entity::update_many().set(gone).filter(these).exec(transaction).await?;
        let of_these = enrollment::Column::HostId.is_in(some.iter().copied());
        let channels = enrollment::Entity::find().select_only().column(enrollment::Column::Id).filter(of_these);
        let channels = channels.into_tuple::<i64>().all(transaction).await?;
        for channels in channels.chunks(AT_ONCE) {
            queue_entry::end_pending(transaction, channels, CANCELLED, now).await?;
        }
    }
    Ok(deleted)
}

/// A host that was deleted spoke: it is there again.
///
/// # Errors
/// See [`StoreError`].
pub async fn bring_back(writer: &Writer, host_id: i64, now: i64) -> Result<(), StoreError> {
    writer
        .run((host_id, now), |transaction, (host_id, now)| {
            Box::pin(async move {
                let there = host::ActiveModel { deleted_at: Set(None), updated_at: Set(now), ..Default::default() };
                Entity::update_many().set(there).filter(host::Column::Id.eq(host_id)).exec(transaction).await?;
                Ok(())
            })
        })
        .await
}
