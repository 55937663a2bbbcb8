//! A declaration that an admin uploads (`.json`): a configuration, an asset, an activation or something of the management.
//!
//! Its bytes are kept as they came. A `ServerToken` in them means nothing: the server writes its own when it delivers. What a
//! declaration sets is Apple's to judge, but what it refers to is read, because the server has to deliver that too.
//!
//! Start with [`UploadedDeclaration::parse`].

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::check_in::DeclarationKind;
use super::declarative::MAX_NAME_BYTES;
use super::strict_json::{StrictJsonError, parse};
use crate::upload::MAX_UPLOAD_BYTES;
use crate::variables::{self, HostVariable, Variable, VariableError};

/// What the types of declarations begin with, by kind.
const PREFIXES: [(DeclarationKind, &str); 4] = [
    (DeclarationKind::Activation, "com.apple.activation."),
    (DeclarationKind::Asset, "com.apple.asset."),
    (DeclarationKind::Configuration, "com.apple.configuration."),
    (DeclarationKind::Management, "com.apple.management."),
];

/// The longest type, in bytes. Apple's are far shorter.
const MAX_TYPE_BYTES: usize = 255;

/// Identifiers of declarations that the server makes itself begin so, in lower case.
const OWN_IDENTIFIERS: [&str; 2] = ["org.rookery.", "com.fleetdm."];

/// What the identifiers of Fleet's declarations for OS updates end with.
const UPDATE_IDENTIFIERS: &str = "-software-update-94f4bbdf-f439-4fb1-8d27-ae1bb793e105";

/// The type that OS updates are enforced by.
const UPDATE_ENFORCEMENT: &str = "com.apple.configuration.softwareupdate.enforcement.specific";

/// What the server has to know of an uploaded declaration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadedDeclaration {
    /// Which of the four kinds.
    pub kind: DeclarationKind,
    /// `Type`, for example `com.apple.configuration.passcode.settings`.
    pub declaration_type: String,
    /// `Identifier`: a device has one declaration of each.
    pub identifier: String,
    /// What is put in when it is delivered.
    pub variables: BTreeSet<Variable>,
    /// The identifiers it refers to: of configurations for an activation, else of assets.
    pub references: BTreeSet<String>,
}

/// Why a declaration is refused. The texts name keys and identifiers, never values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeclarationFault {
    /// Not JSON that this server reads.
    #[error(transparent)]
    Json(#[from] StrictJsonError),
    /// Not an object.
    #[error("a declaration is a JSON object")]
    NotAnObject,
    /// An entry is absent, or of another type.
    #[error("{path} has to be {expected}")]
    Entry {
        /// Which, for example `Payload.StandardConfigurations`.
        path: String,
        /// What it has to be.
        expected: &'static str,
    },
    /// None of the four kinds.
    #[error(
        "Type has to begin with com.apple.configuration., com.apple.asset., com.apple.activation. or com.apple.management."
    )]
    Kind,
    /// OS updates are a setting of the team.
    #[error("Type {UPDATE_ENFORCEMENT} is refused: OS updates are a setting of the team, not of a declaration")]
    OsUpdates,
    /// The identifier is one of the server's own.
    #[error("Identifier is reserved for what the server makes itself")]
    Reserved,
    /// A variable that is none.
    #[error(transparent)]
    Variable(#[from] VariableError),
    /// A variable that Windows profiles alone may ask for.
    #[error("${0} is for Windows profiles")]
    WindowsVariable(Variable),
    /// A variable where all hosts need the same.
    #[error("{0} holds a variable, and has to be the same on every host")]
    VariableIn(String),
}

impl UploadedDeclaration {
    /// Reads the declaration that an admin uploads.
    ///
    /// # Errors
    /// See [`DeclarationFault`].
    pub fn parse(bytes: &[u8]) -> Result<Self, DeclarationFault> {
        let value = parse(bytes, MAX_UPLOAD_BYTES)?;
        let entries = value.as_object().ok_or(DeclarationFault::NotAnObject)?;
        let (kind, declaration_type) = read_type(entries)?;
        let identifier = read_identifier(entries)?;
        let payload = entries.get("Payload").and_then(Value::as_object).ok_or_else(|| entry("Payload", "an object"))?;
        let references = match kind {
            DeclarationKind::Activation => configurations(payload)?,
            DeclarationKind::Configuration | DeclarationKind::Management => assets(payload)?,
            DeclarationKind::Asset => {
                check_asset(payload)?;
                assets(payload)?
            }
        };
        Ok(Self { kind, declaration_type, identifier, variables: variables_of(bytes)?, references })
    }
}

fn entry(path: &str, expected: &'static str) -> DeclarationFault {
    DeclarationFault::Entry { path: path.to_owned(), expected }
}

fn read_type(entries: &Map<String, Value>) -> Result<(DeclarationKind, String), DeclarationFault> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    let text = entries.get("Type").and_then(Value::as_str);
    let text = text.filter(|text| text.len() <= MAX_TYPE_BYTES && text.bytes().all(is_plain));
    let text = text.ok_or_else(|| entry("Type", "the type of a declaration, as text"))?;
    let is_of = |(_, prefix): &&(DeclarationKind, &str)| text.len() > prefix.len() && text.starts_with(*prefix);
    let (kind, _) = PREFIXES.iter().find(is_of).ok_or(DeclarationFault::Kind)?;
    if text.eq_ignore_ascii_case(UPDATE_ENFORCEMENT) {
        Err(DeclarationFault::OsUpdates)
    } else {
        Ok((*kind, text.to_owned()))
    }
}

fn read_identifier(entries: &Map<String, Value>) -> Result<String, DeclarationFault> {
    let identifier = entries.get("Identifier").ok_or_else(|| entry("Identifier", NAME))?;
    let identifier = name("Identifier", identifier)?;
    let plain = identifier.trim().to_ascii_lowercase();
    let reserved = OWN_IDENTIFIERS.iter().any(|own| plain.starts_with(own)) || plain.ends_with(UPDATE_IDENTIFIERS);
    if reserved { Err(DeclarationFault::Reserved) } else { Ok(identifier) }
}

/// What an identifier has to be, as errors say it.
const NAME: &str = "a text of 1 to 64 bytes without control characters";

/// The identifier that stands here.
fn name(path: &str, value: &Value) -> Result<String, DeclarationFault> {
    let fits = |text: &&str| (1..=MAX_NAME_BYTES).contains(&text.len()) && !text.contains(char::is_control);
    let text = value.as_str().filter(fits).ok_or_else(|| entry(path, NAME))?;
    if variables::find(text)?.is_empty() {
        Ok(text.to_owned())
    } else {
        Err(DeclarationFault::VariableIn(path.to_owned()))
    }
}

/// What an activation makes take effect.
fn configurations(payload: &Map<String, Value>) -> Result<BTreeSet<String>, DeclarationFault> {
    const PATH: &str = "Payload.StandardConfigurations";
    if payload.get("Predicate").is_some_and(|predicate| !predicate.is_string()) {
        return Err(entry("Payload.Predicate", "a text"));
    }
    let listed = payload.get("StandardConfigurations").and_then(Value::as_array);
    let listed = listed.ok_or_else(|| entry(PATH, "an array of identifiers"))?;
    listed.iter().enumerate().map(|(index, value)| name(&format!("{PATH}[{index}]"), value)).collect()
}

/// The assets that a payload refers to, at any depth: each of their keys says that it is a reference.
fn assets(payload: &Map<String, Value>) -> Result<BTreeSet<String>, DeclarationFault> {
    let mut found = BTreeSet::new();
    for (key, value) in payload {
        collect(key, value, &mut found).map_err(|fault| fault.inside("Payload"))?;
    }
    Ok(found)
}

/// The reader has bounded the depth, and with it this recursion.
fn collect(step: &str, value: &Value, found: &mut BTreeSet<String>) -> Result<(), DeclarationFault> {
    match value {
        _ if step.ends_with("AssetReference") => {
            found.insert(name(step, value)?);
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                let place = format!("[{index}]");
                let read = match step.ends_with("AssetReferences") {
                    true => name(&place, item).map(|identifier| found.extend([identifier])),
                    false => collect(&place, item, found),
                };
                read.map_err(|fault| fault.inside(step))?;
            }
        }
        Value::Object(entries) => {
            for (key, value) in entries {
                collect(key, value, found).map_err(|fault| fault.inside(step))?;
            }
        }
        _ => {}
    }
    Ok(())
}

impl DeclarationFault {
    /// The same fault, whose place is inside another one.
    fn inside(mut self, outer: &str) -> Self {
        if let Self::Entry { path, .. } | Self::VariableIn(path) = &mut self {
            let dot = if path.starts_with('[') { "" } else { "." };
            *path = format!("{}{dot}{path}", outer.chars().take(MAX_NAME_BYTES).collect::<String>());
        }
        self
    }
}

/// An asset whose content is elsewhere says where, so that a device can fetch it.
fn check_asset(payload: &Map<String, Value>) -> Result<(), DeclarationFault> {
    let Some(reference) = payload.get("Reference") else { return Ok(()) };
    let reference = reference.as_object().ok_or_else(|| entry("Payload.Reference", "an object"))?;
    let is_url = |url: &str| url.starts_with("https://") && url.len() > "https://".len() || url.starts_with('$');
    let url = reference.get("DataURL").and_then(Value::as_str).filter(|url| is_url(url));
    url.map(drop).ok_or_else(|| entry("Payload.Reference.DataURL", "a URL that begins with https://"))
}

fn variables_of(bytes: &[u8]) -> Result<BTreeSet<Variable>, DeclarationFault> {
    let found = variables::find(str::from_utf8(bytes).unwrap_or_default())?;
    let named: BTreeSet<Variable> = found.into_iter().map(|found| found.variable).collect();
    let foreign = Variable::Host(HostVariable::ScepWindowsCertificateId);
    if named.contains(&foreign) { Err(DeclarationFault::WindowsVariable(foreign)) } else { Ok(named) }
}

#[cfg(test)]
mod tests;
