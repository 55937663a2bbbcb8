//! The arguments of commands that ask and change nothing.

use super::Kind::{Boolean, Data};
use super::{Arguments, TEXTS, optional, required, row};

pub(super) const TABLE: &[Arguments] = &[
    row("AvailableOSUpdates", &[]),
    row("CertificateList", &[optional("ManagedOnly", Boolean)]),
    row("ContentCachingInformation", &[]),
    row("DeviceInformation", &[required("Queries", TEXTS), optional("DeviceAttestationNonce", Data)]),
    row("OSUpdateStatus", &[]),
    row("Restrictions", &[optional("ProfileRestrictions", Boolean)]),
    row("SecurityInfo", &[]),
    row("UserList", &[]),
];
