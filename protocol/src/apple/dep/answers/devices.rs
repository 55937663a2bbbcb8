//! Devices: pages of them, and the details of some (Apple, "FetchDeviceResponse", "DeviceListResponse").

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::MAX_DEVICES;
use super::assignment::Outcome;
use super::{AnswerError, Entries, MAX_TEXT_CHARS, read, shown};
use crate::ids;
use crate::time::Timestamp;

/// One page of devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DevicesPage {
    /// The devices, in the order of the answer. When changes are asked for, the same device may stand there more than once, and
    /// an older change after a newer one.
    pub devices: Vec<Device>,
    /// Devices without a usable serial number, which are left out.
    pub unreadable: usize,
    /// Where to go on: after this page, or when it is the last one, with changes since then.
    pub cursor: String,
    /// Up to when the answer is complete.
    pub fetched_until: Option<Timestamp>,
    /// Whether there are more pages now.
    pub more_to_follow: bool,
}

/// A device that the organization bought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Device {
    /// The serial number.
    pub serial_number: String,
    /// What people call the model, for example `MacBook Pro 13"`.
    pub model: String,
    /// What the shop said of it.
    pub description: String,
    /// Its color.
    pub color: String,
    /// The organization's own number for it.
    pub asset_tag: String,
    /// `OSX`, `iOS`, `tvOS`, `watchOS` or `visionOS`; empty where the service does not say.
    pub os: String,
    /// `Mac`, `iPhone`, `iPad`, `iPod`, `AppleTV`, `Watch` or `RealityDevice`; empty where the service does not say.
    pub device_family: String,
    /// How far its profile is.
    pub profile_status: ProfileStatus,
    /// The profile that it is assigned.
    pub profile_uuid: Option<String>,
    /// When it was assigned.
    pub profile_assign_time: Option<Timestamp>,
    /// When the device fetched it.
    pub profile_push_time: Option<Timestamp>,
    /// When the organization assigned the device to this server.
    pub device_assigned_date: Option<Timestamp>,
    /// Who did.
    pub device_assigned_by: String,
    /// What happened to it, when changes were asked for.
    pub op_type: Option<OpType>,
    /// When that happened.
    pub op_date: Option<Timestamp>,
    /// By when it has to move to this server.
    pub mdm_migration_deadline: Option<Timestamp>,
}

/// How far the profile of a device is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ProfileStatus {
    /// It has none; also what the service has a new word for.
    #[default]
    Empty,
    /// It is assigned one, and has not fetched it.
    Assigned,
    /// It has fetched it.
    Pushed,
    /// It was taken away; the device may still have it.
    Removed,
}

/// What happened to a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OpType {
    /// It was assigned to this server.
    Added,
    /// Something about it changed.
    Modified,
    /// It was taken from this server.
    Deleted,
    /// Something that the service has a new word for.
    Other,
}

/// What the service says of one device that was asked for by its serial number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceDetails {
    /// Whether the device is this server's.
    pub outcome: Outcome,
    /// What is known of it; there only when it is.
    pub device: Option<Device>,
}

impl DevicesPage {
    /// Reads the answer of `POST /server/devices` and of `POST /devices/sync`.
    ///
    /// # Errors
    /// See [`AnswerError`]. Without a cursor nobody could go on, and without `more_to_follow` nobody would know whether to.
    pub fn parse(body: &[u8]) -> Result<Self, AnswerError> {
        read(body, |entries| {
            let listed = entries.array("devices").unwrap_or_default();
            if listed.len() > MAX_DEVICES {
                return Err(AnswerError::TooMany);
            }
            let devices: Vec<Device> = listed.iter().filter_map(Device::of).collect();
            Ok(Self {
                unreadable: listed.len() - devices.len(),
                devices,
                cursor: entries.name("cursor").ok_or(AnswerError::Missing("cursor"))?.to_owned(),
                fetched_until: entries.moment("fetched_until"),
                more_to_follow: entries.truth("more_to_follow").ok_or(AnswerError::Missing("more_to_follow"))?,
            })
        })
    }
}

impl DeviceDetails {
    /// Reads the answer of `POST /devices`: by serial number, which is unknown to the service where it is missing.
    ///
    /// # Errors
    /// See [`AnswerError`].
    pub fn parse(body: &[u8]) -> Result<BTreeMap<String, Self>, AnswerError> {
        read(body, |entries| {
            let listed = entries.object("devices").ok_or(AnswerError::Missing("devices"))?;
            if listed.0.len() > MAX_DEVICES {
                return Err(AnswerError::TooMany);
            }
            let details = listed.0.iter().filter_map(|(serial, value)| {
                let outcome = Outcome::of(value.get("response_status")?.as_str()?);
                let device =
                    Device::of(value).filter(|device| outcome == Outcome::Success && device.serial_number == *serial);
                usable(serial).map(|serial| (serial, Self { outcome, device }))
            });
            Ok(details.collect())
        })
    }
}

impl Device {
    fn of(value: &Value) -> Option<Self> {
        let entries = Entries(value.as_object()?);
        Some(Self {
            serial_number: usable(entries.name("serial_number")?)?,
            model: entries.text("model"),
            description: entries.text("description"),
            color: entries.text("color"),
            asset_tag: entries.text("asset_tag"),
            os: entries.text("os"),
            device_family: entries.text("device_family"),
            profile_status: entries.name("profile_status").map(ProfileStatus::of).unwrap_or_default(),
            profile_uuid: entries.name("profile_uuid").map(str::to_owned),
            profile_assign_time: entries.moment("profile_assign_time"),
            profile_push_time: entries.moment("profile_push_time"),
            device_assigned_date: entries.moment("device_assigned_date"),
            device_assigned_by: entries.text("device_assigned_by"),
            op_type: entries.name("op_type").map(OpType::of),
            op_date: entries.moment("op_date"),
            mdm_migration_deadline: entries.moment("mdm_migration_deadline"),
        })
    }

    /// The platform in the words of Fleet's API (`darwin`, `ios`, `ipados`, `tvos`, `watchos`, `visionos`); empty when neither
    /// family nor model tells.
    pub fn platform(&self) -> &'static str {
        match (self.device_family.as_str(), self.os.as_str()) {
            ("Mac", _) | ("", "OSX" | "macOS") => "darwin",
            ("iPad", _) => "ipados",
            ("iPhone" | "iPod", _) => "ios",
            ("AppleTV", _) | ("", "tvOS") => "tvos",
            ("Watch", _) | ("", "watchOS") => "watchos",
            ("RealityDevice", _) | ("", "visionOS") => "visionos",
            ("", "iOS") if self.model.contains("iPad") => "ipados",
            ("", "iOS") => "ios",
            _ if self.model.contains("Mac") => "darwin",
            _ if self.model.contains("iPad") => "ipados",
            _ if self.model.contains("iPhone") => "ios",
            _ => "",
        }
    }
}

impl ProfileStatus {
    fn of(word: &str) -> Self {
        match word {
            "assigned" => Self::Assigned,
            "pushed" => Self::Pushed,
            "removed" => Self::Removed,
            _ => Self::Empty,
        }
    }
}

impl OpType {
    fn of(word: &str) -> Self {
        match word {
            "added" => Self::Added,
            "modified" => Self::Modified,
            "deleted" => Self::Deleted,
            _ => Self::Other,
        }
    }
}

/// A serial number that can name a device.
pub(super) fn usable(serial: &str) -> Option<String> {
    let serial = ids::serial_number(serial)?;
    (shown(serial) == serial && serial.len() <= MAX_TEXT_CHARS).then(|| serial.to_owned())
}
