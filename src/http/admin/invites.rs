//! Invitations: who may become a user, told by mail. What is in the letter works once, for its address and its roles alone.

use std::collections::HashMap;
use std::time::Instant;

use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use actors::people::{Accept, Invite, TakeBack};
use entities::invite::{self, Offer};
use entities::role::Role;
use entities::user::User;
use protocol::time::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::auth::{Asking, Kind, hash_of, new_key};
use super::people::{self, TeamRole};
use super::sign_in::letter;
use crate::http::edge::AdminEdge;
use crate::http::error::ApiError;
use crate::http::{DEADLINE, read_json, read_small_json};

/// Invitations that are shown at most.
const MOST: u64 = 1000;

/// Who is invited to be what.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Create {
    email: String,
    name: String,
    global_role: Option<String>,
    teams: Option<Vec<TeamRole>>,
    #[serde(default)]
    sso_enabled: bool,
}

/// Who accepts.
#[derive(Deserialize, JsonSchema)]
pub(in crate::http) struct Accepting {
    pub(super) email: String,
    pub(super) name: String,
    pub(super) invite_token: String,
    pub(super) password: Option<String>,
    pub(super) password_confirmation: Option<String>,
}

/// `GET …/invites`
pub async fn list(admin: Asking, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let mut invites = invite::list(&edge.front.reader, edge.front.clock.now().millis(), MOST).await?;
    invites.retain(|invite| people::demand(&admin, &invite.roles()).is_ok());
    let names = people::team_names(&edge.front.reader).await?;
    let shown: Vec<Value> = invites.iter().map(|invite| show(invite, &names)).collect();
    Ok(HttpResponse::Ok().json(json!({ "invites": shown })))
}

/// `POST …/invites`
pub async fn create(admin: Asking, payload: Payload, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let new: Create = read_json(&edge.budget, payload).await?;
    let roles = people::roles(new.global_role.as_deref(), new.teams.as_deref())?;
    people::demand(&admin, &roles)?;
    let (name, email) = (people::name(&new.name)?, people::email(&new.email)?);
    if !edge.front.mail_config.is_on() {
        return Err(ApiError::no_mail());
    }
    let (key, hash) = new_key(Kind::Invite).map_err(|_| ApiError::no_randomness())?;
    let text = format!(
        "{} invites you to manage devices of {}.\r\n\r\nAccept here, within five days:\r\n{}/login/invite/{key}\r\n",
        admin.full_name, edge.front.authority_config.organization, edge.url
    );
    let letter = letter(&edge, &email, "You are invited to Rookery", text, invite::LASTS);
    let offer = Offer { email, name, roles, sso_enabled: new.sso_enabled, hash, letter };
    let invited = edge.front.people.ask(Invite { offer, asked_by: admin.name.clone() }, DEADLINE).await?;
    answer(&edge, &invited).await
}

/// `DELETE …/invites/{id}`
pub async fn delete(admin: Asking, id: Path<(String, i64)>, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let now = edge.front.clock.now().millis();
    let invite = invite::by_id(&edge.front.reader, id.into_inner().1, now).await?.ok_or_else(unknown)?;
    people::demand(&admin, &invite.roles())?;
    edge.front.people.ask(TakeBack { id: invite.id, asked_by: admin.name.clone() }, DEADLINE).await?;
    Ok(HttpResponse::Ok().json(json!({})))
}

/// `GET …/invites/{token}`: whoever was invited looks at it.
pub async fn by_key(
    request: HttpRequest,
    key: Path<(String, String)>,
    edge: Data<AdminEdge>,
) -> Result<HttpResponse, ApiError> {
    let invite = find(&request, &edge, &key.into_inner().1).await?;
    answer(&edge, &invite).await
}

/// `POST …/users`: whoever was invited accepts.
pub async fn accept(request: HttpRequest, payload: Payload, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let accepting: Accepting = read_small_json(&edge.budget, payload).await?;
    let user = take(&request, &edge, accepting).await?;
    let names = people::team_names(&edge.front.reader).await?;
    Ok(HttpResponse::Ok().json(json!({ "user": people::show(&user, &names) })))
}

/// The invitation of whoever shows this.
pub(super) async fn find(request: &HttpRequest, edge: &AdminEdge, key: &str) -> Result<invite::Model, ApiError> {
    edge.limiter.count(request, None, Instant::now()).map_err(ApiError::too_often)?;
    let now = edge.front.clock.now().millis();
    invite::by_hash(&edge.front.reader, hash_of(key), now).await?.ok_or_else(unknown)
}

/// Makes a user of whoever was invited.
pub(super) async fn take(request: &HttpRequest, edge: &AdminEdge, new: Accepting) -> Result<User, ApiError> {
    edge.limiter.count(request, None, Instant::now()).map_err(ApiError::too_often)?;
    if new.password != new.password_confirmation {
        return Err(ApiError::invalid("password_confirmation", "is another one"));
    }
    let who = (people::email(&new.email)?, people::name(&new.name)?);
    let password_hash = match new.password {
        Some(password) => Some(edge.passwords.hash(password, &who.0).await?),
        None => None,
    };
    Ok(edge.front.people.ask(Accept { hash: hash_of(&new.invite_token), who, password_hash }, DEADLINE).await?)
}

async fn answer(edge: &AdminEdge, invite: &invite::Model) -> Result<HttpResponse, ApiError> {
    let names = people::team_names(&edge.front.reader).await?;
    Ok(HttpResponse::Ok().json(json!({ "invite": show(invite, &names) })))
}

fn show(invite: &invite::Model, names: &HashMap<i64, String>) -> Value {
    let roles = invite.roles();
    json!({
        "id": invite.id,
        "email": invite.email,
        "name": invite.name,
        "global_role": roles.everywhere.map(Role::as_str),
        "teams": people::show_teams(&roles, names),
        "sso_enabled": invite.sso_enabled,
        "invited_by": invite.invited_by,
        "created_at": Timestamp::from_millis(invite.created_at).to_rfc3339(),
        "expires_at": Timestamp::from_millis(invite.expires_at).to_rfc3339(),
    })
}

fn unknown() -> ApiError {
    ApiError::not_found("This invitation does not work, or not any more: ask for another one")
}
