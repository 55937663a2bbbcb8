//! How many hosts have a profile, and how many are on their way to it.

use std::collections::BTreeMap;

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{CaseStatement, ExprTrait};
use sea_orm::{JoinType, QuerySelect};

use super::{Column, Entity, FAILED, PENDING, REMOVE, VERIFIED, VERIFYING};
use crate::{Reader, StoreError, host};

/// Numbers of hosts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// All is seen to be as it should.
    pub verified: i64,
    /// Devices say that all is done.
    pub verifying: i64,
    /// Something could not be done.
    pub failed: i64,
    /// Something is still to be done.
    pub pending: i64,
}

impl Tally {
    fn add(&mut self, status: i16, hosts: i64) {
        match status {
            VERIFIED => self.verified += hosts,
            VERIFYING => self.verifying += hosts,
            FAILED => self.failed += hosts,
            _ => self.pending += hosts,
        }
    }
}

/// How far one profile has come on its hosts.
///
/// # Errors
/// The database does not answer.
pub async fn of_profile(reader: &Reader, profile_id: i64) -> Result<Tally, StoreError> {
    reader
        .run(move |database| async move {
            let rows = Entity::find().select_only().column(Column::Status).column_as(Column::HostId.count(), "hosts");
            let rows = rows.filter(Column::ProfileId.eq(profile_id)).group_by(Column::Status);
            let mut tally = Tally::default();
            for (status, hosts) in rows.into_tuple::<(i16, i64)>().all(&database).await? {
                tally.add(status, hosts);
            }
            Ok(tally)
        })
        .await
}

/// How far the hosts of a team have come, each counted once: failed if anything is, otherwise pending, verifying, verified.
///
/// # Errors
/// The database does not answer.
pub async fn of_team(reader: &Reader, team_id: Option<i64>) -> Result<Tally, StoreError> {
    reader
        .run(move |database| async move {
            let to_host = Entity::belongs_to(host::Entity).from(Column::HostId).to(host::Column::Id).into();
            let worst: Expr = CaseStatement::new()
                .case(Column::Status.eq(FAILED), 3)
                .case(Column::Operation.eq(REMOVE).or(Column::Status.lte(PENDING)), 2)
                .case(Column::Status.eq(VERIFYING), 1)
                .finally(0)
                .into();
            let rows = Entity::find()
                .select_only()
                .column(Column::HostId)
                .column_as(worst.max(), "worst")
                .join(JoinType::InnerJoin, to_host)
                .filter(match team_id {
                    None => host::Column::TeamId.is_null(),
                    Some(id) => host::Column::TeamId.eq(id),
                })
                .group_by(Column::HostId);
            let mut hosts = BTreeMap::<i32, i64>::new();
            for (_, worst) in rows.into_tuple::<(i64, i32)>().all(&database).await? {
                *hosts.entry(worst).or_default() += 1;
            }
            let of = |worst| hosts.get(&worst).copied().unwrap_or_default();
            Ok(Tally { verified: of(0), verifying: of(1), pending: of(2), failed: of(3) })
        })
        .await
}
