//! What every host with declarations is asked to report: what its page shows, as far as its platform knows it.

/// The type of the configuration that subscribes to status items.
pub const SUBSCRIPTIONS: &str = "com.apple.configuration.management.status-subscriptions";

/// Platforms, in the words of [`platform`](crate::apple::platform::platform).
type Platforms = &'static [&'static str];

const MAC: Platforms = &["darwin"];
const MOBILE: Platforms = &["ios", "ipados"];
const MAC_AND_MOBILE: Platforms = &["darwin", "ios", "ipados"];
const NOT_MAC: Platforms = &["ios", "ipados", "tvos", "watchos", "visionos"];
const WITH_PASSCODE: Platforms = &["ios", "ipados", "watchos", "visionos"];

/// Status items and the platforms that know them; all do where none is named (Apple, release 18.1 of the schema).
const BASELINE: &[(&str, Platforms)] = &[
    ("app.managed.list", MOBILE),
    ("device.identifier.serial-number", &[]),
    ("device.identifier.udid", &[]),
    ("device.model.family", &[]),
    ("device.model.identifier", &[]),
    ("device.model.marketing-name", &[]),
    ("device.model.number", &[]),
    ("device.operating-system.build-version", &[]),
    ("device.operating-system.family", &[]),
    ("device.operating-system.marketing-name", &[]),
    ("device.operating-system.supplemental.build-version", &[]),
    ("device.operating-system.supplemental.extra-version", &[]),
    ("device.operating-system.version", &[]),
    ("device.power.battery-health", MAC_AND_MOBILE),
    ("diskmanagement.filevault.enabled", MAC),
    ("management.client-capabilities", &[]),
    ("management.declarations", &[]),
    ("mdm.app", NOT_MAC),
    ("passcode.is-compliant", WITH_PASSCODE),
    ("passcode.is-present", WITH_PASSCODE),
    ("security.certificate.list", &[]),
    ("softwareupdate.beta-enrollment", MAC_AND_MOBILE),
    ("softwareupdate.device-id", MAC_AND_MOBILE),
    ("softwareupdate.failure-reason", MAC_AND_MOBILE),
    ("softwareupdate.install-reason", MAC_AND_MOBILE),
    ("softwareupdate.install-state", MAC_AND_MOBILE),
    ("softwareupdate.pending-version", MAC_AND_MOBILE),
];

/// The names of the status items that a host of this platform is asked for, sorted; of a platform that nobody knows, what
/// all have.
pub fn baseline(platform: &str) -> impl Iterator<Item = &'static str> {
    let known = BASELINE.iter().filter(move |(_, platforms)| platforms.is_empty() || platforms.contains(&platform));
    known.map(|(name, _)| *name)
}
