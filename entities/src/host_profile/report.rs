//! What devices report about their profiles, and what is found out about them: rows move on, in the transaction of
//! whoever learns of it.
//!
//! A report is about the command it names: a row that meanwhile is to have another version keeps waiting for that one.

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{CaseStatement, ExprTrait};

use super::{Column, Entity, FAILED, HELD, INSTALL, PENDING, REMOVE, UNSENT, VERIFIED, VERIFYING};
use crate::{StoreError, Transaction, Writer, profile, queue_entry};

/// What a device said of a command for profiles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reported {
    /// The host.
    pub host_id: i64,
    /// The command.
    pub command_uuid: String,
    /// What came of it.
    pub outcome: Outcome,
    /// How often a failed installation is tried again.
    pub max_retries: i16,
    /// When somebody has to look whether the device has what it says; `None` where the device tells by itself.
    pub verify_at: Option<i64>,
    /// When it said so.
    pub at: i64,
}

/// What came of a command for profiles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is done.
    Done,
    /// It is done, and nothing remains to be looked at.
    Proven,
    /// It failed, for this reason. The device may have it all the same: what it did before its reply was lost, or a part of it.
    Failed(String),
    /// Its command could not be made, for this reason; the device never got it.
    Unmade(String),
    /// It was never done: its time was over, or somebody took it back.
    Undone,
}

/// What was found out about one profile of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The profile.
    pub profile_id: i64,
    /// What this is about: a row that meanwhile has another one is left alone.
    pub token: String,
    /// What was found.
    pub found: Found,
}

/// What a report tells of the profiles of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Findings {
    /// The host.
    pub host_id: i64,
    /// One for each profile.
    pub findings: Vec<Finding>,
    /// How often what is missing is sent again.
    pub max_retries: i16,
    /// When this was found.
    pub at: i64,
}

/// What somebody found who looked at a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// The device has it.
    There,
    /// The device does not have it, or another version: it is sent again, or fails for this reason.
    Missing(String),
    /// It failed, and trying again does not help.
    Failed(String),
    /// The device knows of it, and has not said more.
    Working,
    /// The device does not have it any more, as it should.
    Gone,
    /// Nobody has asked yet; it is asked for as soon as possible.
    Unasked,
}

/// In which time a device tells how its declarations are, in milliseconds; then it is asked for what it has.
const TOLD_WITHIN: i64 = 60_000;
/// What an admin can do about a device that does not know declarations.
const NEEDS_DECLARATIONS: &str =
    "Declarations need macOS 13, iOS 15, iPadOS 15, tvOS 16, watchOS 10 or visionOS 1.1, or a later version.";

/// A command has ended that a row waits for no longer: the row is to have another version, which is still to be sent, or
/// its device has told by itself already, as devices do with declarations.
fn again_or_not(update: sea_orm::UpdateMany<Entity>) -> sea_orm::UpdateMany<Entity> {
    let after = CaseStatement::new().case(Column::Status.eq(HELD), UNSENT).finally(Expr::col(Column::Status));
    update.col_expr(Column::Status, after.into())
}

/// Something is gone from a host: what was held there, because it has the same name, may have its turn.
async fn look_at_held(transaction: &Transaction, host_id: i64) -> Result<(), StoreError> {
    let held = Entity::update_many().col_expr(Column::Status, UNSENT.into());
    held.filter(Column::HostId.eq(host_id)).filter(Column::Status.eq(HELD)).exec(transaction).await?;
    Ok(())
}

/// When a device is asked for what it has: it tells of declarations by itself, and is asked only when it does not.
fn asked_at(verify_at: Option<i64>, at: i64) -> Expr {
    let told_by = verify_at.map(|_| at.saturating_add(TOLD_WITHIN));
    let others = Column::Kind.ne(profile::DECLARATION);
    CaseStatement::new().case(others, Expr::value(verify_at)).finally(Expr::value(told_by)).into()
}

/// A device failed to install a profile that it had not: it may have it all the same, whatever is to become of it since.
fn has_perhaps(update: sea_orm::UpdateMany<Entity>) -> sea_orm::UpdateMany<Entity> {
    let had_none = update.filter(Column::HadContentId.is_null());
    had_none.col_expr(Column::HadContentId, Expr::col(Column::SentContentId))
}

/// Moves the rows that a command was for.
pub(crate) async fn reported(transaction: &Transaction, report: &Reported) -> Result<(), StoreError> {
    let under_way = || {
        Entity::update_many()
            .filter(Column::HostId.eq(report.host_id))
            .filter(Column::CommandUuid.eq(&report.command_uuid))
            .col_expr(Column::ChangedAt, report.at.into())
    };
    let free = |update: sea_orm::UpdateMany<Entity>| update.col_expr(Column::CommandUuid, Expr::value(None::<String>));
    let waits = Column::Status.eq(PENDING);
    match &report.outcome {
        Outcome::Done | Outcome::Proven => {
            let is_gone = Entity::delete_many().filter(Column::HostId.eq(report.host_id));
            let is_gone = is_gone.filter(Column::CommandUuid.eq(&report.command_uuid)).filter(waits.clone());
            // What devices do with declarations they tell later.
            let is_gone = is_gone.filter(Column::Operation.eq(REMOVE)).filter(Column::Kind.ne(profile::DECLARATION));
            if is_gone.exec(transaction).await?.rows_affected > 0 {
                look_at_held(transaction, report.host_id).await?;
            }
            let has = |update: sea_orm::UpdateMany<Entity>| {
                let update = update.col_expr(Column::HadContentId, Expr::col(Column::SentContentId));
                update.col_expr(Column::AcknowledgedAt, report.at.into())
            };
            let (status, verify_at) = match report.outcome {
                Outcome::Proven => (VERIFIED, None),
                _ => (VERIFYING, report.verify_at),
            };
            let done = free(has(under_way())).filter(waits).col_expr(Column::Status, status.into());
            done.col_expr(Column::VerifyAt, asked_at(verify_at, report.at)).exec(transaction).await?;
            again_or_not(free(has(under_way()))).exec(transaction).await?;
        }
        Outcome::Failed(why) | Outcome::Unmade(why) => {
            if matches!(report.outcome, Outcome::Failed(_)) {
                has_perhaps(under_way()).exec(transaction).await?;
            }
            let told = CaseStatement::new()
                .case(Column::Kind.eq(profile::DECLARATION), format!("{why}\n{NEEDS_DECLARATIONS}").trim())
                .finally(why.as_str());
            let failed = || free(under_way()).filter(waits.clone()).col_expr(Column::Detail, told.clone().into());
            let again = failed().filter(Column::Retries.lt(report.max_retries));
            let again = again.col_expr(Column::Retries, Expr::col(Column::Retries).add(1));
            again.col_expr(Column::Status, UNSENT.into()).exec(transaction).await?;
            failed().col_expr(Column::Status, FAILED.into()).exec(transaction).await?;
            again_or_not(free(under_way())).exec(transaction).await?;
        }
        Outcome::Undone => {
            free(under_way()).col_expr(Column::Status, UNSENT.into()).exec(transaction).await?;
        }
    }
    Ok(())
}

/// Writes what was found on a host; what is missing is sent again at most `max_retries` times.
pub(crate) async fn found(
    transaction: &Transaction,
    host_id: i64,
    findings: &[Finding],
    max_retries: i16,
    at: i64,
) -> Result<(), StoreError> {
    for finding in findings {
        let row = || {
            Entity::update_many()
                .filter(Column::HostId.eq(host_id))
                .filter(Column::ProfileId.eq(finding.profile_id))
                .filter(Column::Token.eq(&finding.token))
                .col_expr(Column::ChangedAt, at.into())
                .col_expr(Column::VerifyAt, Expr::value(None::<i64>))
        };
        let installed = || row().filter(Column::Operation.eq(INSTALL));
        let stands = || installed().filter(Column::Status.is_in([VERIFYING, VERIFIED]));
        match &finding.found {
            Found::There => {
                let there = installed().filter(Column::Status.is_in([PENDING, VERIFYING, VERIFIED, FAILED]));
                let there = there.col_expr(Column::HadContentId, Expr::col(Column::ContentId));
                let there = there.col_expr(Column::Detail, "".into()).col_expr(Column::Status, VERIFIED.into());
                there.filter(Column::Status.ne(VERIFIED).or(Column::VerifyAt.is_not_null())).exec(transaction).await?;
            }
            Found::Missing(why) => {
                let missing = || stands().col_expr(Column::Detail, why.as_str().into());
                let again = missing().filter(Column::Retries.lt(max_retries));
                let again = again.col_expr(Column::Retries, Expr::col(Column::Retries).add(1));
                again.col_expr(Column::Status, UNSENT.into()).exec(transaction).await?;
                missing().col_expr(Column::Status, FAILED.into()).exec(transaction).await?;
            }
            Found::Failed(why) => {
                let failed = installed().filter(Column::Status.is_in([PENDING, VERIFYING, VERIFIED]));
                let failed = failed.col_expr(Column::Detail, why.as_str().into());
                failed.col_expr(Column::Status, FAILED.into()).exec(transaction).await?;
            }
            Found::Working => {
                let working = installed().filter(Column::Status.is_in([PENDING, VERIFIED]));
                let working = working.col_expr(Column::VerifyAt, at.saturating_add(TOLD_WITHIN).into());
                working.col_expr(Column::Status, VERIFYING.into()).exec(transaction).await?;
            }
            Found::Unasked => {
                stands().col_expr(Column::VerifyAt, at.into()).exec(transaction).await?;
            }
            Found::Gone => {
                let gone = Entity::delete_many().filter(Column::HostId.eq(host_id));
                let gone = gone.filter(Column::ProfileId.eq(finding.profile_id)).filter(Column::Operation.eq(REMOVE));
                if gone.filter(Column::Token.eq(&finding.token)).exec(transaction).await?.rows_affected > 0 {
                    look_at_held(transaction, host_id).await?;
                }
            }
        }
    }
    Ok(())
}

/// Writes what somebody else than the device's own report tells of a host, in a transaction of its own.
///
/// # Errors
/// See [`StoreError`].
pub async fn find(
    writer: &Writer,
    host_id: i64,
    findings: Vec<Finding>,
    max_retries: i16,
    at: i64,
) -> Result<(), StoreError> {
    let input = (host_id, findings, max_retries, at);
    writer
        .run(input, |transaction, (host_id, findings, max_retries, at)| {
            Box::pin(async move { found(transaction, host_id, &findings, max_retries, at).await })
        })
        .await
}

/// A device asked for declarations by itself and was given these versions, before their command was made: it may have them
/// from now on, so that they are taken away again should they not be wanted any more. `given` names profiles and versions.
///
/// # Errors
/// See [`StoreError`].
pub async fn may_have(writer: &Writer, host_id: i64, given: Vec<(i64, i64)>) -> Result<(), StoreError> {
    writer
        .run((host_id, given), |transaction, (host_id, given)| {
            Box::pin(async move {
                for (profile_id, content_id) in given {
                    let row = Entity::update_many().filter(Column::HostId.eq(host_id));
                    let row = row.filter(Column::ProfileId.eq(profile_id)).filter(Column::HadContentId.is_null());
                    let row = row.filter(Column::ContentId.eq(content_id));
                    row.col_expr(Column::HadContentId, content_id.into()).exec(transaction).await?;
                }
                Ok(())
            })
        })
        .await
}

/// A command for a profile cannot be made: it is taken out of the way, and what it was for failed for this reason.
///
/// # Errors
/// See [`StoreError`].
pub async fn give_up(
    writer: &Writer,
    entry_id: i64,
    host_id: i64,
    command_uuid: String,
    why: String,
    at: i64,
) -> Result<(), StoreError> {
    let report = Reported { host_id, command_uuid, outcome: Outcome::Unmade(why), max_retries: 0, verify_at: None, at };
    writer
        .run((entry_id, report), |transaction, (entry_id, report)| {
            Box::pin(async move {
                queue_entry::set_parked(transaction, entry_id, report.at).await?;
                reported(transaction, &report).await
            })
        })
        .await
}
