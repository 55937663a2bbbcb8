//! Looks at the rows and compares them with the account that was kept outside of the server.

use std::rc::Rc;
use std::time::Duration;

use actors::dispatcher::Target;
use entities::command_status::{self, Filter, Status};
use entities::{enrollment, host};
use protocol::ids::HostId;
use protocol::queue::{Answer, State};

use crate::device::Device;
use crate::stage::{Life, policy};
use crate::world::{Command, Outcome, World};

/// Everything that must hold at any moment; to be called before anything runs.
pub(crate) async fn look(world: &Rc<World>, life: &Life) -> Vec<Status> {
    name_rows(world, life).await;
    let entries = command_status::list(&life.parts.reader, Filter::default(), 0, 100_000).await.unwrap();
    for entry in &entries {
        let former = world.states.borrow_mut().insert(entry.entry_id, entry.state);
        let right = former.is_none_or(|former| former == entry.state || former < entry.state.min(State::TERMINAL_CODE));
        world.expect(life, "rows", right, || format!("{} went from {former:?} to {}", entry.command_uuid, entry.state));
        check_entry(world, life, entry);
    }
    for (uuid, command) in &*world.commands.borrow() {
        check_command(world, life, uuid, command, &entries);
    }
    check_wake_ups(world, life).await;
    entries
}

/// Tells the channels which rows are theirs.
pub(crate) async fn name_rows(world: &Rc<World>, life: &Life) {
    let names = world.devices.iter().map(|device| device.name().to_owned()).collect();
    for row in enrollment::list_by_external_ids(&life.parts.reader, names).await.unwrap() {
        if let Some(device) = world.device(&row.external_id) {
            device.state.borrow_mut().row = Some(Target { host: HostId(row.host_id), enrollment: row.id });
        }
    }
}

/// Everything that must hold once nothing goes wrong any more; `false` while there still is work.
pub(crate) async fn is_done(life: &Life) -> bool {
    let pending = State::ALL.into_iter().filter(|state| !state.is_terminal()).map(State::code).collect();
    let filter = Filter { states: pending, ..Filter::default() };
    command_status::list(&life.parts.reader, filter, 0, 1).await.unwrap().is_empty()
}

fn check_entry(world: &World, life: &Life, entry: &Status) {
    let (Some(device), Some(state)) = (world.device(&entry.external_id), State::from_code(entry.state)) else {
        return world.find(life, "rows", &format!("{} is nobody's", entry.command_uuid));
    };
    let commands = world.commands.borrow();
    let known = device.state.borrow();
    let uuid = &entry.command_uuid;
    let word = known.words.get(uuid).copied();
    let possible = match state {
        State::Queued | State::Sent | State::NotNow => !known.confirmed.contains(uuid),
        State::Acknowledged => word == Some(Answer::Acknowledged),
        State::Error => word == Some(Answer::Error),
        State::FormatError => word == Some(Answer::FormatError),
        State::Expired => commands.get(uuid).is_some_and(|command| command.short_lived),
        State::Superseded => was_enrolled_since(world, device, commands.get(uuid)),
        State::Parked => known.handed_out.get(uuid).copied().unwrap_or(0) + known.asked_in_vain >= 10,
        State::Cancelled | State::Held => false,
    };
    let name = device.name();
    world.expect(life, name, possible, || format!("{uuid} is {state:?}, and the device said {word:?}"));
}

/// Whether the device of this channel enrolled after a command was asked for.
fn was_enrolled_since(world: &World, device: &Device, command: Option<&Command>) -> bool {
    let whole = world.devices.iter().find(|other| other.host == device.host);
    let Some((whole, command)) = whole.zip(command) else { return false };
    let until = |at: &protocol::time::Timestamp| at.plus(Duration::from_secs(60)) >= command.requested;
    whole.state.borrow().enrollments.iter().any(until)
}

fn check_command(world: &World, life: &Life, uuid: &str, command: &Command, entries: &[Status]) {
    let rows = entries.iter().filter(|entry| entry.command_uuid == uuid).count();
    let all = command.targets.len();
    let right = match command.outcome {
        Outcome::Accepted(_) => rows == all,
        Outcome::Refused => rows == 0,
        Outcome::Unknown => rows == 0 || rows == all,
    };
    world.expect(life, "rows", right, || format!("{uuid}: {:?}, but {rows} of {all} rows", command.outcome));
}

/// A host with work has a moment at which it is woken for it, and that moment is not far.
async fn check_wake_ups(world: &World, life: &Life) {
    let now = life.parts.clock.now();
    let mut hosts: Vec<HostId> = world.devices.iter().map(|device| device.host).collect();
    hosts.dedup();
    for id in hosts {
        let Some(rows) = host::load(&life.parts.reader, id.0, 1000).await.unwrap() else { continue };
        if rows.windows.iter().all(|window| window.rows.is_empty()) {
            continue;
        }
        let wake_at = rows.host.wake_at;
        let name = format!("host {}", id.0);
        world.expect(life, &name, wake_at.is_some(), || "has work, and nothing wakes it".into());
        let late = wake_at.is_some_and(|at| at > now.plus(policy().longest_wait()).millis() && world.steady.get());
        world.expect(life, &name, !late, || format!("is woken at {wake_at:?}, long after {now:?}"));
    }
}

/// What is still not done although nothing goes wrong.
pub(crate) fn find_stalled(world: &World, life: &Life, entries: &[Status]) {
    for entry in entries {
        let pending = State::from_code(entry.state).is_none_or(|state| !state.is_terminal());
        world.expect(life, &entry.external_id, !pending, || format!("{} stalls", entry.command_uuid));
    }
}
