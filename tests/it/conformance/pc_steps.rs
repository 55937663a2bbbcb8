//! What PCs do. `open`, `say` and `again` are messages as they stand on the wire, made of the words of a line and judged whole by the
//! simulated PC; the other verbs let it act.
//!
//! `p open status:a:200 = commands b` begins a session, proves who it is and says what became of `a`; it is handed out `b`.
//! Parts: `status:a:200[:0x8…]`, `results:a:text[:more]`, `alert:1226[:type:format:data]`, `login:none`, `devinfo`. Changes:
//! `session:1`, `msg:3`, `source:q`, `source:=text`, `source:<q` (all but the end of its name), `source:>q` (more than its name), `source:~q` (in lower case), `cred:none|wrong|old|kept|of-q`, `nofinal`. Results: a status of the header,
//! `http 400`, `nothing`, `more`, or `commands a,b.1,c.r0`.

use std::fmt::Write;

use hyper::Method;
use rookery::sim::windows::device::enroll::DISCOVERY_PATH;
use rookery::sim::windows::device::talk::digest;
use rookery::sim::windows::device::{Pc, PcError, Proof, Token};
use rookery::sim::windows::quirks::{FinalPlace, Quirks, SessionIds};
use rookery::sim::windows::syncml::answer::Answer;
use rookery::sim::windows::syncml::{Message, Results, Said, Status};
use serde_json::json;

use super::script::Step;
use super::stage::{Stage, compare};
use crate::app::answer;

/// The server's own questions, which no line asks for.
const QUESTIONS: &str = "rookery-";

/// A PC on the stage.
pub(super) struct PcActor {
    pub(super) pc: Pc,
    /// The session under way.
    session: String,
    message: u32,
    sessions: u32,
    nonce: Option<Vec<u8>>,
    /// The nonce of the session before.
    old_nonce: Option<Vec<u8>>,
    /// The nonce of the last challenge that was not answered.
    kept_nonce: Option<Vec<u8>>,
    last: Option<Message>,
}

impl PcActor {
    pub(super) fn new(pc: Pc) -> Self {
        let (session, last) = (String::new(), None);
        Self { pc, session, message: 0, sessions: 0, nonce: None, old_nonce: None, kept_nonce: None, last }
    }
}

impl Stage<'_> {
    /// `pc p digest`
    pub(super) fn enter_pc(&mut self, step: &Step) -> Result<(), String> {
        let number = u32::try_from(self.pcs.len()).map_err(|error| error.to_string())?;
        let proof = proof(if step.args.is_empty() { "digest" } else { step.arg(0) })?;
        let mut pc = self.world.pc(self.first + number, proof);
        pc.options.is_device = step.args.iter().any(|arg| arg == "of-an-organization");
        step.option("quirk").map_or(Ok(()), |quirk| take_quirk(&mut pc.options.quirks, quirk))?;
        self.pcs.insert(step.verb.clone(), PcActor::new(pc));
        Ok(())
    }

    pub(super) fn pc(&mut self, name: &str) -> Result<&mut PcActor, String> {
        self.pcs.get_mut(name).ok_or_else(|| format!("there is no PC {name}"))
    }

    pub(super) async fn pc_step(&mut self, step: &Step) -> Result<(), String> {
        let expected = step.expected.as_deref();
        match step.verb.as_str() {
            "open" | "say" | "again" => {
                let message = self.message_of(step)?;
                let told = self.tell(&step.who, step, message).await;
                return self.judge_pc(told, expected.ok_or("a message needs what must come of it")?);
            }
            "post" => {
                let found = self.post_raw(step).await?;
                return compare(expected.unwrap_or_default(), &found);
            }
            "node" => {
                let actor = self.pc(&step.who)?;
                let found = actor.pc.tree.get(step.arg(0)).map_or("none".to_owned(), |node| node.data.clone());
                return compare(expected.unwrap_or_default(), &found);
            }
            _ => {}
        }
        let found = self.pc_acts(step).await?;
        compare(expected.unwrap_or("ok"), &found)
    }

    /// Lets the simulated PC act; what came of it is `ok`, or why not.
    async fn pc_acts(&mut self, step: &Step) -> Result<String, String> {
        let url = self.world.app.device_url(DISCOVERY_PATH);
        let done = match step.verb.as_str() {
            "enroll" | "enter" => {
                let token = Token::User(self.token_of(step).await?);
                let actor = self.pc(&step.who)?;
                match actor.pc.enroll(&url, &token).await {
                    // Its first session tells the server which host it is.
                    Ok(()) if step.verb == "enroll" => actor.pc.work().await,
                    other => other,
                }
            }
            "work" => self.pc(&step.who)?.pc.work().await,
            "renew" if step.arg(0).is_empty() => self.pc(&step.who)?.pc.renew(&url).await,
            "renew" => {
                let signer = self.pc(step.arg(0))?.pc.enrollment().ok_or("it has none")?.identity.clone();
                self.pc(&step.who)?.pc.renew_as(&url, &signer).await
            }
            "leaves" => {
                let pc = &mut self.pc(&step.who)?.pc;
                pc.user_leaves();
                pc.work().await
            }
            "saves" => {
                let saved = self.pc(&step.who)?.pc.enrollment().map(|enrollment| enrollment.identity.clone());
                self.identities.insert(step.arg(0).to_owned(), saved);
                Ok(())
            }
            "wears" => return self.pc_wears(step).map(|()| "ok".to_owned()),
            "proves" => {
                let pc = &mut self.pc(&step.who)?.pc;
                pc.options.proof = proof(step.arg(0))?;
                pc.wear();
                Ok(())
            }
            "speaks-to" => {
                let address = self.world.app.device_url(step.arg(0));
                let enrollment = self.pc(&step.who)?.pc.enrollment_mut().ok_or("it has not enrolled")?;
                enrollment.provisioned.address = address;
                Ok(())
            }
            other => return Err(format!("PCs do not know how to {other}")),
        };
        Ok(match done {
            Ok(()) => "ok".to_owned(),
            Err(PcError::Fault(fault)) => format!("fault {} {}", fault.subcode, fault.error_type),
            Err(PcError::Refused { status }) => status.to_string(),
            Err(error) => return Err(error.to_string()),
        })
    }

    /// A token of its own, or the one that another line saved: `token:t`.
    async fn token_of(&mut self, step: &Step) -> Result<String, String> {
        match step.option("token") {
            Some("wrong") => return Ok("nobody-made-this-token".into()),
            Some(name) if self.tokens.contains_key(name) => return Ok(self.tokens[name].clone()),
            _ => {}
        }
        let wish = match step.option("host") {
            Some(host) => json!({ "host_id": self.detail(host).await?["id"] }),
            None => json!({}),
        };
        let path = "/api/v1/fleet/windows_enrollment_tokens";
        let made = answer(self.world.app.admin(reqwest::Method::POST, path).body(wish.to_string())).await;
        let token = made.json["token"].as_str().ok_or_else(|| format!("no token: {}", made.json))?.to_owned();
        if let Some(name) = step.option("token") {
            self.tokens.insert(name.to_owned(), token.clone());
        }
        Ok(token)
    }

    /// Shows another certificate in TLS: that of another PC, a saved one, or one that nobody issued.
    fn pc_wears(&mut self, step: &Step) -> Result<(), String> {
        let name = step.arg(0);
        let identity = match (self.identities.get(name).cloned(), name) {
            (Some(saved), _) => saved,
            (None, "stranger") => Some(self.stranger()?),
            (None, "nothing") => None,
            (None, other) => self.pc(other)?.pc.enrollment().map(|enrollment| enrollment.identity.clone()),
        };
        let pc = &mut self.pc(&step.who)?.pc;
        pc.wire_mut().set_identity(identity.clone());
        if let (Some(identity), Some(enrollment)) = (identity, pc.enrollment_mut())
            && step.arg(1) == "and-signs"
        {
            enrollment.identity = identity;
        }
        Ok(())
    }

    /// The message that a line is about.
    fn message_of(&mut self, step: &Step) -> Result<Message, String> {
        let opens = step.verb == "open";
        if step.verb == "again" {
            return self.pc(&step.who)?.last.clone().ok_or_else(|| "it has said nothing".into());
        }
        let mut said = Vec::new();
        for arg in &step.args {
            said.extend(self.part(arg)?);
        }
        let source = match step.option("source") {
            Some(text) if text.starts_with('=') => text[1..].to_owned(),
            Some(text) if text.starts_with('<') => {
                let whole = self.pc(&text[1..])?.pc.model.device_id.clone();
                whole[..whole.len() - 1].to_owned()
            }
            Some(text) if text.starts_with('>') => self.pc(&text[1..])?.pc.model.device_id.clone() + "0",
            Some(text) if text.starts_with('~') => self.pc(&text[1..])?.pc.model.device_id.to_lowercase(),
            Some(name) => self.pc(name)?.pc.model.device_id.clone(),
            None => self.pc(&step.who)?.pc.model.device_id.clone(),
        };
        let actor = self.pc(&step.who)?;
        let before = actor.message;
        if opens {
            actor.sessions += 1;
            actor.session = step.option("session").map_or_else(|| format!("F{:X}", actor.sessions), str::to_owned);
            actor.message = 0;
            if actor.nonce.is_some() {
                actor.old_nonce = actor.nonce.take();
            }
            said.insert(0, Said::alert(1201));
        } else {
            said.insert(0, Said::status(&before.to_string(), "0", "SyncHdr", 200));
        }
        actor.message = match step.option("msg") {
            Some(number) => number.parse().map_err(|_| "a message's number is one")?,
            None => actor.message + 1,
        };
        let mut message = actor.pc.message(&actor.session, actor.message, said).map_err(|error| error.to_string())?;
        message.source = source;
        message.is_final = !step.args.iter().any(|arg| arg == "nofinal");
        Ok(message)
    }

    /// One part of a message.
    fn part(&mut self, arg: &str) -> Result<Option<Said>, String> {
        let mut words = arg.splitn(4, ':');
        let mut word = || words.next().unwrap_or_default();
        Ok(Some(match word() {
            "status" => {
                let (name, code) = (word().to_owned(), word().to_owned());
                let original_error = Some(word().to_owned()).filter(|text| !text.is_empty());
                let cmd_ref = self.wire_name(&name);
                let cmd = if name.contains(".r") { "Replace" } else { "Get" }.to_owned();
                let code = code.parse().map_err(|_| format!("{code:?} is no status"))?;
                Said::Status(Status { msg_ref: "1".into(), cmd_ref, cmd, target: None, code, original_error })
            }
            "results" => {
                let (name, data) = (word().to_owned(), word().replace('_', " "));
                let more = word() == "more";
                let size = more.then_some(data.len() * 2);
                Said::Results(Results {
                    msg_ref: "1".into(),
                    cmd_ref: self.wire_name(&name),
                    source: "./DevDetail/Ext/Microsoft/DeviceName".into(),
                    format: "chr".into(),
                    data,
                    size,
                    more,
                })
            }
            "alert" => {
                let code = word().parse().map_err(|_| "an alert has a number")?;
                let kind = word().replace('~', ":");
                match (kind.is_empty(), word().split_once(':')) {
                    (false, Some((format, data))) => Said::event(code, &kind, format, data),
                    (false, None) => return Err("an alert's item is type:format:data".into()),
                    (true, _) => Said::alert(code),
                }
            }
            "leaves" => Said::event(1226, "com.microsoft:mdm.unenrollment.userrequest", "int", "1"),
            "login" => Said::event(1224, "com.microsoft/MDM/LoginStatus", "chr", word()),
            "devinfo" => Said::Replace(vec![("./DevInfo/Man".into(), "Contoso".into())]),
            _ => return Ok(None),
        }))
    }

    /// A command's name on the wire: `a`, `a.1`, `a.r0`; what is no name on the stage stands for itself.
    fn wire_name(&self, name: &str) -> String {
        let (stem, rest) = name.split_once('.').map_or((name, ""), |(stem, _)| (stem, &name[stem.len()..]));
        let known = self.commands.get(stem).map(|(uuid, _)| uuid.as_str());
        format!("{}{rest}", known.unwrap_or(stem))
    }

    /// Sends a message, with the credentials that the line says.
    async fn tell(&mut self, name: &str, step: &Step, mut message: Message) -> Result<Answer, PcError> {
        let credentials = step.option("cred").unwrap_or("good").to_owned();
        let other = credentials.strip_prefix("of-").and_then(|name| {
            let pc = &self.pcs.get(name)?.pc;
            Some(pc.enrollment()?.provisioned.credentials.1.clone())
        });
        let Some(actor) = self.pcs.get_mut(name) else { return Err(PcError::Missing("PC")) };
        let uses_digest = actor.pc.options.proof == Proof::Digest && credentials != "none" && step.verb != "again";
        if credentials == "kept" {
            actor.nonce = actor.kept_nonce.take();
        }
        if uses_digest && actor.nonce.is_none() {
            message.credentials = None;
            let challenged = actor.pc.tell(&message).await?;
            if challenged.header != 407 {
                return Ok(challenged);
            }
            actor.nonce = challenged.nonce;
        }
        if uses_digest && let Some(enrollment) = actor.pc.enrollment() {
            let (own_name, own_secret, _) = &enrollment.provisioned.credentials;
            let old = actor.old_nonce.clone().unwrap_or_default();
            let nonce = if credentials == "old" { old } else { actor.nonce.clone().unwrap_or_default() };
            let secret = match (credentials.as_str(), &other) {
                ("wrong", _) => "not-the-secret-of-this-device-at-all",
                (_, Some(other)) => other.as_str(),
                _ => own_secret,
            };
            message.credentials = Some(digest(own_name, secret, &nonce)?);
        }
        actor.last = Some(message.clone());
        let answer = actor.pc.tell(&message).await?;
        actor.kept_nonce = answer.nonce.clone().or(actor.kept_nonce.take());
        Ok(answer)
    }

    fn judge_pc(&self, told: Result<Answer, PcError>, expected: &str) -> Result<(), String> {
        let answer = match told {
            Ok(answer) => answer,
            Err(PcError::Refused { status }) => return compare(expected, &format!("http {status}")),
            Err(error) => return Err(error.to_string()),
        };
        if answer.header != 200 {
            return compare(expected, &answer.header.to_string());
        }
        if answer.wants_more.is_some() {
            return compare(expected, "more");
        }
        let own = answer.orders.iter().filter(|order| !order.id.starts_with(QUESTIONS));
        let mut names = String::new();
        for order in own {
            let (stem, rest) = order.id.split_once('.').map_or((order.id.as_str(), ""), |(stem, rest)| (stem, rest));
            let known = self.commands.iter().find(|(_, (uuid, _))| uuid.as_str() == stem);
            let name = known.map_or(stem, |(name, _)| name.as_str());
            let comma = if names.is_empty() { "" } else { "," };
            let dot = if rest.is_empty() { "" } else { "." };
            let _ = write!(names, "{comma}{name}{dot}{rest}");
        }
        let found = if names.is_empty() { "nothing".to_owned() } else { format!("commands {names}") };
        compare(expected, &found)
    }

    /// Sends something that is no message: the status that comes of it.
    async fn post_raw(&mut self, step: &Step) -> Result<String, String> {
        let url = self.world.app.device_url("/api/mdm/microsoft/management");
        let device = self.pc(&step.who)?.pc.model.device_id.clone();
        let header = |source: &str| {
            format!(
                "<SyncHdr><VerDTD>1.2</VerDTD><VerProto>DM/1.2</VerProto><SessionID>1</SessionID><MsgID>1</MsgID><Target><LocURI>{url}</LocURI></Target>{source}</SyncHdr>"
            )
        };
        let source = format!("<Source><LocURI>{device}</LocURI></Source>");
        let whole = |before: &str, header: &str, body: &str| {
            format!("{before}<SyncML xmlns=\"SYNCML:SYNCML1.2\">{header}<SyncBody>{body}<Final/></SyncBody></SyncML>")
        };
        let body = match step.arg(0) {
            "nothing" => String::new(),
            "text" => "hello".into(),
            "half" => whole("", &header(&source), "").replace("</SyncML>", ""),
            "plist" => "<plist version=\"1.0\"><dict/></plist>".into(),
            "other-namespace" => whole("", &header(&source), "").replace("SYNCML1.2", "SYNCML1.1"),
            "no-source" => whole("", &header(""), ""),
            "no-session" => whole("", &header(&source).replace("<SessionID>1</SessionID>", ""), ""),
            "no-header" => whole("", "", ""),
            "dtd" => whole("<!DOCTYPE x [<!ENTITY a \"b\">]>", &header(&source), ""),
            "deep" => whole("", &header(&source), &("<a>".repeat(5000) + &"</a>".repeat(5000))),
            "bomb" => whole("", &header(&source), &"<Alert/>".repeat(60_000)),
            "ten-megabytes" => whole("", &header(&source), &format!("<!--{}-->", "x".repeat(10 << 20))),
            "latin" => whole("<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?>", &header(&source), ""),
            "bell" => whole("", &header(&source), "<Alert><CmdID>1</CmdID><Data>\u{7}</Data></Alert>"),
            "proper" => whole("<?xml version=\"1.0\" encoding=\"UTF-8\"?>", &header(&source), ""),
            other => return Err(format!("nobody knows what {other} is")),
        };
        let method =
            if step.arg(1).is_empty() { Method::POST } else { step.arg(1).parse().map_err(|_| "no method")? };
        let request = self.world.app.client.request(method, &url).body(body);
        let response = request.send().await.map_err(|error| error.to_string())?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let length = response.bytes().await.map_err(|error| error.to_string())?.len();
        compare(&length.to_string(), headers.get("content-length").and_then(|it| it.to_str().ok()).unwrap_or("none"))?;
        compare("false", &headers.contains_key("content-encoding").to_string())?;
        Ok(status.to_string())
    }

    /// `admin do p get:./DevInfo/Man as a`: a command of Windows for PCs; `[` and `]` enclose an Atomic.
    pub(super) async fn do_on_pcs(&mut self, step: &Step) -> Result<(), String> {
        let mut ids = Vec::new();
        for name in step.arg(0).split(',') {
            ids.push(self.detail(name).await?["id"].clone());
        }
        let mut xml = String::new();
        for arg in step.args.iter().skip(1).take_while(|arg| *arg != "as") {
            xml += &operation(arg)?;
        }
        let body = json!({ "command": openssl::base64::encode_block(xml.as_bytes()), "host_ids": ids });
        let path = "/api/v1/fleet/commands/run";
        let answered = answer(self.world.app.admin(reqwest::Method::POST, path).body(body.to_string())).await;
        super::admin_steps::status(&answered, step.expected.as_deref().unwrap_or("200"))?;
        if let (Some(name), Some(uuid)) = (step.after("as"), answered.json["command_uuid"].as_str()) {
            let uuid = protocol::ids::CommandUuid::parse(uuid).ok_or("a command has a name")?;
            self.commands.insert(name.to_owned(), (uuid, String::new()));
        }
        Ok(())
    }
}

/// One operation as administrators write it: `get:node`, `add:node:value`, `exec:node`, `[`, `]`.
fn operation(arg: &str) -> Result<String, String> {
    let (verb, rest) = match arg {
        "[" => return Ok("<Atomic>".into()),
        "]" => return Ok("</Atomic>".into()),
        other => other.split_once(':').ok_or_else(|| format!("{other} is no operation"))?,
    };
    let (node, value) = rest.split_once('=').map_or((rest, None), |(node, value)| (node, Some(value)));
    let verb = match verb {
        "get" => "Get",
        "add" => "Add",
        "replace" => "Replace",
        "delete" => "Delete",
        "exec" => "Exec",
        other => return Err(format!("there is no verb {other}")),
    };
    let mut items = String::new();
    for node in node.split('+') {
        let value = value.map_or(String::new(), |value| {
            format!("<Meta><Format xmlns=\"syncml:metinf\">chr</Format></Meta><Data>{value}</Data>")
        });
        let target = node.replace("@cam", "./Device/Vendor/MSFT/Policy/Config/Camera/AllowCamera");
        let _ = write!(items, "<Item><Target><LocURI>{target}</LocURI></Target>{value}</Item>");
    }
    Ok(format!("<{verb}>{items}</{verb}>"))
}

fn take_quirk(quirks: &mut Quirks, name: &str) -> Result<(), String> {
    match name {
        "padded" => quirks.padded = true,
        "repeats-items" => quirks.repeats_items = true,
        "query" => quirks.query = "?mode=Maintenance&Platform=WoA",
        "version-9" => quirks.request_version = "9.0",
        "version-4" => quirks.request_version = "4.0",
        "session-zero" => quirks.session_ids = SessionIds::Zero,
        "session-repeated" => quirks.session_ids = SessionIds::Repeated,
        "final-first" => quirks.final_place = FinalPlace::First,
        "final-missing" => quirks.final_place = FinalPlace::Missing,
        "untyped" => quirks.content_type = false,
        "cdata" => quirks.cdata = true,
        "status-per-item" => quirks.status_per_item = true,
        "counts-on" => quirks.raises_msg_id = true,
        other => return Err(format!("there is no quirk {other}")),
    }
    Ok(())
}

fn proof(name: &str) -> Result<Proof, String> {
    Ok(match name {
        "digest" => Proof::Digest,
        "certificate" => Proof::Certificate,
        "signature" => Proof::Signature,
        "nothing" => Proof::Nothing,
        other => return Err(format!("there is no proof {other}")),
    })
}
