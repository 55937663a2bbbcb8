//! For tests: a tiny MDM server that enrolls devices, hands out commands, and misbehaves as a test wants it to.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use protocol::apple::check_in::{CheckIn, CheckInKind, Endpoint};
use protocol::apple::command::Command;
use protocol::apple::declarative::DeclarationSet;
use protocol::apple::enrollment_profile::{EnrollmentProfile, MdmPayload, ScepPayload};
use protocol::apple::message::Message;
use protocol::apple::profile::CONTENT_TYPE;
use protocol::apple::report::{Report, Status};
use protocol::apple::secret::Secret;
use protocol::pki::scep::{
    CONTENT_TYPE_CA_CERTIFICATE, CONTENT_TYPE_CAPABILITIES, CONTENT_TYPE_PKI_MESSAGE, Policy, Request, RequestKind,
    capabilities, reply_success,
};
use protocol::pki::signature::{header, sign_attached, verify};
use protocol::pki::{Certificate, Signer};

use super::device::{Device, DeviceOptions};
use super::model::{Family, Model};
use crate::sim::fixture::{Act, DAY, FakeServer, Seen, authority, now, reply, server, trust};
use crate::sim::keys::{KeyPool, Keys};

pub(in crate::sim) const TOPIC: &str = "com.apple.mgmt.External.simulated";
pub(in crate::sim) const CHALLENGE: &str = "let me in";
const MAX: usize = 1 << 20;
const SCEP_POLICY: Policy = Policy { allow_legacy: false };

type Hook = Box<dyn FnMut(&Seen) -> Option<Act> + Send>;
type Edit = Box<dyn Fn(&mut EnrollmentProfile) + Send>;

/// The server.
pub(in crate::sim) struct FakeMdm {
    server: FakeServer,
    state: Arc<Mutex<State>>,
}

/// What it knows and does.
#[derive(Default)]
pub(in crate::sim) struct State {
    /// Answers in its stead.
    pub(in crate::sim) hook: Option<Hook>,
    /// Changes the profile before it is signed.
    pub(in crate::sim) edit: Option<Edit>,
    /// Signs profiles in its stead.
    pub(in crate::sim) profile_signer: Option<Signer>,
    /// Commands by channel, the next one first.
    pub(in crate::sim) queues: HashMap<String, Vec<Pending>>,
    /// What it heard.
    pub(in crate::sim) check_ins: Vec<CheckIn>,
    pub(in crate::sim) reports: Vec<Report>,
    /// Who signed each message, in order.
    pub(in crate::sim) signers: Vec<Option<Certificate>>,
    pub(in crate::sim) declarations: DeclarationSet,
    pub(in crate::sim) bodies: HashMap<String, String>,
    pub(in crate::sim) bootstrap_token: Option<Vec<u8>>,
    pub(in crate::sim) scep_requests: Vec<Request>,
}

/// A command that has not ended.
pub(in crate::sim) struct Pending {
    command: Command,
    /// Not again before the next session.
    rests: bool,
}

impl FakeMdm {
    pub(in crate::sim) async fn start() -> Self {
        let state: Arc<Mutex<State>> = Arc::default();
        let shared = state.clone();
        let server = FakeServer::start(move |seen| {
            let mut state = shared.lock().unwrap();
            let hooked = state.hook.as_mut().and_then(|hook| hook(seen));
            hooked.unwrap_or_else(|| state.answer(seen))
        })
        .await;
        Self { server, state }
    }

    pub(in crate::sim) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(in crate::sim) fn enroll_url(&self) -> String {
        self.server.url("/enroll")
    }

    pub(in crate::sim) fn seen(&self) -> Vec<Seen> {
        self.server.seen()
    }

    /// Answers in the server's stead, where the hook says something.
    pub(in crate::sim) fn hook(&self, hook: impl FnMut(&Seen) -> Option<Act> + Send + 'static) {
        self.state().hook = Some(Box::new(hook));
    }

    pub(in crate::sim) fn edit_profile(&self, edit: impl Fn(&mut EnrollmentProfile) + Send + 'static) {
        self.state().edit = Some(Box::new(edit));
    }

    pub(in crate::sim) fn enqueue(&self, channel: &str, command: Command) {
        self.state().queues.entry(channel.to_owned()).or_default().push(Pending { command, rests: false });
    }

    /// The profile that it serves now, unsigned.
    pub(in crate::sim) fn profile(&self) -> EnrollmentProfile {
        let host = format!("localhost:{}", self.server.port);
        self.state().profile(&host)
    }
}

impl State {
    fn answer(&mut self, seen: &Seen) -> Act {
        let path = seen.target.split('?').next().unwrap_or_default();
        match path {
            "/enroll" => {
                let profile = self.profile(&seen.headers["host"]).to_xml().unwrap();
                let signer = self.profile_signer.as_ref().unwrap_or(server());
                reply(200, &[("Content-Type", CONTENT_TYPE)], sign_attached(&profile, signer, &[]).unwrap())
            }
            "/scep" => self.scep(seen),
            "/mdm" => self.mdm(seen),
            _ => reply(404, &[], ""),
        }
    }

    fn profile(&self, host: &str) -> EnrollmentProfile {
        let mut scep = ScepPayload::new(&format!("https://{host}/scep"));
        scep.challenge = Some(Secret::new(CHALLENGE.to_owned()));
        scep.name = Some("Simulation CA".to_owned());
        scep.ca_fingerprint = Some(openssl::sha::sha1(authority().certificate().der()).to_vec());
        let mdm = MdmPayload::new(TOPIC, &format!("https://{host}/mdm"));
        let mut profile = EnrollmentProfile::new("com.example.enrollment", "1", scep, mdm);
        if let Some(edit) = &self.edit {
            edit(&mut profile);
        }
        profile
    }

    fn scep(&mut self, seen: &Seen) -> Act {
        if seen.target.contains("GetCACaps") {
            return reply(200, &[("Content-Type", CONTENT_TYPE_CAPABILITIES)], capabilities(&SCEP_POLICY));
        }
        if seen.target.contains("GetCACert") {
            return reply(200, &[("Content-Type", CONTENT_TYPE_CA_CERTIFICATE)], authority().certificate().der());
        }
        let request = Request::open(&seen.body, authority().signer(), &SCEP_POLICY).unwrap();
        if request.kind == RequestKind::Enroll {
            assert!(request.challenge.as_ref().unwrap().matches(CHALLENGE));
        }
        let issued = authority().issue_identity(&request.spki, "device", now(), DAY).unwrap();
        let answer = reply_success(&request, &issued, &[], authority().signer()).unwrap();
        self.scep_requests.push(request);
        reply(200, &[("Content-Type", CONTENT_TYPE_PKI_MESSAGE)], answer)
    }

    fn mdm(&mut self, seen: &Seen) -> Act {
        let signer = seen.headers.get("mdm-signature").map(|text| {
            let verified = verify(&header(text.as_bytes()).unwrap(), Some(&seen.body)).unwrap();
            assert!(verified.signer.is_issued_by(authority().certificate()));
            verified.signer
        });
        self.signers.push(signer);
        match Message::parse(&seen.body, MAX).unwrap() {
            Message::CheckIn(check_in) => self.check_in(check_in),
            Message::Report(report) => self.next(report),
        }
    }

    fn check_in(&mut self, check_in: CheckIn) -> Act {
        use protocol::apple::check_in::reply as replies;
        let body = match &check_in.kind {
            CheckInKind::SetBootstrapToken(token) => {
                self.bootstrap_token = token.as_ref().map(|token| token.expose().clone());
                Vec::new()
            }
            CheckInKind::GetBootstrapToken { .. } => {
                self.bootstrap_token.as_deref().map(replies::bootstrap_token).unwrap_or_default()
            }
            CheckInKind::UserAuthenticate { digest_response: None } => replies::digest_challenge(""),
            CheckInKind::GetToken(_) => replies::token_data(b"jwt"),
            CheckInKind::DeclarativeManagement(Endpoint::Tokens) => self.declarations.tokens_json(now()),
            CheckInKind::DeclarativeManagement(Endpoint::DeclarationItems) => {
                self.declarations.declaration_items_json()
            }
            CheckInKind::DeclarativeManagement(Endpoint::Declaration { identifier, .. }) => {
                match self.bodies.get(identifier) {
                    Some(body) => body.clone().into_bytes(),
                    None => return reply(404, &[], ""),
                }
            }
            _ => Vec::new(),
        };
        self.check_ins.push(check_in);
        reply(200, &[], body)
    }

    fn next(&mut self, report: Report) -> Act {
        let queue = self.queues.entry(report.channel.id.as_str().to_owned()).or_default();
        let uuid = report.command_uuid.as_ref();
        match report.status {
            Status::Idle => queue.iter_mut().for_each(|pending| pending.rests = false),
            Status::NotNow => {}
            _ => queue.retain(|pending| Some(pending.command.uuid()) != uuid),
        }
        self.reports.push(report);
        match queue.iter_mut().find(|pending| !pending.rests) {
            Some(pending) => {
                pending.rests = true;
                reply(200, &[], pending.command.to_xml())
            }
            None => reply(200, &[], ""),
        }
    }
}

/// A device of a family; keys come from one pool, because tests make many.
pub(in crate::sim) fn device(family: Family, number: u32) -> Device {
    Device::new(Model::new(family, 1, number), trust(), options(), u64::from(number))
}

pub(in crate::sim) fn options() -> DeviceOptions {
    DeviceOptions { keys: keys(), ..DeviceOptions::default() }
}

pub(in crate::sim) fn keys() -> Keys {
    static POOL: std::sync::OnceLock<Arc<KeyPool>> = std::sync::OnceLock::new();
    Keys::Pool(POOL.get_or_init(|| Arc::new(KeyPool::new(1000))).clone())
}
