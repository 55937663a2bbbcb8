//! Queues that are longer than what an actor reads of them at once: nobody notices, at the wire or in the results.

use protocol::ids::CommandUuid;
use rookery::sim::apple::device::{Answer as Done, Device};
use rookery::sim::apple::model::Family;
use serde_json::Value;

use crate::world::{DEVICE, World, assert_sound, on_each_store_with};

/// More than one window.
const MANY: usize = 300;

/// Queues many commands, and starts the server again, so that the host's actor has to read them.
async fn queued_and_restarted(world: &mut World, device: &Device) -> Vec<CommandUuid> {
    let id = device.channel_id(DEVICE).unwrap();
    let mut queued = Vec::new();
    for _ in 0..MANY {
        queued.push(world.enqueue(id, "ProfileList").await);
    }
    world.app.restart();
    queued
}

async fn channel(world: &World, device: &Device) -> Value {
    let host = world.host(device).await["id"].as_i64().unwrap();
    world.app.get(&format!("/api/v1/fleet/hosts/{host}/actor")).await.json["channels"][0].clone()
}

#[actix::test]
async fn a_long_queue_is_worked_off_in_its_order() {
    on_each_store_with(
        |_| {},
        async |world| {
            let mut device = world.enrolled(Family::Mac, 1).await;
            let queued = queued_and_restarted(world, &device).await;
            let seen = channel(world, &device).await;
            assert_eq!(seen["more_in_rows"], true, "{seen}");
            assert!(seen["pending"].as_u64().unwrap() < 300, "only a window is in memory: {seen}");
            let mut next = device.poll(DEVICE).await.unwrap();
            for expected in &queued {
                assert_eq!(next.as_ref().map(|command| command.uuid()), Some(expected));
                next = device.report(DEVICE, expected, &Done::acknowledged()).await.unwrap();
            }
            assert_eq!(next, None);
            assert_eq!(world.status(&queued[MANY - 1]).await, "Acknowledged");
            assert_sound(&device);
        },
    )
    .await;
}

#[actix::test]
async fn a_device_that_defers_everything_sees_the_whole_queue() {
    on_each_store_with(
        |_| {},
        async |world| {
            let mut device = world.enrolled(Family::IPhone, 1).await;
            let queued = queued_and_restarted(world, &device).await;
            // A command far beyond the window is reported on before it was handed out by this process.
            let last = &queued[MANY - 1];
            let mut next = device.report(DEVICE, last, &Done::acknowledged()).await.unwrap();
            assert_eq!(world.status(last).await, "Acknowledged");
            for expected in &queued[..MANY - 1] {
                assert_eq!(next.as_ref().map(|command| command.uuid()), Some(expected));
                next = device.report(DEVICE, expected, &Done::not_now()).await.unwrap();
            }
            assert_eq!(next, None, "each is offered once in a session");
            assert_eq!(device.poll(DEVICE).await.unwrap().unwrap().uuid(), &queued[0]);
            assert_eq!(
                device.report(DEVICE, &queued[0], &Done::acknowledged()).await.unwrap().unwrap().uuid(),
                &queued[1]
            );
            assert_eq!(world.orphans(&device).await, Vec::<Value>::new());
            assert_sound(&device);
        },
    )
    .await;
}
