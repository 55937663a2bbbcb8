//! The demo's bought devices: the token that lets the server see them, and how far they came.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::Value;

use super::admin::Admin;
use crate::sim::report::Progress;

const BASE: &str = "/api/v1/fleet";
/// What separates the fields of the one form that is sent.
const BOUNDARY: &str = "rookery-demo";

/// How far the devices came that were bought.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Bought {
    /// Devices that Apple's service told of: each became a pending host.
    pub(super) expected: u64,
    /// Hosts that are still pending.
    pub(super) pending: u64,
    /// Hosts that enrolled by themselves.
    pub(super) enrolled: u64,
    /// Devices that were told that they are configured.
    pub(super) configured: u64,
    /// Devices that were let go on from Setup Assistant.
    pub(super) released: u64,
}

impl Bought {
    /// Whether each of them came all the way.
    pub(super) fn is_complete(&self) -> bool {
        let came = [self.enrolled, self.configured, self.released];
        self.pending == 0 && came.iter().all(|count| *count == self.expected)
    }
}

impl Admin {
    /// The key (PEM) that a token has to be made for.
    pub(super) async fn abm_public_key(&self) -> anyhow::Result<Vec<u8>> {
        let answer = self.get(&format!("{BASE}/mdm/apple/abm_public_key")).await?;
        Ok(STANDARD.decode(answer["public_key"].as_str().unwrap_or_default())?)
    }

    /// Uploads a token.
    pub(super) async fn upload_abm_token(&self, file: &[u8]) -> anyhow::Result<()> {
        let head = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"token\"; filename=\"server_token.p7m\"\r\n\r\n"
        );
        let form = [head.as_bytes(), file, format!("\r\n--{BOUNDARY}--\r\n").as_bytes()].concat();
        self.post_form(&format!("{BASE}/abm_tokens"), BOUNDARY, form).await
    }

    /// How far the bought devices came, by the server's word and, whether they went on, by their own.
    pub(super) async fn bought(&self, progress: &Progress) -> anyhow::Result<Bought> {
        let tokens = self.get(&format!("{BASE}/abm_tokens")).await?;
        let counts = self.get(&format!("{BASE}/hosts/summary/mdm")).await?;
        let counts = &counts["mobile_device_management_enrollment_status"];
        let told = self.get(&format!("{BASE}/commands?request_type=DeviceConfigured&per_page=10000")).await?;
        let done = |row: &&Value| row["status"] == "Acknowledged";
        let count = |value: &Value| value.as_u64().unwrap_or_default();
        Ok(Bought {
            expected: count(&tokens["abm_tokens"][0]["device_count"]),
            pending: count(&counts["pending_hosts_count"]),
            enrolled: count(&counts["enrolled_automated_hosts_count"]),
            configured: told["results"].as_array().map_or(0, |rows| rows.iter().filter(done).count() as u64),
            released: progress.released,
        })
    }
}
