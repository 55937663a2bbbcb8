//! What only the owner of the machine may do, from the command line: tokens, root keys, the audit log, backups. Most of it
//! works beside a running server.

mod audit_log;
mod backup;
mod keys;
mod user;

use std::path::PathBuf;
use std::process::ExitCode;

use actors::clock::Clock;
use clap::Subcommand;
use entities::{Reader, Writer};

use crate::config::{Settings, Span};
use crate::serve;

/// Who did it, in the audit log.
const ACTOR: &str = "cli";

/// One thing to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Makes an API token and prints it, once.
    Token {
        /// What people call it; every token has a name of its own.
        name: String,
        /// How long it works, for example 90d; without this it works until it is removed.
        #[arg(long)]
        valid_for: Option<Span>,
    },
    /// Makes a user who may sign in, for example the first admin; the password is read from standard input.
    User {
        /// Their email address.
        email: String,
        /// What people call them.
        #[arg(long, default_value = "")]
        name: String,
        /// Their role in all teams: admin, maintainer, observer, observer_plus or gitops.
        #[arg(long, default_value = "admin")]
        role: String,
    },
    /// Adds a root key, which seals from then on; a running server seals everything anew with it, a little at a time.
    RotateKeys {
        /// Only says how many values each key seals.
        #[arg(long, conflicts_with = "prune")]
        status: bool,
        /// Takes away the keys that nothing needs any more.
        #[arg(long)]
        prune: bool,
    },
    /// Examines the audit log: whether a row was changed or taken away.
    VerifyAudit {
        /// An end that somebody noted before, as this command and the log print it.
        #[arg(long, value_name = "ROW:HASH")]
        anchor: Vec<String>,
        /// Prints the rows, too, a line of JSON each.
        #[arg(long)]
        export: bool,
    },
    /// Copies the database to a file, while the server runs. The root keys are not in it.
    Backup {
        /// The file; it must not exist.
        file: PathBuf,
    },
    /// Puts a copy back and makes it safe: commands that were pending are parked, because they may have been done since.
    Restore {
        /// The file; without one, a PostgreSQL database that was put back by pg_restore is made safe.
        file: Option<PathBuf>,
        /// Moves the present database aside.
        #[arg(long, requires = "file")]
        replace: bool,
    },
}

/// Does it.
///
/// # Errors
/// Whatever went wrong, with what to do about it.
pub(crate) fn run(verb: Verb, settings: &Settings) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        match verb {
            Verb::Token { name, valid_for } => make_token(settings, &name, valid_for).await,
            Verb::User { email, name, role } => user::make(settings, &email, &name, &role).await,
            Verb::RotateKeys { status: true, .. } => keys::status(settings).await,
            Verb::RotateKeys { prune: true, .. } => keys::prune(settings).await,
            Verb::RotateKeys { .. } => keys::rotate(settings).await,
            Verb::VerifyAudit { anchor, export } => audit_log::verify(settings, &anchor, export).await,
            Verb::Backup { file } => backup::make(settings, &file).await,
            Verb::Restore { file: Some(file), replace } => backup::put_back(settings, &file, replace).await,
            Verb::Restore { file: None, .. } => backup::make_safe(settings).await,
        }
    })
}

async fn make_token(settings: &Settings, name: &str, valid_for: Option<Span>) -> anyhow::Result<ExitCode> {
    let clock = Clock::default();
    let now = clock.now();
    let expires_at = valid_for.map(|span| now.plus(span.0));
    let (_, writer) = serve::storage::beside(settings, &clock).await?;
    println!("{}", serve::store_token(&writer, name, expires_at, ACTOR, now).await?);
    Ok(ExitCode::SUCCESS)
}

/// The database beside a server, and the time.
async fn open(settings: &Settings) -> anyhow::Result<(Reader, Writer, i64)> {
    let clock = Clock::default();
    let (reader, writer) = serve::storage::beside(settings, &clock).await?;
    Ok((reader, writer, clock.now().millis()))
}
