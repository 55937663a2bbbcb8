//! Deleting hosts, as admins mean it; what follows from it stands in `host_lifecycle`.

use sea_orm::Condition;
use serde_json::json;

use crate::activity::{Activity, chronicle};
use crate::audit::Event;
use crate::movers::{Movers, Step};
use crate::{StoreError, Writer, host, host_lifecycle};

/// Who deletes which hosts.
#[derive(Clone, Debug)]
pub struct Removal {
    /// Which hosts.
    pub whom: Movers,
    /// Who wants it.
    pub by: String,
    /// When.
    pub at: i64,
}

/// Deletes some of the hosts, behind a row.
///
/// # Errors
/// See [`StoreError`].
pub async fn delete_some(writer: &Writer, removal: Removal, after: i64) -> Result<Step, StoreError> {
    let input = (writer.vault().clone(), removal, after);
    writer
        .run(input, |transaction, (vault, removal, after)| {
            Box::pin(async move {
                let Removal { whom, by, at } = removal;
                let (hosts, next) = whom.next(transaction, after, Condition::all()).await?;
                host_lifecycle::delete(transaction, &hosts, &by, at).await?;
                let said = hosts.iter().map(deleted).collect();
                let hosts: Vec<i64> = hosts.iter().map(|host| host.id).collect();
                if !hosts.is_empty() {
                    let target = match hosts.as_slice() {
                        [one] => format!("host {one}"),
                        _ => String::new(),
                    };
                    let detail = format!("{} hosts", hosts.len());
                    let event = Event { at, actor: by, action: "hosts.delete", target, detail };
                    chronicle(transaction, &vault, event, said).await?;
                }
                Ok(Step { hosts, next })
            })
        })
        .await
}

fn deleted(host: &host::Model) -> Activity {
    let said = json!({
        "host_id": host.id,
        "host_display_name": host.display_name(),
        "host_serial": host.serial.as_deref().unwrap_or_default(),
        "triggered_by": "manual",
    });
    Activity::new("deleted_host", said).about(vec![host.id])
}

/// A host that was deleted spoke: it is there again.
///
/// # Errors
/// See [`StoreError`].
pub async fn bring_back(writer: &Writer, host_id: i64, now: i64) -> Result<(), StoreError> {
    writer
        .run((host_id, now), |transaction, (host_id, now)| {
            Box::pin(host_lifecycle::come_back(transaction, host_id, now))
        })
        .await
}
