//! A whole set of files applied at once (GitOps): secrets, labels, teams with their profiles and settings, in one transaction,
//! all of it or nothing. A dry run does the same, and takes it back: what it says is what would happen.
//!
//! Never here: files and their checks. Start with [`apply`].

use std::collections::BTreeSet;

use sea_orm::entity::prelude::*;

use crate::label::change::{Changed, Save};
use crate::label::{self, BUILT_IN};
use crate::profile::change::{By, Draft, Saved};
use crate::profile::set::{self, Plan};
use crate::secret_variable::{self, Secret};
use crate::team::{self, Naming};
use crate::team_setting::{self, Change};
use crate::transaction::{end, savepoint};
use crate::vault::Vault;
use crate::{StoreError, Transaction, Writer, enroll_secret};

/// What the server is to have.
#[derive(Clone, Default)]
pub struct Desired {
    /// Secrets that profiles name; others stay.
    pub secrets: Vec<Secret>,
    /// All labels, without the numbers of those that are there; `None`: they stay as they are.
    pub labels: Option<Vec<Save>>,
    /// Teams; others stay, unless [`Desired::delete_other_teams`].
    pub teams: Vec<Team>,
    /// Whether teams that are not named are deleted.
    pub delete_other_teams: bool,
}

/// What a team is to have.
#[derive(Clone)]
pub struct Team {
    /// Its name; `None` for hosts that are in no team.
    pub name: Option<String>,
    /// What it is for; `None`: as before.
    pub description: Option<String>,
    /// The secrets that hosts enroll with; `None`: as before.
    pub enroll_secrets: Option<Vec<String>>,
    /// All its settings. The team of their drafts is filled in here.
    pub settings: Vec<Change>,
    /// All its profiles; likewise.
    pub profiles: Vec<Draft>,
}

/// What is changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Secrets that profiles name.
    pub secrets: Plan,
    /// Labels.
    pub labels: Plan,
    /// The teams that were named.
    pub teams: Vec<TeamApplied>,
    /// Teams that are gone.
    pub removed_teams: Vec<String>,
}

/// What is changed of a team.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TeamApplied {
    /// See [`Team::name`].
    pub name: Option<String>,
    /// Whether there was none of this name.
    pub is_new: bool,
    /// Whether its name is written in another way, or its description is another one.
    pub is_edited: bool,
    /// Whether others of its enroll secrets work.
    pub enroll_secrets: bool,
    /// The settings that are others.
    pub settings: Vec<&'static str>,
    /// Its profiles.
    pub profiles: Plan,
}

/// Why nothing is changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The profiles or settings of a team cannot be so.
    Team {
        /// See [`Team::name`].
        name: Option<String>,
        /// Why.
        why: Saved,
    },
    /// A label cannot be so.
    Label {
        /// Its name.
        name: String,
        /// Why.
        why: Changed,
    },
}

/// Makes the server have what is desired; with `dry_run` nothing stays written.
///
/// # Errors
/// [`StoreError::Conflict`] where names or secrets belong to others; otherwise see [`StoreError`].
pub async fn apply(
    writer: &Writer,
    desired: Desired,
    dry_run: bool,
    by: By,
) -> Result<Result<Applied, Refused>, StoreError> {
    let input = (writer.vault().clone(), desired, dry_run, by);
    writer
        .run(input, |transaction, (vault, desired, dry_run, by)| {
            Box::pin(async move {
                let whole = savepoint(transaction).await?;
                let applied = Box::pin(apply_in(&whole, &vault, desired, &by)).await?;
                end(whole, applied.is_ok() && !dry_run).await?;
                Ok(applied)
            })
        })
        .await
}

async fn apply_in(
    transaction: &Transaction,
    vault: &Vault,
    desired: Desired,
    by: &By,
) -> Result<Result<Applied, Refused>, StoreError> {
    let secrets = secret_variable::set_in(transaction, vault, &desired.secrets, by).await?;
    let mut applied = Applied { secrets, ..Applied::default() };
    let kept = desired.labels.as_ref().map(|labels| labels.iter().map(|label| label.name.to_lowercase()).collect());
    for save in desired.labels.into_iter().flatten() {
        if let Err(refused) = have_label(transaction, vault, save, by, &mut applied.labels).await? {
            return Ok(Err(refused));
        }
    }
    // Before the teams: a profile may not name what is gone.
    if let Some(kept) = kept {
        applied.labels.removed = forget_labels(transaction, vault, &kept, by).await?;
    }
    let mut teams = BTreeSet::new();
    for team in desired.teams {
        let (name, folded) = (team.name.clone(), team.name.as_ref().map(|name| name.to_lowercase()));
        match have_team(transaction, vault, team, by).await? {
            Ok(changed) => applied.teams.push(changed),
            Err(why) => return Ok(Err(Refused::Team { name, why })),
        }
        teams.extend(folded);
    }
    if desired.delete_other_teams {
        for team in team::Entity::find().filter(team::Column::FoldedName.is_not_in(teams)).all(transaction).await? {
            team::delete_in(transaction, vault, team.id, by).await?;
            applied.removed_teams.push(team.name);
        }
    }
    Ok(Ok(applied))
}

async fn have_label(
    transaction: &Transaction,
    vault: &Vault,
    save: Save,
    by: &By,
    plan: &mut Plan,
) -> Result<Result<(), Refused>, StoreError> {
    let name = save.name.clone();
    let of_name = label::Column::FoldedName.eq(name.to_lowercase());
    let there = label::Entity::find().filter(of_name).one(transaction).await?;
    if let Some(label) = &there
        && label::change::is_as(transaction, label, &save).await?
    {
        plan.unchanged.push(name);
        return Ok(Ok(()));
    }
    let save = Save { id: there.as_ref().map(|label| label.id), ..save };
    match label::change::save_in(transaction, vault, save, by).await? {
        Changed::Done(_) if there.is_some() => plan.changed.push(name),
        Changed::Done(_) => plan.added.push(name),
        why => return Ok(Err(Refused::Label { name, why })),
    }
    Ok(Ok(()))
}

/// Deletes the labels of admins that are not named. Returns their names.
async fn forget_labels(
    transaction: &Transaction,
    vault: &Vault,
    kept: &BTreeSet<String>,
    by: &By,
) -> Result<Vec<String>, StoreError> {
    let mut removed = Vec::new();
    for label in label::Entity::find().filter(label::Column::Kind.ne(BUILT_IN)).all(transaction).await? {
        if !kept.contains(&label.folded_name) {
            label::change::delete_in(transaction, vault, label.id, by).await?;
            removed.push(label.name);
        }
    }
    Ok(removed)
}

async fn have_team(
    transaction: &Transaction,
    vault: &Vault,
    wanted: Team,
    by: &By,
) -> Result<Result<TeamApplied, Saved>, StoreError> {
    let mut changed = TeamApplied { name: wanted.name.clone(), ..TeamApplied::default() };
    let team_id = match wanted.name {
        None => None,
        Some(name) => {
            let of_name = team::Column::FoldedName.eq(name.to_lowercase());
            let there = team::Entity::find().filter(of_name).one(transaction).await?;
            let before = there.as_ref().map(|team| team.description.clone());
            let naming = Naming { name, description: wanted.description.or(before).unwrap_or_default() };
            let team = match there {
                None => {
                    changed.is_new = true;
                    team::create_in(transaction, vault, naming, by).await?
                }
                Some(team) if team.name == naming.name && team.description == naming.description => team,
                Some(team) => {
                    changed.is_edited = true;
                    team::rename_in(transaction, vault, team.id, naming, by).await?.unwrap_or(team)
                }
            };
            Some(team.id)
        }
    };
    if let Some(secrets) = wanted.enroll_secrets {
        changed.enroll_secrets = enroll_secret::replace_in(transaction, vault, team_id, secrets, by).await?;
    }
    let team_id = team_id.unwrap_or_default();
    let of_team = |draft: Draft| Draft { team_id, ..draft };
    let settings = wanted.settings.into_iter().map(|change| Change { draft: change.draft.map(of_team), ..change });
    let settings: Vec<Change> = settings.collect();
    let profiles: Vec<Draft> = wanted.profiles.into_iter().map(of_team).collect();
    // Profiles first: one that takes a name of the server's own is told so, whichever came before.
    changed.profiles = match set::replace_in(transaction, vault, team_id, &profiles, by).await? {
        Ok(plan) => plan,
        Err(refused) => return Ok(Err(refused)),
    };
    Ok(team_setting::save_in(transaction, vault, team_id, &settings, by).await?.map(|settings| {
        changed.settings = settings;
        changed
    }))
}
