//! The server's process is killed with `kill -9`, again and again, while devices work.

use std::path::{Path, PathBuf};
use std::process::{Child, Command as Process};
use std::sync::Arc;
use std::time::Duration;

use protocol::apple::command::Command;
use protocol::pki::Certificate;
use reqwest::{Client, Method};
use rookery::sim::apple::device::{Answer, ChannelNo, Device, DeviceError, DeviceOptions};
use rookery::sim::apple::keys::{KeyPool, Keys};
use rookery::sim::apple::model::{Family, Model};
use rookery::sim::wire::Trust;
use serde_json::{Value, json};

use crate::world::fresh_uuid;

const CHALLENGE: &str = "a-static-challenge-for-tests";
const SECRET: &str = "an-enroll-secret-for-tests";

/// A server process, and how to reach it.
struct Server {
    child: Child,
    data: PathBuf,
    info: Value,
    token: String,
    client: Client,
}

impl Server {
    fn start(data: &Path, listen: Option<&Value>) -> Self {
        let token_file = data.join("token");
        if !token_file.exists() {
            let made = rookery(data).args(["admin", "token", "test"]).output().unwrap();
            std::fs::write(&token_file, made.stdout).unwrap();
        }
        let info_file = data.join("info.json");
        let _ = std::fs::remove_file(&info_file);
        let mut command = rookery(data);
        let address = |key: &str| listen.and_then(|info| info[key].as_str()).unwrap_or("127.0.0.1:0").to_owned();
        for listener in ["device", "admin", "ops"] {
            command.env(format!("ROOKERY_{}__LISTEN", listener.to_uppercase()), address(listener));
        }
        let child = command.args(["serve", "--info"]).arg(&info_file).spawn().unwrap();
        let info = loop {
            match std::fs::read(&info_file) {
                Ok(text) => break serde_json::from_slice::<Value>(&text).unwrap(),
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        let ca = std::fs::read(info["ca_file"].as_str().unwrap()).unwrap();
        let ca = reqwest::Certificate::from_pem(&ca).unwrap();
        let client = Client::builder().tls_certs_only([ca]).no_proxy().build().unwrap();
        let token = std::fs::read_to_string(token_file).unwrap().trim().to_owned();
        Self { child, data: data.to_owned(), info, token, client }
    }

    /// Kills the process and starts another one on the same rows and ports.
    fn kill_and_start(mut self) -> Self {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        Self::start(&self.data, Some(&self.info))
    }

    async fn ask(&self, method: Method, path: &str, body: String) -> Value {
        let url = format!("{}{path}", self.info["admin_url"].as_str().unwrap());
        let request = self.client.request(method, url).bearer_auth(&self.token).body(body);
        request.send().await.unwrap().error_for_status().unwrap().json_value().await
    }
}

/// Reads an answer as JSON.
trait JsonValue {
    async fn json_value(self) -> Value;
}

impl JsonValue for reqwest::Response {
    async fn json_value(self) -> Value {
        serde_json::from_slice(&self.bytes().await.unwrap()).unwrap()
    }
}

fn rookery(data: &Path) -> Process {
    let mut command = Process::new(env!("CARGO_BIN_EXE_rookery"));
    command.env("ROOKERY_DATA_DIR", data).env("ROOKERY_LOG__FILTER", "off");
    command.env("ROOKERY_SCEP__STATIC_CHALLENGE", CHALLENGE).env("ROOKERY_APNS__URL", "https://localhost:1");
    command
}

fn device(server: &Server, number: u32) -> Device {
    let ca = Certificate::from_pem(&std::fs::read(server.info["ca_file"].as_str().unwrap()).unwrap()).unwrap();
    let keys = Keys::Pool(Arc::new(KeyPool::new(10)));
    let options = DeviceOptions { dedup: false, keys, ..DeviceOptions::default() };
    Device::new(Model::new(Family::Mac, 7, number), Trust::new([ca.der()]).unwrap(), options, u64::from(number))
}

#[actix::test]
async fn what_was_answered_with_200_survives_kill_9() {
    let data = std::env::temp_dir().join(format!("rookery-killed-{}", uuid::Uuid::new_v4()));
    std::fs::create_dir_all(&data).unwrap();
    let mut server = Server::start(&data, None);
    let push = crate::world::push_certificate_pem(crate::world::TOPIC);
    server.ask(Method::PUT, "/v1/pushcert", push).await;
    let spec = json!({ "spec": { "secrets": [{ "secret": SECRET }] } }).to_string();
    server.ask(Method::POST, "/api/v1/fleet/spec/enroll_secret", spec).await;
    let mut device = device(&server, 1);
    let url = format!("{}/api/mdm/apple/enroll?token={SECRET}", server.info["device_url"].as_str().unwrap());
    device.enroll(&url).await.unwrap();

    let mut queued = Vec::new();
    for round in 0..6 {
        for _ in 0..4 {
            let uuid = fresh_uuid();
            let command = Command::new(uuid.clone(), "SecurityInfo", Default::default()).unwrap();
            let command = openssl::base64::encode_block(&command.to_xml());
            let body = json!({ "command": command, "host_uuids": [device.model.udid] }).to_string();
            server.ask(Method::POST, "/api/v1/fleet/commands/run", body).await;
            queued.push(uuid);
        }
        if round % 2 == 0 {
            server = server.kill_and_start(); // right after the admin's 200
        }
        let first = until_answered(&mut device, async |device| device.poll(ChannelNo::DEVICE).await).await;
        server = server.kill_and_start(); // while the command is on its way
        if let Some(first) = first {
            let uuid = first.uuid().clone();
            let report =
                async |device: &mut Device| device.report(ChannelNo::DEVICE, &uuid, &Answer::acknowledged()).await;
            until_answered(&mut device, report).await;
        }
        if round % 2 == 1 {
            server = server.kill_and_start(); // right after the device's 200
        }
    }
    while let Some(next) = until_answered(&mut device, async |device| device.poll(ChannelNo::DEVICE).await).await {
        let uuid = next.uuid().clone();
        let report = async |device: &mut Device| device.report(ChannelNo::DEVICE, &uuid, &Answer::acknowledged()).await;
        until_answered(&mut device, report).await;
    }
    for uuid in &queued {
        let path = format!("/api/v1/fleet/commands/results?command_uuid={uuid}");
        let results = server.ask(Method::GET, &path, String::new()).await;
        assert_eq!(results["results"][0]["status"], "Acknowledged", "{uuid}");
    }
    let unenrolls: Vec<_> = device.log().findings().into_iter().filter(|one| one.text.contains("40")).collect();
    assert_eq!(unenrolls, vec![], "no failure of ours un-enrolls a device");
    server.child.kill().unwrap();
    server.child.wait().unwrap();
    std::fs::remove_dir_all(&data).unwrap();
}

/// Sends a message until it is answered; a server that is being started costs only time.
async fn until_answered<T>(device: &mut Device, send: impl AsyncFn(&mut Device) -> Result<T, DeviceError>) -> T {
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
