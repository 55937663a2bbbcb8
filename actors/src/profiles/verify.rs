//! Asks devices which profiles they have, once they said that they installed some: nobody else tells the server of hosts
//! without an agent. Of declarations they tell by themselves, and are asked only when they do not.

use std::collections::BTreeMap;

use entities::enqueue::{Channel, Enqueue};
use entities::profile::{DECLARATION, MOBILECONFIG, WINDOWS};
use entities::{StoreError, host_profile, host_profile_list, profile};
use protocol::apple::channel::ChannelKind;
use protocol::apple::command::Command;
use protocol::apple::request_types;
use protocol::ids::{CommandUuid, HostId};
use protocol::profiles::list_uuid;

use super::Tally;
use super::reference::Reference;
use super::rounds::Desk;
use crate::dispatcher::announce::{Due, News};

/// Hosts that are asked at once.
const BATCH: u64 = 500;

/// Asks all hosts that are to be asked by now.
pub(super) async fn ask(desk: &Desk) -> Result<(), StoreError> {
    loop {
        let now = desk.clock.now();
        let hosts = host_profile::hosts_to_verify(&desk.reader, now.millis(), BATCH).await?;
        if hosts.is_empty() {
            return Ok(());
        }
        ask_some(desk, hosts).await?;
    }
}

async fn ask_some(desk: &Desk, hosts: Vec<i64>) -> Result<(), StoreError> {
    let now = desk.clock.now();
    let due = desk.announcer.due(hosts.iter().map(|host| HostId(*host)), true, now);
    let candidates = entities::delivery::read(&desk.reader, hosts).await?;
    // Each question is one transaction: a server that stops between them has not noted that the others were asked.
    for kind in [MOBILECONFIG, DECLARATION, WINDOWS] {
        let (mut asked, mut channels) = (Vec::new(), BTreeMap::new());
        for (host, candidate) in &candidates {
            let is_due = |row: &&host_profile::Model| row.verify_at.is_some_and(|at| at <= now.millis());
            let waits =
                |scope: i16| candidate.rows.iter().any(|row| row.kind == kind && row.scope == scope && is_due(&row));
            let (system, user) = (waits(profile::SYSTEM), waits(profile::USER));
            if !system && !user {
                continue;
            }
            asked.push(*host);
            for channel in &candidate.channels {
                let is_asked = match ChannelKind::from_code(channel.kind) {
                    Some(ChannelKind::Windows) => kind == WINDOWS,
                    Some(ChannelKind::Device | ChannelKind::UserEnrollmentDevice) => kind != WINDOWS && system,
                    Some(_) => kind != WINDOWS && user,
                    None => false,
                };
                if is_asked {
                    let due_at = due.of(HostId(*host)).millis();
                    channels.insert(channel.id, Channel { enrollment_id: channel.id, due_at });
                }
            }
        }
        queue(desk, (asked, kind), channels, &due).await?;
    }
    Ok(())
}

/// What is asked about profiles of a kind. A device that is told of its declarations comes for them, and is judged by what it said
/// of them before.
fn question(kind: i16) -> (CommandUuid, &'static str, Vec<u8>) {
    let random = uuid::Uuid::new_v4();
    match kind {
        DECLARATION => {
            let uuid = CommandUuid::from(random);
            let body = Command::declarative_management(uuid.clone(), None).to_xml();
            (uuid, "DeclarativeManagement", body)
        }
        WINDOWS => (list_uuid(*random.as_bytes()), "ProfileList", Reference::Verify.write()),
        _ => {
            let uuid = list_uuid(*random.as_bytes());
            let body = Command::profile_list(uuid.clone(), true).to_xml();
            (uuid, "ProfileList", body)
        }
    }
}

/// Queues a question for channels; all of the hosts are asked again when no answer comes.
async fn queue(
    desk: &Desk,
    (hosts, kind): (Vec<i64>, i16),
    channels: BTreeMap<i64, Channel>,
    due: &Due,
) -> Result<(), StoreError> {
    if hosts.is_empty() {
        return Ok(());
    }
    let now = desk.clock.now();
    let (uuid, request_type, body) = question(kind);
    let expires_at = now.plus(request_types::facts(request_type).time_to_live);
    let asked = Enqueue {
        uuid: uuid.as_str().to_owned(),
        request_type: request_type.to_owned(),
        body: body.clone(),
        created_by: None,
        priority: 0,
        no_blind_resend: false,
        expires_at: expires_at.millis(),
        expires_as_asked: false,
        after: None,
        channels: channels.into_values().collect(),
        brake: None,
        answers: None,
        action: None,
        now: now.millis(),
    };
    Tally::add(&desk.tally.asked, asked.channels.len() as u64);
    // Asked again when no answer comes: the device may be off for long, or the command may be taken back.
    let again_at = expires_at.millis();
    let queued = host_profile_list::ask(&desk.writer, (hosts, kind), asked, now.millis(), again_at).await?;
    let news = News { uuid, priority: 0, no_blind_resend: false, body: body.into(), expires_at, push: true };
    desk.announcer.tell(&news, &queued, due);
    Ok(())
}
