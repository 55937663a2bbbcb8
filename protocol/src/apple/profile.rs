//! Configuration profiles: the outer document and its payloads, as far as they are the same in every profile.
//!
//! Never here: what the single payloads mean, signatures and encryption. The enrollment profile is in
//! [`enrollment_profile`](super::enrollment_profile).
//!
//! Start with [`Profile`] (Apple, "TopLevel" and "CommonPayloadKeys").

use std::fmt;

use openssl::sha::Sha256;
use uuid::Uuid;

use super::fields::{FieldError, Fields};
use super::plist::{Dictionary, PlistError, Value, parse, to_xml};

/// The `Content-Type` of a configuration profile.
pub const CONTENT_TYPE: &str = "application/x-apple-aspen-config";

/// A configuration profile.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// `PayloadIdentifier`: a profile with the same one is replaced.
    pub identifier: String,
    /// `PayloadUUID`.
    pub uuid: String,
    /// `PayloadScope`, for Macs only.
    pub scope: Option<Scope>,
    /// What its payloads do, in their order.
    pub payloads: Vec<Payload>,
    /// All other entries, for example `PayloadDisplayName` and `PayloadOrganization`.
    pub others: Dictionary,
}

/// One payload of a profile. Its settings may be secrets, so `Debug` leaves them out.
#[derive(Clone, PartialEq)]
pub struct Payload {
    /// `PayloadType`, for example `com.apple.mdm`.
    pub payload_type: String,
    /// `PayloadIdentifier`: together with the UUID it decides whether a payload is updated in place.
    pub identifier: String,
    /// `PayloadUUID`.
    pub uuid: String,
    /// All other entries: its settings.
    pub settings: Dictionary,
}

/// `PayloadScope`: whom a profile on a Mac is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The whole Mac.
    System,
    /// The user who installs it.
    User,
}

/// Why a document is not a configuration profile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// The document is not a property list that this server reads.
    #[error(transparent)]
    Plist(#[from] PlistError),
    /// An entry is missing or not as documented.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// An entry has a value that Apple does not document.
    #[error("{0} has an undocumented value")]
    Value(&'static str),
    /// Two payloads, or the profile and a payload, have the same `PayloadUUID`.
    #[error("two payloads have the same PayloadUUID")]
    DuplicateUuid,
    /// The profile breaks a rule of enrollment profiles.
    #[error("{0}")]
    Enrollment(&'static str),
}

/// A UUID that depends on these parts and nothing else, in upper case as Apple writes it (RFC 9562, version 8).
pub fn derived_uuid(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        // The length keeps ("ab", "c") and ("a", "bc") apart.
        hash.update(&(part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.finish()[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid().hyphenated().encode_upper(&mut Uuid::encode_buffer()).to_owned()
}

impl Profile {
    /// Reads a configuration profile, not signed, of at most `max_bytes` bytes.
    ///
    /// # Errors
    /// See [`ProfileError`].
    pub fn parse(bytes: &[u8], max_bytes: usize) -> Result<Self, ProfileError> {
        let Value::Dictionary(mut entries) = parse(bytes, max_bytes)? else {
            return Err(FieldError::NotADictionary.into());
        };
        let fields = Fields::new(&entries);
        if fields.required_string("PayloadType")? != "Configuration" {
            return Err(ProfileError::Value("PayloadType"));
        }
        let (identifier, uuid) = names(fields)?;
        let scope = match fields.string("PayloadScope")? {
            None => None,
            Some("System") => Some(Scope::System),
            Some("User") => Some(Scope::User),
            Some(_) => return Err(ProfileError::Value("PayloadScope")),
        };
        let content = fields.array("PayloadContent")?.ok_or(FieldError::Missing("PayloadContent"))?;
        let payloads: Vec<Payload> = content.iter().map(Payload::read).collect::<Result<_, _>>()?;
        for key in
            ["PayloadType", "PayloadIdentifier", "PayloadUUID", "PayloadVersion", "PayloadScope", "PayloadContent"]
        {
            entries.remove(key);
        }
        let profile = Self { identifier, uuid, scope, payloads, others: entries };
        if profile.has_duplicate_uuid() { Err(ProfileError::DuplicateUuid) } else { Ok(profile) }
    }

    /// The profile as a device reads it, not signed.
    pub fn to_xml(&self) -> Vec<u8> {
        let content = self.payloads.iter().map(Payload::to_value).collect();
        let mut entries = common("Configuration", &self.identifier, &self.uuid);
        entries.insert("PayloadContent".to_owned(), Value::Array(content));
        if let Some(scope) = self.scope {
            entries.insert("PayloadScope".to_owned(), scope.as_str().into());
        }
        entries.extend(self.others.clone());
        to_xml(&Value::Dictionary(entries))
    }

    /// `PayloadDisplayName`: what people see.
    pub fn display_name(&self) -> Option<&str> {
        self.others.get("PayloadDisplayName").and_then(Value::as_string)
    }

    fn has_duplicate_uuid(&self) -> bool {
        let mut uuids: Vec<String> = self.payloads.iter().map(|payload| payload.uuid.to_ascii_uppercase()).collect();
        uuids.push(self.uuid.to_ascii_uppercase());
        uuids.sort_unstable();
        uuids.windows(2).any(|pair| pair[0] == pair[1])
    }
}

impl Payload {
    fn read(value: &Value) -> Result<Self, ProfileError> {
        let mut entries = value.as_dictionary().ok_or(FieldError::NotADictionary)?.clone();
        let fields = Fields::new(&entries);
        let payload_type = fields.required_string("PayloadType")?.to_owned();
        let (identifier, uuid) = names(fields)?;
        for key in ["PayloadType", "PayloadIdentifier", "PayloadUUID", "PayloadVersion"] {
            entries.remove(key);
        }
        Ok(Self { payload_type, identifier, uuid, settings: entries })
    }

    fn to_value(&self) -> Value {
        let mut entries = common(&self.payload_type, &self.identifier, &self.uuid);
        entries.extend(self.settings.clone());
        Value::Dictionary(entries)
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Payload")
            .field("payload_type", &self.payload_type)
            .field("identifier", &self.identifier)
            .field("uuid", &self.uuid)
            .finish_non_exhaustive()
    }
}

impl Scope {
    /// The scope as profiles write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::System => "System",
            Self::User => "User",
        }
    }
}

/// The entries that profiles and payloads have in common.
fn common(payload_type: &str, identifier: &str, uuid: &str) -> Dictionary {
    Dictionary::from_iter([
        ("PayloadType".to_owned(), Value::from(payload_type)),
        ("PayloadVersion".to_owned(), Value::from(1)),
        ("PayloadIdentifier".to_owned(), Value::from(identifier)),
        ("PayloadUUID".to_owned(), Value::from(uuid)),
    ])
}

/// Reads the identifier and the UUID, and checks the version.
fn names(fields: Fields<'_>) -> Result<(String, String), ProfileError> {
    match fields.integer("PayloadVersion")? {
        Some(1) => {}
        Some(_) => return Err(ProfileError::Value("PayloadVersion")),
        None => return Err(FieldError::Missing("PayloadVersion").into()),
    }
    let identifier = fields.id("PayloadIdentifier")?.ok_or(FieldError::Missing("PayloadIdentifier"))?;
    let uuid = fields.id("PayloadUUID")?.ok_or(FieldError::Missing("PayloadUUID"))?;
    Ok((identifier.to_owned(), uuid.to_owned()))
}

#[cfg(test)]
mod tests;
