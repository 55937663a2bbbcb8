//! The profiles of a team, and how one is shown.

use std::collections::BTreeMap;

use actix_web::HttpResponse;
use actix_web::web::{Data, Query};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use entities::profile::{self, ACTIVATION, ASSET, DECLARATION, MANAGEMENT, MOBILECONFIG, USER, WINDOWS};
use entities::{Reader, profile_label, profile_list};
use protocol::time::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::labels;
use crate::http::admin::auth::Asking;
use crate::http::edge::AdminEdge;
use crate::http::error::ApiError;
use crate::http::paging::Paging;

/// Profiles of one page, where the request does not say.
const PAGE: u64 = 100;

/// Which profiles to list.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct ListQuery {
    /// The team; without it, or with 0, for hosts of no team.
    #[serde(default)]
    team_id: Option<String>,
    #[serde(flatten)]
    paging: Paging,
}

/// `GET …/configuration_profiles`: always by name.
pub async fn list(admin: Asking, query: Query<ListQuery>, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let ListQuery { team_id, paging } = query.into_inner();
    let team_id = team_id
        .filter(|id| !id.is_empty())
        .map(|id| id.parse::<i64>().map_err(|_| ApiError::invalid("team_id", "is not a number")));
    let team_id = super::team_of(&admin, &edge, team_id.transpose()?, None).await?;
    let (offset, limit) = paging.window(PAGE)?;
    let reader = &edge.front.reader;
    let profiles = profile::list(reader, team_id, offset, limit).await?;
    let meta = paging.meta(offset, limit, profiles.len(), profile_list::count(reader, team_id).await?);
    let shown = show(reader, &profiles).await?;
    Ok(HttpResponse::Ok().json(json!({ "profiles": shown, "meta": meta })))
}

/// Profiles with what stands beside them.
pub(super) async fn show(reader: &Reader, profiles: &[profile::Model]) -> Result<Vec<Value>, ApiError> {
    let labels = profile_label::of_profiles(reader, profiles.iter().map(|profile| profile.id).collect()).await?;
    let versions = profiles.iter().map(|profile| profile.content_id).collect();
    let checksums = profile_list::checksums(reader, versions).await?;
    Ok(profiles.iter().map(|profile| show_one(profile, &labels, &checksums)).collect())
}

fn show_one(
    profile: &profile::Model,
    labels: &BTreeMap<i64, Vec<profile_label::Model>>,
    checksums: &BTreeMap<i64, String>,
) -> Value {
    let moment = |at: i64| Timestamp::from_millis(at).to_rfc3339();
    let mut shown = Map::from_iter([
        ("profile_uuid".to_owned(), profile.uuid.as_str().into()),
        ("team_id".to_owned(), profile.team_id.into()),
        ("name".to_owned(), profile.name.as_str().into()),
        ("platform".to_owned(), platform(profile.kind).into()),
        ("created_at".to_owned(), moment(profile.created_at).into()),
        ("updated_at".to_owned(), moment(profile.uploaded_at).into()),
        ("uploaded_at".to_owned(), moment(profile.uploaded_at).into()),
        ("checksum".to_owned(), checksums.get(&profile.content_id).map(|hex| base64_of(hex)).into()),
        ("rollout_percent".to_owned(), profile.rollout_percent.into()),
        ("rollout_max_failures".to_owned(), profile.rollout_max_failures.into()),
        ("rollout_stopped_at".to_owned(), profile.rollout_stopped_at.map(moment).into()),
    ]);
    if profile.kind != WINDOWS {
        shown.insert("identifier".to_owned(), profile.identifier.as_str().into());
    }
    if profile.kind == MOBILECONFIG {
        shown.insert("scope".to_owned(), scope(profile.scope).into());
    }
    if profile.kind == DECLARATION {
        shown.insert("declaration_kind".to_owned(), part(profile.part).into());
    }
    shown.extend(labels::show(labels.get(&profile.id).map_or(&[], Vec::as_slice)));
    Value::Object(shown)
}

/// Fleet's word for whose profile it is.
const fn platform(kind: i16) -> &'static str {
    if kind == WINDOWS { "windows" } else { "darwin" }
}

/// Apple's word for a scope.
pub(super) const fn scope(scope: i16) -> &'static str {
    if scope == USER { "User" } else { "System" }
}

const fn part(part: i16) -> &'static str {
    match part {
        ASSET => "asset",
        ACTIVATION => "activation",
        MANAGEMENT => "management",
        _ => "configuration",
    }
}

/// Fleet shows checksums in Base64.
fn base64_of(hex: &str) -> String {
    let digit = |pair: &[u8]| str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok());
    STANDARD.encode(hex.as_bytes().chunks(2).filter_map(digit).collect::<Vec<u8>>())
}
