//! Sign-ins that have begun and are not finished: in memory, bounded, each good for one return within ten minutes.
//! A restart forgets them; whoever is on their way begins anew.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use openssl::sha::sha256;

/// How long somebody may take at the provider.
const LASTS: Duration = Duration::from_secs(600);
/// Sign-ins at once; beyond it the oldest is forgotten.
const MOST: usize = 10_000;

/// A sign-in that has begun, and what for.
pub(in crate::http) struct Login<P> {
    /// SHA-256 of what its browser keeps.
    pub(in crate::http) browser: [u8; 32],
    /// What its id token must hold; with SAML, the request that its response must answer.
    pub(in crate::http) nonce: String,
    /// What proves to the provider that we began it (RFC 7636); nothing with SAML.
    pub(in crate::http) verifier: String,
    /// What for.
    pub(in crate::http) purpose: P,
    /// When it began.
    pub(in crate::http) since: Instant,
}

/// All of them, by the hash of their state: looking one up tells nobody how much of a guess was right.
pub(in crate::http) struct Logins<P>(Mutex<HashMap<[u8; 32], Login<P>>>);

impl<P> Default for Logins<P> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<P> Logins<P> {
    /// Remembers one.
    pub(in crate::http) fn put(&self, state: &str, login: Login<P>) {
        let mut logins = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if logins.len() >= MOST {
            let now = login.since;
            logins.retain(|_, known| now.duration_since(known.since) < LASTS);
        }
        if logins.len() >= MOST
            && let Some(oldest) = logins.iter().min_by_key(|(_, known)| known.since).map(|(state, _)| *state)
        {
            logins.remove(&oldest);
        }
        logins.insert(sha256(state.as_bytes()), login);
    }

    /// Takes one out, if it still lasts.
    pub(in crate::http) fn take(&self, state: &str, now: Instant) -> Option<Login<P>> {
        let mut logins = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        logins.remove(&sha256(state.as_bytes())).filter(|login| now.duration_since(login.since) < LASTS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(since: Instant) -> Login<()> {
        Login { browser: [0; 32], nonce: String::new(), verifier: String::new(), purpose: (), since }
    }

    #[test]
    fn a_sign_in_is_good_once_and_for_ten_minutes() {
        let (logins, now) = (Logins::default(), Instant::now());
        logins.put("one", login(now));
        assert!(logins.take("other", now).is_none());
        assert!(logins.take("one", now).is_some());
        assert!(logins.take("one", now).is_none(), "once");
        logins.put("late", login(now));
        assert!(logins.take("late", now + LASTS).is_none());
    }

    #[test]
    fn memory_has_an_end() {
        let (logins, now) = (Logins::default(), Instant::now());
        for n in 0..MOST as u64 + 5 {
            logins.put(&n.to_string(), login(now + Duration::from_millis(n)));
        }
        assert_eq!(logins.0.lock().unwrap().len(), MOST);
        assert!(logins.take("0", now).is_none() && logins.take("5", now + LASTS / 2).is_some(), "the oldest go first");
        logins.put("new", login(now + LASTS * 2));
        logins.put("newer", login(now + LASTS * 2));
        assert_eq!(logins.0.lock().unwrap().len(), 2, "what is over goes first");
    }
}
