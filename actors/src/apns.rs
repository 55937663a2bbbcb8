//! Pushes to Apple devices: one HTTP/2 client for each topic, with that topic's certificate.
//!
//! A push only wakes a device. It is told, not asked: the host that wanted it hears what APNs said as a
//! [`Pushed`] and decides itself when to push again. Nothing here retries.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use actix::prelude::*;
use entities::vault::Vault;
use entities::{Reader, Writer, push_certificate};
use protocol::apple::push::{self, Answer as ApnsAnswer, Feedback, SERVICE_BACK_OFF};
use protocol::ids::HostId;
use protocol::pki::Signer;
use protocol::time::Timestamp;
use tokio::runtime::Handle as Io;
use tokio::sync::Semaphore;

use crate::ask::{Answer, Refusal};
use crate::clock::Clock;
use crate::host::channel::PushTarget;
use crate::host::pushed::Pushed;
use crate::singleton::{MAILBOX, singleton};
use crate::supervisor::{Guard, Stop};
use crate::tree::Parts;

/// Apple's production service.
pub const PRODUCTION: &str = "https://api.push.apple.com";
/// How long APNs keeps a push for a device that is off.
const KEPT_FOR: Duration = Duration::from_secs(7 * 86_400);
/// Pushes of one topic that may be under way at once.
const UNDER_WAY: usize = 500;
/// How often it is said that a topic has no certificate.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);
/// How long one push may take.
const DEADLINE: Duration = Duration::from_secs(30);
/// The largest answer that is read.
const MAX_ANSWER_BYTES: usize = 4096;

/// How to reach APNs.
#[derive(Clone, Debug)]
pub struct ApnsConfig {
    /// The service's address.
    pub url: String,
    /// A root certificate (PEM) to trust beside the system's, for a simulated service.
    pub root_certificate: Option<String>,
}

/// The actor that pushes.
pub struct Apns {
    guard: Guard,
    reader: Reader,
    writer: Writer,
    clock: Clock,
    io: Io,
    hosts: crate::Hosts,
    config: Arc<ApnsConfig>,
    topics: HashMap<String, Topic>,
    /// When it was last said that a topic has no certificate: a whole fleet may have it.
    complained_at: Option<Timestamp>,
    tally: Arc<Tally>,
}

/// What APNs has answered since the server started.
#[derive(Debug, Default)]
pub struct Tally {
    /// Pushes that were sent on their way.
    pub sent: AtomicU64,
    /// Pushes that failed, for whatever reason.
    pub failed: AtomicU64,
}

/// One topic's client.
#[derive(Clone)]
struct Topic {
    client: reqwest::Client,
    room: Arc<Semaphore>,
    /// After the certificate or the topic was refused, nothing is sent for a while.
    rests_until: Option<Timestamp>,
}

/// Wakes a device.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct Push {
    /// The host.
    pub host: HostId,
    /// The channel's row.
    pub enrollment: i64,
    /// Where to.
    pub target: PushTarget,
}

/// Wakes a device, and tells what APNs answered.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Answer<Feedback>")]
pub struct PushNow {
    /// Where to.
    pub target: PushTarget,
}

/// A new push certificate; the answer is its topic and its end.
#[derive(Clone, Message)]
#[rtype(result = "Answer<(String, Timestamp)>")]
pub struct Upload {
    /// The certificate, with its chain where there is one (PEM).
    pub certificate: String,
    /// The private key (PEM, unencrypted).
    pub private_key: String,
    /// Whether it may be of a topic that no earlier certificate had. Devices that enrolled with another topic could not
    /// be pushed with it.
    pub may_be_new_topic: bool,
    /// Who uploads it.
    pub asked_by: String,
}

#[derive(Debug, Message)]
#[rtype(result = "()")]
struct TopicRefused {
    topic: String,
    reason: String,
}

impl Default for ApnsConfig {
    fn default() -> Self {
        Self { url: PRODUCTION.into(), root_certificate: None }
    }
}

impl Apns {
    /// Starts the actor.
    pub fn launch(parts: &Parts, guard: Guard) -> Recipient<Stop> {
        let gauge = guard.gauge().clone();
        let actor = Self {
            guard,
            reader: parts.reader.clone(),
            writer: parts.writer.clone(),
            clock: parts.clock.clone(),
            io: parts.io.clone(),
            hosts: parts.hosts.clone(),
            config: parts.config.apns.clone(),
            topics: HashMap::new(),
            complained_at: None,
            tally: parts.pushes.clone(),
        };
        let address = actor.start();
        parts.apns.publish(address.clone(), gauge);
        address.recipient()
    }

    fn load(&self) -> ResponseActFuture<Self, Answer<()>> {
        let reader = self.reader.clone();
        let loading = async move { push_certificate::list(&reader).await };
        Box::pin(loading.into_actor(self).map(|loaded, apns, _| {
            let rows = loaded?;
            let config = apns.config.clone();
            let vault = apns.reader.vault().clone();
            let clients = rows.iter().map(|row| (row.topic.clone(), Topic::new(row, &vault, &config)));
            apns.topics.clear();
            for (topic, client) in clients {
                match client {
                    Ok(client) => drop(apns.topics.insert(topic, client)),
                    Err(error) => tracing::error!(apns.topic = %topic, "this push certificate cannot be used: {error}"),
                }
            }
            Ok(())
        }))
    }

    /// Answers without asking APNs.
    fn answer(&self, push: &Push, feedback: Feedback) {
        tell(&self.hosts, push, feedback);
    }
}

impl Actor for Apns {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.set_mailbox_capacity(MAILBOX);
        let loading = self.load().map(|loaded, apns: &mut Self, context: &mut Context<Self>| {
            if let Err(refusal) = loaded {
                apns.guard.fail(refusal.to_string());
                context.stop();
            }
        });
        context.wait(loading);
    }
}

singleton!(Apns);

impl Handler<Upload> for Apns {
    type Result = ResponseActFuture<Self, Answer<(String, Timestamp)>>;

    fn handle(&mut self, upload: Upload, _: &mut Self::Context) -> Self::Result {
        let checked = check_certificate(&upload, self.clock.now());
        let (reader, writer) = (self.reader.clone(), self.writer.clone());
        let storing = async move {
            let row = checked?;
            let known = push_certificate::list(&reader).await?;
            if !upload.may_be_new_topic && !known.is_empty() && known.iter().all(|known| known.topic != row.topic) {
                let topics: Vec<&str> = known.iter().map(|known| known.topic.as_str()).collect();
                return Err(Refusal::Conflict(format!(
                    "the certificate is for {}, but devices were enrolled for {}: renew the same certificate, or add \
                     ?new_topic=1 if this is meant",
                    row.topic,
                    topics.join(", ")
                )));
            }
            let stored = (row.topic.clone(), Timestamp::from_millis(row.not_after));
            push_certificate::store(&writer, row, upload.asked_by).await?;
            Ok(stored)
        };
        Box::pin(storing.into_actor(self).then(|stored, apns, _| {
            apns.load().map(move |loaded, _, _| {
                loaded?;
                stored
            })
        }))
    }
}

impl Handler<PushNow> for Apns {
    type Result = ResponseActFuture<Self, Answer<Feedback>>;

    fn handle(&mut self, push: PushNow, _: &mut Self::Context) -> Self::Result {
        let Some(topic) = self.topics.get(&*push.target.topic).cloned() else {
            let missing = Refusal::Conflict("there is no push certificate for the channel's topic".into());
            return Box::pin(actix::fut::ready(Err(missing)));
        };
        let (clock, config) = (self.clock.clone(), self.config.clone());
        let sending = self.io.spawn(async move { topic.send(&push.target, &config, &clock).await });
        Box::pin(sending.into_actor(self).map(|sent, _, _| sent.map_err(Refusal::soon)))
    }
}

impl Handler<TopicRefused> for Apns {
    type Result = ();

    fn handle(&mut self, refused: TopicRefused, _: &mut Self::Context) {
        let until = self.clock.now().plus(SERVICE_BACK_OFF);
        if let Some(topic) = self.topics.get_mut(&refused.topic) {
            if topic.rests_until.is_none() {
                let (name, reason) = (&refused.topic, &refused.reason);
                tracing::error!(apns.topic = %name, "APNs refuses this topic: {reason}. Check its push certificate");
            }
            topic.rests_until = Some(until);
        }
    }
}

impl Handler<Push> for Apns {
    type Result = ();

    fn handle(&mut self, push: Push, context: &mut Self::Context) {
        crate::fault::point("apns.push");
        let now = self.clock.now();
        self.guard.gauge().turn(now);
        let Some(topic) = self.topics.get_mut(&*push.target.topic) else {
            if self.complained_at.is_none_or(|at| now < at || now.since(at) >= COMPLAIN_EVERY) {
                self.complained_at = Some(now);
                tracing::warn!(apns.topic = %push.target.topic, "no push certificate for this topic; upload one");
            }
            return self.answer(&push, Feedback::Unavailable { after: SERVICE_BACK_OFF });
        };
        if let Some(until) = topic.rests_until.filter(|until| *until > now) {
            return self.answer(&push, Feedback::Unavailable { after: until.since(now) });
        }
        topic.rests_until = None;
        let (topic, hosts, tally) = (topic.clone(), self.hosts.clone(), self.tally.clone());
        let (clock, config, apns) = (self.clock.clone(), self.config.clone(), context.address());
        self.io.spawn(async move {
            let feedback = topic.send(&push.target, &config, &clock).await;
            let counter = if matches!(feedback, Feedback::Sent { .. }) { &tally.sent } else { &tally.failed };
            counter.fetch_add(1, Relaxed);
            if let Feedback::TopicRejected { reason } = &feedback {
                apns.do_send(TopicRefused { topic: push.target.topic.to_string(), reason: reason.clone() });
            }
            tell(&hosts, &push, feedback);
        });
    }
}

fn tell(hosts: &crate::Hosts, push: &Push, feedback: Feedback) {
    let pushed = Pushed { enrollment: push.enrollment, target: push.target.clone(), feedback };
    // A host that retired meanwhile, or has too much to do, pushes again by its own timer.
    let _ = hosts.tell_resident(push.host, pushed);
}

impl Topic {
    fn new(row: &push_certificate::Model, vault: &Vault, config: &ApnsConfig) -> Answer<Self> {
        let identity = reqwest::Identity::from_pkcs8_pem(row.certificate.as_bytes(), &row.open(vault)?);
        let identity = identity.map_err(Refusal::soon)?;
        let mut client = reqwest::Client::builder()
            .identity(identity)
            .https_only(true)
            .http2_prior_knowledge()
            .timeout(DEADLINE)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .http2_keep_alive_interval(Duration::from_secs(60))
            .http2_keep_alive_while_idle(true);
        if let Some(root) = &config.root_certificate {
            let root = reqwest::Certificate::from_pem(root.as_bytes()).map_err(Refusal::soon)?;
            client = client.tls_certs_merge([root]);
        }
        let client = client.build().map_err(Refusal::soon)?;
        Ok(Self { client, room: Arc::new(Semaphore::new(UNDER_WAY)), rests_until: None })
    }

    async fn send(&self, target: &PushTarget, config: &ApnsConfig, clock: &Clock) -> Feedback {
        let Ok(_place) = self.room.acquire().await else { return Feedback::Unavailable { after: SERVICE_BACK_OFF } };
        let url = format!("{}{}", config.url, push::path(&target.token));
        let expires_at = clock.now().plus(KEPT_FOR);
        let mut request = self.client.post(url).body(push::body(&target.magic));
        for (name, value) in push::headers(&target.topic, expires_at) {
            request = request.header(name, value);
        }
        match request.send().await {
            Ok(response) => read(response, clock).await,
            Err(error) => {
                // The outcome is unknown, and a second push does no harm: the host's own schedule is patience enough. The
                // token is left out of the log.
                tracing::warn!(apns.topic = %target.topic, "a push failed: {}", error.without_url());
                Feedback::Unavailable { after: Duration::ZERO }
            }
        }
    }
}

async fn read(mut response: reqwest::Response, clock: &Clock) -> Feedback {
    let status = response.status().as_u16();
    let text = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let (apns_id, retry_after) = (text("apns-id"), text("retry-after"));
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk[..chunk.len().min(MAX_ANSWER_BYTES - body.len())]);
        if body.len() == MAX_ANSWER_BYTES {
            break;
        }
    }
    Feedback::of(&ApnsAnswer {
        status,
        apns_id: apns_id.as_deref(),
        retry_after: retry_after.as_deref(),
        body: &body,
        received_at: clock.now(),
    })
}

/// Refuses a certificate and a key that do not belong together, a certificate without a topic, and one that has ended.
fn check_certificate(upload: &Upload, now: Timestamp) -> Answer<push_certificate::NewCertificate> {
    let invalid = |why: String| Refusal::Invalid(why);
    let signer = Signer::from_pem(upload.certificate.as_bytes(), upload.private_key.as_bytes())
        .map_err(|error| invalid(format!("the push certificate cannot be used: {error}")))?;
    let topic = signer.certificate().subject_user_id().unwrap_or_default().to_owned();
    if !push::is_topic(&topic) {
        return Err(invalid(
            "the certificate names no push topic (UID com.apple.mgmt.…): is it an MDM push certificate?".into(),
        ));
    }
    let not_after = signer.certificate().not_after();
    if not_after <= now {
        return Err(invalid(format!("the certificate ended at {}: renew it first", not_after.to_rfc3339())));
    }
    let private_key = signer.private_key_pem().map_err(|error| invalid(error.to_string()))?;
    Ok(push_certificate::NewCertificate {
        topic,
        certificate: upload.certificate.clone(),
        private_key: private_key.into(),
        not_after: not_after.millis(),
        updated_at: now.millis(),
    })
}
