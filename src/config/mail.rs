//! Settings of the mail server that invitations and new passwords go out by.

use std::path::PathBuf;

use actors::mailer::{MailConfig, Security};
use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::pem;

/// Which server sends mail.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct SmtpSettings {
    /// Its name; empty when no mail is sent.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// `starttls`, `tls` or `plain`.
    pub security: SmtpSecurity,
    /// Who we are to it; empty for nobody.
    pub username: String,
    /// The password.
    pub password: String,
    /// Whom letters come from.
    pub from: String,
    /// A root certificate file (PEM) to trust beside the system's.
    pub root_certificate: PathBuf,
}

/// How the connection to a mail server is protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SmtpSecurity {
    /// STARTTLS, demanded.
    #[default]
    StartTls,
    /// TLS from the first byte.
    Tls,
    /// None, for a server on this machine.
    Plain,
}

impl Default for SmtpSettings {
    fn default() -> Self {
        Self {
            host: String::new(),
            port: 587,
            security: SmtpSecurity::default(),
            username: String::new(),
            password: String::new(),
            from: String::new(),
            root_certificate: PathBuf::new(),
        }
    }
}

impl SmtpSettings {
    /// What the actor is told.
    ///
    /// # Errors
    /// The root certificate cannot be read, the sender is no address.
    pub fn to_config(&self) -> anyhow::Result<MailConfig> {
        let config = MailConfig {
            host: self.host.clone(),
            port: self.port,
            security: match self.security {
                SmtpSecurity::StartTls => Security::StartTls,
                SmtpSecurity::Tls => Security::Tls,
                SmtpSecurity::Plain => Security::Plain,
            },
            username: self.username.clone(),
            password: self.password.clone(),
            from: self.from.clone(),
            root_certificate: pem(&self.root_certificate).context("smtp.root_certificate")?.map(String::into_bytes),
        };
        config.check().map_err(anyhow::Error::msg).context("smtp")?;
        Ok(config)
    }
}
