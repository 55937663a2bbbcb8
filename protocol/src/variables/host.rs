//! What a variable may say of a host, and which platform's documents may ask.

/// Something that the server knows of one host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostVariable {
    /// Its hardware UUID.
    Uuid,
    /// Its serial number.
    HardwareSerial,
    /// `macos`, `ios`, `ipados` or `windows`.
    Platform,
    /// The mail address of its end user at the identity provider.
    EndUserEmail,
    /// The user name of its end user at the identity provider.
    EndUserName,
    /// The same up to the `@`.
    EndUserLocalPart,
    /// The groups of its end user, separated by commas.
    EndUserGroups,
    /// The department of its end user.
    EndUserDepartment,
    /// The full name of its end user.
    EndUserFullName,
    /// The name under which Windows keeps a certificate of SCEP.
    ScepWindowsCertificateId,
    /// What marks a certificate of SCEP as one that the server renews.
    ScepRenewalId,
    /// What marks any certificate as one that the server renews.
    CertificateRenewalId,
}

use HostVariable as V;

/// All of them with their names, which stand behind `FLEET_VAR_`.
const NAMES: [(HostVariable, &str); 12] = [
    (V::Uuid, "HOST_UUID"),
    (V::HardwareSerial, "HOST_HARDWARE_SERIAL"),
    (V::Platform, "HOST_PLATFORM"),
    (V::EndUserEmail, "HOST_END_USER_EMAIL_IDP"),
    (V::EndUserName, "HOST_END_USER_IDP_USERNAME"),
    (V::EndUserLocalPart, "HOST_END_USER_IDP_USERNAME_LOCAL_PART"),
    (V::EndUserGroups, "HOST_END_USER_IDP_GROUPS"),
    (V::EndUserDepartment, "HOST_END_USER_IDP_DEPARTMENT"),
    (V::EndUserFullName, "HOST_END_USER_IDP_FULL_NAME"),
    (V::ScepWindowsCertificateId, "SCEP_WINDOWS_CERTIFICATE_ID"),
    (V::ScepRenewalId, "SCEP_RENEWAL_ID"),
    (V::CertificateRenewalId, "CERTIFICATE_RENEWAL_ID"),
];

/// What the names of variables begin with whose value a certificate authority would have to give.
const OF_AUTHORITIES: [&str; 4] = ["NDES_", "CUSTOM_SCEP_", "DIGICERT_", "SMALLSTEP_"];

impl HostVariable {
    /// Every variable there is.
    pub fn all() -> impl Iterator<Item = Self> {
        NAMES.iter().map(|(variable, _)| *variable)
    }

    /// The name behind `FLEET_VAR_`.
    pub fn as_str(self) -> &'static str {
        NAMES.iter().find(|(variable, _)| *variable == self).map_or("", |(_, name)| name)
    }

    /// Whether documents for Apple devices may ask for it.
    pub const fn is_for_apple(self) -> bool {
        !matches!(self, Self::ScepWindowsCertificateId)
    }

    /// Whether documents for Windows devices may ask for it.
    pub const fn is_for_windows(self) -> bool {
        !matches!(self, Self::EndUserEmail | Self::ScepRenewalId | Self::CertificateRenewalId)
    }

    pub(super) fn of(name: &str) -> Option<Self> {
        NAMES.iter().find(|(_, known)| *known == name).map(|(variable, _)| *variable)
    }
}

pub(super) fn needs_authority(name: &str) -> bool {
    OF_AUTHORITIES.iter().any(|prefix| name.starts_with(prefix))
}
