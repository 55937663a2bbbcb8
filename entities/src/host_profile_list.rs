//! Table `host_profile_list`: what each channel of a host said it has of profiles, when, and how asking goes.

use sea_orm::ActiveValue::Set;
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{CaseStatement, ExprTrait, OnConflict};

use crate::enqueue::{self, Enqueue, Queued, Request};
use crate::host_profile::report::{self, Finding, Found};
use crate::host_profile::{self, INSTALL, VERIFIED, VERIFYING};
use crate::profile::MOBILECONFIG;
use crate::vault::{Part, Sealed, SealedColumn, Vault};
use crate::{Reader, StoreError, Transaction, Writer, enrollment};

/// Sealed by [`Listed`]'s turn.
pub(crate) static PROFILES: SealedColumn = SealedColumn {
    table: "host_profile_list",
    column: "profiles",
    key: &[Part::Number("enrollment_id")],
    context: &[Part::Number("enrollment_id")],
};

/// [`Model::sync_status`]: the last answer came and was taken in.
pub const SYNCED: &str = "synced";
/// [`Model::sync_status`]: the device could not tell.
pub const FAILED: &str = "failed";
/// When a device that could not tell is asked again at the soonest, in milliseconds.
const SOONEST: i64 = 30_000;
/// The same at the latest.
const LATEST: i64 = 86_400_000;
/// What a profile failed for that its device does not list.
const NOT_LISTED: &str = "The device said that it installed this profile, and does not list it among those it has.";

/// A row of `host_profile_list`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "host_profile_list")]
pub struct Model {
    /// The channel.
    #[sea_orm(primary_key, auto_increment = false)]
    pub enrollment_id: i64,
    /// The host.
    pub host_id: i64,
    /// What it said it has: JSON, sealed.
    pub profiles: Sealed,
    /// When it last did.
    pub last_sync_at: Option<i64>,
    /// [`SYNCED`] or [`FAILED`].
    pub sync_status: String,
}

/// Related rows are read by their own queries.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// What a device said it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The host.
    pub host_id: i64,
    /// The channel that said so.
    pub enrollment_id: i64,
    /// The scope of the profiles that it tells of: [`crate::profile::Model::scope`].
    pub scope: i16,
    /// The identifiers; `None` when the device could not tell.
    pub identifiers: Option<Vec<String>>,
    /// The answer as JSON.
    pub profiles: Vec<u8>,
    /// How often a missing profile is sent again.
    pub max_retries: i16,
    /// When.
    pub at: i64,
}

impl Listed {
    pub(crate) fn seal(&mut self, vault: &Vault) -> Result<(), StoreError> {
        self.profiles = PROFILES.seal(vault, &[&self.enrollment_id], &self.profiles)?.0;
        Ok(())
    }
}

/// What the channels of a host said they have, as JSON.
///
/// # Errors
/// The database does not answer, or a value does not open.
pub async fn of_host(reader: &Reader, host_id: i64) -> Result<Vec<(Model, Vec<u8>)>, StoreError> {
    let vault = reader.vault().clone();
    reader
        .run(move |database| async move {
            let rows = Entity::find().filter(Column::HostId.eq(host_id)).all(&database).await?;
            let open = |row: Model| {
                let body = PROFILES.open(&vault, &[&row.enrollment_id], &row.profiles)?;
                Ok((row, body))
            };
            rows.into_iter().map(open).collect()
        })
        .await
}

/// Queues the command that asks hosts what they have of profiles of a kind, and notes that they are asked: those that do not
/// answer are asked again at another moment.
///
/// # Errors
/// See [`StoreError`].
pub async fn ask(
    writer: &Writer,
    (hosts, kind): (Vec<i64>, i16),
    asked: Enqueue,
    by: i64,
    again_at: i64,
) -> Result<Vec<Queued>, StoreError> {
    let input = (writer.vault().clone(), hosts, kind, asked, by, again_at);
    writer
        .run(input, |transaction, (vault, hosts, kind, mut asked, by, again_at)| {
            Box::pin(async move {
                host_profile::Entity::update_many()
                    .col_expr(host_profile::Column::VerifyAt, again_at.into())
                    .filter(host_profile::Column::HostId.is_in(hosts))
                    .filter(host_profile::Column::Kind.eq(kind))
                    .filter(host_profile::Column::VerifyAt.lte(by))
                    .exec(transaction)
                    .await?;
                let named: Vec<i64> = asked.channels.iter().map(|channel| channel.enrollment_id).collect();
                let enabled = enrollment::enabled_of(transaction, &named).await?;
                asked.channels.retain(|channel| enabled.contains(&channel.enrollment_id));
                if asked.channels.is_empty() {
                    return Ok(Vec::new());
                }
                let request = Request::seal(&vault, asked)?;
                let made = enqueue::apply(transaction, &vault, &[&request]).await?;
                Ok(made.into_iter().flat_map(|made| made.entries).collect())
            })
        })
        .await
}

/// A device that could not tell is asked again: soon, and then ever later, so that one that never can is asked once a day.
async fn ask_again(transaction: &Transaction, listed: &Listed) -> Result<(), StoreError> {
    use host_profile::Column as Of;
    let waited = Expr::value(listed.at).sub(Expr::col(Of::AcknowledgedAt));
    let again_at = CaseStatement::new()
        .case(waited.clone().gt(LATEST), listed.at.saturating_add(LATEST))
        .case(waited.clone().gt(SOONEST), Expr::value(listed.at).add(waited))
        .finally(listed.at.saturating_add(SOONEST));
    host_profile::Entity::update_many()
        .col_expr(Of::VerifyAt, again_at.into())
        .filter(Of::HostId.eq(listed.host_id))
        .filter(Of::Kind.eq(MOBILECONFIG))
        .filter(Of::Scope.eq(listed.scope))
        .filter(Of::Status.eq(VERIFYING))
        .exec(transaction)
        .await?;
    Ok(())
}

/// The list of a host that begins anew, or is no longer managed, says nothing any more.
pub(crate) async fn forget(transaction: &Transaction, hosts: &[i64]) -> Result<(), StoreError> {
    Entity::delete_many().filter(Column::HostId.is_in(hosts.iter().copied())).exec(transaction).await?;
    Ok(())
}

/// Writes what a device said it has, and what follows from it for the profiles that it shall have.
pub(crate) async fn listed(transaction: &Transaction, listed: &Listed) -> Result<(), StoreError> {
    let Some(identifiers) = &listed.identifiers else {
        Entity::update_many()
            .col_expr(Column::SyncStatus, FAILED.into())
            .filter(Column::EnrollmentId.eq(listed.enrollment_id))
            .exec(transaction)
            .await?;
        return ask_again(transaction, listed).await;
    };
    let row = ActiveModel {
        enrollment_id: Set(listed.enrollment_id),
        host_id: Set(listed.host_id),
        profiles: Set(Sealed(listed.profiles.clone())),
        last_sync_at: Set(Some(listed.at)),
        sync_status: Set(SYNCED.to_owned()),
    };
    let again = OnConflict::column(Column::EnrollmentId)
        .update_columns([Column::HostId, Column::Profiles, Column::LastSyncAt, Column::SyncStatus])
        .to_owned();
    Entity::insert(row).on_conflict(again).exec_without_returning(transaction).await?;
    use host_profile::Column as Of;
    let rows = host_profile::Entity::find()
        .filter(Of::HostId.eq(listed.host_id))
        .filter(Of::Kind.eq(MOBILECONFIG))
        .filter(Of::Scope.eq(listed.scope))
        .filter(Of::Operation.eq(INSTALL))
        .filter(Of::Status.is_in([VERIFYING, VERIFIED, host_profile::FAILED]));
    let rows = rows.all(transaction).await?.into_iter();
    let judged = rows.filter_map(|row| {
        let found = match identifiers.contains(&row.identifier) {
            true if row.status != host_profile::FAILED => Found::There,
            true => return None,
            false => Found::Missing(NOT_LISTED.to_owned()),
        };
        Some(Finding { profile_id: row.profile_id, token: row.token, found })
    });
    let findings: Vec<Finding> = judged.collect();
    report::found(transaction, listed.host_id, &findings, listed.max_retries, listed.at).await
}

#[cfg(test)]
mod tests {
    use sea_orm::ActiveValue::{NotSet, Set};
    use sea_orm::EntityTrait;

    use super::*;
    use crate::fresh::on_each;
    use crate::turn::Turn;
    use crate::vault::Vault;
    use crate::{profile, store};

    fn verifying(host_id: i64, acknowledged_at: Option<i64>) -> host_profile::ActiveModel {
        host_profile::ActiveModel {
            host_id: Set(host_id),
            profile_id: Set(1),
            uuid: Set("a".into()),
            kind: Set(MOBILECONFIG),
            identifier: Set("com.example".into()),
            name: Set("name".into()),
            scope: Set(profile::SYSTEM),
            part: Set(0),
            content_id: Set(1),
            token: Set("token".into()),
            had_content_id: Set(Some(1)),
            operation: Set(INSTALL),
            status: Set(VERIFYING),
            detail: Set(String::new()),
            command_uuid: NotSet,
            sent_content_id: NotSet,
            retries: Set(0),
            acknowledged_at: Set(acknowledged_at),
            verify_at: Set(Some(i64::MAX)),
            changed_at: Set(1),
        }
    }

    #[tokio::test]
    async fn a_device_that_cannot_tell_is_asked_ever_later() {
        on_each("list_again", async |url| {
            migration::run(url).await.unwrap();
            let (reader, writer) = store::open(url, Vault::known().unwrap(), 0).await.unwrap();
            let now = 1_800_000_000_000;
            let waits =
                [(1, None, SOONEST), (2, Some(now), SOONEST), (3, Some(now - 100_000), 100_000), (4, Some(0), LATEST)];
            for (host_id, acknowledged_at, wait) in waits {
                let row = verifying(host_id, acknowledged_at);
                let inserting = writer.run(row, |transaction, row| {
                    Box::pin(
                        async move { Ok(host_profile::Entity::insert(row).exec_without_returning(transaction).await?) },
                    )
                });
                inserting.await.unwrap();
                let listed = Listed {
                    host_id,
                    enrollment_id: host_id,
                    scope: profile::SYSTEM,
                    identifiers: None,
                    profiles: Vec::new(),
                    max_retries: 3,
                    at: now,
                };
                writer.host_turn(Turn { listed: Some(Box::new(listed)), ..Turn::default() }).await.unwrap();
                let row = host_profile::of_host(&reader, host_id).await.unwrap().remove(0);
                assert_eq!((row.status, row.verify_at), (VERIFYING, Some(now + wait)), "host {host_id}");
            }
        })
        .await;
    }
}
