//! What can be wrong with settings that can be read; each line says what to do about it.

use std::net::SocketAddr;
use std::path::Path;

use super::Settings;

impl Settings {
    /// Everything that is wrong, a line each.
    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut unless = |sound: bool, fault: &str| {
            if !sound {
                faults.push(fault.to_owned());
            }
        };
        unless(!self.organization.trim().is_empty(), "organization: is empty; write whom the devices belong to");
        unless(
            self.server_url.is_empty() || is_base_url(&self.server_url),
            "server_url: must be https://host[:port] without a slash at its end",
        );
        unless(
            self.database_url.is_empty() || self.database_url.starts_with("postgres"),
            "database_url: must begin with postgres://, or be empty for SQLite in the data directory",
        );
        unless(is_base_url(&self.apns.url), "apns.url: must be https://host[:port] without a slash at its end");
        let device = &self.device;
        unless(pairs(&device.certificate, &device.private_key), "device: certificate and private_key belong together");
        unless(
            pairs(&self.admin.certificate, &self.admin.private_key),
            "admin: certificate and private_key belong together",
        );
        unless(
            !device.plain || is_local(device.listen) || !device.trusted_proxies.is_empty(),
            "device.plain: plain HTTP is for loopback, or behind a proxy that device.trusted_proxies names",
        );
        unless(
            !device.plain || !self.server_url.is_empty(),
            "device.plain: needs server_url, because devices are told the address of the proxy and not this one",
        );
        unless(
            !self.admin.plain || is_local(self.admin.listen),
            "admin.plain: plain HTTP is for loopback only; tokens would travel in the clear",
        );
        unless(is_header(&device.client_certificate_header), "device.client_certificate_header: is no header name");
        unless((1..=1024).contains(&device.max_body_mib), "device.max_body_mib: must be from 1 to 1024");
        unless(device.body_budget_mib >= device.max_body_mib, "device.body_budget_mib: must hold one message at least");
        unless(device.workers > 0 && self.admin.workers > 0, "workers: at least 1");
        let challenge = &self.scep.static_challenge;
        unless(challenge.is_empty() || challenge.len() >= 16, "scep.static_challenge: must have 16 characters or more");
        unless(
            self.vault.keys.is_empty() || self.vault.file.as_os_str().is_empty(),
            "vault: name the root keys' file or give the keys themselves, not both",
        );
        unless(self.hosts.max_attempts > 0, "hosts.max_attempts: at least 1");
        unless(self.hosts.push_again <= self.hosts.push_again_cap, "hosts.push_again: is longer than its cap");
        faults.extend(self.of_parts().into_iter().flatten().map(str::to_owned));
        faults.extend(self.egress.fault());
        faults
    }
}

impl Settings {
    /// What is wrong with single parts.
    fn of_parts(&self) -> [Option<&'static str>; 9] {
        let oidc = self.oidc.fault(&self.admin.url);
        let saml = self.saml.fault(&self.admin.url, &self.oidc);
        let (brakes, webhooks, windows) = (self.brakes.fault(), self.webhooks.fault(), self.windows.fault());
        let (agents, end_users) = (self.agents.fault(), self.end_user_authentication.fault());
        [brakes, webhooks, self.letters(), oidc, saml, windows, agents, end_users, self.abm.fault()]
    }

    /// What is wrong with how letters are sent, and where they lead to.
    fn letters(&self) -> Option<&'static str> {
        if !self.admin.url.is_empty() && !is_base_url(&self.admin.url) {
            return Some("admin.url: must be https://host[:port] without a slash at its end");
        }
        let leads_nowhere = !self.smtp.host.is_empty() && self.admin.url.is_empty();
        leads_nowhere.then_some("smtp.host: letters need admin.url, the address at which people reach this server")
    }
}

/// `https://host[:port]`, nothing else.
pub(super) fn is_base_url(url: &str) -> bool {
    url.strip_prefix("https://").is_some_and(|rest| {
        !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte))
    })
}

fn is_header(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn is_local(address: SocketAddr) -> bool {
    address.ip().is_loopback()
}

fn pairs(one: &Path, other: &Path) -> bool {
    one.as_os_str().is_empty() == other.as_os_str().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_sound() {
        assert_eq!(Settings::default().faults(), Vec::<String>::new());
    }

    #[test]
    fn everything_wrong_is_said_at_once() {
        let mut settings = Settings { server_url: "http://mdm.example.com/".into(), ..Settings::default() };
        settings.device.plain = true;
        settings.admin.certificate = "cert.pem".into();
        settings.scep.static_challenge = "short".into();
        let faults = settings.faults();
        for key in ["server_url", "device.plain", "admin", "scep.static_challenge"] {
            assert!(faults.iter().any(|fault| fault.starts_with(key)), "{key}: {faults:?}");
        }
        assert_eq!(faults.len(), 4);
    }

    #[test]
    fn plain_http_needs_loopback_or_a_proxy_and_the_address_of_it() {
        let mut settings = Settings::default();
        settings.device.plain = true;
        assert_eq!(settings.faults().len(), 2);
        settings.server_url = "https://mdm.example.com".into();
        settings.device.trusted_proxies = vec!["10.0.0.1".parse().unwrap()];
        assert_eq!(settings.faults(), Vec::<String>::new());
    }
}
