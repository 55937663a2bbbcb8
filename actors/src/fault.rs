//! Places where tests make an actor panic, to prove that nothing is lost. Without the feature `faults` they are nothing
//! at all; the released binary is built without it.
//!
//! In this process `arm` does it. A server in a process of its own is told by `ROOKERY_TEST_FAULTS`, for example
//! `host.report/20 host.due/7`: every 20th report panics, and every 7th time that a host is due.

#[cfg(feature = "faults")]
mod armed {
    use std::collections::HashMap;
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
    use std::sync::{LazyLock, Mutex, PoisonError};

    /// A place that panics at every so-many-th pass.
    struct Steady {
        place: String,
        every: u32,
        passes: AtomicU32,
    }

    static STEADY: LazyLock<Vec<Steady>> = LazyLock::new(|| {
        let faults = std::env::var("ROOKERY_TEST_FAULTS").unwrap_or_default();
        let steady = |text: &str| {
            let (place, every) = text.split_once('/')?;
            Some(Steady { place: place.to_owned(), every: every.parse().ok()?, passes: AtomicU32::new(0) })
        };
        faults.split_whitespace().filter_map(steady).collect()
    });

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
        if let Some(steady) = STEADY.iter().find(|steady| steady.place == place)
            && (steady.passes.fetch_add(1, Relaxed) + 1).is_multiple_of(steady.every)
        {
            panic!("fault at {place}");
        }
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
