//! Which hosts a request means, in Fleet's words: in the query of a list, and in the body of what is done to many.

use entities::host;
use entities::host_search::Filter;
use protocol::time::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use super::hosts::ONLINE;
use crate::http::error::ApiError;

/// The only MDM that hosts are known to be managed by: this one, by its number and name.
pub(super) const SOLUTION: (i64, &str) = (1, "Rookery");
/// Fleet calls a host new for so long.
pub(super) const NEW: std::time::Duration = std::time::Duration::from_secs(24 * 3600);
/// Fleet calls a host missing that was not seen for so long.
pub(super) const MISSING: std::time::Duration = std::time::Duration::from_secs(30 * 24 * 3600);

/// The parameters by which hosts are chosen.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub(in crate::http) struct FilterQuery {
    query: String,
    #[serde(deserialize_with = "number")]
    team_id: Option<i64>,
    status: String,
    mdm_enrollment_status: String,
    #[serde(deserialize_with = "number")]
    mdm_id: Option<i64>,
    mdm_name: String,
    #[serde(deserialize_with = "flag")]
    connected_to_fleet: Option<bool>,
    platform: String,
    #[serde(deserialize_with = "number")]
    pub(super) label_id: Option<i64>,
}

/// The same in the body of what is done to many: a name that is not understood must not mean more hosts than were wanted.
#[derive(Clone, Debug, Default, JsonSchema)]
pub(super) struct Filters(pub(super) FilterQuery);

/// What filters may be called.
const NAMES: [&str; 9] = [
    "query",
    "team_id",
    "status",
    "mdm_enrollment_status",
    "mdm_id",
    "mdm_name",
    "connected_to_fleet",
    "platform",
    "label_id",
];

/// What no host's management is in.
const NO_STATUS: i16 = i16::MIN;

impl<'de> Deserialize<'de> for Filters {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let given = serde_json::Map::deserialize(deserializer)?;
        if let Some(unknown) = given.keys().find(|name| !NAMES.contains(&name.as_str())) {
            return Err(D::Error::custom(format!("there is no filter {unknown:?}; there are {}", NAMES.join(", "))));
        }
        serde_json::from_value(given.into()).map(Self).map_err(D::Error::custom)
    }
}

impl FilterQuery {
    /// The filter that is meant, as of now.
    ///
    /// # Errors
    /// A status that does not exist.
    pub(super) fn filter(self, now: Timestamp) -> Result<Filter, ApiError> {
        let mut filter = Filter { text: self.query, team: self.team_id, label: self.label_id, ..Filter::default() };
        filter.platforms = self.platform.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        filter.connected = self.connected_to_fleet;
        filter.mdm_statuses = mdm_statuses(&self.mdm_enrollment_status)?;
        if self.mdm_id.is_some() || !self.mdm_name.is_empty() {
            let ours =
                self.mdm_id.is_none_or(|id| id == SOLUTION.0) && ["", SOLUTION.1].contains(&self.mdm_name.as_str());
            let managed = mdm_statuses("enrolled")?;
            let wanted = |status: &i16| filter.mdm_statuses.is_empty() || filter.mdm_statuses.contains(status);
            filter.mdm_statuses = managed.into_iter().filter(|status| ours && wanted(status)).collect();
            if filter.mdm_statuses.is_empty() {
                filter.mdm_statuses.push(NO_STATUS);
            }
        }
        match self.status.as_str() {
            "" => {}
            "online" => filter.seen_since = Some(now.minus(ONLINE).millis()),
            "offline" => filter.unseen_since = Some(now.minus(ONLINE).millis()),
            "new" => filter.created_since = Some(now.minus(NEW).millis()),
            "mia" | "missing" => filter.unseen_since = Some(now.minus(MISSING).millis()),
            _ => return Err(ApiError::invalid("status", "use online, offline, new or missing")),
        }
        Ok(filter)
    }
}

fn mdm_statuses(name: &str) -> Result<Vec<i16>, ApiError> {
    Ok(match name {
        "" => Vec::new(),
        "manual" => vec![host::ON_MANUAL],
        "automatic" => vec![host::ON_AUTOMATIC],
        "personal" => vec![host::ON_PERSONAL],
        "enrolled" => vec![host::ON_MANUAL, host::ON_AUTOMATIC, host::ON_PERSONAL],
        "pending" => vec![host::PENDING],
        "unenrolled" => vec![host::OFF],
        _ => {
            let reason = "use manual, automatic, personal, enrolled, pending or unenrolled";
            return Err(ApiError::invalid("mdm_enrollment_status", reason));
        }
    })
}

/// Yes or no, or one of them as text.
fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Flag(bool),
        Text(String),
    }
    match Option::<Either>::deserialize(deserializer)? {
        None => Ok(None),
        Some(Either::Flag(flag)) => Ok(Some(flag)),
        Some(Either::Text(text)) => match text.as_str() {
            "" => Ok(None),
            "1" | "true" => Ok(Some(true)),
            "0" | "false" => Ok(Some(false)),
            _ => Err(serde::de::Error::custom("use true or false")),
        },
    }
}

/// A number, or a number as text: in a query everything is text.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Number(i64),
        Text(String),
    }
    match Option::<Either>::deserialize(deserializer)? {
        None => Ok(None),
        Some(Either::Number(number)) => Ok(Some(number)),
        Some(Either::Text(text)) if text.is_empty() => Ok(None),
        Some(Either::Text(text)) => text.parse().map(Some).map_err(serde::de::Error::custom),
    }
}
