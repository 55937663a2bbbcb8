//! The keys of YAML files: what is known is taken, what is left is either something that Rookery does not do, or a mistake.

use anyhow::{bail, ensure};
use serde_json::{Map, Value, json};

/// What files may hold besides; Rookery does none of it.
pub(super) const OTHERS: [&str; 7] =
    ["policies", "queries", "reports", "agent_options", "software", "webhooks", "integrations"];
/// The same under `controls`.
pub(super) const OTHER_CONTROLS: [&str; 11] = [
    "scripts",
    "macos_migration",
    "enable_disk_encryption",
    "windows_require_bitlocker_pin",
    "enable_recovery_lock_password",
    "windows_enabled_and_configured",
    "windows_migration_enabled",
    "enable_turn_on_windows_mdm_manually",
    "windows_entra_tenant_ids",
    "android_enabled_and_configured",
    "android_settings",
];
/// The same in the groups there, beside profiles. A misspelt list of profiles must never pass for something that is not done.
pub(super) const OTHER_GROUPED: [&str; 1] = ["enable_disk_encryption"];

/// The keys of one mapping, each taken once.
pub(super) struct Keys(Map<String, Value>);

impl Keys {
    /// # Errors
    /// It is no mapping.
    pub(super) fn of(value: Value) -> anyhow::Result<Self> {
        match value {
            Value::Null => Ok(Self(Map::new())),
            Value::Object(map) => Ok(Self(map)),
            _ => bail!("it is no mapping of keys to values"),
        }
    }

    /// What stands there, unless it is nothing.
    pub(super) fn take(&mut self, key: &str) -> Option<Value> {
        self.take_present(key).filter(|value| !value.is_null())
    }

    /// What stands there, be it nothing.
    pub(super) fn take_present(&mut self, key: &str) -> Option<Value> {
        self.0.remove(key)
    }

    /// The text that stands there; a number is one.
    ///
    /// # Errors
    /// Something else stands there.
    pub(super) fn take_text(&mut self, key: &str) -> anyhow::Result<Option<String>> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(Value::Number(number)) => Ok(Some(number.to_string())),
            Some(_) => bail!("{key} is no text"),
        }
    }

    /// What is left and says something; `known`: the keys that may be left, without them any.
    ///
    /// # Errors
    /// A key that nobody knows.
    pub(super) fn into_rest(self, place: &str, known: Option<&[&str]>) -> anyhow::Result<Vec<String>> {
        let unknown = |key: &&String| known.is_some_and(|known| !known.contains(&key.as_str()));
        if let Some(key) = self.0.keys().find(unknown) {
            bail!("there is no key {place}{key}");
        }
        Ok(self
            .0
            .into_iter()
            .filter(|(_, value)| says_something(value))
            .map(|(key, _)| format!("{place}{key}"))
            .collect())
    }
}

/// Whether leaving a value out makes a difference.
fn says_something(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Bool(true) | Value::Number(_) => true,
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => list.iter().any(says_something),
        Value::Object(map) => map.values().any(says_something),
    }
}

/// The updates that a team makes its hosts install, and what of them Rookery does not do.
///
/// # Errors
/// A number is none.
pub(super) fn updates(name: &str, value: Value) -> anyhow::Result<(Value, Vec<String>)> {
    let mut keys = Keys::of(value)?;
    let mut updates = Map::new();
    for key in ["minimum_version", "deadline"] {
        updates.extend(keys.take_text(key)?.map(|text| (key.to_owned(), text.into())));
    }
    for key in ["deadline_days", "grace_period_days"] {
        let Some(days) = keys.take_text(key)? else { continue };
        let Ok(days) = days.parse::<u32>() else { bail!("controls.{name}.{key} is no number") };
        updates.insert(key.to_owned(), days.into());
    }
    let rest = keys.into_rest(&format!("controls.{name}."), Some(&["update_new_hosts"]))?;
    Ok((updates.into(), rest))
}

/// What happens while devices are set up, as the request has it, and the keys of it that Rookery does not do.
///
/// # Errors
/// It is no mapping, or no yes or no stands where one belongs.
pub(super) fn setup(name: &str, value: Value) -> anyhow::Result<(Value, Vec<String>)> {
    let mut keys = Keys::of(value)?;
    let mut setup = Map::new();
    for key in ["enable_end_user_authentication", "enable_release_device_manually"] {
        match keys.take(key) {
            None => {}
            Some(wish @ Value::Bool(_)) => drop(setup.insert(key.to_owned(), wish)),
            Some(_) => bail!("controls.{name}.{key} is neither true nor false"),
        }
    }
    let rest = keys.into_rest(&format!("controls.{name}."), None)?;
    Ok((setup.into(), rest))
}

/// A label as the request has it.
///
/// # Errors
/// It has no name, a query, or keys that nobody knows.
pub(super) fn label(value: Value) -> anyhow::Result<Value> {
    let mut keys = Keys::of(value)?;
    let Some(name) = keys.take_text("name")? else { bail!("a label has no name") };
    let described = keys.take_text("description")?.unwrap_or_default();
    let (membership, query) = (keys.take_text("label_membership_type")?, keys.take_text("query")?);
    ensure!(
        query.is_none_or(|query| query.trim().is_empty()),
        "label {name:?}: Rookery runs no queries on hosts; give it criteria or hosts"
    );
    let mut label = json!({ "name": name, "description": described });
    for key in ["criteria", "hosts"] {
        if let Some(said) = keys.take(key) {
            label[key] = said;
        }
    }
    let says = |key: &str| label.get(key).is_some();
    match membership.as_deref() {
        None | Some("") => {}
        Some("manual") => ensure!(!says("criteria"), "label {name:?} is manual, and has criteria"),
        Some("host_vitals" | "dynamic") => {
            ensure!(says("criteria"), "label {name:?} is not manual, and has no criteria")
        }
        Some(other) => bail!("label {name:?}: label_membership_type {other:?} is neither manual nor host_vitals"),
    }
    let rest = keys.into_rest("", Some(&["platform"]))?;
    ensure!(rest.is_empty(), "label {name:?}: platform is a criterion: criteria {{ vital: platform, value: … }}");
    Ok(label)
}
