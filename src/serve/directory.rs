//! The data directory: for one server at a time, and for nobody else's eyes.

use std::fs::{DirBuilder, File, TryLockError};
use std::path::Path;

use anyhow::Context;

/// Makes the directory if need be.
///
/// # Errors
/// It cannot be made.
pub(crate) fn make(directory: &Path) -> anyhow::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory).with_context(|| format!("cannot use the data directory {}", directory.display()))
}

/// Makes the directory if need be, and takes it for this server. The lock ends with the file, however the process ends.
///
/// # Errors
/// It cannot be made, or another server has it.
pub(crate) fn take(directory: &Path) -> anyhow::Result<File> {
    let place = || format!("cannot use the data directory {}", directory.display());
    make(directory)?;
    let lock = File::create(directory.join("lock")).with_context(place)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => anyhow::bail!(
            "another server uses the data directory {}: stop it, or name another one with --data",
            directory.display()
        ),
        Err(TryLockError::Error(error)) => Err(error).with_context(place),
    }
}
