//! Opening the database with the keys that fit it: for the server that owns it, and for the commands beside it.

use actors::clock::Clock;
use anyhow::Context;
use entities::vault::Vault;
use entities::{Reader, Writer, store};

use super::directory;
use crate::config::Settings;

/// What a failure to open the database is about.
const PLACE: &str = "cannot use the database (database_url)";

/// Brings the database up to date and makes this process its owner.
///
/// # Errors
/// It cannot be reached, or the root keys do not fit it.
pub(super) async fn own(settings: &Settings, clock: &Clock) -> anyhow::Result<(Reader, Writer)> {
    let vault = prepare(settings).await?;
    let stores = store::open(&settings.database(), vault, clock.now().millis()).await.context(PLACE)?;
    tracing::info!("the database is {}", stores.0.kind());
    Ok(stores)
}

/// Brings the database up to date and opens it beside a server that may own it.
///
/// # Errors
/// It cannot be reached, or the root keys do not fit it.
pub(crate) async fn beside(settings: &Settings, clock: &Clock) -> anyhow::Result<(Reader, Writer)> {
    directory::make(&settings.data_dir)?;
    let vault = prepare(settings).await?;
    store::open_beside(&settings.database(), vault, clock.now().millis()).await.context(PLACE)
}

/// Migrates, and reads the root keys. The first ones are made here, but never for a database that needs others.
async fn prepare(settings: &Settings) -> anyhow::Result<Vault> {
    let (url, source) = (settings.database(), settings.key_source());
    migration::run(&url).await.context(PLACE)?;
    if let Some(ring) = source.load()? {
        return Ok(Vault::new(ring));
    }
    if store::needs_keys(&url).await.context(PLACE)? {
        anyhow::bail!(
            "{source} are missing, and the secrets in the database cannot be read without them: put the file back from \
             your copy of it, or name it with the setting vault.file. No new key is made, because it would open nothing"
        );
    }
    tracing::info!("makes {source}: keep a copy of them, apart from the database's backups");
    Ok(Vault::new(source.create()?))
}
