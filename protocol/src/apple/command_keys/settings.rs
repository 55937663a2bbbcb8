//! The arguments of `Settings`: a list of items, each with keys of its own.

use super::Kind::{Boolean, Data, Dictionary, Integer, Items, List, NumberOf, Text};
use super::applications::ATTRIBUTES;
use super::{ANY_DICTIONARY, Arguments, Key, TEXTS, optional, required, row};

const ENABLED: &[Key] = &[required("Enabled", Boolean)];
const GRACE_PERIOD: super::Kind = NumberOf(&[0, 60, 300, 900, 3600, 14400]);

pub(super) const TABLE: &[Arguments] = &[row("Settings", &[required("Settings", List(&Items(ITEMS)))])];

const ITEMS: &[(&str, &[Key])] = &[
    (
        "AccessibilitySettings",
        &[
            optional("BoldTextEnabled", Boolean),
            optional("IncreaseContrastEnabled", Boolean),
            optional("ReduceMotionEnabled", Boolean),
            optional("ReduceTransparencyEnabled", Boolean),
            optional("TextSize", NumberOf(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11])),
            optional("TouchAccommodationsEnabled", Boolean),
            optional("VoiceOverEnabled", Boolean),
            optional("ZoomEnabled", Boolean),
            optional("GrayscaleEnabled", Boolean),
        ],
    ),
    ("AppAnalytics", ENABLED),
    ("ApplicationAttributes", &[required("Identifier", Text), optional("Attributes", Dictionary(ATTRIBUTES))]),
    ("ApplicationConfiguration", &[required("Identifier", Text), optional("Configuration", ANY_DICTIONARY)]),
    ("Bluetooth", ENABLED),
    ("DataRoaming", ENABLED),
    ("DeviceName", &[required("DeviceName", Text)]),
    ("DiagnosticSubmission", ENABLED),
    ("HostName", &[required("HostName", Text)]),
    ("MaximumResidentUsers", &[required("MaximumResidentUsers", Integer)]),
    (
        "MDMOptions",
        &[required(
            "MDMOptions",
            Dictionary(&[
                optional("ActivationLockAllowedWhileSupervised", Boolean),
                optional("BootstrapTokenAllowed", Boolean),
                optional("PromptUserToAllowBootstrapTokenForAuthentication", Boolean),
            ]),
        )],
    ),
    (
        "OrganizationInfo",
        &[optional(
            "OrganizationInfo",
            Dictionary(&[
                required("OrganizationName", Text),
                optional("OrganizationShortName", Text),
                optional("OrganizationAddress", Text),
                optional("OrganizationPhone", Text),
                optional("OrganizationEmail", Text),
                optional("OrganizationMagic", Text),
            ]),
        )],
    ),
    ("PasscodeLockGracePeriod", &[required("PasscodeLockGracePeriod", GRACE_PERIOD)]),
    ("PersonalHotspot", ENABLED),
    (
        "SharedDeviceConfiguration",
        &[
            optional("QuotaSize", Integer),
            optional("ResidentUsers", Integer),
            optional("UserSessionTimeout", Integer),
            optional("TemporarySessionTimeout", Integer),
            optional("TemporarySessionOnly", Boolean),
            optional("ManagedAppleIDDefaultDomains", TEXTS),
            optional("OnlineAuthenticationGracePeriod", Integer),
            optional("SkipLanguageAndLocaleSetupForNewUsers", Boolean),
            optional("AwaitUserConfiguration", Dictionary(ENABLED)),
            optional(
                "PasscodePolicy",
                Dictionary(&[optional("PasscodeLockGracePeriod", GRACE_PERIOD), optional("AutoLockTime", Integer)]),
            ),
        ],
    ),
    ("SoftwareUpdateSettings", &[required("RecommendationCadence", NumberOf(&[0, 1, 2]))]),
    ("TimeZone", &[required("TimeZone", Text)]),
    ("VoiceRoaming", ENABLED),
    ("Wallpaper", &[required("Image", Data), required("Where", NumberOf(&[1, 2, 3]))]),
];
