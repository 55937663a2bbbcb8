//! The difference between what hosts shall have and what is known of them, by set algebra in the database: of one profile
//! on a run of hosts, or of all profiles of a team on a batch of hosts; never of all on all. What differs is marked in
//! table `host_profile`, to be delivered.
//!
//! A host shall have a profile when it is managed, is in the profile's team, is of its platform, and has the labels. One
//! whose label was deleted is *broken*: it goes to no further host, and stays where it is.

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{Alias, ExprTrait, IntoIden, OnConflict, Query, SelectStatement};
use sea_orm::{Condition, ConnectionTrait, QueryOrder, QuerySelect, Value};

use crate::host_profile::{Column, Entity, FAILED, HELD, INSTALL, REMOVE, UNSENT};
use crate::{StoreError, Transaction, Writer, host, profile, profile_content, profile_marking};

/// Hosts that one step looks at for one profile.
const RUN: u64 = 10_000;
/// Hosts that one step looks at for all their profiles.
const BATCH: u64 = 500;

/// What a profile failed for whose command was taken out of the way.
const NEVER_ANSWERED: &str = "The device was sent the command again and again and never said what became of it.";

/// The condition on `host` and `profile` that the host shall have the profile.
const IDEAL: &str = "host.deleted_at IS NULL AND host.mdm_status IN (1, 2, 3) \
    AND profile.team_id = COALESCE(host.team_id, 0) \
    AND (profile.kind = 2) = (host.platform = 'windows') \
    AND (profile.kind = 2 OR host.platform IN ('darwin', 'ios', 'ipados', 'tvos', 'watchos', 'visionos')) \
    AND NOT EXISTS (SELECT 1 FROM profile_label wanted WHERE wanted.profile_id = profile.id AND wanted.mode = 0 \
        AND (wanted.label_id IS NULL OR NOT EXISTS (SELECT 1 FROM label_host has \
            WHERE has.label_id = wanted.label_id AND has.host_id = host.id))) \
    AND (NOT EXISTS (SELECT 1 FROM profile_label wanted WHERE wanted.profile_id = profile.id AND wanted.mode = 1) \
        OR EXISTS (SELECT 1 FROM profile_label wanted JOIN label_host has ON has.label_id = wanted.label_id \
            WHERE wanted.profile_id = profile.id AND wanted.mode = 1 AND has.host_id = host.id)) \
    AND NOT EXISTS (SELECT 1 FROM profile_label banned WHERE banned.profile_id = profile.id AND banned.mode = 2 \
        AND (banned.label_id IS NULL OR EXISTS (SELECT 1 FROM label_host has \
            WHERE has.label_id = banned.label_id AND has.host_id = host.id)))";
/// The condition that a roll-out has reached the host.
const REACHED: &str = "profile.rollout_stopped_at IS NULL AND (profile.rollout_percent >= 100 \
    OR (host.id * 37 + profile.id * 53) % 100 < profile.rollout_percent)";
/// The condition that the profile lacks a label that was deleted, while the host still is in its team.
const BROKEN: &str = "host.deleted_at IS NULL AND profile.team_id = COALESCE(host.team_id, 0) \
    AND EXISTS (SELECT 1 FROM profile_label gone WHERE gone.profile_id = profile.id AND gone.label_id IS NULL)";
/// The condition that the host has a profile that lacks a label: it stays there, in the version that is current.
const KEPT: &str = "EXISTS (SELECT 1 FROM host_profile kept WHERE kept.host_id = host.id AND kept.profile_id = profile.id \
    AND kept.operation = 0)";

/// What a step did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Hosts that were looked at.
    pub hosts: u64,
    /// Rows that were written.
    pub marked: u64,
    /// Those of them that waited for a command that had ended.
    pub lost: u64,
    /// Whether there may be more to do.
    pub goes_on: bool,
}

/// What is looked at.
#[derive(Clone, Debug)]
enum Scope {
    /// One profile, on the hosts behind one row and up to another.
    Profile { id: i64, after: i64, until: i64 },
    /// These hosts, for all profiles.
    Hosts(Vec<i64>),
}

impl Scope {
    fn condition(&self, host: impl ExprTrait + Clone, profile: impl ExprTrait) -> Condition {
        match self {
            Self::Profile { id, after, until } => {
                Condition::all().add(profile.eq(*id)).add(host.clone().gt(*after)).add(host.lte(*until))
            }
            Self::Hosts(ids) => Condition::all().add(host.is_in(ids.iter().copied())),
        }
    }

    /// On rows of `host_profile`.
    fn of_rows(&self) -> Condition {
        self.condition(Expr::col((Entity, Column::HostId)), Expr::col((Entity, Column::ProfileId)))
    }
}

/// Looks at some of what is to be looked at: hosts first, for their own changes are few.
///
/// # Errors
/// See [`StoreError`].
pub async fn step(writer: &Writer, now: i64) -> Result<Step, StoreError> {
    writer
        .run(now, |transaction, now| {
            Box::pin(async move {
                let hosts = profile_marking::take_hosts(transaction, BATCH).await?;
                if !hosts.is_empty() {
                    let looked_at = hosts.len() as u64;
                    let marked = mark(transaction, &Scope::Hosts(hosts), now).await?;
                    return Ok(Step { hosts: looked_at, marked, goes_on: true, ..Step::default() });
                }
                let Some(next) = profile_marking::next(transaction).await? else { return Ok(Step::default()) };
                let (after, last) = (next.after_host_id, run_behind(transaction, next.after_host_id).await?);
                let until = last.unwrap_or(i64::MAX);
                let marked = mark(transaction, &Scope::Profile { id: next.profile_id, after, until }, now).await?;
                profile_marking::go_on(transaction, next.profile_id, last).await?;
                Ok(Step { marked, goes_on: true, ..Step::default() })
            })
        })
        .await
}

/// Looks at hosts behind a row again, whether anything says so or not. Returns where to go on; `None` at the end.
///
/// # Errors
/// See [`StoreError`].
pub async fn sweep(writer: &Writer, after: i64, now: i64) -> Result<(Step, Option<i64>), StoreError> {
    writer
        .run((after, now), |transaction, (after, now)| {
            Box::pin(async move {
                let some =
                    host::Entity::find().select_only().column(host::Column::Id).filter(host::Column::Id.gt(after));
                let some =
                    some.order_by_asc(host::Column::Id).limit(BATCH).into_tuple::<i64>().all(transaction).await?;
                let next = some.last().copied().filter(|_| some.len() as u64 == BATCH);
                let hosts = some.len() as u64;
                let scope = Scope::Hosts(some);
                let lost = free_lost(transaction, &scope, now).await?;
                let marked = if hosts == 0 { 0 } else { lost + mark(transaction, &scope, now).await? };
                Ok((Step { hosts, marked, lost, goes_on: next.is_some() }, next))
            })
        })
        .await
}

/// What waits for a command that ended without a word (its time was over, somebody took it back) is sent again. One that
/// was taken out of the way, because its device never answered it or it broke its host's actor, would be so again.
async fn free_lost(transaction: &Transaction, scope: &Scope, now: i64) -> Result<u64, StoreError> {
    let entry = |state: &str| {
        Expr::cust(format!(
            "EXISTS (SELECT 1 FROM command JOIN queue_entry ON queue_entry.command_id = command.id \
             WHERE command.uuid = host_profile.command_uuid AND queue_entry.host_id = host_profile.host_id \
             AND queue_entry.state {state})"
        ))
    };
    let lost = |status: i16, detail: &'static str| {
        Entity::update_many()
            .col_expr(Column::Status, status.into())
            .col_expr(Column::Detail, detail.into())
            .col_expr(Column::CommandUuid, Expr::value(None::<String>))
            .col_expr(Column::ChangedAt, now.into())
            .filter(scope.of_rows())
            .filter(Column::CommandUuid.is_not_null())
            .filter(entry("< 10").not())
    };
    let same = Expr::col(Column::SentContentId).eq(Expr::col(Column::ContentId));
    let parked = lost(FAILED, NEVER_ANSWERED).filter(entry("= 16")).filter(same);
    let parked = parked.exec(transaction).await?.rows_affected;
    Ok(parked + lost(UNSENT, "").exec(transaction).await?.rows_affected)
}

/// The last host of a run behind a row; `None` where the run reaches the end.
async fn run_behind(transaction: &Transaction, after: i64) -> Result<Option<i64>, StoreError> {
    let rows = host::Entity::find().select_only().column(host::Column::Id).filter(host::Column::Id.gt(after));
    Ok(rows.order_by_asc(host::Column::Id).offset(RUN - 1).limit(1).into_tuple::<i64>().one(transaction).await?)
}

/// Marks what differs. Returns the number of rows written.
async fn mark(transaction: &Transaction, scope: &Scope, now: i64) -> Result<u64, StoreError> {
    let forgotten = Entity::delete_many()
        .filter(scope.of_rows())
        .filter(unwanted())
        .filter(Column::Status.is_in([UNSENT, HELD]))
        .filter(Column::CommandUuid.is_null())
        .filter(Column::HadContentId.is_null());
    let forgotten = forgotten.exec(transaction).await?.rows_affected;
    let removed = set_back(Entity::update_many(), now)
        .col_expr(Column::Operation, REMOVE.into())
        .filter(scope.of_rows())
        .filter(unwanted());
    let removed = removed.exec(transaction).await?.rows_affected;
    let freed = Entity::update_many()
        .col_expr(Column::Status, UNSENT.into())
        .filter(scope.of_rows())
        .filter(Column::Status.eq(HELD))
        .filter(Column::ProfileId.not_in_subquery(stopped()));
    freed.exec(transaction).await?;
    let wanted = install(transaction, scope, &[IDEAL], now).await?;
    Ok(forgotten + removed + wanted + install(transaction, scope, &[BROKEN, KEPT], now).await?)
}

/// The condition that the host has, or is to have, what it shall not have.
fn unwanted() -> Condition {
    let pair = |what: &'static str| {
        let mut pairs = Query::select();
        pairs.expr(Expr::cust("1")).from(host::Entity).from(profile::Entity);
        pairs.and_where(Expr::cust("host.id = host_profile.host_id AND profile.id = host_profile.profile_id"));
        pairs.and_where(Expr::cust(what)).to_owned()
    };
    Condition::all()
        .add(Column::Operation.eq(INSTALL))
        .add(Expr::exists(pair(IDEAL)).not())
        .add(Expr::exists(pair(BROKEN)).not())
}

/// Profiles whose roll-out was stopped.
fn stopped() -> SelectStatement {
    let mut stopped = Query::select();
    stopped.column(profile::Column::Id).from(profile::Entity);
    stopped.and_where(profile::Column::RolloutStoppedAt.is_not_null()).to_owned()
}

/// What is marked begins from the start.
fn set_back(update: sea_orm::UpdateMany<Entity>, now: i64) -> sea_orm::UpdateMany<Entity> {
    update
        .col_expr(Column::Status, UNSENT.into())
        .col_expr(Column::Detail, "".into())
        .col_expr(Column::Retries, 0.into())
        .col_expr(Column::VerifyAt, Expr::value(None::<i64>))
        .col_expr(Column::ChangedAt, now.into())
}

/// Marks what hosts shall have under these conditions, and do not have, or have in another version.
async fn install(transaction: &Transaction, scope: &Scope, under: &[&str], now: i64) -> Result<u64, StoreError> {
    let columns = [Column::HostId, Column::ProfileId].into_iter();
    let columns = columns
        .chain([Column::Uuid, Column::Kind, Column::Identifier, Column::Name, Column::Scope, Column::Part])
        .chain([Column::ContentId, Column::Token, Column::Operation, Column::Status, Column::Detail])
        .chain([Column::Retries, Column::ChangedAt]);
    let insert = Query::insert()
        .into_table(Entity)
        .columns(columns)
        .select_from(wanted(scope, under, now))
        .map_err(|error| StoreError::NotApplied(error.to_string()))?
        .on_conflict(marked_again())
        .to_owned();
    Ok(transaction.execute(&insert).await?.rows_affected())
}

/// The rows of what hosts shall have.
fn wanted(scope: &Scope, under: &[&str], now: i64) -> SelectStatement {
    use profile::Column as Of;
    let copied = [Of::Uuid, Of::Kind, Of::Identifier, Of::Name, Of::Scope, Of::Part, Of::ContentId];
    let host_id = Expr::col((host::Entity, host::Column::Id));
    let profile_id = Expr::col((profile::Entity, Of::Id));
    let content = Expr::col((profile_content::Entity, profile_content::Column::Id));
    let fresh: [Value; 5] = [INSTALL.into(), UNSENT.into(), String::new().into(), 0_i16.into(), now.into()];
    let mut wanted = Query::select();
    wanted
        .exprs([host_id.clone(), profile_id.clone()])
        .columns(copied.map(|column| (profile::Entity, column)))
        .column((profile_content::Entity, profile_content::Column::Token))
        .exprs(fresh.map(Expr::value))
        .from(host::Entity)
        .from(profile::Entity)
        .from(profile_content::Entity)
        .and_where(content.eq(Expr::col((profile::Entity, Of::ContentId))))
        .and_where(Expr::cust(REACHED))
        .cond_where(scope.condition(host_id, profile_id));
    for condition in under {
        wanted.and_where(Expr::cust((*condition).to_owned()));
    }
    wanted
}

/// A row that is there begins anew where it has another version, or was to be removed.
fn marked_again() -> OnConflict {
    let excluded = |column: Column| Expr::col((Alias::new("excluded").into_iden(), column));
    let again = [
        Column::Uuid,
        Column::Identifier,
        Column::Name,
        Column::Scope,
        Column::Part,
        Column::ContentId,
        Column::Token,
        Column::Operation,
        Column::Status,
        Column::Detail,
        Column::Retries,
        Column::ChangedAt,
    ];
    let differs = Expr::col((Entity, Column::Token)).ne(excluded(Column::Token));
    let leaves = Expr::col((Entity, Column::Operation)).eq(REMOVE);
    OnConflict::columns([Column::HostId, Column::ProfileId])
        .update_columns(again)
        .value(Column::VerifyAt, Expr::value(None::<i64>))
        .action_and_where(differs.or(leaves))
        .to_owned()
}

#[cfg(test)]
mod tests;
