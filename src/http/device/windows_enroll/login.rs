//! The page on which the user of a device signs in (MS-MDE2 3.2): Windows opens it, and it ends with a token that Windows takes
//! back to the enrollment.
//!
//! Where it takes it back to stands in the page's address, so that anybody can choose it: only Windows' own scheme is accepted.

use std::time::{Duration, Instant};

use actix_web::http::{StatusCode, header};
use actix_web::web::{Data, Payload, Query};
use actix_web::{HttpRequest, HttpResponse};
use actors::ask::Refusal;
use actors::authority::enroll::Entitlement;
use actors::authority::windows::MakeToken;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::DEADLINE;
use crate::http::edge::DeviceEdge;
use crate::http::page::{Page, escaped, refused};

/// How long the token works.
const LASTS: Duration = Duration::from_secs(600);
/// The longest form, in bytes.
const MAX_BYTES: usize = 16 * 1024;
/// The longest address of an app.
const MAX_ADDRESS_BYTES: usize = 1024;
/// Sends what the page has as soon as it is there.
const SUBMIT: &str = "document.getElementById(\"f\").submit()";

/// What Windows says when it opens the page.
#[derive(Debug, Deserialize)]
pub struct Opened {
    #[serde(default)]
    appru: String,
    #[serde(default)]
    login_hint: String,
}

/// What the form says.
#[derive(Deserialize)]
struct Login {
    #[serde(default)]
    appru: String,
    #[serde(default)]
    email: String,
    #[serde(default)]
    secret: String,
}

/// `GET …/auth`
pub async fn page(request: HttpRequest, edge: Data<DeviceEdge>) -> HttpResponse {
    let Ok(Query(Opened { appru, login_hint })) = Query::<Opened>::from_query(request.query_string()) else {
        return refused(StatusCode::BAD_REQUEST, "The address of this page cannot be read.");
    };
    if !edge.windows.enabled {
        return refused(StatusCode::FORBIDDEN, "Windows devices cannot enroll here.");
    }
    if !is_address_in(&appru, "ms-app://") {
        return refused(StatusCode::BAD_REQUEST, "This page is opened by Windows, in its settings for work accounts.");
    }
    let hint: String = login_hint.chars().take(255).collect();
    let body = format!(
        "<p>to let {} manage this device.</p><form method=post>\
         <input type=hidden name=appru value=\"{}\">\
         <label>Email address<input type=email name=email required maxlength=255 value=\"{}\"></label>\
         <label>Enroll secret, which your administrator gave you<input type=password name=secret required maxlength=255 \
         autocomplete=off></label><button>Continue</button></form>",
        escaped(&edge.front.authority_config.organization),
        escaped(&appru),
        escaped(&hint),
    );
    Page { title: "Sign in", body: &body, leads_to: "'self'", script: "" }.answer()
}

/// `POST …/auth`
pub async fn sign_in(request: HttpRequest, payload: Payload, edge: Data<DeviceEdge>) -> HttpResponse {
    let Ok(body) = edge.budget.read(payload, MAX_BYTES).await else {
        return refused(StatusCode::BAD_REQUEST, "The form cannot be read.");
    };
    let Some(Login { appru, email, secret }) = fields(&body) else {
        return refused(StatusCode::BAD_REQUEST, "The form cannot be read.");
    };
    if !edge.windows.enabled {
        return refused(StatusCode::FORBIDDEN, "Windows devices cannot enroll here.");
    }
    if !is_address_in(&appru, "ms-app://") {
        return refused(StatusCode::BAD_REQUEST, "This page is opened by Windows, in its settings for work accounts.");
    }
    let email = email.trim();
    if !(3..=255).contains(&email.len()) || !email.contains('@') || email.contains(char::is_control) {
        return refused(StatusCode::UNPROCESSABLE_ENTITY, "The email address is none.");
    }
    if let Err(after) = edge.windows.limiter.count(&request, Some(&email.to_lowercase()), Instant::now()) {
        let mut answer = refused(StatusCode::TOO_MANY_REQUESTS, "Too many tries: wait a few minutes, and try again.");
        answer.headers_mut().insert(header::RETRY_AFTER, after.as_secs().max(1).into());
        return answer;
    }
    let entitlement = Entitlement::EnrollSecret(secret);
    let make = MakeToken { entitlement, host_id: None, upn: Some(email.to_owned()), team_id: None, lasts: LASTS };
    match edge.front.authority.ask(make, DEADLINE).await {
        Ok(token) => done(&appru, &token),
        Err(Refusal::Forbidden(_)) => {
            tracing::info!("somebody signed in to enroll a Windows device with an unknown enroll secret");
            refused(StatusCode::FORBIDDEN, "This enroll secret is not known: ask your administrator for one.")
        }
        Err(refusal) => {
            tracing::warn!("nobody can sign in to enroll a Windows device: {refusal}");
            refused(StatusCode::SERVICE_UNAVAILABLE, "The server is busy. Try again in a moment.")
        }
    }
}

/// Windows reads `wresult` when it is posted to the address that it gave.
fn done(appru: &str, token: &str) -> HttpResponse {
    let body = format!(
        "<form id=f method=post action=\"{}\"><input type=hidden name=wresult value=\"{}\"><button>Continue</button></form>",
        escaped(appru),
        escaped(token),
    );
    Page { title: "Signed in", body: &body, leads_to: "ms-app:", script: SUBMIT }.answer()
}

/// What a form says.
pub(super) fn fields<T: DeserializeOwned>(body: &[u8]) -> Option<T> {
    let text = std::str::from_utf8(body).ok()?;
    Query::<T>::from_query(text).ok().map(Query::into_inner)
}

/// Whether an address is one of this scheme and holds nothing that an address does not hold.
pub(super) fn is_address_in(address: &str, scheme: &str) -> bool {
    let has_scheme = address.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    // RFC 3986, 2: without quotes, though some are allowed there.
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&()*+,;=%".contains(&byte);
    has_scheme && address.len() > scheme.len() && address.len() <= MAX_ADDRESS_BYTES && address.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_address_of_windows_itself_is_one() {
        for good in ["ms-app://s-1-15-2-1-2-3", "MS-APP://windows.immersivecontrolpanel", "ms-app://x?y=1&z=2#a"] {
            assert!(is_address_in(good, "ms-app://"), "{good}");
        }
        for bad in [
            "",
            "ms-app://",
            "ms-app:x",
            "javascript:alert(1)//ms-app://x",
            "data:text/html,x",
            "https://evil.example",
            " ms-app://x",
            "ms-app://x\"><script>",
            "ms-app://x'",
            "ms-app://x y",
            "ms-app://x\n",
            "ms-app://é",
            "éms-app://x",
        ] {
            assert!(!is_address_in(bad, "ms-app://"), "{bad}");
        }
        assert!(!is_address_in(&format!("ms-app://{}", "x".repeat(MAX_ADDRESS_BYTES)), "ms-app://"));
    }
}
