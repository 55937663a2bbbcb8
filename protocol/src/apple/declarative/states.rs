//! `management.declarations`: how far the device is with each declaration.

use serde_json::Value;

use super::DeclarationItem;
use super::status::Status;
use crate::apple::check_in::DeclarationKind;

/// The declarations that a device has processed, in four lists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeclarationStates {
    activations: Vec<DeclarationState>,
    assets: Vec<DeclarationState>,
    configurations: Vec<DeclarationState>,
    management: Vec<DeclarationState>,
}

/// How far a device is with one declaration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclarationState {
    /// Which declaration, in which version.
    pub item: DeclarationItem,
    /// Whether it is in effect. Management declarations never are.
    pub active: bool,
    /// What the device thinks of it.
    pub validity: Validity,
    /// Why.
    pub reasons: Vec<Reason>,
}

/// What a device thinks of a declaration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// It has not looked at it.
    Unknown,
    /// It cannot use it.
    Invalid,
    /// It can.
    Valid,
}

/// One reason for a declaration's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// Apple's code, for example `Error.ConfigurationCannotBeApplied` or `Info.Predicate`.
    pub code: String,
    /// What it means, in the device's words.
    pub description: Option<String>,
    /// What the device adds: an object, or nothing.
    pub details: Value,
}

impl DeclarationStates {
    /// The states that this status tells of; `None` when it does not. Entries that are none are passed over.
    pub fn of(status: &Status) -> Option<Self> {
        let lists = status.item("management.declarations")?.as_object()?;
        let list = |name: &str| {
            let entries = lists.get(name).and_then(Value::as_array);
            entries.into_iter().flatten().filter_map(DeclarationState::of).collect()
        };
        Some(Self {
            activations: list("activations"),
            assets: list("assets"),
            configurations: list("configurations"),
            management: list("management"),
        })
    }

    /// The declarations of one kind. One identifier may stand there twice, while one version replaces another.
    pub fn of_kind(&self, kind: DeclarationKind) -> &[DeclarationState] {
        match kind {
            DeclarationKind::Activation => &self.activations,
            DeclarationKind::Asset => &self.assets,
            DeclarationKind::Configuration => &self.configurations,
            DeclarationKind::Management => &self.management,
        }
    }

    /// The state of exactly this version.
    pub fn get(&self, kind: DeclarationKind, item: &DeclarationItem) -> Option<&DeclarationState> {
        self.of_kind(kind).iter().find(|state| state.item == *item)
    }

    /// Whether the device has any version of the declaration with this name.
    pub fn lists(&self, kind: DeclarationKind, identifier: &str) -> bool {
        self.of_kind(kind).iter().any(|state| state.item.identifier == identifier)
    }
}

impl DeclarationState {
    fn of(entry: &Value) -> Option<Self> {
        let text = |key: &str| entry.get(key)?.as_str().map(str::to_owned);
        let validity = match entry.get("valid").and_then(Value::as_str) {
            Some("valid") => Validity::Valid,
            Some("invalid") => Validity::Invalid,
            _ => Validity::Unknown,
        };
        let reasons = entry.get("reasons").and_then(Value::as_array).into_iter().flatten();
        Some(Self {
            item: DeclarationItem { identifier: text("identifier")?, server_token: text("server-token")? },
            active: entry.get("active").and_then(Value::as_bool).unwrap_or_default(),
            validity,
            reasons: reasons.filter_map(Reason::of).collect(),
        })
    }
}

impl Reason {
    fn of(entry: &Value) -> Option<Self> {
        Some(Self {
            code: entry.get("code")?.as_str()?.to_owned(),
            description: entry.get("description").and_then(Value::as_str).map(str::to_owned),
            details: entry.get("details").cloned().unwrap_or_default(),
        })
    }
}
