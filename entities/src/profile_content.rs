//! Table `profile_content`: the versions of profiles, as admins uploaded them. A version stays as long as a host has it.

use std::collections::HashMap;

use openssl::sha::sha256;
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{ExprTrait, Query};
use sea_orm::{ActiveValue, ActiveValue::Set, QueryOrder, QuerySelect};

use crate::vault::{Part, Sealed, SealedColumn, Vault};
use crate::{Reader, StoreError, Transaction, Writer, profile};

/// Sealed by [`insert`]: a profile may hold passwords.
pub(crate) static BODY: SealedColumn = SealedColumn {
    table: "profile_content",
    column: "body",
    key: &[Part::Number("id")],
    context: &[Part::Number("profile_id"), Part::Text("checksum")],
};

/// Versions that are looked at in one transaction.
const STEP: u64 = 8;

/// A row of `profile_content`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "profile_content")]
pub struct Model {
    /// Row number; never given twice.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// Its profile, which may be gone.
    pub profile_id: i64,
    /// The bytes as they were uploaded, sealed.
    pub body: Sealed,
    /// SHA-256 of the bytes, in hexadecimal digits.
    pub checksum: String,
    /// What changes whenever hosts must get it again: the bytes did, or a secret that they name. 64 hexadecimal digits;
    /// the server token of a declaration.
    #[sea_orm(column_name = "version")]
    pub token: String,
    /// When it was made.
    pub created_at: i64,
}

/// Related rows are read by their own queries.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    fn open(&self, vault: &Vault) -> Result<Vec<u8>, StoreError> {
        BODY.open(vault, &[&self.profile_id, &self.checksum], &self.body)
    }
}

/// SHA-256 of a profile's bytes, in hexadecimal digits.
pub fn checksum(body: &[u8]) -> String {
    hex(sha256(body))
}

/// The token of a content that names secrets which have these revisions.
pub(crate) fn token(checksum: &str, secrets: &[(String, i64)]) -> String {
    let mut sorted = secrets.to_vec();
    sorted.sort_unstable();
    let mut all = checksum.to_owned();
    for (name, revision) in sorted {
        all.push_str(&format!("\n{name}={revision}"));
    }
    hex(sha256(all.as_bytes()))
}

fn hex(bytes: [u8; 32]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes a version; returns its row.
pub(crate) async fn insert(
    transaction: &Transaction,
    vault: &Vault,
    profile_id: i64,
    body: &[u8],
    token: String,
    now: i64,
) -> Result<i64, StoreError> {
    let checksum = checksum(body);
    let body = BODY.seal(vault, &[&profile_id, &checksum], body)?;
    let row = ActiveModel {
        id: ActiveValue::NotSet,
        profile_id: Set(profile_id),
        body: Set(body),
        checksum: Set(checksum),
        token: Set(token),
        created_at: Set(now),
    };
    Ok(Entity::insert(row).exec(transaction).await?.last_insert_id)
}

/// The bytes of a version; `None` when it is gone.
///
/// # Errors
/// The database does not answer, or the bytes do not open.
pub async fn body(reader: &Reader, id: i64) -> Result<Option<Vec<u8>>, StoreError> {
    let vault = reader.vault().clone();
    reader
        .run(move |database| async move {
            let row = Entity::find_by_id(id).one(&database).await?;
            row.map(|row| row.open(&vault)).transpose()
        })
        .await
}

/// When versions were made, by their rows; those that are gone are left out.
///
/// # Errors
/// The database does not answer.
pub async fn made_at(reader: &Reader, ids: Vec<i64>) -> Result<HashMap<i64, i64>, StoreError> {
    reader
        .run(move |database| async move {
            let rows = Entity::find().select_only().columns([Column::Id, Column::CreatedAt]);
            let rows = rows.filter(Column::Id.is_in(ids));
            Ok(rows.into_tuple::<(i64, i64)>().all(&database).await?.into_iter().collect())
        })
        .await
}

/// The bytes of several versions, by their rows; those that are gone are left out.
///
/// # Errors
/// The database does not answer, or some bytes do not open.
pub async fn bodies(reader: &Reader, ids: Vec<i64>) -> Result<Vec<(Model, Vec<u8>)>, StoreError> {
    let vault = reader.vault().clone();
    reader
        .run(move |database| async move {
            let rows = Entity::find().filter(Column::Id.is_in(ids)).order_by_asc(Column::Id).all(&database).await?;
            rows.into_iter().map(|row| row.open(&vault).map(|body| (row, body))).collect()
        })
        .await
}

/// The same bytes with another token.
pub(crate) async fn renew(
    transaction: &Transaction,
    vault: &Vault,
    id: i64,
    token: String,
    now: i64,
) -> Result<Option<i64>, StoreError> {
    let Some(row) = Entity::find_by_id(id).one(transaction).await? else { return Ok(None) };
    let body = row.open(vault)?;
    insert(transaction, vault, row.profile_id, &body, token, now).await.map(Some)
}

/// Forgets versions that no profile and no host has any more, behind a row. Returns where to go on; `None` at the end.
///
/// Only versions that were replaced, or whose profile is gone, are looked for on hosts, and only in that profile's rows.
///
/// # Errors
/// See [`StoreError`].
pub async fn forget_unused(writer: &Writer, after: i64) -> Result<Option<i64>, StoreError> {
    writer
        .run(after, |transaction, after| {
            Box::pin(async move {
                let current = Query::select().column(profile::Column::ContentId).from(profile::Entity).to_owned();
                let former = Entity::find().select_only().column(Column::Id).filter(Column::Id.gt(after));
                let former = former.filter(Column::Id.not_in_subquery(current)).order_by_asc(Column::Id).limit(STEP);
                let former = former.into_tuple::<i64>().all(transaction).await?;
                let held = "EXISTS (SELECT 1 FROM host_profile WHERE host_profile.profile_id = profile_content.profile_id \
                            AND (host_profile.content_id = profile_content.id \
                            OR host_profile.had_content_id = profile_content.id \
                            OR host_profile.sent_content_id = profile_content.id))";
                let unused = Entity::delete_many().filter(Column::Id.is_in(former.iter().copied()));
                unused.filter(Expr::cust(held).not()).exec(transaction).await?;
                Ok(former.last().copied().filter(|_| former.len() as u64 == STEP))
            })
        })
        .await
}
