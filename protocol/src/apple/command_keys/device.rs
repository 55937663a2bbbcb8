//! The arguments of commands that change a device: power, locks, passwords, accounts, updates, its screen.

use super::Kind::{Boolean, Data, Dictionary, Digits, Integer, List, OneOf, Text};
use super::{Arguments, TEXTS, optional, required, row, row_with_one_of};

/// The digits that unlock a Mac.
const PIN: super::Kind = Digits(6);

pub(super) const TABLE: &[Arguments] = &[
    row(
        "AccountConfiguration",
        &[
            optional("SkipPrimarySetupAccountCreation", Boolean),
            optional("SetPrimarySetupAccountAsRegularUser", Boolean),
            optional("PrimaryAccountFullName", Text),
            optional("PrimaryAccountUserName", Text),
            optional("DontAutoPopulatePrimaryAccountInfo", Boolean),
            optional("LockPrimaryAccountInfo", Boolean),
            optional(
                "AutoSetupAdminAccounts",
                List(&Dictionary(&[
                    required("shortName", Text),
                    optional("fullName", Text),
                    optional("passwordHash", Data),
                    optional("hidden", Boolean),
                ])),
            ),
            optional("ManagedLocalUserShortName", Text),
        ],
    ),
    row("ActivationLockBypassCode", &[]),
    row("ClearActivationLockBypassCode", &[]),
    row("ClearPasscode", &[required("UnlockToken", Data)]),
    row("ClearRestrictionsPassword", &[]),
    row_with_one_of(
        "DeleteUser",
        &[optional("UserName", Text), optional("ForceDeletion", Boolean), optional("DeleteAllUsers", Boolean)],
        &["UserName", "DeleteAllUsers"],
    ),
    row("DeviceConfigured", &[]),
    row("DeviceLocation", &[]),
    row("DeviceLock", &[optional("Message", Text), optional("PhoneNumber", Text), optional("PIN", PIN)]),
    row("DisableLostMode", &[]),
    row("DisableRemoteDesktop", &[]),
    row_with_one_of(
        "EnableLostMode",
        &[optional("Message", Text), optional("PhoneNumber", Text), optional("Footnote", Text)],
        &["Message", "PhoneNumber"],
    ),
    row("EnableRemoteDesktop", &[]),
    row(
        "EraseDevice",
        &[
            optional("PreserveDataPlan", Boolean),
            optional("DisallowProximitySetup", Boolean),
            optional("PIN", PIN),
            optional("ObliterationBehavior", OneOf(&["Default", "DoNotObliterate", "ObliterateWithWarning", "Always"])),
            optional(
                "ReturnToService",
                Dictionary(&[
                    required("Enabled", Boolean),
                    optional("WiFiProfileData", Data),
                    optional("MDMProfileData", Data),
                ]),
            ),
        ],
    ),
    row(
        "LOMDeviceRequest",
        &[required(
            "RequestList",
            List(&Dictionary(&[
                required("DeviceRequestType", OneOf(&["PowerON", "PowerOFF", "Reset"])),
                required("DeviceRequestUUID", Text),
                required("DeviceDNSName", Text),
                required("PrimaryIPv6AddressList", TEXTS),
                required("SecondaryIPv6AddressList", TEXTS),
                required("LOMProtocolVersion", Integer),
            ])),
        )],
    ),
    row("LOMSetupRequest", &[]),
    row("LogOutUser", &[]),
    row("PlayLostModeSound", &[]),
    row("RefreshCellularPlans", &[required("eSIMServerURL", Text)]),
    row(
        "RequestMirroring",
        &[
            optional("DestinationName", Text),
            optional("DestinationDeviceID", Text),
            optional("ScanTime", Integer),
            optional("Password", Text),
        ],
    ),
    row("RequestUnlockToken", &[]),
    row(
        "RestartDevice",
        &[optional("RebuildKernelCache", Boolean), optional("KextPaths", TEXTS), optional("NotifyUser", Boolean)],
    ),
    row(
        "RotateFileVaultKey",
        &[
            required("KeyType", OneOf(&["personal", "institutional"])),
            required(
                "FileVaultUnlock",
                Dictionary(&[
                    optional("Password", Text),
                    optional("PrivateKeyExport", Data),
                    optional("PrivateKeyExportPassword", Text),
                ]),
            ),
            optional("NewCertificate", Data),
            optional("ReplyEncryptionCertificate", Data),
        ],
    ),
    row(
        "ScheduleOSUpdate",
        &[required(
            "Updates",
            List(&Dictionary(&[
                optional("ProductKey", Text),
                optional("ProductVersion", Text),
                required(
                    "InstallAction",
                    OneOf(&[
                        "Default",
                        "DownloadOnly",
                        "InstallASAP",
                        "NotifyOnly",
                        "InstallLater",
                        "InstallForceRestart",
                    ]),
                ),
                optional("MaxUserDeferrals", Integer),
                optional("Priority", OneOf(&["Low", "High"])),
            ])),
        )],
    ),
    row("ScheduleOSUpdateScan", &[optional("Force", Boolean)]),
    row("SetAutoAdminPassword", &[required("GUID", Text), required("passwordHash", Data)]),
    row(
        "SetFirmwarePassword",
        &[optional("CurrentPassword", Text), required("NewPassword", Text), optional("AllowOroms", Boolean)],
    ),
    row("SetRecoveryLock", &[optional("CurrentPassword", Text), required("NewPassword", Text)]),
    row("ShutDownDevice", &[]),
    row("StopMirroring", &[]),
    row("UnlockUserAccount", &[required("UserName", Text)]),
    row("UserConfigured", &[]),
    row("VerifyFirmwarePassword", &[required("Password", Text)]),
    row("VerifyRecoveryLock", &[required("Password", Text)]),
];
