//! Locked, unlocked, erased: where a device stands, what is under way, and what may be asked for next, in Fleet's words.
//!
//! Pure: where a device stands follows from where its commands stand, so that a result, a failure or another end of one
//! changes it in the same moment. An enrollment that begins anew begins with nothing.
//!
//! Start with [`Standing`].

use crate::queue::State;

/// What an admin may do to a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nobody can use it.
    Lock,
    /// It can be used again.
    Unlock,
    /// It loses everything on it.
    Wipe,
}

/// Where the commands of the last actions stand; `None` for one that was never asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The command that locks.
    pub lock: Option<State>,
    /// The command that unlocks, later than that one. Macs need none: their user enters a PIN.
    pub unlock: Option<State>,
    /// Somebody has asked for the PIN of a Mac, which has not come back since.
    pub pin_was_shown: bool,
    /// The command that erases.
    pub wipe: Option<State>,
}

impl Standing {
    /// Fleet's `device_status`.
    pub fn device_status(self) -> &'static str {
        match self {
            _ if self.wipe == Some(State::Acknowledged) => "wiped",
            _ if self.is_locked() => "locked",
            _ => "unlocked",
        }
    }

    /// Fleet's `pending_action`; empty for none.
    pub fn pending_action(self) -> &'static str {
        self.pending().map_or("", Action::as_str)
    }

    /// Why an action may not be asked for now, in Fleet's words; `None` when it may.
    pub fn refusal(self, action: Action) -> Option<&'static str> {
        use Action::{Lock, Unlock, Wipe};
        let wiped = self.wipe == Some(State::Acknowledged);
        Some(match (action, self.pending()) {
            (Lock, Some(Lock)) => "Host has pending lock request. The host will lock when it comes online.",
            (Lock, Some(Unlock)) => {
                "Host has pending unlock request. Host cannot be locked again until unlock is complete."
            }
            (Lock, Some(Wipe)) => "Host has pending wipe request. Cannot process lock requests once host is wiped.",
            (Lock, None) if wiped => "Host is wiped. Cannot process lock requests once host is wiped.",
            (Lock, None) if self.is_locked() => "Host is already locked.",
            (Unlock, Some(Lock)) => "Host has pending lock request. Host cannot be unlocked until lock is complete.",
            // Whoever asks a Mac's PIN again gets it again.
            (Unlock, Some(Unlock)) if self.pin_was_shown => return None,
            (Unlock, Some(Unlock)) => "Host has pending unlock request. The host will unlock when it comes online.",
            (Unlock, Some(Wipe)) => "Host has pending wipe request. Cannot process unlock requests once host is wiped.",
            (Unlock, None) if wiped => "Host is wiped. Cannot process unlock requests once host is wiped.",
            (Unlock, None) if !self.is_locked() => "Host is already unlocked.",
            (Wipe, Some(Lock)) => "Host has pending lock request. Host cannot be wiped until lock is complete.",
            (Wipe, Some(Unlock)) => "Host has pending unlock request. Host cannot be wiped until unlock is complete.",
            (Wipe, Some(Wipe)) => "Host has pending wipe request. The host will be wiped when it comes online.",
            (Wipe, None) if wiped => "Host is already wiped.",
            (Wipe, None) if self.is_locked() => "Host is locked. Host cannot be wiped until it is unlocked.",
            (Lock | Unlock | Wipe, None) => return None,
        })
    }

    fn is_locked(self) -> bool {
        self.lock == Some(State::Acknowledged) && self.unlock != Some(State::Acknowledged)
    }

    fn pending(self) -> Option<Action> {
        let is_pending = |state: Option<State>| state.is_some_and(|state| !state.is_terminal());
        match self {
            _ if is_pending(self.wipe) => Some(Action::Wipe),
            _ if is_pending(self.lock) => Some(Action::Lock),
            _ if is_pending(self.unlock) || self.pin_was_shown && self.is_locked() => Some(Action::Unlock),
            _ => None,
        }
    }
}

impl Action {
    /// Fleet's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lock => "lock",
            Self::Unlock => "unlock",
            Self::Wipe => "wipe",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Standing = Standing { lock: None, unlock: None, pin_was_shown: false, wipe: None };

    fn seen(standing: Standing) -> (&'static str, &'static str) {
        (standing.device_status(), standing.pending_action())
    }

    #[test]
    fn a_lock_is_pending_until_it_is_done_and_gone_when_it_fails() {
        assert_eq!(seen(NOTHING), ("unlocked", ""));
        for state in State::ALL {
            let expected = match state {
                State::Acknowledged => ("locked", ""),
                state if state.is_terminal() => ("unlocked", ""),
                _ => ("unlocked", "lock"),
            };
            assert_eq!(seen(Standing { lock: Some(state), ..NOTHING }), expected, "{state:?}");
            let expected = match state {
                State::Acknowledged => ("wiped", ""),
                state if state.is_terminal() => ("unlocked", ""),
                _ => ("unlocked", "wipe"),
            };
            assert_eq!(seen(Standing { wipe: Some(state), ..NOTHING }), expected, "{state:?}");
        }
    }

    #[test]
    fn an_unlock_is_pending_until_the_device_has_done_it_or_a_mac_is_back() {
        let locked = Standing { lock: Some(State::Acknowledged), ..NOTHING };
        assert_eq!(seen(Standing { unlock: Some(State::Sent), ..locked }), ("locked", "unlock"));
        assert_eq!(seen(Standing { unlock: Some(State::Error), ..locked }), ("locked", ""));
        assert_eq!(seen(Standing { unlock: Some(State::Acknowledged), ..locked }), ("unlocked", ""));
        assert_eq!(seen(Standing { pin_was_shown: true, ..locked }), ("locked", "unlock"));
    }

    #[test]
    fn what_is_under_way_or_done_keeps_the_rest_from_being_asked_for() {
        let locked = Standing { lock: Some(State::Acknowledged), ..NOTHING };
        let cases = [
            (NOTHING, [true, false, true]),
            (Standing { lock: Some(State::Held), ..NOTHING }, [false, false, false]),
            (Standing { lock: Some(State::Cancelled), ..NOTHING }, [true, false, true]),
            (locked, [false, true, false]),
            (Standing { pin_was_shown: true, ..locked }, [false, true, false]),
            (Standing { unlock: Some(State::Queued), ..locked }, [false, false, false]),
            (Standing { unlock: Some(State::Expired), ..locked }, [false, true, false]),
            (Standing { unlock: Some(State::Acknowledged), ..locked }, [true, false, true]),
            (Standing { wipe: Some(State::NotNow), ..NOTHING }, [false, false, false]),
            (Standing { wipe: Some(State::Acknowledged), ..NOTHING }, [false, false, false]),
            (Standing { wipe: Some(State::Error), ..NOTHING }, [true, false, true]),
        ];
        for (standing, may) in cases {
            let allowed = [Action::Lock, Action::Unlock, Action::Wipe].map(|action| standing.refusal(action).is_none());
            assert_eq!(allowed, may, "{standing:?}");
        }
    }
}
