//! Table `team_setting`: what is set for the hosts of a team, or of none (team 0): a JSON text by name. What is not set has
//! no row. Some settings become a profile of the server's own, in the same transaction.
//!
//! Start with [`save`].

use std::collections::BTreeMap;

use sea_orm::ActiveValue::Set;
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::OnConflict;
use serde_json::{Value, json};

use crate::activity::{Activity, chronicle};
use crate::audit::Event;
use crate::profile::change::{By, Draft, Saved};
use crate::profile::set;
use crate::transaction::{end, savepoint};
use crate::vault::Vault;
use crate::{Reader, StoreError, Transaction, Writer, team};

/// A row of `team_setting`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "team_setting")]
pub struct Model {
    /// The team; 0 for hosts that are in none.
    #[sea_orm(primary_key, auto_increment = false)]
    pub team_id: i64,
    /// For example `macos_updates`.
    #[sea_orm(primary_key, auto_increment = false)]
    pub name: String,
    /// A JSON text.
    pub value: String,
}

/// Related rows are read by their own queries.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// One setting that is to be something else.
#[derive(Clone, PartialEq, Eq)]
pub struct Change {
    /// See [`Model::name`].
    pub name: &'static str,
    /// What it is from now on; `None` for not set.
    pub value: Option<Value>,
    /// The kind and name of the server's own profile that it becomes, if it becomes one.
    pub profile: Option<(i16, &'static str)>,
    /// That profile, where it is set.
    pub draft: Option<Draft>,
    /// The activity that tells of it, and what it says besides the team.
    pub activity: (&'static str, Value),
}

/// The setting that an admin lets devices go on from Setup Assistant.
pub const RELEASE_MANUALLY: &str = "enable_release_device_manually";

/// The name of the setting whether people sign in at the identity provider before they enroll a device: `true`, or not set.
pub const SIGN_IN: &str = "enable_end_user_authentication";

/// Whether people sign in at the identity provider before they enroll a device into this team, or into none.
///
/// # Errors
/// The database does not answer.
pub async fn demands_sign_in(reader: &Reader, team_id: Option<i64>) -> Result<bool, StoreError> {
    let key = (team_id.unwrap_or_default(), SIGN_IN.to_owned());
    let set = reader.run(move |database| async move { Ok(Entity::find_by_id(key).one(&database).await?) }).await?;
    Ok(set.is_some_and(|row| row.value == "true"))
}

/// What is set for these teams, by team and name.
///
/// # Errors
/// The database does not answer, or a value is no JSON.
pub async fn of_teams(reader: &Reader, teams: Vec<i64>) -> Result<BTreeMap<i64, BTreeMap<String, Value>>, StoreError> {
    reader
        .run(move |database| async move {
            let mut found = BTreeMap::<i64, BTreeMap<String, Value>>::new();
            for row in Entity::find().filter(Column::TeamId.is_in(teams)).all(&database).await? {
                let value = serde_json::from_str(&row.value);
                let value =
                    value.map_err(|_| StoreError::Unreadable(format!("the setting {} is no JSON", row.name)))?;
                found.entry(row.team_id).or_default().insert(row.name, value);
            }
            Ok(found)
        })
        .await
}

/// Changes settings of a team, with the profiles that follow; all of them or none. What is as it was is not told.
///
/// # Errors
/// See [`StoreError`].
pub async fn save(
    writer: &Writer,
    team_id: i64,
    changes: Vec<Change>,
    by: By,
) -> Result<Result<(), Saved>, StoreError> {
    let input = (writer.vault().clone(), team_id, changes, by);
    writer
        .run(input, |transaction, (vault, team_id, changes, by)| {
            Box::pin(async move {
                let whole = savepoint(transaction).await?;
                let saved = save_in(&whole, &vault, team_id, &changes, &by).await?;
                end(whole, saved.is_ok()).await?;
                Ok(saved.map(drop))
            })
        })
        .await
}

/// The same within somebody else's transaction, which has to be taken back where this is refused. Tells what is another.
pub(crate) async fn save_in(
    transaction: &Transaction,
    vault: &Vault,
    team_id: i64,
    changes: &[Change],
    by: &By,
) -> Result<Result<Vec<&'static str>, Saved>, StoreError> {
    let team = team::Entity::find_by_id(team_id).one(transaction).await?;
    if team_id != 0 && team.is_none() {
        return Ok(Err(Saved::NoTeam));
    }
    let name = team.map(|team| team.name);
    let (mut told, mut changed) = (Vec::new(), Vec::new());
    for change in changes {
        if !put(transaction, team_id, change).await? {
            continue;
        }
        changed.push(change.name);
        if let Some((kind, name)) = change.profile
            && let Err(refused) =
                set::manage(transaction, vault, (team_id, kind, name), change.draft.as_ref(), by.at).await?
        {
            return Ok(Err(refused));
        }
        let mut said = json!({ "team_id": Some(team_id).filter(|id| *id != 0), "team_name": name });
        for (key, value) in change.activity.1.as_object().into_iter().flatten() {
            said[key] = value.clone();
        }
        told.push(Activity::new(change.activity.0, said));
    }
    if !told.is_empty() {
        let target = name.unwrap_or_else(|| "no team".to_owned());
        let event = Event { at: by.at, actor: by.name.clone(), action: "team.settings", target, detail: String::new() };
        chronicle(transaction, vault, event, told).await?;
    }
    Ok(Ok(changed))
}

/// Writes a setting. Returns whether it was another one.
async fn put(transaction: &Transaction, team_id: i64, change: &Change) -> Result<bool, StoreError> {
    let there = Entity::find_by_id((team_id, change.name.to_owned())).one(transaction).await?;
    let value = change.value.as_ref().map(Value::to_string);
    if there.as_ref().map(|row| &row.value) == value.as_ref() {
        return Ok(false);
    }
    match value {
        None => {
            Entity::delete_by_id((team_id, change.name.to_owned())).exec(transaction).await?;
        }
        Some(value) => {
            let row = ActiveModel { team_id: Set(team_id), name: Set(change.name.to_owned()), value: Set(value) };
            let replace = OnConflict::columns([Column::TeamId, Column::Name]).update_column(Column::Value).to_owned();
            Entity::insert(row).on_conflict(replace).exec_without_returning(transaction).await?;
        }
    }
    Ok(true)
}

/// A team is gone, and what was set for it.
pub(crate) async fn forget_team(transaction: &Transaction, team_id: i64) -> Result<(), StoreError> {
    Entity::delete_many().filter(Column::TeamId.eq(team_id)).exec(transaction).await?;
    Ok(())
}
