//! `RequestSecurityToken` (MS-WSTEP, MS-MDE2 3.4): a device asks for its certificate, or for the next one; and the envelope
//! that carries the provisioning document back.
//!
//! Required are the certificate request and, of a device that enrolls, `DeviceID` and `EnrollmentType`. Whatever else a
//! device says is its claim.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::base64_text;
use super::soap::{BASE64, ENROLLMENT, Header, Request, SECURITY, SoapError, answer};
use super::xml::Element;
use crate::time::Timestamp;

/// WS-Trust.
pub const TRUST: &str = "http://docs.oasis-open.org/ws-sx/ws-trust/200512";
/// The namespace of context items.
pub const CONTEXT: &str = "http://schemas.xmlsoap.org/ws/2006/12/authorization";
/// What an answer is.
pub const RESPONSE: &str = "http://schemas.microsoft.com/windows/pki/2009/01/enrollment/RSTRC/wstep";

const TOKEN_TYPE: &str = "http://schemas.microsoft.com/5.0.0.0/ConfigurationManager/Enrollment/DeviceEnrollmentToken";
const DOCUMENT_TYPE: &str =
    "http://schemas.microsoft.com/5.0.0.0/ConfigurationManager/Enrollment/DeviceEnrollmentProvisionDoc";
/// Half of the time for which an answer counts, for clocks that differ.
const LASTS: Duration = Duration::from_secs(300);
/// The longest name of a device, in characters.
const MAX_NAME_CHARS: usize = 255;
/// The longest other value that is kept.
const MAX_VALUE_CHARS: usize = 64;

/// What a device asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenRequest {
    /// To enroll.
    Issue {
        /// The certificate request (PKCS #10).
        csr: Vec<u8>,
        /// What the device says of itself.
        said: Said,
    },
    /// The next certificate.
    Renew {
        /// The certificate request, signed by the present certificate (CMS).
        cms: Vec<u8>,
        /// `DeviceID`, where the device says it.
        device_id: Option<String>,
    },
}

/// What a device that enrolls says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// `DeviceID`: the device's name for itself.
    pub device_id: String,
    /// `HWDevID`: a hash of its hardware.
    pub hardware_id: Option<String>,
    /// `EnrollmentType` is `Device`: the device as a whole, and not through one of its users.
    pub is_device: bool,
    /// `DeviceName`; empty where it does not say.
    pub device_name: String,
    /// `OSEdition`.
    pub os_edition: Option<String>,
    /// `OSVersion`.
    pub os_version: Option<String>,
    /// `ApplicationVersion`.
    pub application_version: Option<String>,
    /// `RequestVersion`.
    pub request_version: Option<String>,
    /// `Locale`.
    pub locale: Option<String>,
    /// `NotInOobe`: false while the device is being set up.
    pub not_in_oobe: Option<bool>,
}

impl TokenRequest {
    /// Reads the message.
    ///
    /// # Errors
    /// It is another one, or something that is required is missing.
    pub fn read(request: &Request) -> Result<Self, SoapError> {
        let asked = request.expect(TRUST, "RequestSecurityToken")?;
        let wanted = asked.child_text(TRUST, "RequestType").ok_or(SoapError::Field("the RequestType is missing"))?;
        let token = asked.child(SECURITY, "BinarySecurityToken");
        let token = token.ok_or(SoapError::Field("the certificate request is missing"))?;
        let value = base64_text(&token.text).filter(|value| !value.is_empty());
        let value = value.ok_or(SoapError::Field("the certificate request is not base64"))?;
        let kind = token.attribute("ValueType").unwrap_or_default();
        let items = Items(asked.child(CONTEXT, "AdditionalContext").map_or(&[], |context| &context.children));
        match wanted.strip_prefix(TRUST).unwrap_or_default() {
            "/Issue" if kind.ends_with("#PKCS10") => Ok(Self::Issue { csr: value, said: items.said()? }),
            "/Renew" if kind.ends_with("#PKCS7") => {
                Ok(Self::Renew { cms: value, device_id: items.name("DeviceID")?.map(str::to_owned) })
            }
            "/Issue" | "/Renew" => Err(SoapError::Field("the certificate request is not of the type that is needed")),
            _ => Err(SoapError::Field("the RequestType is neither Issue nor Renew")),
        }
    }
}

/// Context items. Some come twice: the first with a value counts. Values stand between spaces.
struct Items<'a>(&'a [Element]);

impl<'a> Items<'a> {
    fn get(&self, name: &str) -> Option<&'a str> {
        let of_name = self.0.iter().filter(|item| item.is(CONTEXT, "ContextItem"));
        of_name.filter(|item| item.attribute("Name") == Some(name)).find_map(|item| item.child_text(CONTEXT, "Value"))
    }

    /// A value that becomes part of what the device is called.
    fn name(&self, name: &str) -> Result<Option<&'a str>, SoapError> {
        let value = self.get(name);
        let is_sound = |value: &str| value.chars().count() <= MAX_NAME_CHARS && !value.contains(char::is_control);
        if value.is_some_and(|value| !is_sound(value)) {
            return Err(SoapError::Field("a name of the device is too long, or no name"));
        }
        Ok(value)
    }

    /// Any other value: one that makes no sense is none.
    fn value(&self, name: &str) -> Option<String> {
        let value = self.get(name)?;
        let is_sound = value.chars().count() <= MAX_VALUE_CHARS && !value.contains(char::is_control);
        is_sound.then(|| value.to_owned())
    }

    fn said(&self) -> Result<Said, SoapError> {
        let device_id = self.name("DeviceID")?.ok_or(SoapError::Field("the DeviceID is missing"))?.to_owned();
        let is_device = match self.get("EnrollmentType") {
            Some(kind) if kind.eq_ignore_ascii_case("Device") => true,
            Some(kind) if kind.eq_ignore_ascii_case("Full") => false,
            _ => return Err(SoapError::Field("the EnrollmentType is neither Full nor Device")),
        };
        Ok(Said {
            device_id,
            is_device,
            hardware_id: self.name("HWDevID")?.map(str::to_owned),
            device_name: self.name("DeviceName")?.unwrap_or_default().to_owned(),
            os_edition: self.value("OSEdition"),
            os_version: self.value("OSVersion"),
            application_version: self.value("ApplicationVersion"),
            request_version: self.value("RequestVersion"),
            locale: self.value("Locale"),
            not_in_oobe: self.get("NotInOobe").and_then(|said| said.to_ascii_lowercase().parse().ok()),
        })
    }
}

/// The envelope with a provisioning document in it.
pub fn response(header: &Header<'_>, document: &str, now: Timestamp) -> String {
    let (created, expires) = (moment(now.minus(LASTS)), moment(now.plus(LASTS)));
    let header = Header { lasts: Some((&created, &expires)), ..*header };
    let token = [("xmlns", SECURITY), ("ValueType", DOCUMENT_TYPE), ("EncodingType", BASE64)];
    answer(&header, |writer| {
        writer.element("RequestSecurityTokenResponseCollection", &[("xmlns", TRUST)], |writer| {
            writer.element("RequestSecurityTokenResponse", &[], |writer| {
                writer.leaf("TokenType", &[], TOKEN_TYPE);
                writer.empty("DispositionMessage", &[("xmlns", ENROLLMENT)]);
                writer.element("RequestedSecurityToken", &[], |writer| {
                    writer.leaf("BinarySecurityToken", &token, &STANDARD.encode(document));
                });
                writer.leaf("RequestID", &[("xmlns", ENROLLMENT)], "0");
            });
        });
    })
}

/// A moment with the three digits of milliseconds that Windows expects.
fn moment(at: Timestamp) -> String {
    let whole = Timestamp::from_seconds(at.seconds()).to_rfc3339();
    format!("{}.000Z", whole.trim_end_matches('Z'))
}

#[cfg(test)]
mod tests;
