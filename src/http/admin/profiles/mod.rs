//! Profiles and declarations: upload, list and delete them, replace those of a team, see how far they have come, send them again.
//!
//! A file becomes a [`Draft`](entities::profile::change::Draft) in `checked`; nothing else of the edge reads one.

mod batch;
mod checked;
mod labels;
mod list;
mod one;
mod resend;
mod status;
mod upload;

use actix_web::http::StatusCode;
use entities::profile::change::Saved;
use entities::{profile, team};

pub(in crate::http) use batch::Set;
pub use batch::{BatchQuery, replace};
pub(super) use batch::{Entry, MAX_SET_BYTES, drafts, shown};
pub use list::{ListQuery, list};
pub use one::{Change, MediaQuery, by_uuid, change, delete};
pub(in crate::http) use resend::resend_own;
pub use resend::{Batch, resend, resend_failed};
pub(super) use status::shown_of_host;
pub use status::{TeamQuery, of_host, of_profile, summary};
pub use upload::upload;

use super::auth::Admin;
use crate::http::edge::AdminEdge;
use crate::http::error::ApiError;

/// The team that a request names: by number or by name, neither for hosts of none. 0 is Fleet's number for these, here and in rows.
pub(super) async fn team_of(
    admin: &Admin,
    edge: &AdminEdge,
    id: Option<i64>,
    name: Option<String>,
) -> Result<i64, ApiError> {
    let unknown = || ApiError::not_found("Team was not found in the datastore");
    match (id.filter(|id| *id != 0), name) {
        (Some(_), Some(_)) => Err(ApiError::invalid("team_id", "name a team by team_id or by team_name, not by both")),
        (None, None) => admin.demand(None).map(|()| 0),
        (Some(id), None) => {
            admin.demand(Some(id))?;
            team::by_id(&edge.front.reader, id).await?.map(|team| team.id).ok_or_else(unknown)
        }
        (None, Some(name)) => {
            let folded = name.trim().to_lowercase();
            let found = team::list(&edge.front.reader).await?.into_iter().find(|team| team.folded_name == folded);
            // Whoever may not see a team is not told whether there is one.
            admin.demand(found.as_ref().map(|team| team.id))?;
            found.map(|team| team.id).ok_or_else(unknown)
        }
    }
}

/// The team of a profile, as permissions know it.
const fn team_id(profile: &profile::Model) -> Option<i64> {
    match profile.team_id {
        0 => None,
        id => Some(id),
    }
}

/// The profile with this UUID, which an admin made and this one may see.
async fn found(admin: &Admin, edge: &AdminEdge, uuid: String) -> Result<profile::Model, ApiError> {
    let profile = profile::by_uuid(&edge.front.reader, uuid).await?.ok_or_else(unknown)?;
    admin.demand(team_id(&profile))?;
    Ok(profile)
}

fn unknown() -> ApiError {
    ApiError::not_found("Configuration profile was not found in the datastore")
}

/// Why a checked profile was not stored.
pub(super) fn refused(saved: Saved) -> ApiError {
    let names = |names: Vec<String>| names.join(", ");
    match saved {
        Saved::NameTaken => ApiError::conflict("Another profile of this team has this name"),
        Saved::IdentifierTaken => ApiError::conflict("Another profile of this team has this identifier"),
        Saved::UnknownLabels(unknown) => {
            ApiError::because(StatusCode::BAD_REQUEST, "labels", format!("there are no labels {}", names(unknown)))
        }
        Saved::UnknownSecrets(unknown) => {
            let named = names(unknown.into_iter().map(|name| format!("$FLEET_SECRET_{name}")).collect());
            ApiError::invalid("profile", format!("there are no secrets {named}: add them first"))
        }
        Saved::NoTeam => ApiError::not_found("Team was not found in the datastore"),
        Saved::Done(profile) => ApiError::conflict(format!("{} is stored already", profile.name)),
    }
}
