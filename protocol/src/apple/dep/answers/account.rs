//! The account: which organization a token speaks for (Apple, "AccountDetail").

use super::{AnswerError, Entries, read};

/// The organization and the server that it knows this one as.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// The name that the organization gave this server.
    pub server_name: String,
    /// Names this server at the service, whatever it is called.
    pub server_uuid: String,
    /// The Apple Account of who downloaded the token; newer answers have it, older ones `facilitator_id`.
    pub admin_id: String,
    /// The name of the organization.
    pub org_name: String,
    /// Its address for mail.
    pub org_email: String,
    /// Its telephone number.
    pub org_phone: String,
    /// Its address.
    pub org_address: String,
    /// Names the organization: the same for all its servers.
    pub org_id: String,
    /// A hash of [`org_id`](Self::org_id).
    pub org_id_hash: String,
    /// `org` or `edu`.
    pub org_type: String,
    /// `v1` or `v2`, for Apple Deployment Programs and Apple Business Manager.
    pub org_version: String,
    /// The most devices that a call for devices may ask for, where the service says so.
    pub max_devices: Option<u64>,
}

impl Account {
    /// Reads the answer of `GET /account`.
    ///
    /// # Errors
    /// See [`AnswerError`]. `server_uuid` has to be there, everything else may be missing.
    pub fn parse(body: &[u8]) -> Result<Self, AnswerError> {
        read(body, |entries| {
            let admin = entries.text("admin_id");
            Ok(Self {
                server_name: entries.text("server_name"),
                server_uuid: entries.name("server_uuid").ok_or(AnswerError::Missing("server_uuid"))?.to_owned(),
                admin_id: if admin.is_empty() { entries.text("facilitator_id") } else { admin },
                org_name: entries.text("org_name"),
                org_email: entries.text("org_email"),
                org_phone: entries.text("org_phone"),
                org_address: entries.text("org_address"),
                org_id: entries.text("org_id"),
                org_id_hash: entries.text("org_id_hash"),
                org_type: entries.text("org_type"),
                org_version: entries.text("org_version"),
                max_devices: max_devices(entries),
            })
        })
    }
}

fn max_devices(account: Entries<'_>) -> Option<u64> {
    let urls = account.array("urls")?.iter().filter_map(|url| url.as_object().map(Entries));
    let of_devices = urls.filter(|url| url.name("uri").is_some_and(|uri| uri.starts_with("/server/devices")));
    of_devices.filter_map(|url| url.object("limit")?.number("maximum")).min()
}
