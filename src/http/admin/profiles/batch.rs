//! All profiles of a team are replaced at once, or it is said what that would change.

use std::collections::HashSet;

use actix_web::HttpResponse;
use actix_web::web::{Data, Payload, Query};
use actors::profiles::admin::ReplaceSet;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use entities::profile::change::Draft;
use entities::profile::set::Plan;
use protocol::upload::{MAX_UPLOAD_BYTES, UploadKind, sniff};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::checked::{self, Way};
use super::labels::{self, MODES};
use super::upload::percent;
use crate::http::admin::auth::Asking;
use crate::http::edge::AdminEdge;
use crate::http::error::ApiError;
use crate::http::{DEADLINE, read_admin};

/// The largest set, in bytes of its JSON.
pub(in crate::http) const MAX_SET_BYTES: usize = 32 * 1024 * 1024;
/// Profiles of one team at most.
const MAX_PROFILES: usize = 1_000;

/// Whose profiles are replaced, and whether at all.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct BatchQuery {
    /// The team; without one, or with 0, for hosts of no team.
    team_id: Option<i64>,
    /// The same by its name.
    team_name: Option<String>,
    /// Only says what would change.
    #[serde(default)]
    dry_run: bool,
    /// Says what changed; ours.
    #[serde(default)]
    plan: bool,
}

/// The profiles that the team has from now on.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Set {
    /// A list of profiles, or an object from names to Base64.
    #[serde(default)]
    profiles: Value,
}

/// One profile of a set.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Entry {
    /// For a mobileconfig its `PayloadDisplayName`, or nothing.
    #[serde(default)]
    pub(in crate::http) name: String,
    /// The file in Base64.
    #[serde(alias = "profile")]
    pub(in crate::http) contents: String,
    /// Fleet's first name for `labels_include_all`.
    #[serde(default)]
    pub(in crate::http) labels: Option<Vec<String>>,
    #[serde(default)]
    pub(in crate::http) labels_include_all: Option<Vec<String>>,
    #[serde(default)]
    pub(in crate::http) labels_include_any: Option<Vec<String>>,
    #[serde(default)]
    pub(in crate::http) labels_exclude_any: Option<Vec<String>>,
    /// The share of hosts that have it at first, should it be new; ours.
    #[serde(default)]
    pub(in crate::http) rollout_percent: Option<i64>,
    /// On how many hosts it may fail before it stops by itself; ours.
    #[serde(default)]
    pub(in crate::http) rollout_max_failures: Option<u32>,
}

/// `POST …/mdm/profiles/batch`
pub async fn replace(
    admin: Asking,
    query: Query<BatchQuery>,
    payload: Payload,
    edge: Data<AdminEdge>,
) -> Result<HttpResponse, ApiError> {
    let BatchQuery { team_id, team_name, dry_run, plan } = query.into_inner();
    let body = read_admin(&edge.budget, payload, MAX_SET_BYTES).await?;
    let team_id = super::team_of(&admin, &edge, team_id, team_name.filter(|name| !name.is_empty())).await?;
    let set: Set = serde_json::from_slice(&body).map_err(|error| ApiError::bad_request(error.to_string()))?;
    let drafts = drafts(set.entries()?, team_id)?;
    let replace = ReplaceSet { team_id, drafts, dry_run, asked_by: admin.name.clone() };
    let planned = edge.front.profiles.ask(replace, DEADLINE).await?.map_err(super::refused)?;
    match dry_run || plan {
        true => Ok(HttpResponse::Ok().json(shown(&planned))),
        false => Ok(HttpResponse::NoContent().finish()),
    }
}

/// What a replacement changes.
pub(in crate::http) fn shown(plan: &Plan) -> Value {
    json!({ "added": plan.added, "changed": plan.changed, "removed": plan.removed, "unchanged": plan.unchanged })
}

/// Checks all entries of a set.
///
/// # Errors
/// 422: the first entry that is wrong, by its number and name.
pub(in crate::http) fn drafts(entries: Vec<Entry>, team_id: i64) -> Result<Vec<Draft>, ApiError> {
    if entries.len() > MAX_PROFILES {
        return Err(ApiError::invalid("profiles", format!("at most {MAX_PROFILES} profiles")));
    }
    let (mut names, mut identifiers) = (HashSet::new(), HashSet::new());
    let mut drafts = Vec::with_capacity(entries.len());
    for (index, entry) in entries.into_iter().enumerate() {
        let place = format!("profiles[{index}]");
        let name = entry.name.clone();
        let wrong = |reason: String| {
            let shown = if name.is_empty() { reason.clone() } else { format!("{name}: {reason}") };
            ApiError::invalid(&place, shown)
        };
        let draft = entry.into_draft(team_id).map_err(wrong)?;
        if !names.insert(draft.name.clone()) {
            return Err(wrong(format!("another profile is called {:?}, too", draft.name)));
        }
        if !draft.identifier.is_empty() && !identifiers.insert((draft.kind, draft.identifier.clone())) {
            return Err(wrong(format!("another profile has the identifier {:?}, too", draft.identifier)));
        }
        drafts.push(draft);
    }
    Ok(drafts)
}

impl Set {
    fn entries(self) -> Result<Vec<Entry>, ApiError> {
        let wrong = |error: serde_json::Error| ApiError::bad_request(format!("profiles: {error}"));
        match self.profiles {
            // Fleet's tools say null for none.
            Value::Null => Ok(Vec::new()),
            Value::Object(named) => named
                .into_iter()
                .map(|(name, contents)| {
                    let contents = serde_json::from_value(contents).map_err(wrong)?;
                    Ok(Entry { name, contents, ..Entry::default() })
                })
                .collect(),
            list => serde_json::from_value(list).map_err(wrong),
        }
    }
}

impl Entry {
    fn into_draft(self, team_id: i64) -> Result<Draft, String> {
        let body = STANDARD.decode(&self.contents).map_err(|_| "contents is not Base64".to_owned())?;
        if body.len() > MAX_UPLOAD_BYTES {
            return Err(format!("the file is larger than {MAX_UPLOAD_BYTES} bytes"));
        }
        let kind =
            sniff(&body, None).ok_or_else(|| "it is neither a mobileconfig, a declaration nor SyncML".to_owned())?;
        if self.name.is_empty() && kind != UploadKind::AppleProfile {
            return Err("it has no name".to_owned());
        }
        let lists = [&self.labels_include_all, &self.labels_include_any, &self.labels_exclude_any, &self.labels];
        let named = MODES.iter().zip(lists).flat_map(|((_, mode), names)| {
            names.iter().flatten().map(|name| (*mode, name.clone())).collect::<Vec<_>>()
        });
        let way = Way {
            team_id,
            labels: labels::checked(named).map_err(|error| error.reason())?,
            rollout_percent: percent(self.rollout_percent.unwrap_or(100)).map_err(|error| error.reason())?,
            rollout_max_failures: self.rollout_max_failures.map(i64::from),
        };
        checked::draft(&body, kind, Some(self.name.as_str()).filter(|name| !name.is_empty()), way)
    }
}
