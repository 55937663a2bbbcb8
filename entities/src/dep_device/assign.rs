//! Which devices have another profile at Apple than their host's team wants, and what came of assigning it.

use sea_orm::ActiveValue::Set;
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{Condition, ExprTrait, Query, SelectStatement};
use sea_orm::{ConnectionTrait, Order};

use super::{ASSIGNED, Column, Entity, SUCCESS};
use crate::host;
use crate::{Reader, StoreError, Writer};

/// Devices of one team that have the same profile at Apple.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Their hosts' team; 0 for none.
    pub team_id: i64,
    /// What they have.
    pub profile_uuid: Option<String>,
    /// How many there are.
    pub devices: i64,
}

/// What came of the assignment of one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Its serial number.
    pub serial: String,
    /// See [`super::Model::response`].
    pub response: i16,
    /// See [`super::Model::rests_until`].
    pub rests_until: Option<i64>,
}

/// The devices of a token that may be assigned something now, by the team of their host and by what they have.
///
/// # Errors
/// The database does not answer.
pub async fn differences(reader: &Reader, token_id: i64, now: i64) -> Result<Vec<Difference>, StoreError> {
    reader
        .run(move |database| async move {
            let mut query = live(token_id, now);
            query
                .expr_as(team(), "team")
                .column((Entity, Column::ProfileUuid))
                .expr_as(Expr::col((Entity, Column::Serial)).count(), "devices")
                .add_group_by([team(), Expr::col((Entity, Column::ProfileUuid))]);
            let rows = database.query_all(&query).await?;
            let read = |row: sea_orm::QueryResult| {
                Ok(Difference {
                    team_id: row.try_get::<Option<i64>>("", "team")?.unwrap_or_default(),
                    profile_uuid: row.try_get("", "profile_uuid")?,
                    devices: row.try_get("", "devices")?,
                })
            };
            rows.into_iter().map(read).collect::<Result<Vec<_>, DbErr>>().map_err(StoreError::from)
        })
        .await
}

/// Some devices of a token whose hosts are of a team, and that have another profile than this.
///
/// # Errors
/// The database does not answer.
pub async fn to_assign(
    reader: &Reader,
    token_id: i64,
    (team_id, profile_uuid): (i64, String),
    now: i64,
    limit: u64,
) -> Result<Vec<String>, StoreError> {
    reader
        .run(move |database| async move {
            let has = Expr::col((Entity, Column::ProfileUuid));
            let other = Condition::any().add(has.clone().is_null()).add(has.ne(profile_uuid));
            let mut query = live(token_id, now);
            query
                .column((Entity, Column::Serial))
                .and_where(if team_id == 0 { team().is_null() } else { team().eq(team_id) })
                .cond_where(other)
                .order_by((Entity, Column::Serial), Order::Asc)
                .limit(limit);
            let rows = database.query_all(&query).await?;
            let read = |row: sea_orm::QueryResult| row.try_get("", "serial");
            rows.into_iter().map(read).collect::<Result<Vec<String>, DbErr>>().map_err(StoreError::from)
        })
        .await
}

/// Writes what came of assigning a profile.
///
/// # Errors
/// See [`StoreError`].
pub async fn assigned(
    writer: &Writer,
    (token_id, profile_uuid): (i64, String),
    outcomes: Vec<Outcome>,
    at: i64,
) -> Result<(), StoreError> {
    writer
        .run((token_id, profile_uuid, outcomes, at), |transaction, (token_id, profile_uuid, outcomes, at)| {
            Box::pin(async move {
                for outcome in outcomes {
                    let mut row = super::ActiveModel {
                        response: Set(outcome.response),
                        responded_at: Set(Some(at)),
                        rests_until: Set(outcome.rests_until),
                        ..Default::default()
                    };
                    if outcome.response == SUCCESS {
                        row.profile_uuid = Set(Some(profile_uuid.clone()));
                        row.profile_status = Set(ASSIGNED);
                        row.profile_assigned_at = Set(Some(at));
                        row.profile_pushed_at = Set(None);
                    }
                    let this = Entity::update_many().set(row).filter(Column::Serial.eq(outcome.serial));
                    this.filter(Column::TokenId.eq(token_id)).exec(transaction).await?;
                }
                Ok(())
            })
        })
        .await
}

/// The devices of a token that do not rest, each with its host.
fn live(token_id: i64, now: i64) -> SelectStatement {
    let own = |column| Expr::col((Entity, column));
    let rests = Condition::any().add(own(Column::RestsUntil).is_null()).add(own(Column::RestsUntil).lte(now));
    let host = Expr::col((host::Entity, host::Column::Serial)).equals((Entity, Column::Serial));
    Query::select()
        .from(Entity)
        .left_join(host::Entity, host)
        .and_where(own(Column::TokenId).eq(token_id))
        .and_where(own(Column::RemovedAt).is_null())
        .cond_where(rests)
        .take()
}

/// The team of the device's host.
fn team() -> Expr {
    Expr::col((host::Entity, host::Column::TeamId))
}
