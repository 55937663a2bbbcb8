//! A whole set of files at once (GitOps): what the server is to have of secrets, labels, teams, their profiles and settings.
//! `rookery gitops` makes the request from files; [`entities::desired`] does what it asks, or says what that would change.

use std::collections::BTreeSet;

use actix_web::HttpResponse;
use actix_web::web::{Data, Payload};
use actors::profiles::admin::ApplyFiles;
use entities::Reader;
use entities::desired::{Applied, Desired, Refused, Team, TeamApplied};
use entities::label::change::{Changed, Save};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::auth::Asking;
use super::os_updates::Mdm;
use super::profiles::{self, Entry, MAX_SET_BYTES};
use super::{custom_variables, enrollment, labels, setup_experience, teams};
use crate::http::edge::AdminEdge;
use crate::http::error::ApiError;
use crate::http::{DEADLINE, read_admin};

/// Labels, and teams, of one request at most.
const MAX_EACH: usize = 1_000;

/// What the server is to have.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Files {
    /// Secrets that profiles name; others stay.
    #[serde(default)]
    custom_variables: Vec<custom_variables::Named>,
    /// All labels; absent or null: they stay as they are.
    labels: Option<Vec<labels::Wish>>,
    /// Teams; others stay, unless they are to be deleted.
    #[serde(default)]
    teams: Vec<TeamFiles>,
    /// Whether teams that are not named here are deleted.
    #[serde(default)]
    delete_other_teams: bool,
    /// Only says what would change.
    #[serde(default)]
    dry_run: bool,
}

/// What a team is to have.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct TeamFiles {
    /// Its name; absent or null for hosts that are in no team.
    name: Option<String>,
    /// What it is for; absent: as before.
    description: Option<String>,
    /// The secrets that hosts enroll with; absent: as before.
    secrets: Option<Vec<enrollment::Secret>>,
    /// All its settings: what is absent is not set.
    #[serde(default)]
    mdm: Mdm,
    /// All its profiles.
    #[serde(default)]
    profiles: Vec<Entry>,
}

/// `POST …/spec/gitops`
pub async fn apply(admin: Asking, payload: Payload, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let body = read_admin(&edge.budget, payload, MAX_SET_BYTES).await?;
    let files: Files = serde_json::from_slice(&body).map_err(|error| ApiError::bad_request(error.to_string()))?;
    let dry_run = files.dry_run;
    let desired = files.checked(&edge.front.reader).await?;
    for team in &desired.teams {
        setup_experience::demand_possible(&edge, &team.settings)?;
    }
    let wish = ApplyFiles { desired, dry_run, asked_by: admin.name.clone() };
    match edge.front.profiles.ask(wish, DEADLINE).await? {
        Ok(applied) => Ok(HttpResponse::Ok().json(shown(&applied, dry_run))),
        Err(refused) => Err(because(refused)),
    }
}

impl Files {
    async fn checked(self, reader: &Reader) -> Result<Desired, ApiError> {
        let labels = match self.labels {
            None => None,
            Some(labels) => Some(checked_labels(labels, reader).await?),
        };
        let count = self.teams.len();
        let mut names = BTreeSet::new();
        let mut teams = Vec::with_capacity(count.min(MAX_EACH));
        for (index, team) in self.teams.into_iter().enumerate() {
            let team = team.checked().map_err(|error| error.within(&format!("teams[{index}]")))?;
            if index == MAX_EACH || !names.insert(team.name.as_ref().map(|name| name.to_lowercase())) {
                return Err(ApiError::invalid("teams", format!("name each team once, and at most {MAX_EACH}")));
            }
            teams.push(team);
        }
        let secrets = custom_variables::checked(self.custom_variables)?;
        Ok(Desired { secrets, labels, teams, delete_other_teams: self.delete_other_teams })
    }
}

async fn checked_labels(labels: Vec<labels::Wish>, reader: &Reader) -> Result<Vec<Save>, ApiError> {
    let mut names = BTreeSet::new();
    let mut saves = Vec::with_capacity(labels.len().min(MAX_EACH));
    for (index, wish) in labels.into_iter().enumerate() {
        let save = wish.into_save(reader, None).await.map_err(|error| error.within(&format!("labels[{index}]")))?;
        if index == MAX_EACH || !names.insert(save.name.to_lowercase()) {
            return Err(ApiError::invalid("labels", format!("name each label once, and at most {MAX_EACH}")));
        }
        saves.push(save);
    }
    Ok(saves)
}

impl TeamFiles {
    fn checked(self) -> Result<Team, ApiError> {
        let (name, description) = match self.name {
            None => (None, None),
            Some(name) => {
                let naming = teams::naming(&name, self.description.clone().unwrap_or_default())?;
                (Some(naming.name), self.description.map(|_| naming.description))
            }
        };
        Ok(Team {
            name,
            description,
            enroll_secrets: self.secrets.map(enrollment::checked).transpose()?,
            settings: self.mdm.whole().changes(0)?,
            profiles: profiles::drafts(self.profiles, 0)?,
        })
    }
}

fn shown(applied: &Applied, dry_run: bool) -> Value {
    let secrets = &applied.secrets;
    json!({
        "dry_run": dry_run,
        "custom_variables": profiles::shown(secrets),
        "labels": profiles::shown(&applied.labels),
        "teams": applied.teams.iter().map(shown_team).collect::<Vec<_>>(),
        "removed_teams": applied.removed_teams,
    })
}

fn shown_team(team: &TeamApplied) -> Value {
    json!({
        "name": team.name,
        "added": team.is_new,
        "edited": team.is_edited,
        "secrets": team.enroll_secrets,
        "settings": team.settings,
        "profiles": profiles::shown(&team.profiles),
    })
}

/// Why nothing was changed.
fn because(refused: Refused) -> ApiError {
    match refused {
        Refused::Team { name, why } => {
            let name = name.map_or_else(|| "no team".to_owned(), |name| format!("team {name}"));
            profiles::refused(why).within(&name)
        }
        Refused::Label { name, why: Changed::BuiltIn } => {
            ApiError::invalid("labels", format!("{name:?} is a label of every server: leave it out"))
        }
        Refused::Label { name, .. } => {
            let reason =
                "has hosts of its own on the server and a rule here, or the other way round: delete it there first";
            ApiError::invalid("labels", format!("{name:?} {reason}, or choose another name"))
        }
    }
}
