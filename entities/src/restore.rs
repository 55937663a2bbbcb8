//! Copies of the database, and what must be done to one before a server may use it: what was pending when it was made may
//! have been done since, and the copy does not know.

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{Func, Query};
use sea_orm::{ConnectionTrait, QuerySelect};

use crate::audit::{self, Event};
use crate::queue_entry::{self, PARKED, pending};
use crate::vault::Vault;
use crate::{StoreError, Transaction, Writer, command, ownership, scep, store};

/// What became of the pending commands of a copy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fenced {
    /// Questions that are asked again: (type, how many).
    pub kept: Vec<(String, i64)>,
    /// Commands that wait for a person to queue them again: (type, how many).
    pub parked: Vec<(String, i64)>,
}

#[derive(Clone)]
struct Fence {
    vault: Vault,
    questions: Vec<String>,
    event: Event,
}

/// Writes a copy of the SQLite database behind `url` as it is at one moment, while a server uses it. The copy is one file,
/// which must not exist.
///
/// # Errors
/// [`StoreError::Conflict`] for another kind of database; otherwise the copy cannot be written.
pub async fn copy(url: &str, file: &str) -> Result<(), StoreError> {
    if !url.starts_with("sqlite:") {
        return Err(StoreError::Conflict("PostgreSQL is copied by its own tools: pg_dump --format=custom".into()));
    }
    let database = store::connect_alone(url).await?;
    let file = file.replace('\'', "''");
    database.execute_unprepared(&format!("VACUUM INTO '{file}'")).await?;
    Ok(())
}

/// Makes a copy safe to use, in one transaction: commands that were pending are parked, but for questions, which are
/// asked again; unused challenges end, because they may have been used since; whoever owned the database before owns it
/// no more.
///
/// # Errors
/// See [`StoreError`].
pub async fn fence(writer: &Writer, questions: Vec<String>, detail: String, now: i64) -> Result<Fenced, StoreError> {
    let event = Event { at: now, actor: "cli".into(), action: "backup.restore", target: String::new(), detail };
    let fence = Fence { vault: writer.vault().clone(), questions, event };
    writer.run(fence, |transaction, fence| Box::pin(fence_in(transaction, fence))).await
}

async fn fence_in(transaction: &Transaction, fence: Fence) -> Result<Fenced, StoreError> {
    let Fence { vault, questions, mut event } = fence;
    let now = event.at;
    ownership::leap(transaction, now).await?;
    let (kept, parked) =
        count(transaction).await?.into_iter().partition(|(request_type, _)| questions.contains(request_type));
    let fenced = Fenced { kept, parked };
    let is_question = Query::select()
        .column(command::Column::Id)
        .from(command::Entity)
        .and_where(command::Column::RequestType.is_in(questions))
        .to_owned();
    queue_entry::Entity::update_many()
        .col_expr(queue_entry::Column::State, PARKED.into())
        .col_expr(queue_entry::Column::ChangedAt, now.into())
        .filter(pending())
        .filter(queue_entry::Column::CommandId.not_in_subquery(is_question))
        .exec(transaction)
        .await?;
    // What is left was not answered, as far as the copy knows; it begins as if it had never been sent.
    queue_entry::Entity::update_many()
        .col_expr(queue_entry::Column::State, 0.into())
        .col_expr(queue_entry::Column::Attempts, 0.into())
        .col_expr(queue_entry::Column::SentAt, Expr::value(None::<i64>))
        .filter(pending())
        .exec(transaction)
        .await?;
    scep::Entity::update_many()
        .col_expr(scep::Column::UsedAt, now.into())
        .filter(scep::Column::UsedAt.is_null())
        .exec(transaction)
        .await?;
    let sum = |counts: &[(String, i64)]| counts.iter().map(|(_, count)| count).sum::<i64>();
    event.detail += &format!("; {} commands parked, {} kept", sum(&fenced.parked), sum(&fenced.kept));
    audit::record(transaction, &vault, event).await?;
    Ok(fenced)
}

/// The pending commands by type.
async fn count(transaction: &Transaction) -> Result<Vec<(String, i64)>, StoreError> {
    let query = queue_entry::Entity::find()
        .select_only()
        .column(command::Column::RequestType)
        .expr(Func::count(Expr::col((queue_entry::Entity, queue_entry::Column::Id))))
        .join(sea_orm::JoinType::InnerJoin, queue_entry::to_command())
        .filter(pending())
        .group_by(command::Column::RequestType);
    Ok(query.into_tuple::<(String, i64)>().all(transaction).await?)
}
