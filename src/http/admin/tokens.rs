//! Tokens of users, for programs: each with a name, limited to scopes and in time if wanted, shown once. Nobody can make one
//! that may do more than they themselves may do at the moment.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path, Payload};
use actors::people::{DropToken, MakeToken};
use entities::api_token;
use entities::user::User;
use protocol::time::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::auth::{Admin, Asking, Kind, new_key};
use super::people;
use super::permission::Permission;
use super::sign_in::own;
use super::users::found;
use crate::http::edge::AdminEdge;
use crate::http::error::ApiError;
use crate::http::{DEADLINE, read_json};

/// Tokens of one user at most.
const MOST: usize = 100;

/// A new token.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Create {
    name: String,
    /// Names of permissions; absent for everything that the user may do.
    scopes: Option<Vec<String>>,
    /// When it stops working (RFC 3339); absent for never.
    expires_at: Option<String>,
}

/// `GET …/me/tokens`
pub async fn list_own(admin: Asking, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    list(&edge, &own(&admin, &edge).await?).await
}

/// `POST …/me/tokens`
pub async fn create_own(admin: Asking, payload: Payload, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let user = own(&admin, &edge).await?;
    create(&admin, &edge, &user, payload).await
}

/// `DELETE …/me/tokens/{token}`
pub async fn delete_own(
    admin: Asking,
    id: Path<(String, i64)>,
    edge: Data<AdminEdge>,
) -> Result<HttpResponse, ApiError> {
    let user = own(&admin, &edge).await?;
    delete(&admin, &edge, &user, id.into_inner().1).await
}

/// `GET …/users/{id}/tokens`
pub async fn list_of(admin: Asking, id: Path<(String, i64)>, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    list(&edge, &found(&admin, &edge.front.reader, id.into_inner().1).await?).await
}

/// `POST …/users/{id}/tokens`: for programs alone; people make their own.
pub async fn create_of(
    admin: Asking,
    id: Path<(String, i64)>,
    payload: Payload,
    edge: Data<AdminEdge>,
) -> Result<HttpResponse, ApiError> {
    let user = found(&admin, &edge.front.reader, id.into_inner().1).await?;
    if !user.row.api_only {
        return Err(ApiError::invalid("id", "people make their own tokens; this is for api_only users"));
    }
    create(&admin, &edge, &user, payload).await
}

/// `DELETE …/users/{id}/tokens/{token}`
pub async fn delete_of(
    admin: Asking,
    ids: Path<(String, i64, i64)>,
    edge: Data<AdminEdge>,
) -> Result<HttpResponse, ApiError> {
    let (_, id, token) = ids.into_inner();
    let user = found(&admin, &edge.front.reader, id).await?;
    delete(&admin, &edge, &user, token).await
}

async fn list(edge: &AdminEdge, user: &User) -> Result<HttpResponse, ApiError> {
    let tokens = api_token::list(&edge.front.reader, user.row.id).await?;
    Ok(HttpResponse::Ok().json(json!({ "tokens": tokens.iter().map(show).collect::<Vec<_>>() })))
}

async fn create(admin: &Admin, edge: &AdminEdge, user: &User, payload: Payload) -> Result<HttpResponse, ApiError> {
    let new: Create = read_json(&edge.budget, payload).await?;
    let name = people::name(&new.name)?;
    let scopes = scopes(admin, new.scopes)?;
    let expires_at = new.expires_at.map(|text| moment(edge, &text)).transpose()?;
    if api_token::list(&edge.front.reader, user.row.id).await?.len() >= MOST {
        return Err(ApiError::conflict(format!("a user has {MOST} tokens at most: take one away first")));
    }
    let (token, hash) = new_key(Kind::Token).map_err(|_| ApiError::no_randomness())?;
    let new = api_token::New { name, hash, expires_at, user_id: Some(user.row.id), scopes };
    let made = edge.front.people.ask(MakeToken { new, asked_by: admin.name.clone() }, DEADLINE).await?;
    let mut shown = show(&made);
    if let Some(shown) = shown.as_object_mut() {
        shown.insert("token".into(), token.into());
    }
    Ok(HttpResponse::Ok().json(json!({ "token": shown })))
}

async fn delete(admin: &Admin, edge: &AdminEdge, user: &User, id: i64) -> Result<HttpResponse, ApiError> {
    let drop = DropToken { user_id: user.row.id, id, asked_by: admin.name.clone() };
    edge.front.people.ask(drop, DEADLINE).await?;
    edge.remembered.forget();
    Ok(HttpResponse::Ok().json(json!({})))
}

/// The scopes as they are stored: those that are wanted, and none that the asking token itself does not have.
fn scopes(admin: &Admin, wanted: Option<Vec<String>>) -> Result<Option<String>, ApiError> {
    let names = || Permission::ALL.map(Permission::as_str).join(", ");
    let parse = |name: &String| {
        Permission::parse(name)
            .ok_or_else(|| ApiError::invalid("scopes", format!("there is no {name:?}; there are {}", names())))
    };
    let wanted: Option<Vec<Permission>> = wanted.map(|names| names.iter().map(parse).collect()).transpose()?;
    let given = match (wanted, admin.scopes()) {
        (None, None) => return Ok(None),
        (None, Some(own)) => own.to_vec(),
        (Some(wanted), None) => wanted,
        (Some(wanted), Some(own)) => match wanted.iter().find(|scope| !own.contains(scope)) {
            Some(beyond) => return Err(ApiError::forbidden(*beyond)),
            None => wanted,
        },
    };
    Ok(Some(given.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(" ")))
}

fn moment(edge: &AdminEdge, text: &str) -> Result<i64, ApiError> {
    let moment = Timestamp::parse_rfc3339(text).map(Timestamp::millis);
    let future = moment.filter(|moment| *moment > edge.front.clock.now().millis());
    future.ok_or_else(|| ApiError::invalid("expires_at", "must be a moment to come, for example 2030-01-31T00:00:00Z"))
}

fn show(token: &api_token::Model) -> Value {
    let text = |at: i64| Timestamp::from_millis(at).to_rfc3339();
    json!({
        "id": token.id,
        "name": token.name,
        "scopes": token.scopes.as_ref().map(|scopes| scopes.split(' ').collect::<Vec<_>>()),
        "created_at": text(token.created_at),
        "expires_at": token.expires_at.map(text),
    })
}
