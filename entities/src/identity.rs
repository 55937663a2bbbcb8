//! Table `identity`: every certificate we issued to a device, found by its hash and bound to one enrollment.

use sea_orm::Condition;
use sea_orm::entity::prelude::*;

use crate::audit::{self, Event};
use crate::{Database, Reader, StoreError, Transaction, Writer, enrollment};

/// [`Model::state`]: issued, and not yet used by a device.
pub const ISSUED: i16 = 0;
/// [`Model::state`]: the device's own.
pub const BOUND: i16 = 1;
/// [`Model::state`]: a newer certificate of the same device has been seen, or the device enrolled again.
pub const REPLACED: i16 = 2;

/// A row of `identity`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "identity")]
pub struct Model {
    /// SHA-256 of the certificate.
    #[sea_orm(primary_key, auto_increment = false)]
    pub fingerprint: Vec<u8>,
    /// The certificate's serial number in lower hex; unique.
    pub serial: String,
    /// The certificate (DER).
    pub certificate: Vec<u8>,
    /// When it begins to be valid.
    pub not_before: i64,
    /// When it ends to be valid.
    pub not_after: i64,
    /// [`ISSUED`], [`BOUND`] or [`REPLACED`].
    pub state: i16,
    /// Whose it is; for a renewal already before its first use.
    pub enrollment_id: Option<i64>,
    /// Whether it was issued to take the place of a live one.
    pub renewal: bool,
    /// The serial number of the device that it was promised to.
    pub promised_serial: Option<String>,
    /// The UUID of the device that it was promised to.
    pub promised_uuid: Option<String>,
    /// The team that the device joins which first uses it.
    pub team_id: Option<i64>,
    /// Whether the device proved to be one that the organization bought.
    pub automatic: bool,
    /// The account at an identity provider whose owner the device belongs to which first uses it.
    pub account_uuid: Option<String>,
    /// When it was issued.
    pub issued_at: i64,
    /// When a device first used it.
    pub bound_at: Option<i64>,
}

/// Related rows are read by their own queries.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// The identity with this certificate hash.
///
/// # Errors
/// The database does not answer.
pub async fn by_fingerprint(reader: &Reader, fingerprint: Vec<u8>) -> Result<Option<Model>, StoreError> {
    reader.run(move |database| async move { Ok(Entity::find_by_id(fingerprint).one(&database).await?) }).await
}

/// The identity with this certificate hash, within a transaction.
pub(crate) async fn read(transaction: &Transaction, fingerprint: &[u8]) -> Result<Option<Model>, StoreError> {
    Ok(Entity::find_by_id(fingerprint.to_vec()).one(transaction).await?)
}

/// The certificates that may speak for these enrollments: the bound ones and issued renewals.
pub(crate) async fn list_live(
    database: &Database,
    enrollments: impl Iterator<Item = i64>,
) -> Result<Vec<Model>, StoreError> {
    let live = Entity::find().filter(Column::EnrollmentId.is_in(enrollments)).filter(Column::State.ne(REPLACED));
    Ok(live.all(database).await?)
}

/// Makes a renewed certificate the only one of its enrollment: the device has used it.
///
/// # Errors
/// [`StoreError::Conflict`] when it is not a live certificate of this enrollment.
pub async fn adopt(writer: &Writer, fingerprint: Vec<u8>, enrollment_id: i64, at: i64) -> Result<(), StoreError> {
    writer
        .run((fingerprint, enrollment_id, at), |transaction, (fingerprint, enrollment_id, at)| {
            Box::pin(async move { bind(transaction, &fingerprint, enrollment_id, &[enrollment_id], at).await })
        })
        .await
}

/// Stores a certificate that is to take the place of a live one, before it leaves the house. `false`: its enrollment has ended.
///
/// # Errors
/// See [`StoreError`].
pub async fn renew(writer: &Writer, row: Model, by: &'static str) -> Result<bool, StoreError> {
    let input = (writer.vault().clone(), row, by);
    writer
        .run(input, |transaction, (vault, row, by)| {
            Box::pin(async move {
                let Some(id) = row.enrollment_id else { return Ok(false) };
                let live = enrollment::Entity::find_by_id(id).filter(enrollment::Column::Enabled.eq(true));
                if live.one(transaction).await?.is_none() {
                    return Ok(false);
                }
                let detail = format!("renews the certificate of enrollment {id}");
                let (at, target) = (row.issued_at, row.serial.clone());
                let event = Event { at, actor: by.into(), action: "certificate.issue", target, detail };
                Entity::insert(ActiveModel::from(row)).exec_without_returning(transaction).await?;
                audit::record(transaction, &vault, event).await?;
                Ok(true)
            })
        })
        .await
}

/// Binds a certificate to an enrollment, and ends the other certificates of these enrollments.
pub(crate) async fn bind(
    transaction: &Transaction,
    fingerprint: &[u8],
    enrollment_id: i64,
    ends_others_of: &[i64],
    at: i64,
) -> Result<(), StoreError> {
    let free_or_own = Condition::any().add(Column::EnrollmentId.is_null()).add(Column::EnrollmentId.eq(enrollment_id));
    let done = Entity::update_many()
        .col_expr(Column::State, BOUND.into())
        .col_expr(Column::EnrollmentId, enrollment_id.into())
        .col_expr(Column::BoundAt, at.into())
        .filter(Column::Fingerprint.eq(fingerprint))
        .filter(Column::State.ne(REPLACED))
        .filter(free_or_own)
        .exec(transaction)
        .await?;
    if done.rows_affected != 1 {
        return Err(StoreError::Conflict("the certificate belongs to another enrollment".into()));
    }
    Entity::update_many()
        .col_expr(Column::State, REPLACED.into())
        .filter(Column::EnrollmentId.is_in(ends_others_of.iter().copied()))
        .filter(Column::Fingerprint.ne(fingerprint))
        .exec(transaction)
        .await?;
    Ok(())
}
