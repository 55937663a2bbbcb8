//! What a device shows to be let in, and what that entitles it to.

use entities::windows_admission::Title;
use openssl::sha::sha256;
use protocol::windows::soap::{Credential, FaultKind};
use protocol::windows::token::AccessToken;

use crate::http::edge::DeviceEdge;
use crate::http::error::Refused;

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
pub(super) async fn title_if_any(_edge: &DeviceEdge, credential: &Credential) -> Result<Option<Title>, Refused> {
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
        Credential::Jwt(_) => Err(refused("Accounts of Entra ID are not accepted here.")),
    }
}

fn refused(why: &str) -> Refused {
    Refused::new(FaultKind::Authentication, why)
}
