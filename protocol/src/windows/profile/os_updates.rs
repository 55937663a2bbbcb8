//! The server's own profile that makes hosts install updates of Windows in time (Policy CSP, `Update`).

use crate::windows::syncml::Item;
use crate::windows::xml::Writer;

/// The name of the profile; administrators' profiles cannot have it.
pub const NAME: &str = "Windows OS Updates";
/// The longest time until updates are installed, in days.
pub const MAX_DEADLINE_DAYS: u32 = 30;
/// The longest time after that until the host restarts by itself, in days.
pub const MAX_GRACE_DAYS: u32 = 7;

/// When updates are installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OsUpdates {
    /// Days from the release of an update until it is installed.
    pub deadline_days: u32,
    /// Days after that until the host restarts by itself.
    pub grace_days: u32,
}

impl OsUpdates {
    /// The profile, as administrators would write it.
    pub fn profile(self) -> String {
        let mut writer = Writer::new();
        for (policy, value) in [
            ("ConfigureDeadlineForFeatureUpdates", self.deadline_days),
            ("ConfigureDeadlineForQualityUpdates", self.deadline_days),
            ("ConfigureDeadlineGracePeriod", self.grace_days),
            ("ConfigureDeadlineGracePeriodForFeatureUpdates", self.grace_days),
            // Installed by themselves; the user chooses when to restart, until the deadline.
            ("AllowAutoUpdate", 1),
            ("ConfigureDeadlineNoAutoReboot", 1),
            ("SetDisablePauseUXAccess", 1),
        ] {
            let node = format!("./Device/Vendor/MSFT/Policy/Config/Update/{policy}");
            let item = Item::of(node, "int", &value.to_string());
            writer.element("Replace", &[], |replace| item.write(replace));
        }
        writer.finish()
    }
}

/// Whether a name is the server's own.
pub fn is_reserved(name: &str) -> bool {
    name.trim().eq_ignore_ascii_case(NAME)
}
