//! What the service knows of a device: facts that never change, and which profile it has.

use protocol::apple::dep::answers::ProfileStatus;
use protocol::time::Timestamp;
use serde_json::{Map, Value, json};

use crate::sim::apple::model::{Family, Model};

/// What was bought. A simulated device that is switched on has the same facts in its [`Model`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The serial number.
    pub serial_number: String,
    /// The family.
    pub family: Family,
    /// The hardware as people name it.
    pub model_name: &'static str,
    /// The order number.
    pub model_number: &'static str,
}

/// A device of one organization.
#[derive(Clone, Debug)]
pub(super) struct Device {
    pub(super) facts: Facts,
    /// Whether it belongs to another organization or to nobody now.
    pub(super) gone: bool,
    pub(super) asset_tag: String,
    pub(super) assigned_at: Timestamp,
    pub(super) migrates_by: Option<Timestamp>,
    pub(super) profile: Profile,
}

/// The profile of a device.
#[derive(Clone, Debug, Default)]
pub(super) struct Profile {
    pub(super) status: ProfileStatus,
    pub(super) uuid: Option<String>,
    pub(super) assigned_at: Option<Timestamp>,
    pub(super) pushed_at: Option<Timestamp>,
}

/// Devices from a seed: Macs, phones and tablets in turn. The same seed and numbers give the same devices.
pub fn facts(seed: u64, numbers: std::ops::Range<u32>) -> impl Iterator<Item = Facts> {
    const FAMILIES: [Family; 3] = [Family::Mac, Family::IPhone, Family::IPad];
    numbers.map(move |number| Facts::from(&Model::new(FAMILIES[number as usize % FAMILIES.len()], seed, number)))
}

impl From<&Model> for Facts {
    fn from(model: &Model) -> Self {
        Self {
            serial_number: model.serial_number.clone(),
            family: model.family,
            model_name: model.model_name,
            model_number: model.model_number,
        }
    }
}

impl Device {
    pub(super) fn new(facts: Facts, assigned_at: Timestamp) -> Self {
        Self {
            facts,
            gone: false,
            asset_tag: String::new(),
            assigned_at,
            migrates_by: None,
            profile: Profile::default(),
        }
    }

    /// The device as answers have it; entries without a value are left out or null, as the service likes it.
    pub(super) fn to_json(&self, version: u32) -> Map<String, Value> {
        let (family, os) = match self.facts.family {
            Family::Mac => ("Mac", "OSX"),
            Family::IPhone => ("iPhone", "iOS"),
            Family::IPad => ("iPad", "iOS"),
        };
        let status = match self.profile.status {
            ProfileStatus::Empty => "empty",
            ProfileStatus::Assigned => "assigned",
            ProfileStatus::Pushed => "pushed",
            ProfileStatus::Removed => "removed",
        };
        let mut entries = Map::new();
        let mut put = |key: &str, value: Value| entries.insert(key.to_owned(), value);
        put("serial_number", json!(self.facts.serial_number));
        put("model", json!(self.facts.model_name));
        put("description", json!(format!("{} {}", self.facts.model_name, self.facts.model_number)));
        put("color", json!("SPACE GRAY"));
        put("device_family", json!(family));
        put("os", json!(os));
        put("asset_tag", if self.asset_tag.is_empty() { Value::Null } else { json!(self.asset_tag) });
        put("profile_status", json!(status));
        put("device_assigned_date", json!(moment(self.assigned_at)));
        put("device_assigned_by", json!("admin@example.com"));
        if let Some(uuid) = &self.profile.uuid {
            put("profile_uuid", json!(uuid));
            put("profile_assign_time", json!(self.profile.assigned_at.map(moment)));
        }
        if let Some(at) = self.profile.pushed_at {
            put("profile_push_time", json!(moment(at)));
        }
        if let Some(by) = self.migrates_by.filter(|_| version >= 8) {
            put("mdm_migration_deadline", json!(moment(by)));
        }
        entries
    }
}

/// A moment as the service writes it: without fractions of a second.
pub(super) fn moment(at: Timestamp) -> String {
    Timestamp::from_seconds(at.seconds()).to_rfc3339()
}
