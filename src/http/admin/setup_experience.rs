//! What happens while a device is set up: settings of a team, or of hosts in none. So far: whether people sign in at the identity
//! provider before they enroll a device.

use std::collections::BTreeMap;

use actix_web::HttpResponse;
use actix_web::web::{Data, Payload};
use entities::team_setting::{Change, SIGN_IN};
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
}

/// The same for one team, or for hosts of none.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct OfTeam {
    #[serde(default, alias = "fleet_id")]
    team_id: Option<i64>,
    enable_end_user_authentication: Option<bool>,
}

impl SetupExperience {
    /// The same where it says everything: what is absent is not set.
    pub(super) fn whole(self) -> Self {
        Self { enable_end_user_authentication: Some(self.enable_end_user_authentication.unwrap_or_default()) }
    }

    /// What is to be something else.
    pub(super) fn changes(&self) -> Option<Change> {
        let demands = self.enable_end_user_authentication?;
        let told = if demands { "enabled_macos_setup_end_user_auth" } else { "disabled_macos_setup_end_user_auth" };
        Some(Change {
            name: SIGN_IN,
            value: demands.then_some(true.into()),
            profile: None,
            draft: None,
            activity: (told, json!({})),
        })
    }
}

/// `PATCH …/setup_experience`
pub async fn change(admin: Asking, payload: Payload, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let OfTeam { team_id, enable_end_user_authentication } = read_json(&edge.budget, payload).await?;
    // 0 is Fleet's name for "no team".
    let team_id = team_id.filter(|id| *id != NO_TEAM);
    admin.demand(team_id)?;
    let wish = SetupExperience { enable_end_user_authentication };
    os_updates::save(&admin, &edge, team_id.unwrap_or(NO_TEAM), wish.changes().into_iter().collect()).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// What is set for a team, as Fleet shows it.
pub(super) fn shown(of_team: Option<&BTreeMap<String, Value>>) -> Value {
    let demands = of_team.and_then(|set| set.get(SIGN_IN)).cloned();
    json!({ SIGN_IN: demands.unwrap_or(Value::Bool(false)) })
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
