//! Enrollment profiles for devices that the organization bought: they prove by the identity that Apple gave them which device they
//! are, and Apple says whose they are. A serial number alone gets nobody anything.

use std::sync::Arc;

use actix::prelude::*;
use entities::{Reader, dep_device, host, team_setting};
use protocol::apple::dep::machine_info::MachineInfo;
use protocol::apple::os_updates::{Platform, is_older};

use super::enroll::{Promise, signed_profile};
use super::{Authority, Desk, Keys};
use crate::ask::{Answer, Refusal};

/// Who is said to have made the profile.
const BY: &str = "automated device enrollment";

/// A device that was switched on asks for its enrollment profile.
#[derive(Message)]
#[rtype(result = "Answer<Invited>")]
pub struct InviteAssigned {
    /// What it says of itself, signed (CMS).
    pub machine_info: Vec<u8>,
}

/// What a device gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invited {
    /// Its enrollment profile, signed.
    Profile(Vec<u8>),
    /// It has to be updated to this version first.
    UpdateFirst {
        /// The least version of its team.
        version: String,
    },
}

impl Handler<InviteAssigned> for Authority {
    type Result = ResponseActFuture<Self, Answer<Invited>>;

    fn handle(&mut self, invite: InviteAssigned, _: &mut Self::Context) -> Self::Result {
        self.hand_out(|desk, keys| async move { invite_assigned(&desk, keys, invite.machine_info).await })
    }
}

async fn invite_assigned(desk: &Desk, keys: Arc<Keys>, machine_info: Vec<u8>) -> Answer<Invited> {
    let (authorities, now) = (desk.config.device_authorities.clone(), desk.clock.now());
    let verified = desk.work(move || MachineInfo::verify(&machine_info, &authorities, now)).await?;
    let info = verified.map_err(|error| {
        tracing::warn!("a device cannot prove what it is: {error}");
        Refusal::Forbidden("this device cannot prove what it is")
    })?;
    const NOT_OURS: Refusal =
        Refusal::Forbidden("this device is not assigned to this server in Apple Business Manager");
    let (Some(serial), Some(udid)) = (info.serial_number.clone(), info.udid.clone()) else { return Err(NOT_OURS) };
    let device = dep_device::by_serial(&desk.reader, serial.clone()).await?;
    let device = device.filter(|device| device.removed_at.is_none()).ok_or(NOT_OURS)?;
    if info.can_request_software_update
        && let Some(version) = least_version(&desk.reader, &device).await?
        && info.os_version.as_deref().is_some_and(|has| is_older(has, &version))
    {
        return Ok(Invited::UpdateFirst { version });
    }
    let to = Promise { serial: Some(serial), uuid: Some(udid), automatic: true, ..Promise::default() };
    Ok(Invited::Profile(signed_profile(desk, keys, to, BY.to_owned()).await?))
}

/// The least version that the device's team demands.
async fn least_version(reader: &Reader, device: &dep_device::Model) -> Answer<Option<String>> {
    let Some(platform) = Platform::ALL.into_iter().find(|platform| platform.word() == device.platform) else {
        return Ok(None);
    };
    let host = host::by_serial(reader, device.serial.clone()).await?;
    let team_id = host.and_then(|host| host.team_id).unwrap_or_default();
    let settings = team_setting::of_teams(reader, vec![team_id]).await?;
    let updates = settings.get(&team_id).and_then(|set| set.get(platform.setting()));
    Ok(updates.and_then(|updates| updates.get("minimum_version")?.as_str().map(str::to_owned)))
}
