//! Users: who may use this API. An admin of a team looks after those alone who are in no other team.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path, Payload, Query};
use actors::people::{DeleteUser, EndSessions, MakeToken, SaveUser};
use entities::session::{self, Which};
use entities::user::change::Wish;
use entities::user::{self, Search, User};
use entities::{Reader, api_token};
use protocol::time::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::auth::{Admin, Asking, Kind, new_key};
use super::people::{self, TeamRole};
use super::reach;
use crate::http::edge::AdminEdge;
use crate::http::error::ApiError;
use crate::http::paging::Paging;
use crate::http::{DEADLINE, read_json};

/// A user that a path names.
type Id = Path<(String, i64)>;

/// Which users to list.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct ListQuery {
    #[serde(default)]
    query: String,
    #[serde(default)]
    order_direction: String,
    team_id: Option<i64>,
    #[serde(flatten)]
    paging: Paging,
}

/// A new user.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Create {
    name: String,
    email: String,
    password: Option<String>,
    global_role: Option<String>,
    teams: Option<Vec<TeamRole>>,
    #[serde(default)]
    api_only: bool,
    #[serde(default)]
    sso_enabled: bool,
    /// Fleet's default: whoever makes an account knows its password, so its owner chooses another one.
    admin_forced_password_reset: Option<bool>,
}

/// What a user is to be; what is absent stays.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Change {
    name: Option<String>,
    email: Option<String>,
    global_role: Option<String>,
    teams: Option<Vec<TeamRole>>,
    sso_enabled: Option<bool>,
    /// Ours: may do nothing for the time being, has no session and no token left.
    disabled: Option<bool>,
}

/// Whether somebody must choose another password.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Require {
    require: bool,
}

/// `GET …/users`
pub async fn list(admin: Asking, query: Query<ListQuery>, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let ListQuery { query: text, order_direction, team_id, paging } = query.into_inner();
    let (offset, limit) = paging.window(100)?;
    let teams = match team_id {
        Some(team) => admin.demand(Some(team)).map(|()| Some(vec![team]))?,
        None => reach::teams(&admin)?,
    };
    let search = Search { text, teams, descending: order_direction == "desc", offset, limit };
    let names = people::team_names(&edge.front.reader).await?;
    let users = user::list(&edge.front.reader, search).await?;
    let shown: Vec<Value> = users.iter().map(|user| people::show(user, &names)).collect();
    Ok(HttpResponse::Ok().json(json!({ "users": shown })))
}

/// `GET …/users/{id}`
pub async fn by_id(admin: Asking, id: Id, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let user = found(&admin, &edge.front.reader, id.into_inner().1).await?;
    answer(&edge, &user, None).await
}

/// `POST …/users/admin`: makes a user; a program gets a token with it, which is shown this once.
pub async fn create(admin: Asking, payload: Payload, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let new: Create = read_json(&edge.budget, payload).await?;
    let roles = people::roles(new.global_role.as_deref(), new.teams.as_deref())?;
    people::demand(&admin, &roles)?;
    let (name, email) = (people::name(&new.name)?, people::email(&new.email)?);
    if new.password.is_none() != (new.sso_enabled || new.api_only) || new.sso_enabled && new.api_only {
        let reason = "people need a password, unless sso_enabled; programs (api_only) have none";
        return Err(ApiError::invalid("password", reason));
    }
    let password_hash = match new.password {
        Some(password) => Some(edge.passwords.hash(password, &email).await?),
        None => None,
    };
    let force_password_reset = password_hash.is_some() && new.admin_forced_password_reset.unwrap_or(true);
    let (api_only, sso_enabled) = (new.api_only, new.sso_enabled);
    let wish = Wish { email, name, roles, password_hash, api_only, sso_enabled, force_password_reset, disabled: false };
    let user = save(&admin, &edge, None, wish).await?;
    let token = if api_only { Some(first_token(&admin, &edge, &user).await?) } else { None };
    answer(&edge, &user, token).await
}

/// `PATCH …/users/{id}`
pub async fn change(admin: Asking, id: Id, payload: Payload, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let change: Change = read_json(&edge.budget, payload).await?;
    let user = found(&admin, &edge.front.reader, id.into_inner().1).await?;
    let mut wish = Wish::of(&user);
    if change.global_role.is_some() || change.teams.is_some() {
        wish.roles = people::roles(change.global_role.as_deref(), change.teams.as_deref())?;
        people::demand(&admin, &wish.roles)?;
    }
    if let Some(name) = change.name {
        wish.name = people::name(&name)?;
    }
    if let Some(email) = change.email {
        wish.email = people::email(&email)?;
    }
    wish.sso_enabled = change.sso_enabled.unwrap_or(wish.sso_enabled);
    wish.disabled = change.disabled.unwrap_or(wish.disabled);
    // Who signs in elsewhere has no password to choose.
    wish.force_password_reset &= !wish.sso_enabled;
    if wish.sso_enabled && wish.api_only {
        return Err(ApiError::invalid("sso_enabled", "programs do not sign in"));
    }
    let user = save(&admin, &edge, Some(user.row.id), wish).await?;
    answer(&edge, &user, None).await
}

/// `DELETE …/users/{id}`
pub async fn delete(admin: Asking, id: Id, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let user = found(&admin, &edge.front.reader, id.into_inner().1).await?;
    let delete = DeleteUser { id: user.row.id, asked_by: admin.name.clone() };
    edge.front.people.ask(delete, DEADLINE).await?;
    edge.remembered.forget();
    Ok(HttpResponse::Ok().json(json!({})))
}

/// `POST …/users/{id}/require_password_reset`: the user's sessions end, and the next one is for a new password alone.
pub async fn require_reset(
    admin: Asking,
    id: Id,
    payload: Payload,
    edge: Data<AdminEdge>,
) -> Result<HttpResponse, ApiError> {
    let Require { require } = read_json(&edge.budget, payload).await?;
    let user = found(&admin, &edge.front.reader, id.into_inner().1).await?;
    if user.row.password_hash.is_none() {
        return Err(ApiError::invalid("id", "this user has no password"));
    }
    let wish = Wish { force_password_reset: require, ..Wish::of(&user) };
    let user = save(&admin, &edge, Some(user.row.id), wish).await?;
    answer(&edge, &user, None).await
}

/// `GET …/users/{id}/sessions`
pub async fn sessions(admin: Asking, id: Id, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let user = found(&admin, &edge.front.reader, id.into_inner().1).await?;
    let now = edge.front.clock.now().millis();
    let sessions = session::list(&edge.front.reader, user.row.id, now).await?;
    let show = |session: &session::Model| {
        json!({
            "session_id": session.id,
            "user_id": session.user_id,
            "created_at": Timestamp::from_millis(session.created_at).to_rfc3339(),
            "expires_at": Timestamp::from_millis(session.expires_at).to_rfc3339(),
        })
    };
    Ok(HttpResponse::Ok().json(json!({ "sessions": sessions.iter().map(show).collect::<Vec<_>>() })))
}

/// `DELETE …/users/{id}/sessions`
pub async fn end_sessions(admin: Asking, id: Id, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let user = found(&admin, &edge.front.reader, id.into_inner().1).await?;
    end(&admin, &edge, Which::OfUser(user.row.id)).await
}

/// `DELETE …/sessions/{id}`
pub async fn end_session(admin: Asking, id: Id, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let now = edge.front.clock.now().millis();
    let session = session::by_id(&edge.front.reader, id.into_inner().1, now).await?;
    let session = session.ok_or_else(|| ApiError::not_found("There is no such session"))?;
    found(&admin, &edge.front.reader, session.user_id).await?;
    end(&admin, &edge, Which::One(session.id)).await
}

/// The user with this row number, whom the admin may look after.
pub(super) async fn found(admin: &Admin, reader: &Reader, id: i64) -> Result<User, ApiError> {
    let user = user::by_id(reader, id).await?;
    let user = user.ok_or_else(|| ApiError::not_found("User was not found in the datastore"))?;
    people::demand(admin, &user.roles)?;
    Ok(user)
}

/// Ends sessions, at once.
pub(super) async fn end(admin: &Admin, edge: &AdminEdge, which: Which) -> Result<HttpResponse, ApiError> {
    edge.front.people.ask(EndSessions { which, asked_by: admin.name.clone() }, DEADLINE).await?;
    edge.remembered.forget();
    Ok(HttpResponse::Ok().json(json!({})))
}

async fn save(admin: &Admin, edge: &AdminEdge, id: Option<i64>, wish: Wish) -> Result<User, ApiError> {
    let saved = edge.front.people.ask(SaveUser { id, wish, asked_by: admin.name.clone() }, DEADLINE).await?;
    edge.remembered.forget();
    Ok(saved)
}

async fn first_token(admin: &Admin, edge: &AdminEdge, user: &User) -> Result<String, ApiError> {
    let (token, hash) = new_key(Kind::Token).map_err(|_| ApiError::no_randomness())?;
    let name = format!("{} 1", user.row.email);
    let new = api_token::New { name, hash, expires_at: None, user_id: Some(user.row.id), scopes: None };
    edge.front.people.ask(MakeToken { new, asked_by: admin.name.clone() }, DEADLINE).await?;
    Ok(token)
}

async fn answer(edge: &AdminEdge, user: &User, token: Option<String>) -> Result<HttpResponse, ApiError> {
    let names = people::team_names(&edge.front.reader).await?;
    let mut shown = json!({ "user": people::show(user, &names) });
    if let (Some(token), Some(shown)) = (token, shown.as_object_mut()) {
        shown.insert("token".into(), token.into());
    }
    Ok(HttpResponse::Ok().json(shown))
}
