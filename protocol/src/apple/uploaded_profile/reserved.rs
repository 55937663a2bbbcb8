//! What an admin's profile may not hold, because the server sets it by itself or because MDM cannot install it.

use crate::apple::plist::Dictionary;

/// Identifiers of profiles that a server makes itself, and the beginnings of whole families. Fleet's are among them, so that
/// its file sets mean the same here. In lower case.
const IDENTIFIERS: [&str; 3] = ["com.fleetdm.fleet.mdm.filevault", "com.fleetdm.fleetd.config", "com.fleetdm.caroot"];
const FAMILIES: [&str; 2] = ["org.rookery.mdm", "com.fleetdm.fleet.mdm.apple"];

/// Payloads for the encryption of disks.
const ENCRYPTION: [&str; 3] =
    ["com.apple.mcx.filevault2", "com.apple.security.fderecoverykeyescrow", "com.apple.security.fderecoveryredirect"];
/// The payload that holds such options among others, and the options.
const MIXED: &str = "com.apple.mcx";
const MIXED_OPTIONS: [&str; 2] = ["dontAllowFDEDisable", "dontAllowFDEEnable"];
/// The payload that enrolls a device.
const MDM: &str = "com.apple.mdm";

/// Why something may not stand in an uploaded profile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reserved {
    /// The identifier is one of the server's own.
    #[error("PayloadIdentifier is reserved for what the server makes itself")]
    Identifier,
    /// Disk encryption is a setting of the team.
    #[error("PayloadType {0} is refused: disk encryption is a setting of the team, not of a profile")]
    Encryption(String),
    /// The same, of one option.
    #[error("{0} is refused: disk encryption is a setting of the team, not of a profile")]
    EncryptionOption(&'static str),
    /// A device is enrolled by its enrollment profile alone.
    #[error("PayloadType com.apple.mdm is refused: a device is enrolled by its enrollment profile alone")]
    Enrollment,
}

pub(super) fn check_identifier(identifier: &str) -> Result<(), Reserved> {
    let plain = identifier.trim().to_ascii_lowercase();
    let in_family =
        |family: &str| plain.strip_prefix(family).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    let reserved = IDENTIFIERS.contains(&plain.as_str()) || FAMILIES.into_iter().any(in_family);
    if reserved { Err(Reserved::Identifier) } else { Ok(()) }
}

pub(super) fn check_payload(payload_type: &str, entries: &Dictionary) -> Result<(), Reserved> {
    let plain = payload_type.trim().to_ascii_lowercase();
    if ENCRYPTION.contains(&plain.as_str()) {
        return Err(Reserved::Encryption(payload_type.to_owned()));
    }
    if plain == MDM {
        return Err(Reserved::Enrollment);
    }
    // Set to false it would undo the team's setting as well.
    let option = MIXED_OPTIONS.into_iter().find(|option| entries.contains_key(option));
    match option.filter(|_| plain == MIXED) {
        Some(option) => Err(Reserved::EncryptionOption(option)),
        None => Ok(()),
    }
}
