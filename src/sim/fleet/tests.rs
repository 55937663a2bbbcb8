use std::collections::{BTreeMap, BTreeSet};

use protocol::apple::check_in::CheckInKind;
use protocol::apple::command::{Command, EraseDevice};
use protocol::ids::CommandUuid;

use super::*;
use crate::sim::apns::tests::{connect, push_certificate, push_to, start};
use crate::sim::apple::fake_mdm::{FakeMdm, TOPIC, options};
use crate::sim::fixture::authority;
use crate::sim::fixture::reply;

const PATIENCE: Duration = Duration::from_secs(60);

async fn config(mdm: &FakeMdm, count: u32, behaviour: Behaviour) -> FleetConfig {
    FleetConfig {
        count,
        first: 0,
        mix: Persona::COMPANY.to_vec(),
        enroll_url: mdm.enroll_url(),
        anchors: vec![authority().certificate().der().to_vec()],
        pushes: start().await,
        behaviour,
        options: options(),
        seed: 7,
        threads: 2,
        ramp: 4,
        purchase: None,
    }
}

async fn eventually(what: &str, mut look: impl FnMut() -> bool) {
    let began = Instant::now();
    while !look() {
        assert!(began.elapsed() < PATIENCE, "{what} never came true");
        tokio::time::sleep(GLANCE).await;
    }
}

/// Pushes every channel that the server knows, as a server with work for all of them does.
async fn push_all(mdm: &FakeMdm, pushes: &PushService) -> Vec<u16> {
    let updates = mdm.state().check_ins.clone();
    let mut latest = BTreeMap::new();
    for check_in in updates {
        if let CheckInKind::TokenUpdate(update) = check_in.kind {
            let magic = update.push_magic.expose().clone();
            latest.insert(check_in.channel.id, (update.token.expose().clone(), magic));
        }
    }
    let mut client = connect(pushes, Some(&push_certificate(TOPIC))).await;
    let mut answers = Vec::new();
    for (token, magic) in latest.values() {
        answers.push(push_to(&mut client, pushes, token, magic).await);
    }
    answers
}

/// Three commands for each channel; what is meant to happen.
fn enqueue_three(mdm: &FakeMdm, fleet: &Fleet) -> BTreeMap<String, BTreeSet<String>> {
    let mut meant = BTreeMap::new();
    for (number, channel) in fleet.members().iter().flat_map(|member| &member.channels).enumerate() {
        for name in ["info", "list", "profile"] {
            let uuid = CommandUuid::parse(&format!("{name} {number}")).unwrap();
            meant.insert(uuid.to_string(), BTreeSet::from([channel.clone()]));
            mdm.enqueue(
                channel,
                match name {
                    "info" => Command::device_information(uuid, &["OSVersion"]),
                    "list" => Command::profile_list(uuid, false),
                    _ => Command::install_profile(uuid, b"<plist><dict/></plist>"),
                },
            );
        }
    }
    meant
}

#[tokio::test]
async fn a_lively_fleet_finishes_every_command_and_does_none_twice() {
    let mdm = FakeMdm::start().await;
    let behaviour = Behaviour {
        locks: 0.2,
        locked_for: Duration::from_millis(60),
        errs: 0.1,
        loses_replies: 0.3,
        repeats: 0.2,
        is_late: 0.1,
        changes_token: 0.1,
        works_for: Duration::from_millis(2),
        rests_for: Duration::from_millis(10),
        polls_every: None,
        ..Behaviour::lively()
    };
    let config = config(&mdm, 10, behaviour).await;
    let pushes = config.pushes.clone();
    let fleet = Fleet::start(config).unwrap();
    let mut last = 0;
    let enrolled = fleet.enrolled(PATIENCE, |progress| {
        assert!(progress.enrolled >= last);
        last = progress.enrolled;
    });
    assert!(enrolled.await, "{:?}", fleet.progress());
    let meant = enqueue_three(&mdm, &fleet);
    let began = Instant::now();
    let answers = push_all(&mdm, &pushes).await;
    assert_eq!(answers, vec![200; 14]);
    // Devices that had gone away with a command unanswered come when they are pushed again.
    while !fleet.truth().deviations(&meant).is_empty() {
        assert!(began.elapsed() < PATIENCE, "{:?}", fleet.truth().deviations(&meant));
        tokio::time::sleep(GLANCE * 4).await;
        push_all(&mdm, &pushes).await;
    }
    let progress = fleet.progress();
    let truth = fleet.stop();
    assert_eq!(truth.findings, []);
    let counts = truth.counts();
    assert_eq!((counts.commands, counts.confirmed, counts.executed_again), (42, 42, 0));
    assert!(progress.lost_replies > 0 && progress.not_now > 0 && progress.errors > 0, "{progress:?}");
    assert!(progress.duplicates > 0 && progress.retries >= progress.lost_replies, "{progress:?}");
    assert_eq!(progress.enroll.count, 10);
    let json = serde_json::to_value(&truth).unwrap();
    assert_eq!(json["devices"].as_object().unwrap().len(), 10);
}

#[tokio::test]
async fn a_calm_fleet_sleeps_until_it_is_pushed() {
    let mdm = FakeMdm::start().await;
    let config = config(&mdm, 3, Behaviour::calm()).await;
    let pushes = config.pushes.clone();
    let fleet = Fleet::start(config).unwrap();
    assert!(fleet.enrolled(PATIENCE, |_| {}).await);
    assert_eq!(fleet.progress().polls, 0);
    let own = fleet.members()[1].channels[0].clone();
    mdm.enqueue(&own, Command::security_info(CommandUuid::parse("one").unwrap()));
    push_all(&mdm, &pushes).await;
    eventually("an answer", || fleet.progress().acknowledged == 1 && fleet.progress().polls == 4).await;
    assert_eq!(fleet.progress().pushes, 4);
    let meant = BTreeMap::from([("one".to_owned(), BTreeSet::from(["somebody else".to_owned()]))]);
    let uuid = "one".to_owned();
    let stray = Deviation::Stray { uuid: uuid.clone(), channel: own };
    let unfinished = Deviation::Unfinished { uuid, channel: "somebody else".to_owned() };
    assert_eq!(fleet.stop().deviations(&meant), [stray, unfinished]);
}

#[tokio::test]
async fn a_device_that_said_not_now_comes_by_itself() {
    let mdm = FakeMdm::start().await;
    let behaviour = Behaviour { locks: 0.5, locked_for: Duration::from_millis(20), ..Behaviour::calm() };
    let config = FleetConfig { mix: vec![Persona::Mac], ..config(&mdm, 1, behaviour).await };
    let pushes = config.pushes.clone();
    let fleet = Fleet::start(config).unwrap();
    assert!(fleet.enrolled(PATIENCE, |_| {}).await);
    let own = fleet.members()[0].channels[0].clone();
    for number in 0..10 {
        mdm.enqueue(&own, Command::security_info(CommandUuid::parse(&number.to_string()).unwrap()));
    }
    assert_eq!(push_all(&mdm, &pushes).await, [200]);
    // One push is enough when every session ends in NotNow; others need another one, as Apple documents.
    let began = Instant::now();
    while fleet.progress().acknowledged < 10 {
        assert!(began.elapsed() < PATIENCE, "{:?}", fleet.progress());
        tokio::time::sleep(GLANCE * 6).await;
        push_all(&mdm, &pushes).await;
    }
    let progress = fleet.progress();
    assert!(progress.not_now > 0 && progress.polls > progress.pushes, "{progress:?}");
    assert_eq!(fleet.stop().findings, []);
}

#[tokio::test]
async fn a_busy_server_is_asked_again_and_a_refusing_one_is_not() {
    let mdm = FakeMdm::start().await;
    let mut busy = 5;
    mdm.hook(move |seen| {
        busy -= i32::from(busy > 0 && seen.target == "/mdm");
        (busy > 0 && seen.target == "/mdm").then(|| reply(503, &[("Retry-After", "0")], ""))
    });
    let fleet = Fleet::start(config(&mdm, 2, Behaviour::calm()).await).unwrap();
    assert!(fleet.enrolled(PATIENCE, |_| {}).await);
    let progress = fleet.progress();
    assert_eq!((progress.busy, progress.retries, progress.failed), (4, 4, 0));

    let mdm = FakeMdm::start().await;
    mdm.hook(|seen| (seen.target == "/mdm").then(|| reply(403, &[], "")));
    let fleet = Fleet::start(config(&mdm, 2, Behaviour::calm()).await).unwrap();
    assert!(!fleet.enrolled(PATIENCE, |_| {}).await);
    let progress = fleet.progress();
    assert_eq!((progress.failed, progress.refused, progress.retries), (2, 2, 0));
    assert_eq!(fleet.stop().counts().findings, BTreeMap::from([(crate::sim::log::Fault::Unenrolls, 2)]));
}

#[tokio::test]
async fn an_erased_device_enrolls_again_with_another_token() {
    let mdm = FakeMdm::start().await;
    let behaviour = Behaviour { enrolls_again: true, ..Behaviour::calm() };
    let config = FleetConfig { mix: vec![Persona::IPhone], ..config(&mdm, 1, behaviour).await };
    let pushes = config.pushes.clone();
    let fleet = Fleet::start(config).unwrap();
    assert!(fleet.enrolled(PATIENCE, |_| {}).await);
    let own = fleet.members()[0].channels[0].clone();
    mdm.enqueue(&own, Command::erase_device(CommandUuid::parse("erase").unwrap(), EraseDevice::default()));
    push_all(&mdm, &pushes).await;
    eventually("the second enrollment", || fleet.progress().enrolled == 2).await;
    assert_eq!(fleet.progress().erased, 1);
    let state = mdm.state();
    let tokens = state.check_ins.iter().filter_map(|check_in| match &check_in.kind {
        CheckInKind::TokenUpdate(update) => Some(update.token.expose().clone()),
        _ => None,
    });
    assert_eq!(tokens.collect::<BTreeSet<_>>().len(), 2);
}

#[tokio::test]
async fn a_fleet_of_nothing_does_not_start() {
    let mdm = FakeMdm::start().await;
    let config = FleetConfig { mix: Vec::new(), ..config(&mdm, 1, Behaviour::calm()).await };
    assert!(matches!(Fleet::start(config), Err(FleetError::NoKinds)));
}
