//! Table `mail`: letters that wait to be sent. They may have secrets in them, so their texts are sealed; a letter is gone
//! when it was sent or is worth nothing any more.

use sea_orm::ActiveValue::Set;
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::ExprTrait;
use sea_orm::{QueryOrder, QuerySelect};

use crate::vault::{Part, Sealed, SealedColumn, Vault};
use crate::{Reader, StoreError, Transaction, Writer};

pub(crate) static BODY: SealedColumn =
    SealedColumn { table: "mail", column: "body", key: &[Part::Text("id")], context: &[Part::Text("id")] };

/// A row of `mail`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "mail")]
pub struct Model {
    /// A UUID.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// To whom.
    pub recipient: String,
    /// About what.
    pub subject: String,
    /// The text, sealed.
    pub body: Sealed,
    /// How often it could not be sent.
    pub attempts: i16,
    /// When it is to be tried next.
    pub due_at: i64,
    /// When it is worth nothing any more.
    pub expires_at: i64,
}

/// Related rows are read by their own queries.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// A letter.
#[derive(Clone, PartialEq, Eq)]
pub struct Letter {
    /// A UUID of its own.
    pub id: String,
    /// To whom.
    pub recipient: String,
    /// About what.
    pub subject: String,
    /// The text.
    pub text: String,
    /// How often it could not be sent.
    pub attempts: i16,
    /// When it is worth nothing any more.
    pub expires_at: i64,
}

impl std::fmt::Debug for Letter {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "letter {} ({})", self.id, self.subject)
    }
}

/// Letters that are due, oldest first.
///
/// # Errors
/// The database does not answer, or a text does not open.
pub async fn due(reader: &Reader, now: i64, limit: u64) -> Result<Vec<Letter>, StoreError> {
    let vault = reader.vault().clone();
    reader
        .run(move |database| async move {
            let rows = Entity::find().filter(Column::DueAt.lte(now)).order_by_asc(Column::DueAt).limit(limit);
            let open = |row: Model| {
                let text = String::from_utf8_lossy(&BODY.open(&vault, &[&row.id], &row.body)?).into_owned();
                let Model { id, recipient, subject, attempts, expires_at, .. } = row;
                Ok(Letter { id, recipient, subject, text, attempts, expires_at })
            };
            rows.all(&database).await?.into_iter().map(open).collect()
        })
        .await
}

/// A letter is done with: sent, or worth nothing.
///
/// # Errors
/// See [`StoreError`].
pub async fn forget(writer: &Writer, id: String) -> Result<(), StoreError> {
    writer
        .run(id, |transaction, id| {
            Box::pin(async move {
                Entity::delete_by_id(id).exec(transaction).await?;
                Ok(())
            })
        })
        .await
}

/// A letter could not be sent; it is tried again then.
///
/// # Errors
/// See [`StoreError`].
pub async fn postpone(writer: &Writer, id: String, due_at: i64) -> Result<(), StoreError> {
    writer
        .run((id, due_at), |transaction, (id, due_at)| {
            Box::pin(async move {
                Entity::update_many()
                    .col_expr(Column::DueAt, due_at.into())
                    .col_expr(Column::Attempts, Expr::col(Column::Attempts).add(1))
                    .filter(Column::Id.eq(id))
                    .exec(transaction)
                    .await?;
                Ok(())
            })
        })
        .await
}

/// Puts a letter into the box, with whatever makes it needed.
pub(crate) async fn post(transaction: &Transaction, vault: &Vault, letter: Letter, now: i64) -> Result<(), StoreError> {
    let row = ActiveModel {
        body: Set(BODY.seal(vault, &[&letter.id], &letter.text)?),
        id: Set(letter.id),
        recipient: Set(letter.recipient),
        subject: Set(letter.subject),
        attempts: Set(0),
        due_at: Set(now),
        expires_at: Set(letter.expires_at),
    };
    Entity::insert(row).exec_without_returning(transaction).await?;
    Ok(())
}
