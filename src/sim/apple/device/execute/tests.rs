use std::collections::BTreeMap;

use protocol::apple::profile::{Profile, Scope};
use protocol::ids::CommandUuid;
use protocol::pki::signature::sign_attached;

use super::super::{DeviceOptions, User, UserKind, entries};
use super::*;
use crate::sim::apple::fake_mdm::{device, options};
use crate::sim::apple::model::Family;
use crate::sim::fixture::{server, trust};

/// Apple's required response keys (schema of iOS 18.1 and macOS 15.1), by command type.
const REQUIRED: &[(&str, &[&str])] = &[
    ("ActivationLockBypassCode", &["ActivationLockBypassCode"]),
    ("ActiveNSExtensions", &["Extensions"]),
    ("AvailableOSUpdates", &["AvailableOSUpdates"]),
    ("CertificateList", &["CertificateList"]),
    ("ContentCachingInformation", &["StatusResponse"]),
    ("DeviceInformation", &["QueryResponses"]),
    (
        "DeviceLocation",
        &[
            "Altitude",
            "Course",
            "HorizontalAccuracy",
            "Latitude",
            "Longitude",
            "Speed",
            "Timestamp",
            "VerticalAccuracy",
        ],
    ),
    ("InstalledApplicationList", &["InstalledApplicationList"]),
    ("InviteToProgram", &["InvitationResult"]),
    ("LOMDeviceRequest", &["ResponseList"]),
    ("LOMSetupRequest", &["LOMProtocolVersion", "PrimaryIPv6AddressList", "SecondaryIPv6AddressList"]),
    ("ManagedApplicationAttributes", &["ApplicationAttributes"]),
    ("ManagedApplicationConfiguration", &["ApplicationConfigurations"]),
    ("ManagedApplicationFeedback", &["ManagedApplicationFeedback"]),
    ("ManagedApplicationList", &["ManagedApplicationList"]),
    ("ManagedMediaList", &["Books"]),
    ("NSExtensionMappings", &["Extensions"]),
    ("OSUpdateStatus", &["OSUpdateStatus"]),
    ("ProfileList", &["ProfileList"]),
    ("ProvisioningProfileList", &["ProvisioningProfileList"]),
    ("RequestUnlockToken", &["UnlockToken"]),
    ("Restrictions", &["GlobalRestrictions", "ProfileRestrictions"]),
    ("ScheduleOSUpdate", &["UpdateResults"]),
    ("ScheduleOSUpdateScan", &["ScanInitiated"]),
    ("SecurityInfo", &["SecurityInfo"]),
    ("SetFirmwarePassword", &["SetFirmwarePassword"]),
    ("UserList", &["Users"]),
    ("VerifyFirmwarePassword", &["VerifyFirmwarePassword"]),
    ("VerifyRecoveryLock", &["PasswordVerified"]),
];

fn command(request_type: &str, arguments: Dictionary) -> Command {
    let uuid = CommandUuid::from(uuid::Uuid::new_v4());
    Command::new(uuid, request_type, arguments).unwrap()
}

async fn answer<const N: usize>(device: &mut Device, request_type: &str, arguments: [(&str, Value); N]) -> Answer {
    device.execute(ChannelNo::DEVICE, &command(request_type, entries(arguments))).await.unwrap().unwrap()
}

fn dictionaries(list: Vec<Vec<(&str, Value)>>) -> Value {
    let dictionary = |one: Vec<(&str, Value)>| one.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    Value::Array(list.into_iter().map(dictionary).map(Value::Dictionary).collect())
}

fn profile(identifier: &str) -> Profile {
    Profile {
        identifier: identifier.to_owned(),
        uuid: protocol::apple::profile::derived_uuid(&[identifier]),
        scope: Some(Scope::System),
        payloads: Vec::new(),
        others: entries([("PayloadDisplayName", "A profile".into())]),
    }
}

/// Arguments of `LOMDeviceRequest`.
fn lights_out() -> Dictionary {
    let request = vec![
        ("DeviceRequestType", "Reset".into()),
        ("DeviceRequestUUID", "1".into()),
        ("DeviceDNSName", "mac.example.com".into()),
        ("PrimaryIPv6AddressList", Value::Array(Vec::new())),
        ("SecondaryIPv6AddressList", Value::Array(Vec::new())),
        ("LOMProtocolVersion", 1.into()),
    ];
    entries([("RequestList", dictionaries(vec![request]))])
}

/// Arguments with which a new device can do each command.
fn sound_arguments(device: &Device) -> BTreeMap<&'static str, Dictionary> {
    let unlock_token = device.contents.unlock_token().unwrap_or_default().to_vec();
    let text = |key, value: &str| entries([(key, value.into())]);
    let update = vec![("ProductKey", "1".into()), ("InstallAction", "Default".into())];
    BTreeMap::from([
        ("ApplyRedemptionCode", entries([("Identifier", "com.example.a".into()), ("RedemptionCode", "X".into())])),
        ("ClearPasscode", entries([("UnlockToken", Value::Data(unlock_token))])),
        ("DeleteUser", entries([("DeleteAllUsers", true.into())])),
        ("DeviceInformation", entries([("Queries", Value::Array(vec!["UDID".into()]))])),
        ("DeviceLock", text("PIN", "123456")),
        ("EnableLostMode", text("Message", "Lost")),
        ("InstallApplication", text("Identifier", "com.example.a")),
        ("InstallEnterpriseApplication", text("ManifestURL", "https://example.com/manifest.plist")),
        ("InstallMedia", entries([("MediaType", "Book".into()), ("iTunesStoreID", 7.into())])),
        ("InstallProfile", entries([("Payload", Value::Data(profile("com.example.wifi").to_xml()))])),
        ("InstallProvisioningProfile", entries([("ProvisioningProfile", Value::Data(vec![1]))])),
        (
            "InviteToProgram",
            entries([("ProgramID", "com.apple.cloudvpp".into()), ("InvitationURL", "https://a.b".into())]),
        ),
        ("LOMDeviceRequest", lights_out()),
        ("ManagedApplicationAttributes", entries([("Identifiers", Value::Array(Vec::new()))])),
        ("ManagedApplicationConfiguration", entries([("Identifiers", Value::Array(Vec::new()))])),
        ("ManagedApplicationFeedback", entries([("Identifiers", Value::Array(Vec::new()))])),
        ("RefreshCellularPlans", text("eSIMServerURL", "https://carrier.example.com")),
        ("RemoveApplication", text("Identifier", "com.example.a")),
        ("RemoveMedia", entries([("MediaType", "Book".into()), ("iTunesStoreID", 7.into())])),
        ("RemoveProfile", text("Identifier", "com.example.wifi")),
        ("RemoveProvisioningProfile", text("UUID", "4bf5122f344554c53bde2ebb8cd2b7e3")),
        (
            "RotateFileVaultKey",
            entries([("KeyType", "personal".into()), ("FileVaultUnlock", Value::Dictionary(entries([])))]),
        ),
        ("ScheduleOSUpdate", entries([("Updates", dictionaries(vec![update]))])),
        ("SetAutoAdminPassword", entries([("GUID", "1".into()), ("passwordHash", Value::Data(vec![1]))])),
        ("SetFirmwarePassword", text("NewPassword", "secret")),
        ("SetRecoveryLock", text("NewPassword", "secret")),
        (
            "Settings",
            entries([(
                "Settings",
                dictionaries(vec![vec![("Item", "DeviceName".into()), ("DeviceName", "New".into())]]),
            )]),
        ),
        ("UnlockUserAccount", text("UserName", &device.model.owner.to_lowercase())),
        ("VerifyFirmwarePassword", text("Password", "secret")),
        ("VerifyRecoveryLock", text("Password", "secret")),
    ])
}

#[tokio::test]
async fn every_command_of_apples_schema_is_done_with_the_results_that_apple_requires() {
    let (mut mac, mut tablet) = (device(Family::Mac, 1), device(Family::IPad, 2));
    let of_mac = mac.add_user(UserKind::Mac, &User::new("U", "ann", "Ann")).unwrap();
    let of_tablet = tablet.add_user(UserKind::SharedIpad, &User::new("", "ben", "Ben")).unwrap();
    assert_eq!(of_mac, of_tablet);
    let (for_macs, for_tablets) = (sound_arguments(&mac), sound_arguments(&tablet));
    // What is installed is removed later, what is set is verified later.
    let late = |name: &&str| (name.starts_with("Remove") || name.starts_with("Disable"), name.starts_with("Verify"));
    let mut types: Vec<&str> = request_types::known().collect();
    types.sort_by_key(late);
    for request_type in ["InstallApplication", "EnableLostMode"] {
        let command = command(request_type, for_tablets[request_type].clone());
        tablet.execute(ChannelNo::DEVICE, &command).await.unwrap();
    }
    assert_eq!(types.len(), 66);
    for request_type in types {
        let (able, arguments) =
            if MOBILE_ONLY.contains(&request_type) { (&mut tablet, &for_tablets) } else { (&mut mac, &for_macs) };
        let command = command(request_type, arguments.get(request_type).cloned().unwrap_or_default());
        let on_device = request_types::facts(request_type).allows(ChannelKind::Device);
        let channel = if on_device { ChannelNo::DEVICE } else { of_mac };
        let answer = able.execute(channel, &command).await.unwrap().unwrap();
        assert_eq!(answer.status, Status::Acknowledged, "{request_type}: {:?}", answer.errors);
        let required = REQUIRED.iter().find(|(name, _)| *name == request_type).map_or(&[][..], |(_, keys)| keys);
        let missing: Vec<_> = required.iter().filter(|key| !answer.results.contains_key(key)).collect();
        assert!(missing.is_empty(), "{request_type} lacks {missing:?}");
    }
    let unable = answer(&mut mac, "EnableLostMode", [("Message", "x".into())]).await;
    assert_eq!((unable.status, unable.errors[0].code), (Status::Error, 12021));
}

#[tokio::test]
async fn what_is_unknown_or_malformed_is_answered_as_apple_does() {
    let mut mac = device(Family::Mac, 1);
    let unknown = answer(&mut mac, "TurnIntoPumpkin", []).await;
    assert_eq!((unknown.status, unknown.errors[0].code), (Status::Error, 12021));
    assert_eq!(unknown.errors[0].domain, "MCMDMErrorDomain");
    assert!(unknown.errors[0].localized_description.contains("“TurnIntoPumpkin”"));
    let user = mac.add_user(UserKind::Mac, &User::new("U", "ann", "Ann")).unwrap();
    let erase = mac.execute(user, &command("EraseDevice", entries([]))).await.unwrap().unwrap();
    assert_eq!((erase.status, mac.contents().power), (Status::Error, Power::On));
    for request_type in ["InstallProfile", "RemoveProfile", "Settings", "InstallApplication", "InstallMedia"] {
        let malformed = answer(&mut mac, request_type, []).await;
        assert_eq!(malformed.status, Status::CommandFormatError, "{request_type}");
    }
    let no_pin = answer(&mut mac, "DeviceLock", []).await;
    assert_eq!(no_pin.status, Status::Error);
}

#[tokio::test]
async fn profiles_are_checked_kept_listed_and_removed_by_channel() {
    let mut mac = device(Family::Mac, 1);
    let user = mac.add_user(UserKind::Mac, &User::new("U", "ann", "Ann")).unwrap();
    let install = |bytes: &[u8]| command("InstallProfile", entries([("Payload", Value::Data(bytes.to_vec()))]));
    let plain = profile("com.example.wifi").to_xml();
    let signed = sign_attached(&profile("com.example.vpn").to_xml(), server(), &[]).unwrap();
    for (channel, bytes) in [(ChannelNo::DEVICE, &plain), (ChannelNo::DEVICE, &signed), (user, &plain)] {
        let done = mac.execute(channel, &install(bytes)).await.unwrap().unwrap();
        assert_eq!(done.status, Status::Acknowledged);
    }
    let mut tampered = signed.clone();
    *tampered.last_mut().unwrap() ^= 1;
    for broken in [&b"no profile"[..], &tampered, b"<plist><dict/></plist>"] {
        let refused = mac.execute(ChannelNo::DEVICE, &install(broken)).await.unwrap().unwrap();
        assert_eq!((refused.status, refused.errors[0].code), (Status::Error, 4000));
    }
    let listed = answer(&mut mac, "ProfileList", []).await;
    let list = listed.results["ProfileList"].as_array().unwrap();
    let names: Vec<_> = list.iter().map(|one| &one.as_dictionary().unwrap()["PayloadIdentifier"]).collect();
    assert_eq!(names, [&Value::from("com.example.wifi"), &Value::from("com.example.vpn")]);
    let remove = answer(&mut mac, "RemoveProfile", [("Identifier", "com.example.wifi".into())]).await;
    assert_eq!(remove.status, Status::Acknowledged);
    let again = answer(&mut mac, "RemoveProfile", [("Identifier", "com.example.wifi".into())]).await;
    assert_eq!(again.errors[0].code, 12013);
    assert!(mac.contents().profile(user, "com.example.wifi").is_some());
    assert!(mac.contents().profile(ChannelNo::DEVICE, "com.example.vpn").unwrap().signer.is_some());
}

#[tokio::test]
async fn a_personal_device_tells_nothing_that_names_it_or_its_user() {
    let options = DeviceOptions { personal: true, ..options() };
    let model = Model::new(Family::IPhone, 1, 1);
    let mut phone = Device::new(model, trust(), options, 1);
    let queries = ["UDID", "SerialNumber", "IMEI", "WiFiMAC", "DeviceName", "OSVersion", "IsSupervised"];
    let queries = Value::Array(queries.into_iter().map(Value::from).collect());
    let told = answer(&mut phone, "DeviceInformation", [("Queries", queries)]).await;
    let told = told.results["QueryResponses"].as_dictionary().unwrap().clone();
    assert_eq!(told.keys().collect::<Vec<_>>(), ["OSVersion", "IsSupervised"]);
    assert_eq!(told["IsSupervised"], Value::Boolean(false));
    let listed = answer(&mut phone, "InstalledApplicationList", []).await;
    assert_eq!(listed.results["InstalledApplicationList"], Value::Array(Vec::new()));
    let installed = answer(&mut phone, "InstallApplication", [("iTunesStoreID", 7.into())]).await;
    assert_eq!(installed.results["Identifier"], Value::from("com.example.app7"));
    let listed = answer(&mut phone, "InstalledApplicationList", []).await;
    assert_eq!(listed.results["InstalledApplicationList"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn locks_and_passwords_keep_what_they_are_given() {
    let mut mac = device(Family::Mac, 1);
    let set = |old: &str, new: &str| [("CurrentPassword", old.into()), ("NewPassword", new.into())];
    assert_eq!(answer(&mut mac, "SetRecoveryLock", [("NewPassword", "one".into())]).await.status, Status::Acknowledged);
    assert_eq!(answer(&mut mac, "SetRecoveryLock", set("wrong", "two")).await.status, Status::Error);
    assert_eq!(answer(&mut mac, "SetRecoveryLock", set("one", "two")).await.status, Status::Acknowledged);
    for (password, right) in [("one", false), ("two", true)] {
        let verified = answer(&mut mac, "VerifyRecoveryLock", [("Password", password.into())]).await;
        assert_eq!(verified.results["PasswordVerified"], Value::Boolean(right));
    }
    let mut phone = device(Family::IPhone, 1);
    let wrong = answer(&mut phone, "ClearPasscode", [("UnlockToken", Value::Data(vec![1]))]).await;
    assert_eq!(wrong.status, Status::Error);
    let nowhere = answer(&mut phone, "DeviceLocation", []).await;
    assert_eq!(nowhere.status, Status::Error);
}

#[tokio::test]
async fn power_commands_are_obeyed_and_may_leave_nobody_to_answer() {
    for (request_type, power) in
        [("EraseDevice", Power::Erased), ("RestartDevice", Power::Restarting), ("ShutDownDevice", Power::Off)]
    {
        let mut mac = device(Family::Mac, 1);
        assert_eq!(answer(&mut mac, request_type, []).await.status, Status::Acknowledged);
        assert_eq!(mac.contents().power, power);
        mac.options.answers_power_commands = false;
        let silent = mac.execute(ChannelNo::DEVICE, &command(request_type, entries([]))).await.unwrap();
        assert!(silent.is_none());
    }
}
