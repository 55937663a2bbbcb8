//! What a device's request costs, in one run: polls a second, durable command cycles a second, and the server's own CPU time
//! per request, beside a bare actix-web handler and beside raw signature verification, as ratios.
//!
//! `make bench`. The server and the bare handler are processes of their own, and their CPU time is the kernel's account
//! of them, so the figures survive a noisy machine. Client and server share the machine's cores, so requests a second are a
//! lower bound. The larger figures can be left out or made smaller: `ROOKERY_BENCH_HOSTS` (100,000 hosts at rest, and one
//! command for all of them), `ROOKERY_BENCH_ROWS` (10 million commands of the past), `ROOKERY_BENCH_RESTART` (1,000,000 hosts),
//! `ROOKERY_BENCH_LIST` (100,000 hosts in lists); 0 leaves one out. `cargo bench --bench host_turn -- list` runs the last alone, `-- windows` Windows sessions beside Idle polls,
//! `-- profiles` a profile for all of `ROOKERY_BENCH_HOSTS`.

mod bare;
mod client;
mod fleet;
mod list;
mod pcs;
mod process;
mod profiles;
mod resident;
mod restart;
mod rows;
mod turns;

use std::time::{Duration, Instant};

use client::Exchange;
use fleet::Fleet;
use process::Server;

/// How long each figure is measured.
const MEASURE: Duration = Duration::from_secs(5);
/// Connections that send at once.
const CONNECTIONS: usize = 32;
/// Devices that take part.
const DEVICES: usize = 128;
/// Commands for each of them.
const COMMANDS: usize = 40;

/// Requests a second, and the server's CPU time for one.
#[derive(Clone, Copy, Debug)]
struct Figure {
    per_second: f64,
    cpu_micros: f64,
}

fn main() {
    if std::env::var_os(bare::MARK).is_some() {
        return bare::serve();
    }
    if std::env::args().any(|argument| argument == "--test") {
        return; // `cargo test --benches` only asks whether this runs
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads");
    if std::env::args().any(|argument| argument == "list") {
        return runtime.block_on(list::measure());
    }
    if std::env::args().any(|argument| argument == "profiles") {
        return runtime.block_on(profiles::measure());
    }
    if std::env::args().any(|argument| argument == "windows") {
        return runtime.block_on(measure_windows());
    }
    runtime.block_on(measure());
}

/// Windows sessions beside Idle polls alone.
async fn measure_windows() {
    let server = Server::start(&[]);
    let fleet = Fleet::enroll(&server, DEVICES).await;
    let poll = figure(&server, &fleet.polls()).await;
    let windows = windows_sessions(&server).await;
    println!("Idle poll: {:.0} a second, {:.1} µs", poll.per_second, poll.cpu_micros);
    println!("POST of a Windows session: {:.0} a second, {:.1} µs", windows.per_second, windows.cpu_micros);
    println!("{:.2} of the Idle poll's rate (target 0.4)", windows.per_second / poll.per_second);
}

async fn measure() {
    let verify = raw_verification();
    let bare = {
        let server = bare::start();
        let requests = fleet::unsigned_polls(DEVICES);
        figure(&server, &requests).await
    };
    let server = Server::start(&[]);
    let fleet = Fleet::enroll(&server, DEVICES).await;
    let poll = figure(&server, &fleet.polls()).await;
    let cycle = cycles(&server, &fleet).await;
    let whole = whole_commands(&server, &fleet).await;
    let windows = windows_sessions(&server).await;
    drop(server);
    let floor = bare.cpu_micros + verify;
    println!("\n| what | a second | server CPU, µs | target | ratio |\n|---|---|---|---|---|");
    println!("| raw RSA-2048 verification | {:.0} | {verify:.1} | | |", 1e6 / verify);
    println!("| bare actix-web handler | {:.0} | {:.1} | | |", bare.per_second, bare.cpu_micros);
    println!("| bare handler + one verification | | {floor:.1} | | 1.00 |");
    let line = |what: &str, figure: Figure, target: &str, ratio: String| {
        println!("| {what} | {:.0} | {:.1} | {target} | {ratio} |", figure.per_second, figure.cpu_micros);
    };
    let of_floor = format!("{:.2} of the floor's speed (target 0.7)", floor / poll.cpu_micros);
    line("Idle poll with Mdm-Signature", poll, "80", of_floor);
    let of_poll = format!("{:.2} of the Idle poll's rate (target 0.5)", cycle.per_second / poll.per_second);
    line("durable command cycle (report in, next command out)", cycle, "", of_poll);
    line("whole command (queue by API, Idle, report of 2 KB)", whole, "235", String::new());
    let of_poll = format!("{:.2} of the Idle poll's rate (target 0.4)", windows.per_second / poll.per_second);
    line("POST of a Windows session (two of them, digest, empty queue)", windows, "", of_poll);
    println!();
    turns::measure().await;
    turns::measure_wide().await;
    profiles::measure().await;
    resident::measure().await;
    restart::measure().await;
    turns::measure_long_queue().await;
    list::measure().await;
}

/// Sends requests over and over for a while, on several connections.
async fn figure(server: &Server, requests: &[Vec<u8>]) -> Figure {
    let shares: Vec<Vec<Vec<u8>>> =
        (0..CONNECTIONS).map(|n| requests.iter().skip(n).step_by(CONNECTIONS).cloned().collect()).collect();
    let (warm, measured) = (Instant::now() + Duration::from_secs(1), Duration::from_secs(1) + MEASURE);
    let end = Instant::now() + measured;
    let address = server.device;
    let senders: Vec<_> = shares
        .into_iter()
        .map(|share| {
            tokio::spawn(async move {
                let mut exchange = Exchange::open(address).await;
                let mut sent = 0_u64;
                for request in share.iter().cycle() {
                    exchange.send(request).await;
                    let now = Instant::now();
                    if now >= end {
                        break;
                    }
                    sent += u64::from(now >= warm);
                }
                sent
            })
        })
        .collect();
    tokio::time::sleep_until(warm.into()).await;
    let cpu = server.cpu();
    tokio::time::sleep_until(end.into()).await;
    let cpu = server.cpu() - cpu;
    let mut sent = 0;
    for sender in senders {
        sent += sender.await.expect("a sender");
    }
    of(sent, MEASURE, cpu)
}

/// Every device takes and acknowledges all its commands, each in order.
async fn cycles(server: &Server, fleet: &Fleet) -> Figure {
    let uuids = fleet.queue_commands(server, COMMANDS).await;
    let chains = fleet.chains(&uuids);
    let (address, cpu, begun) = (server.device, server.cpu(), Instant::now());
    let chains = std::sync::Arc::new(tokio::sync::Mutex::new(chains));
    let workers: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let chains = chains.clone();
            tokio::spawn(async move {
                let mut exchange = Exchange::open(address).await;
                let mut done = 0_u64;
                while let Some(chain) = { chains.lock().await.pop() } {
                    for (request, expected) in chain {
                        let body = exchange.send(&request).await;
                        assert_eq!(body.is_empty(), expected.is_none(), "the next command comes, or none is left");
                        if let Some(uuid) = expected {
                            assert!(String::from_utf8_lossy(&body).contains(&uuid), "commands come in order");
                        }
                        done += 1;
                    }
                }
                done
            })
        })
        .collect();
    let mut done = 0;
    for worker in workers {
        done += worker.await.expect("a worker");
    }
    of(done, begun.elapsed(), server.cpu() - cpu)
}

/// An admin queues a command for a device, which comes for it and reports, over and over.
async fn whole_commands(server: &Server, fleet: &Fleet) -> Figure {
    let commands = std::sync::Arc::new(tokio::sync::Mutex::new(fleet.whole_commands(server, COMMANDS)));
    let (device, admin, cpu, begun) = (server.device, server.admin, server.cpu(), Instant::now());
    let workers: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let commands = commands.clone();
            tokio::spawn(async move {
                let (mut device, mut admin) = (Exchange::open(device).await, Exchange::open(admin).await);
                let mut done = 0_u64;
                while let Some(list) = { commands.lock().await.pop() } {
                    for whole in list {
                        admin.send(&whole.enqueue).await;
                        let body = device.send(&whole.idle).await;
                        assert!(String::from_utf8_lossy(&body).contains(&whole.uuid), "the command comes at once");
                        assert!(device.send(&whole.report).await.is_empty(), "it was the only one");
                        done += 1;
                    }
                }
                done
            })
        })
        .collect();
    let mut done = 0;
    for worker in workers {
        done += worker.await.expect("a worker");
    }
    of(done, begun.elapsed(), server.cpu() - cpu)
}

/// Windows devices that come and find nothing to do.
async fn windows_sessions(server: &Server) -> Figure {
    let pcs = pcs::enroll(server, DEVICES).await;
    pcs::sessions(server, &pcs).await
}

fn of(requests: u64, time: Duration, cpu: Duration) -> Figure {
    let requests = requests.max(1) as f64;
    Figure { per_second: requests / time.as_secs_f64(), cpu_micros: cpu.as_secs_f64() * 1e6 / requests }
}

/// CPU time of one verification under a key that is kept, in microseconds.
fn raw_verification() -> f64 {
    use openssl::hash::MessageDigest;
    use openssl::pkey::PKey;
    use openssl::rsa::Rsa;
    use openssl::sign::{Signer, Verifier};
    let key = PKey::from_rsa(Rsa::generate(2048).expect("a key")).expect("a key");
    let body = vec![b'x'; 400];
    let mut signer = Signer::new(MessageDigest::sha256(), &key).expect("a signer");
    let signature = signer.sign_oneshot_to_vec(&body).expect("a signature");
    let public = PKey::public_key_from_der(&key.public_key_to_der().expect("a key")).expect("a key");
    let rounds = 20_000;
    let cpu = process::own_thread_cpu();
    for _ in 0..rounds {
        let mut verifier = Verifier::new(MessageDigest::sha256(), &public).expect("a verifier");
        assert!(verifier.verify_oneshot(&signature, &body).expect("a verdict"));
    }
    (process::own_thread_cpu() - cpu).as_secs_f64() * 1e6 / f64::from(rounds)
}
