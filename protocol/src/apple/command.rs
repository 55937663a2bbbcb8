//! The command document: `{CommandUUID, Command: {RequestType, …}}`, as a device receives it.
//!
//! Arguments may be secrets (passwords, unlock tokens), so `Debug` shows none of them. Never here: which command a host is
//! sent next, and whether an administrator may send it. What is known of each type stands in
//! [`request_types`](super::request_types) and [`command_keys`].
//!
//! Start with [`Command`].

use std::fmt;

use serde_json::{Map, Value as Json};

use super::command_keys::{self, ArgumentError};
use super::fields::{FieldError, Fields};
use super::json::{self, JsonError};
use super::plist::{Dictionary, PlistError, Value, parse, to_xml};
use crate::ids::CommandUuid;

/// The longest `RequestType`, in characters. Apple's longest has 31.
pub const MAX_REQUEST_TYPE_CHARS: usize = 128;

/// A command.
#[derive(Clone, PartialEq)]
pub struct Command {
    uuid: CommandUuid,
    request_type: String,
    /// The entries of the document's `Command`, with `RequestType` among them.
    entries: Dictionary,
}

/// Why a document is not a command. The administrator has to send something else.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// The document is not a property list that this server reads.
    #[error(transparent)]
    Plist(#[from] PlistError),
    /// The JSON form holds what no property list can.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// An entry is missing or not as documented.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// `RequestType` is not 1 to 128 ASCII letters, digits, dots, hyphens and underscores.
    #[error("RequestType is not a name of 1 to 128 letters, digits, dots, hyphens and underscores")]
    RequestType,
}

/// The arguments of `DeviceLock`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct DeviceLock {
    /// What the locked screen says.
    pub message: Option<String>,
    /// The number that the locked screen offers.
    pub phone_number: Option<String>,
    /// Six digits that unlock a Mac; Macs require it.
    pub pin: Option<String>,
}

/// The arguments of `EraseDevice`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct EraseDevice {
    /// Six digits that unlock a Mac with an Intel processor.
    pub pin: Option<String>,
    /// Keeps the data plan of an iPhone or iPad.
    pub preserve_data_plan: Option<bool>,
    /// Skips setup by a device nearby.
    pub disallow_proximity_setup: Option<bool>,
    /// What a Mac does when it cannot erase its content and settings, for example `DoNotObliterate`.
    pub obliteration_behavior: Option<String>,
}

impl Command {
    /// Reads a command document of at most `max_bytes` bytes. A document without `CommandUUID` gets `fallback`; entries
    /// beside `CommandUUID` and `Command` are dropped.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub fn parse(bytes: &[u8], max_bytes: usize, fallback: CommandUuid) -> Result<Self, CommandError> {
        let Value::Dictionary(mut document) = parse(bytes, max_bytes)? else {
            return Err(FieldError::NotADictionary.into());
        };
        let uuid = match Fields::new(&document).id("CommandUUID")? {
            Some(text) => CommandUuid::parse(text).ok_or(FieldError::BadCharacter("CommandUUID"))?,
            None => fallback,
        };
        let Some(Value::Dictionary(entries)) = document.remove("Command") else {
            return Err(FieldError::Missing("Command").into());
        };
        Self::from_entries(uuid, entries)
    }

    /// Builds a command from our JSON form: the entries of the document's `Command` as one object, with the type as
    /// `request_type` or `RequestType`, and a name as `command_uuid` if it shall have another than `fallback`. Data is Base64
    /// text where the type's keys are known; elsewhere see [`json`].
    ///
    /// # Errors
    /// See [`CommandError`].
    pub fn from_json(mut form: Map<String, Json>, fallback: CommandUuid) -> Result<Self, CommandError> {
        let uuid = match form.remove("command_uuid") {
            Some(name) => {
                let name = name.as_str().and_then(CommandUuid::parse);
                name.ok_or(FieldError::BadCharacter("command_uuid"))?
            }
            None => fallback,
        };
        if let Some(request_type) = form.remove("request_type") {
            form.insert("RequestType".to_owned(), request_type);
        }
        let Value::Dictionary(mut entries) = json::to_value(&Json::Object(form))? else {
            return Err(FieldError::NotADictionary.into());
        };
        if let Some(request_type) = entries.get("RequestType").and_then(Value::as_string).map(str::to_owned) {
            command_keys::read_base64(&request_type, &mut entries);
        }
        Self::from_entries(uuid, entries)
    }

    /// Builds a command of any type, also one that this server does not know.
    ///
    /// # Errors
    /// [`CommandError::RequestType`].
    pub fn new(uuid: CommandUuid, request_type: &str, mut arguments: Dictionary) -> Result<Self, CommandError> {
        arguments.insert("RequestType".to_owned(), request_type.into());
        Self::from_entries(uuid, arguments)
    }

    /// The same command under another name.
    #[must_use]
    pub fn with_uuid(self, uuid: CommandUuid) -> Self {
        Self { uuid, ..self }
    }

    /// The name of this command.
    pub const fn uuid(&self) -> &CommandUuid {
        &self.uuid
    }

    /// The type of this command.
    pub fn request_type(&self) -> &str {
        &self.request_type
    }

    /// `RequestType` and the arguments.
    pub const fn entries(&self) -> &Dictionary {
        &self.entries
    }

    /// Checks the arguments of a type that Apple documents; others have nothing wrong.
    ///
    /// # Errors
    /// The first argument that is absent or of the wrong type.
    pub fn check(&self) -> Result<(), ArgumentError> {
        command_keys::check(&self.request_type, &self.entries)
    }

    /// The command document as a device reads it.
    pub fn to_xml(&self) -> Vec<u8> {
        to_xml(&Value::Dictionary(Dictionary::from_iter([
            ("Command".to_owned(), Value::Dictionary(self.entries.clone())),
            ("CommandUUID".to_owned(), Value::String(self.uuid.as_str().to_owned())),
        ])))
    }

    fn from_entries(uuid: CommandUuid, entries: Dictionary) -> Result<Self, CommandError> {
        let request_type = Fields::new(&entries).required_string("RequestType")?.to_owned();
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        if request_type.len() > MAX_REQUEST_TYPE_CHARS || !request_type.bytes().all(allowed) {
            return Err(CommandError::RequestType);
        }
        Ok(Self { uuid, request_type, entries })
    }
}

/// The commands that this server sends on its own account.
impl Command {
    /// `InstallProfile`: installs a configuration profile, plain or signed, or replaces the one with its identifier.
    pub fn install_profile(uuid: CommandUuid, profile: &[u8]) -> Self {
        Self::known(uuid, "InstallProfile", [("Payload", Some(Value::Data(profile.to_vec())))])
    }

    /// `RemoveProfile`: removes the configuration profile with this identifier.
    pub fn remove_profile(uuid: CommandUuid, identifier: &str) -> Self {
        Self::known(uuid, "RemoveProfile", [("Identifier", Some(identifier.into()))])
    }

    /// `DeviceInformation`: asks for these facts.
    pub fn device_information(uuid: CommandUuid, queries: &[&str]) -> Self {
        let queries = queries.iter().map(|query| Value::from(*query)).collect();
        Self::known(uuid, "DeviceInformation", [("Queries", Some(Value::Array(queries)))])
    }

    /// `DeclarativeManagement`: tells of a changed set of declarations. `tokens` is the `tokens` document; with it the
    /// device need not ask for it.
    pub fn declarative_management(uuid: CommandUuid, tokens: Option<Vec<u8>>) -> Self {
        Self::known(uuid, "DeclarativeManagement", [("Data", tokens.map(Value::Data))])
    }

    /// `SecurityInfo`: asks for the state of encryption, passcode and firewall.
    pub fn security_info(uuid: CommandUuid) -> Self {
        Self::known(uuid, "SecurityInfo", [])
    }

    /// `ProfileList`: asks for the installed configuration profiles, `managed_only` for those of this server.
    pub fn profile_list(uuid: CommandUuid, managed_only: bool) -> Self {
        Self::known(uuid, "ProfileList", [("ManagedOnly", Some(managed_only.into()))])
    }

    /// `InstalledApplicationList`: asks for the installed applications, `managed_only` for those of this server.
    pub fn installed_application_list(uuid: CommandUuid, managed_only: bool) -> Self {
        Self::known(uuid, "InstalledApplicationList", [("ManagedAppsOnly", Some(managed_only.into()))])
    }

    /// `CertificateList`: asks for the installed certificates, `managed_only` for those of this server.
    pub fn certificate_list(uuid: CommandUuid, managed_only: bool) -> Self {
        Self::known(uuid, "CertificateList", [("ManagedOnly", Some(managed_only.into()))])
    }

    /// `DeviceLock`: locks the device at once.
    pub fn device_lock(uuid: CommandUuid, arguments: DeviceLock) -> Self {
        let DeviceLock { message, phone_number, pin } = arguments;
        Self::known(
            uuid,
            "DeviceLock",
            [
                ("Message", message.map(Value::from)),
                ("PhoneNumber", phone_number.map(Value::from)),
                ("PIN", pin.map(Value::from)),
            ],
        )
    }

    /// `EraseDevice`: erases the device at once.
    pub fn erase_device(uuid: CommandUuid, arguments: EraseDevice) -> Self {
        let EraseDevice { pin, preserve_data_plan, disallow_proximity_setup, obliteration_behavior } = arguments;
        Self::known(
            uuid,
            "EraseDevice",
            [
                ("PIN", pin.map(Value::from)),
                ("PreserveDataPlan", preserve_data_plan.map(Value::from)),
                ("DisallowProximitySetup", disallow_proximity_setup.map(Value::from)),
                ("ObliterationBehavior", obliteration_behavior.map(Value::from)),
            ],
        )
    }

    /// `RestartDevice`: restarts the device; `notify_user` lets the user of a Mac choose the moment.
    pub fn restart_device(uuid: CommandUuid, notify_user: bool) -> Self {
        Self::known(uuid, "RestartDevice", [("NotifyUser", Some(notify_user.into()))])
    }

    /// `DeviceConfigured`: lets a device that waits in Setup Assistant go on.
    pub fn device_configured(uuid: CommandUuid) -> Self {
        Self::known(uuid, "DeviceConfigured", [])
    }

    /// `EnableLostMode`: locks a supervised iPhone or iPad, which shows the message.
    pub fn enable_lost_mode(uuid: CommandUuid, message: &str) -> Self {
        Self::known(uuid, "EnableLostMode", [("Message", Some(message.into()))])
    }

    /// `DisableLostMode`: unlocks what [`enable_lost_mode`](Self::enable_lost_mode) locked.
    pub fn disable_lost_mode(uuid: CommandUuid) -> Self {
        Self::known(uuid, "DisableLostMode", [])
    }

    fn known<const N: usize>(
        uuid: CommandUuid,
        request_type: &'static str,
        arguments: [(&str, Option<Value>); N],
    ) -> Self {
        let present = arguments.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
        let request_type = request_type.to_owned();
        let named = [("RequestType".to_owned(), Value::String(request_type.clone()))];
        Self { uuid, request_type, entries: named.into_iter().chain(present).collect() }
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Command")
            .field("uuid", &self.uuid)
            .field("request_type", &self.request_type)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
