//! What somebody may see of commands and reports: everything with `?reveal=true`, which is a permission of its own and stands
//! in the audit log; otherwise the secrets are hidden.

use std::borrow::Cow;

use actors::people::NoteReveal;
use protocol::apple::redact::redact;
use protocol::redacted::Redacted;
use protocol::windows;

use super::auth::Admin;
use super::permission::Permission;
use super::reach;
use crate::http::DEADLINE;
use crate::http::edge::AdminEdge;
use crate::http::error::ApiError;

/// The largest document that is looked through for secrets, in bytes; a larger one is hidden.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// Whether somebody sees secrets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sight {
    everything: bool,
}

impl Sight {
    /// What an admin sees of a command's texts, who wants to see secrets or not.
    ///
    /// # Errors
    /// 403: they may not, for some host of the command. The database is away: then it is not shown, because it is not noted.
    pub(super) async fn of(
        admin: &Admin,
        edge: &AdminEdge,
        command_uuid: &str,
        wanted: bool,
    ) -> Result<Self, ApiError> {
        if wanted {
            reach::command_for(admin, edge, command_uuid, Permission::SecretsReveal).await?;
            let what = format!("command {command_uuid}");
            edge.front.people.ask(NoteReveal { what, asked_by: admin.name.clone() }, DEADLINE).await?;
        }
        Ok(Self { everything: wanted })
    }

    /// What they see of a document.
    pub(super) fn show(self, document: &[u8]) -> Cow<'_, [u8]> {
        if self.everything || document.is_empty() {
            return Cow::Borrowed(document);
        }
        let redacted = if windows::syncml::is_fragment(document) {
            windows::redact::redact(document, MAX_BYTES)
        } else {
            redact(document, MAX_BYTES)
        };
        match redacted {
            Redacted::Same => Cow::Borrowed(document),
            Redacted::Other(shown) => Cow::Owned(shown),
        }
    }
}
