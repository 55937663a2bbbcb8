//! Roll-outs: a profile reaches a share of its hosts first, and stops by itself when too many fail.

use sea_orm::entity::prelude::*;

use super::change::{By, record};
use super::{Column, Entity, Model};
use crate::host_profile::{self, FAILED, HELD, INSTALL, UNSENT};
use crate::{StoreError, Transaction, Writer, profile_marking};

/// How far a profile is rolled out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rollout {
    /// See [`Model::rollout_percent`].
    pub percent: i16,
    /// See [`Model::rollout_max_failures`].
    pub max_failures: Option<i64>,
    /// Whether it stands still.
    pub stopped: bool,
}

/// Widens, narrows, stops or resumes a roll-out. `None` when there is no such profile.
///
/// # Errors
/// See [`StoreError`].
pub async fn roll_out(writer: &Writer, uuid: String, rollout: Rollout, by: By) -> Result<Option<Model>, StoreError> {
    writer
        .run((writer.vault().clone(), uuid, rollout, by), |transaction, (vault, uuid, rollout, by)| {
            Box::pin(async move {
                let found = Entity::find().filter(Column::Uuid.eq(uuid)).one(transaction).await?;
                let Some(profile) = found else { return Ok(None) };
                let stopped_at = rollout.stopped.then(|| profile.rollout_stopped_at.unwrap_or(by.at));
                Entity::update_many()
                    .col_expr(Column::RolloutPercent, rollout.percent.into())
                    .col_expr(Column::RolloutMaxFailures, Expr::value(rollout.max_failures))
                    .col_expr(Column::RolloutStoppedAt, Expr::value(stopped_at))
                    .filter(Column::Id.eq(profile.id))
                    .exec(transaction)
                    .await?;
                if rollout.stopped {
                    hold(transaction, &profile).await?;
                } else {
                    profile_marking::note(transaction, &[profile.id]).await?;
                }
                record(transaction, &vault, "edited", &profile, &by).await?;
                Ok(Entity::find_by_id(profile.id).one(transaction).await?)
            })
        })
        .await
}

/// Holds what is not sent yet of a profile whose roll-out stops.
async fn hold(transaction: &Transaction, profile: &Model) -> Result<(), StoreError> {
    host_profile::Entity::update_many()
        .col_expr(host_profile::Column::Status, HELD.into())
        .col_expr(host_profile::Column::Detail, "The roll-out of this profile was stopped.".into())
        .filter(host_profile::Column::ProfileId.eq(profile.id))
        .filter(host_profile::Column::Operation.eq(INSTALL))
        .filter(host_profile::Column::Status.eq(UNSENT))
        .exec(transaction)
        .await?;
    Ok(())
}

/// Stops roll-outs on which too many hosts failed. Returns the profiles that it stopped.
///
/// # Errors
/// See [`StoreError`].
pub async fn stop_failing(writer: &Writer, now: i64) -> Result<Vec<Model>, StoreError> {
    writer
        .run((writer.vault().clone(), now), |transaction, (vault, now)| {
            Box::pin(async move {
                let limited = Entity::find().filter(Column::RolloutMaxFailures.is_not_null());
                let limited = limited.filter(Column::RolloutStoppedAt.is_null()).all(transaction).await?;
                let mut stopped = Vec::new();
                for profile in limited {
                    let failed = host_profile::Entity::find()
                        .filter(host_profile::Column::ProfileId.eq(profile.id))
                        .filter(host_profile::Column::ContentId.eq(profile.content_id))
                        .filter(host_profile::Column::Status.eq(FAILED));
                    let failed = i64::try_from(failed.count(transaction).await?).unwrap_or(i64::MAX);
                    if profile.rollout_max_failures.is_none_or(|most| failed <= most) {
                        continue;
                    }
                    Entity::update_many()
                        .col_expr(Column::RolloutStoppedAt, now.into())
                        .filter(Column::Id.eq(profile.id))
                        .exec(transaction)
                        .await?;
                    hold(transaction, &profile).await?;
                    let by = By { name: String::new(), at: now };
                    record(transaction, &vault, "stopped", &profile, &by).await?;
                    stopped.push(profile);
                }
                Ok(stopped)
            })
        })
        .await
}
