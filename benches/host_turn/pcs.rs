//! Windows devices that enrolled, and their sessions: two POSTs each, one without credentials and one with a digest.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use protocol::pki::NewKey;
use protocol::pki::scep::client::certification_request;
use protocol::windows::syncml::credentials::{Credentials, credentials, digest};

use super::client::Exchange;
use super::fleet::token;
use super::process::Server;
use super::{CONNECTIONS, Figure, MEASURE, of};

const ISSUE: &str = include_str!("../../protocol/tests/fixtures/windows/issue.xml");
const DEVICE_ID: &str = "1F7C3A6E9B204D58A1E4C0FF5B6D7E80";
/// The token in the fixture.
const TOKEN: &str = "b25lLXRpbWUtdG9rZW4tOWYyYw==";

/// A device that enrolled.
#[derive(Clone)]
pub(crate) struct Pc {
    id: String,
    secret: Credentials,
    session: u32,
}

/// Enrolls devices, each with a token that an admin made.
pub(crate) async fn enroll(server: &Server, count: usize) -> Vec<Pc> {
    let (bearer, mut admin) = (token(server), Exchange::open(server.admin).await);
    let mut exchange = Exchange::open(server.device).await;
    let key = NewKey::Rsa2048.generate().expect("a key");
    let csr = certification_request(&key, "device", None).expect("a request");
    let mut pcs = Vec::with_capacity(count);
    for number in 0..count {
        let made = format!(
            "POST /api/v1/fleet/windows_enrollment_tokens HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {bearer}\r\nContent-Length: 2\r\n\
             \r\n{{}}"
        );
        let made: serde_json::Value = serde_json::from_slice(&admin.send(made.as_bytes()).await).expect("JSON");
        let token = STANDARD.encode(made["token"].as_str().expect("a token"));
        let id = format!("{:032X}", number + 1);
        let request = ISSUE.replace(TOKEN, &token).replace("{csr}", &STANDARD.encode(&csr)).replace(DEVICE_ID, &id);
        let answer = exchange.send(&post("/api/mdm/microsoft/enroll", &request)).await;
        let document = between(&answer, "#base64binary\">", "</").expect("a provisioning document");
        let document = STANDARD.decode(document).expect("Base64");
        let own = between(&document, "name=\"AAUTHNAME\"", "</characteristic>").expect("credentials of its own");
        let password = between(own.as_bytes(), "name=\"AAUTHSECRET\" value=\"", "\"").expect("a password");
        let secret = credentials(&id, &password).expect("MD5");
        let mut pc = Pc { id, secret, session: 0 };
        pc.meet(&mut exchange).await;
        pcs.push(pc);
    }
    pcs
}

/// Sessions over and over for a while; what is counted is POSTs.
pub(crate) async fn sessions(server: &Server, pcs: &[Pc]) -> Figure {
    let (address, begun) = (server.device, Instant::now());
    let (warm, end) = (begun + Duration::from_secs(1), begun + Duration::from_secs(1) + MEASURE);
    let shares = (0..CONNECTIONS).map(|n| pcs.iter().skip(n).step_by(CONNECTIONS).cloned().collect::<Vec<Pc>>());
    let talkers: Vec<_> = shares
        .map(|mut share| {
            tokio::spawn(async move {
                let (mut exchange, mut sent) = (Exchange::open(address).await, 0_u64);
                'talk: loop {
                    for pc in &mut share {
                        let answer = pc.session(&mut exchange).await;
                        assert!(answer.ends_with("<Data>200</Data></Status><Final/></SyncBody></SyncML>"), "{answer}");
                        let now = Instant::now();
                        if now >= end {
                            break 'talk sent;
                        }
                        sent += 2 * u64::from(now >= warm);
                    }
                }
            })
        })
        .collect();
    tokio::time::sleep_until(warm.into()).await;
    let cpu = server.cpu();
    tokio::time::sleep_until(end.into()).await;
    let cpu = server.cpu() - cpu;
    let mut sent = 0;
    for talker in talkers {
        sent += talker.await.expect("a talker");
    }
    of(sent, MEASURE, cpu)
}

impl Pc {
    /// A session with nothing to do; returns its last answer.
    async fn session(&mut self, exchange: &mut Exchange) -> String {
        self.session += 1;
        let said = "<Alert><CmdID>2</CmdID><Data>1201</Data></Alert><Alert><CmdID>3</CmdID><Data>1224</Data><Item><Meta><Type \
                    xmlns=\"syncml:metinf\">com.microsoft/MDM/LoginStatus</Type></Meta><Data>user</Data></Item></Alert>";
        let challenge = exchange.send(&self.message(1, "", said)).await;
        let credentials = self.answer(&challenge);
        let answer = exchange.send(&self.message(1, &credentials, said)).await;
        String::from_utf8(answer).expect("UTF-8")
    }

    /// The first session: the server asks which device this is, and is told that it has no serial number.
    async fn meet(&mut self, exchange: &mut Exchange) {
        self.session += 1;
        let challenge = exchange.send(&self.message(1, "", "")).await;
        let credentials = self.answer(&challenge);
        exchange.send(&self.message(1, &credentials, "")).await;
        let said = "<Status><CmdID>2</CmdID><MsgRef>1</MsgRef><CmdRef>rookery-serial</CmdRef><Cmd>Get</Cmd><Data>404</Data></Status>";
        exchange.send(&self.message(2, &credentials, said)).await;
    }

    fn answer(&self, challenge: &[u8]) -> String {
        let nonce = between(challenge, "<NextNonce xmlns=\"syncml:metinf\">", "<").expect("a nonce");
        let digest = digest(&self.secret, &STANDARD.decode(nonce).expect("Base64")).expect("MD5");
        format!(
            "<Cred><Meta><Format xmlns=\"syncml:metinf\">b64</Format><Type xmlns=\"syncml:metinf\">syncml:auth-md5</Type></Meta>\
             <Data>{digest}</Data></Cred>"
        )
    }

    fn message(&self, number: u32, credentials: &str, said: &str) -> Vec<u8> {
        let message = format!(
            "<SyncML xmlns=\"SYNCML:SYNCML1.2\"><SyncHdr><VerDTD>1.2</VerDTD><VerProto>DM/1.2</VerProto><SessionID>{:X}</SessionID>\
             <MsgID>{number}</MsgID><Target><LocURI>https://x/api/mdm/microsoft/management</LocURI></Target><Source><LocURI>{}\
             </LocURI></Source>{credentials}</SyncHdr><SyncBody>{said}<Final/></SyncBody></SyncML>",
            self.session, self.id
        );
        post("/api/mdm/microsoft/management", &message)
    }
}

fn post(path: &str, body: &str) -> Vec<u8> {
    format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// What stands between two texts.
fn between(text: &[u8], before: &str, after: &str) -> Option<String> {
    let text = std::str::from_utf8(text).ok()?;
    let rest = &text[text.find(before)? + before.len()..];
    Some(rest[..rest.find(after)?].to_owned())
}
