//! Account-driven enrollment (Apple's "Onboarding users with account sign-in"): somebody enters their address in the settings of a
//! device, which finds this server by its domain, is told to let them sign in, and comes back with what the sign-in ended with.
//!
//! | step | what the device asks | what it is told |
//! |---|---|---|
//! | 1 | [`discover`], at the domain of the address | where to enroll, and whose the device will be |
//! | 2 | [`enroll`], without a token | 401, with the page to sign in at |
//! | 3 | [`sign_in`], in a web view | the identity provider; from there, an address of its own with a token in it |
//! | 4 | [`enroll`], with the token | the enrollment profile |
//!
//! The token is an enrollment reference (`actors::authority::reference`): good for a few minutes, as often as the device tries.

use actix_web::http::{StatusCode, header};
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use actors::ask::Refusal;
use actors::authority::enroll::{Entitlement, Invite};
use actors::authority::reference::{Enrolls, Ownership, ReadReference};
use serde_json::json;

use super::{enroll as profiles, sso};
use crate::http::edge::DeviceEdge;
use crate::http::error::EnrollError;
use crate::http::page::refused;

/// Where devices come to enroll.
const BASE_PATH: &str = "/api/mdm/apple/account_driven_enroll";
/// Where their users sign in.
const SIGN_IN_PATH: &str = "/mdm/apple/account_driven_enroll/sso";
/// The largest message of a device, in bytes. What it says of itself is not needed.
const MAX_BYTES: usize = 64 * 1024;
/// How a device begins that takes the token.
const SCHEME: &str = "apple-remotemanagement-user-login://authentication-results";

/// `GET /.well-known/com.apple.remotemanagement`, `GET /mdm/apple/service_discovery`
pub async fn discover(edge: Data<DeviceEdge>) -> HttpResponse {
    let Some(ownership) = edge.sso.account_driven else {
        // A device shows this in its settings (iOS 17.5, macOS 14.5).
        return HttpResponse::Forbidden().json(json!({
            "code": "com.apple.well-known.failed",
            "description": "nobody enrolls a device with an account here",
            "message": "Your organization does not let you enroll a device with your account.",
        }));
    };
    let version = match ownership {
        Ownership::Personal => "mdm-byod",
        Ownership::Company => "mdm-adde",
    };
    let base = format!("{}{BASE_PATH}", edge.front.authority_config.server_url);
    // The text is JSON to devices by this type alone.
    HttpResponse::Ok().json(json!({ "Servers": [{ "Version": version, "BaseURL": base }] }))
}

/// `POST /api/mdm/apple/account_driven_enroll`
pub async fn enroll(
    request: HttpRequest,
    payload: Payload,
    edge: Data<DeviceEdge>,
) -> Result<HttpResponse, EnrollError> {
    edge.budget.read(payload, MAX_BYTES).await?;
    let token = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = token.and_then(|value| value.strip_prefix("Bearer ")).map(|token| token.trim().to_owned());
    let (Some(token), Some(_)) = (token, edge.sso.account_driven) else { return Ok(sign_in_first(&edge)) };
    match edge.front.authority.ask(ReadReference(token.clone()), profiles::DEADLINE).await {
        Ok(signed_in) if signed_in.enrolls.account_driven.is_some() => {}
        Ok(_) | Err(Refusal::Forbidden(_)) => return Ok(sign_in_first(&edge)),
        Err(refusal) => return Err(refusal.into()),
    }
    let entitlement = Entitlement::Reference(token);
    let invite = Invite { entitlement, promised_serial: None, promised_uuid: None };
    Ok(profiles::mobileconfig(edge.front.authority.ask(invite, profiles::DEADLINE).await?))
}

/// `GET /mdm/apple/account_driven_enroll/sso`: the page in a device's web view.
pub async fn sign_in(request: HttpRequest, edge: Data<DeviceEdge>) -> HttpResponse {
    let Some(ownership) = edge.sso.account_driven else {
        return refused(StatusCode::FORBIDDEN, "Nobody enrolls a device with an account here.");
    };
    let enrolls = Enrolls { account_driven: Some(ownership), ..Enrolls::default() };
    match sso::begun(&request, &edge, enrolls).await {
        Ok(begun) => sso::sent(begun),
        Err(error) => sso::page(&error),
    }
}

/// The end of a sign-in: the device takes the token from the address, and closes its web view.
pub(super) fn handed_over(reference: &str) -> HttpResponse {
    HttpResponse::PermanentRedirect()
        .insert_header((header::LOCATION, format!("{SCHEME}?access-token={reference}")))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .finish()
}

fn sign_in_first(edge: &DeviceEdge) -> HttpResponse {
    let page = format!("{}{SIGN_IN_PATH}", edge.front.authority_config.server_url);
    HttpResponse::Unauthorized()
        .insert_header((header::WWW_AUTHENTICATE, format!("Bearer method=\"apple-as-web\", url=\"{page}\"")))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .finish()
}
