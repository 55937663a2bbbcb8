//! People sign in at the identity provider before they enroll a device. The provider says who somebody is; that they may enroll a
//! device at all, an enroll secret says, or the device itself with what Apple signed.
//!
//! A browser goes from here to the provider, comes back, and is sent on to the enrollment profile with a reference that works for a
//! few minutes (`actors::authority::reference`).

use std::time::Instant;

use actix_web::http::{StatusCode, header};
use actix_web::web::{Data, Payload, Query};
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use actors::ask::Refusal;
use actors::authority::assigned::{ProveAssigned, Proven};
use actors::authority::enroll::UNKNOWN_SECRET;
use actors::authority::reference::{Enrolls, NOT_SIGNED_IN, Ownership, SignIn};
use entities::enroll_secret;
use protocol::apple::dep::machine_info;
use serde::Deserialize;
use serde_json::json;

use super::account_driven;
use super::enroll::{self, Parameters};
use crate::http::admin::people;
use crate::http::edge::DeviceEdge;
use crate::http::error::{DeviceError, EnrollError};
use crate::http::limiter::Limiter;
use crate::http::oidc::cookie::BrowserCookie;
use crate::http::oidc::{Begun, OidcError, Person, Return};
use crate::http::page::refused;
use crate::http::sign_on::{Came, MAX_FORM_BYTES, METADATA_TYPE, Posted, SignOn};

/// What binds a sign-in to the browser that began it.
const COOKIE: BrowserCookie = BrowserCookie { name: "__Secure-rookery_enroll", path: "/mdm/sso" };
/// Where the provider sends browsers back to.
pub const CALLBACK_PATH: &str = "/mdm/sso/callback";
/// Where our metadata is: also our name to a provider that reads it.
pub const METADATA_PATH: &str = "/mdm/sso/metadata";
/// The longest JSON, in bytes.
const MAX_BYTES: usize = 16 * 1024;
/// The longest name that is kept, in characters.
const MAX_NAME: usize = 255;

/// Where people sign in who enroll a device.
#[derive(Debug)]
pub struct SsoEdge {
    /// The identity provider.
    pub provider: Option<SignOn<Enrolls>>,
    /// Whose devices become that are enrolled with an account alone; `None` where nobody enrolls one so.
    pub account_driven: Option<Ownership>,
    /// Who tries too often.
    pub limiter: Limiter,
}

/// Fleet's way to begin.
#[derive(Debug, Deserialize)]
struct Begin {
    /// Why, in Fleet's words; what is needed is the secret.
    #[serde(default)]
    initiator: String,
    #[serde(default)]
    enroll_secret: String,
}

/// `GET /mdm/sso`: sends a browser to the provider.
///
/// A browser of a device that was just switched on shows what the device is, signed by what Apple gave it; any other one shows an
/// enroll secret.
pub async fn go(request: HttpRequest, secret: Query<Parameters>, edge: Data<DeviceEdge>) -> HttpResponse {
    let begun = match request.headers().get(machine_info::HEADER) {
        Some(header) => by_device(&request, &edge, header.as_bytes().to_vec()).await,
        None => by_secret(&request, &edge, secret.into_inner().token).await,
    };
    match begun {
        Ok(begun) => sent(begun),
        Err(error) => page(&error),
    }
}

/// `POST …/mdm/sso`: where a browser goes, for pages of others.
pub async fn begin(
    request: HttpRequest,
    payload: Payload,
    edge: Data<DeviceEdge>,
) -> Result<HttpResponse, EnrollError> {
    let body = edge.budget.read(payload, MAX_BYTES).await?;
    let said: Begin = serde_json::from_slice(&body).map_err(|error| DeviceError::BadRequest(error.to_string()))?;
    tracing::debug!("a sign-in begins: {:?}", said.initiator);
    let begun = by_secret(&request, &edge, said.enroll_secret).await?;
    Ok(HttpResponse::Ok().cookie(COOKIE.of(&begun)).json(json!({ "url": begun.url })))
}

/// `GET /mdm/sso/callback`: the browser comes back, and goes on to the enrollment profile.
pub async fn callback(request: HttpRequest, came: Query<Return>, edge: Data<DeviceEdge>) -> HttpResponse {
    come_back(&request, Came::Query(came.into_inner()), &edge).await
}

/// `POST /mdm/sso/callback`: the same with a form of the provider's.
pub async fn form_callback(request: HttpRequest, payload: Payload, edge: Data<DeviceEdge>) -> HttpResponse {
    let Ok(body) = edge.budget.read(payload, MAX_FORM_BYTES).await else {
        return refused(StatusCode::BAD_REQUEST, "The form cannot be read.");
    };
    let Some(posted) = Posted::read(&body) else {
        return refused(StatusCode::BAD_REQUEST, "The form cannot be read.");
    };
    come_back(&request, Came::Form(posted), &edge).await
}

/// `GET /mdm/sso/metadata`: what the provider is told of us.
pub async fn metadata(edge: Data<DeviceEdge>) -> HttpResponse {
    match edge.sso.provider.as_ref().and_then(SignOn::metadata) {
        Some(described) => HttpResponse::Ok().content_type(METADATA_TYPE).body(described),
        None => HttpResponse::NotFound().finish(),
    }
}

async fn come_back(request: &HttpRequest, came: Came, edge: &DeviceEdge) -> HttpResponse {
    match finished(request, came, edge).await {
        Ok((reference, true)) => account_driven::handed_over(&reference),
        Ok((reference, false)) => HttpResponse::SeeOther()
            .cookie(COOKIE.over())
            .insert_header((header::LOCATION, format!("{}?enrollment_reference={reference}", enroll::PATH)))
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .finish(),
        Err(error) => page(&error),
    }
}

/// Begins the sign-in of whoever enrolls this device. Whoever calls this has made sure that they may.
///
/// # Errors
/// There is no provider, it does not answer, or somebody tries too often.
pub async fn begun(request: &HttpRequest, edge: &DeviceEdge, enrolls: Enrolls) -> Result<Begun, EnrollError> {
    count(request, edge)?;
    begin_for(edge, enrolls).await
}

/// Sends a browser on to the provider.
pub fn sent(begun: Begun) -> HttpResponse {
    HttpResponse::SeeOther()
        .cookie(COOKIE.of(&begun))
        .insert_header((header::LOCATION, begun.url))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .finish()
}

async fn by_device(request: &HttpRequest, edge: &DeviceEdge, header: Vec<u8>) -> Result<Begun, EnrollError> {
    count(request, edge)?;
    match edge.front.authority.ask(ProveAssigned { header }, enroll::DEADLINE).await? {
        Proven::SignIn(enrolls) => begin_for(edge, enrolls).await,
        Proven::UpdateFirst { version } => Err(EnrollError::UpdateFirst(version)),
    }
}

async fn by_secret(request: &HttpRequest, edge: &DeviceEdge, secret: String) -> Result<Begun, EnrollError> {
    count(request, edge)?;
    let known = enroll_secret::find(&edge.front.reader, &secret).await.map_err(Refusal::from)?;
    let known = known.ok_or(EnrollError::Refused(UNKNOWN_SECRET))?;
    begin_for(edge, Enrolls { team_id: known.team_id, ..Enrolls::default() }).await
}

async fn begin_for(edge: &DeviceEdge, enrolls: Enrolls) -> Result<Begun, EnrollError> {
    provider(edge)?.begin(enrolls, edge.front.clock.now()).await.map_err(unfinished)
}

/// Finishes a sign-in: the reference for the download, and whether a device takes it by itself.
async fn finished(request: &HttpRequest, came: Came, edge: &DeviceEdge) -> Result<(String, bool), EnrollError> {
    let browser = COOKIE.shown(request);
    let finished = provider(edge)?.finish(&browser, came, edge.front.clock.now()).await;
    let (Person { email, name }, enrolls) = finished.map_err(unfinished)?;
    let email = people::email(&email).map_err(|_| failed("the identity provider names no email address"))?;
    let full_name = name.chars().filter(|letter| !letter.is_control()).take(MAX_NAME).collect();
    let by_device = enrolls.account_driven.is_some();
    let said = SignIn { user_name: email.clone(), email, full_name, enrolls };
    Ok((edge.front.authority.ask(said, enroll::DEADLINE).await?, by_device))
}

fn provider(edge: &DeviceEdge) -> Result<&SignOn<Enrolls>, EnrollError> {
    let none = || EnrollError::NotReady("nobody signs in here to enroll a device: no identity provider is set".into());
    edge.sso.provider.as_ref().ok_or_else(none)
}

fn unfinished(error: OidcError) -> EnrollError {
    match error {
        OidcError::Refused(why) => failed(&why),
        OidcError::Away(why) => {
            tracing::warn!("the identity provider does not answer as it should: {why}");
            EnrollError::NotReady("the identity provider does not answer: try again".into())
        }
        OidcError::NoRandomness => Refusal::soon("the system has no randomness").into(),
    }
}

/// Whoever cannot sign in learns no more than that; why, stands in the log.
fn failed(why: &str) -> EnrollError {
    tracing::info!("a sign-in to enroll a device fails: {why}");
    EnrollError::Refused(NOT_SIGNED_IN)
}

/// By address alone: one enroll secret is many people's.
fn count(request: &HttpRequest, edge: &DeviceEdge) -> Result<(), EnrollError> {
    let because = || "somebody begins to sign in too often".to_owned();
    let counted = edge.sso.limiter.count(request, None, Instant::now());
    counted.map_err(|after| DeviceError::Busy { after, because: because() }.into())
}

/// What a person sees.
pub(super) fn page(error: &EnrollError) -> HttpResponse {
    let answer = error.error_response();
    let mut page = refused(answer.status(), &error.to_string());
    if let Some(after) = answer.headers().get(header::RETRY_AFTER) {
        page.headers_mut().insert(header::RETRY_AFTER, after.clone());
    }
    page
}
