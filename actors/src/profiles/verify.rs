//! Asks devices which profiles they have, once they said that they installed some: nobody else tells the server of hosts
//! without an agent.

use std::collections::BTreeMap;

use entities::enqueue::{Channel, Enqueue};
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
    let candidates = entities::delivery::read(&desk.reader, hosts.clone()).await?;
    let (mut apple, mut windows) = (BTreeMap::new(), BTreeMap::new());
    for (host, candidate) in &candidates {
        let waits = |scope: i16| {
            let waiting =
                |row: &&host_profile::Model| row.scope == scope && row.verify_at.is_some_and(|at| at <= now.millis());
            candidate.rows.iter().any(|row| waiting(&row))
        };
        for channel in &candidate.channels {
            let (is_asked, channels) = match ChannelKind::from_code(channel.kind) {
                Some(ChannelKind::Device | ChannelKind::UserEnrollmentDevice) => (waits(profile::SYSTEM), &mut apple),
                Some(ChannelKind::User | ChannelKind::UserEnrollment | ChannelKind::SharedIpad) => {
                    (waits(profile::USER), &mut apple)
                }
                Some(ChannelKind::Windows) => (waits(profile::SYSTEM) || waits(profile::USER), &mut windows),
                None => continue,
            };
            if is_asked {
                let due_at = due.of(HostId(*host)).millis();
                channels.insert(channel.id, Channel { enrollment_id: channel.id, due_at });
            }
        }
    }
    // Each question is one transaction: a server that stops between them has not noted that the others were asked.
    let is_windows = |host: &i64| {
        let channels = candidates.get(host).into_iter().flat_map(|candidate| &candidate.channels);
        channels.into_iter().any(|channel| windows.contains_key(&channel.id))
    };
    let (of_windows, of_apple): (Vec<i64>, Vec<i64>) = hosts.into_iter().partition(is_windows);
    let list = |uuid: &CommandUuid| Command::profile_list(uuid.clone(), true).to_xml();
    queue(desk, of_apple, apple, &list, &due).await?;
    queue(desk, of_windows, windows, &|_| Reference::Verify.write(), &due).await
}

/// Queues a question for channels; all of `hosts` are asked again when no answer comes.
async fn queue(
    desk: &Desk,
    hosts: Vec<i64>,
    channels: BTreeMap<i64, Channel>,
    body: &dyn Fn(&CommandUuid) -> Vec<u8>,
    due: &Due,
) -> Result<(), StoreError> {
    if hosts.is_empty() {
        return Ok(());
    }
    let now = desk.clock.now();
    let uuid = list_uuid(*uuid::Uuid::new_v4().as_bytes());
    let body = body(&uuid);
    let expires_at = now.plus(request_types::facts("ProfileList").time_to_live);
    let asked = Enqueue {
        uuid: uuid.as_str().to_owned(),
        request_type: "ProfileList".to_owned(),
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
    let queued = host_profile_list::ask(&desk.writer, hosts, asked, now.millis(), again_at).await?;
    let news = News { uuid, priority: 0, no_blind_resend: false, body: body.into(), expires_at, push: true };
    desk.announcer.tell(&news, &queued, due);
    Ok(())
}
