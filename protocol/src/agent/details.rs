//! Which details agents are asked for, when, and what they mean for a host.
//!
//! Every query stands beside another one that osquery runs first (discovery): if that one finds nothing, the query is left out. As soon
//! as one query has a discovery query, osquery leaves out all that have none, so each has one.

use std::time::Duration;

use super::answers::{Answers, Row, column};
use crate::ids::{hardware_uuid, serial_number};
use crate::time::Timestamp;

/// What the names of these queries begin with on the wire.
pub const PREFIX: &str = "fleet_detail_query_";
/// A discovery query that always finds something.
pub const ALWAYS: &str = "SELECT 1";
/// The name of our management among those that a Mac is told.
const OWN_PROFILE: &str = "com.fleetdm.fleet.mdm.apple";

/// The query for what `macos_profiles` says, which is an extension's table.
pub const MAC_PROFILES: &str = "mdm_config_profiles_darwin";
/// The same for the profiles of users.
pub const MAC_USER_PROFILES: &str = "mdm_config_profiles_darwin_with_user";
/// The query through which a Windows host is asked for its settings; it is made for each host.
pub const WINDOWS_PROFILES: &str = "mdm_config_profiles_windows";
/// The discovery query of [`WINDOWS_PROFILES`].
pub const HAS_MDM_BRIDGE: &str =
    "SELECT 1 FROM osquery_registry WHERE active = true AND registry = 'table' AND name = 'mdm_bridge'";

/// A query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Detail {
    /// Its name, without the prefix.
    pub name: &'static str,
    /// What it asks.
    pub query: &'static str,
    /// What is asked first.
    pub discovery: &'static str,
    /// The platform whose hosts are asked; empty for all.
    platform: &'static str,
}

const fn detail(platform: &'static str, name: &'static str, query: &'static str, discovery: &'static str) -> Detail {
    Detail { name, query, discovery, platform }
}

/// All that are the same for every host of a platform.
static DETAILS: &[Detail] = &[
    detail(
        "",
        "system_info",
        "SELECT uuid, hardware_serial, hardware_model, computer_name, hostname FROM system_info LIMIT 1",
        ALWAYS,
    ),
    detail("", "os_version", "SELECT name, version, build, platform FROM os_version LIMIT 1", ALWAYS),
    detail("", "osquery_info", "SELECT version FROM osquery_info LIMIT 1", ALWAYS),
    detail(
        "",
        "orbit_info",
        "SELECT * FROM orbit_info",
        "SELECT 1 FROM osquery_registry WHERE active = true AND registry = 'table' AND name = 'orbit_info'",
    ),
    detail(
        "darwin",
        "mdm",
        "SELECT enrolled, server_url, installed_from_dep, payload_identifier FROM mdm",
        "SELECT 1 FROM osquery_registry WHERE active = true AND registry = 'table' AND name = 'mdm'",
    ),
    detail(
        "darwin",
        MAC_PROFILES,
        "SELECT display_name, identifier, install_date FROM macos_profiles WHERE type = 'Configuration'",
        "SELECT 1 FROM osquery_registry WHERE active = true AND registry = 'table' AND name = 'macos_profiles'",
    ),
    detail(
        "darwin",
        MAC_USER_PROFILES,
        "SELECT username, display_name, identifier, install_date FROM macos_user_profiles WHERE type = 'Configuration'",
        "SELECT 1 FROM osquery_registry WHERE active = true AND registry = 'table' AND name = 'macos_user_profiles'",
    ),
    detail("windows", "mdm_windows", MDM_WINDOWS, ALWAYS),
    detail(
        "windows",
        "mdm_device_id_windows",
        "SELECT name, data FROM registry WHERE path = 'HKEY_LOCAL_MACHINE\\SOFTWARE\\Microsoft\\Provisioning\\OMADM\\MDMDeviceID\\DeviceClientId'",
        ALWAYS,
    ),
];

/// The one enrollment that somebody made (it has a UPN) and that is not being undone.
const MDM_WINDOWS: &str = "WITH \
    parts AS (SELECT key, name, data FROM registry WHERE path LIKE 'HKEY_LOCAL_MACHINE\\SOFTWARE\\Microsoft\\Enrollments\\%%'), \
    enrollments AS (SELECT \
        MAX(CASE WHEN name = 'UPN' THEN data END) AS upn, \
        MAX(CASE WHEN name = 'DiscoveryServiceFullURL' THEN data END) AS discovery_service_url, \
        MAX(CASE WHEN name = 'ProviderID' THEN data END) AS provider_id, \
        MAX(CASE WHEN name = 'EnrollmentState' THEN data END) AS state, \
        MAX(CASE WHEN name = 'AADResourceID' THEN data END) AS aad_resource_id \
        FROM parts GROUP BY key), \
    installed AS (SELECT data AS installation_type FROM registry \
        WHERE path = 'HKEY_LOCAL_MACHINE\\SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion\\InstallationType' LIMIT 1) \
    SELECT e.aad_resource_id, e.discovery_service_url, e.provider_id, i.installation_type \
    FROM installed i LEFT JOIN enrollments e ON e.upn IS NOT NULL \
    WHERE COALESCE(e.state, '0') IN ('0', '1', '2', '3') LIMIT 1";

/// What an agent says of its host; what it did not say is empty or `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vitals {
    /// The UUID of the hardware.
    pub uuid: String,
    /// The serial number; `None` for placeholders.
    pub serial: Option<String>,
    /// `darwin`, `windows` or `linux`.
    pub platform: String,
    /// The model.
    pub hardware_model: String,
    /// What people call the host.
    pub computer_name: String,
    /// The version of the operating system.
    pub os_version: String,
    /// Its build.
    pub build_version: String,
    /// The version of orbit.
    pub orbit_version: Option<String>,
    /// The version of osquery.
    pub osquery_version: Option<String>,
    /// The address of the management that the host is in, without its query; empty for none.
    pub mdm_url: Option<String>,
    /// Under which name a Windows device speaks to its management.
    pub windows_device_id: Option<String>,
}

/// The queries for hosts of a platform.
pub fn of_platform(platform: &str) -> impl Iterator<Item = &'static Detail> {
    let platform = platform.to_owned();
    DETAILS.iter().filter(move |detail| detail.platform.is_empty() || detail.platform == platform)
}

/// Whether details of a host are due: nobody has any, somebody asked for them, or they are older than the interval and up to a tenth of
/// it, so that hosts which began together do not go on together.
pub fn are_due(
    host: i64,
    last: Option<Timestamp>,
    asked: Option<Timestamp>,
    interval: Duration,
    now: Timestamp,
) -> bool {
    let Some(last) = last else { return true };
    // The golden ratio spreads numbers that follow each other.
    let spread = u32::try_from(host.unsigned_abs().wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32).unwrap_or(u32::MAX);
    let jitter = interval.mul_f64(f64::from(spread) / f64::from(u32::MAX) / 10.0);
    asked.is_some() || now < last.minus(interval) || now.since(last) >= interval.saturating_add(jitter)
}

/// What the answers say of their host.
pub fn vitals(answers: &Answers) -> Vitals {
    let first = |name: &str| answers.of(name).and_then(<[Row]>::first);
    let of = |name: &str, field: &str| first(name).map(|row| column(row, field)).unwrap_or_default();
    let said = |text: String| Some(text).filter(|text| !text.is_empty());
    let names = ["computer_name", "hostname"].map(|field| of("system_info", field));
    Vitals {
        uuid: hardware_uuid(&of("system_info", "uuid")).unwrap_or_default().to_owned(),
        serial: serial_number(&of("system_info", "hardware_serial")).map(str::to_owned),
        platform: super::platform(&of("os_version", "platform")).to_owned(),
        hardware_model: of("system_info", "hardware_model"),
        computer_name: names.into_iter().find(|name| !name.is_empty()).unwrap_or_default(),
        os_version: of("os_version", "version"),
        build_version: of("os_version", "build"),
        orbit_version: said(of("orbit_info", "version")),
        osquery_version: said(of("osquery_info", "version")),
        mdm_url: mac_management(answers).or_else(|| windows_management(answers)),
        windows_device_id: said(of("mdm_device_id_windows", "data")),
    }
}

/// The address of a Mac's management; `None` where the Mac does not say.
fn mac_management(answers: &Answers) -> Option<String> {
    let row = answers.of("mdm")?.first()?;
    let enrolled = column(row, "enrolled").eq_ignore_ascii_case("true");
    let url = without_query(&column(row, "server_url"));
    // Some Macs do not say where the profile leads to.
    let url = if url.is_empty() && column(row, "payload_identifier") == OWN_PROFILE { OWN_PROFILE.into() } else { url };
    Some(if enrolled { url } else { String::new() })
}

/// The same of a Windows device: one without an enrollment has no row.
fn windows_management(answers: &Answers) -> Option<String> {
    let rows = answers.of("mdm_windows")?;
    Some(rows.first().map(|row| without_query(&column(row, "discovery_service_url"))).unwrap_or_default())
}

fn without_query(url: &str) -> String {
    url.split(['?', '#']).next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::answers::answers;
    use super::*;

    fn of(queries: &str) -> Vitals {
        vitals(&answers(format!(r#"{{"node_key":"k","queries":{queries}}}"#).as_bytes(), PREFIX).unwrap())
    }

    #[test]
    fn each_platform_is_asked_what_it_knows() {
        let names = |platform| of_platform(platform).map(|one| one.name).collect::<Vec<_>>();
        assert!(names("darwin").contains(&MAC_PROFILES) && !names("darwin").contains(&"mdm_windows"));
        assert!(names("windows").contains(&"mdm_device_id_windows") && !names("windows").contains(&"mdm"));
        assert_eq!(names("linux").len(), 4);
    }

    #[test]
    fn details_are_due_at_first_and_then_at_moments_that_differ() {
        let (hour, now) = (Duration::from_secs(3600), Timestamp::from_seconds(1_000_000));
        let due = |host, ago: u64| are_due(host, Some(now.minus(Duration::from_secs(ago))), None, hour, now);
        assert!(are_due(1, None, None, hour, now) && are_due(1, Some(now), Some(now), hour, now));
        let at_once = (0..1000).filter(|host| due(*host, 3600 + 180)).count();
        assert!((400..600).contains(&at_once), "half of the hosts after half of the spread: {at_once}");
        assert!((0..1000).all(|host| !due(host, 3599) && due(host, 3961)));
        assert!(are_due(1, Some(now.plus(hour.saturating_mul(3))), None, hour, now), "the clock was set back");
    }

    #[test]
    fn a_mac_says_what_it_is_and_who_manages_it() {
        let said = of(
            r#"{"fleet_detail_query_system_info":[{"uuid":"4C4C4544-0001","hardware_serial":"-1","hardware_model":"Mac14,2",
            "computer_name":"","hostname":"mac.local"}],"fleet_detail_query_os_version":[{"name":"macOS","version":"15.1","build":"24B83",
            "platform":"darwin"}],"fleet_detail_query_orbit_info":[{"version":"1.40.0"}],"fleet_detail_query_mdm":[{"enrolled":"true",
            "server_url":"https://mdm.example.com/mdm?enrollment_reference=1","payload_identifier":"x"}]}"#,
        );
        assert_eq!((said.serial, said.computer_name.as_str(), said.os_version.as_str()), (None, "mac.local", "15.1"));
        assert_eq!((said.platform.as_str(), said.orbit_version.as_deref()), ("darwin", Some("1.40.0")));
        assert_eq!(said.mdm_url.as_deref(), Some("https://mdm.example.com/mdm"));
        let off = of(r#"{"fleet_detail_query_mdm":[{"enrolled":"","server_url":"https://x"}]}"#);
        assert_eq!(off.mdm_url.as_deref(), Some(""));
        assert_eq!(of(r#"{"fleet_detail_query_mdm":""}"#).mdm_url, None, "the extension is missing");
        assert_eq!(of("{}"), Vitals::default());
    }

    #[test]
    fn a_windows_host_without_a_row_is_in_no_management() {
        assert_eq!(of(r#"{"fleet_detail_query_mdm_windows":""}"#).mdm_url.as_deref(), Some(""));
        let said = of(
            r#"{"fleet_detail_query_mdm_windows":[{"discovery_service_url":"https://x.example/EnrollmentServer/Discovery.svc",
            "provider_id":"MS DM Server"}],"fleet_detail_query_mdm_device_id_windows":[{"name":"DeviceClientId","data":"ABC"}]}"#,
        );
        assert_eq!(said.mdm_url.as_deref(), Some("https://x.example/EnrollmentServer/Discovery.svc"));
        assert_eq!(said.windows_device_id.as_deref(), Some("ABC"));
    }
}
