//! The arguments of commands about profiles and declarations.

use super::Kind::{Boolean, Data, Text};
use super::{Arguments, optional, required, row};

pub(super) const TABLE: &[Arguments] = &[
    row("DeclarativeManagement", &[optional("Data", Data)]),
    row("InstallProfile", &[required("Payload", Data)]),
    row("InstallProvisioningProfile", &[required("ProvisioningProfile", Data)]),
    row("ProfileList", &[optional("ManagedOnly", Boolean)]),
    row("ProvisioningProfileList", &[optional("ManagedOnly", Boolean)]),
    row("RemoveProfile", &[required("Identifier", Text)]),
    row("RemoveProvisioningProfile", &[required("UUID", Text)]),
];
