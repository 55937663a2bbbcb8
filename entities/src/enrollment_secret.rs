//! Table `enrollment_secret`: what devices entrust to us. No list query joins it, and older values stay: losing an
//! unlock or bootstrap token cannot be made good.

use std::fmt::Display;

use sea_orm::entity::prelude::*;
use sea_orm::{ActiveValue, ActiveValue::Set, QueryOrder};

use zeroize::Zeroizing;

use crate::vault::{Part, Sealed, SealedColumn, Vault};
use crate::webhook_event::{self, NewEvent};
use crate::{Reader, StoreError, Transaction, Writer};

/// [`Model::kind`]: the token that clears a passcode.
pub const UNLOCK_TOKEN: i16 = 0;
/// [`Model::kind`]: the token that lets a Mac grant secure tokens. An empty value means that the device took it back.
pub const BOOTSTRAP_TOKEN: i16 = 1;
/// [`Model::kind`]: what a Windows device proves itself with, 16 bytes: MD5 of its name, a colon and its password.
pub const DM_CREDENTIALS: i16 = 2;

pub(crate) static VALUE: SealedColumn = SealedColumn {
    table: "enrollment_secret",
    column: "value",
    key: &[Part::Number("id")],
    context: &[
        Part::Number("enrollment_id"),
        Part::Number("kind"),
        Part::Number("generation"),
        Part::Number("created_at"),
    ],
};

/// A row of `enrollment_secret`.
#[derive(Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "enrollment_secret")]
pub struct Model {
    /// Row number; the newest of a kind counts.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// Whose it is.
    pub enrollment_id: i64,
    /// [`UNLOCK_TOKEN`], [`BOOTSTRAP_TOKEN`] or [`DM_CREDENTIALS`].
    pub kind: i16,
    /// The generation that entrusted it.
    pub generation: i32,
    /// The secret, sealed.
    pub value: Sealed,
    /// When it came.
    pub created_at: i64,
}

/// Related rows are read by their own queries.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl std::fmt::Debug for Model {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "enrollment_secret {} of enrollment {}", self.id, self.enrollment_id)
    }
}

impl Model {
    fn open(&self, vault: &Vault) -> Result<Vec<u8>, StoreError> {
        let context: [&dyn Display; 4] = [&self.enrollment_id, &self.kind, &self.generation, &self.created_at];
        VALUE.open(vault, &context, &self.value)
    }
}

/// A secret on its way into the table.
#[derive(Clone)]
pub struct NewSecret {
    /// See [`Model::enrollment_id`].
    pub enrollment_id: i64,
    /// See [`Model::kind`].
    pub kind: i16,
    /// See [`Model::generation`].
    pub generation: i32,
    /// The secret.
    pub value: Zeroizing<Vec<u8>>,
    /// See [`Model::created_at`].
    pub created_at: i64,
}

impl NewSecret {
    fn seal(&self, vault: &Vault) -> Result<Sealed, StoreError> {
        let context: [&dyn Display; 4] = [&self.enrollment_id, &self.kind, &self.generation, &self.created_at];
        VALUE.seal(vault, &context, &self.value)
    }
}

/// The newest secret of a kind that this generation entrusted to us; a withdrawn one counts as none.
///
/// # Errors
/// The database does not answer, or the secret does not open.
pub async fn newest(
    reader: &Reader,
    enrollment_id: i64,
    kind: i16,
    generation: i32,
) -> Result<Option<Vec<u8>>, StoreError> {
    let vault = reader.vault().clone();
    reader
        .run(move |database| async move {
            let row = of(enrollment_id, kind).filter(Column::Generation.eq(generation)).one(&database).await?;
            Ok(row.map(|row| row.open(&vault)).transpose()?.filter(|value| !value.is_empty()))
        })
        .await
}

/// Keeps a secret beside the older ones, and what webhooks are to be told of it.
///
/// # Errors
/// See [`StoreError`].
pub async fn keep(writer: &Writer, secret: NewSecret, mut events: Vec<NewEvent>) -> Result<(), StoreError> {
    webhook_event::seal_all(writer.vault(), &mut events)?;
    let input = (writer.vault().clone(), secret, events);
    writer
        .run(input, |transaction, (vault, secret, events)| {
            Box::pin(async move {
                insert(transaction, &vault, secret).await?;
                webhook_event::insert(transaction, &events).await
            })
        })
        .await
}

/// Keeps a secret, unless the newest one is the same.
pub(crate) async fn insert(transaction: &Transaction, vault: &Vault, secret: NewSecret) -> Result<(), StoreError> {
    let newest = of(secret.enrollment_id, secret.kind).one(transaction).await?;
    let newest = newest.filter(|newest| newest.generation == secret.generation);
    // One that does not open is kept for whoever looks into it, and this one beside it.
    if newest.is_some_and(|newest| newest.open(vault).is_ok_and(|known| known == *secret.value)) {
        return Ok(());
    }
    let value = secret.seal(vault)?;
    let row = ActiveModel {
        id: ActiveValue::NotSet,
        enrollment_id: Set(secret.enrollment_id),
        kind: Set(secret.kind),
        generation: Set(secret.generation),
        value: Set(value),
        created_at: Set(secret.created_at),
    };
    Entity::insert(row).exec_without_returning(transaction).await?;
    Ok(())
}

fn of(enrollment_id: i64, kind: i16) -> Select<Entity> {
    Entity::find()
        .filter(Column::EnrollmentId.eq(enrollment_id))
        .filter(Column::Kind.eq(kind))
        .order_by_desc(Column::Id)
}
