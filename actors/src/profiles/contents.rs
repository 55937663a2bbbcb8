//! The versions of profiles that are being delivered, at hand: a profile for all hosts is read once, not by each of them. A
//! version never changes, so nothing here grows old.

use std::sync::{Arc, Mutex, PoisonError};

use entities::{Reader, StoreError, profile_content};

use crate::generations::Generations;

/// Versions at hand at most; a version has 1 MiB at most.
const KEPT: usize = 32;

/// A version of a profile. It may hold passwords, so `Debug` shows none of it.
pub(crate) struct Content {
    /// Its profile.
    pub(crate) profile_id: i64,
    /// Its bytes as they were uploaded.
    pub(crate) body: Vec<u8>,
}

/// The memory of versions. Clones share it.
#[derive(Clone, Default)]
pub struct Contents(Arc<Mutex<Generations<i64, Arc<Content>, KEPT>>>);

impl Contents {
    /// A version.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`] when it is gone or does not open; otherwise the database does not answer.
    pub(crate) async fn get(&self, reader: &Reader, id: i64) -> Result<Arc<Content>, StoreError> {
        if let Some(content) = self.0.lock().unwrap_or_else(PoisonError::into_inner).recall(&id) {
            return Ok(content);
        }
        let read = profile_content::bodies(reader, vec![id]).await?.into_iter().next();
        let (row, body) = read.ok_or_else(|| StoreError::Unreadable(format!("version {id} of a profile is gone")))?;
        let content = Arc::new(Content { profile_id: row.profile_id, body });
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id, content.clone());
        Ok(content)
    }
}

impl std::fmt::Debug for Contents {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("versions of profiles")
    }
}
