//! What a set needs to know of each version of a declaration, at hand: it is a little of it, and a version never changes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use entities::{Reader, StoreError, profile, profile_content};
use protocol::apple::uploaded_declaration::UploadedDeclaration;
use protocol::variables::{self, Variable};

use crate::generations::Generations;

/// Versions that are remembered at most; each takes about a hundred bytes.
const KEPT: usize = 4096;

/// What a set needs to know of a version.
#[derive(Debug)]
pub(super) struct Fact {
    /// See [`profile_content::Model::token`].
    pub(super) token: String,
    /// When it was made, in milliseconds.
    pub(super) created_at: i64,
    /// The configurations that it names, if it is an activation.
    pub(super) activates: BTreeSet<String>,
    /// Whether it is another text on each host.
    pub(super) differs: bool,
}

/// The memory of versions. Clones share it.
#[derive(Clone, Default)]
pub struct Facts(Arc<Mutex<Generations<i64, Arc<Fact>, KEPT>>>);

impl Facts {
    /// The facts of these versions of declarations, given with their parts (see [`profile::Model::part`]).
    ///
    /// # Errors
    /// [`StoreError::Unreadable`] when one is gone or does not open; otherwise the database does not answer.
    pub(super) async fn get(
        &self,
        reader: &Reader,
        versions: &BTreeMap<i64, i16>,
    ) -> Result<BTreeMap<i64, Arc<Fact>>, StoreError> {
        let mut found: BTreeMap<i64, Arc<Fact>> = {
            let mut memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            versions.keys().filter_map(|id| Some((*id, memory.recall(id)?))).collect()
        };
        let missing: Vec<i64> = versions.keys().filter(|id| !found.contains_key(id)).copied().collect();
        if !missing.is_empty() {
            for (row, body) in profile_content::bodies(reader, missing).await? {
                let part = versions.get(&row.id).copied().unwrap_or_default();
                let fact = Arc::new(Fact::of(&row, part, &body));
                self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(row.id, fact.clone());
                found.insert(row.id, fact);
            }
        }
        match versions.keys().find(|id| !found.contains_key(id)) {
            Some(id) => Err(StoreError::Unreadable(format!("version {id} of a declaration is gone"))),
            None => Ok(found),
        }
    }
}

impl Fact {
    fn of(row: &profile_content::Model, part: i16, body: &[u8]) -> Self {
        let named = std::str::from_utf8(body).ok().and_then(|text| variables::find(text).ok()).unwrap_or_default();
        let read = UploadedDeclaration::parse(body).ok().filter(|_| part == profile::ACTIVATION);
        Self {
            token: row.token.clone(),
            created_at: row.created_at,
            activates: read.map(|read| read.references).unwrap_or_default(),
            differs: named.iter().any(|found| matches!(found.variable, Variable::Host(_))),
        }
    }
}

impl std::fmt::Debug for Facts {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("facts of declarations")
    }
}
