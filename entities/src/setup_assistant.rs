//! Tables `setup_assistant` and `setup_assistant_definition`: what a team's new devices are told when they are switched on, and
//! what that is called at Apple, for each token. A team without a row has the standard.
//!
//! A definition is of one version of the profile, told by its digest. Whoever finds another digest defines the profile anew, and
//! then finds that devices have another one than they should ([`crate::dep_device::differences`]).

use sea_orm::ActiveValue::Set;
use sea_orm::QueryOrder;
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::OnConflict;
use serde_json::json;

use crate::activity::{Activity, chronicle};
use crate::audit::Event;
use crate::profile::change::By;
use crate::{Reader, StoreError, Transaction, Writer, team};

/// A row of `setup_assistant`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "setup_assistant")]
pub struct Model {
    /// The team; 0 for hosts that are in none.
    #[sea_orm(primary_key, auto_increment = false)]
    pub team_id: i64,
    /// The name of the file, as the admin has it.
    pub name: String,
    /// What the admin wrote (JSON).
    pub profile: String,
    /// When.
    pub updated_at: i64,
}

/// Related rows are read by their own queries.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Table `setup_assistant_definition`.
pub mod definition {
    use sea_orm::entity::prelude::*;

    /// A row of `setup_assistant_definition`.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "setup_assistant_definition")]
    pub struct Model {
        /// The team; 0 for hosts that are in none.
        #[sea_orm(primary_key, auto_increment = false)]
        pub team_id: i64,
        /// The token.
        #[sea_orm(primary_key, auto_increment = false)]
        pub token_id: i64,
        /// What it is called at the service; `None` when it was refused.
        pub profile_uuid: Option<String>,
        /// Which version of the profile that is.
        pub digest: String,
        /// When it was defined, or refused.
        pub defined_at: i64,
        /// Why the service refused it; empty when it did not.
        pub fault: String,
        /// Until then the same version is not tried again.
        pub rests_until: Option<i64>,
    }

    /// Related rows are read by their own queries.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// What an admin wrote for a team.
///
/// # Errors
/// The database does not answer.
pub async fn by_team(reader: &Reader, team_id: i64) -> Result<Option<Model>, StoreError> {
    reader.run(move |database| async move { Ok(Entity::find_by_id(team_id).one(&database).await?) }).await
}

/// What is defined at the service of a token.
///
/// # Errors
/// The database does not answer.
pub async fn of_token(reader: &Reader, token_id: i64) -> Result<Vec<definition::Model>, StoreError> {
    defined(reader, definition::Column::TokenId.eq(token_id)).await
}

/// What is defined for a team, at the services of all tokens.
///
/// # Errors
/// The database does not answer.
pub async fn of_team(reader: &Reader, team_id: i64) -> Result<Vec<definition::Model>, StoreError> {
    defined(reader, definition::Column::TeamId.eq(team_id)).await
}

async fn defined(reader: &Reader, filter: Expr) -> Result<Vec<definition::Model>, StoreError> {
    reader
        .run(move |database| async move {
            let rows = definition::Entity::find().filter(filter).order_by_asc(definition::Column::TeamId);
            Ok(rows.order_by_asc(definition::Column::TokenId).all(&database).await?)
        })
        .await
}

/// Writes what a team has, or that it has the standard. `None` when there is no such team; otherwise whether anything was there.
///
/// # Errors
/// See [`StoreError`].
pub async fn save(
    writer: &Writer,
    team_id: i64,
    profile: Option<(String, String)>,
    by: By,
) -> Result<Option<bool>, StoreError> {
    let input = (writer.vault().clone(), team_id, profile, by);
    writer
        .run(input, |transaction, (vault, team_id, profile, by)| {
            Box::pin(async move {
                let team = team::Entity::find_by_id(team_id).one(transaction).await?;
                if team_id != 0 && team.is_none() {
                    return Ok(None);
                }
                let before = Entity::find_by_id(team_id).one(transaction).await?;
                let name = profile.as_ref().map(|(name, _)| name.clone());
                let (kind, name) = match (&name, &before) {
                    (Some(name), _) => ("changed_macos_setup_assistant", name.clone()),
                    (None, Some(before)) => ("deleted_macos_setup_assistant", before.name.clone()),
                    (None, None) => return Ok(Some(false)),
                };
                match profile {
                    None => {
                        Entity::delete_by_id(team_id).exec(transaction).await?;
                    }
                    Some((name, profile)) => {
                        let row = Model { team_id, name, profile, updated_at: by.at };
                        let row = ActiveModel::from(row).reset_all();
                        let changed = [Column::Name, Column::Profile, Column::UpdatedAt];
                        let replace = OnConflict::column(Column::TeamId).update_columns(changed).to_owned();
                        Entity::insert(row).on_conflict(replace).exec_without_returning(transaction).await?;
                    }
                }
                let team_name = team.map(|team| team.name);
                let said =
                    json!({ "team_id": Some(team_id).filter(|id| *id != 0), "team_name": team_name, "name": name });
                let target = team_name.unwrap_or_else(|| "no team".to_owned());
                let event = Event { at: by.at, actor: by.name, action: "setup_assistant.save", target, detail: name };
                chronicle(transaction, &vault, event, vec![Activity::new(kind, said)]).await?;
                Ok(Some(before.is_some()))
            })
        })
        .await
}

/// Notes what a profile is called at a service, or that it was refused.
///
/// # Errors
/// See [`StoreError`].
pub async fn define(writer: &Writer, row: definition::Model) -> Result<(), StoreError> {
    writer
        .run(row, |transaction, row| {
            Box::pin(async move {
                use definition::{ActiveModel, Column, Entity};
                let row = ActiveModel {
                    team_id: Set(row.team_id),
                    token_id: Set(row.token_id),
                    profile_uuid: Set(row.profile_uuid),
                    digest: Set(row.digest),
                    defined_at: Set(row.defined_at),
                    fault: Set(row.fault),
                    rests_until: Set(row.rests_until),
                };
                let changed =
                    [Column::ProfileUuid, Column::Digest, Column::DefinedAt, Column::Fault, Column::RestsUntil];
                let key = OnConflict::columns([Column::TeamId, Column::TokenId]).update_columns(changed).to_owned();
                Entity::insert(row).on_conflict(key).exec_without_returning(transaction).await?;
                Ok(())
            })
        })
        .await
}

/// Forgets what a team's profile is called at the service of a token, which does not know it any more.
///
/// # Errors
/// See [`StoreError`].
pub async fn undefine(writer: &Writer, team_id: i64, token_id: i64) -> Result<(), StoreError> {
    writer
        .run((team_id, token_id), |transaction, key| {
            Box::pin(async move {
                definition::Entity::delete_by_id(key).exec(transaction).await?;
                Ok(())
            })
        })
        .await
}

/// A team is gone, and what it had.
pub(crate) async fn forget_team(transaction: &Transaction, team_id: i64) -> Result<(), StoreError> {
    Entity::delete_by_id(team_id).exec(transaction).await?;
    let of_team = definition::Column::TeamId.eq(team_id);
    definition::Entity::delete_many().filter(of_team).exec(transaction).await?;
    Ok(())
}

/// A token is gone, and what was defined at its service.
pub(crate) async fn forget_token(transaction: &Transaction, token_id: i64) -> Result<(), StoreError> {
    let of_token = definition::Column::TokenId.eq(token_id);
    definition::Entity::delete_many().filter(of_token).exec(transaction).await?;
    Ok(())
}
