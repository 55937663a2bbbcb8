//! The payloads of the enrollment profile, written and read.

use openssl::sha::sha256;

use super::{AssignedAccount, EnrollmentMode, MdmPayload, ScepPayload, ServerCapability, payload, present};
use crate::apple::fields::{FieldError, Fields};
use crate::apple::plist::{Dictionary, Value};
use crate::apple::profile::{Payload, ProfileError, derived_uuid};
use crate::apple::secret::Secret;

/// The types of the payloads.
pub(super) const SCEP: &str = "com.apple.security.scep";
pub(super) const MDM: &str = "com.apple.mdm";
pub(super) const ROOT: &str = "com.apple.security.root";

impl ScepPayload {
    pub(super) fn to_payload(&self, profile_identifier: &str) -> Payload {
        let pair = |(name, value): &(String, String)| {
            Value::Array(vec![Value::Array(vec![name.as_str().into(), value.as_str().into()])])
        };
        let content = present([
            ("URL", Some(self.url.as_str().into())),
            ("Name", self.name.as_deref().map(Value::from)),
            ("Subject", Some(Value::Array(self.subject.iter().map(pair).collect()))),
            ("Challenge", self.challenge.as_ref().map(|challenge| challenge.expose().as_str().into())),
            ("Keysize", Some(self.key_size.into())),
            ("Key Type", Some("RSA".into())),
            ("Key Usage", Some(self.key_usage.into())),
            ("CAFingerprint", self.ca_fingerprint.clone().map(Value::Data)),
            ("Retries", Some(self.retries.into())),
            ("RetryDelay", Some(self.retry_delay_seconds.into())),
            ("KeyIsExtractable", Some(self.key_is_extractable.into())),
        ]);
        let settings = present([
            ("PayloadDisplayName", Some("Identity".into())),
            ("PayloadContent", Some(Value::Dictionary(content))),
        ]);
        payload(SCEP, profile_identifier, "scep", &self.uuid, settings)
    }

    pub(super) fn read(payload: &Payload) -> Result<Self, ProfileError> {
        let outer = Fields::new(&payload.settings);
        let content = outer.dictionary("PayloadContent")?.ok_or(FieldError::Missing("PayloadContent"))?;
        if content.string("Key Type")?.is_some_and(|key_type| key_type != "RSA") {
            return Err(ProfileError::Value("Key Type"));
        }
        Ok(Self {
            uuid: payload.uuid.clone(),
            url: content.required_string("URL")?.to_owned(),
            name: content.owned_string("Name")?,
            subject: read_subject(content.array("Subject")?.unwrap_or_default())?,
            challenge: content.owned_string("Challenge")?.map(Secret::new),
            key_size: small(content, "Keysize")?.unwrap_or(1024),
            key_usage: small(content, "Key Usage")?.unwrap_or(0),
            ca_fingerprint: content.data("CAFingerprint")?.map(<[u8]>::to_vec),
            retries: small(content, "Retries")?.unwrap_or(3),
            retry_delay_seconds: small(content, "RetryDelay")?.unwrap_or(10),
            key_is_extractable: content.boolean("KeyIsExtractable")?.unwrap_or(true),
        })
    }
}

impl MdmPayload {
    pub(super) fn to_payload(&self, profile_identifier: &str) -> Payload {
        let capabilities = self.server_capabilities.iter().map(|capability| capability.as_str().into()).collect();
        let account = self.account.as_ref();
        let settings = present([
            ("PayloadDisplayName", Some("Device management".into())),
            ("IdentityCertificateUUID", Some(self.identity_certificate_uuid.as_str().into())),
            ("Topic", Some(self.topic.as_str().into())),
            ("ServerURL", Some(self.server_url.as_str().into())),
            ("CheckInURL", self.check_in_url.as_deref().map(Value::from)),
            ("AccessRights", self.access_rights.map(Value::from)),
            ("SignMessage", Some(self.sign_message.into())),
            ("CheckOutWhenRemoved", Some(self.check_out_when_removed.into())),
            ("UseDevelopmentAPNS", Some(self.use_development_apns.into())),
            ("ServerCapabilities", Some(Value::Array(capabilities))),
            ("EnrollmentMode", account.map(|account| account.mode.as_str().into())),
            ("AssignedManagedAppleID", account.map(|account| account.managed_apple_id.as_str().into())),
        ]);
        payload(MDM, profile_identifier, "mdm", &self.uuid, settings)
    }

    pub(super) fn read(payload: &Payload) -> Result<Self, ProfileError> {
        let fields = Fields::new(&payload.settings);
        let capabilities = fields.array("ServerCapabilities")?.unwrap_or_default();
        Ok(Self {
            uuid: payload.uuid.clone(),
            identity_certificate_uuid: fields.required_string("IdentityCertificateUUID")?.to_owned(),
            topic: fields.required_string("Topic")?.to_owned(),
            server_url: fields.required_string("ServerURL")?.to_owned(),
            check_in_url: fields.owned_string("CheckInURL")?,
            access_rights: small(fields, "AccessRights")?,
            sign_message: fields.boolean("SignMessage")?.unwrap_or(false),
            check_out_when_removed: fields.boolean("CheckOutWhenRemoved")?.unwrap_or(false),
            use_development_apns: fields.boolean("UseDevelopmentAPNS")?.unwrap_or(false),
            server_capabilities: capabilities.iter().map(read_capability).collect::<Result<_, _>>()?,
            account: read_account(fields)?,
        })
    }
}

/// A payload with the certificate of an authority to trust; its name depends on the certificate alone.
pub(super) fn root(profile_identifier: &str, der: &[u8]) -> Payload {
    let fingerprint: String = sha256(der).iter().map(|byte| format!("{byte:02x}")).collect();
    let uuid = derived_uuid(&[profile_identifier, "root", &fingerprint]);
    let settings = Dictionary::from_iter([("PayloadContent".to_owned(), Value::Data(der.to_vec()))]);
    payload(ROOT, profile_identifier, &format!("root.{}", &fingerprint[..16]), &uuid, settings)
}

/// The certificate of an authority to trust.
pub(super) fn certificate(payload: &Payload) -> Result<Vec<u8>, ProfileError> {
    Ok(Fields::new(&payload.settings).required_data("PayloadContent")?.to_vec())
}

/// An integer that fits the type.
fn small<T: TryFrom<i64>>(fields: Fields<'_>, key: &'static str) -> Result<Option<T>, ProfileError> {
    fields.integer(key)?.map(|number| T::try_from(number).map_err(|_| ProfileError::Value(key))).transpose()
}

fn read_capability(value: &Value) -> Result<ServerCapability, ProfileError> {
    let known = |name| ServerCapability::ALL.into_iter().find(|capability| capability.as_str() == name);
    value.as_string().and_then(known).ok_or(ProfileError::Value("ServerCapabilities"))
}

fn read_account(fields: Fields<'_>) -> Result<Option<AssignedAccount>, ProfileError> {
    let mode = match fields.string("EnrollmentMode")? {
        None => return Ok(None),
        Some("BYOD") => EnrollmentMode::Byod,
        Some("ADDE") => EnrollmentMode::Adde,
        Some(_) => return Err(ProfileError::Value("EnrollmentMode")),
    };
    let managed_apple_id = fields.required_string("AssignedManagedAppleID")?.to_owned();
    Ok(Some(AssignedAccount { mode, managed_apple_id }))
}

/// Reads a name as Apple writes it: an array of relative names, each an array of pairs.
fn read_subject(names: &[Value]) -> Result<Vec<(String, String)>, ProfileError> {
    let pair = |value: &Value| match value.as_array().map(Vec::as_slice) {
        Some([Value::String(name), Value::String(text)]) => Ok((name.clone(), text.clone())),
        _ => Err(ProfileError::Value("Subject")),
    };
    let mut pairs = Vec::new();
    for relative in names {
        for value in relative.as_array().ok_or(ProfileError::Value("Subject"))? {
            pairs.push(pair(value)?);
        }
    }
    Ok(pairs)
}
