//! The status report: the state of every declaration, what the device can do, and what the server subscribed to.

use std::collections::BTreeSet;

use protocol::apple::check_in::DeclarationKind;
use serde_json::{Map, Value as Json, json};

use super::super::{ChannelNo, Device, DeviceError};
use super::effect::{ASSETS, CONFIGURATIONS, Effect, SUBSCRIPTIONS, activated, effects};
use super::{Declaration, Declarations};

/// The status items that these devices can report.
const ITEMS: &[&str] = &[
    "device.identifier.serial-number",
    "device.identifier.udid",
    "device.model.family",
    "device.model.identifier",
    "device.model.marketing-name",
    "device.model.number",
    "device.operating-system.build-version",
    "device.operating-system.family",
    "device.operating-system.version",
    "diskmanagement.filevault.enabled",
    "management.client-capabilities",
    "management.declarations",
    "passcode.is-compliant",
    "passcode.is-present",
];

impl Device {
    /// The status document.
    pub(super) fn status(&self, channel: ChannelNo, full: bool) -> Result<Vec<u8>, DeviceError> {
        let declarations = &self.channel(channel)?.declarations;
        let mut names = declarations.subscriptions(&|name| self.vital(name));
        names.insert("management.declarations".to_owned());
        if full || !declarations.introduced {
            names.insert("management.client-capabilities".to_owned());
        }
        let (mut items, mut errors) = (Map::new(), Vec::new());
        for name in names {
            let value = match name.as_str() {
                "management.declarations" => Some(declarations.states(&|name| self.vital(name))),
                name => self.vital(name),
            };
            match value {
                Some(value) => insert(&mut items, &name, value),
                None => errors.push(json!({
                    "StatusItem": name,
                    "Reasons": [{"Code": "Error.UnrecognizedStatusItem", "Description": "The item is not known."}],
                })),
            }
        }
        let mut document = json!({"StatusItems": items, "Errors": errors});
        if full {
            document["FullReport"] = json!(true);
        }
        Ok(document.to_string().into_bytes())
    }

    /// The value of a status item that does not depend on the declarations.
    fn vital(&self, name: &str) -> Option<Json> {
        let model = &self.model;
        let personal = self.options.personal;
        Some(match name {
            "management.client-capabilities" => capabilities(),
            "device.identifier.serial-number" if !personal => json!(model.serial_number),
            "device.identifier.udid" if !personal => json!(model.udid),
            "device.model.family" | "device.model.marketing-name" => json!(model.model_name),
            "device.model.identifier" => json!(model.product_name),
            "device.model.number" => json!(model.model_number),
            "device.operating-system.build-version" => json!(model.build_version),
            "device.operating-system.family" => json!(if model.is_mac() { "macOS" } else { "iOS" }),
            "device.operating-system.version" => json!(model.os_version),
            "diskmanagement.filevault.enabled" if model.is_mac() => json!(true),
            "passcode.is-compliant" | "passcode.is-present" => json!(true),
            _ => return None,
        })
    }
}

impl Declarations {
    /// The items that the active declarations subscribe to.
    fn subscriptions(&self, status: &dyn Fn(&str) -> Option<Json>) -> BTreeSet<String> {
        let active = activated(self, status);
        let wanted = self.held.values().filter(|one| one.r#type == SUBSCRIPTIONS && active.contains(&one.identifier));
        let items = wanted.filter_map(|one| one.payload.get("StatusItems")?.as_array()).flatten();
        items.filter_map(|item| item.get("Name")?.as_str()).map(str::to_owned).collect()
    }

    fn states(&self, status: &dyn Fn(&str) -> Option<Json>) -> Json {
        let effects = effects(self, status);
        let mut document = Map::new();
        for (kind, key) in
            DeclarationKind::ALL.into_iter().zip(["activations", "assets", "configurations", "management"])
        {
            let of_kind = self.held.iter().filter(|((held, _), _)| *held == kind);
            let states: Vec<Json> = of_kind.map(|(key, one)| state(one, &effects[key])).collect();
            document.insert(key.to_owned(), states.into());
        }
        document.into()
    }
}

fn state(one: &Declaration, effect: &Effect) -> Json {
    let mut state = json!({
        "identifier": one.identifier,
        "server-token": one.server_token,
        "active": effect.active,
        "valid": effect.validity,
    });
    if let Some(reason) = &effect.reason {
        state["reasons"] = json!([reason]);
    }
    state
}

fn capabilities() -> Json {
    json!({
        "supported-versions": ["1.0.0"],
        "supported-features": {},
        "supported-payloads": {
            "declarations": {
                "activations": ["com.apple.activation.simple"],
                "assets": ASSETS,
                "configurations": CONFIGURATIONS,
                "management": ["com.apple.management.organization-info", "com.apple.management.properties"],
            },
            "status-items": ITEMS,
        },
    })
}

/// Puts `value` where the dots of `name` lead.
fn insert(items: &mut Map<String, Json>, name: &str, value: Json) {
    match name.split_once('.') {
        None => drop(items.insert(name.to_owned(), value)),
        Some((first, rest)) => {
            let inner = items.entry(first.to_owned()).or_insert_with(|| Json::Object(Map::new()));
            if let Json::Object(inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}
