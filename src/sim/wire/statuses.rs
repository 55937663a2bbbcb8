//! What a server answered, counted on the wire: how often each path got each status.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use hyper::Uri;

/// How often each path was answered with each status. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Statuses(Arc<Mutex<BTreeMap<(String, u16), u64>>>);

impl Statuses {
    /// How often, by path (without its query) and status.
    pub fn counts(&self) -> BTreeMap<(String, u16), u64> {
        // Counters are whole even if someone panicked between two of them.
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Counts one answer.
    pub fn count(&self, url: &str, status: u16) {
        let path = url.parse::<Uri>().map_or_else(|_| String::new(), |uri| uri.path().to_owned());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry((path, status)).or_default() += 1;
    }
}
