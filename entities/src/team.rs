//! Table `team`: groups of hosts that are managed alike. A host is in one team or in none.

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::ExprTrait;
use sea_orm::{ActiveValue, ActiveValue::Set, QueryOrder};

use crate::audit::{self, Event};
use crate::host_search::Filter;
use crate::vault::Vault;
use crate::{Reader, StoreError, Transaction, Writer, enroll_secret, host, user};

/// A row of `team`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "team")]
pub struct Model {
    /// Row number.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// Its name.
    pub name: String,
    /// The name in lower case; unique.
    pub folded_name: String,
    /// What it is for.
    pub description: String,
    /// When it was made.
    pub created_at: i64,
}

/// Related rows are read by their own queries.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// What a team is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Naming {
    /// See [`Model::name`].
    pub name: String,
    /// See [`Model::description`].
    pub description: String,
}

/// Which hosts go to a team.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Movers {
    /// These.
    Hosts(Vec<i64>),
    /// All that a filter lets through.
    Filter(Filter),
}

/// All teams, by name.
///
/// # Errors
/// The database does not answer.
pub async fn list(reader: &Reader) -> Result<Vec<Model>, StoreError> {
    reader
        .run(|database| async move { Ok(Entity::find().order_by_asc(Column::FoldedName).all(&database).await?) })
        .await
}

/// The team with this row number.
///
/// # Errors
/// The database does not answer.
pub async fn by_id(reader: &Reader, id: i64) -> Result<Option<Model>, StoreError> {
    reader.run(move |database| async move { Ok(Entity::find_by_id(id).one(&database).await?) }).await
}

/// Makes a team.
///
/// # Errors
/// [`StoreError::Conflict`] when another one has the name; otherwise see [`StoreError`].
pub async fn create(writer: &Writer, naming: Naming, by: String, now: i64) -> Result<Model, StoreError> {
    let input = (writer.vault().clone(), naming, by, now);
    writer
        .run(input, |transaction, (vault, naming, by, now)| {
            Box::pin(async move {
                let row = ActiveModel {
                    id: ActiveValue::NotSet,
                    folded_name: Set(naming.name.to_lowercase()),
                    name: Set(naming.name),
                    description: Set(naming.description),
                    created_at: Set(now),
                };
                let team = Entity::insert(row).exec_with_returning(transaction).await?;
                record(transaction, &vault, "team.create", &team, by, now).await?;
                Ok(team)
            })
        })
        .await
}

/// Calls a team something else; `None` when it is gone.
///
/// # Errors
/// [`StoreError::Conflict`] when another one has the name; otherwise see [`StoreError`].
pub async fn rename(
    writer: &Writer,
    id: i64,
    naming: Naming,
    by: String,
    now: i64,
) -> Result<Option<Model>, StoreError> {
    let input = (writer.vault().clone(), id, naming, by, now);
    writer
        .run(input, |transaction, (vault, id, naming, by, now)| {
            Box::pin(async move {
                Entity::update_many()
                    .col_expr(Column::FoldedName, naming.name.to_lowercase().into())
                    .col_expr(Column::Name, naming.name.into())
                    .col_expr(Column::Description, naming.description.into())
                    .filter(Column::Id.eq(id))
                    .exec(transaction)
                    .await?;
                let Some(team) = Entity::find_by_id(id).one(transaction).await? else { return Ok(None) };
                record(transaction, &vault, "team.change", &team, by, now).await?;
                Ok(Some(team))
            })
        })
        .await
}

/// Deletes a team: its hosts are in none then, and its enroll secrets are gone. `None` when it is gone already.
///
/// # Errors
/// See [`StoreError`].
pub async fn delete(writer: &Writer, id: i64, by: String, now: i64) -> Result<Option<Model>, StoreError> {
    let input = (writer.vault().clone(), id, by, now);
    writer
        .run(input, |transaction, (vault, id, by, now)| {
            Box::pin(async move {
                let Some(team) = Entity::find_by_id(id).one(transaction).await? else { return Ok(None) };
                host::Entity::update_many()
                    .col_expr(host::Column::TeamId, Expr::value(None::<i64>))
                    .filter(host::Column::TeamId.eq(id))
                    .exec(transaction)
                    .await?;
                enroll_secret::forget_team(transaction, id).await?;
                user::change::forget_team(transaction, id).await?;
                Entity::delete_by_id(id).exec(transaction).await?;
                record(transaction, &vault, "team.delete", &team, by, now).await?;
                Ok(Some(team))
            })
        })
        .await
}

/// Moves hosts to a team, or to none. Returns how many moved; `None` when there is no such team.
///
/// # Errors
/// See [`StoreError`].
pub async fn transfer(
    writer: &Writer,
    team_id: Option<i64>,
    movers: Movers,
    by: String,
    now: i64,
) -> Result<Option<u64>, StoreError> {
    let input = (writer.vault().clone(), team_id, movers, by, now);
    writer
        .run(input, |transaction, (vault, team_id, movers, by, now)| {
            Box::pin(async move {
                let target = match team_id {
                    None => "no team".to_owned(),
                    Some(id) => match Entity::find_by_id(id).one(transaction).await? {
                        Some(team) => team.name,
                        None => return Ok(None),
                    },
                };
                let moved = move_hosts(transaction, team_id, &movers).await?;
                let detail = format!("{moved} hosts");
                let event = Event { at: now, actor: by, action: "hosts.transfer", target, detail };
                audit::record(transaction, &vault, event).await?;
                Ok(Some(moved))
            })
        })
        .await
}

async fn move_hosts(transaction: &Transaction, team_id: Option<i64>, movers: &Movers) -> Result<u64, StoreError> {
    let all = || {
        let elsewhere = match team_id {
            None => host::Column::TeamId.is_not_null(),
            Some(id) => host::Column::TeamId.ne(id).or(host::Column::TeamId.is_null()),
        };
        host::Entity::update_many().col_expr(host::Column::TeamId, team_id.into()).filter(elsewhere)
    };
    match movers {
        Movers::Filter(filter) => Ok(all().filter(filter.condition()).exec(transaction).await?.rows_affected),
        Movers::Hosts(hosts) => {
            let mut moved = 0;
            for some in hosts.chunks(500) {
                let these = host::Column::Id.is_in(some.iter().copied());
                moved += all().filter(host::is_there()).filter(these).exec(transaction).await?.rows_affected;
            }
            Ok(moved)
        }
    }
}

async fn record(
    transaction: &Transaction,
    vault: &Vault,
    action: &'static str,
    team: &Model,
    actor: String,
    at: i64,
) -> Result<(), StoreError> {
    let event = Event { at, actor, action, target: team.name.clone(), detail: format!("team {}", team.id) };
    audit::record(transaction, vault, event).await
}
