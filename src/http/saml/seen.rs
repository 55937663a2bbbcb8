//! Assertions that were seen, each until it is over: one that comes again counts for nothing. In memory and bounded; that a response
//! answers a request which is good once holds without it, and across restarts.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use openssl::sha::sha256;
use protocol::time::Timestamp;

/// Assertions at most; when there are more, none is accepted until some are over.
const MOST: usize = 100_000;

/// All of them, by the hash of their name.
#[derive(Default)]
pub(super) struct Seen(Mutex<HashMap<[u8; 32], Timestamp>>);

impl Seen {
    /// Notes an assertion that is good until a moment; `false` where it was seen before, or where there is no room.
    pub(super) fn note(&self, id: &str, until: Timestamp, now: Timestamp) -> bool {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= MOST {
            seen.retain(|_, until| now < *until);
        }
        seen.len() < MOST && seen.insert(sha256(id.as_bytes()), until).is_none_or(|until| until <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assertion_counts_once_and_memory_has_an_end() {
        let (seen, at) = (Seen::default(), Timestamp::from_millis);
        assert!(seen.note("a", at(10), at(0)));
        assert!(!seen.note("a", at(10), at(9)) && seen.note("b", at(10), at(9)));
        for n in 2..MOST {
            assert!(seen.note(&n.to_string(), at(10), at(0)));
        }
        assert!(!seen.note("more", at(20), at(9)), "rather none than one twice");
        assert!(seen.note("more", at(20), at(10)));
        assert_eq!(seen.0.lock().unwrap().len(), 1);
    }
}
