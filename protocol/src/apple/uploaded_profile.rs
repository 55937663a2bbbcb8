//! A configuration profile that an admin uploads (`.mobileconfig`), checked for what every device would refuse and for what
//! is the server's own business.
//!
//! Its bytes are kept and delivered as they came; a signed one could not be changed anyway, and so holds no variables. What
//! the single payloads set is Apple's to judge: nothing is checked here that only a device can know.
//!
//! Start with [`UploadedProfile::parse`].

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::fmt;

use super::fields::{FieldError, Fields};
use super::plist::{Dictionary, PlistError, Value, parse};
use super::profile::Scope;
use crate::pki::signature::{SignatureError, verify_upload};
use crate::profile_name::{NameError, check_name};
use crate::upload::MAX_UPLOAD_BYTES;
use crate::variables::{self, Found, HostVariable, Variable, VariableError};

mod reserved;

use reserved::Reserved;

/// What the server has to know of an uploaded profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadedProfile {
    /// `PayloadIdentifier`: a device has one profile of each.
    pub identifier: String,
    /// `PayloadDisplayName`.
    pub name: String,
    /// `PayloadScope`; the whole device where the profile does not say.
    pub scope: Scope,
    /// What is put in when it is delivered.
    pub variables: BTreeSet<Variable>,
    /// The `PayloadType` of each payload, in their order; none of an encrypted profile.
    pub payload_types: Vec<String>,
    /// Whether it is signed: then it is delivered exactly as it is.
    pub signed: bool,
}

/// Why a profile is refused: where, and what.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {fault}")]
pub struct UploadError {
    /// In which part of the profile.
    pub place: Place,
    /// Which rule is broken.
    pub fault: UploadFault,
}

/// A part of a profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The outer document.
    Profile,
    /// One of its payloads.
    Payload {
        /// Which one, counted from 1.
        number: usize,
        /// Its `PayloadType` and `PayloadIdentifier`, as far as it has them.
        names: Vec<String>,
    },
}

/// The rules of uploaded profiles, as they are broken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UploadFault {
    /// Larger than [`MAX_UPLOAD_BYTES`].
    #[error("the profile is larger than {MAX_UPLOAD_BYTES} bytes")]
    TooLarge,
    /// Not a property list that this server reads.
    #[error("not an XML property list: {0}")]
    Plist(#[from] PlistError),
    /// It looks signed, and the signature is not one.
    #[error("not a signed profile: {0}")]
    Signature(#[from] SignatureError),
    /// An entry is missing or of another type.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// An entry has another value than the only ones there are.
    #[error("{key} has to be {expected}")]
    Value {
        /// The entry.
        key: &'static str,
        /// The values.
        expected: &'static str,
    },
    /// The name cannot be one.
    #[error("PayloadDisplayName: {0}")]
    Name(#[from] NameError),
    /// Another payload (or the profile) has the same `PayloadUUID`.
    #[error("PayloadUUID is the same as that of {0}")]
    DuplicateUuid(Place),
    /// A payload or an identifier that is the server's.
    #[error(transparent)]
    Reserved(#[from] Reserved),
    /// A variable that is none.
    #[error(transparent)]
    Variable(#[from] VariableError),
    /// A variable that Windows profiles alone may ask for.
    #[error("${0} is for Windows profiles")]
    WindowsVariable(Variable),
    /// A variable in an entry by which the server or the device tells profiles apart.
    #[error("{0} holds a variable, and has to be the same on every host")]
    VariableIn(&'static str),
    /// A signed profile with variables.
    #[error("the profile is signed, so that ${0} could not be put in; upload it without its signature")]
    SignedVariable(Variable),
}

impl UploadedProfile {
    /// Reads the profile that an admin uploads: an XML property list, or one inside a CMS signature.
    ///
    /// # Errors
    /// See [`UploadFault`].
    pub fn parse(bytes: &[u8]) -> Result<Self, UploadError> {
        let at_profile = |fault: UploadFault| UploadError { place: Place::Profile, fault };
        if bytes.len() > MAX_UPLOAD_BYTES {
            return Err(at_profile(UploadFault::TooLarge));
        }
        // The tag of a SEQUENCE, which is also the digit 0: no property list begins with it.
        let signed = bytes.first() == Some(&0x30);
        let content = if signed { Cow::Owned(opened(bytes).map_err(at_profile)?) } else { Cow::Borrowed(bytes) };
        let found = found_in(&content).map_err(at_profile)?;
        if let Some(first) = found.first().filter(|_| signed) {
            return Err(at_profile(UploadFault::SignedVariable(first.variable.clone())));
        }
        let value = parse(&stand_ins(&content, &found), MAX_UPLOAD_BYTES).map_err(|fault| at_profile(fault.into()))?;
        let entries = value.as_dictionary().ok_or_else(|| at_profile(FieldError::NotADictionary.into()))?;
        let mut profile = Self::read_outer(entries).map_err(at_profile)?;
        profile.payload_types = read_payloads(entries)?;
        profile.signed = signed;
        profile.variables = found.into_iter().map(|found| found.variable).collect();
        Ok(profile)
    }

    fn read_outer(entries: &Dictionary) -> Result<Self, UploadFault> {
        let fields = Fields::new(entries);
        if fields.required_string("PayloadType")? != "Configuration" {
            return Err(UploadFault::Value { key: "PayloadType", expected: "Configuration" });
        }
        let identifier = common(fields)?;
        reserved::check_identifier(identifier)?;
        no_variable("PayloadIdentifier", identifier)?;
        let name = fields.required_string("PayloadDisplayName")?;
        check_name(name)?;
        no_variable("PayloadDisplayName", name)?;
        let scope = match fields.string("PayloadScope")? {
            None | Some("System") => Scope::System,
            Some("User") => Scope::User,
            Some(_) => return Err(UploadFault::Value { key: "PayloadScope", expected: "System or User" }),
        };
        let (identifier, name) = (identifier.to_owned(), name.to_owned());
        Ok(Self { identifier, name, scope, variables: BTreeSet::new(), payload_types: Vec::new(), signed: false })
    }
}

/// Refuses an entry that would differ from host to host.
fn no_variable(key: &'static str, text: &str) -> Result<(), UploadFault> {
    if variables::find(text)?.is_empty() { Ok(()) } else { Err(UploadFault::VariableIn(key)) }
}

/// What a signed profile signs.
fn opened(bytes: &[u8]) -> Result<Vec<u8>, UploadFault> {
    verify_upload(bytes)?.content.ok_or_else(|| SignatureError::NoContent.into())
}

/// The variables of a document. What is not text the reader refuses, with the place.
fn found_in(content: &[u8]) -> Result<Vec<Found>, UploadFault> {
    let found = variables::find(str::from_utf8(content).unwrap_or_default())?;
    let foreign = |found: &&Found| matches!(found.variable, Variable::Host(HostVariable::ScepWindowsCertificateId));
    match found.iter().find(foreign) {
        Some(found) => Err(UploadFault::WindowsVariable(found.variable.clone())),
        None => Ok(found),
    }
}

/// The document as a reader takes it before there are values: data, numbers and dates have some instead of their variables.
fn stand_ins<'a>(content: &'a [u8], found: &[Found]) -> Cow<'a, [u8]> {
    let Some(text) = str::from_utf8(content).ok().filter(|_| !found.is_empty()) else { return Cow::Borrowed(content) };
    let mut read = String::with_capacity(text.len());
    let (mut copied, mut passed, mut element) = (0, 0, "");
    for Found { range, .. } in found {
        // Without a tag between them, two variables stand in the same element.
        if let Some((_, after)) = text[passed..range.start].rsplit_once('<') {
            element = after;
        }
        passed = range.end;
        let stand_in = match element.split_once('>').map_or("", |(name, _)| name.trim_end()) {
            "data" => "",
            "integer" | "real" => "1",
            "date" => "2000-01-01T00:00:00Z",
            _ => continue,
        };
        read.push_str(&text[copied..range.start]);
        read.push_str(stand_in);
        copied = range.end;
    }
    read.push_str(&text[copied..]);
    Cow::Owned(read.into_bytes())
}

/// The entries that a profile and its payloads have in common: their identifier.
fn common(fields: Fields<'_>) -> Result<&str, UploadFault> {
    match fields.integer("PayloadVersion")? {
        Some(1) => {}
        Some(_) => return Err(UploadFault::Value { key: "PayloadVersion", expected: "1" }),
        None => return Err(FieldError::Missing("PayloadVersion").into()),
    }
    fields.id("PayloadUUID")?.ok_or(FieldError::Missing("PayloadUUID"))?;
    Ok(fields.id("PayloadIdentifier")?.ok_or(FieldError::Missing("PayloadIdentifier"))?)
}

/// Checks all payloads; their types. An encrypted profile has none that can be read.
fn read_payloads(entries: &Dictionary) -> Result<Vec<String>, UploadError> {
    let outer = Fields::new(entries);
    let at_profile = |fault: FieldError| UploadError { place: Place::Profile, fault: fault.into() };
    let content = outer.array("PayloadContent").map_err(at_profile)?.unwrap_or_default();
    let mut uuids = HashMap::from([(uuid_of(entries), Place::Profile)]);
    let mut types = Vec::with_capacity(content.len());
    for (index, value) in content.iter().enumerate() {
        let place = Place::of(index, value);
        match read_payload(value) {
            Ok(payload_type) => types.push(payload_type),
            Err(fault) => return Err(UploadError { place, fault }),
        }
        let uuid = value.as_dictionary().map(uuid_of).unwrap_or_default();
        if let Some(first) = uuids.insert(uuid, place.clone()) {
            return Err(UploadError { place, fault: UploadFault::DuplicateUuid(first) });
        }
    }
    Ok(types)
}

fn read_payload(value: &Value) -> Result<String, UploadFault> {
    let entries = value.as_dictionary().ok_or(FieldError::WrongType { key: "PayloadContent", expected: "dict" })?;
    let fields = Fields::new(entries);
    let payload_type = fields.id("PayloadType")?.ok_or(FieldError::Missing("PayloadType"))?;
    no_variable("PayloadType", payload_type)?;
    reserved::check_payload(payload_type, entries)?;
    reserved::check_identifier(common(fields)?)?;
    Ok(payload_type.to_owned())
}

fn uuid_of(entries: &Dictionary) -> String {
    entries.get("PayloadUUID").and_then(Value::as_string).unwrap_or_default().to_ascii_uppercase()
}

impl Place {
    fn of(index: usize, value: &Value) -> Self {
        let fields = value.as_dictionary().map(Fields::new);
        let name = |key| fields.and_then(|fields| fields.label(key).ok().flatten());
        Self::Payload {
            number: index + 1,
            names: ["PayloadType", "PayloadIdentifier"].into_iter().filter_map(name).collect(),
        }
    }
}

/// `the profile`, or for example `payload 2 (com.apple.dock, com.example.dock)`.
impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Profile => formatter.write_str("the profile"),
            Self::Payload { number, names } if names.is_empty() => write!(formatter, "payload {number}"),
            Self::Payload { number, names } => write!(formatter, "payload {number} ({})", names.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests;
