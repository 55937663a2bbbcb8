//! What Apple demands of a request, and the answer to each mistake (Apple, "Handling notification responses from
//! APNs").

use hyper::http::request::Parts;
use hyper::{HeaderMap, Method};
use protocol::apple::push::is_topic;
use protocol::time::Timestamp;

/// The largest payload, in bytes.
const MAX_PAYLOAD_BYTES: usize = 4096;

/// The longest collapse id, in bytes.
const MAX_COLLAPSE_ID_BYTES: usize = 64;

/// A request without mistakes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Push {
    pub(super) token: Vec<u8>,
    pub(super) topic: String,
    pub(super) magic: String,
    /// Until when it is kept for a device that is off; never, when absent.
    pub(super) expires_at: Option<Timestamp>,
}

/// The answer to a mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) reason: &'static str,
    /// Since when a token is not valid any more.
    pub(super) since: Option<Timestamp>,
}

impl Refusal {
    pub(super) const fn new(status: u16, reason: &'static str) -> Self {
        Self { status, reason, since: None }
    }
}

/// Who sends: the topic of the client certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sender {
    /// There was no client certificate.
    Nobody,
    /// The certificate is not valid now, not from whom it has to be, or names no topic.
    Unusable,
    /// The topic.
    Topic(String),
}

impl Sender {
    pub(super) fn topic(&self) -> Option<&str> {
        match self {
            Self::Topic(topic) => Some(topic),
            Self::Nobody | Self::Unusable => None,
        }
    }
}

/// The token that a request is for, whether the rest of it is right or not.
pub(super) fn token(path: &str) -> Option<Vec<u8>> {
    let text = path.strip_prefix("/3/device/")?.as_bytes();
    let (pairs, odd) = text.as_chunks::<2>();
    if text.is_empty() || !odd.is_empty() {
        return None;
    }
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

/// Looks for mistakes, in the order in which Apple's service seems to.
pub(super) fn judge(head: &Parts, body: &[u8], sender: &Sender) -> Result<Push, Refusal> {
    let bad = |reason| Refusal::new(400, reason);
    if !head.uri.path().starts_with("/3/device") {
        return Err(Refusal::new(404, "BadPath"));
    }
    if head.method != Method::POST {
        return Err(Refusal::new(405, "MethodNotAllowed"));
    }
    let certified = match sender {
        Sender::Nobody => return Err(Refusal::new(403, "MissingProviderToken")),
        Sender::Unusable => return Err(Refusal::new(403, "BadCertificate")),
        Sender::Topic(topic) => topic,
    };
    let headers = Headers::of(&head.headers)?;
    headers.check()?;
    // A certificate with one topic makes the header optional.
    match headers.topic {
        Some(topic) if !is_topic(topic) => return Err(bad("BadTopic")),
        Some(topic) if topic != certified => return Err(bad("TopicDisallowed")),
        _ => {}
    }
    if matches!(head.uri.path(), "/3/device" | "/3/device/") {
        return Err(bad("MissingDeviceToken"));
    }
    let token = token(head.uri.path()).ok_or(bad("BadDeviceToken"))?;
    if body.len() > MAX_PAYLOAD_BYTES {
        return Err(Refusal::new(413, "PayloadTooLarge"));
    }
    // Apple has no word for a payload of another shape; without what it looks for, a payload is empty.
    let magic = magic(body).ok_or(bad("PayloadEmpty"))?;
    let expires_at = headers.expiration.and_then(|text| text.parse().ok()).filter(|seconds| *seconds > 0);
    Ok(Push { token, topic: certified.clone(), magic, expires_at: expires_at.map(Timestamp::from_seconds) })
}

/// The headers that the service reads, each there at most once.
struct Headers<'a> {
    topic: Option<&'a str>,
    push_type: Option<&'a str>,
    priority: Option<&'a str>,
    expiration: Option<&'a str>,
    id: Option<&'a str>,
    collapse_id: Option<&'a str>,
}

impl<'a> Headers<'a> {
    fn of(headers: &'a HeaderMap) -> Result<Self, Refusal> {
        let one = |name: &str| {
            let mut values = headers.get_all(name).iter();
            match (values.next(), values.next()) {
                (_, Some(_)) => Err(Refusal::new(400, "DuplicateHeaders")),
                (first, None) => Ok(first.map(|value| value.to_str().unwrap_or("\0"))),
            }
        };
        Ok(Self {
            topic: one("apns-topic")?,
            push_type: one("apns-push-type")?,
            priority: one("apns-priority")?,
            expiration: one("apns-expiration")?,
            id: one("apns-id")?,
            collapse_id: one("apns-collapse-id")?,
        })
    }

    fn check(&self) -> Result<(), Refusal> {
        let numeric = |text: &str| text.parse::<i64>().is_ok_and(|seconds| seconds >= 0);
        let rules = [
            (self.id.is_none_or(|id| uuid::Uuid::parse_str(id).is_ok()), "BadMessageId"),
            (self.expiration.is_none_or(numeric), "BadExpirationDate"),
            (self.priority.is_none_or(|priority| matches!(priority, "1" | "5" | "10")), "BadPriority"),
            (self.collapse_id.is_none_or(|id| id.len() <= MAX_COLLAPSE_ID_BYTES), "BadCollapseId"),
            (self.push_type == Some("mdm"), "InvalidPushType"),
        ];
        rules.into_iter().try_for_each(|(kept, reason)| if kept { Ok(()) } else { Err(Refusal::new(400, reason)) })
    }
}

/// The push magic of a body that is `{"mdm": "…"}` and nothing else.
fn magic(body: &[u8]) -> Option<String> {
    let serde_json::Value::Object(mut entries) = serde_json::from_slice(body).ok()? else { return None };
    match (entries.remove("mdm"), entries.is_empty()) {
        (Some(serde_json::Value::String(magic)), true) if !magic.is_empty() => Some(magic),
        _ => None,
    }
}

/// The value of a lower case hexadecimal digit.
const fn digit(letter: u8) -> Option<u8> {
    match letter {
        b'0'..=b'9' => Some(letter - b'0'),
        b'a'..=b'f' => Some(letter - b'a' + 10),
        _ => None,
    }
}
