//! The API's users: an admin who looks, and clerks who queue commands and keep the record of every 2xx.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use protocol::apple::command::Command;
use protocol::apple::plist;
use protocol::ids::CommandUuid;
use reqwest::{Client, Method, StatusCode};
use rookery::sim::fleet::{Member, Persona};
use rookery::sim::random::Chance;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::eventually;
use super::server::Server;

/// How long one request may take.
const DEADLINE: Duration = Duration::from_secs(20);
/// Rows of one page.
const PAGE: usize = 5000;
/// How long a clerk waits before it asks again.
const PAUSE: Duration = Duration::from_millis(100);
/// What clerks queue: questions, which any device can answer at any time.
const QUESTIONS: [&str; 4] = ["SecurityInfo", "ProfileList", "CertificateList", "DeviceInformation"];

/// Access to the API.
#[derive(Clone)]
pub(crate) struct Admin {
    client: Client,
    url: String,
    token: String,
}

/// Why there is no 2xx.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    /// The server answered otherwise.
    #[error("{0}: {1}")]
    Refused(StatusCode, String),
    /// There was no answer: nobody knows what became of the request.
    #[error("no answer: {0}")]
    Unanswered(String),
}

/// Where a command stands on one channel, as the server shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) uuid: String,
    /// The channel's enrollment id.
    pub(crate) channel: String,
    /// In Fleet's words.
    pub(crate) status: String,
}

/// A command that somebody asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) uuid: String,
    /// The enrollment ids of the channels that it is for.
    pub(crate) channels: BTreeSet<String>,
    /// Whether the server answered 2xx.
    pub(crate) accepted: bool,
}

/// A host that commands can be for.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// What admins call the host.
    pub(crate) uuid: String,
    /// The enrollment id of its own channel.
    pub(crate) channel: String,
}

/// A question that a device can answer at any time, as its platform writes it.
pub(crate) struct Question {
    uuid: String,
    text: Vec<u8>,
}

/// Whom commands can be for.
#[derive(Debug, Default)]
pub(crate) struct Targets {
    /// Hosts of Apple, those of one platform together.
    platforms: Vec<Vec<Target>>,
    /// Hosts of Windows.
    pcs: Vec<Target>,
    /// Users' channels.
    users: Vec<String>,
}

/// An API client that queues commands and keeps the record.
pub(crate) struct Clerk {
    admin: Admin,
    targets: Arc<Targets>,
    chance: Chance,
    record: Vec<Asked>,
    /// Whether it asks again, with the same `Idempotency-Key`, until it is answered.
    insists: bool,
}

impl Admin {
    /// An admin of a running server.
    pub(crate) fn new(server: &Server, token: String) -> Self {
        let ca = reqwest::Certificate::from_pem(&server.ca_pem()).unwrap();
        let client = Client::builder().tls_certs_only([ca]).no_proxy().timeout(DEADLINE).build().unwrap();
        Self { client, url: server.url("admin_url"), token }
    }

    /// Asks something, perhaps under an `Idempotency-Key`.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
        key: Option<&str>,
    ) -> Result<Value, Trouble> {
        let mut request =
            self.client.request(method, format!("{}{path}", self.url)).bearer_auth(&self.token).body(body);
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        let unanswered = |error: reqwest::Error| Trouble::Unanswered(error.to_string());
        let response = request.send().await.map_err(unanswered)?;
        let (status, body) = (response.status(), response.bytes().await.map_err(unanswered)?);
        if !status.is_success() {
            return Err(Trouble::Refused(status, String::from_utf8_lossy(&body).into_owned()));
        }
        Ok(serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    /// Looks something up.
    pub(crate) async fn get(&self, path: &str) -> Result<Value, Trouble> {
        self.ask(Method::GET, path, Vec::new(), None).await
    }

    /// Queues a question for devices of one platform; the answer must be 2xx.
    pub(crate) async fn run(&self, channels: &[String]) -> Asked {
        self.queue("ProfileList", channels).await
    }

    /// The same with another question.
    pub(crate) async fn queue(&self, request_type: &str, channels: &[String]) -> Asked {
        let (asked, refused) = self.try_queue(request_type, channels).await;
        assert!(asked.accepted, "{refused:?}");
        asked
    }

    /// The same where the answer may be another one, which is told.
    pub(crate) async fn try_queue(&self, request_type: &str, channels: &[String]) -> (Asked, Option<Trouble>) {
        self.try_command(&question(request_type), &Target::of_channels(channels)).await
    }

    /// Queues a question for PCs; the answer must be 2xx.
    pub(crate) async fn run_on_pcs(&self, pcs: &[Target]) -> Asked {
        let (asked, refused) = self.try_command(&windows_question(), pcs).await;
        assert!(asked.accepted, "{refused:?}");
        asked
    }

    /// The same with a question that takes so many bytes.
    pub(crate) async fn try_queue_large(&self, bytes: usize, channels: &[String]) -> (Asked, Option<Trouble>) {
        let uuid = CommandUuid::from(uuid::Uuid::new_v4());
        let ballast = [("Ballast".to_owned(), plist::Value::from("x".repeat(bytes)))].into_iter().collect();
        let question = Question::from(Command::new(uuid, "ProfileList", ballast).unwrap());
        self.try_command(&question, &Target::of_channels(channels)).await
    }

    async fn try_command(&self, question: &Question, targets: &[Target]) -> (Asked, Option<Trouble>) {
        let (path, body) = run_request(question, targets);
        let refused = self.ask(Method::POST, path, body, None).await.err();
        let (uuid, accepted) = (question.uuid.clone(), refused.is_none());
        (Asked { uuid, channels: targets.iter().map(|target| target.channel.clone()).collect(), accepted }, refused)
    }

    /// The statuses of a command, one for each host that has it.
    pub(crate) async fn statuses(&self, uuid: &str) -> Option<Vec<String>> {
        let shown = self.get(&format!("/api/v1/fleet/commands/results?command_uuid={uuid}")).await.ok()?;
        let status = |row: &Value| row["status"].as_str().unwrap_or_default().to_owned();
        Some(shown["results"].as_array()?.iter().map(status).collect())
    }

    /// Waits until no command is pending; false when patience ends before.
    pub(crate) async fn drained(&self, patience: Duration) -> bool {
        let until = std::time::Instant::now() + patience;
        while std::time::Instant::now() < until {
            let pending = self.get("/api/v1/fleet/commands?command_status=pending&per_page=1").await;
            if pending.is_ok_and(|pending| pending["count"] == 0) {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        false
    }

    /// Where every command stands.
    pub(crate) async fn rows(&self) -> Vec<Row> {
        let mut rows = Vec::new();
        for page in 0.. {
            let path = format!("/api/v1/fleet/commands?per_page={PAGE}&page={page}");
            let shown = eventually("the list of commands", DEADLINE, async || self.get(&path).await.ok()).await;
            let shown = shown["results"].as_array().unwrap();
            rows.extend(shown.iter().map(Row::shown));
            if shown.len() < PAGE {
                break;
            }
        }
        rows
    }

    /// Where these commands stand, for where there are too many others.
    pub(crate) async fn rows_of(&self, asked: &[Asked]) -> Vec<Row> {
        let mut rows = Vec::new();
        for Asked { uuid, .. } in asked {
            let path = format!("/api/v1/fleet/commands/results?per_page=1000&command_uuid={uuid}");
            // A command that was not accepted may not exist.
            let shown = eventually("the results of a command", DEADLINE, async || match self.get(&path).await {
                Ok(shown) => Some(shown["results"].as_array()?.iter().map(Row::shown).collect()),
                Err(Trouble::Refused(StatusCode::NOT_FOUND, _)) => Some(Vec::new()),
                Err(_) => None,
            });
            rows.extend(shown.await);
        }
        rows
    }
}

impl Row {
    fn shown(row: &Value) -> Self {
        let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
        Self { uuid: text("command_uuid"), channel: text("enrollment_id"), status: text("status") }
    }
}

impl Target {
    /// Hosts of Apple, which are called by their own channel.
    fn of_channels(channels: &[String]) -> Vec<Self> {
        channels.iter().map(|channel| Self { uuid: channel.clone(), channel: channel.clone() }).collect()
    }
}

impl Targets {
    /// The channels of fleets.
    pub(crate) fn of<'m>(members: impl IntoIterator<Item = &'m Member>) -> Self {
        let (mut macs, mut phones, mut pads) = (Vec::new(), Vec::new(), Vec::new());
        let (mut users, mut pcs) = (Vec::new(), Vec::new());
        for member in members {
            let own = Target { uuid: member.uuid.clone(), channel: member.own().unwrap() };
            match member.persona {
                Persona::Mac | Persona::MacWithUser => macs.push(own),
                Persona::IPhone => phones.push(own),
                Persona::SharedIPad => pads.push(own),
                Persona::Windows => pcs.push(own),
                // A personal device has no UUID that an admin could name.
                Persona::Personal => {}
            }
            users.extend(member.channels.iter().skip(1).cloned());
        }
        let platforms = [macs, phones, pads].into_iter().filter(|hosts| !hosts.is_empty()).collect();
        Self { platforms, pcs, users }
    }
}

impl Clerk {
    /// The clerk with this number; every second one insists.
    pub(crate) fn new(admin: &Admin, targets: &Arc<Targets>, number: u64, chance: Chance) -> Self {
        let insists = number % 2 == 1;
        Self { admin: admin.clone(), targets: targets.clone(), chance, record: Vec::new(), insists }
    }

    /// Queues a command about every `pace` until it is told to stop; counts those that were accepted.
    pub(crate) async fn work(
        mut self,
        pace: Duration,
        stop: watch::Receiver<bool>,
        accepted: Arc<AtomicU64>,
    ) -> Vec<Asked> {
        while !*stop.borrow() {
            if self.queue_something().await {
                accepted.fetch_add(1, Relaxed);
            }
            tokio::time::sleep(self.chance.around(pace)).await;
        }
        self.record
    }

    /// Queues one question, mostly for one device, sometimes for several, sometimes for a user. True when it was accepted.
    async fn queue_something(&mut self) -> bool {
        if !self.targets.users.is_empty() && self.chance.happens(0.1) {
            let question = question("ProfileList");
            let user = self.chance.pick(&self.targets.users).clone();
            let path = format!("/v1/enqueue/{user}");
            let body = question.text.clone();
            return self.ask(Method::PUT, &path, &question, body, vec![user], false).await;
        }
        let platforms = self.targets.platforms.len() + usize::from(!self.targets.pcs.is_empty());
        let platform = self.chance.below(platforms as u64) as usize;
        let (question, hosts) = match self.targets.platforms.get(platform) {
            Some(hosts) => (question(self.chance.pick::<&str>(&QUESTIONS)), hosts),
            None => (windows_question(), &self.targets.pcs),
        };
        let count = if self.chance.happens(0.8) { 1 } else { 2 + self.chance.below(6) } as usize;
        let first = self.chance.below(hosts.len() as u64) as usize;
        let chosen: Vec<Target> = hosts.iter().cycle().skip(first).take(count.min(hosts.len())).cloned().collect();
        let (path, body) = run_request(&question, &chosen);
        let channels = chosen.into_iter().map(|target| target.channel).collect();
        self.ask(Method::POST, path, &question, body, channels, self.insists).await
    }

    async fn ask(
        &mut self,
        method: Method,
        path: &str,
        question: &Question,
        body: Vec<u8>,
        channels: Vec<String>,
        insists: bool,
    ) -> bool {
        let uuid = question.uuid.clone();
        // Noted before it is sent, so that a clerk that is cut off has not asked in secret.
        let asked = Asked { uuid: uuid.clone(), channels: channels.into_iter().collect(), accepted: false };
        self.record.push(asked);
        let key = insists.then_some(uuid.as_str());
        loop {
            let answer = self.admin.ask(method.clone(), path, body.clone(), key).await;
            let again = match &answer {
                Ok(_) => false,
                Err(Trouble::Unanswered(_)) => insists,
                Err(Trouble::Refused(status, _)) => insists && status.is_server_error(),
            };
            if !again {
                let accepted = answer.is_ok();
                self.record.last_mut().unwrap().accepted = accepted;
                return accepted;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

fn question(request_type: &str) -> Question {
    let uuid = CommandUuid::from(uuid::Uuid::new_v4());
    Question::from(match request_type {
        "DeviceInformation" => Command::device_information(uuid, &["DeviceName", "OSVersion", "SerialNumber", "UDID"]),
        other => Command::new(uuid, other, Default::default()).unwrap(),
    })
}

fn windows_question() -> Question {
    let uuid = uuid::Uuid::new_v4().to_string();
    let node = "./DevDetail/Ext/Microsoft/DeviceName";
    let text = format!("<Get><CmdID>{uuid}</CmdID><Item><Target><LocURI>{node}</LocURI></Target></Item></Get>");
    Question { uuid, text: text.into_bytes() }
}

impl From<Command> for Question {
    fn from(command: Command) -> Self {
        Self { uuid: command.uuid().to_string(), text: command.to_xml() }
    }
}

/// Path and body of the request that queues a question for hosts.
fn run_request(question: &Question, targets: &[Target]) -> (&'static str, Vec<u8>) {
    let uuids: Vec<&str> = targets.iter().map(|target| target.uuid.as_str()).collect();
    let body = json!({ "command": openssl::base64::encode_block(&question.text), "host_uuids": uuids });
    ("/api/v1/fleet/commands/run", body.to_string().into_bytes())
}
