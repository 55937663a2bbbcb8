//! Apple's push service as data: the request that wakes a device, and what an answer means.
//!
//! A push carries nothing but the push magic; it asks the device to poll. Answers are those of Apple, "Handling
//! notification responses from APNs". Never here: connections, certificates, retries, and what becomes of a token.
//!
//! Start with [`headers`], [`path`] and [`body`]; answers become [`Feedback`].

use std::time::Duration;

use serde::Deserialize;

use crate::retry_after::retry_after;
use crate::time::Timestamp;

/// How long to leave a token alone that is pushed to too often, when the answer does not say.
pub const TOKEN_BACK_OFF: Duration = Duration::from_secs(60);

/// How long to wait after a failure of the service, when the answer does not say (Apple asks for 15 minutes).
pub const SERVICE_BACK_OFF: Duration = Duration::from_secs(15 * 60);

/// The longest wait that an answer can demand.
pub const MAX_BACK_OFF: Duration = Duration::from_secs(24 * 60 * 60);

/// How long to wait before a push on a new connection, when the service closes an idle one.
const RECONNECT: Duration = Duration::from_secs(1);

/// The longest answer that is read, in bytes; Apple's have less than 100.
const MAX_ANSWER_BYTES: usize = 4096;

/// The longest reason that is kept, in characters.
const MAX_REASON_CHARS: usize = 64;

/// An answer of the push service.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// The status code.
    pub status: u16,
    /// The header `apns-id`.
    pub apns_id: Option<&'a str>,
    /// The header `retry-after`: seconds or a date.
    pub retry_after: Option<&'a str>,
    /// The body: empty, or JSON with `reason` and sometimes `timestamp`.
    pub body: &'a [u8],
    /// When the answer came.
    pub received_at: Timestamp,
}

/// What to do about an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Feedback {
    /// The push is on its way. Whether it arrives, only the device's poll tells.
    Sent {
        /// The name the service gave the push.
        apns_id: Option<String>,
    },
    /// The token is not valid any more since this moment. It is dead only if it was not renewed later:
    /// [`Feedback::kills_token_of`].
    TokenDead {
        /// When the service learned of it; the moment of the answer when it does not say.
        since: Timestamp,
    },
    /// This push is wrong, by our fault. Do not repeat it, keep the enrollment; many of them at once are a wrong
    /// certificate or environment, so count them per topic.
    Rejected {
        /// Apple's word for it, or the status code.
        reason: String,
    },
    /// The certificate or the topic is refused. Stop pushing for this topic and alarm; no token is to blame.
    TopicRejected {
        /// Apple's word for it, or the status code.
        reason: String,
    },
    /// This token is pushed to too often.
    BackOff {
        /// How long to leave it alone.
        after: Duration,
    },
    /// The service cannot answer now. Repeat the push later, on a new connection.
    Unavailable {
        /// How long to wait.
        after: Duration,
    },
}

/// The path of the push to this token.
pub fn path(token: &[u8]) -> String {
    token.iter().fold("/3/device/".to_owned(), |path, byte| path + &format!("{byte:02x}"))
}

/// The body of a push: `{"mdm": push magic}` and nothing else.
pub fn body(push_magic: &str) -> Vec<u8> {
    serde_json::json!({ "mdm": push_magic }).to_string().into_bytes()
}

/// The headers of a push. Until `expires_at` the service keeps the push for a device that is off; without that it would
/// try only once.
pub fn headers(topic: &str, expires_at: Timestamp) -> [(&'static str, String); 4] {
    [
        ("apns-topic", topic.to_owned()),
        ("apns-push-type", "mdm".to_owned()),
        ("apns-priority", "10".to_owned()),
        ("apns-expiration", expires_at.seconds().max(0).to_string()),
    ]
}

/// Whether `topic` can be a push topic of device management: `com.apple.mgmt.` and a name of letters, digits, dots and
/// hyphens, at most 255 characters.
pub fn is_topic(topic: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    let name = topic.strip_prefix("com.apple.mgmt.").unwrap_or_default();
    !name.is_empty() && topic.len() <= 255 && name.bytes().all(allowed)
}

impl Feedback {
    /// Tells what an answer means.
    pub fn of(answer: &Answer<'_>) -> Self {
        let content = Content::read(answer.body);
        let reason = content.reason.as_deref().unwrap_or_default();
        let asked = answer.retry_after.and_then(|text| retry_after(text, answer.received_at));
        let wait = |default| asked.unwrap_or(default).min(MAX_BACK_OFF);
        match (answer.status, reason) {
            (200, _) => Self::Sent { apns_id: answer.apns_id.map(clip) },
            (410, _) => Self::TokenDead { since: content.since().unwrap_or(answer.received_at) },
            (429, _) => Self::BackOff { after: wait(TOKEN_BACK_OFF) },
            (400, "IdleTimeout") => Self::Unavailable { after: wait(RECONNECT) },
            (403, "Forbidden") => Self::Rejected { reason: clip(reason) },
            (403, _) | (400, "BadTopic" | "MissingTopic" | "TopicDisallowed") => {
                Self::TopicRejected { reason: content.reason_or(answer.status) }
            }
            (400..=499, _) => Self::Rejected { reason: content.reason_or(answer.status) },
            _ => Self::Unavailable { after: wait(SERVICE_BACK_OFF) },
        }
    }

    /// Whether this answer means that a token, last renewed at `renewed_at`, is dead. A token that was renewed after the
    /// service learned of the death of the one before is alive.
    pub fn kills_token_of(&self, renewed_at: Timestamp) -> bool {
        matches!(self, Self::TokenDead { since } if *since > renewed_at)
    }
}

/// The body of an answer.
#[derive(Default, Deserialize)]
struct Content {
    reason: Option<String>,
    timestamp: Option<i64>,
}

impl Content {
    /// Reads a body; one that is not as documented says nothing.
    fn read(body: &[u8]) -> Self {
        if body.len() > MAX_ANSWER_BYTES {
            return Self::default();
        }
        serde_json::from_slice(body).unwrap_or_default()
    }

    fn since(&self) -> Option<Timestamp> {
        self.timestamp.filter(|millis| *millis > 0).map(Timestamp::from_millis)
    }

    fn reason_or(&self, status: u16) -> String {
        self.reason.as_deref().map_or_else(|| status.to_string(), clip)
    }
}

fn clip(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(MAX_REASON_CHARS).collect()
}

#[cfg(test)]
mod tests;
