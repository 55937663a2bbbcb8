//! Root keys: a new one, how far the sealing with it has come, and the end of an old one.

use std::process::ExitCode;

use entities::audit::{self, Event};
use entities::vault::KeyId;
use entities::vault::rotate::{Census, census};
use entities::{Reader, vault_key};

use super::{ACTOR, open};
use crate::config::Settings;

/// Adds a key to the key file.
pub(super) async fn rotate(settings: &Settings) -> anyhow::Result<ExitCode> {
    let (reader, writer, at) = open(settings).await?;
    let (old, source) = (reader.vault().ring(), settings.key_source());
    let (actor, action, target) = (ACTOR.to_owned(), "root_key.add", source.to_string());
    let detail = format!("beside {old:?}");
    audit::write(&writer, Event { at, actor, action, target, detail }).await?;
    let new = source.add()?;
    println!("Root key {new} was added to {source}. Copy them again, apart from the database's backups.");
    println!("A running server uses it within seconds and seals everything anew; one that is started later does, too.");
    println!(
        "`rookery admin rotate-keys --status` shows how far that is, `--prune` takes the old keys away afterwards."
    );
    println!("Backups from before need the old keys: keep them as long as you keep those.");
    Ok(ExitCode::SUCCESS)
}

/// Says how many values each key seals.
pub(super) async fn status(settings: &Settings) -> anyhow::Result<ExitCode> {
    let (reader, ..) = open(settings).await?;
    let counts = census(&reader).await?;
    let active = reader.vault().ring().active_id();
    let known: Vec<KeyId> = counts.keys().copied().chain(reader.vault().ring().ids()).collect();
    for id in known.into_iter().collect::<std::collections::BTreeSet<_>>() {
        let count = counts.get(&id).copied().unwrap_or_default();
        let role = if Some(id) == active { "seals" } else { "old" };
        println!("{id} {role} {count}");
    }
    Ok(ExitCode::SUCCESS)
}

/// Takes away the keys of the file that seal nothing any more.
pub(super) async fn prune(settings: &Settings) -> anyhow::Result<ExitCode> {
    let (reader, writer, at) = open(settings).await?;
    let gone = needless(&reader, &census(&reader).await?).await?;
    if gone.is_empty() {
        println!("Every key in the key file is needed.");
        return Ok(ExitCode::SUCCESS);
    }
    let (actor, action, target) = (ACTOR.to_owned(), "root_key.remove", format!("{gone:?}"));
    audit::write(&writer, Event { at, actor, action, target, detail: String::new() }).await?;
    settings.key_source().remove(&gone)?;
    println!("Took away {gone:?}. Backups that were sealed with them still need them: keep those keys elsewhere.");
    Ok(ExitCode::SUCCESS)
}

/// Keys whose row says that they are retired, and that seal nothing in truth.
async fn needless(reader: &Reader, counts: &Census) -> anyhow::Result<Vec<KeyId>> {
    let rows = vault_key::list(reader).await?;
    let is_retired = |id: &KeyId| rows.iter().all(|row| row.id != id.to_string() || row.retired_at.is_some());
    let ring = reader.vault().ring();
    let old = ring.ids().filter(|id| Some(*id) != ring.active_id());
    Ok(old.filter(|id| is_retired(id) && !counts.contains_key(id)).collect())
}
