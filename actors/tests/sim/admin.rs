//! An admin who queues commands, and keeps an account of what was answered.

use std::rc::Rc;
use std::time::Duration;

use actors::ask::Refusal;
use actors::dispatcher::{Dispatch, Target, TimeToLive};
use bytes::Bytes;
use protocol::ids::CommandUuid;

use crate::stage::Life;
use crate::world::{Command, Outcome, World};

/// Queues commands until the life ends.
pub(crate) async fn run(world: Rc<World>, life: Rc<Life>) {
    let mut random = world.random("admin");
    let busy = *random.one_of(&[2_000, 8_000, 25_000]);
    loop {
        tokio::time::sleep(random.millis(1..busy)).await;
        let burst = *random.one_of(&[1, 1, 1, 4]);
        for _ in 0..burst {
            let chosen = world.devices.iter().filter(|_| random.permille(500));
            let known = chosen.filter_map(|device| Some((device.name().to_owned(), device.state.borrow().row?)));
            let (targets, channels): (Vec<String>, Vec<Target>) = known.unzip();
            if channels.is_empty() {
                continue;
            }
            let uuid = format!("c{:03}", world.commands.borrow().len());
            let short_lived = random.permille(100);
            let dispatch = Dispatch {
                uuid: CommandUuid::parse(&uuid).unwrap(),
                request_type: "ProfileList".into(),
                body: Bytes::from(uuid.clone()),
                asked_by: "admin".into(),
                priority: *random.one_of(&[0, 0, 0, 5, -5]),
                no_blind_resend: random.permille(200),
                time_to_live: TimeToLive::Usual(Duration::from_secs(if short_lived { 90 } else { 14 * 86_400 })),
                after: None,
                push: random.permille(800),
                channels,
                answers: None,
                action: None,
            };
            actix::spawn(queue(world.clone(), life.clone(), targets, short_lived, dispatch));
        }
    }
}

/// Queues a command, which is in the account from this moment on.
pub(crate) fn queue(
    world: Rc<World>,
    life: Rc<Life>,
    targets: Vec<String>,
    short_lived: bool,
    dispatch: Dispatch,
) -> impl Future<Output = ()> {
    let uuid = dispatch.uuid.as_str().to_owned();
    let command = Command { targets, requested: life.moment(), outcome: Outcome::Unknown, short_lived };
    world.commands.borrow_mut().insert(uuid.clone(), command);
    async move {
        let answer = life.parts.dispatcher.ask(dispatch, Duration::from_secs(30)).await;
        world.note(&life, "admin", &format!("{uuid} -> {answer:?}"));
        let outcome = match answer {
            Ok(_) => Outcome::Accepted(life.moment()),
            Err(Refusal::Conflict(_)) => Outcome::Refused,
            Err(_) => Outcome::Unknown,
        };
        if let Some(command) = world.commands.borrow_mut().get_mut(&uuid) {
            command.outcome = outcome;
        }
    }
}
