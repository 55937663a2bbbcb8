//! The pages that letters lead to: accept an invitation, choose a password. Plain forms, no scripts, nothing from elsewhere.

use actix_web::web::{Data, Form, Path};
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use serde::Deserialize;

use super::invites::{self, Accepting};
use super::sign_in::choose_password;
use crate::http::edge::AdminEdge;
use crate::http::error::ApiError;
use crate::http::page::{Page, escaped};

/// What the form for an invitation says.
#[derive(Deserialize)]
pub struct InviteForm {
    name: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    again: String,
}

/// What the form for a new password says.
#[derive(Deserialize)]
pub struct ResetForm {
    password: String,
    again: String,
}

/// `GET /login/invite/{key}`
pub async fn invite(request: HttpRequest, key: Path<String>, edge: Data<AdminEdge>) -> HttpResponse {
    match invites::find(&request, &edge, &key).await {
        Ok(invite) => {
            let passwords = if invite.sso_enabled { "" } else { PASSWORDS };
            let form = format!(
                "<p>for {}</p><form method=post><label>Your name<input name=name required maxlength=255 value=\"{}\"></label>\
                 {passwords}<button>Accept</button></form>",
                escaped(&invite.email),
                escaped(&invite.name)
            );
            page("You are invited", &form)
        }
        Err(error) => refused(&error),
    }
}

/// `POST /login/invite/{key}`
pub async fn accept(
    request: HttpRequest,
    key: Path<String>,
    form: Form<InviteForm>,
    edge: Data<AdminEdge>,
) -> HttpResponse {
    let InviteForm { name, password, again } = form.into_inner();
    let taken = async {
        let invite = invites::find(&request, &edge, &key).await?;
        let given = |text: String| Some(text).filter(|_| !invite.sso_enabled);
        let (password, password_confirmation) = (given(password), given(again));
        let (email, invite_token) = (invite.email.clone(), key.into_inner());
        let accepting = Accepting { email, name, invite_token, password, password_confirmation };
        invites::take(&request, &edge, accepting).await
    };
    match taken.await {
        Ok(user) => page("Welcome", &format!("<p>You can sign in as {} now.</p>", escaped(&user.row.email))),
        Err(error) => refused(&error),
    }
}

/// `GET /login/reset/{key}`
pub async fn reset() -> HttpResponse {
    page("Choose a new password", &format!("<form method=post>{PASSWORDS}<button>Choose</button></form>"))
}

/// `POST /login/reset/{key}`
pub async fn choose(
    request: HttpRequest,
    key: Path<String>,
    form: Form<ResetForm>,
    edge: Data<AdminEdge>,
) -> HttpResponse {
    let ResetForm { password, again } = form.into_inner();
    if password != again {
        return refused(&ApiError::invalid("password", "the two passwords are not the same"));
    }
    match choose_password(&request, &edge, key.into_inner(), password).await {
        Ok(_) => page("Done", "<p>Your new password works. You are signed out everywhere.</p>"),
        Err(error) => refused(&error),
    }
}

const PASSWORDS: &str = "<label>Password, 12 characters or more<input type=password name=password required minlength=12 \
                         maxlength=128 autocomplete=new-password></label><label>Once more<input type=password name=again \
                         required minlength=12 maxlength=128 autocomplete=new-password></label>";

fn refused(error: &ApiError) -> HttpResponse {
    let text = format!("<p>{}</p><p>Go back to try again.</p>", escaped(&error.reason()));
    let mut response = page("This did not work", &text);
    *response.status_mut() = error.status_code();
    response
}

fn page(title: &str, body: &str) -> HttpResponse {
    Page { title, body, leads_to: "'self'", script: "" }.answer()
}
