//! What a device gets of a profile: its version with the host's values and the secrets in their places. They are put in when
//! a command is handed out, and stand nowhere before.

use std::collections::BTreeMap;

use bytes::Bytes;
use entities::host_profile::report;
use entities::owner::{self, Owner};
use entities::{Reader, StoreError, host, secret_variable};
use protocol::apple::command::Command;
use protocol::ids::{CommandUuid, HostId};
use protocol::time::Timestamp;
use protocol::variables::{self, Escape, HostVariable, Variable};
use zeroize::Zeroizing;

use super::HostParts;
use super::report::read_body;
use crate::profiles::contents::Contents;
use crate::profiles::reference::Reference;

/// Values for the variables of one profile on one host.
pub(crate) struct Values {
    host: host::Model,
    owner: Option<Owner>,
    profile_id: i64,
    secrets: BTreeMap<String, Zeroizing<String>>,
}

/// The text of a command for an Apple device, as it is handed out. One that cannot be made is taken out of the way.
pub(super) async fn handed_out(
    parts: &HostParts,
    host: HostId,
    (entry, uuid): (i64, CommandUuid),
    body: Option<Bytes>,
    now: Timestamp,
) -> Result<Bytes, StoreError> {
    let body = match body {
        Some(body) => body,
        None => read_body(&parts.reader, &parts.writer, entry, now).await?,
    };
    let Some(reference) = Reference::read(&body) else { return Ok(body) };
    let rendered = match reference {
        Reference::Install(content) => rendered(parts, host, content, Escape::Xml).await,
        Reference::Remove(_) | Reference::Verify => {
            Err(StoreError::Unreadable("only Windows has this kind of command".to_owned()))
        }
    };
    match rendered {
        Ok(text) => Ok(Command::install_profile(uuid, &text).to_xml().into()),
        Err(StoreError::Unreadable(why)) => {
            give_up(parts, host, (entry, &uuid), &why, now).await?;
            Err(StoreError::Unreadable(why))
        }
        Err(other) => Err(other),
    }
}

/// A profile that cannot be delivered: its command is parked, and the host's page says why.
pub(crate) async fn give_up(
    parts: &HostParts,
    host: HostId,
    (entry, uuid): (i64, &CommandUuid),
    why: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    tracing::warn!(host.id = host.0, command.uuid = %uuid, "a profile cannot be delivered: {why}");
    let why = format!("The profile could not be delivered: {why}.");
    report::give_up(&parts.writer, entry, host.0, uuid.as_str().to_owned(), why, now.millis()).await
}

/// A version of a profile with everything in its place.
///
/// # Errors
/// [`StoreError::Unreadable`] says what is missing; otherwise the database does not answer.
pub(crate) async fn rendered(
    parts: &HostParts,
    host: HostId,
    content: i64,
    escape: Escape,
) -> Result<Vec<u8>, StoreError> {
    rendered_by(&parts.reader, &parts.contents, host, content, escape).await
}

/// The same for whoever is no host.
///
/// # Errors
/// See [`rendered`].
pub(crate) async fn rendered_by(
    reader: &Reader,
    contents: &Contents,
    host: HostId,
    content: i64,
    escape: Escape,
) -> Result<Vec<u8>, StoreError> {
    let content = contents.get(reader, content).await?;
    let Ok(text) = std::str::from_utf8(&content.body) else { return Ok(content.body.clone()) };
    let named = variables::find(text).map_err(|error| StoreError::Unreadable(error.to_string()))?;
    if named.is_empty() {
        return Ok(content.body.clone());
    }
    let secrets = named.iter().filter_map(|found| match &found.variable {
        Variable::Secret(name) => Some(name.clone()),
        Variable::Host(_) => None,
    });
    let values = Values::read(reader, host, content.profile_id, secrets.collect()).await?;
    let rendered = variables::render(text, &|variable| values.of(variable), escape);
    rendered.map(String::into_bytes).map_err(|error| StoreError::Unreadable(error.to_string()))
}

/// What a host calls the certificate that it gets by a profile.
pub(super) fn certificate_id(host: HostId, profile_id: i64) -> String {
    format!("rookery-{}-{profile_id}", host.0)
}

impl Values {
    /// Reads what the variables of a profile stand for on a host.
    pub(crate) async fn read(
        reader: &Reader,
        host: HostId,
        profile_id: i64,
        secrets: Vec<String>,
    ) -> Result<Self, StoreError> {
        let gone = || StoreError::Unreadable("the host is gone".to_owned());
        let row = host::by_id(reader, host.0).await?.ok_or_else(gone)?;
        let secrets =
            if secrets.is_empty() { BTreeMap::new() } else { secret_variable::values(reader, secrets).await? };
        let owner = owner::of_host(reader, host.0).await?;
        Ok(Self { host: row, owner, profile_id, secrets })
    }

    /// The value of a variable; `None` where this host has none.
    pub(crate) fn of(&self, variable: &Variable) -> Option<String> {
        match variable {
            Variable::Secret(name) => self.secrets.get(name).map(|value| value.as_str().to_owned()),
            Variable::Host(HostVariable::Uuid) => self.host.uuid.clone(),
            Variable::Host(HostVariable::HardwareSerial) => self.host.serial.clone(),
            Variable::Host(HostVariable::Platform) if self.host.platform == "darwin" => Some("macos".to_owned()),
            Variable::Host(HostVariable::Platform) => Some(self.host.platform.clone()),
            // The same each time the profile is sent, and another one for each profile.
            Variable::Host(HostVariable::ScepWindowsCertificateId) => {
                Some(certificate_id(HostId(self.host.id), self.profile_id))
            }
            Variable::Host(HostVariable::EndUserEmail) => self.of_owner(|owner| owner.account.email.clone()),
            Variable::Host(HostVariable::EndUserName) => self.of_owner(|owner| owner.user_name().to_owned()),
            Variable::Host(HostVariable::EndUserLocalPart) => {
                self.of_owner(|owner| owner.user_name().split('@').next().unwrap_or_default().to_owned())
            }
            Variable::Host(HostVariable::EndUserFullName) => self.of_owner(Owner::full_name),
            Variable::Host(HostVariable::EndUserDepartment) => self.of_owner(|owner| owner.department().to_owned()),
            Variable::Host(HostVariable::EndUserGroups) => self.of_owner(|owner| owner.groups.join(",")),
            Variable::Host(_) => None, // no certificate is renewed by marks yet
        }
    }
    /// What is known of the host's owner; nothing where it is empty.
    fn of_owner(&self, text: impl Fn(&Owner) -> String) -> Option<String> {
        self.owner.as_ref().map(text).filter(|text| !text.is_empty())
    }
}
