//! Windows PCs at a site: fleets that live on their own, and single ones that a proof drives by hand.

use std::time::Duration;

use reqwest::Method;
use rookery::sim::behaviour::Behaviour;
use rookery::sim::fleet::{Fleet, PcFleetConfig, Truth};
use rookery::sim::windows::device::enroll::DISCOVERY_PATH;
use rookery::sim::windows::device::{Pc, PcError, PcOptions, Proof as Way, Token};
use rookery::sim::windows::model::Model;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::admin::Target;
use super::site::{PATIENCE, RAMP};
use super::{Proof, Site};

/// How long a minute of a poll schedule takes.
const MINUTE: Duration = Duration::from_millis(500);
const TOKENS: &str = "/api/v1/fleet/windows_enrollment_tokens";

impl Site {
    /// Where PCs look for the server.
    pub(crate) fn discovery_url(&self) -> String {
        format!("{}{DISCOVERY_PATH}", self.server.url("device_url"))
    }

    /// What lets one PC enroll: as a new host, or as the one that is called so.
    pub(crate) async fn windows_token(&self, host: Option<&str>) -> String {
        let wish = match host {
            Some(name) => {
                let found = self.admin.get(&format!("/api/v1/fleet/hosts/identifier/{name}")).await.unwrap();
                json!({ "host_id": found["host"]["id"] })
            }
            None => json!({}),
        };
        let made = self.admin.ask(Method::POST, TOKENS, wish.to_string().into_bytes(), None).await.unwrap();
        made["token"].as_str().unwrap().to_owned()
    }

    /// PCs that live on their own; all of them are enrolled. None of them notices when it does a command twice.
    pub(crate) async fn pcs(&mut self, proof: &mut Proof, count: u32, behaviour: Behaviour) -> Fleet {
        let mut tokens = Vec::new();
        for _ in 0..count {
            tokens.push(self.windows_token(None).await);
        }
        let config = PcFleetConfig {
            first: 1,
            tokens,
            discovery_url: self.discovery_url(),
            anchors: vec![self.anchor().der().to_vec()],
            behaviour,
            proofs: vec![Way::Digest, Way::Certificate, Way::Signature],
            options: self.pc_options(),
            minute: MINUTE,
            seed: proof.seed,
            threads: 1,
            ramp: RAMP,
        };
        let fleet = Fleet::of_pcs(config).unwrap();
        let patience = PATIENCE + Duration::from_millis(100) * count;
        assert!(fleet.enrolled(patience, |_| ()).await, "not every PC enrolled: {:?}", fleet.progress());
        self.logs.extend(fleet.members().iter().map(|member| member.log.clone()));
        let enroll = fleet.progress().enroll;
        proof.tell(format!("{count} PCs enrolled, each within {:.0} ms (p99)", enroll.p99_ms));
        fleet
    }

    /// A PC that is enrolled, to be driven by hand.
    pub(crate) async fn pc(&mut self, number: u32, way: Way) -> Pc {
        let trust = self.trust();
        let options = PcOptions { proof: way, ..self.pc_options() };
        let mut pc = Pc::new(Model::new(7, number), trust, options, u64::from(number));
        self.logs.push(pc.log().clone());
        let (url, token) = (self.discovery_url(), Token::User(self.windows_token(None).await));
        pc_patiently(async || pc.enroll(&url, &token).await).await;
        pc_patiently(async || pc.work().await).await;
        pc
    }

    fn pc_options(&self) -> PcOptions {
        let devices = self.device_options();
        PcOptions { wire: devices.wire, keys: devices.keys, dedup: false, ..PcOptions::default() }
    }
}

/// Does it until it succeeds, as long as what stands in the way is passing.
pub(crate) async fn pc_patiently<T>(mut act: impl AsyncFnMut() -> Result<T, PcError>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        let error = match act().await {
            Ok(done) => return done,
            Err(error) => error,
        };
        assert!(error.is_passing().is_some() && Instant::now() < until, "the PC did not get on: {error}");
        sleep(Duration::from_millis(500)).await;
    }
}

/// The PC as a target of commands.
pub(crate) fn target(pc: &Pc) -> Target {
    Target { uuid: pc.model.device_id.clone(), channel: pc.log().own().unwrap() }
}

/// What devices of both platforms saw, with the statuses of PCs in the words of the server.
pub(crate) fn all_of(mut truth: Truth, mut pcs: Truth) -> Truth {
    let commands = pcs.devices.values_mut().flat_map(|device| device.channels.values_mut());
    for report in commands.flat_map(|commands| commands.values_mut()).flat_map(|command| &mut command.reports) {
        report.status = if report.status.starts_with('2') { "Acknowledged" } else { "Error" }.to_owned();
    }
    truth.devices.append(&mut pcs.devices);
    truth.findings.append(&mut pcs.findings);
    truth
}
