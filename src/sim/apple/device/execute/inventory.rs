//! Lists of what is on a device: certificates, users, updates, extensions.

use openssl::x509::X509;
use protocol::apple::plist::Value;

use super::super::{User, entries};
use super::{Answer, Doing};

impl Doing<'_> {
    pub(super) fn inventory(&mut self) -> Option<Answer> {
        Some(match self.request_type {
            "CertificateList" => {
                let managed_only = self.is_true("ManagedOnly");
                let chosen = self.certificates.iter().filter(|(_, own)| *own || !managed_only);
                let list = chosen.map(|(der, own)| certificate(der, *own)).collect();
                Answer::acknowledged().with("CertificateList", Value::Array(list))
            }
            "UserList" => {
                let users = self.contents.users.iter().enumerate().map(|(index, one)| user(index, one)).collect();
                Answer::acknowledged().with("Users", Value::Array(users))
            }
            "AvailableOSUpdates" => {
                Answer::acknowledged().with("AvailableOSUpdates", Value::Array(vec![self.update()]))
            }
            "OSUpdateStatus" => Answer::acknowledged().with("OSUpdateStatus", Value::Array(Vec::new())),
            "ActiveNSExtensions" | "NSExtensionMappings" => {
                Answer::acknowledged().with("Extensions", Value::Array(Vec::new()))
            }
            "LOMSetupRequest" => {
                let address = format!("fe80::{:x}", self.chance.below(0xffff));
                Answer::acknowledged()
                    .with("PrimaryIPv6AddressList", Value::Array(vec![address.into()]))
                    .with("SecondaryIPv6AddressList", Value::Array(Vec::new()))
                    .with("LOMProtocolVersion", 1)
            }
            "LOMDeviceRequest" => self.lights_out(),
            _ => return None,
        })
    }

    fn update(&self) -> Value {
        let mac = self.model.is_mac();
        let (name, version, build) = if mac { ("macOS", "15.2", "24C101") } else { ("iOS", "18.2", "22C152") };
        Value::Dictionary(entries([
            ("ProductKey", format!("{}UpdateProduct{build}", if mac { "MSU_" } else { "iOS" }).into()),
            ("HumanReadableName", format!("{name} {version}").into()),
            ("HumanReadableNameLocale", "en_US".into()),
            ("MetadataURL", "".into()),
            ("ProductName", name.into()),
            ("Version", version.into()),
            ("Build", build.into()),
            ("DownloadSize", 2_500_000_000_u64.into()),
            ("InstallSize", 6_000_000_000_u64.into()),
            ("AppIdentifiersToClose", Value::Array(Vec::new())),
            ("IsCritical", false.into()),
            ("IsMajorOSUpdate", false.into()),
            ("IsSecurityResponse", false.into()),
            ("RestartRequired", true.into()),
            ("AllowsInstallLater", true.into()),
        ]))
    }

    fn lights_out(&self) -> Answer {
        let requests = self.arguments.array("RequestList").ok().flatten().unwrap_or_default();
        let done = requests.iter().filter_map(Value::as_dictionary).map(|request| {
            let uuid = request.get("DeviceRequestUUID").cloned().unwrap_or_else(|| "".into());
            Value::Dictionary(entries([("DeviceRequestSuccess", true.into()), ("DeviceRequestUUID", uuid)]))
        });
        Answer::acknowledged().with("ResponseList", Value::Array(done.collect()))
    }
}

fn certificate(der: &[u8], identity: bool) -> Value {
    let name = X509::from_der(der).ok().and_then(|certificate| {
        let subject = certificate.subject_name();
        subject.entries_by_nid(openssl::nid::Nid::COMMONNAME).next()?.data().to_string().ok()
    });
    Value::Dictionary(entries([
        ("CommonName", name.unwrap_or_default().into()),
        ("Data", Value::Data(der.to_vec())),
        ("IsIdentity", identity.into()),
    ]))
}

fn user(index: usize, user: &User) -> Value {
    Value::Dictionary(entries([
        ("UserName", user.short_name.as_str().into()),
        ("FullName", user.long_name.as_str().into()),
        ("UID", (501 + index as u64).into()),
        ("UserGUID", user.id.as_str().into()),
        ("IsLoggedIn", (index == 0).into()),
        ("HasDataToSync", false.into()),
        ("DataQuota", 0.into()),
        ("DataUsed", 0.into()),
        ("MobileAccount", false.into()),
        ("HasSecureToken", (index == 0).into()),
    ]))
}
