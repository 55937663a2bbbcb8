//! Table `audit`: who did what. Rows are only ever added, each in the transaction of what it tells, and each holds the hash
//! of the one before it: whoever changes or takes away a row breaks the chain behind it. The end of the chain is sealed in
//! `audit_head`, and copied to places that the database does not reach, so that the last rows cannot vanish either.

use openssl::memcmp;
use openssl::sha::Sha256;
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{LockType, OnConflict, Query};
use sea_orm::{ActiveValue::Set, ConnectionTrait, QueryOrder, QuerySelect};

use crate::turn::in_sizes;
use crate::vault::{Part, Sealed, SealedColumn, Vault};
use crate::{Reader, StoreError, Transaction, Writer};

/// Bytes of a hash.
const HASH_BYTES: usize = 32;
/// Rows that are read at once.
const PAGE: u64 = 1000;
/// Characters of each text at most: names may come from outside.
const LONGEST: usize = 500;

/// A row of `audit`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "audit")]
pub struct Model {
    /// 1, 2, 3 … without a gap.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// When it happened.
    pub at: i64,
    /// Who did it: the name of an API token, or a part of the server.
    pub actor: String,
    /// What was done, for example `command.queue`.
    pub action: String,
    /// What it was done to.
    pub target: String,
    /// More about it; never a secret.
    pub detail: String,
    /// SHA-256 of the hash before and of everything above.
    pub hash: Vec<u8>,
}

/// Related rows are read by their own queries.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Table `audit_head`: the end of the chain.
pub mod head {
    use sea_orm::entity::prelude::*;

    use crate::vault::Sealed;

    /// The one row of `audit_head`.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "audit_head")]
    pub struct Model {
        /// Always 1.
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: i64,
        /// The last row's number.
        pub last: i64,
        /// The last row's hash, sealed with its number.
        pub hash: Sealed,
    }

    /// It stands alone.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Sealed by [`record`] alone.
pub(crate) static HASH: SealedColumn =
    SealedColumn { table: "audit_head", column: "hash", key: &[Part::Number("id")], context: &[Part::Number("last")] };

/// The id of the one row of `audit_head`.
const ONLY: i64 = 1;

/// Something that was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// See [`Model::at`].
    pub at: i64,
    /// See [`Model::actor`].
    pub actor: String,
    /// See [`Model::action`].
    pub action: &'static str,
    /// See [`Model::target`].
    pub target: String,
    /// See [`Model::detail`].
    pub detail: String,
}

/// The end of the chain, or a place in it that somebody noted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// The row.
    pub id: i64,
    /// Its hash.
    pub hash: [u8; HASH_BYTES],
}

/// What an examination of the chain found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The last row that is in order.
    pub end: Anchor,
    /// The first thing that is wrong, if any.
    pub fault: Option<String>,
}

/// Writes an event in a transaction of its own, for what changes no other row.
///
/// # Errors
/// See [`StoreError`]; then what was to be done must not be done.
pub async fn write(writer: &Writer, event: Event) -> Result<(), StoreError> {
    let input = (writer.vault().clone(), event);
    writer
        .run(input, |transaction, (vault, event)| Box::pin(async move { record(transaction, &vault, event).await }))
        .await
}

/// Adds an event to the chain in the transaction that makes it true.
pub(crate) async fn record(transaction: &Transaction, vault: &Vault, event: Event) -> Result<(), StoreError> {
    record_all(transaction, vault, [event]).await
}

/// Adds events to the chain, in this order, in the transaction that makes them true.
pub(crate) async fn record_all(
    transaction: &Transaction,
    vault: &Vault,
    events: impl IntoIterator<Item = Event>,
) -> Result<(), StoreError> {
    let mut end = end_in(transaction, vault).await?;
    let mut rows = Vec::new();
    for event in events {
        let row = event.follow(&end);
        end = Anchor { id: row.id, hash: row.hash_after(&end.hash) };
        rows.push(ActiveModel::from(Model { hash: end.hash.to_vec(), ..row }).reset_all());
    }
    for some in in_sizes(&rows) {
        Entity::insert_many(some.to_vec()).exec_without_returning(transaction).await?;
    }
    let hash = HASH.seal(vault, &[&end.id], end.hash)?;
    let head = head::ActiveModel { id: Set(ONLY), last: Set(end.id), hash: Set(hash) };
    let move_on =
        OnConflict::column(head::Column::Id).update_columns([head::Column::Last, head::Column::Hash]).to_owned();
    head::Entity::insert(head).on_conflict(move_on).exec_without_returning(transaction).await?;
    Ok(())
}

/// The end of the chain.
///
/// # Errors
/// The database does not answer, or the end was tampered with.
pub async fn end(reader: &Reader) -> Result<Anchor, StoreError> {
    let vault = reader.vault().clone();
    reader
        .run(move |database| async move {
            let head = head::Entity::find_by_id(ONLY).one(&database).await?;
            open_end(head.map(|head| (head.last, head.hash)), &vault)
        })
        .await
}

/// The newest events, latest first.
///
/// # Errors
/// The database does not answer.
pub async fn list(reader: &Reader, before: Option<i64>, limit: u64) -> Result<Vec<Model>, StoreError> {
    reader
        .run(move |database| async move {
            let older = Entity::find().filter(Column::Id.lt(before.unwrap_or(i64::MAX)));
            Ok(older.order_by_desc(Column::Id).limit(limit).all(&database).await?)
        })
        .await
}

/// Examines the whole chain: every row, its end, and the places that were noted elsewhere.
///
/// # Errors
/// The database does not answer.
pub async fn verify(reader: &Reader, noted: &[Anchor]) -> Result<Verdict, StoreError> {
    // The end first: rows that come while we read are behind it.
    let sealed_end = end(reader).await;
    let mut reached = Anchor::begin();
    loop {
        let rows = page_after(reader, reached.id).await?;
        if rows.is_empty() {
            break;
        }
        for row in rows {
            match row.check(&reached, noted) {
                Ok(next) => reached = next,
                Err(fault) => return Ok(Verdict { end: reached, fault: Some(fault) }),
            }
            if sealed_end.as_ref().is_ok_and(|end| end.id == reached.id && end.hash != reached.hash) {
                let fault = format!("row {} is not the one that the sealed end of the chain names", reached.id);
                return Ok(Verdict { end: reached, fault: Some(fault) });
            }
        }
    }
    let fault = match (sealed_end, noted.iter().map(|anchor| anchor.id).max()) {
        (Err(StoreError::Unreadable(why)), _) => Some(format!("the end of the chain cannot be trusted: {why}")),
        (Err(error), _) => return Err(error),
        (Ok(end), _) if end.id > reached.id => {
            Some(format!("rows {} to {} are gone: the sealed end of the chain names them", reached.id + 1, end.id))
        }
        (Ok(_), Some(noted)) if noted > reached.id => {
            Some(format!("rows {} to {noted} are gone: their end was noted outside the database", reached.id + 1))
        }
        (Ok(end), _) if end.id == 0 && reached.id > 0 => Some("the end of the chain is gone (table audit_head)".into()),
        _ => None,
    };
    Ok(Verdict { end: reached, fault })
}

async fn page_after(reader: &Reader, id: i64) -> Result<Vec<Model>, StoreError> {
    reader
        .run(move |database| async move {
            Ok(Entity::find().filter(Column::Id.gt(id)).order_by_asc(Column::Id).limit(PAGE).all(&database).await?)
        })
        .await
}

/// The end of the chain, locked until the transaction's own end: nobody else adds a row meanwhile.
async fn end_in(transaction: &Transaction, vault: &Vault) -> Result<Anchor, StoreError> {
    let query = Query::select()
        .columns([head::Column::Last, head::Column::Hash])
        .from(head::Entity)
        .and_where(head::Column::Id.eq(ONLY))
        .lock(LockType::Update)
        .to_owned();
    let head = match transaction.query_one(&query).await? {
        Some(row) => Some((row.try_get_by_index(0)?, row.try_get_by_index(1)?)),
        None => None,
    };
    open_end(head, vault)
}

fn open_end(head: Option<(i64, Sealed)>, vault: &Vault) -> Result<Anchor, StoreError> {
    let Some((id, sealed)) = head else { return Ok(Anchor::begin()) };
    let hash = HASH.open(vault, &[&id], &sealed)?;
    let hash = hash.try_into().map_err(|_| StoreError::Unreadable("audit_head.hash: it is no hash".into()))?;
    Ok(Anchor { id, hash })
}

impl Event {
    /// The row that follows the end of the chain, without its hash.
    fn follow(self, before: &Anchor) -> Model {
        Model {
            id: before.id + 1,
            at: self.at,
            actor: bounded(&self.actor),
            action: self.action.to_owned(),
            target: bounded(&self.target),
            detail: bounded(&self.detail),
            hash: Vec::new(),
        }
    }
}

impl Model {
    fn hash_after(&self, before: &[u8; HASH_BYTES]) -> [u8; HASH_BYTES] {
        let mut hash = Sha256::new();
        hash.update(b"rookery audit v1");
        hash.update(before);
        hash.update(&self.id.to_be_bytes());
        hash.update(&self.at.to_be_bytes());
        for text in [&self.actor, &self.action, &self.target, &self.detail] {
            hash.update(&(text.len() as u64).to_be_bytes());
            hash.update(text.as_bytes());
        }
        hash.finish()
    }

    /// Whether this row follows that one, and is the one that was noted.
    fn check(&self, before: &Anchor, noted: &[Anchor]) -> Result<Anchor, String> {
        if self.id != before.id + 1 {
            return Err(format!("rows {} to {} are gone", before.id + 1, self.id - 1));
        }
        let hash = self.hash_after(&before.hash);
        if self.hash.len() != HASH_BYTES || !memcmp::eq(&self.hash, &hash) {
            return Err(format!("row {} was changed, or one before it was put in its place", self.id));
        }
        if noted.iter().any(|anchor| anchor.id == self.id && anchor.hash != hash) {
            return Err(format!("row {} is not the one that was noted outside the database", self.id));
        }
        Ok(Anchor { id: self.id, hash })
    }
}

impl Anchor {
    /// The place before the first row.
    fn begin() -> Self {
        Self { id: 0, hash: [0; HASH_BYTES] }
    }

    /// Reads a place as [`std::fmt::Display`] writes it.
    pub fn parse(text: &str) -> Option<Self> {
        let (id, digits) = text.trim().split_once(':')?;
        let mut hash = [0; HASH_BYTES];
        if digits.len() != 2 * HASH_BYTES || !digits.is_ascii() {
            return None;
        }
        for (at, byte) in hash.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).ok()?;
        }
        Some(Self { id: id.parse().ok()?, hash })
    }
}

impl std::fmt::Display for Anchor {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}:", self.id)?;
        self.hash.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

/// A text within its limit, without characters that would lie to whoever reads it.
fn bounded(text: &str) -> String {
    text.chars().filter(|one| !one.is_control()).take(LONGEST).collect()
}
