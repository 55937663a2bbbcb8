//! Table `orphan_result`: reports that belong to no pending command. Kept for a while for those who look into a
//! restored backup or a confused device; nothing ever acts upon them.

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveValue, ActiveValue::Set, QueryOrder, QuerySelect};

use crate::turn::NewOrphan;
use crate::vault::{Part, Sealed, SealedColumn};
use crate::{Reader, StoreError, Transaction, Writer};

/// [`Model::reason`]: no command of this channel has that name.
pub const UNKNOWN: i16 = 0;
/// [`Model::reason`]: the command had ended otherwise before.
pub const LATE: i16 = 1;

/// Sealed by [`crate::turn::Turn`].
pub(crate) static BODY: SealedColumn = SealedColumn {
    table: "orphan_result",
    column: "body",
    key: &[Part::Number("id")],
    context: &[Part::Number("enrollment_id"), Part::Text("command_uuid"), Part::Text("status")],
};

/// A row of `orphan_result`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "orphan_result")]
pub struct Model {
    /// Row number.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// Who reported.
    pub enrollment_id: i64,
    /// The command it names.
    pub command_uuid: String,
    /// The status in the device's words.
    pub status: String,
    /// [`UNKNOWN`] or [`LATE`].
    pub reason: i16,
    /// The report as it came, sealed.
    pub body: Sealed,
    /// When it first came.
    pub received_at: i64,
}

/// Related rows are read by their own queries.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// The latest orphans of an enrollment, newest first.
///
/// # Errors
/// The database does not answer.
pub async fn list(reader: &Reader, enrollment_id: i64, limit: u64) -> Result<Vec<Model>, StoreError> {
    reader
        .run(move |database| async move {
            let mine = Entity::find().filter(Column::EnrollmentId.eq(enrollment_id));
            Ok(mine.order_by_desc(Column::Id).limit(limit).all(&database).await?)
        })
        .await
}

/// Forgets orphans that came before a moment. Returns how many.
///
/// # Errors
/// See [`StoreError`].
pub async fn forget_before(writer: &Writer, moment: i64) -> Result<u64, StoreError> {
    writer
        .run(moment, |transaction, moment| {
            Box::pin(async move {
                let done = Entity::delete_many().filter(Column::ReceivedAt.lt(moment)).exec(transaction).await?;
                Ok(done.rows_affected)
            })
        })
        .await
}

/// Keeps orphans; the same report again changes nothing.
pub(crate) async fn insert(transaction: &Transaction, rows: &[&NewOrphan]) -> Result<(), StoreError> {
    let new = rows.iter().map(|row| ActiveModel {
        id: ActiveValue::NotSet,
        enrollment_id: Set(row.enrollment_id),
        command_uuid: Set(row.command_uuid.clone()),
        status: Set(row.status.clone()),
        reason: Set(row.reason),
        body: Set(Sealed(row.body.clone())),
        received_at: Set(row.received_at),
    });
    let same = [Column::EnrollmentId, Column::CommandUuid, Column::Status];
    let known = OnConflict::columns(same).do_nothing().to_owned();
    Entity::insert_many(new).on_conflict(known).exec_without_returning(transaction).await?;
    Ok(())
}
