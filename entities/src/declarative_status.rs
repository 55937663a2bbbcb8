//! Table `declarative_status`: the last declarative status report of each enrollment, as it came.

use sea_orm::ActiveValue::Set;
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::OnConflict;

use crate::vault::{Part, Sealed, SealedColumn};
use crate::webhook_event::{self, NewEvent};
use crate::{Reader, StoreError, Writer};

/// Sealed by [`keep`].
pub(crate) static BODY: SealedColumn = SealedColumn {
    table: "declarative_status",
    column: "body",
    key: &[Part::Number("enrollment_id")],
    context: &[Part::Number("enrollment_id")],
};

/// A row of `declarative_status`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "declarative_status")]
pub struct Model {
    /// Who reported.
    #[sea_orm(primary_key, auto_increment = false)]
    pub enrollment_id: i64,
    /// The JSON document as it came, sealed.
    pub body: Sealed,
    /// When it came.
    pub received_at: i64,
}

/// Related rows are read by their own queries.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// The last report of an enrollment.
///
/// # Errors
/// The database does not answer, or the report does not open.
pub async fn of_enrollment(reader: &Reader, enrollment_id: i64) -> Result<Option<Vec<u8>>, StoreError> {
    let vault = reader.vault().clone();
    reader
        .run(move |database| async move {
            let row = Entity::find_by_id(enrollment_id).one(&database).await?;
            row.map(|row| BODY.open(&vault, &[&enrollment_id], &row.body)).transpose()
        })
        .await
}

/// Replaces the last report of an enrollment; webhooks are to be told of it.
///
/// # Errors
/// See [`StoreError`].
pub async fn keep(
    writer: &Writer,
    enrollment_id: i64,
    report: impl AsRef<[u8]>,
    received_at: i64,
    mut events: Vec<NewEvent>,
) -> Result<(), StoreError> {
    webhook_event::seal_all(writer.vault(), &mut events)?;
    let body = BODY.seal(writer.vault(), &[&enrollment_id], report)?;
    writer
        .run((Model { enrollment_id, body, received_at }, events), |transaction, (report, events)| {
            Box::pin(async move {
                let row = ActiveModel {
                    enrollment_id: Set(report.enrollment_id),
                    body: Set(report.body),
                    received_at: Set(report.received_at),
                };
                let replace = OnConflict::column(Column::EnrollmentId)
                    .update_columns([Column::Body, Column::ReceivedAt])
                    .to_owned();
                Entity::insert(row).on_conflict(replace).exec_without_returning(transaction).await?;
                webhook_event::insert(transaction, &events).await
            })
        })
        .await
}
