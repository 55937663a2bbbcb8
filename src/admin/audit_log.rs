//! The audit log: examined, and exported.

use std::process::ExitCode;

use anyhow::Context;
use entities::Reader;
use entities::audit::{self, Anchor};
use protocol::time::Timestamp;
use serde_json::json;

use super::open;
use crate::config::Settings;

/// Rows that are read at once.
const PAGE: u64 = 1000;

/// Examines the log against its own chain, the file that the server keeps, and what the caller noted.
pub(super) async fn verify(settings: &Settings, anchors: &[String], export: bool) -> anyhow::Result<ExitCode> {
    let read = |text: &String| Anchor::parse(text).with_context(|| format!("{text:?} is not ROW:HASH"));
    let mut noted = anchors.iter().map(read).collect::<anyhow::Result<Vec<_>>>()?;
    let file = settings.audit_anchor();
    match std::fs::read_to_string(&file) {
        Ok(text) => {
            let anchor = Anchor::parse(&text);
            noted.push(anchor.with_context(|| format!("{} does not hold the end of an audit log", file.display()))?);
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("{} is not there: rows missing at the end may not be noticed", file.display());
        }
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", file.display())),
    }
    let (reader, ..) = open(settings).await?;
    let verdict = audit::verify(&reader, &noted).await?;
    if export {
        print_all(&reader).await?;
    }
    match verdict.fault {
        None => {
            println!("{} rows, all in order. The end: {}", verdict.end.id, verdict.end);
            Ok(ExitCode::SUCCESS)
        }
        Some(fault) => {
            eprintln!("The audit log was tampered with: {fault}.");
            eprintln!(
                "{} rows before that are in order. Keep a copy of the database and look into its access.",
                verdict.end.id
            );
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Prints the rows, the newest first.
async fn print_all(reader: &Reader) -> anyhow::Result<()> {
    let mut before = None;
    loop {
        let rows = audit::list(reader, before, PAGE).await?;
        let Some(last) = rows.last() else { return Ok(()) };
        before = Some(last.id);
        for row in rows {
            let at = Timestamp::from_millis(row.at).to_rfc3339();
            let (actor, action, target, detail) = (row.actor, row.action, row.target, row.detail);
            let shown = json!({
                "id": row.id, "at": at, "actor": actor, "action": action, "target": target, "detail": detail,
            });
            println!("{shown}");
        }
    }
}
