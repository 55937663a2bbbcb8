//! Waiting for a command to end, and watching a host's life: both are told by the host, after its commit.

use protocol::ids::CommandUuid;
use reqwest::{Method, Response, StatusCode};
use rookery::sim::apple::device::{Answer as Done, Device};
use rookery::sim::apple::model::Family;
use serde_json::{Value, json};

use crate::app::{Answer, App, PATIENCE, eventually};
use crate::process::enroll;
use crate::world::{DEVICE, World, assert_sound, on_each_store, on_each_store_with};

/// Longer than a client of these tests waits: an answer in time came because somebody was woken.
const WAIT: &str = "wait=60s";

/// How many requests wait or watch.
async fn watching(app: &App) -> u64 {
    let page = app.client.get(format!("{}/metrics", app.running().addresses.ops_url)).send().await.unwrap();
    let page = page.text().await.unwrap();
    let line = page.lines().find_map(|line| line.strip_prefix("rookery_watching ")).unwrap();
    line.parse().unwrap()
}

/// Lets something happen once a request waits; returns the request's answer.
async fn while_waiting(app: &App, path: &str, happens: impl AsyncFnOnce()) -> Answer {
    let (answer, ()) = tokio::join!(app.get(path), async {
        eventually("a request waits", async || (watching(app).await == 1).then_some(())).await;
        happens().await;
    });
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.json);
    assert_eq!(watching(app).await, 0, "nothing is left of it");
    answer
}

fn batch(command: &CommandUuid) -> String {
    format!("/api/v1/fleet/commands/{command}?{WAIT}")
}

async fn acknowledge(device: &mut Device, command: &CommandUuid) {
    assert_eq!(device.poll(DEVICE).await.unwrap().unwrap().uuid(), command);
    device.report(DEVICE, command, &Done::acknowledged()).await.unwrap();
}

#[actix::test]
async fn a_batch_is_counted_by_where_its_hosts_stand() {
    on_each_store(async |world| {
        let mut devices = Vec::new();
        for number in 1..=5 {
            devices.push(world.enrolled(Family::Mac, number).await);
        }
        let command = world.run(&devices.iter().collect::<Vec<_>>(), "SecurityInfo").await;
        let answers = [Done::acknowledged(), Done::error(1, "TestErrorDomain", "no"), Done::not_now()];
        for (device, answer) in devices.iter_mut().zip(answers) {
            device.poll(DEVICE).await.unwrap();
            device.report(DEVICE, &command, &answer).await.unwrap();
        }
        devices[3].poll(DEVICE).await.unwrap();
        let counted = world.app.get(&format!("/api/v1/fleet/commands/{command}")).await;
        assert_eq!(counted.status, StatusCode::OK, "{}", counted.json);
        let expected = json!({
            "held": 0, "queued": 1, "sent": 1, "not_now": 1, "acknowledged": 1, "error": 1, "format_error": 0,
            "expired": 0, "cancelled": 0, "superseded": 0, "parked": 0,
        });
        assert_eq!(counted.json["status"], expected);
        assert_eq!((&counted.json["hosts"], &counted.json["pending"]), (&json!(5), &json!(3)), "{}", counted.json);
        assert_eq!(counted.json["request_type"], "SecurityInfo");
        assert!(!counted.json.to_string().contains("payload"), "no arguments: they may be secrets");
        let nobody = world.app.get("/api/v1/fleet/commands/no-such-command").await;
        assert_eq!(nobody.status, StatusCode::NOT_FOUND);
        for wrong in ["61s", "forever", ""] {
            let refused = world.app.get(&format!("/api/v1/fleet/commands/{command}?wait={wrong}")).await;
            assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{wrong}: {}", refused.json);
        }
        let over = world.app.get(&format!("/api/v1/fleet/commands/{command}?wait=50ms")).await;
        assert_eq!((over.status, &over.json["pending"]), (StatusCode::OK, &json!(3)), "its time is over");
    })
    .await;
}

#[actix::test]
async fn a_request_waits_until_a_command_has_ended_on_all_its_hosts() {
    on_each_store(async |world| {
        let (mut one, mut other) = (world.enrolled(Family::Mac, 1).await, world.enrolled(Family::Mac, 2).await);
        let command = world.run(&[&one, &other], "SecurityInfo").await;
        let ended = while_waiting(&world.app, &batch(&command), async || {
            acknowledge(&mut one, &command).await;
            acknowledge(&mut other, &command).await;
        })
        .await;
        assert_eq!((&ended.json["pending"], &ended.json["status"]["acknowledged"]), (&json!(0), &json!(2)));
        let at_once = world.app.get(&batch(&command)).await;
        assert_eq!(at_once.json["pending"], 0, "what has ended is not waited for");

        let command = world.run(&[&one, &other], "SecurityInfo").await;
        let id = one.channel_id(DEVICE).unwrap().to_owned();
        let path = format!("/api/v1/fleet/commands/results?command_uuid={command}&host_identifier={id}&{WAIT}");
        let results = while_waiting(&world.app, &path, async || acknowledge(&mut one, &command).await).await;
        assert_eq!(results.json["results"][0]["status"], "Acknowledged", "the other host is not asked for");
        assert_eq!(results.json["results"].as_array().unwrap().len(), 1);
        assert_sound(&one);
    })
    .await;
}

#[actix::test]
async fn whatever_ends_a_command_ends_the_waiting() {
    on_each_store(async |world| {
        let mut device = world.enrolled(Family::Mac, 1).await;
        let command = world.run(&[&device], "SecurityInfo").await;
        let cancel = format!("/api/v1/fleet/commands/{command}/cancel");
        let ended = while_waiting(&world.app, &batch(&command), async || {
            assert_eq!(world.app.post(&cancel, &json!({})).await.json["cancelled"], 1);
        })
        .await;
        assert_eq!(ended.json["status"]["cancelled"], 1);

        let command = world.run(&[&device], "SecurityInfo").await;
        let enroll_url = world.enroll_url();
        let ended = while_waiting(&world.app, &batch(&command), async || {
            enroll(&mut device, &enroll_url).await;
        })
        .await;
        assert_eq!(ended.json["status"]["superseded"], 1, "{}", ended.json);

        let short = json!({
            "command": { "request_type": "SecurityInfo" },
            "host_uuids": [device.channel_id(DEVICE).unwrap()],
            "expiry": 1,
        });
        let ran = world.app.post("/api/v1/fleet/commands/run", &short).await;
        let command = CommandUuid::parse(ran.json["command_uuid"].as_str().unwrap()).unwrap();
        let ended = world.app.get(&batch(&command)).await;
        assert_eq!(ended.json["status"]["expired"], 1, "{}", ended.json);
    })
    .await;
}

#[actix::test]
async fn a_server_that_stops_answers_those_who_wait() {
    on_each_store_with(
        |_| {},
        async |world| {
            let device = world.enrolled(Family::Mac, 1).await;
            let command = world.run(&[&device], "SecurityInfo").await;
            let waiting = tokio::spawn(world.app.admin(Method::GET, &batch(&command)).send());
            let mut life = stream(world, &device).await;
            eventually("both wait", async || (watching(&world.app).await == 2).then_some(())).await;
            world.app.stop();
            let answer = waiting.await.unwrap().unwrap();
            assert_eq!(answer.status(), StatusCode::OK);
            let answer: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
            assert_eq!(answer["pending"], 1);
            while let Some(line) = life.line().await {
                assert!(line.starts_with(':') || line.is_empty(), "nothing happened: {line}");
            }
            world.app.start_again();
        },
    )
    .await;
}

/// A stream of events as it comes.
struct Life {
    response: Response,
    text: String,
}

async fn stream(world: &World, device: &Device) -> Life {
    let host = world.host(device).await["id"].as_i64().unwrap();
    let path = format!("/api/v1/fleet/hosts/{host}/events");
    let response = world.app.admin(Method::GET, &path).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut life = Life { response, text: String::new() };
    assert_eq!(life.line().await.as_deref(), Some(": watching"), "from here on nothing is missed");
    life
}

impl Life {
    /// The next line; `None` at the end.
    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some((line, rest)) = self.text.split_once('\n') {
                let line = line.to_owned();
                self.text = rest.to_owned();
                return Some(line);
            }
            let chunk =
                tokio::time::timeout(PATIENCE, self.response.chunk()).await.expect("something comes").unwrap()?;
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// The next event that is no push: its name, and for a command what became of it.
    async fn event(&mut self) -> (String, Value) {
        loop {
            let Some(name) = self.line().await.unwrap().strip_prefix("event: ").map(str::to_owned) else { continue };
            let data = self.line().await.unwrap();
            let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
            if name != "pushed" {
                return (name, data);
            }
        }
    }

    async fn expect(&mut self, name: &str) {
        let event = self.event().await;
        assert_eq!(event.0, name, "{}", event.1);
    }

    async fn expect_command(&mut self, command: &CommandUuid, status: &str) {
        let (name, data) = self.event().await;
        let seen = (name.as_str(), &data["command_uuid"], &data["status"]);
        assert_eq!(seen, ("command", &json!(command.as_str()), &json!(status)));
    }
}

#[actix::test]
async fn a_hosts_life_is_told_as_it_happens() {
    on_each_store(async |world| {
        let (mut device, mut other) = (world.enrolled(Family::Mac, 1).await, world.enrolled(Family::Mac, 2).await);
        let mut life = stream(world, &device).await;
        let elsewhere = world.run(&[&other], "SecurityInfo").await;
        acknowledge(&mut other, &elsewhere).await;

        let command = world.run(&[&device], "SecurityInfo").await;
        life.expect_command(&command, "queued").await;
        device.poll(DEVICE).await.unwrap();
        life.expect("checked_in").await;
        life.expect_command(&command, "sent").await;
        device.report(DEVICE, &command, &Done::not_now()).await.unwrap();
        life.expect_command(&command, "not_now").await;
        device.poll(DEVICE).await.unwrap();
        life.expect("checked_in").await;
        life.expect_command(&command, "sent").await;
        device.report(DEVICE, &command, &Done::acknowledged()).await.unwrap();
        life.expect_command(&command, "acknowledged").await;

        let command = world.run(&[&device], "SecurityInfo").await;
        life.expect_command(&command, "queued").await;
        world.app.post(&format!("/api/v1/fleet/commands/{command}/cancel"), &json!({})).await;
        life.expect_command(&command, "cancelled").await;

        device.poll(DEVICE).await.unwrap();
        life.expect("checked_in").await;
        let enroll_url = world.enroll_url();
        enroll(&mut device, &enroll_url).await;
        life.expect("enrolling").await;
        life.expect("enrolled").await;
        drop(life);
        eventually("nobody watches any more", async || (watching(&world.app).await == 0).then_some(())).await;
        let nobody = world.app.get("/api/v1/fleet/hosts/4711/events").await;
        assert_eq!(nobody.status, StatusCode::NOT_FOUND);
        assert_sound(&device);
    })
    .await;
}
