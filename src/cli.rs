//! The command line: `serve`, `demo`, `gitops`, `config check`, `admin`.
//!
//! Exit codes: 0 all is well, 1 something failed, 64 wrong settings or flags, 70 the server gave up.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::Settings;
use crate::serve::{self, EXIT_GAVE_UP, Ended};
use crate::{admin, demo, gitops, telemetry};

/// Wrong settings or flags.
const EXIT_USAGE: u8 = 64;

/// Device management for Apple and Windows: every host is a supervised actor.
#[derive(Debug, Parser)]
#[command(name = "rookery", version, about)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Runs the server.
    Serve {
        /// Once the server is ready, writes its addresses to this file (JSON).
        #[arg(long, value_name = "FILE")]
        info: Option<PathBuf>,
        #[command(flatten)]
        source: Source,
    },
    /// Runs a server with simulated devices and a simulated APNs, to look at or to test.
    Demo(demo::Options),
    /// Makes a server have what files say: teams, profiles, labels, settings; all of it or nothing.
    Gitops(gitops::Options),
    /// Looks at settings.
    #[command(subcommand)]
    Config(ConfigVerb),
    /// Does what only the owner of the machine may do.
    Admin {
        #[command(subcommand)]
        verb: admin::Verb,
        #[command(flatten)]
        source: Source,
    },
}

#[derive(Debug, Subcommand)]
enum ConfigVerb {
    /// Prints the effective settings, without secrets, or everything that is wrong with them.
    Check(Source),
}

/// Where settings come from.
#[derive(Debug, Args)]
struct Source {
    /// The settings file (TOML); without one the defaults and the environment count.
    #[arg(long, env = "ROOKERY_CONFIG_FILE", global = true)]
    config: Option<PathBuf>,
    /// The data directory, in place of the one in the settings.
    #[arg(long, global = true)]
    data: Option<PathBuf>,
}

/// Runs the program.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(EXIT_USAGE) } else { ExitCode::SUCCESS };
        }
    };
    match cli.verb {
        Verb::Serve { info, source } => with_settings(&source, |settings| run_server(settings, info.as_deref())),
        Verb::Demo(options) => demo::main(&options),
        Verb::Gitops(options) => gitops::run(&options).unwrap_or_else(|error| {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }),
        Verb::Config(ConfigVerb::Check(source)) => with_settings(&source, |settings| {
            println!("{}", settings.shown());
            Ok(ExitCode::SUCCESS)
        }),
        Verb::Admin { verb, source } => with_settings(&source, |settings| admin::run(verb, &settings)),
    }
}

fn with_settings(source: &Source, verb: impl FnOnce(Settings) -> anyhow::Result<ExitCode>) -> ExitCode {
    let mut settings = match Settings::load(source.config.as_deref()) {
        Ok(settings) => settings,
        Err(faults) => {
            faults.iter().for_each(|fault| eprintln!("{fault}"));
            return ExitCode::from(EXIT_USAGE);
        }
    };
    if let Some(data) = &source.data {
        settings.data_dir.clone_from(data);
    }
    verb(settings).unwrap_or_else(|error| {
        eprintln!("{error:#}");
        ExitCode::FAILURE
    })
}

fn run_server(settings: Settings, info: Option<&Path>) -> anyhow::Result<ExitCode> {
    telemetry::start(&settings.log)?;
    let data_dir = settings.data_dir.clone();
    let running = serve::start(settings)?;
    if let Some(file) = info
        && let Err(error) = serve::info::write(file, &running.addresses, &data_dir, None)
    {
        running.stop()?;
        return Err(error);
    }
    wait_for_signal(&running)?;
    Ok(match running.stop()? {
        Ended::Asked => ExitCode::SUCCESS,
        Ended::Late => ExitCode::FAILURE,
        Ended::GaveUp => ExitCode::from(EXIT_GAVE_UP),
    })
}

/// Waits until the process is asked to stop, or the server has ended by itself.
///
/// # Errors
/// Signals cannot be received.
pub fn wait_for_signal(running: &serve::Running) -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        while !running.has_ended() {
            tokio::select! {
                _ = term.recv() => break,
                _ = int.recv() => break,
                () = tokio::time::sleep(std::time::Duration::from_millis(200)) => {}
            }
        }
        Ok(())
    })
}
