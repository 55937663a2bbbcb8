//! Table `team`: groups of hosts that are managed alike. A host is in one team or in none.

use sea_orm::entity::prelude::*;
use sea_orm::{ActiveValue, ActiveValue::Set, Condition, QueryOrder};
use serde_json::json;

use crate::activity::{Activity, chronicle};
use crate::audit::Event;
use crate::movers::{Movers, Step};
use crate::profile::change::By;
use crate::vault::Vault;
use crate::{
    Reader, StoreError, Transaction, Writer, abm_token, enroll_secret, host, profile, setup_assistant, team_setting,
    user,
};

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
    let input = (writer.vault().clone(), naming, By { name: by, at: now });
    writer
        .run(input, |transaction, (vault, naming, by)| {
            Box::pin(async move { create_in(transaction, &vault, naming, &by).await })
        })
        .await
}

/// The same within somebody else's transaction.
pub(crate) async fn create_in(
    transaction: &Transaction,
    vault: &Vault,
    naming: Naming,
    by: &By,
) -> Result<Model, StoreError> {
    let row = ActiveModel {
        id: ActiveValue::NotSet,
        folded_name: Set(naming.name.to_lowercase()),
        name: Set(naming.name),
        description: Set(naming.description),
        created_at: Set(by.at),
    };
    let team = Entity::insert(row).exec_with_returning(transaction).await?;
    record(transaction, vault, ("team.create", "created_team"), &team, by).await?;
    Ok(team)
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
    let input = (writer.vault().clone(), id, naming, By { name: by, at: now });
    writer
        .run(input, |transaction, (vault, id, naming, by)| {
            Box::pin(async move { rename_in(transaction, &vault, id, naming, &by).await })
        })
        .await
}

/// The same within somebody else's transaction.
pub(crate) async fn rename_in(
    transaction: &Transaction,
    vault: &Vault,
    id: i64,
    naming: Naming,
    by: &By,
) -> Result<Option<Model>, StoreError> {
    Entity::update_many()
        .col_expr(Column::FoldedName, naming.name.to_lowercase().into())
        .col_expr(Column::Name, naming.name.into())
        .col_expr(Column::Description, naming.description.into())
        .filter(Column::Id.eq(id))
        .exec(transaction)
        .await?;
    let Some(team) = Entity::find_by_id(id).one(transaction).await? else { return Ok(None) };
    record(transaction, vault, ("team.change", "edited_team"), &team, by).await?;
    Ok(Some(team))
}

/// Deletes a team: its hosts are in none then, and its enroll secrets are gone. `None` when it is gone already.
///
/// # Errors
/// See [`StoreError`].
pub async fn delete(writer: &Writer, id: i64, by: String, now: i64) -> Result<Option<Model>, StoreError> {
    let input = (writer.vault().clone(), id, By { name: by, at: now });
    writer
        .run(input, |transaction, (vault, id, by)| {
            Box::pin(async move { delete_in(transaction, &vault, id, &by).await })
        })
        .await
}

/// The same within somebody else's transaction.
pub(crate) async fn delete_in(
    transaction: &Transaction,
    vault: &Vault,
    id: i64,
    by: &By,
) -> Result<Option<Model>, StoreError> {
    let Some(team) = Entity::find_by_id(id).one(transaction).await? else { return Ok(None) };
    host::Entity::update_many()
        .col_expr(host::Column::TeamId, Expr::value(None::<i64>))
        .filter(host::Column::TeamId.eq(id))
        .exec(transaction)
        .await?;
    enroll_secret::forget_team(transaction, id).await?;
    team_setting::forget_team(transaction, id).await?;
    setup_assistant::forget_team(transaction, id).await?;
    abm_token::forget_team(transaction, id).await?;
    user::change::forget_team(transaction, id).await?;
    profile::change::forget_team(transaction, id).await?;
    Entity::delete_by_id(id).exec(transaction).await?;
    record(transaction, vault, ("team.delete", "deleted_team"), &team, by).await?;
    Ok(Some(team))
}

/// Hosts that are moved to a team, or to none.
#[derive(Clone, Debug)]
pub struct Transfer {
    /// Where to.
    pub team_id: Option<i64>,
    /// Which hosts.
    pub movers: Movers,
    /// Who wants it.
    pub by: String,
    /// When.
    pub at: i64,
}

/// Moves some of the hosts, behind a row; those that are there already are left out. `None` when there is no such team.
///
/// # Errors
/// See [`StoreError`].
pub async fn transfer_some(writer: &Writer, transfer: Transfer, after: i64) -> Result<Option<Step>, StoreError> {
    let input = (writer.vault().clone(), transfer, after);
    writer
        .run(input, |transaction, (vault, transfer, after)| {
            Box::pin(async move {
                let Transfer { team_id, movers, by, at } = transfer;
                let target = match team_id {
                    None => "no team".to_owned(),
                    Some(id) => match Entity::find_by_id(id).one(transaction).await? {
                        Some(team) => team.name,
                        None => return Ok(None),
                    },
                };
                let (hosts, next) = movers.next(transaction, after, elsewhere(team_id)).await?;
                let names: Vec<String> = hosts.iter().map(host::Model::display_name).collect();
                let hosts: Vec<i64> = hosts.iter().map(|host| host.id).collect();
                if !hosts.is_empty() {
                    let these = host::Column::Id.is_in(hosts.iter().copied());
                    let moving = host::Entity::update_many().col_expr(host::Column::TeamId, team_id.into());
                    moving.filter(these).exec(transaction).await?;
                    let detail = format!("{} hosts", hosts.len());
                    let team_name = team_id.map(|_| target.as_str());
                    let said = json!({
                        "team_id": team_id, "team_name": team_name, "host_ids": hosts, "host_display_names": names,
                    });
                    let said = vec![Activity::new("transferred_hosts", said).about(hosts.clone())];
                    let event = Event { at, actor: by, action: "hosts.transfer", target, detail };
                    chronicle(transaction, &vault, event, said).await?;
                }
                Ok(Some(Step { hosts, next }))
            })
        })
        .await
}

/// The condition that hosts are not in a team.
fn elsewhere(team_id: Option<i64>) -> Condition {
    match team_id {
        None => Condition::all().add(host::Column::TeamId.is_not_null()),
        Some(id) => Condition::any().add(host::Column::TeamId.ne(id)).add(host::Column::TeamId.is_null()),
    }
}

async fn record(
    transaction: &Transaction,
    vault: &Vault,
    (action, kind): (&'static str, &'static str),
    team: &Model,
    by: &By,
) -> Result<(), StoreError> {
    let (target, detail) = (team.name.clone(), format!("team {}", team.id));
    let event = Event { at: by.at, actor: by.name.clone(), action, target, detail };
    let said = json!({ "team_id": team.id, "team_name": team.name });
    chronicle(transaction, vault, event, vec![Activity::new(kind, said)]).await
}
