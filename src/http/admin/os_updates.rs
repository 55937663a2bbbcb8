//! Which updates of the operating system hosts are made to install, and by when: settings of a team, or of hosts in none. Each
//! becomes a profile of the server's own.

use std::collections::BTreeMap;

use actix_web::HttpResponse;
use actix_web::web::{Data, Payload};
use actors::profiles::admin::SaveSettings;
use entities::profile::change::{Draft, Saved};
use entities::profile_label::{INCLUDE_ANY, Named};
use entities::team_setting::{self, Change};
use entities::{Reader, profile};
use protocol::apple::os_updates::{OsUpdates, Platform};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::auth::{Admin, Asking};
use super::setup_experience::{self, SetupExperience};
use super::windows_updates::{self, WindowsUpdates};
use crate::http::edge::AdminEdge;
use crate::http::error::ApiError;
use crate::http::{DEADLINE, read_json};

/// What is set for hosts of no team.
pub(super) const NO_TEAM: i64 = 0;

/// What is to be set; what is absent stays.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Mdm {
    macos_updates: Option<Updates>,
    ios_updates: Option<Updates>,
    ipados_updates: Option<Updates>,
    windows_updates: Option<WindowsUpdates>,
    #[serde(alias = "setup_experience")]
    macos_setup: Option<SetupExperience>,
}

/// A version and a day; nothing, or empty texts, for no enforcement.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Updates {
    /// The least version, for example `15.1`.
    minimum_version: Option<String>,
    /// The day by which it is installed, for example `2026-12-31`.
    deadline: Option<String>,
}

/// What is to be set for hosts of no team.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Config {
    #[serde(default)]
    mdm: Mdm,
}

/// `GET …/config`
pub async fn config(_: Asking, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    answer(&edge).await
}

/// `PATCH …/config`
pub async fn change_config(admin: Asking, payload: Payload, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    admin.demand(None)?;
    let config: Config = read_json(&edge.budget, payload).await?;
    save(&admin, &edge, NO_TEAM, config.mdm.changes(NO_TEAM)?).await?;
    answer(&edge).await
}

async fn answer(edge: &AdminEdge) -> Result<HttpResponse, ApiError> {
    let set = of_teams(&edge.front.reader, vec![NO_TEAM]).await?;
    let mut mdm = shown(&set, NO_TEAM);
    mdm["end_user_authentication"] = json!({ "idp_name": edge.end_user_provider.clone().unwrap_or_default() });
    Ok(HttpResponse::Ok().json(json!({ "mdm": mdm })))
}

/// Settings by team and name.
pub(super) type Settings = BTreeMap<i64, BTreeMap<String, Value>>;

/// What is set for these teams.
///
/// # Errors
/// The database does not answer.
pub(super) async fn of_teams(reader: &Reader, teams: Vec<i64>) -> Result<Settings, ApiError> {
    Ok(team_setting::of_teams(reader, teams).await?)
}

/// A team's settings as Fleet shows them.
pub(super) fn shown(settings: &Settings, team_id: i64) -> Value {
    let of_team = settings.get(&team_id);
    let unset = json!({ "minimum_version": null, "deadline": null });
    let entry = |platform: Platform| {
        let set = of_team.and_then(|set| set.get(platform.setting())).cloned();
        (platform.setting().to_owned(), set.unwrap_or_else(|| unset.clone()))
    };
    let windows = of_team.and_then(|set| set.get(windows_updates::SETTING)).cloned();
    let mut shown: Map<String, Value> = Platform::ALL.into_iter().map(entry).collect();
    shown.insert(setup_experience::NAME.to_owned(), setup_experience::shown(of_team));
    shown.insert(windows_updates::SETTING.to_owned(), windows.unwrap_or_else(windows_updates::unset));
    shown.into()
}

/// Changes settings of a team.
///
/// # Errors
/// 404: there is no such team; 409: a profile of an admin stands in the way.
pub(super) async fn save(admin: &Admin, edge: &AdminEdge, team_id: i64, changes: Vec<Change>) -> Result<(), ApiError> {
    if changes.is_empty() {
        return Ok(());
    }
    setup_experience::demand_possible(edge, &changes)?;
    let save = SaveSettings { team_id, changes, asked_by: admin.name.clone() };
    match edge.front.profiles.ask(save, DEADLINE).await? {
        Ok(()) => Ok(()),
        Err(Saved::NoTeam) => Err(ApiError::not_found("Team was not found in the datastore")),
        Err(_) => {
            Err(ApiError::invalid("mdm", "a profile of the team stands in the way: it has a name of the server's own"))
        }
    }
}

impl Mdm {
    /// The same where it says everything: what is absent is not set.
    pub(super) fn whole(self) -> Self {
        Self {
            macos_updates: Some(self.macos_updates.unwrap_or_default()),
            ios_updates: Some(self.ios_updates.unwrap_or_default()),
            ipados_updates: Some(self.ipados_updates.unwrap_or_default()),
            windows_updates: Some(self.windows_updates.unwrap_or_default()),
            macos_setup: Some(self.macos_setup.unwrap_or_default().whole()),
        }
    }

    /// What is to be something else.
    ///
    /// # Errors
    /// 422: a version or a day is none.
    pub(super) fn changes(&self, team_id: i64) -> Result<Vec<Change>, ApiError> {
        let apple = [
            (Platform::MacOs, &self.macos_updates),
            (Platform::Ios, &self.ios_updates),
            (Platform::IpadOs, &self.ipados_updates),
        ];
        let wanted = apple.into_iter().filter_map(|(platform, updates)| Some((platform, updates.as_ref()?)));
        let windows = self.windows_updates.iter().map(|updates| updates.change(team_id));
        let setup = self.macos_setup.iter().flat_map(SetupExperience::changes).map(Ok);
        wanted.map(|(platform, updates)| change(platform, updates, team_id)).chain(windows).chain(setup).collect()
    }
}

fn change(platform: Platform, updates: &Updates, team_id: i64) -> Result<Change, ApiError> {
    let text = |text: &Option<String>| text.as_deref().unwrap_or_default().trim().to_owned();
    let (version, deadline) = (text(&updates.minimum_version), text(&updates.deadline));
    let set = OsUpdates::new(&version, &deadline)
        .map_err(|error| ApiError::invalid(platform.setting(), error.to_string()))?;
    let draft = set.as_ref().map(|set| Draft {
        uuid: format!("d{}", Uuid::new_v4()),
        team_id,
        kind: profile::DECLARATION,
        name: platform.profile_name().to_owned(),
        identifier: platform.identifier().to_owned(),
        scope: profile::SYSTEM,
        part: profile::CONFIGURATION,
        body: set.declaration(platform).into_bytes(),
        variables: Vec::new(),
        labels: vec![Named { name: platform.label().to_owned(), mode: INCLUDE_ANY }],
        managed: true,
        rollout_percent: 100,
        rollout_max_failures: None,
    });
    Ok(Change {
        name: platform.setting(),
        value: set.as_ref().map(OsUpdates::shown),
        profile: Some((profile::DECLARATION, platform.profile_name())),
        draft,
        activity: (platform.activity(), json!({ "minimum_version": version, "deadline": deadline })),
    })
}
