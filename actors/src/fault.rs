//! Places where tests make an actor panic, to prove that nothing is lost. Without the feature `faults` they are nothing
//! at all; the released binary is built without it.

#[cfg(feature = "faults")]
mod armed {
    use std::collections::HashMap;
    use std::sync::{LazyLock, Mutex, PoisonError};

    static ARMED: LazyLock<Mutex<HashMap<&'static str, u32>>> = LazyLock::new(Mutex::default);

    /// Makes the next `times` passes of a place panic.
    pub fn arm(place: &'static str, times: u32) {
        ARMED.lock().unwrap_or_else(PoisonError::into_inner).insert(place, times);
    }

    /// How many panics a place still owes.
    pub fn left(place: &'static str) -> u32 {
        ARMED.lock().unwrap_or_else(PoisonError::into_inner).get(place).copied().unwrap_or(0)
    }

    #[expect(clippy::panic, reason = "that is what it is for")]
    pub(crate) fn pass(place: &'static str) {
        let mut armed = ARMED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(left) = armed.get_mut(place).filter(|left| **left > 0) {
            *left -= 1;
            drop(armed);
            panic!("fault at {place}");
        }
    }
}

#[cfg(feature = "faults")]
pub use armed::{arm, left};

/// A place that tests can make panic.
#[inline]
pub(crate) fn point(place: &'static str) {
    #[cfg(feature = "faults")]
    armed::pass(place);
    let _ = place;
}
