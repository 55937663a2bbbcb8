//! Places where tests make an actor panic, to prove that nothing is lost. Without the feature `faults` they are nothing
//! at all; the released binary is built without it.
//!
//! In this process `arm` does it. A server in a process of its own is told by `ROOKERY_TEST_FAULTS`, for example
//! `host.report/20 host.due/7`: every 20th report panics, and every 7th time that a host is due. A place that handles a
//! command can be told which one it is to die of: `host.report.decided@<CommandUUID>/1`. The same feature lets such
//! a server's wall clock be off: by as many milliseconds as the file says that `ROOKERY_TEST_CLOCK` names.

#[cfg(feature = "faults")]
mod armed {
    use std::collections::HashMap;
    use std::path::PathBuf;
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

    static CLOCK: LazyLock<Option<PathBuf>> = LazyLock::new(|| std::env::var_os("ROOKERY_TEST_CLOCK").map(Into::into));

    pub(crate) fn clock_is_off_by() -> i64 {
        let said = CLOCK.as_ref().and_then(|file| std::fs::read_to_string(file).ok());
        said.and_then(|text| text.trim().parse().ok()).unwrap_or(0)
    }

    #[expect(clippy::panic, reason = "that is what it is for")]
    pub(crate) fn pass_with(place: &'static str, command: &str) {
        if STEADY.iter().any(|steady| steady.place.split_once('@') == Some((place, command))) {
            panic!("fault at {place}");
        }
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

/// By how many milliseconds the wall clock is off.
pub(crate) fn clock_is_off_by() -> i64 {
    #[cfg(feature = "faults")]
    return armed::clock_is_off_by();
    #[cfg(not(feature = "faults"))]
    0
}

/// A place that tests can make panic.
#[inline]
pub(crate) fn point(place: &'static str) {
    #[cfg(feature = "faults")]
    armed::pass(place);
    let _ = place;
}

/// The same for a place that handles a command.
#[inline]
pub(crate) fn point_with(place: &'static str, command: Option<&protocol::ids::CommandUuid>) {
    #[cfg(feature = "faults")]
    command.into_iter().for_each(|command| armed::pass_with(place, command.as_str()));
    let _ = command;
    point(place);
}
