//! One profile: look at it, download it, change its roll-out, delete it.

use actix_web::HttpResponse;
use actix_web::http::header::{CONTENT_DISPOSITION, X_CONTENT_TYPE_OPTIONS};
use actix_web::web::{Data, Path, Payload, Query};
use actors::profiles::admin::{Delete, RollOut};
use entities::profile::rollout::Rollout;
use entities::profile::{self, DECLARATION, MOBILECONFIG};
use entities::profile_content;
use protocol::apple;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use serde_json::json;

use super::upload::percent;
use super::{found, list, team_id};
use crate::http::admin::auth::Asking;
use crate::http::admin::permission::Permission::ProfilesWrite;
use crate::http::edge::AdminEdge;
use crate::http::error::ApiError;
use crate::http::{DEADLINE, read_json};

/// How to look at a profile.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct MediaQuery {
    /// `media` for the file itself.
    #[serde(default)]
    alt: String,
}

/// How a profile is rolled out from now on; what is absent stays.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// The share of hosts that have it, in percent.
    rollout_percent: Option<i64>,
    /// On how many hosts it may fail before it stops by itself; null for any number.
    #[serde(default, deserialize_with = "present")]
    rollout_max_failures: Option<Option<i64>>,
    /// Whether it stands still.
    rollout_stopped: Option<bool>,
}

/// Tells `null` from what is absent.
fn present<'de, D: Deserializer<'de>>(reader: D) -> Result<Option<Option<i64>>, D::Error> {
    Option::deserialize(reader).map(Some)
}

/// `GET …/configuration_profiles/{uuid}`
pub async fn by_uuid(
    admin: Asking,
    uuid: Path<(String, String)>,
    query: Query<MediaQuery>,
    edge: Data<AdminEdge>,
) -> Result<HttpResponse, ApiError> {
    let profile = found(&admin, &edge, uuid.into_inner().1).await?;
    match query.alt.as_str() {
        "" => answer(&edge, profile).await,
        "media" => {
            // A file may hold a password that somebody wrote into it: who only reads is not shown it.
            let may = admin.extent_of(ProfilesWrite)?.holds(team_id(&profile));
            if may { download(&edge, &profile).await } else { Err(ApiError::forbidden(ProfilesWrite)) }
        }
        _ => Err(ApiError::invalid("alt", "is media, or absent")),
    }
}

/// `DELETE …/configuration_profiles/{uuid}`
pub async fn delete(
    admin: Asking,
    uuid: Path<(String, String)>,
    edge: Data<AdminEdge>,
) -> Result<HttpResponse, ApiError> {
    let profile = found(&admin, &edge, uuid.into_inner().1).await?;
    if profile.managed {
        return Err(ApiError::bad_request(
            "The server made this profile by itself: change the setting that it follows from",
        ));
    }
    let delete = Delete { uuid: profile.uuid, asked_by: admin.name.clone() };
    edge.front.profiles.ask(delete, DEADLINE).await?;
    Ok(HttpResponse::Ok().json(json!({})))
}

/// `PATCH …/configuration_profiles/{uuid}`: widens, narrows, stops or resumes a roll-out; ours.
pub async fn change(
    admin: Asking,
    uuid: Path<(String, String)>,
    payload: Payload,
    edge: Data<AdminEdge>,
) -> Result<HttpResponse, ApiError> {
    let change: Change = read_json(&edge.budget, payload).await?;
    let profile = found(&admin, &edge, uuid.into_inner().1).await?;
    let max_failures = change.rollout_max_failures.unwrap_or(profile.rollout_max_failures);
    if max_failures.is_some_and(|most| most < 0) {
        return Err(ApiError::invalid("rollout_max_failures", "is a number from 0 on, or null"));
    }
    let rollout = Rollout {
        percent: change.rollout_percent.map_or(Ok(profile.rollout_percent), percent)?,
        max_failures,
        stopped: change.rollout_stopped.unwrap_or(profile.rollout_stopped_at.is_some()),
    };
    let wish = RollOut { uuid: profile.uuid, rollout, asked_by: admin.name.clone() };
    let changed = edge.front.profiles.ask(wish, DEADLINE).await?;
    answer(&edge, changed).await
}

async fn answer(edge: &AdminEdge, profile: profile::Model) -> Result<HttpResponse, ApiError> {
    let shown = list::show(&edge.front.reader, std::slice::from_ref(&profile)).await?;
    Ok(HttpResponse::Ok().json(shown.into_iter().next()))
}

/// The file as it was uploaded, with its placeholders.
async fn download(edge: &AdminEdge, profile: &profile::Model) -> Result<HttpResponse, ApiError> {
    let body = profile_content::body(&edge.front.reader, profile.content_id).await?.ok_or_else(super::unknown)?;
    let (content_type, extension) = match profile.kind {
        MOBILECONFIG => (apple::profile::CONTENT_TYPE, "mobileconfig"),
        DECLARATION => ("application/json", "json"),
        _ => ("application/octet-stream", "xml"),
    };
    let day = edge.front.clock.now().to_rfc3339().chars().take(10).collect::<String>();
    let plain = |letter: char| if letter.is_ascii_alphanumeric() || ".-()".contains(letter) { letter } else { '_' };
    let name: String = profile.name.chars().map(plain).collect();
    Ok(HttpResponse::Ok()
        .content_type(content_type)
        .insert_header((CONTENT_DISPOSITION, format!("attachment; filename=\"{day}_{name}.{extension}\"")))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .body(body))
}
