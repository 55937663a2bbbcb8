//! Table `declarative_status`: what each enrollment has reported of itself, as far as it still holds.

use sea_orm::ActiveValue::Set;
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::OnConflict;

use crate::host_profile::report::{self, Finding};
use crate::vault::{Part, Sealed, SealedColumn};
use crate::webhook_event::{self, NewEvent};
use crate::{Reader, StoreError, Transaction, Writer, host, label};

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
    /// The JSON document that its reports add up to, sealed.
    pub body: Sealed,
    /// When the last report came.
    pub received_at: i64,
}

/// Related rows are read by their own queries.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// What is known of an enrollment, and when it reported last.
///
/// # Errors
/// The database does not answer, or the document does not open.
pub async fn of_enrollment(reader: &Reader, enrollment_id: i64) -> Result<Option<(Vec<u8>, i64)>, StoreError> {
    let vault = reader.vault().clone();
    reader
        .run(move |database| async move {
            let row = Entity::find_by_id(enrollment_id).one(&database).await?;
            let opened = |row: Model| Ok((BODY.open(&vault, &[&enrollment_id], &row.body)?, row.received_at));
            row.map(opened).transpose()
        })
        .await
}

/// Enrollments end or begin anew: what their devices said is history.
pub(crate) async fn forget(transaction: &Transaction, enrollments: &[i64]) -> Result<(), StoreError> {
    let of_these = Column::EnrollmentId.is_in(enrollments.iter().copied());
    Entity::delete_many().filter(of_these).exec(transaction).await?;
    Ok(())
}

/// What is kept of an enrollment from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Who reported.
    pub enrollment_id: i64,
    /// The JSON document that its reports add up to.
    pub body: Vec<u8>,
    /// When the last report came.
    pub received_at: i64,
}

/// What a report tells of its host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Learned {
    /// The host.
    pub host_id: i64,
    /// What follows for its declarations.
    pub findings: Vec<Finding>,
    /// How often what is missing is sent again.
    pub max_retries: i16,
    /// See [`host::Model::os_version`].
    pub os_version: Option<String>,
    /// See [`host::Model::build_version`].
    pub build_version: Option<String>,
    /// See [`host::Model::hardware_model`].
    pub hardware_model: Option<String>,
}

/// Replaces what is known of an enrollment, with what follows from it; webhooks are to be told of it.
///
/// # Errors
/// See [`StoreError`].
pub async fn keep(writer: &Writer, kept: Kept, learned: Learned, mut events: Vec<NewEvent>) -> Result<(), StoreError> {
    webhook_event::seal_all(writer.vault(), &mut events)?;
    let Kept { enrollment_id, body, received_at } = kept;
    let body = BODY.seal(writer.vault(), &[&enrollment_id], body)?;
    let input = (Model { enrollment_id, body, received_at }, learned, events);
    writer
        .run(input, |transaction, (report, learned, events)| {
            Box::pin(async move {
                let at = report.received_at;
                let row = ActiveModel {
                    enrollment_id: Set(report.enrollment_id),
                    body: Set(report.body),
                    received_at: Set(report.received_at),
                };
                let replace = OnConflict::column(Column::EnrollmentId)
                    .update_columns([Column::Body, Column::ReceivedAt])
                    .to_owned();
                Entity::insert(row).on_conflict(replace).exec_without_returning(transaction).await?;
                let (findings, retries) = (&learned.findings, learned.max_retries);
                report::found(transaction, learned.host_id, findings, retries, at).await?;
                learned.write(transaction, at).await?;
                webhook_event::insert(transaction, &events).await
            })
        })
        .await
}

impl Learned {
    /// Writes what the host's row says otherwise, and gives the host the labels that fit it then.
    async fn write(&self, transaction: &Transaction, now: i64) -> Result<(), StoreError> {
        let Some(old) = host::Entity::find_by_id(self.host_id).one(transaction).await? else { return Ok(()) };
        let told = |said: &Option<String>, known: &String| said.clone().unwrap_or_else(|| known.clone());
        let new = host::Model {
            os_version: told(&self.os_version, &old.os_version),
            build_version: told(&self.build_version, &old.build_version),
            hardware_model: told(&self.hardware_model, &old.hardware_model),
            ..old.clone()
        };
        if new == old {
            return Ok(());
        }
        let row = host::ActiveModel {
            os_version: Set(new.os_version.clone()),
            build_version: Set(new.build_version.clone()),
            hardware_model: Set(new.hardware_model.clone()),
            updated_at: Set(now),
            ..Default::default()
        };
        host::Entity::update_many().set(row).filter(host::Column::Id.eq(self.host_id)).exec(transaction).await?;
        label::change::look_at(transaction, std::slice::from_ref(&new)).await
    }
}
