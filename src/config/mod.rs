//! Settings: a file (TOML), overridden by environment variables `ROOKERY_SECTION__KEY`, overridden by flags.
//!
//! Everything has a default, so that a server starts without any. Everything wrong is said at once, before a port is
//! bound. Start with [`Settings`]; what each one means for an operator stands in docs/OPERATIONS.md.

mod abm;
mod activities;
mod agents;
mod brakes;
mod hosts;
mod listed;
mod mail;
mod oidc;
mod saml;
mod span;
mod validate;
mod webhooks;
mod windows;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use entities::vault::key_file::KeySource;
use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};
use listed::listed;
use serde::{Deserialize, Serialize};

pub use abm::AbmSettings;
pub use activities::ActivitySettings;
pub use agents::AgentSettings;
pub use brakes::BrakeSettings;
pub use hosts::HostSettings;
pub use mail::SmtpSettings;
pub use oidc::{AccountDriven, EndUserSettings, OidcSettings};
pub use saml::SamlSettings;
pub use span::Span;
pub(crate) use webhooks::pem;
pub use webhooks::{EgressSettings, WebhookSettings};
pub use windows::WindowsSettings;

/// All settings.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Where everything is kept that is not in a database elsewhere.
    pub data_dir: PathBuf,
    /// `postgres://…`; empty for SQLite in the data directory.
    pub database_url: String,
    /// Who manages the devices, as people read it.
    pub organization: String,
    /// The address that devices use, for example `https://mdm.example.com`; empty for this machine.
    pub server_url: String,
    /// The listener for devices.
    pub device: DeviceSettings,
    /// The listener for admins.
    pub admin: AdminSettings,
    /// The listener for operators.
    pub ops: OpsSettings,
    /// Pushes to Apple devices.
    pub apns: ApnsSettings,
    /// Apple Business Manager.
    pub abm: AbmSettings,
    /// Device identities.
    pub scep: ScepSettings,
    /// Host actors and their queues.
    pub hosts: HostSettings,
    /// Secrets at rest.
    pub vault: VaultSettings,
    /// What is too much at once.
    pub brakes: BrakeSettings,
    /// How long it is remembered what was done.
    pub activities: ActivitySettings,
    /// How patient deliveries to webhooks are.
    pub webhooks: WebhookSettings,
    /// Where requests to addresses that admins choose may go.
    pub egress: EgressSettings,
    /// Which server sends mail.
    pub smtp: SmtpSettings,
    /// At which identity provider people sign in.
    pub oidc: OidcSettings,
    /// At which SAML provider people sign in, in place of that.
    pub saml: SamlSettings,
    /// At which identity provider people sign in who enroll a device.
    pub end_user_authentication: EndUserSettings,
    /// How Windows devices enroll.
    pub windows: WindowsSettings,
    /// How agents are served.
    pub agents: AgentSettings,
    /// The log.
    pub log: LogSettings,
}

/// The listener for devices.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeviceSettings {
    /// Address and port.
    pub listen: SocketAddr,
    /// Certificate file (PEM, with its chain); empty for a self-made one.
    pub certificate: PathBuf,
    /// Private key file (PEM).
    pub private_key: PathBuf,
    /// Plain HTTP, behind a proxy or on loopback.
    pub plain: bool,
    /// Threads.
    pub workers: usize,
    /// The largest message of a device, in mebibytes.
    pub max_body_mib: usize,
    /// Memory for all large messages at once, in mebibytes.
    pub body_budget_mib: usize,
    /// Proxies that may tell which client certificate they saw: a list, or a text with commas.
    #[serde(deserialize_with = "listed")]
    pub trusted_proxies: Vec<IpAddr>,
    /// The header by which they tell it.
    pub client_certificate_header: String,
    /// Whether Macs' network users are managed too.
    pub manage_network_users: bool,
}

/// The listener for admins.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdminSettings {
    /// Address and port.
    pub listen: SocketAddr,
    /// Certificate file (PEM, with its chain); empty for a self-made one.
    pub certificate: PathBuf,
    /// Private key file (PEM).
    pub private_key: PathBuf,
    /// Plain HTTP, behind a proxy or on loopback.
    pub plain: bool,
    /// Threads.
    pub workers: usize,
    /// Its address as people reach it, for letters, for example `https://rookery.example.com`.
    pub url: String,
    /// Proxies whose `X-Forwarded-For` says who asks: a list, or a text with commas.
    #[serde(deserialize_with = "listed")]
    pub trusted_proxies: Vec<IpAddr>,
}

/// The listener for operators.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct OpsSettings {
    /// Address and port; plain HTTP without authentication, so keep it on loopback.
    pub listen: SocketAddr,
}

/// Pushes to Apple devices.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ApnsSettings {
    /// The service's address.
    pub url: String,
    /// A root certificate file (PEM) to trust beside the system's, for a simulated service.
    pub root_certificate: PathBuf,
}

/// Device identities.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScepSettings {
    /// How long an identity is valid.
    pub identity_validity: Span,
    /// How long the challenge in a profile can be used.
    pub challenge_validity: Span,
    /// A challenge that always works; empty for none. For load tests and closed networks.
    pub static_challenge: String,
    /// Accept SHA-1 and single DES.
    pub allow_legacy: bool,
    /// Open requests with a key of its own instead of the authority's. Some clients do not understand that.
    pub separate_ra: bool,
}

/// Secrets at rest: where the root keys are.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct VaultSettings {
    /// The file with the root keys; empty for `root.keys` in the data directory.
    pub file: PathBuf,
    /// The root keys themselves, from the environment; empty for the file.
    pub keys: String,
}

/// The log.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogSettings {
    /// What is logged, in the syntax of tracing's `EnvFilter`, for example `info,actors=debug`.
    pub filter: String,
    /// `text` or `json`.
    pub format: LogFormat,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For machines.
    Json,
}

impl Settings {
    /// Reads the settings from a file, if one is named, and the environment.
    ///
    /// # Errors
    /// Everything that is wrong, a line each.
    pub fn load(file: Option<&Path>) -> Result<Self, Vec<String>> {
        let mut sources = Figment::from(Serialized::defaults(Self::default()));
        if let Some(file) = file {
            if !file.is_file() {
                return Err(vec![format!("there is no settings file at {}", file.display())]);
            }
            sources = sources.merge(Toml::file_exact(file));
        }
        let settings: Self = sources
            .merge(environment())
            .extract()
            .map_err(|errors| errors.into_iter().map(|error| error.to_string()).collect::<Vec<_>>())?;
        match settings.faults() {
            faults if faults.is_empty() => Ok(settings),
            faults => Err(faults),
        }
    }

    /// The settings as a file, without secrets.
    pub fn shown(&self) -> String {
        let mut shown = self.clone();
        let hide = |secret: &mut String| {
            if !secret.is_empty() {
                *secret = "(set)".into();
            }
        };
        hide(&mut shown.scep.static_challenge);
        hide(&mut shown.database_url);
        hide(&mut shown.vault.keys);
        hide(&mut shown.smtp.password);
        hide(&mut shown.oidc.client_secret);
        hide(&mut shown.end_user_authentication.client_secret);
        toml::to_string_pretty(&shown).unwrap_or_else(|error| format!("# cannot be shown: {error}\n"))
    }

    /// Where the root keys are.
    pub fn key_source(&self) -> KeySource {
        match (self.vault.keys.as_str(), &self.vault.file) {
            ("", file) if file.as_os_str().is_empty() => KeySource::File(self.data_dir.join("root.keys")),
            ("", file) => KeySource::File(file.clone()),
            (keys, _) => KeySource::Text(keys.to_owned().into()),
        }
    }

    /// Where the server notes the end of the audit log.
    pub fn audit_anchor(&self) -> PathBuf {
        self.data_dir.join("audit.anchor")
    }

    /// Where the database is.
    pub fn database(&self) -> String {
        if self.database_url.is_empty() {
            format!("sqlite:{}?mode=rwc", self.data_dir.join("rookery.sqlite").display())
        } else {
            self.database_url.clone()
        }
    }
}

/// The environment's settings. The name of the settings file, and what `gitops`, tests, proofs and benches use, are none.
fn environment() -> Env {
    let others = ["config_file", "gitops_", "test_", "prove", "bench_"];
    Env::prefixed("ROOKERY_").filter(move |key| !others.iter().any(|other| key.starts_with(other))).split("__")
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            data_dir: "rookery-data".into(),
            database_url: String::new(),
            organization: "Rookery".into(),
            server_url: String::new(),
            device: DeviceSettings::default(),
            admin: AdminSettings::default(),
            ops: OpsSettings::default(),
            apns: ApnsSettings::default(),
            abm: AbmSettings::default(),
            scep: ScepSettings::default(),
            hosts: HostSettings::default(),
            vault: VaultSettings::default(),
            brakes: BrakeSettings::default(),
            activities: ActivitySettings::default(),
            webhooks: WebhookSettings::default(),
            egress: EgressSettings::default(),
            smtp: SmtpSettings::default(),
            oidc: OidcSettings::default(),
            saml: SamlSettings::default(),
            end_user_authentication: EndUserSettings::default(),
            windows: WindowsSettings::default(),
            agents: AgentSettings::default(),
            log: LogSettings::default(),
        }
    }
}

impl Default for DeviceSettings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0, 0, 0, 0], 8443)),
            certificate: PathBuf::new(),
            private_key: PathBuf::new(),
            plain: false,
            workers: cores(),
            max_body_mib: 10,
            body_budget_mib: 256,
            trusted_proxies: Vec::new(),
            client_certificate_header: "Client-Cert".into(),
            manage_network_users: false,
        }
    }
}

impl Default for AdminSettings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8444)),
            certificate: PathBuf::new(),
            private_key: PathBuf::new(),
            plain: false,
            workers: 2,
            url: String::new(),
            trusted_proxies: Vec::new(),
        }
    }
}

impl Default for OpsSettings {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 8445)) }
    }
}

impl Default for ApnsSettings {
    fn default() -> Self {
        Self { url: actors::apns::PRODUCTION.into(), root_certificate: PathBuf::new() }
    }
}

impl Default for ScepSettings {
    fn default() -> Self {
        let usual = actors::authority::AuthorityConfig::default();
        Self {
            identity_validity: usual.identity_validity.into(),
            challenge_validity: usual.challenge_validity.into(),
            static_challenge: String::new(),
            allow_legacy: false,
            separate_ra: false,
        }
    }
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { filter: "info,actix_server=warn,sea_orm_migration=warn".into(), format: LogFormat::Text }
    }
}

/// Processor cores that this process may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(written: &str) -> Result<Vec<IpAddr>, String> {
        let text = format!("device.trusted_proxies = {written}");
        let sources = Figment::from(Serialized::defaults(Settings::default())).merge(Toml::string(&text));
        sources.extract::<Settings>().map(|read| read.device.trusted_proxies).map_err(|error| error.to_string())
    }

    #[test]
    fn addresses_are_a_list_or_a_text() {
        let both: Vec<IpAddr> = vec!["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()];
        assert_eq!(proxies(r#"["127.0.0.1", "::1"]"#).unwrap(), both);
        assert_eq!(proxies(r#""127.0.0.1, ::1""#).unwrap(), both);
        assert_eq!(proxies(r#""""#).unwrap(), Vec::<IpAddr>::new());
        let fault = proxies(r#""proxy.example.com""#).unwrap_err();
        assert!(fault.contains("\"proxy.example.com\": invalid IP address"), "{fault}");
    }
}
