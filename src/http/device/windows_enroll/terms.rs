//! Terms of use (MS-MDE2, Entra join): Windows opens this page with the user's token, and goes on when they agree.

use actix_web::http::{StatusCode, header};
use actix_web::web::{Data, Payload, Query};
use actix_web::{HttpRequest, HttpResponse};
use protocol::percent::percent_encoded;
use serde::Deserialize;

use super::credential::account;
use super::login::{fields, is_address_in};
use crate::http::edge::DeviceEdge;
use crate::http::page::{Page, escaped, refused};

/// Where Windows' own app is; every other scheme would be somebody else's.
const SCHEME: &str = "ms-appx-web:";
/// The longest form, in bytes.
const MAX_BYTES: usize = 16 * 1024;

/// What Windows says when it opens the page.
#[derive(Debug, Deserialize)]
pub struct Opened {
    #[serde(default)]
    redirect_uri: String,
}

/// What the form says.
#[derive(Deserialize)]
struct Decision {
    #[serde(default)]
    redirect_uri: String,
    #[serde(default)]
    accept: String,
}

/// `GET …/tos`
pub async fn page(request: HttpRequest, edge: Data<DeviceEdge>) -> HttpResponse {
    let Ok(Query(Opened { redirect_uri })) = Query::<Opened>::from_query(request.query_string()) else {
        return refused(StatusCode::BAD_REQUEST, "The address of this page cannot be read.");
    };
    if !is_address_in(&redirect_uri, SCHEME) {
        return not_windows(&redirect_uri);
    }
    let bearer = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let bearer = bearer.and_then(|value| value.split_once(' ')).filter(|(kind, _)| kind.eq_ignore_ascii_case("bearer"));
    let Some((_, token)) = bearer.filter(|_| edge.windows.enabled) else {
        return back(&redirect_uri, "error=unauthorized_client&error_description=no%20token");
    };
    if account(&edge, token.trim()).await.is_err() {
        return back(&redirect_uri, "error=unauthorized_client&error_description=the%20token%20is%20not%20valid");
    }
    let organization = escaped(&edge.front.authority_config.organization);
    let body = format!(
        "<p>{organization} manages this device from now on. It can see which hardware and software it has, change its settings, \
         install and remove software, lock it and erase it.</p><form method=post>\
         <input type=hidden name=redirect_uri value=\"{}\">\
         <button name=accept value=true>Accept</button><button name=accept value=false>Decline</button></form>",
        escaped(&redirect_uri),
    );
    Page { title: "Terms of use", body: &body, leads_to: "'self' ms-appx-web:", script: "" }.answer()
}

/// `POST …/tos`. Nothing hangs on it here: whoever enrolls shows their token then.
pub async fn decide(payload: Payload, edge: Data<DeviceEdge>) -> HttpResponse {
    let Ok(body) = edge.budget.read(payload, MAX_BYTES).await else {
        return refused(StatusCode::BAD_REQUEST, "The form cannot be read.");
    };
    let Some(Decision { redirect_uri, accept }) = fields(&body) else {
        return refused(StatusCode::BAD_REQUEST, "The form cannot be read.");
    };
    if !is_address_in(&redirect_uri, SCHEME) {
        return not_windows(&redirect_uri);
    }
    if accept != "true" {
        return back(&redirect_uri, "IsAccepted=false");
    }
    // It comes back in the enrollment as `EnrollmentData`.
    let blob = percent_encoded(&format!("accepted:{}", edge.front.clock.now().to_rfc3339()));
    back(&redirect_uri, &format!("IsAccepted=true&OpaqueBlob={blob}"))
}

fn not_windows(redirect_uri: &str) -> HttpResponse {
    let scheme: String = redirect_uri.chars().take_while(char::is_ascii_alphanumeric).take(32).collect();
    tracing::warn!(scheme, "the terms of use were asked for by something that is not Windows");
    refused(StatusCode::BAD_REQUEST, "This page is opened by Windows when a device joins its organization.")
}

fn back(redirect_uri: &str, said: &str) -> HttpResponse {
    let separator = if redirect_uri.contains('?') { '&' } else { '?' };
    let location = format!("{redirect_uri}{separator}{said}");
    HttpResponse::Found()
        .insert_header((header::LOCATION, location))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .finish()
}
