//! `rookery demo`: a server, a simulated APNs and simulated devices in one process, to look at or to test.
//!
//! Everything goes over real sockets: Apple's devices enroll over HTTPS with SCEP and are pushed over HTTP/2, a third of them
//! are bought and come by themselves through Setup Assistant, a third of the devices are Windows PCs, and the demo's admin uses the admin API like any other. At the end the devices' own record of what happened is compared with the server's rows.
//!
//! Start with [`main`].

mod admin;
mod audit;
mod fleets;
mod profiles;
mod purchase;
mod screen;
mod stage;

use std::path::PathBuf;
use std::pin::Pin;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use crate::config::Span;
use crate::serve::Ended;
use admin::Admin;
use audit::Summary;
use fleets::Fleets;
use stage::Stage;

/// How long devices may take to enroll, each.
const ENROLL_PATIENCE: Duration = Duration::from_secs(2);
/// How long all of them may take at least.
const ENROLL_PATIENCE_AT_LEAST: Duration = Duration::from_secs(120);
/// How long commands under way may take to end after the last one was queued.
const DRAIN_PATIENCE: Duration = Duration::from_secs(120);
/// When the admin of a demo without an end wants something else.
const CHANGE_AFTER: Duration = Duration::from_secs(30);
/// How often the admin queues a command.
const BEAT: Duration = Duration::from_millis(80);
/// How often it is told how things stand.
const TELL: Duration = Duration::from_secs(2);

/// What the demo is told.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// How many simulated devices.
    #[arg(long, default_value_t = 25, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    hosts: u32,
    /// Runs for this time, for example 60s, and then checks that nothing was lost; without it until Ctrl-C.
    #[arg(long = "for", value_name = "TIME")]
    time: Option<Span>,
    /// Prints one JSON object at the end instead of text.
    #[arg(long)]
    json: bool,
    /// The data directory; without it a temporary one that is removed at the end.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Once everything is ready, writes addresses and an API token to this file (JSON).
    #[arg(long, value_name = "FILE")]
    info: Option<PathBuf>,
    /// What decides everything that is left to chance.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Runs the demo. Succeeds only when every device enrolled, every command ended, and nothing was lost or done twice.
pub fn main(options: &Options) -> ExitCode {
    match run(options) {
        Ok(summary) => {
            screen::end(options, &summary);
            if summary.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> anyhow::Result<Summary> {
    let began = Instant::now();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let stage = Stage::set(options, runtime.handle())?;
    let played = runtime.block_on(play(options, &stage, began));
    let ended = stage.clear();
    let summary = played?;
    anyhow::ensure!(ended? == Ended::Asked, "the server did not stop in order");
    Ok(summary)
}

async fn play(options: &Options, stage: &Stage, began: Instant) -> anyhow::Result<Summary> {
    let mut admin = Admin::new(&stage.running, stage.token.clone(), options.seed)?;
    stage.prepare(&admin).await?;
    if let Some(file) = &options.info {
        crate::serve::info::write(file, &stage.running.addresses, &stage.data_dir, Some(&stage.token))?;
    }
    screen::begin(options, stage);
    let fleet = stage.fleets(options, &admin).await?;
    let mut stop = std::pin::pin!(asked_to_stop());
    let patience = ENROLL_PATIENCE_AT_LEAST.max(ENROLL_PATIENCE * options.hosts);
    tokio::select! {
        enrolled = fleet.enrolled(patience, |progress| screen::enrolling(options, progress)) => {
            anyhow::ensure!(enrolled || options.time.is_none(), "not every device enrolled");
        }
        stopped = &mut stop => stopped?,
    }
    admin.learn_hosts().await?;
    admin.want(None, 1).await?;
    screen::enrolled(options, stage, &admin);
    keep_busy(options, &mut admin, &fleet, began, stop).await?;
    screen::draining(options);
    let profiles = admin.wait_until_settled(DRAIN_PATIENCE).await?;
    let unfinished = admin.wait_until_ended(DRAIN_PATIENCE).await?;
    // The last replies may still be on their way to their devices.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let (counts, progress, rows) = (fleet.counts(), fleet.progress(), admin.all_rows().await?);
    let pushes = stage.pushes.counts().delivered;
    let bought = admin.bought(&progress.apple).await?;
    let truth = tokio::task::spawn_blocking(move || fleet.stop()).await?;
    let mut summary = audit::compare(&counts, &progress, &truth, admin.meant(), &rows);
    summary.pushes = pushes;
    summary.profiles = profiles;
    summary.bought = bought;
    summary.seconds = began.elapsed().as_secs_f64();
    debug_assert!(summary.commands.unfinished >= unfinished || unfinished == 0);
    Ok(summary)
}

/// Queues commands and changes what hosts shall have, until the time is over or somebody says so.
async fn keep_busy(
    options: &Options,
    admin: &mut Admin,
    fleet: &Fleets,
    began: Instant,
    mut stop: Pin<&mut impl Future<Output = anyhow::Result<()>>>,
) -> anyhow::Result<()> {
    let enrolled = Instant::now();
    let until = options.time.map(|time| began + time.0.max(Duration::from_secs(5)));
    let mut told = Instant::now();
    let mut change_at = Some(until.map_or(CHANGE_AFTER, |until| until.saturating_duration_since(enrolled) / 2));
    while until.is_none_or(|until| Instant::now() < until) {
        admin.queue_something().await?;
        if change_at.take_if(|after| enrolled.elapsed() >= *after).is_some() {
            admin.want_something_else().await?;
        }
        if told.elapsed() >= TELL {
            told = Instant::now();
            screen::going(options, &fleet.progress());
        }
        tokio::select! {
            () = tokio::time::sleep(BEAT) => {}
            stopped = &mut stop => {
                return stopped;
            }
        }
    }
    Ok(())
}

/// Ends with Ctrl-C or SIGTERM.
async fn asked_to_stop() -> anyhow::Result<()> {
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    Ok(())
}
