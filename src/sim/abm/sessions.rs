//! Sessions: what a server shows with every call, replaced from time to time by the answer.

use std::collections::HashMap;
use std::time::Duration;

use protocol::time::Timestamp;

use crate::sim::random::Chance;

/// How long a session that was replaced is still taken, for calls that were under way.
const GRACE: Duration = Duration::from_secs(30);

/// The sessions of one organization.
#[derive(Debug, Default)]
pub(super) struct Sessions(HashMap<String, Session>);

#[derive(Debug)]
struct Session {
    expires_at: Timestamp,
    calls: u32,
    replaced: bool,
}

/// What a session is found to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Checked {
    /// It is good; the answer brings this new one.
    Good(Option<String>),
    /// It is over.
    Expired,
    /// It is over because it was replaced, and the server should know.
    Replaced,
    /// It is none of these.
    Unknown,
}

impl Sessions {
    pub(super) fn open(&mut self, expires_at: Timestamp, chance: &mut Chance) -> String {
        let name = chance.text("0123456789abcdef", 48);
        self.0.insert(name.clone(), Session { expires_at, calls: 0, replaced: false });
        name
    }

    pub(super) fn end_all(&mut self) {
        self.0.clear();
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Counts one call of a session; after `most` of them it is replaced.
    pub(super) fn check(
        &mut self,
        name: &str,
        (now, life): (Timestamp, Duration),
        most: u32,
        chance: &mut Chance,
    ) -> Checked {
        let Some(session) = self.0.get_mut(name) else { return Checked::Unknown };
        if session.expires_at <= now {
            return if session.replaced { Checked::Replaced } else { Checked::Expired };
        }
        session.calls += 1;
        if session.calls < most || session.replaced {
            return Checked::Good(None);
        }
        session.replaced = true;
        session.expires_at = now.plus(GRACE);
        Checked::Good(Some(self.open(now.plus(life), chance)))
    }
}
