//! When Windows hosts install updates: a setting of a team that becomes a profile of SyncML.

use entities::profile;
use entities::profile::change::Draft;
use entities::team_setting::Change;
use protocol::windows::profile::os_updates::{MAX_DEADLINE_DAYS, MAX_GRACE_DAYS, NAME, OsUpdates};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::http::error::ApiError;

/// What the setting is called.
pub(super) const SETTING: &str = "windows_updates";

/// When updates are installed; both absent or null: whenever Windows likes.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct WindowsUpdates {
    /// Days from an update's release until it is installed, 0 to 30.
    deadline_days: Option<u32>,
    /// Days after that until the host restarts by itself, 0 to 7.
    grace_period_days: Option<u32>,
}

/// What is shown where nothing is set.
pub(super) fn unset() -> Value {
    shown(None)
}

fn shown(set: Option<OsUpdates>) -> Value {
    json!({ "deadline_days": set.map(|set| set.deadline_days), "grace_period_days": set.map(|set| set.grace_days) })
}

impl WindowsUpdates {
    /// The change of a team's setting.
    ///
    /// # Errors
    /// 422: one number without the other, or too large.
    pub(super) fn change(&self, team_id: i64) -> Result<Change, ApiError> {
        let set = self.checked()?;
        let draft = set.map(|set| Draft {
            uuid: format!("w{}", Uuid::new_v4()),
            team_id,
            kind: profile::WINDOWS,
            name: NAME.to_owned(),
            identifier: String::new(),
            scope: profile::SYSTEM,
            part: 0,
            body: set.profile().into_bytes(),
            variables: Vec::new(),
            labels: Vec::new(),
            managed: true,
            rollout_percent: 100,
            rollout_max_failures: None,
        });
        Ok(Change {
            name: SETTING,
            value: set.map(|set| shown(Some(set))),
            profile: Some((profile::WINDOWS, NAME)),
            draft,
            activity: ("edited_windows_updates", shown(set)),
        })
    }

    fn checked(&self) -> Result<Option<OsUpdates>, ApiError> {
        let wrong = |name: &str, most: u32| ApiError::invalid(name, format!("must be a number from 0 to {most}"));
        match (self.deadline_days, self.grace_period_days) {
            (None, None) => Ok(None),
            (Some(days), _) if days > MAX_DEADLINE_DAYS => Err(wrong("deadline_days", MAX_DEADLINE_DAYS)),
            (_, Some(days)) if days > MAX_GRACE_DAYS => Err(wrong("grace_period_days", MAX_GRACE_DAYS)),
            (Some(deadline_days), Some(grace_days)) => Ok(Some(OsUpdates { deadline_days, grace_days })),
            (None, _) => Err(ApiError::invalid("deadline_days", "is needed where grace_period_days is given")),
            (_, None) => Err(ApiError::invalid("grace_period_days", "is needed where deadline_days is given")),
        }
    }
}
