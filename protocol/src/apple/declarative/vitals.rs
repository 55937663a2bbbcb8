//! The status items that a host's page shows, by name and type. What has another type than Apple says is passed over.

use serde::Serialize;
use serde_json::Value;

use super::status::Status;

/// The longest text that is taken, in characters.
const MAX_CHARS: usize = 255;

/// What a device says of its hardware and its system.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Vitals {
    /// `device.identifier.serial-number`
    pub serial_number: Option<String>,
    /// `device.identifier.udid`
    pub udid: Option<String>,
    /// `device.model.family`, for example `iPhone`.
    pub model_family: Option<String>,
    /// `device.model.identifier`, for example `iPhone15,2`.
    pub model_identifier: Option<String>,
    /// `device.model.marketing-name`, for example `iPhone 14 Pro`.
    pub model_marketing_name: Option<String>,
    /// `device.model.number`
    pub model_number: Option<String>,
    /// `device.operating-system.family`, for example `macOS`.
    pub os_family: Option<String>,
    /// `device.operating-system.marketing-name`
    pub os_marketing_name: Option<String>,
    /// `device.operating-system.version`
    pub os_version: Option<String>,
    /// `device.operating-system.build-version`
    pub build_version: Option<String>,
    /// `device.operating-system.supplemental.build-version`
    pub supplemental_build_version: Option<String>,
    /// `device.operating-system.supplemental.extra-version`, for example `(a)`.
    pub supplemental_extra_version: Option<String>,
    /// `device.power.battery-health`
    pub battery_health: Option<String>,
    /// `diskmanagement.filevault.enabled`
    pub filevault_enabled: Option<bool>,
    /// `passcode.is-compliant`
    pub passcode_is_compliant: Option<bool>,
    /// `passcode.is-present`
    pub passcode_is_present: Option<bool>,
}

/// What a device says of a system update that is under way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SoftwareUpdate {
    /// `install-state`: `none`, `waiting`, `downloading`, `prepared`, `installing` or `failed`.
    pub install_state: Option<String>,
    /// `install-reason.reason`: what set it off, for example `declaration`.
    pub install_reasons: Vec<String>,
    /// `install-reason.declaration-id`
    pub declaration_identifier: Option<String>,
    /// `pending-version.os-version`; empty when none is pending.
    pub pending_os_version: Option<String>,
    /// `pending-version.build-version`
    pub pending_build_version: Option<String>,
    /// `failure-reason.count`
    pub failure_count: Option<i64>,
    /// `failure-reason.reason`
    pub failure_reason: Option<String>,
    /// `failure-reason.timestamp`, in the device's words.
    pub failed_at: Option<String>,
    /// `beta-enrollment`; empty when there is none.
    pub beta_enrollment: Option<String>,
    /// `device-id`, under which Apple lists the updates for this device.
    pub device_id: Option<String>,
}

/// What a device's declarative management can do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Capabilities {
    /// Versions of the protocol.
    pub versions: Vec<String>,
    /// Names of optional features.
    pub features: Vec<String>,
    /// The types of declarations.
    pub declarations: Vec<String>,
    /// The names of status items.
    pub status_items: Vec<String>,
}

impl Vitals {
    /// The vitals that this status tells of.
    pub fn of(status: &Status) -> Self {
        let text = |name: &str| status.item(name).and_then(short);
        let truth = |name: &str| status.item(name).and_then(Value::as_bool);
        Self {
            serial_number: text("device.identifier.serial-number"),
            udid: text("device.identifier.udid"),
            model_family: text("device.model.family"),
            model_identifier: text("device.model.identifier"),
            model_marketing_name: text("device.model.marketing-name"),
            model_number: text("device.model.number"),
            os_family: text("device.operating-system.family"),
            os_marketing_name: text("device.operating-system.marketing-name"),
            os_version: text("device.operating-system.version"),
            build_version: text("device.operating-system.build-version"),
            supplemental_build_version: text("device.operating-system.supplemental.build-version"),
            supplemental_extra_version: text("device.operating-system.supplemental.extra-version"),
            battery_health: text("device.power.battery-health"),
            filevault_enabled: truth("diskmanagement.filevault.enabled"),
            passcode_is_compliant: truth("passcode.is-compliant"),
            passcode_is_present: truth("passcode.is-present"),
        }
    }
}

impl SoftwareUpdate {
    /// What this status tells of updates; `None` when it does not.
    pub fn of(status: &Status) -> Option<Self> {
        status.item("softwareupdate")?;
        let text = |name: &str| status.item(&format!("softwareupdate.{name}")).and_then(short);
        Some(Self {
            install_state: text("install-state"),
            install_reasons: texts(status.item("softwareupdate.install-reason.reason")),
            declaration_identifier: text("install-reason.declaration-id"),
            pending_os_version: text("pending-version.os-version"),
            pending_build_version: text("pending-version.build-version"),
            failure_count: status.item("softwareupdate.failure-reason.count").and_then(Value::as_i64),
            failure_reason: text("failure-reason.reason"),
            failed_at: text("failure-reason.timestamp"),
            beta_enrollment: text("beta-enrollment"),
            device_id: text("device-id"),
        })
    }
}

impl Capabilities {
    /// The capabilities that this status tells of; `None` when it does not.
    pub fn of(status: &Status) -> Option<Self> {
        let all = status.item("management.client-capabilities")?;
        let payloads = all.get("supported-payloads");
        let declarations = payloads.and_then(|payloads| payloads.get("declarations")).and_then(Value::as_object);
        let features = all.get("supported-features").and_then(Value::as_object);
        Some(Self {
            versions: texts(all.get("supported-versions")),
            features: features.into_iter().flat_map(|features| features.keys().cloned()).collect(),
            declarations: declarations
                .into_iter()
                .flat_map(|kinds| kinds.values())
                .flat_map(|list| texts(Some(list)))
                .collect(),
            status_items: texts(payloads.and_then(|payloads| payloads.get("status-items"))),
        })
    }
}

/// A text that is not longer than it should be.
fn short(value: &Value) -> Option<String> {
    value.as_str().filter(|text| text.chars().count() <= MAX_CHARS).map(str::to_owned)
}

fn texts(list: Option<&Value>) -> Vec<String> {
    list.and_then(Value::as_array).into_iter().flatten().filter_map(short).collect()
}

#[cfg(test)]
mod tests;
