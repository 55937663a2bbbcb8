//! Signing in at the identity provider. The provider says who somebody is; whether they may sign in, we know: only who is here
//! with `sso_enabled`, is not disabled, or, where the settings say so, becomes an observer.
//!
//! Whoever cannot sign in learns no more than that; why, stands in the log.

use std::time::Instant;

use actix_web::cookie::Cookie;
use actix_web::http::{StatusCode, header};
use actix_web::web::{Data, Payload, Query};
use actix_web::{HttpRequest, HttpResponse};
use actors::ask::Refusal;
use actors::people::SaveUser;
use entities::role::Role;
use entities::user::change::Wish;
use entities::user::{self, Roles, User};
use serde_json::json;

use super::people;
use super::sign_in::open_session;
use crate::http::edge::AdminEdge;
use crate::http::error::ApiError;
use crate::http::oidc::cookie::BrowserCookie;
use crate::http::oidc::{Begun, OidcError, Person, Return};
use crate::http::sign_on::{Came, MAX_FORM_BYTES, METADATA_TYPE, Posted, SignOn};
use crate::http::{DEADLINE, read_admin};

/// What binds a sign-in to the browser that began it.
const COOKIE: BrowserCookie = BrowserCookie { name: "__Secure-rookery_sso", path: "/login/oidc" };
/// The same where a form of the provider's comes back.
const FORM_COOKIE: BrowserCookie = BrowserCookie { name: "__Secure-rookery_saml", path: "/login/saml" };
/// Where the provider's form leads.
pub const FORM_PATH: &str = "/login/saml/callback";
/// Where our metadata is: also our name to the provider.
pub const METADATA_PATH: &str = "/login/saml/metadata";

/// `GET …/sso`: whether there is an identity provider, for whoever shows a page to sign in.
pub async fn settings(edge: Data<AdminEdge>) -> HttpResponse {
    let name = edge.provider.as_ref().map(SignOn::name);
    HttpResponse::Ok()
        .json(json!({ "settings": { "idp_name": name.unwrap_or_default(), "sso_enabled": name.is_some() } }))
}

/// `POST …/sso`: where the browser goes to sign in.
pub async fn begin(request: HttpRequest, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let begun = begun(&request, &edge).await?;
    Ok(HttpResponse::Ok().cookie(cookie(&begun)).json(json!({ "url": begun.url })))
}

/// `GET /login/oidc`, `GET /login/saml`: the same for a browser without a page: sends it there.
pub async fn go(request: HttpRequest, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let begun = begun(&request, &edge).await?;
    Ok(HttpResponse::SeeOther().cookie(cookie(&begun)).insert_header((header::LOCATION, begun.url)).finish())
}

/// `GET /login/oidc/callback`: the browser comes back. Answers as a sign-in by password does.
pub async fn callback(
    request: HttpRequest,
    query: Query<Return>,
    edge: Data<AdminEdge>,
) -> Result<HttpResponse, ApiError> {
    let came = query.into_inner();
    edge.limiter.count(&request, Some(&came.state), Instant::now()).map_err(ApiError::too_often)?;
    finished(&edge, (&COOKIE, &COOKIE.shown(&request)), Came::Query(came)).await
}

/// `POST /login/saml/callback`: the same with a form of the provider's.
pub async fn form_callback(
    request: HttpRequest,
    payload: Payload,
    edge: Data<AdminEdge>,
) -> Result<HttpResponse, ApiError> {
    let body = read_admin(&edge.budget, payload, MAX_FORM_BYTES).await?;
    let posted = Posted::read(&body).ok_or_else(|| ApiError::bad_request("this is no form"))?;
    edge.limiter.count(&request, Some(&posted.state), Instant::now()).map_err(ApiError::too_often)?;
    finished(&edge, (&FORM_COOKIE, &FORM_COOKIE.shown(&request)), Came::Form(posted)).await
}

/// `GET /login/saml/metadata`: what the provider is told of us.
pub async fn metadata(edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let described = edge.provider.as_ref().and_then(SignOn::metadata);
    let none = || ApiError::not_found("No identity provider here reads metadata");
    Ok(HttpResponse::Ok().content_type(METADATA_TYPE).body(described.ok_or_else(none)?))
}

async fn finished(
    edge: &AdminEdge,
    (cookie, browser): (&BrowserCookie, &str),
    came: Came,
) -> Result<HttpResponse, ApiError> {
    let (person, ()) = provider(edge)?.finish(browser, came, edge.front.clock.now()).await.map_err(unfinished)?;
    let user = user_of(edge, person).await?;
    let mut response = open_session(edge, &user).await.map_err(refused_since)?;
    // A browser may keep it for all we care: it is worth nothing any more.
    let _ = response.add_cookie(&cookie.over());
    Ok(response)
}

/// What binds a sign-in to the browser that began it.
fn cookie(begun: &Begun) -> Cookie<'static> {
    if begun.is_posted_back { FORM_COOKIE.of(begun) } else { COOKIE.of(begun) }
}

async fn begun(request: &HttpRequest, edge: &AdminEdge) -> Result<Begun, ApiError> {
    let provider = provider(edge)?;
    // It is about nobody yet. One name for all would let one address keep everybody from signing in.
    edge.limiter.count(request, None, Instant::now()).map_err(ApiError::too_often)?;
    provider.begin((), edge.front.clock.now()).await.map_err(|error| match error {
        OidcError::NoRandomness => ApiError::no_randomness(),
        OidcError::Refused(why) | OidcError::Away(why) => away(&why),
    })
}

/// The user whom the provider knows by this address.
async fn user_of(edge: &AdminEdge, person: Person) -> Result<User, ApiError> {
    let email = people::email(&person.email).map_err(|_| failed("the identity provider names no email address"))?;
    let email = user::folded(&email);
    let may = |user: &User| user.row.sso_enabled && !user.row.disabled && !user.row.api_only;
    match user::by_email(&edge.front.reader, &email).await? {
        Some(user) if may(&user) => Ok(user),
        Some(user) => Err(failed(&format!("user {} is disabled, or does not sign in by sso", user.row.id))),
        None if provider(edge)?.takes_new_users() => made(edge, email, &person.name).await,
        None => Err(failed("nobody here has this email address")),
    }
}

/// Makes an observer of whom we do not know: the least that there is.
async fn made(edge: &AdminEdge, email: String, name: &str) -> Result<User, ApiError> {
    let name = people::name(name).unwrap_or_else(|_| email.clone());
    let wish = Wish {
        email: email.clone(),
        name,
        roles: Roles { everywhere: Some(Role::Observer), teams: Vec::new() },
        password_hash: None,
        api_only: false,
        sso_enabled: true,
        force_password_reset: false,
        disabled: false,
    };
    match edge.front.people.ask(SaveUser { id: None, wish, asked_by: email }, DEADLINE).await {
        Ok(user) => Ok(user),
        // Made by somebody else a moment ago, perhaps without sso: the next try looks at what is there.
        Err(Refusal::Conflict(why)) => Err(failed(&why)),
        Err(other) => Err(other.into()),
    }
}

fn provider(edge: &AdminEdge) -> Result<&SignOn, ApiError> {
    let reason = "no identity provider is set: set oidc.issuer or saml.metadata (see OPERATIONS.md, People), or sign in by password";
    edge.provider.as_ref().ok_or_else(|| ApiError::invalid("base", reason))
}

fn unfinished(error: OidcError) -> ApiError {
    match error {
        OidcError::Refused(why) => failed(&why),
        OidcError::Away(why) => away(&why),
        OidcError::NoRandomness => ApiError::no_randomness(),
    }
}

/// Who was disabled since it was looked at learns no more than anybody else.
fn refused_since(error: ApiError) -> ApiError {
    use actix_web::ResponseError;
    if error.status_code() == StatusCode::FORBIDDEN { failed("the user was disabled just now") } else { error }
}

fn failed(why: &str) -> ApiError {
    tracing::info!("a sign-in at the identity provider fails: {why}");
    ApiError::because(StatusCode::UNAUTHORIZED, "base", "Authentication failed: begin again at /login/oidc")
}

fn away(why: &str) -> ApiError {
    tracing::warn!("the identity provider does not answer as it should: {why}");
    ApiError::because(StatusCode::SERVICE_UNAVAILABLE, "base", "The identity provider does not answer: try again")
}
