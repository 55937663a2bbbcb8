//! The demo's admin: uses the admin API over HTTPS, and remembers what it was promised.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use protocol::apple::command::Command;
use protocol::apple::plist::{Dictionary, Value as Plist};
use protocol::apple::profile::{Payload, Profile, derived_uuid};
use protocol::ids::CommandUuid;
use reqwest::{Certificate, Client, Method};
use serde_json::{Value, json};

use crate::serve::Running;
use crate::sim::random::Chance;

/// Rows of one page.
const PAGE: usize = 5000;
/// How long one request may take.
const DEADLINE: Duration = Duration::from_secs(30);

/// The commands that the demo queues: all of them only ask, or do no harm.
const QUERIES: [&str; 6] = [
    "DeviceInformation",
    "SecurityInfo",
    "ProfileList",
    "InstalledApplicationList",
    "CertificateList",
    "InstallProfile",
];

/// Where a command stands, as the server shows it: (CommandUUID, channel) → status.
pub(super) type Rows = HashMap<(String, String), String>;

/// A host that commands are for.
#[derive(Clone, Debug)]
struct Target {
    /// What people call it by.
    uuid: String,
    /// The name of its own channel.
    channel: String,
}

/// The admin.
pub(super) struct Admin {
    client: Client,
    url: String,
    token: String,
    chance: Chance,
    /// Hosts by platform.
    devices: BTreeMap<String, Vec<Target>>,
    /// User channels.
    users: Vec<String>,
    /// Every accepted command, with the channels it was for.
    meant: BTreeMap<String, BTreeSet<String>>,
}

impl Admin {
    pub(super) fn new(running: &Running, token: String, seed: u64) -> anyhow::Result<Self> {
        let ca = running.addresses.ca_file.as_ref().context("the demo's server has a self-made certificate")?;
        let ca = Certificate::from_pem(&std::fs::read(ca)?)?;
        let client = Client::builder().tls_certs_only([ca]).no_proxy().timeout(DEADLINE).build()?;
        let url = running.addresses.admin_url.clone();
        let chance = Chance::new(seed, u64::MAX);
        let (devices, users, meant) = (BTreeMap::new(), Vec::new(), BTreeMap::new());
        Ok(Self { client, url, token, chance, devices, users, meant })
    }

    pub(super) async fn put(&self, path: &str, body: impl Into<reqwest::Body>) -> anyhow::Result<Value> {
        self.ask(Method::PUT, path, body.into()).await
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.ask(Method::POST, path, body.to_string().into()).await
    }

    pub(super) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.ask(Method::GET, path, String::new().into()).await
    }

    /// The same where the answer says nothing.
    pub(super) async fn post_unread(&self, path: &str, body: &Value) -> anyhow::Result<()> {
        self.send(Method::POST, path, body.to_string().into()).await.map(|_| ())
    }

    async fn ask(&self, method: Method, path: &str, body: reqwest::Body) -> anyhow::Result<Value> {
        Ok(serde_json::from_slice(&self.send(method, path, body).await?)?)
    }

    /// Sends a form with a file in it.
    pub(super) async fn post_form(&self, path: &str, boundary: &str, form: Vec<u8>) -> anyhow::Result<()> {
        let request = self.client.post(format!("{}{path}", self.url)).bearer_auth(&self.token).body(form);
        let kind = format!("multipart/form-data; boundary={boundary}");
        self.read(path, request.header(reqwest::header::CONTENT_TYPE, kind)).await.map(|_| ())
    }

    async fn send(&self, method: Method, path: &str, body: reqwest::Body) -> anyhow::Result<Vec<u8>> {
        let request = self.client.request(method, format!("{}{path}", self.url)).bearer_auth(&self.token).body(body);
        self.read(path, request).await
    }

    async fn read(&self, path: &str, request: reqwest::RequestBuilder) -> anyhow::Result<Vec<u8>> {
        let response = request.send().await?;
        let (status, bytes) = (response.status(), response.bytes().await?);
        anyhow::ensure!(status.is_success(), "{path}: {status}: {}", String::from_utf8_lossy(&bytes));
        Ok(bytes.to_vec())
    }

    /// Finds the enrolled hosts and their users.
    pub(super) async fn learn_hosts(&mut self) -> anyhow::Result<()> {
        let hosts = self.get("/api/v1/fleet/hosts?per_page=10000").await?;
        for host in hosts["hosts"].as_array().into_iter().flatten() {
            let text = |key: &str| host[key].as_str().unwrap_or_default().to_owned();
            let detail = self.get(&format!("/api/v1/fleet/hosts/{}", host["id"])).await?;
            let channels = detail["host"]["enrollments"].as_array().into_iter().flatten();
            if host["mdm"]["connected_to_fleet"] == true {
                let is_own = |channel: &&Value| channel["enabled"] == true && channel["user"].is_null();
                let own = channels.clone().find(is_own).and_then(|channel| channel["id"].as_str());
                let channel = own.context("an enrolled host has a channel of its own")?.to_owned();
                let target = Target { uuid: text("uuid"), channel };
                self.devices.entry(text("platform")).or_default().push(target);
            }
            let users = channels.filter(|channel| channel["enabled"] == true && !channel["user"].is_null());
            self.users.extend(users.filter_map(|channel| channel["id"].as_str().map(str::to_owned)));
        }
        Ok(())
    }

    /// A host to try things with.
    pub(super) fn example(&self) -> Option<&str> {
        self.devices.values().flatten().next().map(|target| target.uuid.as_str())
    }

    /// Queues one command for some of the hosts, or for one user.
    pub(super) async fn queue_something(&mut self) -> anyhow::Result<()> {
        let request_type = QUERIES[self.pick(QUERIES.len())];
        let uuid = uuid::Uuid::new_v4().to_string();
        let command = command(&uuid, request_type)?;
        if !self.users.is_empty() && self.pick(4) == 0 {
            let user = self.pick(self.users.len());
            let user = self.users[user].clone();
            let command = self::command(&uuid, "ProfileList")?;
            self.put(&format!("/v1/enqueue/{user}"), command.to_xml()).await?;
            self.meant.insert(uuid, BTreeSet::from([user]));
            return Ok(());
        }
        let (platform, some) = self.some_devices();
        if some.is_empty() {
            return Ok(());
        }
        let command = match platform.as_str() {
            "windows" => self.windows_command(&uuid).into_bytes(),
            _ => command.to_xml(),
        };
        let uuids: Vec<&str> = some.iter().map(|target| target.uuid.as_str()).collect();
        let body = json!({ "command": STANDARD.encode(command), "host_uuids": uuids });
        let answered = self.post("/api/v1/fleet/commands/run", &body).await?;
        let uuid = answered["command_uuid"].as_str().context("a command has a name")?.to_owned();
        self.meant.insert(uuid, some.into_iter().map(|target| target.channel).collect());
        Ok(())
    }

    /// About a fifth of the hosts of one platform.
    fn some_devices(&mut self) -> (String, Vec<Target>) {
        let platforms: Vec<(String, Vec<Target>)> =
            self.devices.iter().map(|(name, targets)| (name.clone(), targets.clone())).collect();
        if platforms.is_empty() {
            return (String::new(), Vec::new());
        }
        let (platform, all) = &platforms[self.pick(platforms.len())];
        let first = self.pick(all.len());
        (platform.clone(), all.iter().cycle().skip(first).take(all.len().div_ceil(5)).cloned().collect())
    }

    /// A command for Windows, in one of the forms that they have.
    fn windows_command(&mut self, uuid: &str) -> String {
        let node = format!("./Device/Vendor/MSFT/Policy/Config/Demo/Setting{}", self.pick(8));
        let one = |verb: &str, id: &str, target: &str, value: bool| {
            let meta = "<Meta><Format xmlns=\"syncml:metinf\">int</Format></Meta><Data>1</Data>";
            let value = if value { meta } else { "" };
            format!("<{verb}>{id}<Item><Target><LocURI>{target}</LocURI></Target>{value}</Item></{verb}>")
        };
        let id = format!("<CmdID>{uuid}</CmdID>");
        match self.pick(9) {
            0 | 1 => one("Get", &id, "./DevDetail/Ext/Microsoft/DeviceName", false),
            2 => one("Get", &id, &node, false),
            3 => one("Replace", &id, &node, true),
            4 => one("Add", &id, &node, true),
            5 => one("Delete", &id, &node, false),
            6 => one("Exec", &id, "./Device/Vendor/MSFT/Reboot/RebootNow", false),
            7 => one("Exec", &id, "./Vendor/MSFT/CertificateStore/My/WSTEP/Renew/RenewNow", false),
            _ => format!("<Atomic>{id}{}{}</Atomic>", one("Replace", "", &node, true), one("Delete", "", &node, false)),
        }
    }

    /// Tokens that let PCs enroll, one for each.
    pub(super) async fn windows_tokens(&self, count: u32) -> anyhow::Result<Vec<String>> {
        let mut tokens = Vec::new();
        for _ in 0..count {
            let made = self.post("/api/v1/fleet/windows_enrollment_tokens", &json!({})).await?;
            tokens.push(made["token"].as_str().context("a token is a text")?.to_owned());
        }
        Ok(tokens)
    }

    fn pick(&mut self, count: usize) -> usize {
        usize::try_from(self.chance.number() % count.max(1) as u64).unwrap_or(0)
    }

    /// What was accepted so far.
    pub(super) fn meant(&self) -> &BTreeMap<String, BTreeSet<String>> {
        &self.meant
    }

    /// Waits until no command is pending; returns how many still are when patience ends.
    pub(super) async fn wait_until_ended(&self, patience: Duration) -> anyhow::Result<u64> {
        let until = Instant::now() + patience;
        loop {
            let pending = self.get("/api/v1/fleet/commands?command_status=pending&per_page=1").await?;
            let pending = pending["count"].as_u64().context("the server counts")?;
            if pending == 0 || Instant::now() >= until {
                return Ok(pending);
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }

    /// Where every command stands.
    pub(super) async fn all_rows(&self) -> anyhow::Result<Rows> {
        let mut rows = Rows::new();
        for page in 0.. {
            let list = self.get(&format!("/api/v1/fleet/commands?per_page={PAGE}&page={page}")).await?;
            let shown = list["results"].as_array().context("the server lists")?;
            for row in shown {
                let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
                rows.insert((text("command_uuid"), text("enrollment_id")), text("status"));
            }
            if shown.len() < PAGE {
                break;
            }
        }
        Ok(rows)
    }
}

fn command(uuid: &str, request_type: &str) -> anyhow::Result<Command> {
    let uuid = CommandUuid::parse(uuid).context("a UUID is a name")?;
    Ok(match request_type {
        "DeviceInformation" => Command::device_information(uuid, &["DeviceName", "OSVersion", "SerialNumber", "UDID"]),
        "InstallProfile" => Command::install_profile(uuid, &profile("org.rookery.demo.profile", "Demo", 600).to_xml()),
        other => Command::new(uuid, other, Dictionary::new())?,
    })
}

/// A harmless profile: the same each time, so that devices update it in place.
pub(super) fn profile(identifier: &str, name: &str, idle_seconds: u32) -> Profile {
    let settings = Dictionary::from_iter([("idleTime".to_owned(), Plist::Integer(idle_seconds.into()))]);
    let payload = Payload {
        payload_type: "com.apple.screensaver".into(),
        identifier: format!("{identifier}.screensaver"),
        uuid: derived_uuid(&[identifier, "screensaver"]),
        settings,
    };
    let others = Dictionary::from_iter([("PayloadDisplayName".to_owned(), Plist::String(name.into()))]);
    let uuid = derived_uuid(&[identifier]);
    Profile { identifier: identifier.into(), uuid, scope: None, payloads: vec![payload], others }
}
