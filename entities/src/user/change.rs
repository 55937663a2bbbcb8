//! Making, changing and deleting users. Whoever may do something else than before, or proves who they are by another
//! password, has no session left in the same transaction.

use sea_orm::entity::prelude::*;
use sea_orm::{ActiveValue, ActiveValue::Set};
use serde_json::{Value, json};

use super::{ActiveModel, Column, Entity, Model, Roles, User, count_admins, folded, of_team, one};
use crate::activity::{Activity, chronicle};
use crate::audit::Event;
use crate::role::Role;
use crate::vault::Vault;
use crate::{StoreError, Transaction, Writer, api_token, invite, password_reset, session, team};

/// What a user is to be.
#[derive(Clone, PartialEq, Eq)]
pub struct Wish {
    /// Email address; kept in lower case.
    pub email: String,
    /// What people call them.
    pub name: String,
    /// What they may be.
    pub roles: Roles,
    /// A new password's hash; `None` keeps the one there is.
    pub password_hash: Option<String>,
    /// See [`super::Model::api_only`].
    pub api_only: bool,
    /// See [`super::Model::sso_enabled`].
    pub sso_enabled: bool,
    /// See [`super::Model::force_password_reset`].
    pub force_password_reset: bool,
    /// See [`super::Model::disabled`].
    pub disabled: bool,
}

/// What became of a wish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Saved {
    /// It is so now.
    Done(User),
    /// There is no such user, or they are gone.
    NotFound,
    /// Nobody would be left who may do everything.
    LastAdmin,
    /// There is no such team.
    NoTeam(i64),
}

/// By what somebody proves that they may choose a new password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// They said the old one.
    User(i64),
    /// They have what was sent to them: its SHA-256.
    Reset(Vec<u8>),
}

impl Wish {
    /// What a user is now.
    pub fn of(user: &User) -> Self {
        let User { row, roles } = user.clone();
        Self {
            email: row.email,
            name: row.name,
            roles,
            password_hash: None,
            api_only: row.api_only,
            sso_enabled: row.sso_enabled,
            force_password_reset: row.force_password_reset,
            disabled: row.disabled,
        }
    }
}

impl std::fmt::Debug for Wish {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "wish for {}", self.email)
    }
}

/// Makes a user, or changes one.
///
/// # Errors
/// [`StoreError::Conflict`] when another one has the email address; otherwise see [`StoreError`].
pub async fn save(writer: &Writer, id: Option<i64>, wish: Wish, by: String, now: i64) -> Result<Saved, StoreError> {
    let input = (writer.vault().clone(), id, wish, by, now);
    writer
        .run(input, |transaction, (vault, id, wish, by, now)| {
            Box::pin(async move {
                match id {
                    None => create(transaction, &vault, wish, by, now).await,
                    Some(id) => change(transaction, &vault, id, wish, by, now).await,
                }
            })
        })
        .await
}

/// Gives somebody a new password; they have to sign in with it anew. `None` when the proof does not hold.
///
/// # Errors
/// See [`StoreError`].
pub async fn set_password(writer: &Writer, proof: Proof, hash: String, now: i64) -> Result<Option<User>, StoreError> {
    let input = (writer.vault().clone(), proof, hash, now);
    writer
        .run(input, |transaction, (vault, proof, hash, now)| {
            Box::pin(async move {
                let id = match proof {
                    Proof::User(id) => Some(id),
                    Proof::Reset(hash) => password_reset::user_of(transaction, hash, now).await?,
                };
                let Some(user) = one(transaction, Column::Id.eq(id.unwrap_or_default())).await? else {
                    return Ok(None);
                };
                if user.row.disabled || user.row.api_only || user.row.sso_enabled {
                    return Ok(None);
                }
                Entity::update_many()
                    .col_expr(Column::PasswordHash, hash.into())
                    .col_expr(Column::ForcePasswordReset, false.into())
                    .col_expr(Column::UpdatedAt, now.into())
                    .filter(Column::Id.eq(user.row.id))
                    .exec(transaction)
                    .await?;
                end_access(transaction, user.row.id).await?;
                let (actor, target) = (user.row.email.clone(), user.row.email.clone());
                let detail = format!("user {}; sessions ended", user.row.id);
                let event = Event { at: now, actor, action: "user.password", target, detail };
                let said = Activity::new("changed_user_password", named(&user.row));
                chronicle(transaction, &vault, event, vec![said]).await?;
                Ok(Some(user))
            })
        })
        .await
}

/// Deletes a user with everything that they sign in by.
///
/// # Errors
/// See [`StoreError`].
pub async fn delete(writer: &Writer, id: i64, by: String, now: i64) -> Result<Saved, StoreError> {
    let input = (writer.vault().clone(), id, by, now);
    writer
        .run(input, |transaction, (vault, id, by, now)| {
            Box::pin(async move {
                let Some(user) = one(transaction, Column::Id.eq(id)).await? else { return Ok(Saved::NotFound) };
                let left = count_admins(transaction).await?;
                if user.is_admin() && left == 1 {
                    return Ok(Saved::LastAdmin);
                }
                end_access(transaction, id).await?;
                api_token::forget_user(transaction, id).await?;
                of_team::Entity::delete_many().filter(of_team::Column::UserId.eq(id)).exec(transaction).await?;
                Entity::delete_by_id(id).exec(transaction).await?;
                let said = Activity::new("deleted_user", named(&user.row));
                record(transaction, &vault, "user.delete", &user, (by, now), vec![said]).await?;
                Ok(Saved::Done(user))
            })
        })
        .await
}

/// A team is gone, and so are the roles in it.
pub(crate) async fn forget_team(transaction: &Transaction, team_id: i64) -> Result<(), StoreError> {
    of_team::Entity::delete_many().filter(of_team::Column::TeamId.eq(team_id)).exec(transaction).await?;
    Ok(())
}

/// Makes a user within a transaction that does more.
pub(crate) async fn create(
    transaction: &Transaction,
    vault: &Vault,
    wish: Wish,
    by: String,
    now: i64,
) -> Result<Saved, StoreError> {
    if let Some(team) = unknown_team(transaction, &wish.roles).await? {
        return Ok(Saved::NoTeam(team));
    }
    let row = ActiveModel {
        id: ActiveValue::NotSet,
        email: Set(folded(&wish.email)),
        name: Set(wish.name),
        password_hash: Set(wish.password_hash),
        global_role: Set(wish.roles.everywhere.map(|role| role.as_str().to_owned())),
        api_only: Set(wish.api_only),
        sso_enabled: Set(wish.sso_enabled),
        force_password_reset: Set(wish.force_password_reset),
        disabled: Set(wish.disabled),
        created_at: Set(now),
        updated_at: Set(now),
    };
    let row = Entity::insert(row).exec_with_returning(transaction).await?;
    give_teams(transaction, row.id, &wish.roles).await?;
    // Whoever is there needs no invitation any more.
    invite::forget_email(transaction, &row.email).await?;
    let user = User { row, roles: wish.roles };
    let said = Activity::new("created_user", named(&user.row));
    record(transaction, vault, "user.create", &user, (by, now), vec![said]).await?;
    Ok(Saved::Done(user))
}

async fn change(
    transaction: &Transaction,
    vault: &Vault,
    id: i64,
    wish: Wish,
    by: String,
    now: i64,
) -> Result<Saved, StoreError> {
    let Some(old) = one(transaction, Column::Id.eq(id)).await? else { return Ok(Saved::NotFound) };
    if let Some(team) = unknown_team(transaction, &wish.roles).await? {
        return Ok(Saved::NoTeam(team));
    }
    let stays_admin = wish.roles.everywhere == Some(Role::Admin) && !wish.disabled;
    if old.is_admin() && !stays_admin && count_admins(transaction).await? == 1 {
        return Ok(Saved::LastAdmin);
    }
    let other_access = wish.password_hash.is_some() || wish.changes_access(&old);
    let mut update = Entity::update_many()
        .col_expr(Column::Email, folded(&wish.email).into())
        .col_expr(Column::Name, wish.name.into())
        .col_expr(Column::GlobalRole, wish.roles.everywhere.map(|role| role.as_str().to_owned()).into())
        .col_expr(Column::ApiOnly, wish.api_only.into())
        .col_expr(Column::SsoEnabled, wish.sso_enabled.into())
        .col_expr(Column::ForcePasswordReset, wish.force_password_reset.into())
        .col_expr(Column::Disabled, wish.disabled.into())
        .col_expr(Column::UpdatedAt, now.into());
    if let Some(hash) = wish.password_hash {
        update = update.col_expr(Column::PasswordHash, hash.into());
    }
    update.filter(Column::Id.eq(id)).exec(transaction).await?;
    of_team::Entity::delete_many().filter(of_team::Column::UserId.eq(id)).exec(transaction).await?;
    give_teams(transaction, id, &wish.roles).await?;
    if other_access {
        end_access(transaction, id).await?;
    }
    if wish.disabled {
        api_token::forget_user(transaction, id).await?;
    }
    let Some(user) = one(transaction, Column::Id.eq(id)).await? else { return Ok(Saved::NotFound) };
    let said = differences(&old, &user);
    record(transaction, vault, "user.change", &user, (by, now), said).await?;
    Ok(Saved::Done(user))
}

impl User {
    fn is_admin(&self) -> bool {
        self.roles.everywhere == Some(Role::Admin) && !self.row.disabled
    }
}

impl Wish {
    /// Whether what the user could do so far is not what they may do from now on.
    fn changes_access(&self, old: &User) -> bool {
        let row = &old.row;
        self.roles != old.roles
            || folded(&self.email) != row.email
            || (self.disabled, self.sso_enabled, self.api_only) != (row.disabled, row.sso_enabled, row.api_only)
            || self.force_password_reset != row.force_password_reset
    }
}

/// Ends every session, and makes every mail worthless that lets its reader choose a password.
async fn end_access(transaction: &Transaction, user_id: i64) -> Result<(), StoreError> {
    session::forget_user(transaction, user_id).await?;
    password_reset::forget_user(transaction, user_id).await
}

async fn give_teams(transaction: &Transaction, user_id: i64, roles: &Roles) -> Result<(), StoreError> {
    for (team_id, role) in &roles.teams {
        let row =
            of_team::ActiveModel { user_id: Set(user_id), team_id: Set(*team_id), role: Set(role.as_str().to_owned()) };
        of_team::Entity::insert(row).exec_without_returning(transaction).await?;
    }
    Ok(())
}

async fn unknown_team(transaction: &Transaction, roles: &Roles) -> Result<Option<i64>, StoreError> {
    for (team_id, _) in &roles.teams {
        if team::Entity::find_by_id(*team_id).one(transaction).await?.is_none() {
            return Ok(Some(*team_id));
        }
    }
    Ok(None)
}

async fn record(
    transaction: &Transaction,
    vault: &Vault,
    action: &'static str,
    user: &User,
    (actor, at): (String, i64),
    said: Vec<Activity>,
) -> Result<(), StoreError> {
    let Roles { everywhere, teams } = &user.roles;
    let in_teams: Vec<String> = teams.iter().map(|(team, role)| format!("{} in team {team}", role.as_str())).collect();
    let everywhere = everywhere.map(|role| role.as_str()).unwrap_or("no global role");
    let detail = format!("user {}: {everywhere}; {}", user.row.id, in_teams.join(", "));
    let event = Event { at, actor, action, target: user.row.email.clone(), detail };
    chronicle(transaction, vault, event, said).await
}

/// A user, as activities name them.
fn named(row: &Model) -> Value {
    json!({ "user_id": row.id, "user_name": row.name, "user_email": row.email })
}

/// What people read of a change: each role that somebody has now, and each that they have no more.
fn differences(old: &User, new: &User) -> Vec<Activity> {
    let about = |kind: &'static str, role: Role, team: Option<i64>| {
        let mut said = named(&new.row);
        said["role"] = role.as_str().into();
        if let Some(team) = team {
            said["team_id"] = team.into();
        }
        Activity::new(kind, said)
    };
    let mut said = Vec::new();
    match (old.roles.everywhere, new.roles.everywhere) {
        (Some(role), None) => said.push(about("deleted_user_global_role", role, None)),
        (before, Some(role)) if before != Some(role) => said.push(about("changed_user_global_role", role, None)),
        _ => {}
    }
    for (team, role) in new.roles.teams.iter().filter(|one| !old.roles.teams.contains(one)) {
        said.push(about("changed_user_team_role", *role, Some(*team)));
    }
    let left = |team: &i64| new.roles.teams.iter().all(|(other, _)| other != team);
    for (team, role) in old.roles.teams.iter().filter(|(team, _)| left(team)) {
        said.push(about("deleted_user_team_role", *role, Some(*team)));
    }
    if said.is_empty() {
        said.push(Activity::new("edited_user", named(&new.row)));
    }
    said
}
