//! The actors beside the hosts die: the tree starts them again, exactly as often as its rules say.

use std::collections::BTreeMap;
use std::time::Duration;

use protocol::apple::command::Command;
use protocol::ids::CommandUuid;
use reqwest::{Method, StatusCode};
use rookery::serve::{Ended, fault};
use rookery::sim::apple::device::DeviceOptions;
use rookery::sim::apple::model::Family;
use serde_json::json;

use crate::app::{App, answer, eventually};
use crate::receiver::Receiver;
use crate::webhooks;
use crate::world::{DEVICE, World, alone_on_each_store};

/// Restarts by node, where there were any.
async fn restarts(app: &App) -> BTreeMap<String, u64> {
    let tree = app.ops("/tree").await.json;
    let nodes = tree["nodes"].as_array().unwrap().iter();
    let counted = nodes.map(|node| (node["path"].as_str().unwrap().to_owned(), node["restarts"].as_u64().unwrap()));
    counted.filter(|(_, restarts)| *restarts > 0).collect()
}

async fn settled(world: &World) {
    eventually("the tree is ready", async || (world.app.ops("/readyz").await.status == StatusCode::OK).then_some(()))
        .await;
}

fn only(path: &str, count: u64) -> BTreeMap<String, u64> {
    BTreeMap::from([(path.to_owned(), count)])
}

#[actix::test]
async fn a_dispatcher_that_dies_queues_a_command_once_or_not_at_all() {
    alone_on_each_store(async |world| {
        let mut device = world.enrolled(Family::Mac, 1).await;
        let command =
            Command::new(CommandUuid::parse("only-once").unwrap(), "SecurityInfo", Default::default()).unwrap();
        let command = openssl::base64::encode_block(&command.to_xml());
        let body = json!({ "command": command, "host_uuids": [device.model.udid] }).to_string();
        fault::arm("dispatcher.dispatch", 1);
        let mut answers = Vec::new();
        eventually("the command is accepted", async || {
            let request = world.app.admin(Method::POST, "/api/v1/fleet/commands/run").header("idempotency-key", "k");
            let answer = answer(request.body(body.clone())).await;
            answers.push(answer.status);
            (answer.status == StatusCode::OK).then_some(())
        })
        .await;
        assert_eq!(answers[0], StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(device.work(DEVICE).await.unwrap(), 1);
        assert_eq!(world.app.get("/api/v1/fleet/commands").await.json["count"], 1);
        settled(world).await;
        assert_eq!(restarts(&world.app).await, only("root/hosts/dispatcher", 1));
    })
    .await;
}

#[actix::test]
async fn a_keeper_that_dies_takes_the_one_that_relies_on_it_along() {
    alone_on_each_store(async |world| {
        let mut device = world.enrolled(Family::Mac, 1).await;
        fault::arm("keeper.look", 1);
        eventually("the keeper dies", async || (fault::left("keeper.look") == 0).then_some(())).await;
        settled(world).await;
        assert_eq!(restarts(&world.app).await, only("root/hosts/keeper", 1), "only the culprit counts");
        let command = world.run(&[&device], "SecurityInfo").await;
        assert_eq!(device.work(DEVICE).await.unwrap(), 1);
        assert_eq!(world.status(&command).await, "Acknowledged");
    })
    .await;
}

#[actix::test]
async fn pushes_go_on_after_apns_died() {
    alone_on_each_store(async |world| {
        let mut device = world.enrolled(Family::Mac, 1).await;
        fault::arm("apns.push", 1);
        let before = world.push.counts().delivered;
        let command = world.run(&[&device], "SecurityInfo").await;
        eventually("apns dies", async || (fault::left("apns.push") == 0).then_some(())).await;
        world.pushed_since(before).await;
        assert_eq!(device.work(DEVICE).await.unwrap(), 1);
        assert_eq!(world.status(&command).await, "Acknowledged");
        settled(world).await;
        assert_eq!(restarts(&world.app).await, only("root/push/apns", 1));
    })
    .await;
}

#[actix::test]
async fn one_restart_more_than_the_limit_renews_the_group_and_then_ends_the_server() {
    alone_on_each_store(async |world| {
        let url = world.enroll_url();
        let fetch = async || {
            let mut device = world.device(Family::Mac, 1, DeviceOptions::default());
            device.fetch_profile(&url).await.is_ok()
        };
        // Five restarts in a minute are borne.
        fault::arm("authority.request", 5);
        eventually("the authority works again", async || fetch().await.then_some(())).await;
        settled(world).await;
        assert_eq!(restarts(&world.app).await, only("root/enrollment/authority", 5));
        // The sixth ends the group, which its own supervisor starts again.
        fault::arm("authority.request", 1);
        eventually("the authority works again", async || fetch().await.then_some(())).await;
        settled(world).await;
        let counted = restarts(&world.app).await;
        assert_eq!(counted.get("root/enrollment"), Some(&1), "{counted:?}");
        assert_eq!(counted.get("root/enrollment/authority"), Some(&5), "{counted:?}");
        // A group that does not recover takes the whole server along: a process manager starts it again.
        fault::arm("authority.request", 10_000);
        eventually("the server gives up", async || {
            let _ = tokio::time::timeout(Duration::from_secs(1), fetch()).await;
            world.app.running().has_ended().then_some(())
        })
        .await;
        fault::arm("authority.request", 0);
        world.app.expect(Ended::GaveUp);
    })
    .await;
}

#[actix::test]
async fn a_delivery_that_breaks_loses_no_event_and_restarts_no_node() {
    alone_on_each_store(async |world| {
        let receiver = Receiver::start();
        webhooks::hook(world, &receiver, json!({})).await;
        fault::arm("webhooks.tell", 3);
        world.enrolled(Family::Mac, 1).await;
        let told = eventually("both events", async || Some(receiver.taken()).filter(|told| told.len() == 2)).await;
        assert_eq!([told[0].topic(), told[1].topic()], ["mdm.Authenticate", "mdm.TokenUpdate"]);
        assert_eq!(fault::left("webhooks.tell"), 0);
        settled(world).await;
        assert_eq!(restarts(&world.app).await, BTreeMap::new());
    })
    .await;
}
