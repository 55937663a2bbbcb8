//! A map of bounded size that forgets what was not used for the longest time, roughly: two generations of entries. When the young
//! one is full, it becomes the old one, and the old one is forgotten; whoever is looked up in time stays young.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

/// The map. It holds between a half and the whole of what it may hold.
pub(crate) struct Generations<K, V, const MOST: usize> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K: Eq + Hash, V: Clone, const MOST: usize> Generations<K, V, MOST> {
    /// What is remembered under a key.
    pub(crate) fn recall<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        if let Some(found) = self.young.get(key) {
            return Some(found.clone());
        }
        let (key, found) = self.old.remove_entry(key)?;
        self.insert(key, found.clone());
        Some(found)
    }

    /// Remembers something under a key.
    pub(crate) fn insert(&mut self, key: K, value: V) {
        if self.young.len() >= MOST / 2 && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }

    /// Forgets what is remembered under a key.
    pub(crate) fn forget<Q: Eq + Hash + ?Sized>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
    {
        self.young.remove(key);
        self.old.remove(key);
    }
}

impl<K, V, const MOST: usize> Default for Generations<K, V, MOST> {
    fn default() -> Self {
        Self { young: HashMap::new(), old: HashMap::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_the_rest_is_forgotten_in_time() {
        let mut map = Generations::<u32, u32, 8>::default();
        for number in 0..100 {
            map.insert(number, number);
            assert_eq!(map.recall(&0), Some(0), "it is used all the time");
            assert!(map.young.len() + map.old.len() <= 8);
        }
        assert_eq!((map.recall(&99), map.recall(&1)), (Some(99), None));
        map.insert(0, 7);
        assert_eq!(map.recall(&0), Some(7));
        map.forget(&0);
        assert_eq!(map.recall(&0), None);
    }
}
