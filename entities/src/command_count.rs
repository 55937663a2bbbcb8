//! How many entries of one command stand where, counted in an index of `queue_entry` alone.

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{Asterisk, Expr, Func};
use sea_orm::{QuerySelect, Select};

use crate::queue_entry::{Column, Entity, pending};
use crate::{Reader, StoreError};

/// How many entries of a command are in each state: (state, count).
///
/// # Errors
/// The database does not answer.
pub async fn by_state(reader: &Reader, command_id: i64) -> Result<Vec<(i16, i64)>, StoreError> {
    reader
        .run(move |database| async move { Ok(counted(command_id).into_tuple::<(i16, i64)>().all(&database).await?) })
        .await
}

/// Whether a command has not ended yet on some host, or on this one.
///
/// # Errors
/// The database does not answer.
pub async fn is_pending(reader: &Reader, command_id: i64, host_id: Option<i64>) -> Result<bool, StoreError> {
    reader
        .run(move |database| async move {
            let found = first_pending(command_id, host_id).into_tuple::<i16>().one(&database).await?;
            Ok(found.is_some())
        })
        .await
}

fn counted(command_id: i64) -> Select<Entity> {
    Entity::find()
        .select_only()
        .column(Column::State)
        .column_as(Expr::expr(Func::count(Expr::col(Asterisk))), "count")
        .filter(Column::CommandId.eq(command_id))
        .group_by(Column::State)
}

fn first_pending(command_id: i64, host_id: Option<i64>) -> Select<Entity> {
    let of_command = Entity::find().select_only().column(Column::State).filter(Column::CommandId.eq(command_id));
    let pending = of_command.filter(pending()).limit(1);
    match host_id {
        Some(host_id) => pending.filter(Column::HostId.eq(host_id)),
        None => pending,
    }
}

#[cfg(test)]
mod plans;
