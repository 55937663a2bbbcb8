//! Texts of pending commands that are at hand, so that most hand-outs read no row. A few small ones: the others are read
//! when their turn comes.

use std::collections::BTreeMap;

use bytes::Bytes;

/// The largest text that is kept.
pub const KEPT_BYTES: usize = 16 * 1024;
/// Texts kept for one channel at most.
const MOST: usize = 32;

/// The texts of one channel, by their queue entries.
#[derive(Debug, Default)]
pub struct Bodies(BTreeMap<i64, Bytes>);

impl Bodies {
    /// Keeps a text, if it is small and there is room.
    pub(super) fn keep(&mut self, entry: i64, body: Bytes) {
        if body.len() <= KEPT_BYTES && self.0.len() < MOST {
            self.0.insert(entry, body);
        }
    }

    /// The text of an entry, where it is at hand.
    pub(super) fn get(&self, entry: i64) -> Option<Bytes> {
        self.0.get(&entry).cloned()
    }

    /// The entry has ended.
    pub(super) fn forget(&mut self, entry: i64) {
        self.0.remove(&entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_small_texts_are_kept() {
        let mut bodies = Bodies::default();
        bodies.keep(0, Bytes::from(vec![b'x'; KEPT_BYTES + 1]));
        assert_eq!(bodies.get(0), None, "large ones are read when their turn comes");
        for entry in 1..10_000 {
            bodies.keep(entry, Bytes::from_static(b"text"));
        }
        let kept = (1..10_000).filter(|entry| bodies.get(*entry).is_some()).count();
        assert_eq!(kept, MOST);
        bodies.forget(1);
        assert_eq!(bodies.get(1), None);
    }
}
