//! The log: one subscriber for the process, text or JSON lines on standard error.
//!
//! What is logged where: a failure once, where it is handled. Fields are dotted by what they speak of (`host.id`,
//! `enrollment.id`, `queue.entry`). Never bodies, tokens, challenges or keys.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, LogSettings};

/// Starts the log. A second call in one process changes nothing.
///
/// # Errors
/// The filter cannot be read.
pub fn start(settings: &LogSettings) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&settings.filter).map_err(|error| anyhow::anyhow!("log.filter: {error}"))?;
    let colours = std::io::stderr().is_terminal();
    // By default a line that cannot be written is complained about where it could not be written, which then panics: a full
    // disk under the log would take every actor down that has something to say.
    let log = tracing_subscriber::fmt().log_internal_errors(false);
    let log = log.with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr);
    // A test process starts several servers, and the first one's log is everyone's.
    let _ = match settings.format {
        LogFormat::Text => log.with_target(false).try_init(),
        LogFormat::Json => log.json().flatten_event(true).try_init(),
    };
    Ok(())
}
