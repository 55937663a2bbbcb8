//! Profiles of a host: what is to be sent next, so that it comes to have what it shall have.
//!
//! Pure rules over the rows of one host; the same for Apple's devices and Windows. Never here: which profiles a host shall
//! have (set algebra in the database), how profiles are written, and a clock.
//!
//! Start with [`plan`].

mod plan;
#[cfg(test)]
mod tests;

pub use plan::{Plan, Send, plan};

use uuid::Uuid;

use crate::ids::CommandUuid;

/// How often the installation of a profile is tried again on an Apple device.
pub const MAX_RETRIES_APPLE: i16 = 3;
/// How often the installation of a profile is tried again on a Windows device.
pub const MAX_RETRIES_WINDOWS: i16 = 1;
/// How long after its delivery a profile may be missing in what an agent says, before that counts: agents ask their
/// host rarely. Seconds.
pub const GRACE_SECONDS: u64 = 3600;

/// What a profile is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A configuration profile of Apple's.
    Mobileconfig,
    /// A declaration of Apple's.
    Declaration,
    /// A fragment of SyncML.
    Windows,
}

/// Whether the host shall have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// It shall have it.
    Install,
    /// It shall lose it.
    Remove,
}

/// Whom it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// The whole device.
    System,
    /// The user whom the server manages.
    User,
}

/// How far a profile is on a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// Nobody has sent it yet.
    Unsent,
    /// It cannot be sent before something happens.
    Held,
    /// A command for it is under way.
    Pending,
    /// The device says that it is done.
    Verifying,
    /// It was seen on the device.
    Verified,
    /// It could not be done.
    Failed,
}

/// One profile of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// The row number of the profile.
    pub id: i64,
    /// What it is made of.
    pub kind: Kind,
    /// What devices call it; empty for Windows.
    pub identifier: String,
    /// Whom it is for.
    pub scope: Scope,
    /// The version that the host shall have, or lose.
    pub content: i64,
    /// What changes whenever the host must get it again.
    pub token: String,
    /// The version that the device last said it has.
    pub had: Option<i64>,
    /// Whether the host shall have it.
    pub operation: Operation,
    /// How far it is.
    pub status: Status,
    /// The command for it that has not ended.
    pub under_way: Option<UnderWay>,
}

/// A command for a profile that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnderWay {
    /// Its name.
    pub uuid: CommandUuid,
    /// Its queue entry.
    pub entry: i64,
    /// The channel that it waits in.
    pub channel: i64,
    /// Whether the device has it and has not answered: then nobody can take it back.
    pub is_with_device: bool,
}

/// A host with its profiles, and the channels that it can be reached through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// The channel of the device, while it may be sent commands.
    pub device: Option<i64>,
    /// The channel of the user whom the server manages, while it may be sent commands.
    pub user: Option<i64>,
    /// What it shall have and lose.
    pub profiles: Vec<Profile>,
}

/// The first bytes of the names of commands for profiles.
const PROFILES: [u8; 4] = *b"prof";
/// The first bytes of the names of commands that ask which profiles there are.
const LISTS: [u8; 4] = *b"list";

/// The name of a command that delivers profiles: a UUID by which its report is known to be about them.
pub fn command_uuid(random: [u8; 16]) -> CommandUuid {
    named(random, PROFILES)
}

/// Whether a command delivers profiles.
pub fn is_delivery(uuid: &CommandUuid) -> bool {
    begins(uuid, PROFILES)
}

/// The name of a command that asks which profiles a device has, to verify them.
pub fn list_uuid(random: [u8; 16]) -> CommandUuid {
    named(random, LISTS)
}

/// Whether a command asks which profiles a device has, to verify them.
pub fn is_list(uuid: &CommandUuid) -> bool {
    begins(uuid, LISTS)
}

fn named(mut bytes: [u8; 16], first: [u8; 4]) -> CommandUuid {
    bytes[..4].copy_from_slice(&first);
    uuid::Builder::from_custom_bytes(bytes).into_uuid().into()
}

fn begins(uuid: &CommandUuid, first: [u8; 4]) -> bool {
    Uuid::parse_str(uuid.as_str()).is_ok_and(|uuid| uuid.get_version_num() == 8 && uuid.as_bytes()[..4] == first)
}
