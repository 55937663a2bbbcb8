//! An organization: its devices, and what happened to them.

use std::collections::{BTreeMap, HashMap, HashSet};

use protocol::apple::dep::answers::OpType;
use protocol::time::Timestamp;
use serde_json::{Value, json};

use super::cursor::Cursor;
use super::device::{Device, Facts, moment};
use super::oauth::Nonces;
use super::sessions::Sessions;
use super::token::Token;
use super::{AssignmentService, OrganizationId};
use crate::sim::random::Chance;

/// One organization.
#[derive(Debug)]
pub(super) struct Organization {
    pub(super) name: String,
    pub(super) server_uuid: String,
    pub(super) token: Option<Token>,
    pub(super) sessions: Sessions,
    pub(super) nonces: Nonces,
    pub(super) terms_signed: bool,
    pub(super) devices: Vec<Device>,
    pub(super) profiles: BTreeMap<String, Value>,
    /// Cursors that were refused, which nobody should send again.
    pub(super) refused_cursors: HashSet<String>,
    pub(super) secret: String,
    index: HashMap<String, usize>,
    events: Vec<Event>,
    mischief: Mischief,
}

/// How changes are told, beside the truth. Apple promises no more than that the latest `op_date` is right.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Mischief {
    /// The probability that a change is told twice.
    pub duplicated: f64,
    /// The probability that an older change is told once more after a new one.
    pub repeated_late: f64,
    /// Whether the changes of a page stand in any order.
    pub shuffled: bool,
}

/// Something that happened to a device.
#[derive(Clone, Copy, Debug)]
struct Event {
    device: usize,
    op: OpType,
    at: Timestamp,
}

/// How a page is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) limit: usize,
    pub(super) version: u32,
    pub(super) now: Timestamp,
}

impl Organization {
    pub(super) fn new(name: &str, chance: &mut Chance) -> Self {
        Self {
            name: name.to_owned(),
            server_uuid: chance.uuid(),
            token: None,
            sessions: Sessions::default(),
            nonces: Nonces::default(),
            terms_signed: true,
            devices: Vec::new(),
            profiles: BTreeMap::new(),
            refused_cursors: HashSet::new(),
            secret: chance.uuid(),
            index: HashMap::new(),
            events: Vec::new(),
            mischief: Mischief::default(),
        }
    }

    /// The number of a device that is this organization's now.
    pub(super) fn find(&self, serial_number: &str) -> Option<usize> {
        self.index.get(serial_number).copied().filter(|number| !self.devices[*number].gone)
    }

    /// Notes what happened, and by chance tells it wrongly.
    pub(super) fn note(&mut self, device: usize, op: OpType, at: Timestamp, chance: &mut Chance) {
        let event = Event { device, op, at };
        self.events.push(event);
        if chance.happens(self.mischief.duplicated) {
            self.events.push(event);
        }
        if chance.happens(self.mischief.repeated_late) {
            self.events.push(*chance.pick(&self.events));
        }
    }

    fn add(&mut self, facts: Facts, now: Timestamp, chance: &mut Chance) {
        let number = match self.index.get(&facts.serial_number) {
            Some(number) => {
                self.devices[*number] = Device::new(facts, now);
                *number
            }
            None => {
                self.index.insert(facts.serial_number.clone(), self.devices.len());
                self.devices.push(Device::new(facts, now));
                self.devices.len() - 1
            }
        };
        self.note(number, OpType::Added, now, chance);
    }

    fn remove(&mut self, serial_number: &str, now: Timestamp, chance: &mut Chance) -> Option<Facts> {
        let number = self.find(serial_number)?;
        let device = &mut self.devices[number];
        device.gone = true;
        device.profile = super::device::Profile::default();
        let facts = device.facts.clone();
        self.note(number, OpType::Deleted, now, chance);
        Some(facts)
    }

    /// A page of all devices, from the beginning or from a cursor that has not come to the end.
    pub(super) fn fetch(&self, cursor: Option<Cursor>, wanted: Wanted) -> Value {
        let (event, first) = match cursor {
            Some(Cursor { event, device, .. }) => (event, device.unwrap_or(self.devices.len())),
            None => (self.events.len(), 0),
        };
        let present = self.devices.iter().enumerate().skip(first).filter(|(_, device)| !device.gone);
        let mut page: Vec<(usize, &Device)> = present.take(wanted.limit + 1).collect();
        let more = page.len() > wanted.limit;
        let next = if more { page.pop().map(|(number, _)| number) } else { None };
        let devices = page.into_iter().map(|(_, device)| Value::Object(device.to_json(wanted.version))).collect();
        let cursor = Cursor { issued_at: wanted.now.millis(), event, device: next };
        self.page(devices, cursor, more)
    }

    /// A page of what happened since a cursor.
    pub(super) fn changes(&self, cursor: Cursor, wanted: Wanted, chance: &mut Chance) -> Value {
        let end = (cursor.event + wanted.limit).min(self.events.len());
        let mut events = self.events.get(cursor.event..end).unwrap_or_default().to_vec();
        if self.mischief.shuffled {
            for place in 1..events.len() {
                events.swap(place, chance.below(place as u64 + 1) as usize);
            }
        }
        let devices = events.iter().map(|event| {
            let mut device = self.devices[event.device].to_json(wanted.version);
            let op = match event.op {
                OpType::Added => "added",
                OpType::Deleted => "deleted",
                OpType::Modified | OpType::Other => "modified",
            };
            device.insert("op_type".into(), json!(op));
            device.insert("op_date".into(), json!(moment(event.at)));
            Value::Object(device)
        });
        let cursor = Cursor { issued_at: wanted.now.millis(), event: end, device: None };
        self.page(devices.collect(), cursor, end < self.events.len())
    }

    fn page(&self, devices: Vec<Value>, cursor: Cursor, more: bool) -> Value {
        json!({
            "cursor": cursor.encode(&self.secret),
            "devices": devices,
            "fetched_until": moment(Timestamp::from_millis(cursor.issued_at)),
            "more_to_follow": more,
        })
    }
}

impl AssignmentService {
    /// Assigns devices to this organization's server: bought, or released by another server.
    pub fn add_devices(&self, organization: OrganizationId, facts: impl IntoIterator<Item = Facts>) {
        let now = self.now();
        self.change(organization, |owner, chance| facts.into_iter().for_each(|facts| owner.add(facts, now, chance)));
    }

    /// Takes devices from this organization's server. Those that it does not have are passed over.
    pub fn remove_devices(&self, organization: OrganizationId, serial_numbers: &[String]) {
        drop(self.taken(organization, serial_numbers));
    }

    /// Assigns devices to another organization's server.
    pub fn move_devices(&self, from: OrganizationId, to: OrganizationId, serial_numbers: &[String]) {
        self.add_devices(to, self.taken(from, serial_numbers));
    }

    /// Gives a device an asset tag, which is a change that servers are told.
    pub fn tag_device(&self, organization: OrganizationId, serial_number: &str, asset_tag: &str) {
        let now = self.now();
        self.change(organization, |owner, chance| {
            let Some(number) = owner.find(serial_number) else { return };
            asset_tag.clone_into(&mut owner.devices[number].asset_tag);
            owner.note(number, OpType::Modified, now, chance);
        });
    }

    /// Sets the day by which a device has to move to this organization's server.
    pub fn set_migration_deadline(&self, organization: OrganizationId, serial_number: &str, by: Option<Timestamp>) {
        let now = self.now();
        self.change(organization, |owner, chance| {
            let Some(number) = owner.find(serial_number) else { return };
            owner.devices[number].migrates_by = by;
            owner.note(number, OpType::Modified, now, chance);
        });
    }

    /// How changes of this organization's devices are told from now on.
    pub fn set_mischief(&self, organization: OrganizationId, mischief: Mischief) {
        self.change(organization, |owner, _| owner.mischief = mischief);
    }

    fn taken(&self, organization: OrganizationId, serial_numbers: &[String]) -> Vec<Facts> {
        let now = self.now();
        self.change(organization, |owner, chance| {
            serial_numbers.iter().filter_map(|serial| owner.remove(serial, now, chance)).collect()
        })
    }

    fn change<T>(&self, organization: OrganizationId, by: impl FnOnce(&mut Organization, &mut Chance) -> T) -> T {
        let mut state = self.state();
        let state = &mut *state;
        by(&mut state.organizations[organization.0], &mut state.chance)
    }
}
