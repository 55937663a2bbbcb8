//! From rows to decisions: what is read of many hosts is put before the rules, host by host, and what these say becomes
//! one delivery. Hosts that are sent the same share a command.

use std::collections::BTreeMap;

use entities::delivery::{Candidate, Command, Delivery, Row, Sent};
use entities::enqueue::Channel;
use entities::{enrollment, host_profile, profile};
use protocol::apple;
use protocol::apple::channel::ChannelKind;
use protocol::ids::{CommandUuid, HostId};
use protocol::profiles::{self, Kind, Operation, Profile, Scope, Status, UnderWay, command_uuid, plan};
use protocol::time::Timestamp;

use super::reference::Reference;

/// What hosts can share a command for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Shared {
    /// This version of a profile.
    Install(i64),
    /// A version of settings that Windows is to lose.
    Undo(i64),
    /// A profile with this identifier that an Apple device is to lose.
    Remove(String),
    /// The device is to look at its declarations.
    Synchronize,
}

/// A delivery in the making.
struct Decider<'a> {
    due_at: &'a dyn Fn(HostId) -> Timestamp,
    shared: BTreeMap<Shared, CommandUuid>,
    delivery: Delivery,
}

/// Decides what is sent to hosts, which are due then.
pub fn decide(
    candidates: &BTreeMap<i64, Candidate>,
    due_at: &dyn Fn(HostId) -> Timestamp,
    now: Timestamp,
    expires_at: Timestamp,
) -> Delivery {
    let delivery = Delivery { now: now.millis(), expires_at: expires_at.millis(), ..Delivery::default() };
    let mut decider = Decider { due_at, shared: BTreeMap::new(), delivery };
    for (host, candidate) in candidates {
        decider.consider(*host, candidate);
    }
    decider.delivery
}

impl Decider<'_> {
    /// Decides about one host.
    fn consider(&mut self, host_id: i64, candidate: &Candidate) {
        let host = host_of(candidate);
        let plan = plan(&host);
        let rows: BTreeMap<i64, &host_profile::Model> =
            candidate.rows.iter().map(|row| (row.profile_id, row)).collect();
        let row = |id: &i64| rows.get(id).map(|row| row_of(row));
        for command in &plan.take_back {
            if !self.delivery.taken_back.contains(&(host_id, command.entry)) {
                self.delivery.taken_back.push((host_id, command.entry));
            }
        }
        self.delivery.dropped.extend(plan.drop.iter().filter_map(row));
        self.delivery.held.extend(plan.hold.iter().filter_map(|(id, why)| Some((row(id)?, *why))));
        self.delivery.adopted.extend(plan.adopt.iter().filter_map(|(id, other)| Some((row(id)?, *other))));
        for send in &plan.send {
            let Some(row) = rows.get(&send.profile) else { continue };
            let (command_uuid, channel) = match &send.joins {
                Some(command) => (command.uuid.clone(), None),
                None => {
                    let due_at = (self.due_at)(HostId(host_id)).millis();
                    (self.command(row), Some(Channel { enrollment_id: send.channel, due_at }))
                }
            };
            let command_uuid = command_uuid.as_str().to_owned();
            let joins = send.joins.as_ref().map(|command| command.entry);
            self.delivery.sent.push(Sent { row: row_of(row), command_uuid, channel, joins });
        }
    }

    /// The command that does what a row asks for.
    fn command(&mut self, row: &host_profile::Model) -> CommandUuid {
        let shared = match (row.kind, row.operation) {
            (profile::DECLARATION, _) => Shared::Synchronize,
            (profile::WINDOWS, host_profile::REMOVE) => Shared::Undo(row.content_id),
            (_, host_profile::REMOVE) => Shared::Remove(row.identifier.clone()),
            _ => Shared::Install(row.content_id),
        };
        if let Some(uuid) = self.shared.get(&shared) {
            return uuid.clone();
        }
        let uuid = command_uuid(*uuid::Uuid::new_v4().as_bytes());
        let (request_type, body) = match &shared {
            Shared::Install(content) => ("InstallProfile", Reference::Install(*content).write()),
            Shared::Undo(content) => ("RemoveProfile", Reference::Remove(*content).write()),
            Shared::Remove(identifier) => {
                ("RemoveProfile", apple::command::Command::remove_profile(uuid.clone(), identifier).to_xml())
            }
            Shared::Synchronize => {
                let command = apple::command::Command::declarative_management(uuid.clone(), None);
                ("DeclarativeManagement", command.to_xml())
            }
        };
        self.delivery.commands.insert(uuid.as_str().to_owned(), Command { request_type, body });
        self.shared.insert(shared, uuid.clone());
        uuid
    }
}

fn row_of(row: &host_profile::Model) -> Row {
    Row { host_id: row.host_id, profile_id: row.profile_id, token: row.token.clone(), operation: row.operation }
}

/// A host as the rules see it.
fn host_of(candidate: &Candidate) -> profiles::Host {
    let of_kind = |kinds: &[ChannelKind]| {
        let is_one = |row: &&enrollment::Model| kinds.iter().any(|kind| kind.code() == row.kind);
        candidate.channels.iter().find(is_one)
    };
    let device = of_kind(&[ChannelKind::Device, ChannelKind::UserEnrollmentDevice, ChannelKind::Windows]);
    let user = of_kind(&[ChannelKind::User, ChannelKind::UserEnrollment, ChannelKind::SharedIpad]);
    profiles::Host {
        device: device.map(|row| row.id),
        user: user.map(|row| row.id),
        profiles: candidate.rows.iter().map(|row| profile_of(row, candidate)).collect(),
    }
}

fn profile_of(row: &host_profile::Model, candidate: &Candidate) -> Profile {
    let under_way = row.command_uuid.as_ref().and_then(|uuid| {
        let pending = candidate.under_way.get(uuid)?;
        Some(UnderWay {
            uuid: CommandUuid::parse(uuid)?,
            entry: pending.entry_id,
            channel: pending.enrollment_id,
            is_with_device: pending.is_with_device,
        })
    });
    Profile {
        id: row.profile_id,
        kind: match row.kind {
            profile::MOBILECONFIG => Kind::Mobileconfig,
            profile::DECLARATION => Kind::Declaration,
            _ => Kind::Windows,
        },
        identifier: row.identifier.clone(),
        scope: if row.scope == profile::USER { Scope::User } else { Scope::System },
        content: row.content_id,
        token: row.token.clone(),
        had: row.had_content_id,
        operation: if row.operation == host_profile::REMOVE { Operation::Remove } else { Operation::Install },
        status: match row.status {
            host_profile::UNSENT => Status::Unsent,
            host_profile::HELD => Status::Held,
            host_profile::PENDING => Status::Pending,
            host_profile::VERIFYING => Status::Verifying,
            host_profile::VERIFIED => Status::Verified,
            _ => Status::Failed,
        },
        under_way,
    }
}
