//! P-05: no input aborts the process, and none is answered by a failure of ours.
//!
//! In this process: every parser of `protocol` takes inputs that are made of real messages (`protocol/tests/fuzz`), on
//! stacks of 512 KiB; a panic, or an input that takes longer than 50 ms in a release build, breaks the promise. Then a
//! server of its own gets the same over HTTPS: messages of an enrolled device and of an enrolled PC, signed and not signed, SCEP requests, enrollments of Windows, the
//! headers of proxies, and what admins send. It must neither panic nor answer 500, and be ready afterwards.
//!
//! Seen to fail when an integer that is none was a panic (protocol/src/apple/plist/scalar.rs): "profile panics: corpus/profile/…".

use hyper::Method;
use hyper::header::{CONTENT_TYPE, HeaderName};
use openssl::base64::encode_block;
use rookery::sim::apple::device::{ChannelNo, Destination, Device};
use rookery::sim::apple::model::Family;
use rookery::sim::windows::device::{Pc, Proof as Way, Token};
use rookery::sim::wire::{Request, Wire};
use serde_json::json;

use crate::harness::admin::Trouble;
use crate::harness::database::Kind;
use crate::harness::patience::enrolled;
use crate::harness::pcs::pc_patiently;
use crate::harness::{Proof, Site, prove};
use crate::parsers::mutator::{Mutator, Shape};
use crate::parsers::targets::{TARGETS, TOKENS};
use crate::parsers::{campaign, seeds, windows};

/// Where the server believes a certificate in a header: on loopback, as if the prover were a proxy.
const SETTINGS: [(&str, &str); 1] = [("ROOKERY_DEVICE__TRUSTED_PROXIES", "127.0.0.1")];

#[test]
fn p05_no_input_aborts_the_process() {
    prove("P-05", "no input aborts the process", async |proof| {
        if proof.kind == Kind::Sqlite {
            in_this_process(proof);
        }
        let mut site = Site::open(proof, &SETTINGS).await;
        let mut device = site.device(Family::Mac, 1);
        enrolled(&mut device, &site.enroll_url()).await;
        let mut pc = site.pc(1, Way::Certificate).await;
        let (mut stranger, pid) = (site.stranger(), site.server.pid());
        let mut mutator = Mutator::new(proof.seed);
        let (seeds, mut requests) = (Seeds::new(&device, &pc), 0);
        for round in 0..proof.size.pick(150, 3000) {
            requests += from_the_device(&mut device, &seeds, &mut mutator, proof).await;
            requests += from_the_pc(&mut pc, &seeds, &mut mutator, proof).await;
            requests += from_a_stranger(&site, &mut stranger, (&seeds, round), &mut mutator, proof).await;
            requests += from_an_admin(&site, &seeds, &mut mutator, proof).await;
        }
        proof.figure("requests", requests);
        proof.demand(site.server.is_up() && site.server.pid() == pid, "the server's process is another one");
        // What came through may have replaced the enroll secret, or let the device leave; enrolled anew, it is served.
        site.prepare().await;
        enrolled(&mut device, &site.enroll_url()).await;
        proof.demand(device.poll(ChannelNo::DEVICE).await.is_ok(), "the device is not served any more");
        let (url, token) = (site.discovery_url(), Token::User(site.windows_token(None).await));
        pc_patiently(async || pc.enroll(&url, &token).await).await;
        proof.demand(pc.work().await.is_ok(), "the PC is not served any more");
        site.close_after_refusals(proof).await;
    });
}

/// The parsers, without a server around them.
fn in_this_process(proof: &mut Proof) {
    let outcome = campaign::run(proof.size.pick(50_000, 5_000_000), proof.seed);
    let (target, length, worst) = outcome.worst;
    proof.figure("parsers", TARGETS.iter().map(|target| target.parsers.len()).sum::<usize>());
    proof.figure("inputs", outcome.inputs);
    proof.figure("inputs/s", (outcome.inputs as f64 / outcome.took.as_secs_f64()).round());
    proof.figure("slowest", format!("{worst:.1?} ({target}, {length} bytes)"));
    for finding in &outcome.findings {
        proof.demand(false, finding);
    }
    let fast = cfg!(debug_assertions) || outcome.slow == 0;
    proof.demand(fast, format!("{} inputs took longer than {:?}", outcome.slow, campaign::SLOW));
}

/// What hostile requests are made of.
struct Seeds {
    messages: Vec<Vec<u8>>,
    syncml: Vec<Vec<u8>>,
    soap: Vec<Vec<u8>>,
    signatures: Vec<Vec<u8>>,
    certificates: Vec<Vec<u8>>,
    scep: Vec<Vec<u8>>,
    commands: Vec<Vec<u8>>,
    admin: Vec<Vec<u8>>,
    pems: Vec<Vec<u8>>,
}

impl Seeds {
    /// Messages are in the device's own name, so that they reach its actor.
    fn new(device: &Device, pc: &Pc) -> Self {
        let rename_pc = |message: Vec<u8>| {
            // A PC that has left would be told nothing but to leave.
            let message = String::from_utf8_lossy(&message).replace("unenrollment.userrequest", "SCEP");
            let Some((before, rest)) = message.split_once("<Source><LocURI>") else { return message.into_bytes() };
            let after = rest.split_once("</LocURI>").map_or("", |(_, after)| after);
            format!("{before}<Source><LocURI>{}</LocURI>{after}", pc.model.device_id).into_bytes()
        };
        let rename = |message: Vec<u8>| {
            let message = String::from_utf8_lossy(&message).into_owned();
            let Some((before, rest)) = message.split_once("<key>UDID</key>") else { return message.into_bytes() };
            let after = rest.split_once("</string>").map_or("", |(_, after)| after);
            let udid = &device.model.udid;
            format!("{before}<key>UDID</key><string>{udid}</string>{after}").into_bytes()
        };
        let run = |command: &Vec<u8>| json!({ "command": encode_block(command), "host_uuids": ["A"], "priority": 1 });
        let commands = seeds::commands();
        Self {
            messages: seeds::messages().into_iter().map(rename).collect(),
            syncml: windows::seeds().into_iter().map(rename_pc).collect(),
            soap: seeds::windows_enrollment(),
            signatures: seeds::signatures(),
            certificates: seeds::certificates(),
            scep: seeds::scep_requests(),
            admin: commands.iter().map(|command| run(command).to_string().into_bytes()).collect(),
            commands,
            pems: seeds::pems(),
        }
    }
}

/// Messages that are signed as they should be, whatever they say. Returns how many.
async fn from_the_device(device: &mut Device, seeds: &Seeds, mutator: &mut Mutator, proof: &mut Proof) -> u32 {
    for to in [Destination::CheckIn, Destination::Command] {
        let body = mutator.next(&seeds.messages, TOKENS, Shape::Text);
        match device.send(to, body).await {
            Ok(reply) => proof.demand(reply.status != 500, "a signed message was answered 500"),
            Err(error) => proof.demand(false, format!("a signed message was not answered: {error}")),
        }
    }
    2
}

/// Messages of a PC that shows its certificate, whatever they say. Returns how many.
async fn from_the_pc(pc: &mut Pc, seeds: &Seeds, mutator: &mut Mutator, proof: &mut Proof) -> u32 {
    let body = mutator.next(&seeds.syncml, TOKENS, Shape::Text);
    match pc.post(body).await {
        Ok(reply) => proof.demand(reply.status != 500, "a message of a PC was answered 500"),
        Err(error) => proof.demand(false, format!("a message of a PC was not answered: {error}")),
    }
    1
}

/// Signatures, certificates in headers and SCEP requests that are none. Returns how many.
async fn from_a_stranger(
    site: &Site,
    stranger: &mut Wire,
    (seeds, round): (&Seeds, u32),
    mutator: &mut Mutator,
    proof: &mut Proof,
) -> u32 {
    let url = |path: &str| format!("{}{path}", site.server.url("device_url"));
    let signature = encode_block(&mutator.next(&seeds.signatures, TOKENS, Shape::Der));
    let certificate = encode_block(&mutator.next(&seeds.certificates, TOKENS, Shape::Der));
    let mdm = |name, value| Request::new(Method::PUT, &url("/mdm"), seeds::BODY).with_header(name, value);
    let mut requests = vec![
        mdm(HeaderName::from_static("mdm-signature"), signature),
        mdm(HeaderName::from_static("client-cert"), format!(":{certificate}:")),
    ];
    let syncml = mutator.next(&seeds.syncml, TOKENS, Shape::Text);
    requests.push(Request::new(Method::POST, &url("/ManagementServer/MDM.svc"), syncml));
    // Faults of enrollment are told with 500, by the protocol: what is looked for there is a panic or a server that is gone.
    let soap = mutator.next(&seeds.soap, TOKENS, Shape::Text);
    let path = ["discovery", "policy", "enroll"][round as usize % 3];
    let told = stranger.send(&Request::new(Method::POST, &url(&format!("/api/mdm/microsoft/{path}")), soap)).await;
    proof.demand(told.is_ok(), format!("{path} was not answered: {:?}", told.err()));
    // Every refusal of a SCEP request takes its time on purpose.
    if round.is_multiple_of(10) {
        let body = mutator.next(&seeds.scep, TOKENS, Shape::Der);
        let scep = Request::new(Method::POST, &url("/scep?operation=PKIOperation"), body);
        requests.push(scep.with_header(CONTENT_TYPE, "application/x-pki-message"));
    }
    for request in &requests {
        match stranger.send(request).await {
            Ok(reply) => proof.demand(reply.status != 500, format!("{} was answered 500", request.url)),
            Err(error) => proof.demand(false, format!("{} was not answered: {error}", request.url)),
        }
    }
    u32::try_from(requests.len() + 1).unwrap()
}

/// What an admin with a token sends by mistake. Returns how many.
async fn from_an_admin(site: &Site, seeds: &Seeds, mutator: &mut Mutator, proof: &mut Proof) -> u32 {
    let requests = [
        (Method::POST, "/api/v1/fleet/commands/run", mutator.next(&seeds.admin, TOKENS, Shape::Text)),
        (Method::POST, "/api/v1/fleet/spec/enroll_secret", mutator.next(&seeds.admin, TOKENS, Shape::Text)),
        (Method::PUT, "/v1/enqueue/A,B", mutator.next(&seeds.commands, TOKENS, Shape::Text)),
        (Method::PUT, "/v1/pushcert?new_topic=1", mutator.next(&seeds.pems, TOKENS, Shape::Bytes)),
    ];
    for (method, path, body) in requests {
        match site.admin.ask(method, path, body, None).await {
            Ok(_) => {}
            Err(Trouble::Refused(status, text)) => {
                // NanoMDM's API says 500 when no id could be served.
                let meant = status.as_u16() != 500 || path.starts_with("/v1/enqueue");
                proof.demand(meant, format!("{path} was answered {status}: {text}"));
            }
            Err(error) => proof.demand(false, format!("{path}: {error}")),
        }
    }
    4
}
