//! One attempt: a host's first event is read, put into its receiver's words, signed, sent, and what became of it is written
//! down.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use entities::webhook_delivery::{self as delivery, Attempt};
use entities::{Reader, StoreError, Writer, webhook_event};
use openssl::error::ErrorStack;
use protocol::time::Timestamp;
use protocol::webhook::lines::{LONGEST_REST, Outcome, back_off};
use protocol::webhook::signature::{self, Key};
use protocol::webhook::{Event, Form, Stamp, Topic, activity, test_document};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use tokio::sync::Semaphore;

use super::{Tally, WebhooksConfig, chance};
use crate::clock::Clock;
use crate::egress::{Egress, EgressError, Reply};

/// The header with the event's name.
const EVENT_HEADER: &str = "rookery-event-id";
/// How long a line waits when rows cannot be read or written.
const AFTER_STORE: Duration = Duration::from_secs(5);
/// Memory for the events of one webhook that are under way, in KiB. A larger event takes all of it.
pub(super) const BUDGET_KIB: u32 = 32 * 1024;
/// How much more memory an event takes while it is sent than its row: opened, decoded, written anew.
const GROWTH: u64 = 4;

/// Where events of a webhook go, as of now.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) id: i64,
    pub(super) url: String,
    pub(super) form: Form,
    pub(super) enabled: bool,
    /// The keys that are valid, oldest first.
    pub(super) keys: Vec<Key>,
}

/// What an attempt needs.
#[derive(Clone)]
pub(super) struct Courier {
    pub(super) reader: Reader,
    pub(super) writer: Writer,
    pub(super) clock: Clock,
    pub(super) egress: Egress,
    pub(super) config: Arc<WebhooksConfig>,
    pub(super) tally: Arc<Tally>,
    pub(super) budget: Arc<Semaphore>,
}

/// What came of sending.
type Sent = Result<Reply, EgressError>;

impl Courier {
    /// Gives a host its turn.
    pub(super) async fn tell(&self, target: &Target, host: i64) -> Outcome {
        crate::fault::point("webhooks.tell");
        match self.try_to_tell(target, host).await {
            Ok(outcome) => outcome,
            Err(error) => {
                tracing::warn!(webhook.id = target.id, "an event cannot be read or noted now: {error}");
                Outcome::Unknown { wait: AFTER_STORE }
            }
        }
    }

    async fn try_to_tell(&self, target: &Target, host: i64) -> Result<Outcome, StoreError> {
        let Some((row, bytes)) = delivery::first_of_host(&self.reader, target.id, host).await? else {
            return Ok(Outcome::Empty);
        };
        let (now, due) = (self.clock.now(), Timestamp::from_millis(row.due_at));
        if due > now && due <= now.plus(LONGEST_REST) {
            return Ok(Outcome::NotBefore(due));
        }
        if now.since(Timestamp::from_millis(row.since)) > self.config.max_age {
            return self.bury(target, &row, "it was not delivered in time").await;
        }
        let kib = u32::try_from(bytes.saturating_mul(GROWTH) / 1024).unwrap_or(u32::MAX).clamp(1, BUDGET_KIB);
        let _memory = self.budget.acquire_many(kib).await;
        let Some(event) = webhook_event::by_id(&self.reader, row.event_id.clone()).await? else {
            return self.bury(target, &row, "its event is gone").await;
        };
        let stamp = Stamp {
            id: event.id.clone(),
            at: Timestamp::from_millis(event.created_at),
            host: event.host_id,
            tally: event.tally,
        };
        let document = match event.open(self.reader.vault()) {
            Err(StoreError::Unreadable(_)) => None,
            opened if event.topic == Topic::Activity.as_str() => activity::document(&opened?, target.form, &stamp),
            opened => Event::decode(&opened?).map(|event| event.document(target.form, &stamp)),
        };
        let Some(document) = document else { return self.bury(target, &row, "its event cannot be read").await };
        let sent = self.send(target, &stamp.id, document).await;
        self.note(target, row, sent).await
    }

    /// Sends a document that says nothing but that it arrived.
    pub(super) async fn test(&self, target: &Target) -> Sent {
        let id = uuid::Uuid::new_v4().to_string();
        let document = test_document(target.form, &id, self.clock.now());
        self.send(target, &id, document).await
    }

    async fn send(&self, target: &Target, event: &str, document: Vec<u8>) -> Sent {
        // Receivers compare it with their clocks, whatever ours believes of a leap.
        let now = self.clock.shown();
        let headers = headers(target, event, &document, now)
            .map_err(|error| EgressError::Refused(format!("the event cannot be signed: {error}")))?;
        self.egress.post(&target.url, headers, document.into(), now).await
    }

    /// Writes down what became of an attempt.
    async fn note(&self, target: &Target, row: delivery::Model, sent: Sent) -> Result<Outcome, StoreError> {
        if sent.as_ref().is_ok_and(|reply| (200..300).contains(&reply.status)) {
            delivery::delivered(&self.writer, row.id, row.event_id).await?;
            self.tally.delivered.fetch_add(1, Relaxed);
            return Ok(Outcome::Delivered);
        }
        self.tally.failed.fetch_add(1, Relaxed);
        let (error, rest) = match &sent {
            Ok(reply) => (format!("it answered with status {}", reply.status), reply.retry_after),
            Err(error) => (error.to_string(), None),
        };
        // A receiver that is away or busy does not refuse this one event.
        let refuses = sent.is_ok_and(|reply| !matches!(reply.status, 429 | 502 | 503 | 504));
        let (attempts, refusals) = (row.attempts.saturating_add(1), row.refusals.saturating_add(refuses.into()));
        let now = self.clock.now();
        let is_dead = refusals >= self.config.max_refusals;
        let wait = back_off(attempts.unsigned_abs(), chance()).max(rest.unwrap_or_default().min(LONGEST_REST));
        let (state, since) = if is_dead { (delivery::DEAD, now.millis()) } else { (row.state, row.since) };
        let due_at = now.plus(wait).millis();
        let attempt = Attempt { id: row.id, state, attempts, refusals, since, due_at, error };
        tracing::info!(webhook.id = target.id, event.id = row.event_id, attempts, is_dead, "{}", attempt.error);
        delivery::note(&self.writer, attempt).await?;
        let wait = if is_dead { Duration::ZERO } else { wait };
        Ok(Outcome::Failed { wait, rest })
    }

    /// Makes a dead letter of an event without another attempt.
    async fn bury(&self, target: &Target, row: &delivery::Model, why: &str) -> Result<Outcome, StoreError> {
        let now = self.clock.now();
        tracing::warn!(webhook.id = target.id, event.id = row.event_id, "an event becomes a dead letter: {why}");
        let attempt = Attempt {
            id: row.id,
            state: delivery::DEAD,
            attempts: row.attempts,
            refusals: row.refusals,
            since: now.millis(),
            due_at: row.due_at,
            error: row.error.clone().unwrap_or_else(|| why.to_owned()),
        };
        delivery::note(&self.writer, attempt).await?;
        Ok(Outcome::NotBefore(now))
    }
}

fn headers(target: &Target, event: &str, body: &[u8], now: Timestamp) -> Result<HeaderMap, ErrorStack> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let mut put = |name: &'static str, value: String| {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    put(EVENT_HEADER, event.to_owned());
    put(signature::HEADER, signature::header(&target.keys, body, now)?);
    if let (Form::MicroMdm, Some(oldest)) = (target.form, target.keys.first()) {
        // It has room for one: the one that receivers know until it is retired.
        put(signature::NANO_HEADER, signature::nano_header(oldest, body)?);
    }
    Ok(headers)
}
