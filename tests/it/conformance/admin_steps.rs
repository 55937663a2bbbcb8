//! What admins do and see, what APNs says, and how time goes by.

use std::time::Duration;

use protocol::apple::command::Command;
use protocol::apple::plist::Value;
use reqwest::Method;
use rookery::sim::apns::{Fault, Outcome, Target};
use serde_json::{Value as Json, json};

use super::script::{Step, names};
use super::stage::{Stage, compare};
use crate::app::{Answer, PATIENCE, answer};

impl Stage<'_> {
    pub(super) async fn admin(&mut self, step: &Step) -> Result<(), String> {
        match step.verb.as_str() {
            "queue" => self.queue(step).await,
            "run" => self.run(step).await,
            "do" => self.do_on_pcs(step).await,
            "get" => self.get(step).await,
            other => Err(format!("admins do not know how to {other}")),
        }
    }

    /// `queue m,m/ann ProfileList as c1..c9 [nopush]`: NanoMDM's way.
    async fn queue(&mut self, step: &Step) -> Result<(), String> {
        let targets: Vec<String> = step.arg(0).split(',').map(|name| self.channel_id(name)).collect();
        let query = if step.args.iter().any(|arg| arg == "nopush") { "?nopush=1" } else { "" };
        for name in names(step.after("as").ok_or("a command needs a name: as c")?) {
            let command = self.document(&name, step.arg(1), step.args.iter().any(|arg| arg == "big"))?;
            let path = format!("/v1/enqueue/{}{query}", targets.join(","));
            let answered = answer(self.world.app.admin(Method::PUT, &path).body(command)).await;
            status(&answered, step.expected.as_deref().unwrap_or("200"))?;
        }
        Ok(())
    }

    /// `run m,n ProfileList as c [key:k] [priority:5]`: Fleet's way.
    async fn run(&mut self, step: &Step) -> Result<(), String> {
        let uuids: Vec<String> = step.arg(0).split(',').map(|name| self.channel_id(name)).collect();
        let command = self.document(step.after("as").ok_or("a command needs a name: as c")?, step.arg(1), false)?;
        let mut body = json!({ "command": openssl::base64::encode_block(&command), "host_uuids": uuids });
        if let Some(priority) = step.option("priority") {
            body["priority"] = priority.parse::<i16>().map_err(|error| error.to_string())?.into();
        }
        let mut request = self.world.app.admin(Method::POST, "/api/v1/fleet/commands/run").body(body.to_string());
        if let Some(key) = step.option("key") {
            request = request.header("idempotency-key", key);
        }
        status(&answer(request).await, step.expected.as_deref().unwrap_or("200"))
    }

    fn document(&mut self, name: &str, request_type: &str, big: bool) -> Result<Vec<u8>, String> {
        let uuid = self.command(name, request_type);
        let payload = big.then(|| ("Payload".to_owned(), Value::Data(vec![b'p'; 100_000])));
        let command =
            Command::new(uuid, request_type, payload.into_iter().collect()).map_err(|error| error.to_string())?;
        Ok(command.to_xml())
    }

    async fn get(&mut self, step: &Step) -> Result<(), String> {
        let answered = self.world.app.get(step.arg(0)).await;
        status(&answered, step.expected.as_deref().unwrap_or("200"))
    }

    /// What is known of a host, its channels and its commands. With `~` behind the verb it is waited for.
    pub(super) async fn host(&mut self, step: &Step) -> Result<(), String> {
        let Some(verb) = step.verb.strip_suffix('~') else { return self.look_at_host(step).await };
        let step = Step { verb: verb.to_owned(), ..step.clone() };
        soon(async || self.look_at_host(&step).await).await
    }

    async fn look_at_host(&mut self, step: &Step) -> Result<(), String> {
        let expected = step.expected.as_deref().ok_or("a question needs an answer")?;
        // `$a` is the name that the command `a` has on the wire.
        let named = expected.strip_prefix('$').and_then(|name| self.commands.get(name));
        let named = named.map(|(uuid, _)| uuid.as_str().to_owned());
        let expected = named.as_deref().unwrap_or(expected);
        let found = match step.verb.as_str() {
            "status" => self.result(step).await?["status"].clone(),
            "not-now" => self.result(step).await?["not_now_count"].clone(),
            "result" => self.result(step).await?["result_json"]["Status"].clone(),
            "result-at" => self.result(step).await?.pointer(step.arg(2)).cloned().unwrap_or_default(),
            "orphans" => self.orphans(step.arg(0)).await?.into(),
            "unlock-tokens" => self.world.unlock_tokens(&self.channel_id(step.arg(0))).await.into(),
            "known" => self.known(step.arg(0)).await?.into(),
            "due" => return self.due(step.arg(0), expected).await,
            "actor" => self.actor_state(step.arg(0)).await?[step.arg(1)].clone(),
            "channel" => self.channel(step.arg(0)).await?[step.arg(1)].clone(),
            "says" => self.detail(step.arg(0)).await?.pointer(step.arg(1)).cloned().unwrap_or_default(),
            other => return Err(format!("nobody knows the {other} of a host")),
        };
        match expected.split_once('*').and_then(|(text, times)| Some(text.repeat(times.parse().ok()?))) {
            Some(repeated) => compare(&repeated, &shown(&found)),
            None => compare(expected, &shown(&found)),
        }
    }

    /// The state of a command on one channel.
    async fn result(&mut self, step: &Step) -> Result<Json, String> {
        let (uuid, _) = self.commands.get(step.arg(0)).cloned().ok_or("there is no such command")?;
        let id = self.channel_id(step.arg(1));
        let answered = self.world.app.get(&format!("/api/v1/fleet/commands/results?command_uuid={uuid}")).await;
        status(&answered, "200")?;
        let results = answered.json["results"].as_array().cloned().unwrap_or_default();
        results.into_iter().find(|one| one["enrollment_id"] == id).ok_or_else(|| "it was not queued there".into())
    }

    pub(super) async fn detail(&mut self, name: &str) -> Result<Json, String> {
        let device = name.split('/').next().unwrap_or_default();
        let pc = self.pcs.get(device).map(|actor| actor.pc.model.device_id.clone());
        let id = pc.unwrap_or_else(|| self.channel_id(device));
        let answered = self.world.app.get(&format!("/api/latest/fleet/hosts/identifier/{id}")).await;
        status(&answered, "200")?;
        Ok(answered.json["host"].clone())
    }

    async fn channel(&mut self, name: &str) -> Result<Json, String> {
        let (host, id) = (self.detail(name).await?, self.channel_id(name));
        let channels = host["enrollments"].as_array().cloned().unwrap_or_default();
        channels.into_iter().find(|one| one["id"] == id).ok_or_else(|| format!("the host has no channel {id}"))
    }

    /// What the host's actor holds of a channel in memory.
    async fn actor_state(&mut self, name: &str) -> Result<Json, String> {
        let (host, id) = (self.detail(name).await?["id"].clone(), self.channel_id(name));
        let answered = self.world.app.get(&format!("/api/v1/fleet/hosts/{host}/actor")).await;
        status(&answered, "200")?;
        let channels = answered.json["channels"].as_array().cloned().unwrap_or_default();
        channels.into_iter().find(|one| one["id"] == id).ok_or_else(|| format!("the actor has no channel {id}"))
    }

    /// When the host is due, for example `48..72` seconds.
    async fn due(&mut self, name: &str, expected: &str) -> Result<(), String> {
        let host = self.detail(name).await?["id"].clone();
        let answered = self.world.app.get(&format!("/api/v1/fleet/hosts/{host}/actor")).await;
        let found = answered.json["due_in_ms"].as_u64();
        if expected == "never" {
            return compare("None", &format!("{found:?}"));
        }
        let (from, to) = expected.split_once("..").ok_or("a span is from..to")?;
        let seconds = |text: &str| text.parse::<u64>().map_err(|error| error.to_string());
        let found = found.ok_or("it is never due")?;
        let fits = (seconds(from)? * 1000..=seconds(to)? * 1000).contains(&found);
        if fits { Ok(()) } else { Err(format!("expected {expected} seconds, found {found} ms")) }
    }

    /// Why reports were filed apart, in the order in which they came.
    async fn orphans(&mut self, name: &str) -> Result<String, String> {
        let host = self.detail(name).await?["id"].clone();
        let answered = self.world.app.get(&format!("/api/v1/fleet/hosts/{host}/orphan_results")).await;
        let orphans = answered.json["orphan_results"].as_array().cloned().unwrap_or_default();
        let mut counted: Vec<String> = Vec::new();
        for reason in ["late", "unknown"] {
            match orphans.iter().filter(|orphan| orphan["reason"] == reason).count() {
                0 => {}
                count => counted.push(format!("{count} {reason}")),
            }
        }
        Ok(if counted.is_empty() { "none".into() } else { counted.join(", ") })
    }

    /// How many hosts have the device's serial number or UDID.
    async fn known(&mut self, name: &str) -> Result<i64, String> {
        let model = self.device(name)?.model.clone();
        let mut most = 0;
        for query in [&model.serial_number, &model.udid] {
            let answered = self.world.app.get(&format!("/api/v1/fleet/hosts/count?query={query}")).await;
            most = most.max(answered.json["count"].as_i64().unwrap_or_default());
        }
        Ok(most)
    }

    pub(super) async fn apns(&mut self, step: &Step) -> Result<(), String> {
        match step.verb.as_str() {
            "answers" => {
                let token = self.token(step.arg(0))?;
                let (status, reason) =
                    (step.arg(1).parse().map_err(|_| "a status is a number")?, step.arg(2).to_owned());
                let ago = step.option("ago").map(|text| text.parse().map(Duration::from_secs));
                let timestamp = ago.transpose().map_err(|_| "ago is seconds")?.map(|ago| self.world.now().minus(ago));
                let wait = step.option("wait").map(|text| text.parse().map(Duration::from_secs));
                let retry_after = wait.transpose().map_err(|_| "wait is seconds")?;
                let fault = Fault::Answer { status, reason, retry_after, timestamp };
                self.world.push.script(Target::Token(token), fault, Some(1));
                Ok(())
            }
            "forgets" => {
                self.world.push.unregister(&self.token(step.arg(0))?);
                Ok(())
            }
            "pushes" => self.pushed(step.arg(0), |outcome| *outcome == Outcome::Delivered).await,
            "refuses" => self.pushed(step.arg(0), |outcome| matches!(outcome, Outcome::Refused(_))).await,
            "told" => {
                let outcome = self.push_now(step.arg(0)).await?;
                compare(step.expected.as_deref().unwrap_or("sent"), &outcome)
            }
            "dead" => soon(async || compare("dead token", &shown(&self.actor_state(step.arg(0)).await?["push"]))).await,
            other => Err(format!("APNs does not know how to {other}")),
        }
    }

    fn token(&mut self, name: &str) -> Result<Vec<u8>, String> {
        let speaker = self.speaker(name)?;
        let target = self.device(&speaker.actor)?.push_target(speaker.channel);
        Ok(target.ok_or("the channel has no token")?.token)
    }

    /// Waits for one more push with this outcome to a channel's token than the script has seen.
    async fn pushed(&mut self, name: &str, wanted: impl Fn(&Outcome) -> bool) -> Result<(), String> {
        let token = self.token(name)?;
        let seen = self.pushes.get(&token).copied().unwrap_or(0);
        let count = || {
            let observations = self.world.push.observations();
            let mine = observations.iter().filter(|one| one.token.as_deref() == Some(token.as_slice()));
            mine.filter(|one| wanted(&one.outcome)).count()
        };
        soon(async || if count() > seen { Ok(()) } else { Err(format!("no push after {seen}")) }).await?;
        let now = count();
        self.pushes.insert(token, now);
        Ok(())
    }

    /// NanoMDM's push at once: `sent`, or what was wrong.
    async fn push_now(&mut self, name: &str) -> Result<String, String> {
        let id = self.channel_id(name);
        let answered = self.world.app.get(&format!("/v1/push/{id}")).await;
        let outcome = &answered.json["status"][&id];
        let wrong = [&outcome["push_error"], &outcome["command_error"]].into_iter().find_map(Json::as_str);
        Ok(wrong.unwrap_or(if outcome["push_result"].is_string() { "sent" } else { "nothing" }).to_owned())
    }

    /// `clock forward 60`, in seconds; `60m`, `24h` and `7d` are understood.
    pub(super) fn clock(&mut self, step: &Step) -> Result<(), String> {
        let text = step.arg(0);
        let (number, unit) = match text.strip_suffix(['m', 'h', 'd']) {
            Some(number) => (number, &text[number.len()..]),
            None => (text, "s"),
        };
        let number: u64 = number.parse().map_err(|_| "a span is a number and a unit")?;
        let seconds = match unit {
            "m" => 60,
            "h" => 3600,
            "d" => 86_400,
            _ => 1,
        };
        self.world.app.running().advance_clock(Duration::from_secs(number * seconds));
        Ok(())
    }
}

/// Looks again and again until it holds; the last word of one that never did.
async fn soon(mut look: impl AsyncFnMut() -> Result<(), String>) -> Result<(), String> {
    let until = tokio::time::Instant::now() + PATIENCE;
    loop {
        match look().await {
            Err(why) if tokio::time::Instant::now() >= until => return Err(format!("waited in vain: {why}")),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            Ok(()) => return Ok(()),
        }
    }
}

pub(super) fn status(answered: &Answer, expected: &str) -> Result<(), String> {
    let found = answered.status.as_u16().to_string();
    if found == expected { Ok(()) } else { Err(format!("expected {expected}, found {found}: {}", answered.json)) }
}

fn shown(value: &Json) -> String {
    match value.as_str() {
        Some("") => "EMPTY".to_owned(),
        Some(text) => text.to_owned(),
        None => value.to_string(),
    }
}
