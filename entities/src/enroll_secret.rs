//! Table `enroll_secret`: what a person shows to be given an enrollment profile. There are few, so the one who shows a
//! secret is compared with all of them.

use openssl::memcmp;
use sea_orm::entity::prelude::*;
use sea_orm::{ActiveValue::Set, ConnectionTrait, QueryOrder};
use zeroize::Zeroizing;

use crate::audit::{self, Event};
use crate::vault::{Part, Sealed, SealedColumn, Vault};
use crate::{Reader, StoreError, Transaction, Writer};

pub(crate) static SECRET: SealedColumn = SealedColumn {
    table: "enroll_secret",
    column: "secret",
    key: &[Part::Number("id")],
    context: &[Part::Number("id")],
};

/// A row of `enroll_secret`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "enroll_secret")]
pub struct Model {
    /// Row number; never given twice while the row before it stands.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// The secret, sealed.
    pub secret: Sealed,
    /// When it was made.
    pub created_at: i64,
}

/// Related rows are read by their own queries.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// A secret that opens the door.
pub struct Opened {
    id: i64,
    /// The secret.
    pub secret: Zeroizing<String>,
    /// When it was made.
    pub created_at: i64,
}

/// Whether a secret opens the door.
///
/// # Errors
/// The database does not answer, or a secret does not open.
pub async fn is_known(reader: &Reader, secret: &str) -> Result<bool, StoreError> {
    let same =
        |known: &Opened| known.secret.len() == secret.len() && memcmp::eq(known.secret.as_bytes(), secret.as_bytes());
    Ok(list(reader).await?.iter().fold(false, |found, known| found | same(known)))
}

/// All secrets, oldest first.
///
/// # Errors
/// The database does not answer, or a secret does not open.
pub async fn list(reader: &Reader) -> Result<Vec<Opened>, StoreError> {
    let vault = reader.vault().clone();
    reader.run(move |database| async move { open_all(&database, &vault).await }).await
}

/// Replaces all secrets; those that are known already keep their age.
///
/// # Errors
/// See [`StoreError`].
pub async fn replace(writer: &Writer, secrets: Vec<String>, by: String, now: i64) -> Result<(), StoreError> {
    let detail = format!("{} now", secrets.len());
    let event = Event { at: now, actor: by, action: "enroll_secrets.replace", target: String::new(), detail };
    let input = (writer.vault().clone(), secrets, event);
    writer
        .run(input, |transaction, (vault, secrets, event)| Box::pin(replace_in(transaction, vault, secrets, event)))
        .await
}

async fn replace_in(
    transaction: &Transaction,
    vault: Vault,
    mut secrets: Vec<String>,
    event: Event,
) -> Result<(), StoreError> {
    let now = event.at;
    let known = open_all(transaction, &vault).await?;
    let last = known.iter().map(|row| row.id).max().unwrap_or_default();
    let gone = known.iter().filter(|row| !secrets.contains(&row.secret)).map(|row| row.id);
    Entity::delete_many().filter(Column::Id.is_in(gone)).exec(transaction).await?;
    secrets.sort_unstable();
    secrets.dedup();
    secrets.retain(|secret| known.iter().all(|row| *row.secret != *secret));
    for (id, secret) in (last + 1..).zip(secrets) {
        let sealed = SECRET.seal(&vault, &[&id], &secret)?;
        let row = ActiveModel { id: Set(id), secret: Set(sealed), created_at: Set(now) };
        Entity::insert(row).exec_without_returning(transaction).await?;
    }
    audit::record(transaction, &vault, event).await
}

async fn open_all(database: &impl ConnectionTrait, vault: &Vault) -> Result<Vec<Opened>, StoreError> {
    let rows = Entity::find().order_by_asc(Column::CreatedAt).order_by_asc(Column::Id).all(database).await?;
    let open = |row: &Model| {
        let plain = Zeroizing::new(SECRET.open(vault, &[&row.id], &row.secret)?);
        let secret = Zeroizing::new(String::from_utf8_lossy(&plain).into_owned());
        Ok(Opened { id: row.id, secret, created_at: row.created_at })
    };
    rows.iter().map(open).collect()
}
