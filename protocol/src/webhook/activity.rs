//! What webhooks are told of activities: what people and devices did, as the activity log has it.
//!
//! Fleet's form: <https://fleetdm.com/docs/using-fleet/automations#activity-automations>.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Form, Stamp, Topic};

/// An activity as it is kept until everyone was told.
#[derive(Deserialize)]
struct Activity {
    actor_full_name: Option<String>,
    actor_id: Option<i64>,
    actor_email: Option<String>,
    r#type: String,
    details: Value,
}

/// An activity that was kept, as its receiver reads it; `None` when it is none.
pub fn document(kept: &[u8], form: Form, stamp: &Stamp) -> Option<Vec<u8>> {
    let Activity { actor_full_name, actor_id, actor_email, r#type, details } = serde_json::from_slice(kept).ok()?;
    let mut said = json!({
        "actor_full_name": actor_full_name,
        "actor_id": actor_id,
        "actor_email": actor_email,
        "type": r#type,
        "details": details,
    });
    let document = if form == Form::Fleet {
        said["timestamp"] = stamp.at.to_rfc3339().into();
        said
    } else {
        json!({ "id": stamp.id, "type": Topic::Activity.as_str(), "time": stamp.at.to_rfc3339(), "data": said })
    };
    Some(document.to_string().into_bytes())
}
