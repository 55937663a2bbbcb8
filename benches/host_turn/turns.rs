//! Host turns without HTTP: how many durable ones the actors and the store take in a second, and how long one takes at a
//! host with a long queue in a large database.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use actors::ask::Refusal;
use actors::dispatcher::{Dispatch, Target, TimeToLive};
use actors::host::report::Report;
use actors::host::{Original, Sender};
use actors::tree::Parts;
use bytes::Bytes;
use protocol::ids::{CommandUuid, HostId};
use protocol::queue::Answer;
use rookery::config::Settings;
use rookery::serve::{self, Running};

use super::process::own_cpu;
use super::rows::{Rows, size};

/// Hosts that take turns at once.
const HOSTS: usize = 512;
/// Commands for each.
const COMMANDS: usize = 60;
/// How long a host may think.
const PATIENCE: Duration = Duration::from_secs(20);
/// A command as devices get it.
const COMMAND: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><plist version=\"1.0\"><dict><key>Command</key><dict>\
                       <key>RequestType</key><string>ProfileList</string></dict></dict></plist>";

/// Prints durable host turns a second: a report in, the next command out.
pub(crate) async fn measure() {
    let rows = Rows::with_hosts(HOSTS).await;
    rows.close().await;
    let running = start(rows.data.clone());
    let parts = running.parts.clone();
    for number in 0..COMMANDS {
        queue(&parts, &format!("turn-{number}"), (1..=HOSTS).collect()).await;
    }
    let (done, cpu, begun) = (Arc::new(AtomicUsize::new(0)), own_cpu(), Instant::now());
    let hosts: Vec<_> = (1..=HOSTS)
        .map(|host| {
            let (parts, done) = (parts.clone(), done.clone());
            tokio::spawn(async move {
                let mut said = report(host, Answer::Idle, None);
                for number in 0..COMMANDS {
                    turn(&parts, host, said).await.expect("a command");
                    done.fetch_add(1, Relaxed);
                    said = report(host, Answer::Acknowledged, Some(&format!("turn-{number}")));
                }
                assert_eq!(turn(&parts, host, said).await, None);
                done.fetch_add(1, Relaxed);
            })
        })
        .collect();
    for host in hosts {
        host.await.expect("a host");
    }
    let (turns, time, cpu) = (done.load(Relaxed) as f64, begun.elapsed().as_secs_f64(), own_cpu() - cpu);
    println!(
        "durable host turns in process: {:.0} a second (target 10,000), {:.1} µs of CPU each",
        turns / time,
        cpu.as_secs_f64() * 1e6 / turns
    );
    stop(running);
}

/// Prints what one host's next command costs when it has many queued, in a database with a long history.
pub(crate) async fn measure_long_queue() {
    let (past, queued) = (size("ROOKERY_BENCH_ROWS", 10_000_000), 10_000);
    if past == 0 {
        return;
    }
    let hosts = 10_000;
    let begun = Instant::now();
    let rows = Rows::with_history(hosts, past / hosts).await;
    rows.close().await;
    println!(
        "\n{past} commands that ended, {queued} queued for one host (made in {:.0} s):",
        begun.elapsed().as_secs_f64()
    );
    let running = start(rows.data.clone());
    let parts = running.parts.clone();
    for number in 1..=queued {
        queue(&parts, &format!("next-{number}"), vec![1]).await;
    }
    let mut said = report(1, Answer::Idle, None);
    let mut times = Vec::new();
    for _ in 0..1000 {
        let begun = Instant::now();
        turn(&parts, 1, said).await.expect("a command");
        times.push(begun.elapsed());
        said = report(1, Answer::Acknowledged, Some(&format!("next-{}", times.len())));
    }
    let first = times.remove(0);
    times.sort_unstable();
    println!(
        "its next command: first {:.1} ms (the actor starts), median {:.2} ms, 99 of 100 within {:.2} ms (target 1)",
        millis(first),
        millis(times[times.len() / 2]),
        millis(times[times.len() * 99 / 100])
    );
    stop(running);
}

/// Prints how long it takes until a command for very many hosts is accepted.
pub(crate) async fn measure_wide() {
    let hosts = size("ROOKERY_BENCH_HOSTS", 100_000);
    if hosts == 0 {
        return;
    }
    let rows = Rows::with_hosts(hosts).await;
    rows.close().await;
    let running = start(rows.data.clone());
    let (begun, cpu) = (Instant::now(), own_cpu());
    queue(&running.parts, "wide", (1..=hosts).collect()).await;
    println!(
        "\none command for {hosts} hosts is accepted in {:.2} s (target 3 for 100,000), {:.1} µs of CPU each",
        begun.elapsed().as_secs_f64(),
        (own_cpu() - cpu).as_secs_f64() * 1e6 / hosts as f64
    );
    stop(running);
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// A server in this process.
pub(crate) fn start(data: PathBuf) -> Running {
    let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mut settings = Settings { data_dir: data, ..Settings::default() };
    (settings.device.listen, settings.admin.listen, settings.ops.listen) = (anywhere, anywhere, anywhere);
    (settings.device.plain, settings.admin.plain) = (true, true);
    settings.server_url = "https://localhost".into();
    settings.apns.url = "https://localhost:1".into();
    serve::start(settings).expect("the server starts")
}

pub(crate) fn stop(running: Running) {
    running.stop().expect("the server stops");
}

async fn queue(parts: &Parts, uuid: &str, hosts: Vec<usize>) {
    let dispatch = Dispatch {
        uuid: CommandUuid::parse(uuid).expect("a name"),
        request_type: "ProfileList".into(),
        body: Bytes::from_static(COMMAND.as_bytes()),
        asked_by: "bench".into(),
        priority: 0,
        no_blind_resend: false,
        time_to_live: TimeToLive::Usual(Duration::from_secs(86_400)),
        after: None,
        push: true,
        channels: hosts.into_iter().map(|host| Target { host: HostId(host as i64), enrollment: host as i64 }).collect(),
        answers: None,
        action: None,
    };
    while let Err(refusal) = parts.dispatcher.ask(dispatch.clone(), PATIENCE).await {
        assert!(matches!(refusal, Refusal::TryAgain { .. }), "{refusal}"); // the tree is still starting
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn turn(parts: &Parts, host: usize, report: Report) -> Option<Bytes> {
    parts.hosts.ask(HostId(host as i64), report, PATIENCE).await.expect("an answer")
}

fn report(host: usize, answer: Answer, uuid: Option<&str>) -> Report {
    let (channel, fingerprint) = Rows::sender(host);
    let original = Original { body: Bytes::from(vec![b'x'; 2048]), query: None };
    Report {
        sender: Sender { channel, fingerprint, original },
        answer,
        status: if uuid.is_some() { "Acknowledged".into() } else { "Idle".into() },
        command: uuid.and_then(CommandUuid::parse),
    }
}
