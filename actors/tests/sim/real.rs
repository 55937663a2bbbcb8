//! Real actors over a real store: a server lives, is killed and lives again while devices, APNs, the clock and the
//! database misbehave; then everything is calm, and whatever was accepted must come to its end.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::apns::{Apns, line};
use crate::stage::Life;
use crate::world::World;
use crate::{admin, audit};

/// How long a calm server may take to end everything.
const PATIENCE: Duration = Duration::from_secs(1200);

/// Runs a seed; returns what must not be, and the number that stands for everything that happened.
pub(crate) fn run(seed: u64, loud: bool) -> (Vec<String>, u64) {
    let world = World::new(seed, loud);
    let lives = world.random("lives").within(1..5);
    for _ in 0..lives {
        live(&world, false);
    }
    world.calm.set(true);
    live(&world, true);
    if loud {
        world.print();
    }
    let findings = world.findings.borrow().clone();
    (findings, world.hash())
}

/// One life of the server.
pub(crate) fn live(world: &Rc<World>, calm: bool) {
    let (pusher, pushes) = line();
    let begin = (world.now.get(), world.ahead.get());
    let plan = world.chaos.clone();
    let ended = world.stage.live(begin, plan, Arc::new(pusher), async |life| {
        world.disturbed.set(life.moment());
        world.note(&life, "server", if calm { "starts, all is calm" } else { "starts" });
        audit::look(world, &life).await;
        actix::spawn(Apns::new(world, &life).serve(pushes));
        for device in &world.devices {
            actix::spawn(device.clone().run(world.clone(), life.clone()));
        }
        if calm {
            calm_down(world, &life).await;
        } else {
            world.chaos.let_loose(true);
            actix::spawn(admin::run(world.clone(), life.clone()));
            actix::spawn(jump(world.clone(), life.clone()));
            let lasts = world.random("life").millis(5_000..75_000);
            tokio::time::sleep(lasts).await;
            world.chaos.let_loose(false);
        }
        life.moment()
    });
    world.now.set(ended);
}

/// Waits until everything has ended, and looks at it.
async fn calm_down(world: &Rc<World>, life: &Life) {
    let end = life.moment().plus(PATIENCE);
    while life.moment() < end && !audit::is_done(life).await {
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    let entries = audit::look(world, life).await;
    audit::find_stalled(world, life, &entries);
}

/// The server's clock jumps.
async fn jump(world: Rc<World>, life: Rc<Life>) {
    let mut random = world.random("jump");
    if !random.permille(350) {
        return;
    }
    loop {
        tokio::time::sleep(random.millis(10_000..90_000)).await;
        let aim = *random.one_of(&[0, 90_000, 3_600_000, 86_400_000, -90_000, -3_600_000, -86_400_000]);
        let by = aim - world.ahead.replace(aim);
        let span = Duration::from_millis(by.unsigned_abs());
        if by < 0 {
            life.parts.clock.set_back(span)
        } else {
            life.parts.clock.advance(span)
        }
        world.disturbed.set(life.moment());
        world.steady.set(false);
        world.note(&life, "clock", &format!("jumps by {by} ms"));
    }
}
