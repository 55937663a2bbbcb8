//! Enrolled devices and their requests, signed beforehand so that the client costs little while the server is measured.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use openssl::pkey::{PKey, Private};
use protocol::pki::scep::client::{Protection, Reply, Request, certification_request, read_ca_certificates};
use protocol::pki::scep::{Cipher, RequestKind};
use protocol::pki::signature::sign_detached;
use protocol::pki::{Certificate, Digest, NewKey, Signer, self_signed};
use protocol::time::Timestamp;

use super::client::Exchange;
use super::process::Server;

/// The challenge that the measured server always accepts.
pub(crate) const CHALLENGE: &str = "a-challenge-for-benches";

/// A request, and the CommandUUID that its answer must bring.
pub(crate) type Step = (Vec<u8>, Option<String>);

/// The three requests of one whole command.
pub(crate) struct Whole {
    pub(crate) enqueue: Vec<u8>,
    pub(crate) idle: Vec<u8>,
    pub(crate) report: Vec<u8>,
    pub(crate) uuid: String,
}

/// Devices that enrolled.
pub(crate) struct Fleet {
    devices: Vec<Device>,
}

struct Device {
    udid: String,
    signer: Signer,
}

impl Fleet {
    /// Enrolls devices over SCEP.
    pub(crate) async fn enroll(server: &Server, count: usize) -> Self {
        let mut exchange = Exchange::open(server.device).await;
        let ca = exchange.send(&get("/scep?operation=GetCACert")).await;
        let ca =
            read_ca_certificates(&ca).and_then(|certificates| certificates.into_iter().next()).expect("the authority");
        let mut devices = Vec::with_capacity(count);
        for number in 0..count {
            let key = NewKey::Rsa2048.generate().expect("a key");
            let device = Device::enroll(&mut exchange, number, &key, &ca).await;
            devices.push(device);
        }
        Self { devices }
    }

    /// One signed Idle of each device.
    pub(crate) fn polls(&self) -> Vec<Vec<u8>> {
        self.devices.iter().map(|device| device.request(&device.report("Idle", None))).collect()
    }

    /// Queues commands for all devices through the admin API; returns their names in order.
    pub(crate) async fn queue_commands(&self, server: &Server, count: usize) -> Vec<String> {
        let (token, mut exchange) = (token(server), Exchange::open(server.admin).await);
        let uuids: Vec<String> = (0..count).map(|number| format!("bench-{number:04}")).collect();
        let hosts: Vec<&str> = self.devices.iter().map(|device| device.udid.as_str()).collect();
        for uuid in &uuids {
            exchange.send(&enqueue(&token, uuid, &hosts)).await;
        }
        uuids
    }

    /// For each device, for each of its own commands: the admin's request, the device's Idle, and its report of 2 KB.
    pub(crate) fn whole_commands(&self, server: &Server, count: usize) -> Vec<Vec<Whole>> {
        let token = token(server);
        let whole = |device: &Device| {
            let idle = device.request(&device.report("Idle", None));
            let one = |number: usize| {
                let uuid = format!("{}-{number}", device.udid);
                let profiles =
                    format!("<key>ProfileList</key><array>{}</array>", "<string>profile</string>".repeat(80));
                let report = device.plist(&format!(
                    "<key>Status</key><string>Acknowledged</string><key>CommandUUID</key><string>{uuid}</string>{profiles}"
                ));
                let enqueue = enqueue(&token, &uuid, &[&device.udid]);
                Whole { enqueue, idle: idle.clone(), report: device.request(&report), uuid }
            };
            (0..count).map(one).collect()
        };
        self.devices.iter().map(whole).collect()
    }

    /// For each device: an Idle, then an acknowledgement of every command, each of which brings the next one.
    pub(crate) fn chains(&self, uuids: &[String]) -> Vec<Vec<Step>> {
        let chain = |device: &Device| {
            let idle = (device.request(&device.report("Idle", None)), uuids.first().cloned());
            let reports = uuids.iter().enumerate().map(|(index, uuid)| {
                let report = device.report("Acknowledged", Some(uuid));
                (device.request(&report), uuids.get(index + 1).cloned())
            });
            std::iter::once(idle).chain(reports).collect()
        };
        self.devices.iter().map(chain).collect()
    }
}

/// A command that does the same for hosts, as the admin API takes it.
fn enqueue(token: &str, uuid: &str, hosts: &[&str]) -> Vec<u8> {
    let command = format!(
        "<plist version=\"1.0\"><dict><key>Command</key><dict><key>RequestType</key><string>ProfileList</string>\
         </dict><key>CommandUUID</key><string>{uuid}</string></dict></plist>"
    );
    let body = serde_json::json!({ "command": STANDARD.encode(command), "host_uuids": hosts }).to_string();
    let length = body.len();
    format!(
        "POST /api/v1/fleet/commands/run HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// Polls without a signature, of the same size, for the bare handler.
pub(crate) fn unsigned_polls(count: usize) -> Vec<Vec<u8>> {
    let key = NewKey::Rsa2048.generate().expect("a key");
    let signer = self_signed(key, "bare", now(), Duration::from_secs(86_400)).expect("a certificate");
    let device = Device { udid: udid(0), signer };
    let poll = device.request(&device.report("Idle", None));
    vec![poll; count]
}

impl Device {
    async fn enroll(exchange: &mut Exchange, number: usize, key: &PKey<Private>, ca: &Certificate) -> Self {
        let temporary = self_signed(key.clone(), "device", now(), Duration::from_secs(86_400)).expect("a certificate");
        let csr = certification_request(key, "device", Some(CHALLENGE)).expect("a request");
        let protection = Protection { cipher: Cipher::Aes128, digest: Digest::Sha256 };
        let request = Request::new(RequestKind::Enroll, &csr, &temporary, ca, protection).expect("a message");
        let message = request.message();
        let head = format!(
            "POST /scep?operation=PKIOperation HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
            message.len()
        );
        let reply = exchange.send(&[head.as_bytes(), message].concat()).await;
        let Ok(Reply::Issued(mut issued)) = request.read_reply(&reply, &temporary, ca) else {
            unreachable!("the server grants the static challenge")
        };
        let certificate = issued.remove(0);
        let device = Self { udid: udid(number), signer: Signer::new(certificate, key.clone()).expect("a signer") };
        let topic = "<key>Topic</key><string>com.apple.mgmt.External.bench</string>";
        let facts = format!(
            "<key>SerialNumber</key><string>BENCH{number:07}</string><key>Model</key><string>Mac15,3</string>\
             <key>DeviceName</key><string>Mac {number}</string>"
        );
        exchange.send(&device.request(&device.message("Authenticate", &format!("{topic}{facts}")))).await;
        let token = STANDARD.encode([7; 32]);
        let push = format!("<key>Token</key><data>{token}</data><key>PushMagic</key><string>magic</string>");
        exchange.send(&device.request(&device.message("TokenUpdate", &format!("{topic}{push}")))).await;
        device
    }

    fn message(&self, message_type: &str, more: &str) -> String {
        let keys = format!("<key>MessageType</key><string>{message_type}</string>{more}");
        self.plist(&keys)
    }

    fn report(&self, status: &str, uuid: Option<&str>) -> String {
        let uuid = uuid.map(|uuid| format!("<key>CommandUUID</key><string>{uuid}</string>")).unwrap_or_default();
        self.plist(&format!("<key>Status</key><string>{status}</string>{uuid}"))
    }

    fn plist(&self, keys: &str) -> String {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<plist version=\"1.0\"><dict>{keys}<key>UDID</key>\
             <string>{}</string></dict></plist>",
            self.udid
        )
    }

    /// A whole signed request.
    fn request(&self, body: &str) -> Vec<u8> {
        let signature = STANDARD.encode(sign_detached(body.as_bytes(), &self.signer, true).expect("a signature"));
        format!(
            "PUT /mdm/apple/mdm HTTP/1.1\r\nHost: localhost\r\nUser-Agent: MDM/1.0\r\nMdm-Signature: {signature}\r\n\
             Content-Type: application/x-apple-aspen-mdm\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    }
}

fn udid(number: usize) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").into_bytes()
}

fn now() -> Timestamp {
    std::time::SystemTime::now().into()
}

/// An API token of the server.
pub(crate) fn token(server: &Server) -> String {
    let made = std::process::Command::new(env!("CARGO_BIN_EXE_rookery"))
        .args(["admin", "token", &uuid::Uuid::new_v4().to_string(), "--data"])
        .arg(&server.data)
        .output()
        .expect("a token");
    String::from_utf8_lossy(&made.stdout).trim().to_owned()
}
