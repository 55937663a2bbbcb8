//! A host's actor panics at every point of its turns.

use std::time::Duration;

use protocol::apple::command::Command;
use protocol::ids::CommandUuid;
use rookery::serve::fault;
use rookery::sim::apple::device::{Answer, Device, DeviceError, DeviceOptions};
use rookery::sim::apple::model::Family;
use serde_json::Value;

use crate::app::eventually;
use crate::world::{DEVICE, World, alone_on_each_store};

/// Sends a message until it is answered, as a device does: a 503 only costs time.
async fn insist<T>(device: &mut Device, send: impl AsyncFn(&mut Device) -> Result<T, DeviceError>) -> T {
    loop {
        match send(device).await {
            Ok(answer) => return answer,
            Err(DeviceError::Busy { .. }) => tokio::time::sleep(Duration::from_millis(20)).await,
            Err(error) => unreachable!("a device was told {error}"),
        }
    }
}

/// Works off everything, however often the host's actor dies meanwhile. Returns what was done, in order.
async fn work(device: &mut Device) -> Vec<CommandUuid> {
    let mut done = Vec::new();
    let mut next: Option<Command> = insist(device, async |device| device.poll(DEVICE).await).await;
    while let Some(command) = next.take() {
        let uuid = command.uuid().clone();
        next = insist(device, async |device| device.report(DEVICE, &uuid, &Answer::acknowledged()).await).await;
        done.push(uuid);
        if next.is_none() {
            next = insist(device, async |device| device.poll(DEVICE).await).await;
        }
    }
    done
}

async fn census(world: &World) -> Value {
    world.app.ops("/tree").await.json["hosts"].clone()
}

#[actix::test]
async fn a_panic_at_any_point_of_a_report_loses_nothing_and_harms_nobody_else() {
    for place in ["host.report", "host.report.decided", "host.report.committed"] {
        alone_on_each_store(async |world| {
            let mut device = world.enrolled(Family::Mac, 1).await;
            let mut bystander = world.enrolled(Family::Mac, 2).await;
            let mut queued = Vec::new();
            for _ in 0..3 {
                queued.push(world.run(&[&device], "ProfileList").await);
            }
            let before = census(world).await["crashed"].as_u64().unwrap();
            for _ in 0..2 {
                fault::arm(place, 1);
                let _ = device.poll(DEVICE).await;
                assert_eq!(fault::left(place), 0, "{place}: the fault happened");
                assert!(bystander.poll(DEVICE).await.is_ok());
            }
            work(&mut device).await;
            for command in &queued {
                assert_eq!(world.status(command).await, "Acknowledged", "{place}");
            }
            assert_eq!(census(world).await["crashed"], before + 2, "{place}");
            assert_eq!(census(world).await["quarantined"], Value::Array(vec![]), "{place}");
        })
        .await;
    }
}

#[actix::test]
async fn a_panic_at_any_point_of_an_enrollment_costs_a_retry() {
    let places = [
        "host.authenticate",
        "host.authenticate.committed",
        "host.token_update",
        "host.token_update.committed",
        "registrar.admit",
    ];
    for place in places {
        alone_on_each_store(async |world| {
            let mut device = world.device(Family::Mac, 1, DeviceOptions::default());
            device.fetch_profile(&world.enroll_url()).await.unwrap();
            device.obtain_identity().await.unwrap();
            fault::arm(place, 1);
            insist(&mut device, async |device| device.authenticate().await).await;
            insist(&mut device, async |device| device.update_token(DEVICE).await).await;
            assert_eq!(fault::left(place), 0, "{place}: the fault happened");
            assert_eq!(world.host(&device).await["mdm"]["enrollment_status"], "On (manual)", "{place}");
            let command = world.run(&[&device], "SecurityInfo").await;
            assert_eq!(work(&mut device).await, vec![command.clone()], "{place}");
            assert_eq!(world.app.get("/api/v1/fleet/hosts/count").await.json["count"], 1, "{place}");
        })
        .await;
    }
}

#[actix::test]
async fn a_new_enrollment_that_dies_half_way_delivers_nothing_of_the_old_one() {
    for place in ["host.authenticate", "host.authenticate.committed", "host.token_update"] {
        alone_on_each_store(async |world| {
            let mut device = world.enrolled(Family::Mac, 1).await;
            let erase = world.run(&[&device], "EraseDevice").await;
            device.fetch_profile(&world.enroll_url()).await.unwrap();
            device.obtain_identity().await.unwrap();
            fault::arm(place, 1);
            insist(&mut device, async |device| device.authenticate().await).await;
            insist(&mut device, async |device| device.update_token(DEVICE).await).await;
            assert_eq!(work(&mut device).await, vec![], "{place}: the old owner's erase command is dead");
            assert_eq!(world.status(&erase).await, "Superseded", "{place}");
        })
        .await;
    }
}

#[actix::test]
async fn a_panic_in_a_timer_costs_a_push_and_no_command() {
    alone_on_each_store(async |world| {
        let mut device = world.enrolled(Family::Mac, 1).await;
        let command = world.run(&[&device], "SecurityInfo").await;
        fault::arm("host.due", 1);
        eventually("the timer rings", async || (fault::left("host.due") == 0).then_some(())).await;
        let before = world.push.counts().delivered;
        world.pushed_since(before).await;
        assert_eq!(work(&mut device).await, vec![command]);
    })
    .await;
}

#[actix::test]
async fn a_command_that_breaks_its_host_three_times_is_parked_and_the_next_one_flows() {
    alone_on_each_store(async |world| {
        let mut device = world.enrolled(Family::Mac, 1).await;
        let (poison, sound) = (world.run(&[&device], "ProfileList").await, world.run(&[&device], "SecurityInfo").await);
        fault::arm("host.report.decided", 3);
        while fault::left("host.report.decided") > 0 {
            assert!(matches!(device.poll(DEVICE).await, Err(DeviceError::Busy { .. })));
        }
        assert_eq!(work(&mut device).await, vec![sound]);
        assert_eq!(world.status(&poison).await, "Parked");
        assert_eq!(census(world).await["quarantined"], Value::Array(vec![]), "its cause was taken away");
    })
    .await;
}

#[actix::test]
async fn a_host_that_crashes_without_a_culprit_is_quarantined_alone() {
    alone_on_each_store(async |world| {
        let mut sick = world.enrolled(Family::Mac, 1).await;
        let mut sound = world.enrolled(Family::Mac, 2).await;
        fault::arm("host.report", 3);
        for _ in 0..3 {
            assert!(matches!(sick.poll(DEVICE).await, Err(DeviceError::Busy { .. })));
        }
        // The news of the third crash may take a moment; until then the device is told to come back soon, and nothing else.
        eventually("the host is quarantined", async || match sick.poll(DEVICE).await {
            Err(DeviceError::Busy { status: 503, after: Some(after) }) => {
                (after > Duration::from_secs(60)).then_some(())
            }
            other => unreachable!("{other:?}"),
        })
        .await;
        assert_eq!(sound.poll(DEVICE).await.unwrap(), None);
        let shown = census(world).await["quarantined"].clone();
        assert_eq!(shown[0]["host_id"], world.host(&sick).await["id"]);
        assert!(shown[0]["last_error"].as_str().unwrap().contains("fault at host.report"), "{shown}");
    })
    .await;
}
