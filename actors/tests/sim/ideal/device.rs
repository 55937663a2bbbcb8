//! A device that does what commands for profiles say, or puts it off, fails, or loses its reply.

use std::collections::BTreeMap;

use actors::profiles::reference::Reference;
use entities::host_profile::report::{Finding, Found, Outcome, Reported};
use entities::host_profile::{self, report};
use entities::turn::{EntryChange, Turn};
use entities::{command, host_profile_list::Listed, profile, profile_content, queue_window};
use protocol::apple::command::Command;
use protocol::ids::CommandUuid;

use super::World;
use super::model::place;

#[derive(Clone)]
pub(super) struct Device {
    pub(super) host: i64,
    channel: i64,
    generation: i32,
    /// Place → text.
    profiles: BTreeMap<String, String>,
}

impl Device {
    pub(super) fn new(host: i64, channel: i64, generation: i32) -> Self {
        Self { host, channel, generation, profiles: BTreeMap::new() }
    }

    pub(super) fn has(&self) -> BTreeMap<String, String> {
        self.profiles.clone()
    }

    /// Takes commands until there is none, or until something keeps it from going on.
    pub(super) async fn work(&mut self, world: &mut World, peace: bool) {
        loop {
            let window = queue_window::of_channel(&world.reader, self.channel, self.generation, 1).await.unwrap();
            let Some(row) = window.rows.into_iter().next() else { break };
            // One that was put off stays so while it is on its way again.
            let change = |state: i16, attempts: i16| EntryChange {
                id: row.id,
                state,
                attempts,
                not_now_tally: 0,
                sent_at: Some(world.now.millis()),
                changed_at: world.now.millis(),
            };
            let sent = Turn { entries: vec![change(row.state.max(1), 1)], ..Turn::default() };
            world.writer.host_turn(sent).await.unwrap();
            let chance = if peace { 1000 } else { world.random.within(0..1000) };
            if chance < 150 {
                return; // it got the command and is not heard of again for a while
            }
            if chance < 300 {
                let put_off = Turn { entries: vec![change(2, 0)], ..Turn::default() };
                return world.writer.host_turn(put_off).await.unwrap();
            }
            if chance < 400 {
                self.execute(world, row.id).await;
                return; // done, and the reply is lost
            }
            let (state, outcome) = if chance < 500 {
                (11, Outcome::Failed("it did not work".into()))
            } else {
                self.execute(world, row.id).await;
                (10, Outcome::Done)
            };
            let verify_at = Some(world.now.millis());
            let (host_id, command_uuid, at) = (self.host, row.uuid.clone(), world.now.millis());
            let reported = Reported { host_id, command_uuid, outcome, max_retries: 3, verify_at, at };
            let turn = Turn { entries: vec![change(state, 1)], profiles: vec![reported], ..Turn::default() };
            world.writer.host_turn(turn).await.unwrap();
        }
        self.tell(world).await;
    }

    async fn execute(&mut self, world: &World, entry: i64) {
        let body = command::body_of_entry(&world.reader, entry).await.unwrap();
        match Reference::read(&body) {
            Some(Reference::Install(content)) => {
                let (place, text) = read(world, content).await;
                self.profiles.insert(place, text);
            }
            Some(Reference::Remove(content)) => {
                let (place, _) = read(world, content).await;
                self.profiles.remove(&place);
            }
            Some(Reference::Verify) => {} // what it has it tells after every command
            None => {
                let command = Command::parse(&body, 100_000, CommandUuid::parse("x").unwrap()).unwrap();
                if command.request_type() == "DeclarativeManagement" {
                    return self.synchronize(world).await;
                }
                let identifier = String::from_utf8(body).unwrap();
                let identifier = identifier.split("<key>Identifier</key>").nth(1).unwrap();
                let identifier = identifier.split("<string>").nth(1).unwrap().split('<').next().unwrap().to_owned();
                self.profiles.remove(&format!("0 {identifier}"));
            }
        }
    }

    /// Fetches its declarations.
    async fn synchronize(&mut self, world: &World) {
        self.profiles.retain(|place, _| !place.starts_with("1 "));
        for row in host_profile::of_host(&world.reader, self.host).await.unwrap() {
            if let Some(content) = given(&row) {
                let (place, text) = read(world, content).await;
                self.profiles.insert(place, text);
            }
        }
    }

    /// Tells which profiles it has, and how its declarations are.
    async fn tell(&self, world: &World) {
        let identifiers = self.profiles.keys().filter_map(|place| Some(place.strip_prefix("0 ")?.to_owned()));
        let listed = Listed {
            host_id: self.host,
            enrollment_id: self.channel,
            scope: profile::SYSTEM,
            identifiers: Some(identifiers.collect()),
            profiles: b"[]".to_vec(),
            max_retries: 3,
            at: world.now.millis(),
        };
        let turn = Turn { listed: Some(Box::new(listed)), ..Turn::default() };
        world.writer.host_turn(turn).await.unwrap();
        let mut findings = Vec::new();
        let rows = host_profile::of_host(&world.reader, self.host).await.unwrap();
        // What has the name of another declaration now is gone, too.
        let taken = |identifier: &str| rows.iter().any(|row| given(row).is_some() && row.identifier == identifier);
        for row in rows.clone() {
            let has = self.profiles.get(&format!("1 {}", row.identifier));
            let found = match (row.kind, row.operation) {
                (profile::DECLARATION, host_profile::REMOVE)
                    if [host_profile::UNSENT, host_profile::HELD].contains(&row.status) =>
                {
                    continue;
                }
                (profile::DECLARATION, host_profile::REMOVE) if has.is_none() || taken(&row.identifier) => Found::Gone,
                (profile::DECLARATION, host_profile::INSTALL) => {
                    let (_, text) = read(world, row.content_id).await;
                    if has == Some(&text) { Found::There } else { continue }
                }
                _ => continue,
            };
            findings.push(Finding { profile_id: row.profile_id, token: row.token, found });
        }
        report::find(&world.writer, self.host, findings, 3, world.now.millis()).await.unwrap();
    }
}

/// The version of a declaration that a host's device is given, as the host's actor has it.
fn given(row: &host_profile::Model) -> Option<i64> {
    match (row.kind, row.operation, row.status) {
        (profile::DECLARATION, host_profile::INSTALL, host_profile::HELD) => row.had_content_id,
        (profile::DECLARATION, host_profile::INSTALL, _) => Some(row.content_id),
        _ => None,
    }
}

/// Where a version goes on a device, and its text, which names its place.
async fn read(world: &World, content: i64) -> (String, String) {
    let text = profile_content::body(&world.reader, content).await.unwrap().unwrap();
    let text = String::from_utf8(text).unwrap();
    let mut words = text.split('|');
    let (kind, identifier, uuid) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
    (place(kind.parse().unwrap(), identifier, uuid), text)
}
