//! The arguments of commands about applications and media.

use super::Kind::{Boolean, Data, Dictionary, Integer, List, NumberOf, OneOf, Text};
use super::{ANY_DICTIONARY, Arguments, Key, TEXTS, optional, required, row, row_with_one_of};

/// What an application may have besides itself; also in `Settings`.
pub(super) const ATTRIBUTES: &[Key] = &[
    optional("VPNUUID", Text),
    optional("ContentFilterUUID", Text),
    optional("DNSProxyUUID", Text),
    optional("RelayUUID", Text),
    optional("AssociatedDomains", TEXTS),
    optional("AssociatedDomainsEnableDirectDownloads", Boolean),
    optional("Removable", Boolean),
    optional("TapToPayScreenLock", Boolean),
    optional("CellularSliceUUID", Text),
    optional("Hideable", Boolean),
    optional("Lockable", Boolean),
];

const MEDIA: super::Kind = OneOf(&["Book"]);
const MANAGED: super::Kind = OneOf(&["Managed"]);

pub(super) const TABLE: &[Arguments] = &[
    row("ActiveNSExtensions", &[optional("FilterExtensionPoints", TEXTS)]),
    row("ApplyRedemptionCode", &[required("Identifier", Text), required("RedemptionCode", Text)]),
    row_with_one_of(
        "InstallApplication",
        &[
            optional("iTunesStoreID", Integer),
            optional("Identifier", Text),
            optional("Options", Dictionary(&[optional("PurchaseMethod", NumberOf(&[0, 1]))])),
            optional("ManifestURL", Text),
            optional("ManagementFlags", NumberOf(&[0, 1, 4, 5])),
            optional("Configuration", ANY_DICTIONARY),
            optional("Attributes", Dictionary(ATTRIBUTES)),
            optional("ChangeManagementState", MANAGED),
            optional("InstallAsManaged", Boolean),
            optional("iOSApp", Boolean),
        ],
        &["iTunesStoreID", "Identifier", "ManifestURL"],
    ),
    row_with_one_of(
        "InstallEnterpriseApplication",
        &[
            optional("Manifest", ANY_DICTIONARY),
            optional("ManifestURL", Text),
            optional("ManifestURLPinningCerts", List(&Data)),
            optional("PinningRevocationCheckRequired", Boolean),
            optional("InstallAsManaged", Boolean),
            optional("ManagementFlags", NumberOf(&[0, 1])),
            optional("Configuration", ANY_DICTIONARY),
            optional("ChangeManagementState", MANAGED),
            optional("iOSApp", Boolean),
        ],
        &["Manifest", "ManifestURL"],
    ),
    row(
        "InstallMedia",
        &[
            optional("iTunesStoreID", Integer),
            optional("MediaURL", Text),
            required("MediaType", MEDIA),
            optional("PersistentID", Text),
            optional("Kind", OneOf(&["pdf", "epub", "ibooks"])),
            optional("Version", Text),
            optional("Author", Text),
            optional("Title", Text),
        ],
    ),
    row(
        "InstalledApplicationList",
        &[optional("Identifiers", TEXTS), optional("ManagedAppsOnly", Boolean), optional("Items", TEXTS)],
    ),
    row("InviteToProgram", &[required("ProgramID", OneOf(&["com.apple.cloudvpp"])), required("InvitationURL", Text)]),
    row("ManagedApplicationAttributes", &[required("Identifiers", TEXTS)]),
    row("ManagedApplicationConfiguration", &[required("Identifiers", TEXTS)]),
    row("ManagedApplicationFeedback", &[required("Identifiers", TEXTS), optional("DeleteFeedback", Boolean)]),
    row("ManagedApplicationList", &[optional("Identifiers", TEXTS)]),
    row("ManagedMediaList", &[]),
    row("NSExtensionMappings", &[]),
    row("RemoveApplication", &[required("Identifier", Text)]),
    // Its iTunesStoreID is a string in the schema and an integer in the other commands: a device may judge it.
    row("RemoveMedia", &[required("MediaType", MEDIA), optional("PersistentID", Text)]),
    row("ValidateApplications", &[optional("Identifiers", TEXTS)]),
];
