//! What webhooks are told of a host's messages: rows that share the message's own transaction.
//!
//! Where nobody wants to know, a message costs one atomic load for it.

use std::collections::BTreeMap;

use actix::prelude::*;
use entities::turn::Turn as Rows;
use entities::webhook_event::NewEvent;
use protocol::apple;
use protocol::ids::CommandUuid;
use protocol::queue::{Change, State};
use protocol::webhook::{Event, Topic};
use reqwest::Url;

use super::channel::Channel;
use super::{Host, Sender, Turn, at_once};

impl Host {
    /// A check-in message, where any webhook wants to know of it.
    pub(super) fn tell_check_in(&mut self, sender: &Sender, topic: Topic) -> Vec<NewEvent> {
        self.tell(topic, false, || {
            let url_params = sender.original.query.as_deref().map(params).unwrap_or_default();
            Event { url_params, ..Event::new(topic, &sender.channel).with_payload(&sender.original.body) }
        })
    }

    /// A report, where any webhook wants to know of it.
    pub(super) fn tell_report(
        &mut self,
        sender: &Sender,
        status: &str,
        command: Option<&CommandUuid>,
        is_idle: bool,
    ) -> Vec<NewEvent> {
        self.tell(Topic::Connect, is_idle, || Event {
            status: Some(status.to_owned()),
            command_uuid: command.map(|uuid| uuid.as_str().to_owned()),
            url_params: sender.original.query.as_deref().map(params).unwrap_or_default(),
            ..Event::new(Topic::Connect, &sender.channel).with_payload(&sender.original.body)
        })
    }

    /// Commands that end by these changes, where any webhook wants to know of it.
    pub(super) fn tell_ended(&mut self, row: i64, changes: &[Change]) -> Vec<NewEvent> {
        if !self.parts.outlets.wants(Topic::CommandEnded, false) {
            return Vec::new();
        }
        let Some(channel) = self.channel_of_row(row) else { return Vec::new() };
        let names = names_of(channel);
        let ended = changes.iter().filter(|change| change.state.is_terminal());
        let ended: Vec<(State, Option<String>)> = ended
            .map(|change| (change.state, channel.queue.get(change.id).map(|entry| entry.uuid.as_str().to_owned())))
            .collect();
        let event = |(state, command_uuid): (State, Option<String>)| Event {
            status: Some(state.as_str().to_owned()),
            command_uuid,
            ..Event::new(Topic::CommandEnded, &names)
        };
        ended.into_iter().flat_map(|one| self.tell(Topic::CommandEnded, false, || event(one))).collect()
    }

    /// The end of a Windows device's management, where any webhook wants to know of it.
    pub(super) fn tell_left(&mut self, row: i64, body: &[u8]) -> Vec<NewEvent> {
        let Some(names) = self.channel_of_row(row).map(|channel| names_of(channel)) else { return Vec::new() };
        self.tell(Topic::CheckOut, false, || Event::new(Topic::CheckOut, &names).with_payload(body))
    }

    /// Writes what webhooks are told of a message that changes nothing else.
    pub(super) fn tell_alone(&mut self, sender: &Sender, topic: Topic) -> Turn<()> {
        let events = self.tell_check_in(sender, topic);
        if events.is_empty() {
            return at_once(Ok(()));
        }
        let writer = self.parts.writer.clone();
        let storing = async move { writer.host_turn(Rows { events, ..Rows::default() }).await };
        Box::pin(storing.into_actor(self).map(|stored, host, context| host.settle(stored, context)))
    }

    fn tell(&mut self, topic: Topic, is_idle: bool, event: impl FnOnce() -> Event) -> Vec<NewEvent> {
        if !self.parts.outlets.wants(topic, is_idle) {
            return Vec::new();
        }
        let webhooks = self.parts.outlets.who_wants(topic, is_idle);
        if webhooks.is_empty() {
            return Vec::new();
        }
        self.rings = true;
        vec![NewEvent {
            id: uuid::Uuid::new_v4().to_string(),
            host_id: self.id.0,
            topic: topic.as_str(),
            tally: None,
            created_at: self.now().millis(),
            payload: event().encode(),
            webhooks,
        }]
    }
}

/// What webhooks call a channel.
fn names_of(channel: &Channel) -> apple::channel::Channel {
    let (kind, id) = (channel.kind, channel.id.clone());
    apple::channel::Channel { kind, device_id: id.device(), id, user: None }
}

/// The parameters of a query; of several with one name the first counts.
fn params(query: &str) -> BTreeMap<String, String> {
    let Ok(url) = Url::parse(&format!("https://localhost/?{query}")) else { return BTreeMap::new() };
    let mut params = BTreeMap::new();
    for (name, value) in url.query_pairs() {
        params.entry(name.into_owned()).or_insert_with(|| value.into_owned());
    }
    params
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_becomes_parameters() {
        let expected = BTreeMap::from([("a".to_owned(), "1 2".to_owned()), ("b".to_owned(), String::new())]);
        assert_eq!(params("a=1+2&b&a=3"), expected);
        assert_eq!(params(""), BTreeMap::new());
    }
}
