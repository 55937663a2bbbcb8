//! Table `command`: the text of a command, once for all the hosts it was queued for.

use std::collections::HashMap;

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::Query;
use sea_orm::{ConnectionTrait, QuerySelect, QueryTrait};

use crate::turn::in_sizes;
use crate::vault::{Part, Sealed, SealedColumn, Vault};
use crate::{Reader, StoreError, Transaction, queue_entry};

/// Sealed once when a command is queued, opened when it is handed out or shown.
pub(crate) static BODY: SealedColumn =
    SealedColumn { table: "command", column: "body", key: &[Part::Number("id")], context: &[Part::Text("uuid")] };

/// A row of `command`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "command")]
pub struct Model {
    /// Row number.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// What devices call it; unique.
    pub uuid: String,
    /// Apple's `RequestType`, or the target of a Windows command.
    pub request_type: String,
    /// The document as devices get it, sealed: it may hold passcodes.
    pub body: Sealed,
    /// Who queued it.
    pub created_by: Option<String>,
    /// When it was queued.
    pub created_at: i64,
}

/// Related rows are read by their own queries.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// The document as devices get it.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`] when it does not open.
    pub fn open(&self, vault: &Vault) -> Result<Vec<u8>, StoreError> {
        BODY.open(vault, &[&self.uuid], &self.body)
    }
}

/// Writes commands; returns the row of each by its name.
pub(crate) async fn insert(
    transaction: &Transaction,
    rows: Vec<ActiveModel>,
) -> Result<HashMap<String, i64>, StoreError> {
    let mut ids = HashMap::with_capacity(rows.len());
    for some in in_sizes(&rows) {
        let mut insert = Entity::insert_many(some.to_vec()).into_query();
        insert.returning(Query::returning().columns([Column::Id, Column::Uuid]));
        for row in transaction.query_all(&insert).await? {
            ids.insert(row.try_get_by_index(1)?, row.try_get_by_index(0)?);
        }
    }
    Ok(ids)
}

/// The document of a queue entry's command.
///
/// # Errors
/// [`StoreError::Conflict`] when the entry is gone, [`StoreError::Unreadable`] when it does not open; otherwise the database does not answer.
pub async fn body_of_entry(reader: &Reader, entry_id: i64) -> Result<Vec<u8>, StoreError> {
    let vault = reader.vault().clone();
    reader
        .run(move |database| async move {
            let row = queue_entry::Entity::find_by_id(entry_id)
                .select_only()
                .columns([Column::Uuid, Column::Body])
                .join(sea_orm::JoinType::InnerJoin, queue_entry::to_command())
                .into_tuple::<(String, Sealed)>()
                .one(&database)
                .await?;
            let (uuid, body) = row.ok_or_else(|| StoreError::Conflict(format!("queue entry {entry_id} is gone")))?;
            BODY.open(&vault, &[&uuid], &body)
        })
        .await
}

/// The command that devices call `uuid`.
///
/// # Errors
/// The database does not answer.
pub async fn by_uuid(reader: &Reader, uuid: String) -> Result<Option<Model>, StoreError> {
    reader
        .run(move |database| async move { Ok(Entity::find().filter(Column::Uuid.eq(uuid)).one(&database).await?) })
        .await
}
