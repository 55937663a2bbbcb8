//! A server in a process of its own, which can be killed and started again on the same rows and ports.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Process, Stdio};
use std::sync::Arc;
use std::time::Duration;

use protocol::pki::Certificate;
use reqwest::{Client, Method};
use rookery::sim::apple::device::{Device, DeviceError, DeviceOptions};
use rookery::sim::apple::model::{Family, Model};
use rookery::sim::keys::{KeyPool, Keys};
use rookery::sim::wire::Trust;
use serde_json::{Value, json};

use crate::profiles_api::form_type;

const CHALLENGE: &str = "a-static-challenge-for-tests";
/// What a person shows to be given an enrollment profile.
pub(crate) const SECRET: &str = "an-enroll-secret-for-tests";

/// Where a server keeps what it knows, and what it writes about it.
#[derive(Clone)]
pub(crate) struct Site {
    pub(crate) data: PathBuf,
    pub(crate) database_url: String,
    pub(crate) filter: &'static str,
    /// More settings, by their names in the environment.
    pub(crate) more: Vec<(&'static str, String)>,
}

/// A server process, and how to reach it.
pub(crate) struct Server {
    pub(crate) child: Child,
    pub(crate) info: Value,
    pub(crate) token: String,
    site: Site,
    client: Client,
}

impl Site {
    /// A new directory.
    pub(crate) fn new(database_url: &str, filter: &'static str) -> Self {
        let data = std::env::temp_dir().join(format!("rookery-process-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir_all(&data).unwrap();
        Self { data, database_url: database_url.to_owned(), filter, more: Vec::new() }
    }

    /// The program with this site's settings.
    pub(crate) fn rookery(&self) -> Process {
        let mut command = Process::new(env!("CARGO_BIN_EXE_rookery"));
        command.env("ROOKERY_DATA_DIR", &self.data).env("ROOKERY_LOG__FILTER", self.filter);
        command.env("ROOKERY_DATABASE_URL", &self.database_url).env("ROOKERY_EGRESS__ALLOW", "127.0.0.1");
        command.env("ROOKERY_SCEP__STATIC_CHALLENGE", CHALLENGE).env("ROOKERY_APNS__URL", "https://localhost:1");
        command.envs(self.more.iter().map(|(name, value)| (*name, value)));
        command
    }

    /// What `rookery admin …` prints.
    pub(crate) fn admin(&self, arguments: &[&str]) -> String {
        let done = self.rookery().arg("admin").args(arguments).output().unwrap();
        assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    }

    /// The file with everything that servers of this site wrote.
    pub(crate) fn log(&self) -> PathBuf {
        self.data.join("server.log")
    }

    /// Starts a server.
    pub(crate) fn start(&self, listen: Option<&Value>) -> Server {
        let token_file = self.data.join("token");
        if !token_file.exists() {
            std::fs::write(&token_file, self.admin(&["token", "test"])).unwrap();
        }
        let info_file = self.data.join("info.json");
        let _ = std::fs::remove_file(&info_file);
        let mut command = self.rookery();
        let address = |key: &str| listen.and_then(|info| info[key].as_str()).unwrap_or("127.0.0.1:0").to_owned();
        for listener in ["device", "admin", "ops"] {
            command.env(format!("ROOKERY_{}__LISTEN", listener.to_uppercase()), address(listener));
        }
        let log = File::options().create(true).append(true).open(self.log()).unwrap();
        let command = command.args(["serve", "--info"]).arg(&info_file).stderr(Stdio::from(log));
        let mut child = command.spawn().unwrap();
        let info = loop {
            assert!(child.try_wait().unwrap().is_none(), "the server does not start: {}", self.log().display());
            match std::fs::read(&info_file) {
                Ok(text) => break serde_json::from_slice::<Value>(&text).unwrap(),
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        let client = client(Path::new(info["ca_file"].as_str().unwrap()));
        let token = std::fs::read_to_string(token_file).unwrap().trim().to_owned();
        Server { child, info, token, site: self.clone(), client }
    }
}

impl Server {
    /// Kills the process and starts another one on the same rows and ports.
    pub(crate) fn kill_and_start(mut self) -> Self {
        self.kill();
        self.site.start(Some(&self.info))
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// A request of the admin.
    pub(crate) async fn ask(&self, method: Method, path: &str, body: String) -> Value {
        let url = format!("{}{path}", self.info["admin_url"].as_str().unwrap());
        let request = self.client.request(method, url).bearer_auth(&self.token).body(body);
        let answer = request.send().await.unwrap().error_for_status().unwrap();
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
    }

    /// Sends a form of the admin.
    pub(crate) async fn upload(&self, path: &str, form: Vec<u8>) -> Value {
        let url = format!("{}{path}", self.info["admin_url"].as_str().unwrap());
        let request = self.client.post(url).bearer_auth(&self.token).header("content-type", form_type()).body(form);
        let answer = request.send().await.unwrap().error_for_status().unwrap();
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
    }

    /// A figure of the operators' page.
    pub(crate) async fn figure(&self, name: &str) -> u64 {
        let url = format!("{}/metrics", self.info["ops_url"].as_str().unwrap());
        let page = self.client.get(url).send().await.unwrap().text().await.unwrap();
        let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned));
        value.unwrap().parse().unwrap()
    }

    /// Uploads the push certificate and makes the enroll secret, as an admin would.
    pub(crate) async fn prepare(&self) {
        let push = crate::world::push_certificate_pem(crate::world::TOPIC);
        self.ask(Method::PUT, "/v1/pushcert", push).await;
        let spec = json!({ "spec": { "secrets": [{ "secret": SECRET }] } }).to_string();
        self.ask(Method::POST, "/api/v1/fleet/spec/enroll_secret", spec).await;
    }

    /// A Mac that has enrolled.
    pub(crate) async fn enrolled(&self, number: u32) -> Device {
        let mut device = self.device(number);
        let url = format!("{}/api/mdm/apple/enroll?token={SECRET}", self.info["device_url"].as_str().unwrap());
        enroll(&mut device, &url).await;
        device
    }

    /// A Mac out of the box.
    pub(crate) fn device(&self, number: u32) -> Device {
        let ca = Certificate::from_pem(&std::fs::read(self.info["ca_file"].as_str().unwrap()).unwrap()).unwrap();
        let keys = Keys::Pool(Arc::new(KeyPool::new(10)));
        let options = DeviceOptions { dedup: false, keys, ..DeviceOptions::default() };
        let (model, trust) = (Model::new(Family::Mac, 7, number), Trust::new([ca.der()]).unwrap());
        Device::new(model, trust, options, u64::from(number))
    }
}

/// Enrolls a device; a server that is being started costs only time.
pub(crate) async fn enroll(device: &mut Device, url: &str) {
    until_answered(device, async |device| device.enroll(url).await).await;
}

/// Sends a message until it is answered; a server that is being started costs only time.
pub(crate) async fn until_answered<T>(
    device: &mut Device,
    send: impl AsyncFn(&mut Device) -> Result<T, DeviceError>,
) -> T {
    loop {
        match send(device).await {
            Ok(answer) => return answer,
            Err(error) if error.is_passing().is_some() => {
                device.wire_mut().disconnect();
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(error) => unreachable!("{error}"),
        }
    }
}

fn client(ca_file: &Path) -> Client {
    let ca = reqwest::Certificate::from_pem(&std::fs::read(ca_file).unwrap()).unwrap();
    Client::builder().tls_certs_only([ca]).no_proxy().build().unwrap()
}
