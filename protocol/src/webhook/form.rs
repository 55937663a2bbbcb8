//! An event in the words of its receiver.
//!
//! NanoMDM's form: <https://github.com/micromdm/nanomdm>, `service/webhook/event.json`. Our own: `id`, `type`, `time`,
//! `host`, `data`; docs/OPERATIONS.md says what stands in them.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{Event, Topic};
use crate::time::Timestamp;

/// The words in which a webhook is told of events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// Our own envelope.
    #[default]
    Rookery,
    /// NanoMDM's and MicroMDM's.
    MicroMdm,
    /// Fleet's, for activities.
    Fleet,
}

/// What the rows of an event say about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The event's name, the same at each attempt.
    pub id: String,
    /// When it happened.
    pub at: Timestamp,
    /// The host's row.
    pub host: i64,
    /// How many TokenUpdates of its generation a TokenUpdate is.
    pub tally: Option<i32>,
}

impl Form {
    /// The number that stands for this form in rows.
    pub const fn code(self) -> i16 {
        match self {
            Self::Rookery => 0,
            Self::MicroMdm => 1,
            Self::Fleet => 2,
        }
    }

    /// The form that a row's number stands for.
    pub const fn from_code(code: i16) -> Self {
        match code {
            1 => Self::MicroMdm,
            2 => Self::Fleet,
            _ => Self::Rookery,
        }
    }

    /// The form's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rookery => "rookery",
            Self::MicroMdm => "micromdm",
            Self::Fleet => "fleet",
        }
    }

    /// Whether this form has words for a topic.
    pub fn tells(self, topic: Topic) -> bool {
        match self {
            Self::Rookery => true,
            Self::MicroMdm => topic != Topic::CommandEnded && topic != Topic::Activity,
            Self::Fleet => topic == Topic::Activity,
        }
    }

    /// Whether it tells a topic to those who named none: what people do is told only to those who ask for it, or whose form
    /// has nothing else to tell.
    pub fn tells_unasked(self, topic: Topic) -> bool {
        self.tells(topic) && (topic != Topic::Activity || self == Self::Fleet)
    }
}

impl Event {
    /// The event as its receiver reads it. Fleet's form has no words of its own for it.
    pub fn document(&self, form: Form, stamp: &Stamp) -> Vec<u8> {
        let document = match form {
            Form::Rookery | Form::Fleet => self.envelope(stamp),
            Form::MicroMdm => self.micromdm(stamp),
        };
        document.to_string().into_bytes()
    }

    fn envelope(&self, stamp: &Stamp) -> Value {
        let mut data = Map::new();
        self.put_report(&mut data);
        if self.topic != Topic::CommandEnded {
            data.insert("url_params".into(), json!(self.url_params));
            put(&mut data, "raw_payload", self.raw_payload.as_deref());
        }
        put(&mut data, "token_update_tally", stamp.tally);
        json!({
            "id": stamp.id,
            "type": self.topic.as_str(),
            "time": stamp.at.to_rfc3339(),
            "host": {
                "id": stamp.host,
                "device_id": self.channel.device_id,
                "enrollment_id": self.channel.id,
                "enrollment_type": self.channel.kind,
            },
            "data": data,
        })
    }

    fn micromdm(&self, stamp: &Stamp) -> Value {
        let mut inner = Map::new();
        self.put_report(&mut inner);
        let name = if self.channel.is_hidden { "enrollment_id" } else { "udid" };
        put(&mut inner, name, Some(self.channel.device_id.as_str()));
        let mut ids = Map::new();
        put(&mut ids, "id", Some(self.channel.id.as_str()));
        put(&mut ids, "type", Some(self.channel.kind.as_str()));
        let parent = Some(self.channel.device_id.as_str()).filter(|device| *device != self.channel.id);
        put(&mut ids, "parent_id", parent);
        inner.insert("ids".into(), ids.into());
        inner.insert("url_params".into(), json!(self.url_params));
        inner.insert("raw_payload".into(), json!(self.raw_payload.as_deref().unwrap_or_default()));
        put(&mut inner, "token_update_tally", stamp.tally);
        let kind = if self.topic == Topic::Connect { "acknowledge_event" } else { "checkin_event" };
        json!({
            "topic": self.topic.as_str(),
            "event_id": stamp.id,
            "created_at": stamp.at.to_rfc3339(),
            kind: inner,
        })
    }

    fn put_report(&self, into: &mut Map<String, Value>) {
        put(into, "status", self.status.as_deref());
        put(into, "command_uuid", self.command_uuid.as_deref());
    }
}

/// A document that says nothing but that it arrived.
pub fn test_document(form: Form, id: &str, at: Timestamp) -> Vec<u8> {
    let document = match form {
        Form::Rookery => json!({ "id": id, "type": "webhook.test", "time": at.to_rfc3339(), "data": {} }),
        Form::MicroMdm => json!({ "topic": "webhook.test", "event_id": id, "created_at": at.to_rfc3339() }),
        Form::Fleet => json!({ "timestamp": at.to_rfc3339(), "type": "webhook_test", "details": {} }),
    };
    document.to_string().into_bytes()
}

/// An entry, where there is something to say.
fn put(into: &mut Map<String, Value>, key: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        into.insert(key.to_owned(), value.into());
    }
}
