//! What is written down of a request to queue a command: for auditors, and for people.

use serde_json::json;

use super::{Enqueue, Enqueued};
use crate::activity::Activity;
use crate::audit::Event;

pub(super) fn event_of(request: &Enqueue, held: bool) -> Event {
    Event {
        at: request.now,
        actor: request.created_by.clone().unwrap_or_default(),
        action: if held { "command.hold" } else { "command.queue" },
        target: request.uuid.clone(),
        detail: format!("{} for {} channels", request.request_type, request.channels.len()),
    }
}

pub(super) fn activity_of(request: &Enqueue, outcome: &Enqueued) -> Activity {
    let mut hosts: Vec<i64> = outcome.entries.iter().map(|entry| entry.host_id).collect();
    hosts.sort_unstable();
    hosts.dedup();
    let kind = if outcome.held { "held_mdm_command" } else { "ran_mdm_command" };
    let said = json!({
        "command_uuid": request.uuid, "request_type": request.request_type, "host_count": hosts.len(),
    });
    Activity::new(kind, said).about(hosts)
}
