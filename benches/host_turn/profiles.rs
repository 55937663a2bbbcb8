//! A profile for all of very many hosts: how long until it is marked on each, and until a command is queued for each; and
//! what it costs that a label moves to ten of them.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use actors::ask::Refusal;
use actors::profiles::admin::Upload;
use actors::steward::SaveLabel;
use actors::tree::Parts;
use entities::label::change::Save;
use entities::profile::change::{Draft, Saved};
use entities::profile::{CONFIGURATION, MOBILECONFIG, SYSTEM};
use entities::profile_label::{INCLUDE_ANY, Named};

use super::process::{own_cpu, own_memory};
use super::rows::{Rows, size};
use super::turns::{start, stop};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Hosts that the label moves to.
const MOVED: i64 = 10;

/// Prints how fast a profile reaches all hosts.
pub(crate) async fn measure() {
    let hosts = size("ROOKERY_BENCH_HOSTS", 100_000);
    if hosts == 0 {
        return;
    }
    let rows = Rows::with_hosts(hosts).await;
    rows.close().await;
    let running = start(rows.data.clone());
    let parts = running.parts.clone();
    ready(&parts).await;
    let (begun, cpu, memory) = (Instant::now(), own_cpu(), own_memory());
    upload(&parts, "all", Vec::new()).await;
    // The sweep may have been about to mark some of them at that moment.
    while parts.profiled.marked.load(Relaxed) < hosts as u64 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let marked = begun.elapsed();
    while parts.profiled.commands.load(Relaxed) < hosts as u64 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!(
        "\none profile for {hosts} hosts: marked on all in {:.2} s (target 2 for 100,000), commands queued for all after {:.1} s \
         (target 30), {:.0} µs of CPU each, {} MB more memory",
        marked.as_secs_f64(),
        begun.elapsed().as_secs_f64(),
        (own_cpu() - cpu).as_secs_f64() * 1e6 / hosts as f64,
        own_memory().saturating_sub(memory) / 1_000_000,
    );
    let label = |hosts: Vec<i64>, id| SaveLabel {
        save: Save { id, name: "moves".into(), description: String::new(), rule: None, hosts: Some(hosts) },
        asked_by: "bench".into(),
    };
    let made = parts.steward.ask(label(Vec::new(), None), PATIENCE).await.expect("a label");
    upload(&parts, "labelled", vec![Named { name: "moves".into(), mode: INCLUDE_ANY }]).await;
    let before = counted(&parts);
    let begun = Instant::now();
    parts.steward.ask(label((1..=MOVED).collect(), Some(made.id)), PATIENCE).await.expect("the label moves");
    while counted(&parts).2 - before.2 < MOVED as u64 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let after = counted(&parts);
    println!(
        "a label that moves to {MOVED} of them: {} hosts looked at, {} rows marked, {} commands, after {:.2} s",
        after.0 - before.0,
        after.1 - before.1,
        after.2 - before.2,
        begun.elapsed().as_secs_f64()
    );
    stop(running);
}

fn counted(parts: &Parts) -> (u64, u64, u64) {
    let tally = &parts.profiled;
    (tally.hosts.load(Relaxed), tally.marked.load(Relaxed), tally.commands.load(Relaxed))
}

/// Waits until the tree has started.
async fn ready(parts: &Parts) {
    let nothing = || actors::profiles::admin::ResendFailed { uuid: "none".into(), asked_by: "bench".into() };
    while let Err(Refusal::TryAgain { .. }) = parts.profiles.ask(nothing(), PATIENCE).await {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn upload(parts: &Parts, name: &str, labels: Vec<Named>) {
    let draft = Draft {
        uuid: format!("a{}", uuid::Uuid::new_v4()),
        team_id: 0,
        kind: MOBILECONFIG,
        name: name.to_owned(),
        identifier: format!("com.example.{name}"),
        scope: SYSTEM,
        part: CONFIGURATION,
        body: vec![b'x'; 4096],
        variables: Vec::new(),
        labels,
        managed: false,
        rollout_percent: 100,
        rollout_max_failures: None,
    };
    let saved = parts.profiles.ask(Upload { draft, asked_by: "bench".into() }, PATIENCE).await.expect("an answer");
    assert!(matches!(saved, Saved::Done(_)), "{saved:?}");
}
