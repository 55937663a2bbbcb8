//! Pushes: who is woken, and what follows from what APNs says.

use std::time::Duration;

use reqwest::StatusCode;
use rookery::sim::apns::{Fault, Target};
use rookery::sim::apple::model::Family;

use crate::app::eventually;
use crate::world::{DEVICE, TOPIC, on_each_store};

#[actix::test]
async fn a_device_is_pushed_once_more_after_it_enrolled() {
    on_each_store(async |world| {
        let _device = world.enrolled(Family::Mac, 1).await;
        world.pushed_since(0).await;
    })
    .await;
}

#[actix::test]
async fn a_device_that_does_not_come_is_pushed_again_and_again() {
    on_each_store(async |world| {
        let device = world.enrolled(Family::Mac, 1).await;
        world.run(&[&device], "SecurityInfo").await;
        let first = world.pushed_since(0).await;
        let second = world.pushed_since(first).await;
        world.pushed_since(second).await;
    })
    .await;
}

#[actix::test]
async fn a_dead_token_is_left_alone_until_a_new_one_comes() {
    on_each_store(async |world| {
        let mut device = world.enrolled(Family::Mac, 1).await;
        world.pushed_since(0).await;
        world.push.unregister(&device.push_target(DEVICE).unwrap().token);
        let command = world.run(&[&device], "SecurityInfo").await;
        let dead = async || Some(world.host(&device).await["enrollments"][0]["push_token_dead"] == true);
        eventually("the token is known to be dead", async || dead().await.filter(|dead| *dead)).await;
        assert_eq!(world.status(&command).await, "Pending", "the queue stays");
        let requests = world.push.counts().requests;
        world.run(&[&device], "ProfileList").await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(world.push.counts().requests, requests, "nothing is pushed to a dead token");

        let before = world.push.counts().delivered;
        device.renew_token(DEVICE).await.unwrap();
        world.pushed_since(before).await;
        assert_eq!(device.work(DEVICE).await.unwrap(), 2);
    })
    .await;
}

#[actix::test]
async fn failures_of_apns_cost_latency_only() {
    let faults = [
        Fault::answer(500, "InternalServerError"),
        Fault::answer(503, "ServiceUnavailable"),
        Fault::answer(400, "BadDeviceToken"),
        Fault::answer(403, "BadCertificate"),
    ];
    for fault in faults {
        on_each_store(async |world| {
            let mut device = world.enrolled(Family::Mac, 1).await;
            world.push.script(Target::All, fault.clone(), Some(1));
            let command = world.run(&[&device], "SecurityInfo").await;
            eventually("the push failed", async || Some(world.push.counts().refused).filter(|refused| *refused > 0))
                .await;
            // Whatever APNs says, a device that comes by itself is served.
            assert_eq!(device.work(DEVICE).await.unwrap(), 1);
            assert_eq!(world.status(&command).await, "Acknowledged");
        })
        .await;
    }
}

#[actix::test]
async fn a_certificate_of_another_topic_is_refused_unless_it_is_meant() {
    on_each_store(async |world| {
        let (status, json) = world.upload_push_certificate("com.apple.mgmt.External.other", "").await;
        assert_eq!(status, StatusCode::CONFLICT);
        assert!(json["error"].as_str().unwrap().contains(TOPIC), "{json}");
        let (status, json) = world.upload_push_certificate(TOPIC, "").await;
        assert_eq!((status, &json["topic"]), (StatusCode::OK, &TOPIC.into()));
        let (status, _) = world.upload_push_certificate("com.apple.mgmt.External.other", "?new_topic=1").await;
        assert_eq!(status, StatusCode::OK);
        let known = world.app.get(&format!("/v1/pushcert?topic={TOPIC}")).await;
        assert_eq!(known.status, StatusCode::OK);
        assert_eq!(world.app.get("/v1/pushcert?topic=none").await.status, StatusCode::NOT_FOUND);
        let (status, _) = world.upload_push_certificate("not.a.topic", "").await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
    })
    .await;
}

#[actix::test]
async fn nanos_push_tells_what_apns_said() {
    on_each_store(async |world| {
        let device = world.enrolled(Family::Mac, 1).await;
        let id = device.channel_id(DEVICE).unwrap();
        let both = world.app.get(&format!("/v1/push/{id},nobody")).await;
        assert_eq!(both.status, StatusCode::MULTI_STATUS);
        assert!(both.json["status"][id]["push_result"].is_string(), "{}", both.json);
        assert!(both.json["status"]["nobody"]["command_error"].is_string(), "{}", both.json);
        let none = world.app.get("/v1/push/nobody").await;
        assert_eq!(none.status, StatusCode::INTERNAL_SERVER_ERROR);
    })
    .await;
}
