use protocol::apple::dep::answers::{
    Account, Answer, Assigned, DefinedProfile, DeviceDetails, DevicesPage, OpType, Outcome, ProfileStatus, Refusal,
};
use protocol::apple::dep::oauth::authorization;
use protocol::apple::dep::profile::{Additions, SetupProfile};
use protocol::apple::dep::token::{ServerToken, TokenError};
use protocol::apple::dep::{CONTENT_TYPE, PROTOCOL_VERSION, SESSION_HEADER, VERSION_HEADER};
use protocol::pki::{NewKey, self_signed};
use reqwest::{Certificate, Client, Method, RequestBuilder};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering::Relaxed};

use super::super::fixture::{DAY, authority, now, server};
use super::*;

const URL: &str = "https://mdm.example.com/enroll";

/// A service with one organization, and a server that speaks to it as it should.
struct Stage {
    service: AssignmentService,
    organization: OrganizationId,
    moved: Arc<AtomicI64>,
    client: Client,
    key: Signer,
    token: ServerToken,
    session: String,
    nonce: AtomicU32,
}

/// What a call was answered.
type Answered = (u16, Vec<u8>);

impl Stage {
    async fn new(devices: u32) -> Self {
        let moved = Arc::new(AtomicI64::new(0));
        let seen = moved.clone();
        let clock = Clock::new(move || Timestamp::from_millis(now().millis() + seen.load(Relaxed)));
        let config = AssignmentConfig::local(server().clone(), clock, 7);
        let service = AssignmentService::start(config, &Handle::current()).unwrap();
        let organization = service.found("Example");
        service.add_devices(organization, facts(7, 0..devices));
        let ca = Certificate::from_der(authority().certificate().der()).unwrap();
        let agent = Client::builder().tls_certs_only([ca]).no_proxy().user_agent("Rookery/1");
        let key = self_signed(NewKey::Rsa2048.generate().unwrap(), "Rookery", now(), DAY).unwrap();
        let token = token(&service, organization, &key).unwrap();
        let (client, nonce) = (agent.build().unwrap(), AtomicU32::new(0));
        let mut stage = Self { service, organization, moved, client, key, token, session: String::new(), nonce };
        stage.session = stage.open().await.unwrap();
        stage
    }

    fn now(&self) -> Timestamp {
        self.service.now()
    }

    fn pass(&self, time: Duration) {
        self.moved.fetch_add(i64::try_from(time.as_millis()).unwrap(), Relaxed);
    }

    fn authorization(&self, nonce: &str) -> String {
        let url = format!("{}/session", self.service.url());
        authorization(&self.token, &url, self.now(), nonce).unwrap()
    }

    /// Asks for a session, with this header.
    async fn session(&self, header: &str) -> Answered {
        let url = format!("{}/session", self.service.url());
        answered(self.client.get(url).header("authorization", header)).await.unwrap().0
    }

    async fn open(&self) -> Result<String, Refusal> {
        let nonce = self.nonce.fetch_add(1, Relaxed).to_string();
        let (status, body) = self.session(&self.authorization(&nonce)).await;
        if status != 200 {
            return Err(refusal(status, &body, true));
        }
        let answer: Value = serde_json::from_slice(&body).unwrap();
        Ok(answer["auth_session_token"].as_str().unwrap().to_owned())
    }

    fn request(&self, method: Method, path: &str, body: &Value) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.service.url()));
        let request = request.header(SESSION_HEADER, &self.session).header(VERSION_HEADER, PROTOCOL_VERSION);
        request.header("content-type", CONTENT_TYPE).body(body.to_string())
    }

    /// One call; a new session takes the place of the old one.
    async fn send(&mut self, method: Method, path: &str, body: &Value) -> Result<Answered, reqwest::Error> {
        let (answered, new_session) = answered(self.request(method, path, body)).await?;
        self.session = new_session.unwrap_or(std::mem::take(&mut self.session));
        Ok(answered)
    }

    async fn call(&mut self, method: Method, path: &str, body: &Value) -> Result<Vec<u8>, Refusal> {
        let (status, body) = self.send(method, path, body).await.unwrap();
        if status == 200 { Ok(body) } else { Err(refusal(status, &body, false)) }
    }

    async fn post(&mut self, path: &str, body: &Value) -> Result<Vec<u8>, Refusal> {
        self.call(Method::POST, path, body).await
    }

    async fn page(&mut self, path: &str, cursor: &str, limit: usize) -> Result<DevicesPage, Refusal> {
        let body = self.post(path, &json!({"cursor": cursor, "limit": limit})).await?;
        Ok(DevicesPage::parse(&body).unwrap())
    }

    /// Fetches everything; the serial numbers and the last cursor.
    async fn fetch(&mut self, limit: usize) -> (Vec<String>, String) {
        let (mut serials, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = self.page("/server/devices", &cursor, limit).await.unwrap();
            serials.extend(page.devices.into_iter().map(|device| device.serial_number));
            cursor = page.cursor;
            if !page.more_to_follow {
                return (serials, cursor);
            }
        }
    }

    async fn define(&mut self) -> String {
        let anchors = [authority().certificate().clone()];
        let additions = Additions { url: URL, anchor_certs: &anchors, ..Additions::default() };
        let profile: Value = serde_json::from_slice(&SetupProfile::standard().effective(&additions).json).unwrap();
        DefinedProfile::parse(&self.post("/profile", &profile).await.unwrap()).unwrap().profile_uuid
    }

    async fn assign(&mut self, uuid: &str, serials: &[String]) -> Assigned {
        let body = json!({"profile_uuid": uuid, "devices": serials});
        Assigned::parse(&self.post("/profile/devices", &body).await.unwrap()).unwrap()
    }

    fn rules(&self) -> Vec<Rule> {
        self.service.findings().into_iter().map(|finding| finding.rule).collect()
    }
}

fn token(service: &AssignmentService, owner: OrganizationId, key: &Signer) -> Result<ServerToken, TokenError> {
    let pem = key.certificate().to_pem().unwrap();
    ServerToken::decrypt(&service.token_file(owner, pem.as_bytes(), DAY * 365).unwrap(), key, now())
}

fn refusal(status: u16, body: &[u8], to_session: bool) -> Refusal {
    Refusal::of(&Answer { status, body, retry_after: None, received_at: now(), to_session })
}

async fn answered(request: RequestBuilder) -> Result<(Answered, Option<String>), reqwest::Error> {
    let response = request.send().await?;
    let status = response.status().as_u16();
    let session = response.headers().get(SESSION_HEADER).map(|session| session.to_str().unwrap().to_owned());
    Ok(((status, response.bytes().await?.to_vec()), session))
}

fn serials(stage_seed: u64, numbers: std::ops::Range<u32>) -> Vec<String> {
    facts(stage_seed, numbers).map(|facts| facts.serial_number).collect()
}

#[tokio::test]
async fn a_server_fetches_assigns_and_hears_of_changes() {
    let mut stage = Stage::new(25).await;
    let account = Account::parse(&stage.call(Method::GET, "/account", &Value::Null).await.unwrap()).unwrap();
    assert_eq!((account.org_name.as_str(), account.max_devices), ("Example", Some(1000)));
    let (fetched, cursor) = stage.fetch(10).await;
    assert_eq!(fetched, serials(7, 0..25));
    assert_eq!(stage.page("/server/devices", &cursor, 10).await, Err(Refusal::ExhaustedCursor));
    let none = stage.page("/devices/sync", &cursor, 10).await.unwrap();
    assert_eq!((none.devices.len(), none.more_to_follow), (0, false));

    let uuid = stage.define().await;
    let outcomes = stage.assign(&uuid, &[fetched[0].clone(), "NOBODYS".into()]).await.outcomes;
    assert_eq!((outcomes[&fetched[0]], outcomes["NOBODYS"]), (Outcome::Success, Outcome::NotAccessible));
    assert_eq!(stage.service.set_up(&fetched[1]), None);
    let setup = stage.service.set_up(&fetched[0]).unwrap();
    assert_eq!(
        (setup.profile_uuid.as_str(), setup.url.as_str(), setup.configuration_web_url),
        (uuid.as_str(), URL, None)
    );
    assert_eq!(setup.anchor_certs, [authority().certificate().der()]);

    stage.service.add_devices(stage.organization, facts(7, 25..26));
    stage.service.remove_devices(stage.organization, &fetched[2..3]);
    let news = stage.page("/devices/sync", &none.cursor, 1000).await.unwrap();
    let told: Vec<_> = news.devices.iter().map(|device| device.op_type.unwrap()).collect();
    assert_eq!(told, [OpType::Modified, OpType::Modified, OpType::Added, OpType::Deleted]);
    let first = &news.devices[1];
    assert_eq!((first.profile_status, first.profile_uuid.as_deref()), (ProfileStatus::Pushed, Some(uuid.as_str())));
    assert_eq!(stage.rules(), []);
    assert_eq!(stage.service.calls()["POST /devices/sync"], 2);
}

#[tokio::test]
async fn profiles_are_read_back_taken_away_and_refused_as_apple_does() {
    let mut stage = Stage::new(3).await;
    let uuid = stage.define().await;
    let all = serials(7, 0..3);
    let throttled = Refused::Throttled(Duration::from_secs(90));
    stage.service.refuse_device(&all[1], Refused::Failed);
    stage.service.refuse_device(&all[2], throttled);
    let body = json!({"profile_uuid": uuid, "devices": all});
    let assigned = Assigned::parse(&stage.call(Method::PUT, "/profile/devices", &body).await.unwrap()).unwrap();
    assert_eq!(assigned.outcomes.values().filter(|outcome| **outcome == Outcome::Success).count(), 1);
    assert_eq!((assigned.outcomes[&all[1]], assigned.outcomes[&all[2]]), (Outcome::Failed, Outcome::Throttled));
    assert_eq!(assigned.retry_after, Some(Duration::from_secs(90)));
    let path = format!("/profile?profile_uuid={uuid}");
    let profile: Value = serde_json::from_slice(&stage.call(Method::GET, &path, &Value::Null).await.unwrap()).unwrap();
    assert_eq!((&profile["url"], &profile["await_device_configured"]), (&json!(URL), &json!(true)));
    stage.call(Method::DELETE, "/profile/devices", &json!({"devices": all[..1]})).await.unwrap();
    let known = stage.service.device(&all[0]).unwrap();
    assert_eq!((known.profile_status, known.profile_uuid), (ProfileStatus::Removed, None));
    let details = stage.post("/devices", &json!({"devices": [all[0], "X1"]})).await.unwrap();
    let details = DeviceDetails::parse(&details).unwrap();
    assert_eq!((details[&all[0]].outcome, details["X1"].outcome), (Outcome::Success, Outcome::NotAccessible));

    let other = |code: &str| Err(Refusal::Other { status: 400, code: code.into() });
    assert_eq!(stage.post("/profile", &json!({"url": URL})).await, other("CONFIG_NAME_REQUIRED"));
    assert_eq!(stage.post("/profile", &json!({"profile_name": "A"})).await, other("CONFIG_URL_REQUIRED"));
    let plain = json!({"profile_name": "A", "url": "http://a"});
    assert_eq!(stage.post("/profile", &plain).await, other("CONFIG_URL_INVALID"));
    let stuck = json!({"profile_name": "A", "url": URL, "is_supervised": false, "is_mdm_removable": false});
    assert_eq!(stage.post("/profile", &stuck).await, other("FLAGS_INVALID"));
    assert_eq!(stage.call(Method::GET, "/profile", &Value::Null).await, other("PROFILE_UUID_REQUIRED"));
    let unknown = json!({"profile_uuid": "X", "devices": ["X1"]});
    assert_eq!(stage.post("/profile/devices", &unknown).await, Err(Refusal::ProfileNotFound));
    assert_eq!(stage.rules(), []);
}

#[tokio::test]
async fn a_session_needs_the_right_signature_at_the_right_time_once() {
    let mut stage = Stage::new(0).await;
    let good = stage.authorization("n-1");
    assert_eq!(stage.session(&good).await.0, 200);
    let cases = [
        (good.clone(), 401, "oauth_problem=nonce_used"),
        (stage.authorization("n-2").replace("n-2", "n-3"), 401, "oauth_problem=signature_invalid"),
        (stage.authorization("n-4").replace("HMAC-SHA1", "PLAINTEXT"), 400, "oauth_problem=signature_method_rejected"),
        (stage.authorization("n-5").replace("realm=\"ADM\", ", ""), 400, "oauth_problem=parameter_absent"),
        (String::from("Bearer x"), 400, "oauth_problem=parameter_rejected"),
    ];
    for (header, status, code) in cases {
        let (answered, body) = stage.session(&header).await;
        assert_eq!((answered, String::from_utf8(body).unwrap().as_str()), (status, code));
    }
    let early = stage.authorization("n-6");
    stage.pass(Duration::from_secs(301));
    let (status, body) = stage.session(&early).await;
    assert_eq!(refusal(status, &body, true), Refusal::ClockOff);
    assert_eq!(stage.rules(), [Rule::OAuth; 6]);

    let renewed = token(&stage.service, stage.organization, &stage.key).unwrap();
    assert_eq!(
        (&renewed.consumer_key, renewed.access_token != stage.token.access_token),
        (&stage.token.consumer_key, true)
    );
    assert!(matches!(stage.open().await, Err(Refusal::TokenRejected(_))));
    stage.token = renewed;
    assert!(stage.open().await.is_ok());
    stage.pass(DAY * 366);
    assert_eq!(stage.open().await, Err(Refusal::TokenRejected("oauth_problem=token_expired".into())));
    stage.service.revoke_token(stage.organization);
    assert_eq!(stage.open().await, Err(Refusal::TokenRejected("oauth_problem=consumer_key_unknown".into())));
    assert_eq!(stage.rules().len(), 6, "a token that ends is not the server's fault");
}

#[tokio::test]
async fn sessions_are_replaced_and_end() {
    let mut stage = Stage::new(1).await;
    let first = stage.session.clone();
    for _ in 0..60 {
        stage.fetch(10).await;
    }
    assert_ne!(stage.session, first);
    let second = std::mem::replace(&mut stage.session, first);
    assert!(stage.page("/server/devices", "", 1).await.is_ok(), "calls under way may end");
    stage.pass(Duration::from_secs(31));
    assert_eq!(stage.page("/server/devices", "", 1).await, Err(Refusal::SessionEnded));
    assert_eq!(stage.rules(), [Rule::Session]);
    stage.session = second;
    assert!(stage.page("/server/devices", "", 1).await.is_ok());
    stage.pass(Duration::from_secs(601));
    let (status, body) = stage.send(Method::POST, "/server/devices", &json!({})).await.unwrap();
    assert_eq!((status, body.as_slice()), (401, &b"UNAUTHORIZED"[..]));
    stage.session = "unknown".into();
    let (status, body) = stage.send(Method::POST, "/server/devices", &json!({})).await.unwrap();
    assert_eq!((status, body.as_slice()), (403, &b"FORBIDDEN"[..]));
    stage.session = stage.open().await.unwrap();
    assert!(stage.page("/server/devices", "", 1).await.is_ok());
    assert_eq!(stage.service.calls()["GET /session"], 2);
    stage.service.sign_terms(stage.organization, false);
    assert_eq!(stage.page("/server/devices", "", 1).await, Err(Refusal::TermsNotSigned));
    assert_eq!(stage.open().await, Err(Refusal::TermsNotSigned));
}

#[tokio::test]
async fn what_is_against_the_protocol_is_refused_and_found() {
    let mut stage = Stage::new(1).await;
    let url = format!("{}/server/devices", stage.service.url());
    let bare = |headers: &[(&str, &str)]| {
        let request =
            headers.iter().fold(stage.client.post(&url), |request, (name, value)| request.header(*name, *value));
        answered(request.body("{}"))
    };
    let session = (SESSION_HEADER, stage.session.as_str());
    let (version, json_type) = ((VERSION_HEADER, PROTOCOL_VERSION), ("content-type", CONTENT_TYPE));
    for (headers, expected) in [
        (vec![session, version, json_type, ("user-agent", "")], "USER_AGENT_MISSING"),
        (vec![version, json_type], "UNAUTHORIZED"),
        (vec![session, json_type], "PROTOCOL_VERSION_REQUIRED"),
        (vec![session, version], "MALFORMED_REQUEST_BODY"),
    ] {
        let ((_, body), _) = bare(&headers).await.unwrap();
        assert_eq!(String::from_utf8(body).unwrap(), expected);
    }
    assert!(stage.rules().iter().all(|rule| *rule == Rule::Header || *rule == Rule::Body));
    let before = stage.rules().len();
    let many = json!({"devices": vec!["X"; 1001]});
    let malformed = Err(Refusal::Other { status: 400, code: "MALFORMED_REQUEST_BODY".into() });
    assert_eq!(stage.post("/devices", &many).await, malformed);
    assert_eq!(stage.post("/server/devices", &json!({"limit": 1001})).await, malformed);
    assert_eq!(stage.post("/server/devices", &json!([])).await, malformed);
    let none = Err(Refusal::Other { status: 400, code: "DEVICE_ID_REQUIRED".into() });
    assert_eq!(stage.post("/devices", &json!({"devices": []})).await, none);
    assert_eq!(stage.post("/nowhere", &json!({})).await, Err(Refusal::ProfileNotFound));
    assert_eq!(stage.rules()[before..], [Rule::Body, Rule::Body, Rule::Body, Rule::Body, Rule::Path]);
}

#[tokio::test]
async fn cursors_expire_after_a_week_and_belong_to_their_organization() {
    let mut stage = Stage::new(3).await;
    let unfinished = stage.page("/server/devices", "", 2).await.unwrap().cursor;
    assert_eq!(stage.page("/devices/sync", &unfinished, 2).await, Err(Refusal::InvalidCursor));
    let (_, cursor) = stage.fetch(10).await;
    assert_eq!(stage.page("/devices/sync", "", 2).await, Err(Refusal::CursorRequired));
    assert_eq!(stage.page("/devices/sync", "forged", 2).await, Err(Refusal::InvalidCursor));
    assert_eq!(stage.rules(), [Rule::Cursor, Rule::Cursor]);
    stage.pass(DAY * 7 + Duration::from_secs(1));
    stage.session = stage.open().await.unwrap();
    for _ in 0..2 {
        assert_eq!(stage.page("/devices/sync", &cursor, 2).await, Err(Refusal::ExpiredCursor));
    }
    assert_eq!(stage.rules().len(), 3, "a cursor that was refused should not come again");
    let (fetched, _) = stage.fetch(2).await;
    assert_eq!(fetched.len(), 3);
}

#[tokio::test]
async fn each_fault_happens_as_often_as_it_is_scripted() {
    let mut stage = Stage::new(4).await;
    let path = || Target::Path("/server/devices".into());
    stage.service.script(path(), Fault::answer(500, ""), When::Next(1));
    stage.service.script(path(), Fault::answer(403, "T_C_NOT_SIGNED"), When::Next(1));
    let unavailable = Refusal::Unavailable { status: 500, retry_after: None };
    assert_eq!(stage.page("/server/devices", "", 1).await, Err(unavailable));
    assert_eq!(stage.page("/server/devices", "", 1).await, Err(Refusal::TermsNotSigned));
    stage.service.script(path(), Fault::Truncated, When::Next(1));
    let cut = stage.post("/server/devices", &json!({})).await.unwrap();
    assert!(DevicesPage::parse(&cut).is_err());

    let (uuid, all) = (stage.define().await, serials(7, 0..4));
    let body = |serial: &String| json!({"profile_uuid": uuid, "devices": [serial]});
    for (fault, serial, status) in
        [(Fault::ClosedBefore, &all[0], ProfileStatus::Empty), (Fault::ClosedAfter, &all[1], ProfileStatus::Assigned)]
    {
        stage.service.script(Target::All, fault, When::Next(1));
        assert!(stage.send(Method::POST, "/profile/devices", &body(serial)).await.is_err());
        assert_eq!(stage.service.device(serial).unwrap().profile_status, status);
    }
    assert_eq!(stage.rules(), []);

    let throttled = Fault::Answer { status: 429, code: String::new(), retry_after: Some(Duration::from_secs(30)) };
    stage.service.script(Target::All, throttled, When::Next(1));
    assert_eq!(stage.page("/server/devices", "", 1).await, Err(Refusal::Throttled(None)));
    stage.page("/server/devices", "", 1).await.unwrap();
    assert_eq!(stage.rules(), [Rule::Haste]);
    stage.service.script(Target::All, Fault::answer(503, ""), When::Chance(0.5));
    let mut failed = 0;
    for _ in 0..40 {
        failed += u32::from(stage.page("/server/devices", "", 1).await.is_err());
    }
    assert!((8..=32).contains(&failed), "{failed}");
    stage.service.heal();
    stage.fetch(10).await;
}

#[tokio::test]
async fn a_call_that_is_delayed_is_overtaken_by_others() {
    let mut stage = Stage::new(1).await;
    stage.service.script(Target::All, Fault::Delay(Duration::from_secs(3600)), When::Next(1));
    let delayed = tokio::spawn(answered(stage.request(Method::GET, "/account", &Value::Null)));
    while !stage.service.calls().contains_key("GET /account") {
        tokio::task::yield_now().await;
    }
    assert_eq!(stage.fetch(10).await.0.len(), 1);
    assert!(!delayed.is_finished());
    delayed.abort();
}

#[tokio::test]
async fn asset_tags_and_deadlines_are_changes_and_deadlines_belong_to_version_8() {
    let mut stage = Stage::new(1).await;
    let (fetched, cursor) = stage.fetch(10).await;
    let by = Timestamp::from_seconds(stage.now().plus(DAY).seconds());
    stage.service.tag_device(stage.organization, &fetched[0], "17");
    stage.service.set_migration_deadline(stage.organization, &fetched[0], Some(by));
    let news = stage.page("/devices/sync", &cursor, 10).await.unwrap();
    let told: Vec<_> = news.devices.iter().map(|device| (device.op_type, device.asset_tag.as_str())).collect();
    assert_eq!(told, [(Some(OpType::Modified), "17"); 2]);
    assert_eq!(news.devices[1].mdm_migration_deadline, Some(by));
    let (url, body) = (format!("{}/devices/sync", stage.service.url()), json!({"cursor": cursor}).to_string());
    let old = stage.client.post(url).header(SESSION_HEADER, &stage.session).header(VERSION_HEADER, "7");
    let ((_, old), _) = answered(old.header("content-type", CONTENT_TYPE).body(body)).await.unwrap();
    assert_eq!(DevicesPage::parse(&old).unwrap().devices[1].mdm_migration_deadline, None);
    assert_eq!(stage.rules(), []);
}

#[tokio::test]
async fn changes_may_come_twice_late_and_in_any_order_and_the_latest_is_right() {
    let mut stage = Stage::new(0).await;
    let (_, mut cursor) = stage.fetch(10).await;
    stage.service.set_mischief(stage.organization, Mischief { duplicated: 0.3, repeated_late: 0.3, shuffled: true });
    let all = serials(7, 0..40);
    stage.service.add_devices(stage.organization, facts(7, 0..40));
    stage.pass(Duration::from_secs(1));
    stage.service.remove_devices(stage.organization, &all[..20]);
    let mut latest: BTreeMap<String, (Timestamp, OpType)> = BTreeMap::new();
    let mut told = 0;
    loop {
        let page = stage.page("/devices/sync", &cursor, 7).await.unwrap();
        told += page.devices.len();
        for device in page.devices {
            let change = (device.op_date.unwrap(), device.op_type.unwrap());
            let known = latest.entry(device.serial_number).or_insert(change);
            if known.0 < change.0 {
                *known = change;
            }
        }
        cursor = page.cursor;
        if !page.more_to_follow {
            break;
        }
    }
    assert!(told > 60, "{told}");
    for (place, serial) in all.iter().enumerate() {
        let expected = if place < 20 { OpType::Deleted } else { OpType::Added };
        assert_eq!(latest[serial].1, expected, "{serial}");
    }
    let other = stage.service.found("Another");
    stage.service.move_devices(stage.organization, other, &all[20..21]);
    assert_eq!(stage.service.device(&all[20]).map(|known| known.organization), Some(other));
    assert_eq!(stage.service.device(&all[0]), None);
}

#[tokio::test]
async fn a_hundred_thousand_devices_are_made_and_read_by_the_thousand() {
    let mut stage = Stage::new(100_000).await;
    let (fetched, _) = stage.fetch(1000).await;
    let different: std::collections::BTreeSet<&String> = fetched.iter().collect();
    assert_eq!((fetched.len(), different.len()), (100_000, 100_000));
    assert_eq!(stage.service.calls()["POST /server/devices"], 100);
    assert_eq!(stage.rules(), []);
}

#[tokio::test]
async fn organizations_know_their_own_devices_alone_and_tokens_their_own_key() {
    let mut stage = Stage::new(2).await;
    let other = stage.service.found("Another");
    stage.service.add_devices(other, facts(8, 0..3));
    let key = self_signed(NewKey::Rsa2048.generate().unwrap(), "Another", now(), DAY).unwrap();
    let pem = key.certificate().to_pem().unwrap();
    let file = stage.service.token_file(other, pem.as_bytes(), DAY).unwrap();
    assert_eq!(ServerToken::decrypt(&file, &stage.key, now()), Err(TokenError::OtherKey));
    assert!(stage.service.token_file(other, b"no certificate", DAY).is_err());
    let (own, cursor) = stage.fetch(10).await;
    stage.token = ServerToken::decrypt(&file, &key, now()).unwrap();
    stage.session = stage.open().await.unwrap();
    assert_eq!(stage.page("/devices/sync", &cursor, 10).await, Err(Refusal::InvalidCursor));
    let (others, _) = stage.fetch(10).await;
    assert_eq!((own, others), (serials(7, 0..2), serials(8, 0..3)));
}
