//! The enrollment profile: the one that turns a device into a managed one.
//!
//! It holds the identity ([`ScepPayload`], first, because some tools pick it by its position), the management
//! ([`MdmPayload`], second), and the root certificates that the device is to trust. Reading is as strict as a device, so
//! that simulated devices refuse what real ones refuse; writing passes the same checks. Never here: signatures, and who may
//! enroll.
//!
//! Start with [`EnrollmentProfile`] (Apple, "MDM" and "SCEP" payloads).

use super::plist::{Dictionary, Value};
use super::profile::{Payload, Profile, ProfileError, derived_uuid};
use super::secret::Secret;

mod payloads;
mod rules;

/// All access rights: every bit that Apple documents.
pub const ALL_ACCESS_RIGHTS: u16 = 8191;

/// An enrollment profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnrollmentProfile {
    /// The profile's `PayloadIdentifier`; those of the payloads begin with it. A later profile with the same one renews
    /// the enrollment.
    pub identifier: String,
    /// The profile's `PayloadUUID`.
    pub uuid: String,
    /// What people see.
    pub display_name: String,
    /// Who manages the device.
    pub organization: Option<String>,
    /// What people read before they install it.
    pub description: Option<String>,
    /// How the device gets its identity.
    pub scep: ScepPayload,
    /// How the device is managed.
    pub mdm: MdmPayload,
    /// Certificates (DER) of the authorities that the device is to trust.
    pub root_certificates: Vec<Vec<u8>>,
}

/// How the device gets its identity: a `com.apple.security.scep` payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScepPayload {
    /// `PayloadUUID`; a new one makes the device generate a new key.
    pub uuid: String,
    /// `URL` of the service, https.
    pub url: String,
    /// `Name` of the authority.
    pub name: Option<String>,
    /// `Subject`: pairs of a short name or object identifier and a value, the outermost first.
    pub subject: Vec<(String, String)>,
    /// `Challenge`: what entitles to a certificate.
    pub challenge: Option<Secret<String>>,
    /// `Keysize` in bits: 1024, 2048 or 4096.
    pub key_size: u16,
    /// `Key Usage`: 1 signing, 4 encryption, 5 both.
    pub key_usage: u8,
    /// `CAFingerprint`: the hash of the certificate of the authority.
    pub ca_fingerprint: Option<Vec<u8>>,
    /// `Retries` after an answer that the request is pending.
    pub retries: u8,
    /// `RetryDelay` in seconds.
    pub retry_delay_seconds: u16,
    /// `KeyIsExtractable`: whether a Mac lets the key out of the keychain.
    pub key_is_extractable: bool,
}

/// How the device is managed: the `com.apple.mdm` payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MdmPayload {
    /// `PayloadUUID`.
    pub uuid: String,
    /// `IdentityCertificateUUID`: the `PayloadUUID` of the identity.
    pub identity_certificate_uuid: String,
    /// `Topic` of the pushes. Never changes during an enrollment.
    pub topic: String,
    /// `ServerURL` for command reports, https. Never changes during an enrollment.
    pub server_url: String,
    /// `CheckInURL` for check-in messages, https; the server URL when absent. Never changes during an enrollment.
    pub check_in_url: Option<String>,
    /// `AccessRights`: bits of [`ALL_ACCESS_RIGHTS`]. May lose bits during an enrollment, never gain any.
    pub access_rights: Option<u16>,
    /// `SignMessage`: whether the device signs every message in the header `Mdm-Signature`.
    pub sign_message: bool,
    /// `CheckOutWhenRemoved`: whether the device says good-bye.
    pub check_out_when_removed: bool,
    /// `UseDevelopmentAPNS`.
    pub use_development_apns: bool,
    /// `ServerCapabilities`. Per-user connections are never added or removed during an enrollment.
    pub server_capabilities: Vec<ServerCapability>,
    /// `EnrollmentMode` with `AssignedManagedAppleID`, for account-driven enrollment.
    pub account: Option<AssignedAccount>,
}

/// What a server offers beyond the basic protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServerCapability {
    /// `com.apple.mdm.per-user-connections`: user channels.
    PerUserConnections,
    /// `com.apple.mdm.bootstraptoken`: it escrows bootstrap tokens.
    BootstrapToken,
    /// `com.apple.mdm.token`: it answers `GetToken`.
    Token,
}

/// The account of an account-driven enrollment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssignedAccount {
    /// `EnrollmentMode`.
    pub mode: EnrollmentMode,
    /// `AssignedManagedAppleID`: the Managed Apple Account.
    pub managed_apple_id: String,
}

/// `EnrollmentMode`: whom the device of an account-driven enrollment belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnrollmentMode {
    /// `BYOD`: to its user.
    Byod,
    /// `ADDE`: to the organization.
    Adde,
}

impl EnrollmentProfile {
    /// Builds a profile whose UUIDs depend only on the arguments: `identifier`, and `identity`, which names the key. The
    /// same `identity` updates the payloads in place; another one makes the device generate a new key.
    pub fn new(identifier: &str, identity: &str, mut scep: ScepPayload, mut mdm: MdmPayload) -> Self {
        scep.uuid = derived_uuid(&[identifier, "scep", identity]);
        mdm.uuid = derived_uuid(&[identifier, "mdm"]);
        mdm.identity_certificate_uuid.clone_from(&scep.uuid);
        Self {
            identifier: identifier.to_owned(),
            uuid: derived_uuid(&[identifier, "profile"]),
            display_name: "Device management".to_owned(),
            organization: None,
            description: None,
            scep,
            mdm,
            root_certificates: Vec::new(),
        }
    }

    /// Writes the profile, not signed.
    ///
    /// # Errors
    /// A rule of [`parse`](Self::parse) is broken.
    pub fn to_xml(&self) -> Result<Vec<u8>, ProfileError> {
        rules::check(self)?;
        Ok(self.to_profile().to_xml())
    }

    /// Reads an enrollment profile, not signed, of at most `max_bytes` bytes, as strictly as a device.
    ///
    /// # Errors
    /// A required entry is missing or malformed, a URL is not https, there is not exactly one `com.apple.mdm` payload, its
    /// identity is not a SCEP payload that stands before it, or an access right lacks the one it needs.
    pub fn parse(bytes: &[u8], max_bytes: usize) -> Result<Self, ProfileError> {
        let profile = Profile::parse(bytes, max_bytes)?;
        let found = rules::find(&profile)?;
        let root_certificates = profile
            .payloads
            .iter()
            .filter(|payload| payload.payload_type == payloads::ROOT)
            .map(payloads::certificate)
            .collect::<Result<_, _>>()?;
        let text = |key| profile.others.get(key).and_then(Value::as_string).map(str::to_owned);
        let enrollment = Self {
            scep: ScepPayload::read(found.scep)?,
            mdm: MdmPayload::read(found.mdm)?,
            root_certificates,
            display_name: profile.display_name().unwrap_or_default().to_owned(),
            organization: text("PayloadOrganization"),
            description: text("PayloadDescription"),
            identifier: profile.identifier,
            uuid: profile.uuid,
        };
        rules::check(&enrollment)?;
        Ok(enrollment)
    }

    fn to_profile(&self) -> Profile {
        let named = [
            ("PayloadDisplayName", Some(&self.display_name)),
            ("PayloadOrganization", self.organization.as_ref()),
            ("PayloadDescription", self.description.as_ref()),
        ];
        let others = named.into_iter().filter_map(|(key, text)| Some((key.to_owned(), Value::from(text?.as_str()))));
        let mut payloads = vec![self.scep.to_payload(&self.identifier), self.mdm.to_payload(&self.identifier)];
        payloads.extend(self.root_certificates.iter().map(|der| payloads::root(&self.identifier, der)));
        Profile {
            identifier: self.identifier.clone(),
            uuid: self.uuid.clone(),
            scope: Some(super::profile::Scope::System),
            payloads,
            others: others.collect(),
        }
    }
}

impl ScepPayload {
    /// A payload with sound settings: 2048 bits for signing and encryption, a key that stays where it is, three retries
    /// ten seconds apart, and the hardware's UUID as its name.
    pub fn new(url: &str) -> Self {
        Self {
            uuid: String::new(),
            url: url.to_owned(),
            name: None,
            subject: vec![("CN".to_owned(), "%HardwareUUID%".to_owned())],
            challenge: None,
            key_size: 2048,
            key_usage: 5,
            ca_fingerprint: None,
            retries: 3,
            retry_delay_seconds: 10,
            key_is_extractable: false,
        }
    }
}

impl MdmPayload {
    /// A payload with sound settings: all access rights and capabilities, signed messages, and a good-bye.
    pub fn new(topic: &str, server_url: &str) -> Self {
        Self {
            uuid: String::new(),
            identity_certificate_uuid: String::new(),
            topic: topic.to_owned(),
            server_url: server_url.to_owned(),
            check_in_url: None,
            access_rights: Some(ALL_ACCESS_RIGHTS),
            sign_message: true,
            check_out_when_removed: true,
            use_development_apns: false,
            server_capabilities: ServerCapability::ALL.to_vec(),
            account: None,
        }
    }

    /// Where the device sends its check-in messages.
    pub fn effective_check_in_url(&self) -> &str {
        self.check_in_url.as_deref().unwrap_or(&self.server_url)
    }
}

impl ServerCapability {
    /// All capabilities.
    pub const ALL: [Self; 3] = [Self::PerUserConnections, Self::BootstrapToken, Self::Token];

    /// The capability as the payload writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PerUserConnections => "com.apple.mdm.per-user-connections",
            Self::BootstrapToken => "com.apple.mdm.bootstraptoken",
            Self::Token => "com.apple.mdm.token",
        }
    }
}

impl EnrollmentMode {
    /// The mode as the payload writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Byod => "BYOD",
            Self::Adde => "ADDE",
        }
    }
}

/// The entries among these that have a value.
fn present<const N: usize>(entries: [(&str, Option<Value>); N]) -> Dictionary {
    entries.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
}

/// A payload of the enrollment profile; its identifier is the profile's and a name.
fn payload(payload_type: &str, profile_identifier: &str, name: &str, uuid: &str, settings: Dictionary) -> Payload {
    Payload {
        payload_type: payload_type.to_owned(),
        identifier: format!("{profile_identifier}.{name}"),
        uuid: uuid.to_owned(),
        settings,
    }
}

#[cfg(test)]
mod tests;
