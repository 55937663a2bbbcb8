//! Table `command_result`: a device's final word on a command, as it came.

use sea_orm::ActiveValue::Set;
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::OnConflict;

use crate::turn::NewResult;
use crate::vault::{Part, Sealed, SealedColumn};
use crate::{StoreError, Transaction};

/// Sealed by [`crate::turn::Turn`].
pub(crate) static BODY: SealedColumn = SealedColumn {
    table: "command_result",
    column: "body",
    key: &[Part::Number("entry_id")],
    context: &[Part::Number("entry_id")],
};

/// A row of `command_result`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "command_result")]
pub struct Model {
    /// The queue entry that ended.
    #[sea_orm(primary_key, auto_increment = false)]
    pub entry_id: i64,
    /// The status in the device's words.
    pub status: String,
    /// The report as it came, sealed: it may hold recovery keys.
    pub body: Sealed,
    /// When it came.
    pub received_at: i64,
}

/// Related rows are read by their own queries.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Keeps results; the first word on a command stands.
pub(crate) async fn insert(transaction: &Transaction, rows: &[&NewResult]) -> Result<(), StoreError> {
    let new = rows.iter().map(|row| ActiveModel {
        entry_id: Set(row.entry_id),
        status: Set(row.status.clone()),
        body: Set(Sealed(row.body.clone())),
        received_at: Set(row.received_at),
    });
    let first_stands = OnConflict::column(Column::EntryId).do_nothing().to_owned();
    Entity::insert_many(new).on_conflict(first_stands).exec_without_returning(transaction).await?;
    Ok(())
}
