//! A device is switched on for the first time and asks Apple where it belongs.

use protocol::apple::dep::answers::{OpType, ProfileStatus};
use serde_json::Value;

use super::{AssignmentService, OrganizationId};

/// What a device is given.
#[derive(Clone, Debug, PartialEq)]
pub struct Setup {
    /// Whose device it is.
    pub organization: OrganizationId,
    /// The profile's name at the service.
    pub profile_uuid: String,
    /// Where the device gets its enrollment profile, by a POST that it signs.
    pub url: String,
    /// The page that it shows first, where there is one.
    pub configuration_web_url: Option<String>,
    /// The certificates that the server's has to come from, in DER; without any, the device trusts what it always does.
    pub anchor_certs: Vec<Vec<u8>>,
    /// The whole profile.
    pub profile: Value,
}

/// What the service knows of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Whose it is.
    pub organization: OrganizationId,
    /// How far its profile is.
    pub profile_status: ProfileStatus,
    /// Which profile it is assigned.
    pub profile_uuid: Option<String>,
}

impl AssignmentService {
    /// What the device with this serial number is given when it is switched on; none when nobody's server has assigned it a
    /// profile. From then on the profile is `pushed`.
    pub fn set_up(&self, serial_number: &str) -> Option<Setup> {
        let now = self.now();
        let mut state = self.state();
        let state = &mut *state;
        let (place, number) = find(&state.organizations, serial_number)?;
        let owner = &mut state.organizations[place];
        let uuid = owner.devices[number].profile.uuid.clone()?;
        let profile = owner.profiles.get(&uuid)?.clone();
        let given = &mut owner.devices[number].profile;
        given.status = ProfileStatus::Pushed;
        given.pushed_at = Some(now);
        owner.note(number, OpType::Modified, now, &mut state.chance);
        let text = |key: &str| profile.get(key).and_then(Value::as_str).map(str::to_owned);
        let anchors = profile.get("anchor_certs").and_then(Value::as_array).into_iter().flatten();
        let der = |anchor: &Value| anchor.as_str().and_then(|text| openssl::base64::decode_block(text).ok());
        Some(Setup {
            organization: OrganizationId(place),
            profile_uuid: uuid,
            url: text("url")?,
            configuration_web_url: text("configuration_web_url"),
            anchor_certs: anchors.filter_map(der).collect(),
            profile,
        })
    }

    /// A profile as it was defined.
    pub fn profile(&self, organization: OrganizationId, profile_uuid: &str) -> Option<Value> {
        self.state().organizations[organization.0].profiles.get(profile_uuid).cloned()
    }

    /// What is known of a device; none when it is nobody's.
    pub fn device(&self, serial_number: &str) -> Option<Known> {
        let state = self.state();
        let (place, number) = find(&state.organizations, serial_number)?;
        let profile = &state.organizations[place].devices[number].profile;
        Some(Known {
            organization: OrganizationId(place),
            profile_status: profile.status,
            profile_uuid: profile.uuid.clone(),
        })
    }
}

fn find(organizations: &[super::Organization], serial_number: &str) -> Option<(usize, usize)> {
    let mut owners = organizations.iter().enumerate();
    owners.find_map(|(place, owner)| Some((place, owner.find(serial_number)?)))
}
