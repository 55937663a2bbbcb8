//! The nodes of a PC that a server can read, set and execute: a small part of Windows' configuration service providers.
//!
//! It answers with the statuses that Windows answers with; what an order does beyond its node is an [`Effect`], which the
//! PC carries out. Start with [`Tree::obey`].

use std::collections::BTreeMap;

use super::model::Model;
use super::policies;
use super::syncml::answer::Item;

/// The provider nodes of DMClient stand below this.
const PROVIDER: &str = "Vendor/MSFT/DMClient/Provider/";
const MSI: &str = "Vendor/MSFT/EnterpriseDesktopAppManagement/MSI/";
const SCEP: &str = "Vendor/MSFT/ClientCertificateInstall/SCEP/";
const RENEW: &str = "Vendor/MSFT/CertificateStore/My/WSTEP/Renew/";
/// Where everybody may write.
const FREE: &[&str] = &[
    policies::CONFIG,
    "Vendor/MSFT/Policy/ConfigOperations/ADMXInstall/",
    "Vendor/MSFT/BitLocker/",
    "Vendor/MSFT/ClientCertificateInstall/",
    "Vendor/MSFT/Reboot/Schedule/",
    "Vendor/MSFT/WiFi/Profile/",
    "Vendor/MSFT/Firewall/MdmStore/",
    "User/Vendor/MSFT/Policy/Config/",
    "User/Vendor/MSFT/ClientCertificateInstall/",
    "SyncML/DMAcc/",
    PROVIDER,
    MSI,
    RENEW,
];
/// The ways to wipe a PC.
const WIPES: &[&str] = &["doWipe", "doWipeProtected", "doWipePersistProvisionedData", "doWipePersistUserData"];

/// All nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    nodes: BTreeMap<String, Node>,
    /// Whether a user is logged on; without one, there are no nodes of users.
    pub user_is_there: bool,
}

/// One node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The format of its value.
    pub format: String,
    /// Its value.
    pub data: String,
}

/// What came of an order for one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// The status.
    pub code: u16,
    /// What the node holds, after a `Get`.
    pub value: Option<Node>,
    /// What follows from it.
    pub effect: Option<Effect>,
}

/// What an order does beyond its node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The PC starts anew.
    Reboot,
    /// The PC is wiped.
    Wipe,
    /// The PC leaves.
    Unenroll,
    /// A package is installed: its node.
    Install(String),
    /// The poll schedule changes.
    Poll(String, u32),
    /// The name of the PC's digests changes.
    Name(String),
    /// The secret of the PC's digests changes.
    Secret(String),
    /// The PC renews its certificate.
    Renew,
}

impl Done {
    const fn code(code: u16) -> Self {
        Self { code, value: None, effect: None }
    }

    const fn and(code: u16, effect: Effect) -> Self {
        Self { code, value: None, effect: Some(effect) }
    }
}

impl Tree {
    /// The nodes of a PC out of the box.
    pub fn of(model: &Model) -> Self {
        let mut tree = Self { nodes: BTreeMap::new(), user_is_there: true };
        for (path, data) in [
            ("DevInfo/DevId", model.device_id.as_str()),
            ("DevInfo/Man", model.manufacturer),
            ("DevInfo/Mod", model.product),
            ("DevInfo/DmV", "1.3"),
            ("DevInfo/Lang", "en-US"),
            ("DevDetail/SwV", model.os_version),
            ("DevDetail/OEM", model.manufacturer),
            ("DevDetail/HwV", "1.12"),
            ("DevDetail/Ext/Microsoft/SMBIOSSerialNumber", &model.serial_number),
            ("DevDetail/Ext/Microsoft/DeviceName", &model.device_name),
            ("DevDetail/Ext/Microsoft/DNSComputerName", &model.device_name),
            ("DevDetail/Ext/Microsoft/OSPlatform", "Windows 11 Enterprise"),
        ] {
            tree.set(path, "chr", data);
        }
        tree
    }

    /// Sets a node, whoever may or may not.
    pub fn set(&mut self, path: &str, format: &str, data: &str) {
        self.nodes.insert(plain(path), Node { format: format.to_owned(), data: data.to_owned() });
    }

    /// What a node holds.
    pub fn get(&self, path: &str) -> Option<&Node> {
        self.nodes.get(&plain(path))
    }

    /// Does what an order says about one node.
    pub fn obey(&mut self, verb: &str, item: &Item) -> Done {
        let path = plain(&item.target);
        if path.starts_with("User/") && !self.user_is_there {
            return Done::code(405);
        }
        match verb {
            "Get" => self.read(&policies::kept_at(&path)),
            "Exec" => self.execute(&path, item),
            "Add" | "Replace" | "Delete" => self.change(verb, &path, item),
            _ => Done::code(400),
        }
    }

    fn read(&self, path: &str) -> Done {
        if let Some(node) = self.nodes.get(path) {
            return Done { code: 200, value: Some(node.clone()), effect: None };
        }
        let below = format!("{path}/");
        let mut names: Vec<&str> = self.nodes.keys().filter_map(|key| key.strip_prefix(&below)).collect();
        names.iter_mut().for_each(|name| *name = name.split('/').next().unwrap_or_default());
        names.dedup();
        if names.is_empty() {
            return Done::code(404);
        }
        Done { code: 200, value: Some(Node { format: "node".into(), data: names.join("/") }), effect: None }
    }

    fn change(&mut self, verb: &str, path: &str, item: &Item) -> Done {
        let known = self.nodes.contains_key(path);
        if !FREE.iter().any(|free| path.starts_with(free)) {
            return Done::code(if known { 405 } else { 404 });
        }
        let data = item.data.clone().unwrap_or_default();
        match (verb, known) {
            ("Add", true) => return Done::code(418),
            ("Delete", false) => return Done::code(404),
            ("Delete", true) => {
                self.forget(path);
                return Done::code(200);
            }
            _ => {}
        }
        let files = self.nodes.iter().map(|(at, node)| (at.as_str(), node.data.as_str()));
        if !policies::is_there(path, files) {
            return Done::code(404);
        }
        if !policies::is_sound_file(path, &data) {
            return Done::code(400);
        }
        if item.format == "int" && data.trim().parse::<i64>().is_err() {
            return Done::code(400);
        }
        self.set(path, &item.format, &data);
        let effect = match path.rsplit('/').next().unwrap_or_default() {
            "AAuthName" => Some(Effect::Name(data)),
            "AAuthSecret" => Some(Effect::Secret(data)),
            node if path.starts_with(PROVIDER) && path.contains("/Poll/") => {
                data.trim().parse().ok().map(|value| Effect::Poll(node.to_owned(), value))
            }
            _ => None,
        };
        Done { code: 200, value: None, effect }
    }

    /// A node goes with all that stands in it; with an ADMX file go its policies.
    fn forget(&mut self, path: &str) {
        let below = format!("{path}/");
        self.nodes.retain(|at, _| at != path && !at.starts_with(&below));
        let files: Vec<(String, String)> =
            self.nodes.iter().map(|(at, node)| (at.clone(), node.data.clone())).collect();
        let there = |path: &str| policies::is_there(path, files.iter().map(|(at, text)| (at.as_str(), text.as_str())));
        self.nodes.retain(|at, _| there(at));
    }

    /// What a certificate is asked for with.
    fn can_enroll(&self, node: &str) -> bool {
        let needed = ["CAThumbprint", "Challenge", "EKUMapping", "HashAlgorithm", "KeyLength", "KeyUsage", "ServerURL"];
        needed.iter().chain(&["SubjectName"]).all(|name| self.nodes.contains_key(&format!("{node}/Install/{name}")))
    }

    fn execute(&self, path: &str, item: &Item) -> Done {
        if let Some(way) = path.strip_prefix("Vendor/MSFT/RemoteWipe/") {
            return if WIPES.contains(&way) { Done::and(200, Effect::Wipe) } else { Done::code(405) };
        }
        let leaves = path.starts_with(PROVIDER) && path.ends_with("/Unenroll");
        match path {
            "Vendor/MSFT/Reboot/RebootNow" => Done::and(200, Effect::Reboot),
            "Vendor/MSFT/CertificateStore/My/WSTEP/Renew/RenewNow" => Done::and(202, Effect::Renew),
            "Vendor/MSFT/DMClient/Unenroll" => Done::and(200, Effect::Unenroll),
            _ if leaves => Done::and(200, Effect::Unenroll),
            _ if path.contains(SCEP) && path.ends_with("/Install/Enroll") => {
                let node = path.trim_end_matches("/Install/Enroll");
                Done::code(if self.can_enroll(node) { 200 } else { 500 })
            }
            _ if path.starts_with(MSI) && path.ends_with("/DownloadInstall") => {
                let has_job = item.data.as_deref().is_some_and(|data| data.contains("<MsiInstallJob"));
                match (self.nodes.contains_key(path), has_job) {
                    (false, _) => Done::code(404),
                    (true, false) => Done::code(400),
                    (true, true) => Done::and(202, Effect::Install(item.target.clone())),
                }
            }
            _ => Done::code(405),
        }
    }
}

/// A node's address without what may be left out of it.
fn plain(path: &str) -> String {
    let path = path.trim().trim_start_matches("./");
    path.strip_prefix("Device/").unwrap_or(path).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(target: &str, format: &str, data: Option<&str>) -> Item {
        Item { target: target.into(), format: format.into(), data: data.map(str::to_owned) }
    }

    fn tree() -> Tree {
        Tree::of(&Model::new(1, 1))
    }

    #[test]
    fn nodes_are_added_once_replaced_read_and_deleted_once() {
        let mut tree = tree();
        let camera = "./Device/Vendor/MSFT/Policy/Config/Camera/AllowCamera";
        let codes = ["Add", "Add", "Replace", "Get", "Delete", "Delete", "Get"]
            .map(|verb| tree.obey(verb, &item(camera, "int", Some("0"))).code);
        assert_eq!(codes, [200, 418, 200, 200, 200, 404, 404]);
        assert_eq!(tree.obey("Replace", &item(camera, "int", Some("x"))).code, 400);
    }

    #[test]
    fn facts_are_read_only_and_what_is_unknown_is_not_there() {
        let mut tree = tree();
        let serial = "./DevDetail/Ext/Microsoft/SMBIOSSerialNumber";
        assert_eq!(tree.obey("Get", &item(serial, "chr", None)).value.unwrap().data, Model::new(1, 1).serial_number);
        assert_eq!(tree.obey("Replace", &item(serial, "chr", Some("x"))).code, 405);
        assert_eq!(tree.obey("Replace", &item("./Vendor/MSFT/Nothing/Here", "chr", Some("x"))).code, 404);
        assert_eq!(tree.obey("Exec", &item("./Vendor/MSFT/Nothing/Here", "chr", None)).code, 405);
        let names = tree.obey("Get", &item("./DevInfo", "chr", None)).value.unwrap();
        assert_eq!((names.format.as_str(), names.data.as_str()), ("node", "DevId/DmV/Lang/Man/Mod"));
    }

    #[test]
    fn without_a_user_there_are_no_nodes_of_one() {
        let mut tree = tree();
        tree.user_is_there = false;
        assert_eq!(tree.obey("Add", &item("./User/Vendor/MSFT/Policy/Config/A/B", "int", Some("1"))).code, 405);
    }

    #[test]
    fn policies_of_an_app_come_and_go_with_its_file() {
        let mut tree = tree();
        let file = "./Device/Vendor/MSFT/Policy/ConfigOperations/ADMXInstall/Demo/Policy/F1";
        let beta = "./Device/Vendor/MSFT/Policy/Config/Demo~Policy~Cat/Beta";
        let admx = "<policyDefinitions><policies><policy name=\"Beta\"/></policies></policyDefinitions>";
        let enabled = item(beta, "chr", Some("<enabled/>"));
        assert_eq!(tree.obey("Replace", &enabled).code, 404, "nobody knows it yet");
        assert_eq!(tree.obey("Replace", &item(file, "chr", Some("<x/>"))).code, 400);
        assert_eq!(tree.obey("Replace", &item(file, "chr", Some(admx))).code, 200);
        assert_eq!(tree.obey("Replace", &enabled).code, 200);
        let read = item("./Device/Vendor/MSFT/Policy/Result/Demo~Policy~Cat/Beta", "chr", None);
        assert_eq!(tree.obey("Get", &read).value.unwrap().data, "<enabled/>");
        assert_eq!(tree.obey("Delete", &item(file, "chr", None)).code, 200);
        assert_eq!(tree.obey("Get", &read).code, 404);
    }

    #[test]
    fn a_certificate_is_asked_for_when_all_is_there() {
        let mut tree = tree();
        let enroll = item("./Vendor/MSFT/ClientCertificateInstall/SCEP/c/Install/Enroll", "null", None);
        assert_eq!(tree.obey("Exec", &enroll).code, 500);
    }

    #[test]
    fn a_package_is_added_before_it_is_installed() {
        let mut tree = tree();
        let node = "./Device/Vendor/MSFT/EnterpriseDesktopAppManagement/MSI/%7Bx%7D/DownloadInstall";
        let job = item(node, "xml", Some("<MsiInstallJob id=\"{x}\"/>"));
        assert_eq!(tree.obey("Exec", &job).code, 404);
        assert_eq!(tree.obey("Add", &item(node, "chr", None)).code, 200);
        let done = tree.obey("Exec", &job);
        assert_eq!((done.code, done.effect), (202, Some(Effect::Install(node.into()))));
    }
}
