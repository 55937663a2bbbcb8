//! Changes of single profiles. Each notes in the same transaction that its profile is to be looked at on all hosts.

use sea_orm::entity::prelude::*;
use sea_orm::{ActiveValue, ActiveValue::Set};
use serde_json::{Value, json};

use super::{Column, DECLARATION, Entity, MOBILECONFIG, Model, WINDOWS};
use crate::activity::{Activity, chronicle};
use crate::audit::Event;
use crate::host_profile::{self, FAILED, HELD, INSTALL, PENDING, UNSENT, VERIFYING};
use crate::profile_label::Named;
use crate::vault::Vault;
use crate::{StoreError, Transaction, Writer, profile_content, profile_label, profile_marking, secret_variable, team};

/// A profile as it is uploaded, checked.
#[derive(Clone, PartialEq, Eq)]
pub struct Draft {
    /// The name that never changes, should it be new.
    pub uuid: String,
    /// See [`Model::team_id`].
    pub team_id: i64,
    /// See [`Model::kind`].
    pub kind: i16,
    /// See [`Model::name`].
    pub name: String,
    /// See [`Model::identifier`].
    pub identifier: String,
    /// See [`Model::scope`].
    pub scope: i16,
    /// See [`Model::part`].
    pub part: i16,
    /// Its bytes.
    pub body: Vec<u8>,
    /// The variables and secrets it names, without `$`.
    pub variables: Vec<String>,
    /// Which hosts of the team it is for; empty for all.
    pub labels: Vec<Named>,
    /// See [`Model::managed`].
    pub managed: bool,
    /// See [`Model::rollout_percent`].
    pub rollout_percent: i16,
    /// See [`Model::rollout_max_failures`].
    pub rollout_max_failures: Option<i64>,
}

/// What became of an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Saved {
    /// It is stored.
    Done(Model),
    /// Another profile of the team has the name.
    NameTaken,
    /// Another profile of the team and kind has the identifier.
    IdentifierTaken,
    /// There are no labels with these names.
    UnknownLabels(Vec<String>),
    /// There are no secrets with these names.
    UnknownSecrets(Vec<String>),
    /// There is no such team.
    NoTeam,
}

/// What became of a wish to send a profile again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resent {
    /// It is sent again.
    Done,
    /// The host shall not have it.
    NotAssigned,
    /// It is on its way anyway.
    UnderWay,
}

/// Who changes a profile, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct By {
    /// The admin.
    pub name: String,
    /// The moment.
    pub at: i64,
}

/// What a draft needs that others own.
pub(super) struct Needs {
    pub labels: std::collections::BTreeMap<String, i64>,
    pub token: String,
}

/// Stores a new profile.
///
/// # Errors
/// See [`StoreError`].
pub async fn create(writer: &Writer, draft: Draft, by: By) -> Result<Saved, StoreError> {
    writer
        .run((writer.vault().clone(), draft, by), |transaction, (vault, draft, by)| {
            Box::pin(async move {
                if let Some(refused) = is_taken(transaction, &draft).await? {
                    return Ok(refused);
                }
                let needs = match needs(transaction, &draft).await? {
                    Ok(needs) => needs,
                    Err(refused) => return Ok(refused),
                };
                let made = insert(transaction, &vault, &draft, &needs, by.at).await?;
                if !draft.managed {
                    record(transaction, &vault, "created", &made, &by).await?;
                }
                Ok(Saved::Done(made))
            })
        })
        .await
}

/// What a draft needs, or what it lacks.
pub(super) async fn needs(transaction: &Transaction, draft: &Draft) -> Result<Result<Needs, Saved>, StoreError> {
    if draft.team_id != 0 && team::Entity::find_by_id(draft.team_id).one(transaction).await?.is_none() {
        return Ok(Err(Saved::NoTeam));
    }
    let labels = profile_label::find(transaction, &draft.labels).await?;
    let unknown = draft.labels.iter().filter(|label| !labels.contains_key(&label.name.to_lowercase()));
    let unknown: Vec<String> = unknown.map(|label| label.name.clone()).collect();
    if !unknown.is_empty() {
        return Ok(Err(Saved::UnknownLabels(unknown)));
    }
    let (secrets, missing) = secret_variable::revisions(transaction, &draft.variables).await?;
    if !missing.is_empty() {
        return Ok(Err(Saved::UnknownSecrets(missing)));
    }
    let token = profile_content::token(&profile_content::checksum(&draft.body), &secrets);
    Ok(Ok(Needs { labels, token }))
}

async fn is_taken(transaction: &Transaction, draft: &Draft) -> Result<Option<Saved>, StoreError> {
    let of_team = || Entity::find().filter(Column::TeamId.eq(draft.team_id));
    if of_team().filter(Column::Name.eq(&draft.name)).one(transaction).await?.is_some() {
        return Ok(Some(Saved::NameTaken));
    }
    let same = of_team().filter(Column::Kind.eq(draft.kind)).filter(Column::Identifier.eq(&draft.identifier));
    let taken = !draft.identifier.is_empty() && same.one(transaction).await?.is_some();
    Ok(taken.then_some(Saved::IdentifierTaken))
}

pub(super) async fn insert(
    transaction: &Transaction,
    vault: &Vault,
    draft: &Draft,
    needs: &Needs,
    now: i64,
) -> Result<Model, StoreError> {
    let row = super::ActiveModel {
        id: ActiveValue::NotSet,
        uuid: Set(draft.uuid.clone()),
        team_id: Set(draft.team_id),
        kind: Set(draft.kind),
        name: Set(draft.name.clone()),
        identifier: Set(draft.identifier.clone()),
        scope: Set(draft.scope),
        part: Set(draft.part),
        content_id: Set(0),
        managed: Set(draft.managed),
        rollout_percent: Set(draft.rollout_percent),
        rollout_max_failures: Set(draft.rollout_max_failures),
        rollout_stopped_at: Set(None),
        created_at: Set(now),
        uploaded_at: Set(now),
    };
    let made = Entity::insert(row).exec_with_returning(transaction).await?;
    let content_id =
        profile_content::insert(transaction, vault, made.id, &draft.body, needs.token.clone(), now).await?;
    super::set_content(transaction, made.id, content_id, now).await?;
    profile_label::replace(transaction, made.id, &draft.labels, &needs.labels).await?;
    profile_label::replace_variables(transaction, made.id, &draft.variables).await?;
    profile_marking::note(transaction, &[made.id]).await?;
    Ok(Model { content_id, ..made })
}

/// Deletes a profile that an admin made: it is taken from the hosts that have it. `None` when there is none.
///
/// # Errors
/// See [`StoreError`].
pub async fn delete(writer: &Writer, uuid: String, by: By) -> Result<Option<Model>, StoreError> {
    writer
        .run((writer.vault().clone(), uuid, by), |transaction, (vault, uuid, by)| {
            Box::pin(async move {
                let profile = Entity::find().filter(Column::Uuid.eq(uuid)).filter(Column::Managed.eq(false));
                let Some(profile) = profile.one(transaction).await? else { return Ok(None) };
                take_away(transaction, profile.id).await?;
                record(transaction, &vault, "deleted", &profile, &by).await?;
                Ok(Some(profile))
            })
        })
        .await
}

/// A profile is gone, and to be taken from all hosts.
pub(super) async fn take_away(transaction: &Transaction, id: i64) -> Result<(), StoreError> {
    profile_label::forget(transaction, id).await?;
    Entity::delete_by_id(id).exec(transaction).await?;
    profile_marking::note(transaction, &[id]).await
}

/// A team is gone, and its profiles with it.
pub(crate) async fn forget_team(transaction: &Transaction, team_id: i64) -> Result<(), StoreError> {
    for profile in Entity::find().filter(Column::TeamId.eq(team_id)).all(transaction).await? {
        take_away(transaction, profile.id).await?;
    }
    Ok(())
}

/// Sends a profile to a host again.
///
/// # Errors
/// See [`StoreError`].
pub async fn resend(writer: &Writer, host_id: i64, uuid: String, by: By) -> Result<Resent, StoreError> {
    use host_profile::{Column as Of, Entity as Rows};
    writer
        .run((writer.vault().clone(), host_id, uuid, by), |transaction, (vault, host_id, uuid, by)| {
            Box::pin(async move {
                let row = Rows::find().filter(Of::HostId.eq(host_id)).filter(Of::Uuid.eq(&uuid));
                let row = row.filter(Of::Operation.eq(INSTALL)).one(transaction).await?;
                let Some(row) = row else { return Ok(Resent::NotAssigned) };
                if [UNSENT, HELD, PENDING, VERIFYING].contains(&row.status) {
                    return Ok(Resent::UnderWay);
                }
                let again = Rows::update_many().filter(Of::HostId.eq(host_id)).filter(Of::Uuid.eq(uuid));
                again_from_the_start(again, by.at).exec(transaction).await?;
                let said = json!({ "host_id": host_id, "profile_name": row.name });
                let said = vec![Activity::new("resent_configuration_profile", said).about(vec![host_id])];
                let event = by.event("profile.resend", row.name, format!("host {host_id}"));
                chronicle(transaction, &vault, event, said).await?;
                Ok(Resent::Done)
            })
        })
        .await
}

/// Sends a profile again to all hosts on which it failed. Returns how many these are; `None` when there is no such profile.
///
/// # Errors
/// See [`StoreError`].
pub async fn resend_failed(writer: &Writer, uuid: String, by: By) -> Result<Option<u64>, StoreError> {
    use host_profile::{Column as Of, Entity as Rows};
    writer
        .run((writer.vault().clone(), uuid, by), |transaction, (vault, uuid, by)| {
            Box::pin(async move {
                let found = Entity::find().filter(Column::Uuid.eq(uuid)).one(transaction).await?;
                let Some(profile) = found else { return Ok(None) };
                let failed = Rows::update_many().filter(Of::ProfileId.eq(profile.id)).filter(Of::Status.eq(FAILED));
                let hosts = again_from_the_start(failed, by.at).exec(transaction).await?.rows_affected;
                let said = json!({ "profile_name": profile.name, "host_count": hosts });
                let said = vec![Activity::new("resent_configuration_profile_batch", said)];
                let event = by.event("profile.resend", profile.name, format!("{hosts} hosts"));
                chronicle(transaction, &vault, event, said).await?;
                Ok(Some(hosts))
            })
        })
        .await
}

fn again_from_the_start(
    rows: sea_orm::UpdateMany<host_profile::Entity>,
    now: i64,
) -> sea_orm::UpdateMany<host_profile::Entity> {
    use host_profile::Column as Of;
    rows.col_expr(Of::Status, UNSENT.into())
        .col_expr(Of::Retries, 0.into())
        .col_expr(Of::Detail, "".into())
        .col_expr(Of::VerifyAt, Expr::value(None::<i64>))
        .col_expr(Of::ChangedAt, now.into())
}

impl By {
    fn event(self, action: &'static str, target: String, detail: String) -> Event {
        Event { at: self.at, actor: self.name, action, target, detail }
    }
}

/// Writes that somebody did something to a profile.
pub(super) async fn record(
    transaction: &Transaction,
    vault: &Vault,
    verb: &'static str,
    profile: &Model,
    by: &By,
) -> Result<(), StoreError> {
    let kind = match (verb, profile.kind) {
        ("created", MOBILECONFIG) => "created_macos_profile",
        ("created", DECLARATION) => "created_declaration_profile",
        ("created", _) => "created_windows_profile",
        ("deleted", MOBILECONFIG) => "deleted_macos_profile",
        ("deleted", DECLARATION) => "deleted_declaration_profile",
        ("deleted", _) => "deleted_windows_profile",
        ("stopped", _) => "stopped_profile_rollout",
        (_, kind) => edited(kind),
    };
    let team = team::Entity::find_by_id(profile.team_id).one(transaction).await?;
    let mut said = json!({
        "profile_name": profile.name,
        "team_id": team.as_ref().map(|team| team.id),
        "team_name": team.as_ref().map(|team| team.name.clone()),
    });
    match profile.kind {
        MOBILECONFIG => said["profile_identifier"] = Value::from(profile.identifier.as_str()),
        DECLARATION => said["identifier"] = Value::from(profile.identifier.as_str()),
        _ => {}
    }
    let action = match verb {
        "created" => "profile.create",
        "deleted" => "profile.delete",
        "stopped" => "profile.stop",
        _ => "profile.change",
    };
    let event = by.clone().event(action, profile.name.clone(), format!("profile {}", profile.uuid));
    let activities = vec![Activity::new(kind, said)];
    if by.name.is_empty() {
        return crate::activity::record(transaction, vault, None, by.at, activities).await;
    }
    chronicle(transaction, vault, event, activities).await
}

/// The activity of somebody who changed profiles of a kind.
pub(super) fn edited(kind: i16) -> &'static str {
    match kind {
        MOBILECONFIG => "edited_macos_profile",
        DECLARATION => "edited_declaration_profile",
        WINDOWS => "edited_windows_profile",
        _ => "edited_profile",
    }
}
