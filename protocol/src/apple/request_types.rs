//! What the queue has to know of each command type, as one table. Their arguments stand in
//! [`command_keys`](super::command_keys).
//!
//! Channels: Apple's published schema (iOS 18.1, macOS 15.1). Lifetimes, coalescing and the ban on
//! blind repetition are this server's rules. A channel is listed when any platform allows the command there, because the
//! platform of a device is not known here. Types that are not in the table are let through with the ordinary facts.
//!
//! Start with [`facts`].

use std::time::Duration;

use super::channel::ChannelKind;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The facts of one command type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestFacts {
    /// The `RequestType`; empty for a type that is not in the table.
    pub request_type: &'static str,
    /// How long an unanswered command stays worth sending.
    pub time_to_live: Duration,
    /// Which pending commands of the type a new one replaces.
    pub coalescing: Coalescing,
    /// Doing it twice does harm, so it is not sent again after "sent without answer" without a reason to.
    pub no_blind_resend: bool,
    channels: u8,
}

/// Which pending commands of a type a new one of the same type and channel replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coalescing {
    /// None: each one is done.
    Never,
    /// Those with the same arguments: asking twice gains nothing.
    SameArguments,
    /// All: only the newest one is true.
    Newest,
}

impl RequestFacts {
    /// Whether Apple lets a channel of this kind take the command, on some platform.
    pub const fn allows(&self, kind: ChannelKind) -> bool {
        self.channels & bit(kind) != 0
    }
}

/// The facts of a command type; those of an ordinary command for a type that is not in the table.
pub fn facts(request_type: &str) -> RequestFacts {
    let unknown = ("", EVERYWHERE, ORDINARY);
    let found = TABLE.binary_search_by(|row| row.0.cmp(request_type));
    let (request_type, channels, life) = found.map_or(unknown, |index| TABLE[index]);
    let Life { time_to_live, coalescing, no_blind_resend } = life;
    RequestFacts { request_type, time_to_live, coalescing, no_blind_resend, channels }
}

/// Every command type of the table, in alphabetical order.
pub fn known() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|row| row.0)
}

/// How the queue treats a command.
#[derive(Clone, Copy)]
struct Life {
    time_to_live: Duration,
    coalescing: Coalescing,
    no_blind_resend: bool,
}

type Row = (&'static str, u8, Life);

const ORDINARY: Life =
    Life { time_to_live: DAY.saturating_mul(7), coalescing: Coalescing::Never, no_blind_resend: false };
const INVENTORY: Life = Life { time_to_live: DAY, coalescing: Coalescing::SameArguments, no_blind_resend: false };
const NEWEST: Life = Life { coalescing: Coalescing::Newest, ..ORDINARY };
const ONCE: Life = Life { no_blind_resend: true, ..ORDINARY };
const LASTING: Life = Life { time_to_live: DAY.saturating_mul(30), ..ONCE };

const fn bit(kind: ChannelKind) -> u8 {
    1 << kind as u8
}

const DEVICE: u8 = bit(ChannelKind::Device);
const USER: u8 = bit(ChannelKind::User);
const SHARED: u8 = bit(ChannelKind::SharedIpad);
const PERSONAL_DEVICE: u8 = bit(ChannelKind::UserEnrollmentDevice);
const PERSONAL_USER: u8 = bit(ChannelKind::UserEnrollment);
const ANY_DEVICE: u8 = DEVICE | PERSONAL_DEVICE;
const NOT_SHARED: u8 = ANY_DEVICE | USER | PERSONAL_USER;
const EVERYWHERE: u8 = NOT_SHARED | SHARED;

/// Sorted by name; searched by halving.
#[rustfmt::skip]
const TABLE: &[Row] = &[
    ("AccountConfiguration", DEVICE, ORDINARY),
    ("ActivationLockBypassCode", DEVICE, ORDINARY),
    ("ActiveNSExtensions", USER, INVENTORY),
    ("ApplyRedemptionCode", DEVICE, ONCE),
    ("AvailableOSUpdates", DEVICE, INVENTORY),
    ("CertificateList", NOT_SHARED, INVENTORY),
    ("ClearActivationLockBypassCode", DEVICE, ORDINARY),
    ("ClearPasscode", DEVICE, ONCE),
    ("ClearRestrictionsPassword", DEVICE, ONCE),
    ("ContentCachingInformation", DEVICE, INVENTORY),
    ("DeclarativeManagement", EVERYWHERE, NEWEST),
    ("DeleteUser", DEVICE, ONCE),
    ("DeviceConfigured", DEVICE, ORDINARY),
    ("DeviceInformation", EVERYWHERE, INVENTORY),
    ("DeviceLocation", DEVICE, ORDINARY),
    ("DeviceLock", ANY_DEVICE, LASTING),
    ("DisableLostMode", DEVICE, ORDINARY),
    ("DisableRemoteDesktop", DEVICE, ORDINARY),
    ("EnableLostMode", DEVICE, ORDINARY),
    ("EnableRemoteDesktop", DEVICE, ORDINARY),
    ("EraseDevice", DEVICE, LASTING),
    ("InstallApplication", NOT_SHARED, ORDINARY),
    ("InstallEnterpriseApplication", ANY_DEVICE, ORDINARY),
    ("InstallMedia", ANY_DEVICE | USER, ORDINARY),
    ("InstallProfile", EVERYWHERE, ORDINARY),
    ("InstallProvisioningProfile", ANY_DEVICE, ORDINARY),
    ("InstalledApplicationList", ANY_DEVICE | USER, INVENTORY),
    ("InviteToProgram", DEVICE | USER | SHARED, ORDINARY),
    ("LOMDeviceRequest", DEVICE, ONCE),
    ("LOMSetupRequest", DEVICE, ORDINARY),
    ("LogOutUser", DEVICE, ONCE),
    ("ManagedApplicationAttributes", ANY_DEVICE, INVENTORY),
    ("ManagedApplicationConfiguration", ANY_DEVICE, INVENTORY),
    ("ManagedApplicationFeedback", ANY_DEVICE | USER, ORDINARY),
    ("ManagedApplicationList", NOT_SHARED, INVENTORY),
    ("ManagedMediaList", ANY_DEVICE, INVENTORY),
    ("NSExtensionMappings", USER, INVENTORY),
    ("OSUpdateStatus", DEVICE, INVENTORY),
    ("PlayLostModeSound", DEVICE, ORDINARY),
    ("ProfileList", EVERYWHERE, INVENTORY),
    ("ProvisioningProfileList", ANY_DEVICE, INVENTORY),
    ("RefreshCellularPlans", DEVICE, ORDINARY),
    ("RemoveApplication", ANY_DEVICE, ORDINARY),
    ("RemoveMedia", ANY_DEVICE, ORDINARY),
    ("RemoveProfile", EVERYWHERE, ORDINARY),
    ("RemoveProvisioningProfile", ANY_DEVICE, ORDINARY),
    ("RequestMirroring", ANY_DEVICE, ORDINARY),
    ("RequestUnlockToken", DEVICE, ORDINARY),
    ("RestartDevice", DEVICE, ONCE),
    ("Restrictions", DEVICE | SHARED, INVENTORY),
    ("RotateFileVaultKey", DEVICE, ONCE),
    ("ScheduleOSUpdate", DEVICE, ORDINARY),
    ("ScheduleOSUpdateScan", DEVICE, ORDINARY),
    ("SecurityInfo", NOT_SHARED, INVENTORY),
    ("SetAutoAdminPassword", DEVICE, ONCE),
    ("SetFirmwarePassword", DEVICE, ONCE),
    ("SetRecoveryLock", DEVICE, ONCE),
    ("Settings", EVERYWHERE, ORDINARY),
    ("ShutDownDevice", DEVICE, ONCE),
    ("StopMirroring", DEVICE, ORDINARY),
    ("UnlockUserAccount", DEVICE, ORDINARY),
    ("UserConfigured", SHARED, ORDINARY),
    ("UserList", DEVICE, INVENTORY),
    ("ValidateApplications", ANY_DEVICE, ORDINARY),
    ("VerifyFirmwarePassword", DEVICE, ORDINARY),
    ("VerifyRecoveryLock", DEVICE, ORDINARY),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_complete() {
        assert_eq!(TABLE.len(), 66);
        assert!(TABLE.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert!(known().all(|request_type| facts(request_type).request_type == request_type));
    }

    #[test]
    fn an_unknown_type_is_an_ordinary_command_on_every_channel() {
        let unknown = facts("TurnIntoPumpkin");
        assert_eq!((unknown.request_type, unknown.time_to_live, unknown.no_blind_resend), ("", DAY * 7, false));
        assert_eq!(unknown.coalescing, Coalescing::Never);
        assert!(ChannelKind::ALL.into_iter().all(|kind| unknown.allows(kind) == (kind != ChannelKind::Windows)));
    }

    #[test]
    fn what_does_harm_twice_is_never_repeated_blindly() {
        for request_type in [
            "EraseDevice",
            "DeviceLock",
            "RotateFileVaultKey",
            "SetFirmwarePassword",
            "SetRecoveryLock",
            "ClearPasscode",
            "RestartDevice",
            "ShutDownDevice",
            "DeleteUser",
        ] {
            assert!(facts(request_type).no_blind_resend, "{request_type}");
        }
        assert!(!facts("InstallProfile").no_blind_resend);
    }

    #[test]
    fn inventory_expires_after_a_day_and_an_erasure_after_a_month() {
        for request_type in ["DeviceInformation", "InstalledApplicationList", "SecurityInfo", "ProfileList"] {
            let facts = facts(request_type);
            assert_eq!((facts.time_to_live, facts.coalescing), (DAY, Coalescing::SameArguments), "{request_type}");
        }
        assert_eq!(facts("EraseDevice").time_to_live, DAY * 30);
        assert_eq!(facts("DeviceLock").time_to_live, DAY * 30);
        assert_eq!(facts("InstallProfile").time_to_live, DAY * 7);
        assert_eq!(facts("DeclarativeManagement").coalescing, Coalescing::Newest);
    }

    #[test]
    fn channels_are_those_of_apples_schema() {
        use ChannelKind::{Device, SharedIpad, User, UserEnrollment, UserEnrollmentDevice};
        let allowed =
            |request_type| ChannelKind::ALL.into_iter().filter(|kind| facts(request_type).allows(*kind)).collect();
        let cases: [(&str, Vec<ChannelKind>); 6] = [
            ("EraseDevice", vec![Device]),
            ("DeviceLock", vec![Device, UserEnrollmentDevice]),
            ("NSExtensionMappings", vec![User]),
            ("UserConfigured", vec![SharedIpad]),
            ("SecurityInfo", vec![Device, User, UserEnrollmentDevice, UserEnrollment]),
            ("InstallProfile", vec![Device, User, SharedIpad, UserEnrollmentDevice, UserEnrollment]),
        ];
        for (request_type, expected) in cases {
            let allowed: Vec<ChannelKind> = allowed(request_type);
            assert_eq!(allowed, expected, "{request_type}");
        }
    }
}
