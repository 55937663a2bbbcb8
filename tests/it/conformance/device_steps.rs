//! What devices do. A verb that begins with a capital is a message as it stands on the wire, built and judged here; the
//! others let the simulated device act.

use hyper::Method;
use protocol::apple::command::Command;
use protocol::apple::enrollment_profile::EnrollmentProfile;
use protocol::apple::plist::{Dictionary, Value, parse, to_xml};
use protocol::ids::CommandUuid;
use protocol::pki::signature::verify;
use rookery::sim::apple::device::{Destination, DeviceError, SignatureForm, User};
use rookery::sim::apple::scep::ScepError;
use rookery::sim::wire::Reply;

use super::script::{Step, names};
use super::stage::{Speaker, Stage, compare};
use crate::world::TOPIC;

/// The statuses of reports; every other message is a check-in.
const REPORTS: [&str; 6] = ["Idle", "Acknowledged", "Error", "CommandFormatError", "NotNow", "Weird"];

impl Stage<'_> {
    pub(super) async fn device_step(&mut self, step: &Step) -> Result<(), String> {
        let speaker = self.speaker(&step.who)?;
        if step.verb.starts_with(|first: char| first.is_ascii_uppercase()) {
            return self.say(&speaker, step).await;
        }
        match step.verb.as_str() {
            "drain" => return self.drain(&speaker, step).await,
            "saves" => {
                let identity = self.device(&speaker.actor)?.identity().cloned();
                self.identities.insert(step.arg(0).to_owned(), identity);
                return Ok(());
            }
            "wears" => return self.wear(&speaker, step),
            "form" => return self.take_form(&speaker, step),
            "path" => return self.take_path(&speaker, step),
            "profile-of" => return self.fetch_profile_of(&speaker, step).await,
            _ => {}
        }
        let outcome = self.act(&speaker, step).await?;
        compare(step.expected.as_deref().unwrap_or("200"), &outcome)
    }

    /// Lets the simulated device act; what came of it is a status, or a word.
    async fn act(&mut self, speaker: &Speaker, step: &Step) -> Result<String, String> {
        let (url, channel) = (self.world.enroll_url(), speaker.channel);
        let user_kind = self.actor(&speaker.actor)?.user_kind;
        let device = self.device(&speaker.actor)?;
        let done = match step.verb.as_str() {
            "enroll" => device.enroll(&url).await,
            "profile" => device.fetch_profile(&url).await.map(|_| ()),
            "identity" => device.obtain_identity().await,
            "renew" => device.renew_identity().await,
            "authenticate" => device.authenticate().await,
            "token" => device.update_token(channel).await,
            "renew-token" => device.renew_token(channel).await,
            "leave" => device.check_out(channel).await,
            "user" | "add-user" => {
                let name = step.arg(0);
                let user = User::new(&format!("{name}-0000-4000-8000-000000000000"), name, &format!("{name} Example"));
                let added = device.add_user(user_kind, &user).map_err(|error| error.to_string())?;
                let told = if step.verb == "user" { device.update_token(added).await } else { Ok(()) };
                self.users.insert(format!("{}/{name}", speaker.actor), (added, user));
                told
            }
            "work" => {
                let worked = device.work(channel).await.map_err(|error| error.to_string())?;
                return Ok(worked.to_string());
            }
            other => return Err(format!("devices do not know how to {other}")),
        };
        match done {
            Ok(()) => Ok("200".into()),
            Err(DeviceError::Refused { status } | DeviceError::Busy { status, .. }) => Ok(status.to_string()),
            Err(DeviceError::Scep(ScepError::Refused(_))) => Ok("refused".into()),
            Err(error) => Err(error.to_string()),
        }
    }

    async fn say(&mut self, speaker: &Speaker, step: &Step) -> Result<(), String> {
        let message = self.message(speaker, step)?;
        let to = if REPORTS.contains(&step.verb.as_str()) { Destination::Command } else { Destination::CheckIn };
        let device = self.device(&speaker.actor)?;
        let reply = device.send(to, to_xml(&Value::Dictionary(message))).await.map_err(|error| error.to_string())?;
        self.judge(&reply, step.expected.as_deref().ok_or("a message needs what must come of it")?)
    }

    /// A message with what it usually says, changed as the line says: `Key:value`, `-Key`.
    fn message(&mut self, speaker: &Speaker, step: &Step) -> Result<Dictionary, String> {
        let mut message = self.usual(speaker, step)?;
        for (key, value) in &speaker.names {
            message.insert((*key).to_owned(), value.as_str().into());
        }
        for arg in &step.args {
            if let Some(key) = arg.strip_prefix('-') {
                message.remove(key).ok_or_else(|| format!("there is no {key} to leave out"))?;
            } else if let Some((key, value)) = arg.split_once(':') {
                let value = self.value(value)?;
                message.insert(key.to_owned(), value);
            }
        }
        Ok(message)
    }

    fn usual(&mut self, speaker: &Speaker, step: &Step) -> Result<Dictionary, String> {
        let text = |key: &str, value: &str| (key.to_owned(), Value::from(value));
        if REPORTS.contains(&step.verb.as_str()) {
            let mut report = Dictionary::from_iter([text("Status", &step.verb)]);
            if step.verb != "Idle" {
                let uuid = self.commands.get(step.arg(0)).map_or(step.arg(0), |known| known.0.as_str());
                report.insert("CommandUUID".into(), uuid.into());
            }
            return Ok(report);
        }
        let model = &self.device(&speaker.actor)?.model;
        let mut message = Dictionary::from_iter([text("MessageType", &step.verb), text("Topic", TOPIC)]);
        match step.verb.as_str() {
            "Authenticate" => message.extend([
                text("DeviceName", &model.device_name),
                text("Model", model.product_name),
                text("ModelName", model.model_name),
                text("OSVersion", model.os_version),
                text("BuildVersion", model.build_version),
                text("ProductName", model.product_name),
                text("SerialNumber", &model.serial_number),
            ]),
            "TokenUpdate" => message.extend([
                ("Token".to_owned(), Value::Data(vec![7; 32])),
                text("PushMagic", "A-PUSH-MAGIC"),
                ("AwaitingConfiguration".to_owned(), false.into()),
            ]),
            "SetBootstrapToken" => message.extend([("BootstrapToken".to_owned(), Value::Data(b"usual".to_vec()))]),
            "GetToken" => message.extend([text("TokenServiceType", "com.apple.maid")]),
            "DeclarativeManagement" => message.extend([text("Endpoint", "tokens")]),
            _ => {}
        }
        Ok(message)
    }

    /// `<text>` is data, `@m` is the name of a channel, `$m` a serial number; some words stand for values that are wrong.
    fn value(&mut self, text: &str) -> Result<Value, String> {
        if let Some(data) = text.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')) {
            return Ok(Value::Data(data.as_bytes().to_vec()));
        }
        if let Some(name) = text.strip_prefix('@') {
            return Ok(self.channel_id(name).into());
        }
        if let Some(name) = text.strip_prefix('$') {
            return Ok(self.device(name)?.model.serial_number.as_str().into());
        }
        Ok(match text {
            "true" => true.into(),
            "false" => false.into(),
            "EMPTY" => "".into(),
            "LIST" => Value::Array(Vec::new()),
            "NUMBER" => 7.into(),
            "LONG" => "x".repeat(300).into(),
            "BELL" => "a\u{7}b".into(),
            "MUCH" => Value::Data(vec![1; 1025]),
            other => other.into(),
        })
    }

    /// Judges a reply to a device as a whole. Its framing and the statuses 401 and 403 were judged by the device.
    fn judge(&self, reply: &Reply, expected: &str) -> Result<(), String> {
        compare(&reply.body.len().to_string(), reply.header("content-length").unwrap_or("no length"))?;
        let (word, rest) = expected.split_once(' ').unwrap_or((expected, ""));
        if let Ok(status) = word.parse::<u16>() {
            compare(word, &reply.status.to_string())?;
            let explained = !reply.body.is_empty() && reply.body.len() < 300 && status >= 400;
            return if explained { Ok(()) } else { Err(format!("{} bytes of explanation", reply.body.len())) };
        }
        if reply.status != 200 {
            let why = String::from_utf8_lossy(&reply.body);
            return Err(format!("expected {expected}, found {}: {}", reply.status, why.trim()));
        }
        match word {
            "nothing" if reply.body.is_empty() => Ok(()),
            "nothing" => Err(format!("{} bytes instead of nothing", reply.body.len())),
            "command" => self.judge_command(reply, rest),
            "token" => {
                let found = plist_entry(reply, "BootstrapToken")?.into_data().unwrap_or_default();
                compare(rest, &String::from_utf8_lossy(&found))
            }
            "plist" => plist_entry(reply, rest).map(|_| ()),
            "json" => {
                compare("application/json", reply.media_type().unwrap_or_default())?;
                let json: serde_json::Value = serde_json::from_slice(&reply.body).map_err(|error| error.to_string())?;
                json.get(rest).map(|_| ()).ok_or_else(|| format!("no {rest} in {json}"))
            }
            other => Err(format!("nobody knows what {other:?} is")),
        }
    }

    fn judge_command(&self, reply: &Reply, name: &str) -> Result<(), String> {
        compare("application/xml", reply.media_type().unwrap_or("nothing"))?;
        let nameless = CommandUuid::parse("nameless").ok_or("it is short")?;
        let found = Command::parse(&reply.body, 1 << 24, nameless).map_err(|error| error.to_string())?;
        let known = self.commands.iter().find(|(_, (uuid, _))| uuid == found.uuid());
        compare(name, known.map_or("a command of others", |(name, _)| name))?;
        compare(known.map_or("", |(_, (_, request_type))| request_type), found.request_type())
    }

    /// Takes these commands in this order, acknowledges each, and finds nothing more.
    async fn drain(&mut self, speaker: &Speaker, step: &Step) -> Result<(), String> {
        let mut line = Step { verb: "Idle".into(), args: Vec::new(), ..step.clone() };
        for name in names(step.arg(0)) {
            line.expected = Some(format!("command {name}"));
            self.say(speaker, &line).await?;
            line = Step { verb: "Acknowledged".into(), args: vec![name], ..line };
        }
        line.expected = Some("nothing".into());
        self.say(speaker, &line).await
    }

    /// Speaks with another certificate: a device's, a saved one, a stranger's, or none.
    fn wear(&mut self, speaker: &Speaker, step: &Step) -> Result<(), String> {
        let name = step.arg(0);
        let identity = match (name, self.identities.get(name).cloned()) {
            (_, Some(saved)) => saved,
            ("nothing", None) => None,
            ("stranger", None) => Some(self.stranger()?),
            (other, None) => self.device(other)?.identity().cloned(),
        };
        let device = self.device(&speaker.actor)?;
        device.options.signature = if identity.is_some() { SignatureForm::AsProfile } else { SignatureForm::None };
        device.set_identity(identity);
        Ok(())
    }

    /// How it proves who it is: `detached`, `bare`, `attached`, `tls`, then `PUT` or `POST`, then `untyped`.
    fn take_form(&mut self, speaker: &Speaker, step: &Step) -> Result<(), String> {
        let device = self.device(&speaker.actor)?;
        let (signature, tls) = match step.arg(0) {
            "detached" => (SignatureForm::Detached { attributes: true }, false),
            "bare" => (SignatureForm::Detached { attributes: false }, false),
            "attached" => (SignatureForm::Attached, false),
            "tls" => (SignatureForm::None, true),
            "both" => (SignatureForm::Detached { attributes: true }, true),
            other => return Err(format!("there is no form {other}")),
        };
        device.options.signature = signature;
        device.options.client_certificate = tls;
        device.options.method = if step.arg(1) == "POST" { Method::POST } else { Method::PUT };
        device.options.content_type = step.arg(2) != "untyped";
        let identity = device.identity().cloned();
        device.set_identity(identity);
        device.wire_mut().disconnect();
        Ok(())
    }

    /// Speaks to another path of the same server.
    fn take_path(&mut self, speaker: &Speaker, step: &Step) -> Result<(), String> {
        let url = self.world.app.device_url(step.arg(0));
        let device = self.device(&speaker.actor)?;
        let mut profile = device.profile().cloned().ok_or("there is no profile")?;
        profile.mdm.server_url = url;
        profile.mdm.check_in_url = None;
        device.set_profile(profile);
        Ok(())
    }

    /// Takes the profile that an admin made for a device.
    async fn fetch_profile_of(&mut self, speaker: &Speaker, step: &Step) -> Result<(), String> {
        let model = self.device(step.arg(0))?.model.clone();
        let promise = if step.arg(1) == "udid" {
            format!("uuid={}", model.udid)
        } else {
            format!("serial={}", model.serial_number)
        };
        let path = format!("/api/v1/fleet/enrollment_profiles/manual?{promise}");
        let request = self.world.app.admin(reqwest::Method::GET, &path);
        let signed = request.send().await.map_err(|error| error.to_string())?;
        let signed = signed.bytes().await.map_err(|error| error.to_string())?;
        let content = verify(&signed, None).map_err(|error| error.to_string())?.content.unwrap_or_default();
        let profile = EnrollmentProfile::parse(&content, 1 << 20).map_err(|error| error.to_string())?;
        self.device(&speaker.actor)?.set_profile(profile);
        Ok(())
    }
}

fn plist_entry(reply: &Reply, key: &str) -> Result<Value, String> {
    compare("application/xml", reply.media_type().unwrap_or("nothing"))?;
    let entries = parse(&reply.body, 1 << 20).map_err(|error| error.to_string())?;
    let entry = entries.into_dictionary().and_then(|mut entries| entries.remove(key));
    entry.ok_or_else(|| format!("there is no {key} in the reply"))
}
