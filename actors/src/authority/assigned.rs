//! Enrollment profiles for devices that the organization bought: they prove by the identity that Apple gave them which device they
//! are, and Apple says whose they are. A serial number alone gets nobody anything.

use std::sync::Arc;

use actix::prelude::*;
use entities::{dep_device, host, team_setting};
use protocol::apple::dep::machine_info::{MachineInfo, MachineInfoError};
use protocol::apple::os_updates::{Platform, is_older};

use super::enroll::{Promise, SIGN_IN_FIRST, signed_profile};
use super::reference::Enrolls;
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

/// A device that was switched on shows the page on which its people sign in.
#[derive(Message)]
#[rtype(result = "Answer<Proven>")]
pub struct ProveAssigned {
    /// What it says of itself, signed, as its header has it.
    pub header: Vec<u8>,
}

/// What a device that shows the page may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proven {
    /// Its people sign in to enroll this.
    SignIn(Enrolls),
    /// It has to be updated to this version first.
    UpdateFirst {
        /// The least version of its team.
        version: String,
    },
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

impl Handler<ProveAssigned> for Authority {
    type Result = ResponseActFuture<Self, Answer<Proven>>;

    fn handle(&mut self, prove: ProveAssigned, _: &mut Self::Context) -> Self::Result {
        self.hand_out(|desk, _| async move {
            let (authorities, now) = (desk.config.device_authorities.clone(), desk.clock.now());
            let verified = desk.work(move || MachineInfo::verify_header(&prove.header, &authorities, now)).await?;
            let device = proven(&desk, verified).await?;
            Ok(match least_version(&desk, &device).await? {
                Some(version) => Proven::UpdateFirst { version },
                None => Proven::SignIn(device.enrolls()),
            })
        })
    }
}

/// A device that proved which one it is, and that the organization bought.
struct Assigned {
    info: MachineInfo,
    serial: String,
    udid: String,
    /// The platform, as rows have it.
    platform: String,
    /// The team that its host is in.
    team_id: Option<i64>,
}

impl Assigned {
    fn enrolls(self) -> Enrolls {
        Enrolls { team_id: self.team_id, serial: Some(self.serial), uuid: Some(self.udid), ..Enrolls::default() }
    }
}

async fn invite_assigned(desk: &Desk, keys: Arc<Keys>, machine_info: Vec<u8>) -> Answer<Invited> {
    let (authorities, now) = (desk.config.device_authorities.clone(), desk.clock.now());
    let verified = desk.work(move || MachineInfo::verify(&machine_info, &authorities, now)).await?;
    let device = proven(desk, verified).await?;
    if let Some(version) = least_version(desk, &device).await? {
        return Ok(Invited::UpdateFirst { version });
    }
    if team_setting::demands_sign_in(&desk.reader, device.team_id).await? {
        return Err(Refusal::Forbidden(SIGN_IN_FIRST));
    }
    let to = Promise { serial: Some(device.serial), uuid: Some(device.udid), automatic: true, ..Promise::default() };
    Ok(Invited::Profile(signed_profile(desk, keys, to, BY.to_owned()).await?))
}

/// The device that proved to be one of Apple's, when it is one of this server's.
async fn proven(desk: &Desk, verified: Result<MachineInfo, MachineInfoError>) -> Answer<Assigned> {
    let info = verified.map_err(|error| {
        tracing::warn!("a device cannot prove what it is: {error}");
        Refusal::Forbidden("this device cannot prove what it is")
    })?;
    const NOT_OURS: Refusal =
        Refusal::Forbidden("this device is not assigned to this server in Apple Business Manager");
    let (Some(serial), Some(udid)) = (info.serial_number.clone(), info.udid.clone()) else { return Err(NOT_OURS) };
    let device = dep_device::by_serial(&desk.reader, serial.clone()).await?;
    let device = device.filter(|device| device.removed_at.is_none()).ok_or(NOT_OURS)?;
    let host = host::by_serial(&desk.reader, serial.clone()).await?;
    let team_id = host.and_then(|host| host.team_id);
    Ok(Assigned { info, serial, udid, platform: device.platform, team_id })
}

/// The version that the device has to be updated to before it enrolls: its team demands it, it has an older one, and it can do so
/// itself.
async fn least_version(desk: &Desk, device: &Assigned) -> Answer<Option<String>> {
    let platform = Platform::ALL.into_iter().find(|platform| platform.word() == device.platform);
    let Some(platform) = platform.filter(|_| device.info.can_request_software_update) else { return Ok(None) };
    let team_id = device.team_id.unwrap_or_default();
    let settings = team_setting::of_teams(&desk.reader, vec![team_id]).await?;
    let updates = settings.get(&team_id).and_then(|set| set.get(platform.setting()));
    let least = updates.and_then(|updates| updates.get("minimum_version")?.as_str());
    let is_old = |least: &&str| device.info.os_version.as_deref().is_some_and(|has| is_older(has, least));
    Ok(least.filter(is_old).map(str::to_owned))
}
