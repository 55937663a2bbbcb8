//! Table `agent`: the agents on a host that are no MDM, orbit and osquery, and the keys by which they are known. Only hashes
//! of keys are kept.

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveValue::Set, ConnectionTrait, JoinType, QueryOrder, QuerySelect, RelationDef};
use serde_json::json;

use crate::activity::{self, Activity};
use crate::host::{self, Description};
use crate::host_admission::{complete, find_or_make};
use crate::news::{self, News};
use crate::vault::Vault;
use crate::{Reader, StoreError, Transaction, Writer, agent_token};

/// A row of `agent`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "agent")]
pub struct Model {
    /// The host.
    #[sea_orm(primary_key, auto_increment = false)]
    pub host_id: i64,
    /// SHA-256 of orbit's key; unique.
    pub orbit_key_hash: Option<Vec<u8>>,
    /// SHA-256 of osquery's key; unique.
    pub osquery_key_hash: Option<Vec<u8>>,
    /// The name that osquery gave its host.
    pub identifier: String,
    /// When orbit last enrolled.
    pub orbit_enrolled_at: Option<i64>,
    /// When osquery last enrolled.
    pub osquery_enrolled_at: Option<i64>,
    /// When the host last reported details.
    pub detail_at: Option<i64>,
    /// When somebody asked for details, unless they came since.
    pub refetch_at: Option<i64>,
    /// The version of orbit, as it says; empty where it did not.
    pub orbit_version: String,
    /// The version of osquery, as it says; empty where it did not.
    pub osquery_version: String,
    /// The mail address of who uses the host, as orbit was told; empty where it was not.
    pub user_email: String,
    /// The address of the management that the host says it is in: empty for none, `None` where it did not say.
    pub mdm_url: Option<String>,
}

/// Related rows are read by their own queries.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// An agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Fleet's updater and companion.
    Orbit,
    /// osquery.
    Osquery,
}

/// An agent that enrolls.
#[derive(Clone, Debug)]
pub struct Enrollment {
    /// Which agent.
    pub kind: Kind,
    /// What it says about its host.
    pub description: Description,
    /// See [`Model::identifier`].
    pub identifier: String,
    /// SHA-256 of the key that it is given.
    pub key: Vec<u8>,
    /// The team that its host joins, if it is in none.
    pub team_id: Option<i64>,
    /// When.
    pub at: i64,
}

/// The host of a key, unless it was deleted.
///
/// # Errors
/// The database does not answer.
pub async fn host_of_key(reader: &Reader, kind: Kind, key: Vec<u8>) -> Result<Option<host::Model>, StoreError> {
    reader.run(move |database| async move { host_of(&database, kind, key).await }).await
}

/// The same within a transaction.
pub(crate) async fn host_of(
    database: &impl ConnectionTrait,
    kind: Kind,
    key: Vec<u8>,
) -> Result<Option<host::Model>, StoreError> {
    let to_agent: RelationDef = host::Entity::belongs_to(Entity).from(host::Column::Id).to(Column::HostId).into();
    let found = host::Entity::find().join(JoinType::InnerJoin, to_agent).filter(host::is_there());
    Ok(found.filter(kind.column().eq(key)).one(database).await?)
}

/// The agents of these hosts.
///
/// # Errors
/// The database does not answer.
pub async fn list_of_hosts(reader: &Reader, hosts: Vec<i64>) -> Result<Vec<Model>, StoreError> {
    reader
        .run(move |database| async move {
            let mut found = Vec::new();
            for some in hosts.chunks(1000) {
                let of_these = Column::HostId.is_in(some.iter().copied());
                found.extend(Entity::find().filter(of_these).all(&database).await?);
            }
            Ok(found)
        })
        .await
}

/// Gives an agent its key; a host that nobody knew gets its row. The key that it had before works no more.
///
/// # Errors
/// See [`StoreError`].
pub async fn enroll(writer: &Writer, enrollment: Enrollment) -> Result<i64, StoreError> {
    let input = (writer.vault().clone(), enrollment);
    writer.run(input, |transaction, (vault, enrollment)| Box::pin(enroll_in(transaction, vault, enrollment))).await
}

async fn enroll_in(transaction: &Transaction, vault: Vault, enrollment: Enrollment) -> Result<i64, StoreError> {
    let Enrollment { kind, description, identifier, key, team_id, at } = enrollment;
    let row = match by_identifier_alone(transaction, &description, &identifier).await? {
        Some(row) => row,
        None => find_or_make(transaction, &description, host::OFF, at).await?.0,
    };
    complete(transaction, &row, &description, at).await?;
    if let Some(team) = team_id {
        host::join_team(transaction, row.id, team).await?;
    }
    if Entity::find_by_id(row.id).count(transaction).await? == 0 {
        let name = Some(row.display_name()).filter(|name| !name.is_empty()).unwrap_or(description.computer_name);
        let said = json!({ "host_id": row.id, "host_serial": row.serial, "host_display_name": name });
        let said = vec![Activity::new("fleet_enrolled", said).about(vec![row.id])];
        activity::record(transaction, &vault, None, at, said).await?;
    }
    let mut new = ActiveModel { host_id: Set(row.id), identifier: Set(identifier), ..Default::default() };
    match kind {
        Kind::Orbit => (new.orbit_key_hash, new.orbit_enrolled_at) = (Set(Some(key)), Set(Some(at))),
        Kind::Osquery => (new.osquery_key_hash, new.osquery_enrolled_at) = (Set(Some(key)), Set(Some(at))),
    }
    let mut known = OnConflict::column(Column::HostId);
    known.update_columns(match kind {
        Kind::Orbit => [Column::OrbitKeyHash, Column::OrbitEnrolledAt],
        Kind::Osquery => [Column::OsqueryKeyHash, Column::OsqueryEnrolledAt],
    });
    known.update_column(Column::Identifier);
    Entity::insert(new).on_conflict(known).exec_without_returning(transaction).await?;
    news::note(News::Host(row.id));
    Ok(row.id)
}

/// An agent that knows neither a serial number nor a UUID is known again by the name that it gave its host.
async fn by_identifier_alone(
    transaction: &Transaction,
    description: &Description,
    identifier: &str,
) -> Result<Option<host::Model>, StoreError> {
    if description.serial.is_some() || !description.uuid.is_empty() || identifier.is_empty() {
        return Ok(None);
    }
    let known = Entity::find().filter(Column::Identifier.eq(identifier)).order_by_asc(Column::HostId);
    let Some(known) = known.one(transaction).await? else { return Ok(None) };
    Ok(host::Entity::find_by_id(known.host_id).one(transaction).await?)
}

/// Agents of these hosts must enroll again.
pub(crate) async fn forget(transaction: &Transaction, hosts: &[i64]) -> Result<(), StoreError> {
    hosts.iter().for_each(|host| news::note(News::Host(*host)));
    agent_token::forget(transaction, hosts).await?;
    Entity::delete_many().filter(Column::HostId.is_in(hosts.iter().copied())).exec(transaction).await?;
    Ok(())
}

/// One host turns out to be another one, which has the agents from now on, if it has none.
pub(crate) async fn hand_over(transaction: &Transaction, from: i64, to: i64) -> Result<(), StoreError> {
    if Entity::find_by_id(to).count(transaction).await? > 0 {
        return forget(transaction, &[from]).await;
    }
    [from, to].into_iter().for_each(|host| news::note(News::Host(host)));
    agent_token::hand_over(transaction, from, to).await?;
    Entity::update_many().col_expr(Column::HostId, to.into()).filter(Column::HostId.eq(from)).exec(transaction).await?;
    Ok(())
}

impl Kind {
    pub(crate) fn column(self) -> Column {
        match self {
            Self::Orbit => Column::OrbitKeyHash,
            Self::Osquery => Column::OsqueryKeyHash,
        }
    }
}
