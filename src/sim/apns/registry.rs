//! Which tokens exist, and how their devices are woken.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use protocol::time::Timestamp;

use super::Outcome;
use super::rules::{Push, Refusal};

/// What wakes a device.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// A token's device.
#[derive(Clone)]
pub struct Registration {
    /// The topic that the token is for.
    pub topic: String,
    /// What a push has to carry, or the device ignores it.
    pub magic: String,
    /// Called once for each push that arrives.
    pub wake: Wake,
}

/// All tokens that ever were.
#[derive(Default)]
pub(super) struct Registry(HashMap<Vec<u8>, State>);

enum State {
    Live { registration: Registration, on: bool, kept: Option<Kept> },
    Gone { since: Timestamp },
}

/// The last push for a device that is off.
struct Kept {
    magic: String,
    expires_at: Timestamp,
}

impl Registry {
    pub(super) fn register(&mut self, token: &[u8], registration: Registration) {
        self.0.insert(token.to_vec(), State::Live { registration, on: true, kept: None });
    }

    pub(super) fn unregister(&mut self, token: &[u8], since: Timestamp) {
        if let Some(state) = self.0.get_mut(token)
            && matches!(state, State::Live { .. })
        {
            *state = State::Gone { since };
        }
    }

    /// Switches a device; what wakes it, if a push waits for it.
    pub(super) fn switch(&mut self, token: &[u8], switched_on: bool, now: Timestamp) -> Option<Wake> {
        let Some(State::Live { registration, on, kept }) = self.0.get_mut(token) else { return None };
        *on = switched_on;
        let kept = kept.take_if(|_| switched_on)?;
        (kept.expires_at > now && kept.magic == registration.magic).then(|| registration.wake.clone())
    }

    /// Takes a push: what becomes of it, and what wakes the device.
    pub(super) fn take(&mut self, push: Push, now: Timestamp) -> Result<(Outcome, Option<Wake>), Refusal> {
        let state = self.0.get_mut(&push.token).ok_or(Refusal::new(400, "BadDeviceToken"))?;
        let (registration, on, kept) = match state {
            State::Gone { since } => return Err(Refusal { since: Some(*since), ..Refusal::new(410, "Unregistered") }),
            State::Live { registration, on, kept } => (registration, on, kept),
        };
        if registration.topic != push.topic {
            return Err(Refusal::new(400, "DeviceTokenNotForTopic"));
        }
        if !*on {
            let expires_at = push.expires_at.filter(|expires_at| *expires_at > now);
            let Some(expires_at) = expires_at else { return Ok((Outcome::Dropped, None)) };
            *kept = Some(Kept { magic: push.magic, expires_at });
            return Ok((Outcome::Stored, None));
        }
        if registration.magic != push.magic {
            return Ok((Outcome::WrongMagic, None));
        }
        Ok((Outcome::Delivered, Some(registration.wake.clone())))
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Registration").field("topic", &self.topic).finish_non_exhaustive()
    }
}
