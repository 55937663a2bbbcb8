//! What a device shows to be let in, and what that entitles it to.

use entities::windows_admission::Title;
use openssl::sha::sha256;
use protocol::windows::soap::{Credential, FaultKind};
use protocol::windows::token::AccessToken;

use super::entra::Account;
use crate::http::edge::DeviceEdge;
use crate::http::error::Refused;
use crate::http::oidc::OidcError;

/// The refusal of a token of Entra ID; the reason is for the log.
const NOT_VALID: &str = "Your account's token is not valid here.";

/// What a device that enrolls is entitled by.
///
/// # Errors
/// It shows nothing, or nothing that could let anybody in.
pub(super) async fn title(edge: &DeviceEdge, credential: &Credential) -> Result<Title, Refused> {
    let title = title_if_any(edge, credential).await?;
    title.ok_or_else(|| refused("An enrollment token is needed: begin the enrollment again."))
}

/// The same of a device that may show nothing.
///
/// # Errors
/// It shows nothing that could let anybody in.
pub(super) async fn title_if_any(edge: &DeviceEdge, credential: &Credential) -> Result<Option<Title>, Refused> {
    match credential {
        Credential::None => Ok(None),
        Credential::Password => Err(refused(
            "Passwords are not taken here. Enroll from an address that shows your organization's sign-in page.",
        )),
        Credential::Token(token) => match AccessToken::read(token) {
            Some(AccessToken::Agent(key)) => Ok(Some(Title::Agent(sha256(key.as_bytes()).to_vec()))),
            Some(AccessToken::Own(token)) => Ok(Some(Title::Token(sha256(token.as_bytes()).to_vec()))),
            None => Err(refused("The enrollment token cannot be read.")),
        },
        Credential::Jwt(token) => {
            let token = std::str::from_utf8(token).map_err(|_| refused(NOT_VALID))?.trim();
            Ok(Some(account(edge, token).await?.title(token)))
        }
    }
}

/// Who signed in at Entra ID.
///
/// # Errors
/// The token does not hold, or nobody signs in there.
pub(super) async fn account(edge: &DeviceEdge, token: &str) -> Result<Account, Refused> {
    let Some(entra) = &edge.windows.entra else {
        return Err(refused("Accounts of Entra ID are not accepted here."));
    };
    entra.verify(token, edge.front.clock.now()).await.map_err(|error| match error {
        OidcError::Refused(why) => {
            tracing::warn!("refused a token of Entra ID: {why}");
            refused(NOT_VALID)
        }
        other => Refused::later(format!("Entra ID: {other}")),
    })
}

fn refused(why: &str) -> Refused {
    Refused::new(FaultKind::Authentication, why)
}
