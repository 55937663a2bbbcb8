//! What a device tells of itself: `DeviceInformation`, `SecurityInfo` and the like.

use protocol::apple::plist::Value;

use super::super::entries;
use super::{Answer, Doing};

impl Doing<'_> {
    pub(super) fn information(&mut self) -> Option<Answer> {
        Some(match self.request_type {
            "DeviceInformation" => self.device_information(),
            "SecurityInfo" => Answer::acknowledged().with("SecurityInfo", self.security_info()),
            "Restrictions" => Answer::acknowledged()
                .with("GlobalRestrictions", Value::Dictionary(entries([])))
                .with("ProfileRestrictions", Value::Dictionary(entries([]))),
            "ContentCachingInformation" => {
                let status = [
                    ("Activated", false.into()),
                    ("Active", false.into()),
                    ("CacheStatus", "OK".into()),
                    ("CacheUsed", 0.into()),
                ];
                Answer::acknowledged().with("StatusResponse", Value::Dictionary(entries(status)))
            }
            "DeviceLocation" if !self.contents.lost => Answer::refused(12067, "The device is not in Lost Mode."),
            "DeviceLocation" => self.location(),
            _ => return None,
        })
    }

    fn device_information(&self) -> Answer {
        let asked = self.texts("Queries");
        let answers = asked.into_iter().filter_map(|query| Some((query.to_owned(), self.fact(query)?)));
        Answer::acknowledged().with("QueryResponses", Value::Dictionary(answers.collect()))
    }

    /// The answer to one query; none when this device has no such thing or tells it nobody.
    fn fact(&self, query: &str) -> Option<Value> {
        self.identifying_fact(query).filter(|_| !self.is_personal()).or_else(|| match self.model.is_mac() {
            true => self.mac_fact(query).or_else(|| self.common_fact(query)),
            false => self.mobile_fact(query).or_else(|| self.common_fact(query)),
        })
    }

    fn identifying_fact(&self, query: &str) -> Option<Value> {
        let model = self.model;
        Some(match query {
            "UDID" => model.udid.as_str().into(),
            "SerialNumber" => model.serial_number.as_str().into(),
            "DeviceName" => self.contents.device_name.as_str().into(),
            "WiFiMAC" => model.hardware_address(0).into(),
            "BluetoothMAC" => model.hardware_address(1).into(),
            "EthernetMAC" if model.is_mac() => model.hardware_address(2).into(),
            "IMEI" => model.imei.as_deref()?.into(),
            "MEID" => model.imei.as_ref()?.replace(' ', "").get(..14)?.into(),
            "ProvisioningUDID" if model.is_mac() => format!("00008112-{}", &model.udid.replace('-', "")[..16]).into(),
            "PhoneNumber" if model.imei.is_some() => "+15555550100".into(),
            "LocalHostName" | "HostName" if model.is_mac() => self.contents.device_name.replace([' ', '’'], "-").into(),
            _ => return None,
        })
    }

    fn common_fact(&self, query: &str) -> Option<Value> {
        let model = self.model;
        let gigabytes = |bytes: u64| bytes as f64 / 1e9;
        Some(match query {
            "OSVersion" => model.os_version.into(),
            "BuildVersion" | "SupplementalBuildVersion" => model.build_version.into(),
            "ModelName" => model.model_name.into(),
            "Model" => model.model_number.into(),
            "ModelNumber" => format!("{}LL/A", model.model_number).into(),
            "ProductName" => model.product_name.into(),
            "DeviceCapacity" => Value::Real(model.capacity_gigabytes.into()),
            "AvailableDeviceCapacity" => Value::Real(gigabytes(self.contents.available_bytes())),
            "BatteryLevel" => Value::Real(0.8),
            "IsSupervised" => (self.supervised && !self.is_personal()).into(),
            "AwaitingConfiguration" => self.awaits_configuration.into(),
            "IsActivationLockEnabled" | "IsActivationLockSupported" => false.into(),
            "IsDeviceLocatorServiceEnabled" | "IsDoNotDisturbInEffect" | "IsCloudBackupEnabled" => false.into(),
            "IsMDMLostModeEnabled" => self.contents.lost.into(),
            "iTunesStoreAccountIsActive" | "DiagnosticSubmissionEnabled" | "AppAnalyticsEnabled" => false.into(),
            "MDMOptions" | "OrganizationInfo" | "SoftwareUpdateSettings" => Value::Dictionary(entries([])),
            "PushToken" => Value::Data(self.push_token?.to_vec()),
            "TimeZone" => "Europe/Berlin".into(),
            "EASDeviceIdentifier" => self.model.enrollment_id.replace('-', "").into(),
            _ => return None,
        })
    }

    fn mac_fact(&self, query: &str) -> Option<Value> {
        Some(match query {
            "IsAppleSilicon" | "SystemIntegrityProtectionEnabled" | "SupportsiOSAppInstalls" => true.into(),
            "HasBattery" => (self.model.model_name.starts_with("MacBook")).into(),
            "SupportsLOMDevice" | "PINRequiredForEraseDevice" => false.into(),
            "PINRequiredForDeviceLock" => true.into(),
            "SoftwareUpdateDeviceID" => format!("{}AP", self.model.model_number).into(),
            "ActiveManagedUsers" | "AutoSetupAdminAccounts" => Value::Array(Vec::new()),
            "OSUpdateSettings" => Value::Dictionary(entries([
                ("AutoCheckEnabled", true.into()),
                ("AutomaticAppInstallationEnabled", true.into()),
                ("AutomaticOSInstallationEnabled", false.into()),
                ("AutomaticSecurityUpdatesEnabled", true.into()),
                ("BackgroundDownloadEnabled", true.into()),
                ("IsDefaultCatalog", true.into()),
                ("PerformPeriodicCheck", true.into()),
                ("PreviousScanResult", 0.into()),
            ])),
            _ => return None,
        })
    }

    fn mobile_fact(&self, query: &str) -> Option<Value> {
        let phone = self.model.imei.is_some();
        Some(match query {
            "IsMultiUser" => false.into(),
            "IsNetworkTethered" | "IsRoaming" | "DataRoamingEnabled" | "VoiceRoamingEnabled" => false.into(),
            "PersonalHotspotEnabled" if phone => false.into(),
            "CellularTechnology" => if phone { 3 } else { 0 }.into(),
            "ModemFirmwareVersion" if phone => "3.00.00".into(),
            "SIMCarrierNetwork" | "SubscriberCarrierNetwork" | "CurrentCarrierNetwork" if phone => "Carrier".into(),
            "CarrierSettingsVersion" if phone => "61.0".into(),
            "CurrentMCC" | "SubscriberMCC" if phone => "262".into(),
            "CurrentMNC" | "SubscriberMNC" if phone => "01".into(),
            "ServiceSubscriptions" if phone => Value::Array(vec![Value::Dictionary(entries([
                ("Slot", "CTSubscriptionSlotOne".into()),
                ("IsDataPreferred", true.into()),
                ("IsVoicePreferred", true.into()),
            ]))]),
            "AccessibilitySettings" => Value::Dictionary(entries([("BoldTextEnabled", false.into())])),
            _ => return None,
        })
    }

    fn security_info(&self) -> Value {
        let management = Value::Dictionary(entries([
            ("EnrolledViaDEP", self.supervised.into()),
            ("UserApprovedEnrollment", true.into()),
            ("IsUserEnrollment", self.is_personal().into()),
        ]));
        if !self.model.is_mac() {
            return Value::Dictionary(entries([
                ("HardwareEncryptionCaps", 3.into()),
                ("PasscodePresent", true.into()),
                ("PasscodeCompliant", true.into()),
                ("PasscodeCompliantWithProfiles", true.into()),
                ("PasscodeLockGracePeriod", 0.into()),
                ("PasscodeLockGracePeriodEnforced", 0.into()),
                ("ManagementStatus", management),
            ]));
        }
        let firewall = [
            ("FirewallEnabled", true.into()),
            ("BlockAllIncoming", false.into()),
            ("StealthMode", false.into()),
            ("Applications", Value::Array(Vec::new())),
        ];
        let boot = [("SecureBootLevel", "full".into()), ("ExternalBootLevel", "allowed".into())];
        let firmware = [
            ("PasswordExists", self.contents.firmware_password.is_some().into()),
            ("ChangePending", false.into()),
            ("AllowOroms", false.into()),
        ];
        Value::Dictionary(entries([
            ("FDE_Enabled", true.into()),
            ("FDE_HasPersonalRecoveryKey", true.into()),
            ("FDE_HasInstitutionalRecoveryKey", false.into()),
            ("SystemIntegrityProtectionEnabled", true.into()),
            ("FirewallSettings", Value::Dictionary(entries(firewall))),
            ("FirmwarePasswordStatus", Value::Dictionary(entries(firmware))),
            ("ManagementStatus", management),
            ("SecureBoot", Value::Dictionary(entries(boot))),
            ("RemoteDesktopEnabled", self.contents.remote_desktop.into()),
            ("AuthenticatedRootVolumeEnabled", true.into()),
            ("BootstrapTokenAllowedForAuthentication", "not supported".into()),
            ("IsRecoveryLockEnabled", self.contents.recovery_lock.is_some().into()),
        ]))
    }

    fn location(&mut self) -> Answer {
        let metres = |tenths: u64| Value::Real(tenths as f64 / 10.0);
        let (north, east) = (self.chance.below(900) as f64 / 10.0, self.chance.below(1800) as f64 / 10.0);
        Answer::acknowledged()
            .with("Latitude", Value::Real(north))
            .with("Longitude", Value::Real(east))
            .with("HorizontalAccuracy", metres(650))
            .with("VerticalAccuracy", metres(100))
            .with("Altitude", metres(self.chance.below(5000)))
            .with("Speed", Value::Real(-1.0))
            .with("Course", Value::Real(-1.0))
            .with("Timestamp", "2026-01-01T00:00:00Z")
    }
}
