//! The provisioning document (MS-MDE2 3.6): what an enrolled device keeps of us. Its certificate and our authority's, where
//! it is managed and how both sides prove who they are, and how often it asks for work.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use openssl::sha::sha1;

use super::PROVIDER_ID;
use super::policy::renewed_before;
use super::xml::Writer;
use crate::pki::Certificate;

/// How many days a device waits at most before it tries again to renew its certificate.
const RENEWAL_RETRY_DAYS: u64 = 4;

/// What a device is told when it enrolls.
pub struct Document<'a> {
    /// The authority that issued its certificate.
    pub authority: &'a Certificate,
    /// Its certificate.
    pub certificate: &'a Certificate,
    /// The name of the enrollment: the common name of its certificate, and its `EntDMID`.
    pub enrollment: &'a str,
    /// Whether the certificate is the device's as a whole, or its user's.
    pub is_device: bool,
    /// The address of management.
    pub address: &'a str,
    /// Who manages it, as people read it.
    pub organization: &'a str,
    /// The name by which it proves itself: its `DeviceID`.
    pub user: &'a str,
    /// The password by which it proves itself.
    pub password: &'a str,
    /// The password by which this server would prove itself.
    pub server_password: &'a str,
    /// The nonces that the first proofs use, for the server's and for the device's.
    pub nonces: [&'a [u8]; 2],
    /// What the device is called; empty where it does not say.
    pub device_name: &'a str,
    /// Its user at the identity provider, where known.
    pub upn: Option<&'a str>,
    /// How often it asks for work, in minutes.
    pub poll_minutes: u32,
}

impl fmt::Debug for Document<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "the provisioning document of enrollment {}", self.enrollment)
    }
}

impl Document<'_> {
    /// The document.
    pub fn to_xml(&self) -> String {
        whole(|writer| {
            characteristic(writer, "CertificateStore", |writer| {
                characteristic(writer, "Root", |writer| {
                    characteristic(writer, "System", |writer| {
                        characteristic(writer, &thumbprint(self.authority), |writer| encoded(writer, self.authority));
                    });
                });
            });
            own_certificate(writer, self.certificate, self.is_device, |writer| {
                characteristic(writer, "WSTEP", |writer| {
                    characteristic(writer, "Renew", |writer| {
                        typed(writer, "ROBOSupport", "true", "boolean");
                        let lasts = self.certificate.not_after().since(self.certificate.not_before()).as_secs();
                        let days = (renewed_before(lasts) / 86_400).max(1);
                        typed(writer, "RenewPeriod", &days.to_string(), "integer");
                        typed(writer, "RetryInterval", &days.min(RENEWAL_RETRY_DAYS).to_string(), "integer");
                    });
                });
            });
            characteristic(writer, "APPLICATION", |writer| self.application(writer));
            characteristic(writer, "DMClient", |writer| {
                characteristic(writer, "Provider", |writer| {
                    characteristic(writer, PROVIDER_ID, |writer| self.provider(writer));
                });
            });
        })
    }

    fn application(&self, writer: &mut Writer) {
        parm(writer, "APPID", "w7");
        parm(writer, "PROVIDER-ID", PROVIDER_ID);
        parm(writer, "NAME", self.organization);
        parm(writer, "ADDR", self.address);
        parm(writer, "CONNRETRYFREQ", "6");
        parm(writer, "INITIALBACKOFFTIME", "30000");
        parm(writer, "MAXBACKOFFTIME", "120000");
        writer.empty("parm", &[("name", "BACKCOMPATRETRYDISABLED")]);
        parm(writer, "DEFAULTENCODING", "application/vnd.syncml.dm+xml");
        let criteria = format!("Subject=CN%3d{}&Stores=My%5C{}", self.enrollment, store(self.is_device));
        parm(writer, "SSLCLIENTCERTSEARCHCRITERIA", &criteria);
        let [server_nonce, nonce] = self.nonces.map(|nonce| STANDARD.encode(nonce));
        proof(writer, "CLIENT", None, self.server_password, &server_nonce);
        proof(writer, "APPSRV", Some(self.user), self.password, &nonce);
    }

    fn provider(&self, writer: &mut Writer) {
        typed(writer, "EntDMID", self.enrollment, "string");
        if !self.device_name.is_empty() {
            typed(writer, "EntDeviceName", self.device_name, "string");
        }
        if let Some(upn) = self.upn {
            typed(writer, "UPN", upn, "string");
        }
        typed(writer, "SyncApplicationVersion", "5.0", "string");
        characteristic(writer, "Poll", |writer| {
            typed(writer, "AllUsersPollOnFirstLogin", "true", "boolean");
            typed(writer, "PollOnLogin", "true", "boolean");
            // The first set has no end; the others are not used.
            typed(writer, "NumberOfFirstRetries", "0", "integer");
            typed(writer, "IntervalForFirstSetOfRetries", &self.poll_minutes.to_string(), "integer");
            for unused in [
                "NumberOfSecondRetries",
                "IntervalForSecondSetOfRetries",
                "NumberOfRemainingScheduledRetries",
                "IntervalForRemainingScheduledRetries",
            ] {
                typed(writer, unused, "0", "integer");
            }
        });
    }
}

/// What a device is told when it renewed its certificate.
pub fn renewed(certificate: &Certificate, is_device: bool) -> String {
    whole(|writer| {
        own_certificate(writer, certificate, is_device, |_| {});
        characteristic(writer, "APPLICATION", |writer| parm(writer, "PROVIDER-ID", PROVIDER_ID));
    })
}

/// A document. The device's base64 decoder forgives no white space in it, so that there is none between elements.
fn whole(content: impl FnOnce(&mut Writer)) -> String {
    let mut writer = Writer::new();
    writer.raw("<?xml version=\"1.0\" encoding=\"UTF-8\"?>");
    writer.element("wap-provisioningdoc", &[("version", "1.1")], content);
    writer.finish()
}

fn own_certificate(writer: &mut Writer, own: &Certificate, is_device: bool, more: impl FnOnce(&mut Writer)) {
    characteristic(writer, "CertificateStore", |writer| {
        characteristic(writer, "My", |writer| {
            characteristic(writer, store(is_device), |writer| {
                characteristic(writer, &thumbprint(own), |writer| {
                    encoded(writer, own);
                    writer.empty("characteristic", &[("type", "PrivateKeyContainer")]);
                });
            });
            more(writer);
        });
    });
}

fn proof(writer: &mut Writer, level: &str, user: Option<&str>, password: &str, nonce: &str) {
    characteristic(writer, "APPAUTH", |writer| {
        parm(writer, "AAUTHLEVEL", level);
        parm(writer, "AAUTHTYPE", "DIGEST");
        if let Some(user) = user {
            parm(writer, "AAUTHNAME", user);
        }
        parm(writer, "AAUTHSECRET", password);
        parm(writer, "AAUTHDATA", nonce);
    });
}

const fn store(is_device: bool) -> &'static str {
    if is_device { "System" } else { "User" }
}

/// How Windows names certificates: SHA-1 in upper hex.
fn thumbprint(certificate: &Certificate) -> String {
    sha1(certificate.der()).iter().map(|octet| format!("{octet:02X}")).collect()
}

fn encoded(writer: &mut Writer, certificate: &Certificate) {
    parm(writer, "EncodedCertificate", &STANDARD.encode(certificate.der()));
}

fn characteristic(writer: &mut Writer, kind: &str, content: impl FnOnce(&mut Writer)) {
    writer.element("characteristic", &[("type", kind)], content);
}

fn parm(writer: &mut Writer, name: &str, value: &str) {
    writer.empty("parm", &[("name", name), ("value", value)]);
}

fn typed(writer: &mut Writer, name: &str, value: &str, kind: &str) {
    writer.empty("parm", &[("name", name), ("value", value), ("datatype", kind)]);
}

#[cfg(test)]
mod tests;
