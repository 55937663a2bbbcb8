//! Backups: a copy of the database while it is used, and the way back. A copy holds sealed values only; the root keys are
//! kept apart, and without them it cannot be read.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail, ensure};
use entities::audit::{self, Event};
use entities::restore::{self, Fenced};
use protocol::apple::request_types::{Coalescing, facts, known};

use super::{ACTOR, open};
use crate::config::Settings;
use crate::serve::directory;

/// Copies the database.
pub(super) async fn make(settings: &Settings, file: &Path) -> anyhow::Result<ExitCode> {
    ensure!(!file.exists(), "{} exists already: name a new file", file.display());
    if !settings.database_url.is_empty() {
        bail!(
            "PostgreSQL copies itself: pg_dump --format=custom --file={} <database_url>. To put it back: pg_restore, \
             then `rookery admin restore` without a file, and only then start the server",
            file.display()
        );
    }
    let (_, writer, at) = open(settings).await?;
    let (actor, action, target) = (ACTOR.to_owned(), "backup.make", file.display().to_string());
    audit::write(&writer, Event { at, actor, action, target, detail: String::new() }).await?;
    let unfinished = beside(file, "part");
    let _ = fs::remove_file(&unfinished); // left behind by an earlier try
    restore::copy(&settings.database(), text(&unfinished)?).await?;
    only_ours(&unfinished)?;
    fs::File::open(&unfinished)?.sync_all()?;
    fs::rename(&unfinished, file).with_context(|| format!("cannot write {}", file.display()))?;
    println!("Copied the database to {}.", file.display());
    println!(
        "It cannot be read without {}, which are not in it: keep a copy of them elsewhere.",
        settings.key_source()
    );
    Ok(ExitCode::SUCCESS)
}

/// Puts a copy in the database's place. It is made safe before it gets there, so a crash never leaves one that is not.
pub(super) async fn put_back(settings: &Settings, file: &Path, replace: bool) -> anyhow::Result<ExitCode> {
    ensure!(
        settings.database_url.is_empty(),
        "PostgreSQL is put back by pg_restore; then run `rookery admin restore` without a file"
    );
    ensure!(file.is_file(), "there is no file {}", file.display());
    let _lock = directory::take(&settings.data_dir)?;
    let place = settings.data_dir.join("rookery.sqlite");
    ensure!(replace || !place.exists(), "there is a database at {}: --replace moves it aside", place.display());
    let work = settings.data_dir.join("restore");
    let _ = fs::remove_dir_all(&work);
    directory::make(&work)?;
    fs::copy(file, work.join("rookery.sqlite")).with_context(|| format!("cannot copy {}", file.display()))?;
    let mut copied = settings.clone();
    copied.vault.file = match settings.key_source() {
        entities::vault::key_file::KeySource::File(keys) => keys,
        entities::vault::key_file::KeySource::Text(_) => PathBuf::new(),
    };
    copied.data_dir.clone_from(&work);
    let fenced = fence(&copied, &format!("from {}", file.display()))
        .await
        .with_context(|| format!("{} cannot be put back (a backup needs the root keys of its time)", file.display()))?;
    // One whole file, without a log beside it, so that a rename is all that is left to do.
    let ready = work.join("ready.sqlite");
    restore::copy(&copied.database(), text(&ready)?).await?;
    only_ours(&ready)?;
    fs::File::open(&ready)?.sync_all()?;
    if place.exists() {
        move_aside(&settings.data_dir)?;
    }
    fs::rename(&ready, &place)?;
    fs::File::open(&settings.data_dir)?.sync_all()?;
    let _ = fs::remove_dir_all(&work);
    forget_anchor(settings)?;
    say(&fenced);
    Ok(ExitCode::SUCCESS)
}

/// Makes a database safe that was put back by other means.
pub(super) async fn make_safe(settings: &Settings) -> anyhow::Result<ExitCode> {
    ensure!(!settings.database_url.is_empty(), "name the file to put back");
    let _lock = directory::take(&settings.data_dir)?;
    let fenced = fence(settings, "by other means").await?;
    forget_anchor(settings)?;
    say(&fenced);
    Ok(ExitCode::SUCCESS)
}

async fn fence(settings: &Settings, from: &str) -> anyhow::Result<Fenced> {
    let (_, writer, now) = open(settings).await?;
    let questions = known().filter(|name| facts(name).coalescing == Coalescing::SameArguments);
    let fenced = restore::fence(&writer, questions.map(str::to_owned).collect(), from.to_owned(), now).await?;
    Ok(fenced)
}

fn say(fenced: &Fenced) {
    println!("The database is put back and safe to use.");
    for (request_type, count) in &fenced.parked {
        println!(
            "parked: {count} {request_type} — may have been done since the backup; queue again what is still wanted"
        );
    }
    for (request_type, count) in &fenced.kept {
        println!("kept: {count} {request_type} — only asks, and is asked again");
    }
    println!(
        "Challenges in profiles that were downloaded before have ended. Devices that enrolled after the backup are"
    );
    println!("told to come back later, and stay enrolled on their side: enroll them again, or restore a newer backup.");
}

/// The present database with its log, under names that say when it was moved.
fn move_aside(data_dir: &Path) -> anyhow::Result<()> {
    let seconds = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
    for name in ["rookery.sqlite-shm", "rookery.sqlite-wal", "rookery.sqlite"] {
        let old = data_dir.join(name);
        if old.exists() {
            let suffix = name.trim_start_matches("rookery.sqlite");
            fs::rename(&old, data_dir.join(format!("before-restore-{seconds}.sqlite{suffix}")))?;
        }
    }
    Ok(())
}

/// The audit log of the copy is shorter than what was noted: what was noted is kept under another name.
fn forget_anchor(settings: &Settings) -> anyhow::Result<()> {
    let anchor = settings.audit_anchor();
    if anchor.exists() {
        fs::rename(&anchor, beside(&anchor, "before-restore"))?;
    }
    Ok(())
}

fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    PathBuf::from(name)
}

fn text(path: &Path) -> anyhow::Result<&str> {
    path.to_str().context("the file's name must be UTF-8")
}

fn only_ours(file: &Path) -> anyhow::Result<()> {
    #[cfg(unix)]
    fs::set_permissions(file, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    Ok(())
}
