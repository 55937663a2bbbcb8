//! What happens while a device is set up: settings of a team, or of hosts in none. Whether people sign in at the identity
//! provider before they enroll a device, and who lets devices go on from Setup Assistant.

use std::collections::BTreeMap;

use actix_web::HttpResponse;
use actix_web::web::{Data, Payload};
use entities::team_setting::{Change, RELEASE_MANUALLY, SIGN_IN};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::auth::Asking;
use super::os_updates::{self, NO_TEAM};
use crate::http::edge::AdminEdge;
use crate::http::error::ApiError;
use crate::http::read_json;

/// The name of these settings among a team's.
pub(super) const NAME: &str = "macos_setup";

/// What is to be set; what is absent stays.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct SetupExperience {
    /// Whether people sign in at the identity provider before they enroll a device.
    enable_end_user_authentication: Option<bool>,
    /// Whether an admin lets devices go on from Setup Assistant, by the command `DeviceConfigured`.
    enable_release_device_manually: Option<bool>,
}

/// The same for one team, or for hosts of none.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct OfTeam {
    #[serde(default, alias = "fleet_id")]
    team_id: Option<i64>,
    enable_end_user_authentication: Option<bool>,
    enable_release_device_manually: Option<bool>,
}

impl SetupExperience {
    /// The same where it says everything: what is absent is not set.
    pub(super) fn whole(self) -> Self {
        Self {
            enable_end_user_authentication: Some(self.enable_end_user_authentication.unwrap_or_default()),
            enable_release_device_manually: Some(self.enable_release_device_manually.unwrap_or_default()),
        }
    }

    /// What is to be something else.
    pub(super) fn changes(&self) -> Vec<Change> {
        const SIGN_IN_TOLD: [&str; 2] = ["disabled_macos_setup_end_user_auth", "enabled_macos_setup_end_user_auth"];
        const RELEASE_TOLD: [&str; 2] = ["disabled_release_device_manually", "enabled_release_device_manually"];
        let change = |name, wish: Option<bool>, told: [&'static str; 2]| {
            wish.map(|wish| Change {
                name,
                value: wish.then_some(true.into()),
                profile: None,
                draft: None,
                activity: (told[usize::from(wish)], json!({})),
            })
        };
        let sign_in = change(SIGN_IN, self.enable_end_user_authentication, SIGN_IN_TOLD);
        let release = change(RELEASE_MANUALLY, self.enable_release_device_manually, RELEASE_TOLD);
        sign_in.into_iter().chain(release).collect()
    }
}

/// `PATCH …/setup_experience`
pub async fn change(admin: Asking, payload: Payload, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let OfTeam { team_id, enable_end_user_authentication, enable_release_device_manually } =
        read_json(&edge.budget, payload).await?;
    // 0 is Fleet's name for "no team".
    let team_id = team_id.filter(|id| *id != NO_TEAM);
    admin.demand(team_id)?;
    let wish = SetupExperience { enable_end_user_authentication, enable_release_device_manually };
    os_updates::save(&admin, &edge, team_id.unwrap_or(NO_TEAM), wish.changes()).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// What is set for a team, as Fleet shows it.
pub(super) fn shown(of_team: Option<&BTreeMap<String, Value>>) -> Value {
    let set = |name| of_team.and_then(|set| set.get(name)).cloned().unwrap_or(Value::Bool(false));
    json!({ SIGN_IN: set(SIGN_IN), RELEASE_MANUALLY: set(RELEASE_MANUALLY) })
}

/// Demands that what is to be set can be done.
///
/// # Errors
/// 422: nobody could sign in.
pub(super) fn demand_possible(edge: &AdminEdge, changes: &[Change]) -> Result<(), ApiError> {
    let demands = changes.iter().any(|change| change.name == SIGN_IN && change.value.is_some());
    if demands && edge.end_user_provider.is_none() {
        let why = "nobody could sign in: set end_user_authentication.issuer first (see OPERATIONS.md, Sign-in before enrollment)";
        return Err(ApiError::invalid(SIGN_IN, why));
    }
    Ok(())
}
