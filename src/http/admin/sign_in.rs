//! Signing in and out, and what everyone may do to their own account. Whoever cannot sign in learns nothing else: not whether
//! there is such a user, nor why it failed.

use std::time::Instant;

use actix_web::http::StatusCode;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use actors::people::{OfferReset, SetPassword, SignIn};
use entities::mail::Letter;
use entities::password_reset;
use entities::session::Which;
use entities::user::change::Proof;
use entities::user::{self, User};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::auth::{Asking, Kind, hash_of, new_key};
use super::people;
use super::users::end;
use crate::http::edge::AdminEdge;
use crate::http::error::ApiError;
use crate::http::{DEADLINE, read_small_json};

/// Who signs in.
#[derive(Deserialize, JsonSchema)]
pub(in crate::http) struct Login {
    email: String,
    password: String,
}

/// The old password and the new one.
#[derive(Deserialize, JsonSchema)]
pub(in crate::http) struct ChangePassword {
    old_password: String,
    new_password: String,
}

/// Who has forgotten their password.
#[derive(Deserialize, JsonSchema)]
pub(in crate::http) struct Forgot {
    email: String,
}

/// A new password, and what was sent to choose it.
#[derive(Deserialize, JsonSchema)]
pub(in crate::http) struct Reset {
    new_password: String,
    new_password_confirmation: String,
    password_reset_token: String,
}

/// `POST …/login`
pub async fn login(request: HttpRequest, payload: Payload, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let Login { email, password } = read_small_json(&edge.budget, payload).await?;
    let email = user::folded(&email);
    edge.limiter.count(&request, Some(&email), Instant::now()).map_err(ApiError::too_often)?;
    let known = user::by_email(&edge.front.reader, &email).await?;
    let may = |user: &User| !(user.row.disabled || user.row.api_only || user.row.sso_enabled);
    let hash = known.as_ref().filter(|user| may(user)).and_then(|user| user.row.password_hash.clone());
    let same = edge.passwords.are_same(hash, password).await?;
    match known.filter(|_| same) {
        Some(user) => open_session(&edge, &user).await,
        None => Err(ApiError::because(StatusCode::UNAUTHORIZED, "base", "Authentication failed")),
    }
}

/// `POST …/logout`
pub async fn logout(admin: Asking, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    match admin.session_id {
        Some(id) => end(&admin, &edge, Which::One(id)).await,
        None => Err(ApiError::bad_request("A token does not sign out: take it away with DELETE …/tokens/{id}")),
    }
}

/// `GET …/me`
pub async fn me(admin: Asking, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let user = own(&admin, &edge).await?;
    let names = people::team_names(&edge.front.reader).await?;
    let teams = people::show_teams(&user.roles, &names);
    Ok(HttpResponse::Ok().json(json!({ "user": people::show(&user, &names), "available_teams": teams })))
}

/// `POST …/change_password`: every session of the user ends, also this one.
pub async fn change_password(admin: Asking, payload: Payload, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let ChangePassword { old_password, new_password } = read_small_json(&edge.budget, payload).await?;
    let user = own(&admin, &edge).await?;
    if !edge.passwords.are_same(user.row.password_hash.clone(), old_password).await? {
        return Err(ApiError::invalid("old_password", "old password does not match"));
    }
    let hash = edge.passwords.hash(new_password, &user.row.email).await?;
    edge.front.people.ask(SetPassword { proof: Proof::User(user.row.id), hash }, DEADLINE).await?;
    edge.remembered.forget();
    Ok(HttpResponse::Ok().json(json!({})))
}

/// `POST …/forgot_password`: the answer is the same whether there is such a user or not.
pub async fn forgot(request: HttpRequest, payload: Payload, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let Forgot { email } = read_small_json(&edge.budget, payload).await?;
    let email = user::folded(&email);
    edge.limiter.count(&request, Some(&email), Instant::now()).map_err(ApiError::too_often)?;
    if !edge.front.mail_config.is_on() {
        return Err(ApiError::no_mail());
    }
    let known = user::by_email(&edge.front.reader, &email).await?;
    if let Some(user) = known.filter(|user| user.row.password_hash.is_some() && !user.row.disabled) {
        let (key, hash) = new_key(Kind::Reset).map_err(|_| ApiError::no_randomness())?;
        let text = format!(
            "Somebody, perhaps you, wants a new password for {}.\r\n\r\nChoose it here, within an hour:\r\n{}/login/reset/{key}\r\n\r\n\
             If it was not you, do nothing: the old password stays.\r\n",
            user.row.email, edge.url
        );
        let letter = letter(&edge, &user.row.email, "Choose a new password", text, password_reset::LASTS);
        edge.front.people.ask(OfferReset { user_id: user.row.id, hash, letter }, DEADLINE).await?;
    }
    Ok(HttpResponse::Ok().json(json!({})))
}

/// `POST …/reset_password`: every session of the user ends.
pub async fn reset(request: HttpRequest, payload: Payload, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let Reset { new_password, new_password_confirmation, password_reset_token } =
        read_small_json(&edge.budget, payload).await?;
    if new_password != new_password_confirmation {
        return Err(ApiError::invalid("new_password_confirmation", "is another one"));
    }
    choose_password(&request, &edge, password_reset_token, new_password).await?;
    Ok(HttpResponse::Ok().json(json!({})))
}

/// Gives somebody the password that they chose, by what they were sent.
pub(super) async fn choose_password(
    request: &HttpRequest,
    edge: &AdminEdge,
    key: String,
    password: String,
) -> Result<User, ApiError> {
    edge.limiter.count(request, None, Instant::now()).map_err(ApiError::too_often)?;
    // Whose it is is known only when it is taken; an address is not in the password then, which nobody checks.
    let hash = edge.passwords.hash(password, "@").await?;
    let set = SetPassword { proof: Proof::Reset(hash_of(&key)), hash };
    let user = edge.front.people.ask(set, DEADLINE).await?;
    edge.remembered.forget();
    Ok(user)
}

/// Signs somebody in who has proved who they are.
pub(super) async fn open_session(edge: &AdminEdge, user: &User) -> Result<HttpResponse, ApiError> {
    let (token, hash) = new_key(Kind::Session).map_err(|_| ApiError::no_randomness())?;
    edge.front.people.ask(SignIn { user_id: user.row.id, hash }, DEADLINE).await?;
    let names = people::team_names(&edge.front.reader).await?;
    let (shown, teams) = (people::show(user, &names), people::show_teams(&user.roles, &names));
    Ok(HttpResponse::Ok().json(json!({ "user": shown, "available_teams": teams, "token": token })))
}

/// A letter that is worth something for so many milliseconds.
pub(super) fn letter(edge: &AdminEdge, to: &str, subject: &str, text: String, lasts: i64) -> Letter {
    let expires_at = edge.front.clock.now().millis().saturating_add(lasts);
    let (id, recipient, subject) = (uuid::Uuid::new_v4().to_string(), to.to_owned(), subject.to_owned());
    Letter { id, recipient, subject, text, attempts: 0, expires_at }
}

/// The user who asks.
pub(super) async fn own(admin: &Asking, edge: &AdminEdge) -> Result<User, ApiError> {
    let nobody = || ApiError::not_found("This token belongs to no user: it was made on the command line");
    let id = admin.user_id.ok_or_else(nobody)?;
    user::by_id(&edge.front.reader, id).await?.ok_or_else(nobody)
}
