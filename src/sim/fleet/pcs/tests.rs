use std::time::Instant;

use super::*;
use crate::sim::apple::fake_mdm::keys;
use crate::sim::fixture::authority;
use crate::sim::windows::fake_mdm::{FakeMdm, TOKEN};

const PATIENCE: Duration = Duration::from_secs(60);

fn config(mdm: &FakeMdm, count: usize, behaviour: Behaviour) -> PcFleetConfig {
    PcFleetConfig {
        first: 0,
        tokens: vec![TOKEN.to_owned(); count],
        discovery_url: mdm.discovery_url(),
        anchors: vec![authority().certificate().der().to_vec()],
        behaviour,
        proofs: vec![Proof::Digest, Proof::Certificate, Proof::Signature],
        options: PcOptions { keys: keys(), dedup: false, ..PcOptions::default() },
        minute: Duration::from_millis(20),
        seed: 7,
        threads: 2,
        ramp: 4,
    }
}

fn lively() -> Behaviour {
    Behaviour {
        errs: 0.1,
        loses_replies: 0.3,
        repeats: 0.2,
        works_for: Duration::from_millis(2),
        rests_for: Duration::from_millis(5),
        ..Behaviour::calm()
    }
}

#[tokio::test]
async fn a_lively_fleet_finishes_every_command_and_does_none_twice() {
    let mdm = FakeMdm::start().await;
    let fleet = Fleet::of_pcs(config(&mdm, 9, lively())).unwrap();
    assert!(fleet.enrolled(PATIENCE, |_| {}).await, "{:?}", fleet.progress());
    let began = Instant::now();
    let ids: Vec<String> = (0..9).map(|number| Model::new(7, number).device_id).collect();
    for round in 0..5 {
        for id in &ids {
            let uuid = uuid::Uuid::new_v4().to_string();
            let target = format!("./Device/Vendor/MSFT/Policy/Config/Demo/P{round}");
            let text = format!(
                "<Replace><CmdID>{uuid}</CmdID><Item><Target><LocURI>{target}</LocURI></Target><Data>1</Data></Item></Replace>"
            );
            mdm.state().pending.entry(id.clone()).or_default().push((uuid, text, false));
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    while fleet.truth().counts().confirmed < 45 {
        assert!(began.elapsed() < PATIENCE, "{:?} {:?}", fleet.progress(), fleet.truth().counts());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let progress = fleet.progress();
    let truth = fleet.stop();
    assert_eq!(truth.findings, []);
    let counts = truth.counts();
    assert_eq!((counts.commands, counts.executed, counts.executed_again), (45, 45, 0));
    assert!(progress.lost_replies > 0 && progress.duplicates > 0 && progress.errors > 0, "{progress:?}");
}

#[tokio::test]
async fn pcs_come_by_themselves_and_a_wrong_token_ends_one() {
    let mdm = FakeMdm::start().await;
    let tokens = vec![TOKEN.to_owned(), "wrong".to_owned()];
    let fleet = Fleet::of_pcs(PcFleetConfig { tokens, ..config(&mdm, 0, Behaviour::calm()) }).unwrap();
    assert!(!fleet.enrolled(PATIENCE, |_| {}).await);
    let began = Instant::now();
    while fleet.progress().polls < 3 {
        assert!(began.elapsed() < PATIENCE, "{:?}", fleet.progress());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let progress = fleet.progress();
    assert_eq!((progress.enrolled, progress.failed, progress.refused), (1, 1, 1));
    assert_eq!(fleet.stop().findings, []);
}
