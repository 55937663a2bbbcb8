//! Table `idempotency`: answers kept for a day, so that a request that is sent again is not done again.

use sea_orm::entity::prelude::*;

use crate::turn::in_sizes;
use crate::vault::{Part, Sealed, SealedColumn, Vault};
use crate::{Reader, StoreError, Transaction, Writer};

/// Bytes of a SHA-256.
const HASH_BYTES: usize = 32;

/// The request's hash is sealed with the answer: a request may hold a passcode, and a short one could be guessed from
/// its hash.
pub(crate) static ANSWER: SealedColumn = SealedColumn {
    table: "idempotency",
    column: "answer",
    key: &[Part::Text("principal"), Part::Text("key")],
    context: &[Part::Text("principal"), Part::Text("key"), Part::Number("status")],
};

/// A row of `idempotency`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "idempotency")]
pub struct Model {
    /// Who asked.
    #[sea_orm(primary_key, auto_increment = false)]
    pub principal: String,
    /// The key that they chose.
    #[sea_orm(primary_key, auto_increment = false)]
    pub key: String,
    /// The status of the answer.
    pub status: i16,
    /// The hash of the request and the body of the answer, sealed.
    pub answer: Sealed,
    /// When they asked.
    pub created_at: i64,
}

/// Related rows are read by their own queries.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// An answer, and the request that it belongs to.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    /// See [`Model::principal`].
    pub principal: String,
    /// See [`Model::key`].
    pub key: String,
    /// SHA-256 of what they asked.
    pub request_hash: [u8; HASH_BYTES],
    /// See [`Model::status`].
    pub status: i16,
    /// The body of the answer.
    pub response: Vec<u8>,
    /// See [`Model::created_at`].
    pub created_at: i64,
}

impl Answer {
    pub(crate) fn seal(&self, vault: &Vault) -> Result<Model, StoreError> {
        let plain = [&self.request_hash, self.response.as_slice()].concat();
        Ok(Model {
            answer: ANSWER.seal(vault, &[&self.principal, &self.key, &self.status], plain)?,
            principal: self.principal.clone(),
            key: self.key.clone(),
            status: self.status,
            created_at: self.created_at,
        })
    }

    fn open(row: Model, vault: &Vault) -> Result<Self, StoreError> {
        let plain = ANSWER.open(vault, &[&row.principal, &row.key, &row.status], &row.answer)?;
        let (request_hash, response) =
            plain.split_first_chunk().ok_or_else(|| StoreError::Unreadable("an answer is too short".into()))?;
        let (request_hash, response) = (*request_hash, response.to_vec());
        let Model { principal, key, status, created_at, .. } = row;
        Ok(Self { principal, key, request_hash, status, response, created_at })
    }
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "answer {} of {}", self.status, self.created_at)
    }
}

/// The answer that was given under this key.
///
/// # Errors
/// The database does not answer, or what it holds does not open.
pub async fn answer(reader: &Reader, principal: String, key: String) -> Result<Option<Answer>, StoreError> {
    let vault = reader.vault().clone();
    reader
        .run(move |database| async move {
            let row = Entity::find_by_id((principal, key)).one(&database).await?;
            row.map(|row| Answer::open(row, &vault)).transpose()
        })
        .await
}

/// Keeps answers in the transaction that makes them true; a second one under the same key is a conflict.
pub(crate) async fn keep(transaction: &Transaction, answers: impl Iterator<Item = &Model>) -> Result<(), StoreError> {
    let answers: Vec<&Model> = answers.collect();
    for some in in_sizes(&answers) {
        let rows = some.iter().map(|answer| ActiveModel::from((*answer).clone()).reset_all());
        Entity::insert_many(rows).exec_without_returning(transaction).await?;
    }
    Ok(())
}

/// Forgets answers from before a moment. Returns how many.
///
/// # Errors
/// See [`StoreError`].
pub async fn forget_before(writer: &Writer, moment: i64) -> Result<u64, StoreError> {
    writer
        .run(moment, |transaction, moment| {
            Box::pin(async move {
                let done = Entity::delete_many().filter(Column::CreatedAt.lt(moment)).exec(transaction).await?;
                Ok(done.rows_affected)
            })
        })
        .await
}
