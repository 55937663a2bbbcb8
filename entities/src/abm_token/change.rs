//! Tokens come, are renewed, are given default teams, and go.

use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::entity::prelude::*;
use serde_json::json;
use zeroize::Zeroizing;

use super::{ActiveModel, Column, Entity, FOLLOWING, GOOD, Model, READING, TOKEN};
use crate::activity::{Activity, chronicle};
use crate::audit::Event;
use crate::mail::{self, Letter};
use crate::vault::Vault;
use crate::{StoreError, Transaction, Writer, dep_device, setup_assistant, team};

/// A token on its way into the table.
#[derive(Clone)]
pub struct NewToken {
    /// The row that it renews; `None` for a server that is new.
    pub renews: Option<i64>,
    /// See [`Model::server_uuid`].
    pub server_uuid: String,
    /// See [`Model::server_name`].
    pub server_name: String,
    /// See [`Model::organization`].
    pub organization: String,
    /// See [`Model::apple_id`].
    pub apple_id: String,
    /// The token (JSON).
    pub token: Zeroizing<Vec<u8>>,
    /// See [`Model::expires_at`].
    pub expires_at: i64,
    /// When it was uploaded.
    pub at: i64,
}

/// The teams that new devices join, by platform.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DefaultTeams {
    /// See [`Model::macos_team_id`].
    pub macos: Option<i64>,
    /// See [`Model::ios_team_id`].
    pub ios: Option<i64>,
    /// See [`Model::ipados_team_id`].
    pub ipados: Option<i64>,
}

/// How the service stands to a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// See [`Model::standing`].
    pub standing: i16,
    /// See [`Model::fault`].
    pub fault: String,
    /// See [`Model::rests_until`].
    pub rests_until: Option<i64>,
    /// Letters that tell of it, where it is another one than before.
    pub letters: Vec<Letter>,
    /// When.
    pub at: i64,
}

/// Stores a token: of a server that is new, or in place of the one before.
///
/// # Errors
/// [`StoreError::Conflict`] when a token is renewed by that of another server, or the server is there already.
pub async fn store(writer: &Writer, new: NewToken, by: String) -> Result<Model, StoreError> {
    let sealed = TOKEN.seal(writer.vault(), &[&new.server_uuid], &new.token)?;
    let input = (writer.vault().clone(), new, sealed, by);
    writer
        .run(input, |transaction, (vault, new, sealed, by)| {
            Box::pin(async move {
                let there = Entity::find().filter(Column::ServerUuid.eq(new.server_uuid.as_str()));
                let there = there.one(transaction).await?;
                check(&new, there.as_ref())?;
                let is_new = there.is_none();
                let (known, created_at) = there.map_or((NotSet, new.at), |row| (Set(row.id), row.created_at));
                let row = ActiveModel {
                    server_name: Set(new.server_name),
                    organization: Set(new.organization),
                    apple_id: Set(new.apple_id),
                    token: Set(sealed),
                    expires_at: Set(new.expires_at),
                    rests_until: Set(None),
                    standing: Set(GOOD),
                    fault: Set(String::new()),
                    warned_days: Set(0),
                    updated_at: Set(new.at),
                    ..Default::default()
                };
                let stored = match known {
                    Set(id) => {
                        Entity::update_many().set(row).filter(Column::Id.eq(id)).exec(transaction).await?;
                        Entity::find_by_id(id).one(transaction).await?
                    }
                    _ => Some(
                        Entity::insert(first(row, new.server_uuid, created_at))
                            .exec_with_returning(transaction)
                            .await?,
                    ),
                };
                let stored = stored.ok_or_else(|| StoreError::NotApplied("the token was not stored".into()))?;
                let kind = if is_new { "added_abm_token" } else { "renewed_abm_token" };
                record(transaction, &vault, ("abm_token.store", kind), &stored, (by, new.at)).await?;
                Ok(stored)
            })
        })
        .await
}

/// A row as it is when nothing was read yet.
fn first(row: ActiveModel, server_uuid: String, created_at: i64) -> ActiveModel {
    ActiveModel {
        id: NotSet,
        server_uuid: Set(server_uuid),
        macos_team_id: Set(None),
        ios_team_id: Set(None),
        ipados_team_id: Set(None),
        state: Set(READING),
        round: Set(1),
        cursor: Set(None),
        restarts: Set(0),
        synced_at: Set(None),
        created_at: Set(created_at),
        ..row
    }
}

fn check(new: &NewToken, there: Option<&Model>) -> Result<(), StoreError> {
    let conflict = |text: &str| Err(StoreError::Conflict(text.to_owned()));
    match (new.renews, there) {
        (None, Some(_)) => conflict("this server's token is there already: renew it instead"),
        (Some(id), Some(row)) if row.id == id => Ok(()),
        (Some(_), _) => {
            conflict("the token is of another server in Apple Business Manager: download the one of the same server")
        }
        (None, None) => Ok(()),
    }
}

/// Sets the teams that new devices join. `None` when there is no such token, or no such team.
///
/// # Errors
/// See [`StoreError`].
pub async fn set_teams(
    writer: &Writer,
    id: i64,
    teams: DefaultTeams,
    (by, at): (String, i64),
) -> Result<Option<Model>, StoreError> {
    let input = (writer.vault().clone(), id, teams, by, at);
    writer
        .run(input, |transaction, (vault, id, teams, by, at)| {
            Box::pin(async move {
                for team in [teams.macos, teams.ios, teams.ipados].into_iter().flatten() {
                    if team::Entity::find_by_id(team).one(transaction).await?.is_none() {
                        return Ok(None);
                    }
                }
                let row = ActiveModel {
                    macos_team_id: Set(teams.macos),
                    ios_team_id: Set(teams.ios),
                    ipados_team_id: Set(teams.ipados),
                    ..Default::default()
                };
                Entity::update_many().set(row).filter(Column::Id.eq(id)).exec(transaction).await?;
                let Some(stored) = Entity::find_by_id(id).one(transaction).await? else { return Ok(None) };
                let kind = ("abm_token.teams", "edited_abm_token_teams");
                record(transaction, &vault, kind, &stored, (by, at)).await?;
                Ok(Some(stored))
            })
        })
        .await
}

/// Deletes a token whose devices were forgotten ([`dep_device::page::forget_some`]). False when it is gone already.
///
/// # Errors
/// [`StoreError::Conflict`] while devices are left; otherwise see [`StoreError`].
pub async fn delete(writer: &Writer, id: i64, by: String, at: i64) -> Result<bool, StoreError> {
    let input = (writer.vault().clone(), id, by, at);
    writer
        .run(input, |transaction, (vault, id, by, at)| {
            Box::pin(async move {
                let Some(row) = Entity::find_by_id(id).one(transaction).await? else { return Ok(false) };
                let left = dep_device::Entity::find().filter(dep_device::Column::TokenId.eq(id));
                if left.count(transaction).await? > 0 {
                    return Err(StoreError::Conflict("the token's devices are still being read: try again".to_owned()));
                }
                setup_assistant::forget_token(transaction, id).await?;
                Entity::delete_by_id(id).exec(transaction).await?;
                record(transaction, &vault, ("abm_token.delete", "deleted_abm_token"), &row, (by, at)).await?;
                Ok(true)
            })
        })
        .await
}

/// Notes how the service stands to a token, and until when it is left alone.
///
/// # Errors
/// See [`StoreError`].
pub async fn stand(writer: &Writer, id: i64, standing: Standing) -> Result<(), StoreError> {
    let input = (writer.vault().clone(), id, standing);
    writer
        .run(input, |transaction, (vault, id, standing)| {
            Box::pin(async move {
                let before = Entity::find_by_id(id).one(transaction).await?;
                if before.is_some_and(|row| row.standing != standing.standing) {
                    for letter in standing.letters {
                        mail::post(transaction, &vault, letter, standing.at).await?;
                    }
                }
                let row = ActiveModel {
                    standing: Set(standing.standing),
                    fault: Set(standing.fault),
                    rests_until: Set(standing.rests_until),
                    ..Default::default()
                };
                Entity::update_many().set(row).filter(Column::Id.eq(id)).exec(transaction).await?;
                Ok(())
            })
        })
        .await
}

/// A round came to its end, all devices read and assigned.
///
/// # Errors
/// See [`StoreError`].
pub async fn rest(writer: &Writer, id: i64, now: i64) -> Result<(), StoreError> {
    writer
        .run((id, now), |transaction, (id, now)| {
            Box::pin(async move {
                let row = ActiveModel {
                    standing: Set(GOOD),
                    fault: Set(String::new()),
                    rests_until: Set(None),
                    synced_at: Set(Some(now)),
                    ..Default::default()
                };
                let done = Entity::update_many().set(row).filter(Column::Id.eq(id));
                done.filter(Column::State.eq(FOLLOWING)).exec(transaction).await?;
                Ok(())
            })
        })
        .await
}

/// Warns people of a token's end, once for each of these numbers of days.
///
/// # Errors
/// See [`StoreError`].
pub async fn warn(writer: &Writer, id: i64, days: i16, letters: Vec<Letter>, now: i64) -> Result<(), StoreError> {
    let input = (writer.vault().clone(), id, days, letters, now);
    writer
        .run(input, |transaction, (vault, id, days, letters, now)| {
            Box::pin(async move {
                let warned = Entity::update_many().col_expr(Column::WarnedDays, days.into());
                let warned = warned.filter(Column::Id.eq(id)).filter(Column::WarnedDays.ne(days)).exec(transaction);
                if warned.await?.rows_affected == 0 {
                    return Ok(());
                }
                for letter in letters {
                    mail::post(transaction, &vault, letter, now).await?;
                }
                Ok(())
            })
        })
        .await
}

/// A team is gone: new devices join none instead.
pub(crate) async fn forget_team(transaction: &Transaction, team_id: i64) -> Result<(), StoreError> {
    for column in [Column::MacosTeamId, Column::IosTeamId, Column::IpadosTeamId] {
        let none = Entity::update_many().col_expr(column, Expr::value(None::<i64>)).filter(column.eq(team_id));
        none.exec(transaction).await?;
    }
    Ok(())
}

async fn record(
    transaction: &Transaction,
    vault: &Vault,
    (action, kind): (&'static str, &'static str),
    row: &Model,
    (by, at): (String, i64),
) -> Result<(), StoreError> {
    let detail = format!("server {}, expires at {} (ms since 1970)", row.server_uuid, row.expires_at);
    let event = Event { at, actor: by, action, target: row.organization.clone(), detail };
    let said = json!({ "abm_token_id": row.id, "organization_name": row.organization });
    chronicle(transaction, vault, event, vec![Activity::new(kind, said)]).await
}
