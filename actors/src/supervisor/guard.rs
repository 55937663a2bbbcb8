//! How a supervisor learns that an actor ended: every supervised actor owns a [`Guard`], whose drop tells. That works
//! for every way of dying: a panic in a handler, in a spawned future, in an atomic response, in a timer, a plain stop.

use std::cell::RefCell;
use std::panic::PanicHookInfo;
use std::sync::{Arc, Once};
use std::time::Duration;

use actix::prelude::{Message, Recipient};

use super::gauge::Gauge;

/// How an actor ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It stopped by itself or was asked to.
    Stopped,
    /// It stopped because something it needs is broken.
    Failed(String),
    /// It panicked.
    Panicked(String),
}

/// Tells a supervisor that one of its children ended.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct Exited {
    pub(super) child: usize,
    pub(super) epoch: u64,
    pub(super) ending: Ending,
}

/// Asks an actor to finish what it does and stop.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct Stop;

/// The thread between an actor and its supervisor. Lives in the actor; its drop is the notice of death.
#[derive(Debug)]
pub struct Guard {
    pub(super) supervisor: Recipient<Exited>,
    pub(super) child: usize,
    pub(super) epoch: u64,
    pub(super) gauge: Arc<Gauge>,
    pub(super) path: String,
    pub(super) failure: Option<String>,
}

impl Guard {
    /// Says why the actor is about to stop; it counts as a failure.
    pub fn fail(&mut self, why: impl Into<String>) {
        self.failure = Some(why.into());
    }

    /// The node's figures.
    pub fn gauge(&self) -> &Arc<Gauge> {
        &self.gauge
    }

    /// Where the actor stands in the tree.
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let ending = ending(self.failure.take());
        self.supervisor.do_send(Exited { child: self.child, epoch: self.epoch, ending });
    }
}

/// How the actor whose field is being dropped has ended.
pub(crate) fn ending(failure: Option<String>) -> Ending {
    if std::thread::panicking() {
        Ending::Panicked(LAST_PANIC.with_borrow(|text| text.clone()))
    } else {
        failure.map_or(Ending::Stopped, Ending::Failed)
    }
}

/// How long an actor rests before its n-th restart in a row.
pub(crate) fn rest_before(restart: u32) -> Duration {
    Duration::from_millis(50).saturating_mul(1 << restart.saturating_sub(1).min(10)).min(Duration::from_secs(10))
}

thread_local! {
    static LAST_PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Makes panics readable: one line in the log with the place, and the text for the supervisor. Panics are bugs, but
/// they end an actor, not the server.
pub fn watch_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info: &PanicHookInfo<'_>| {
            let text = info.payload_as_str().unwrap_or("no text");
            let place = info.location().map(ToString::to_string).unwrap_or_default();
            LAST_PANIC.with_borrow_mut(|last| *last = format!("{text} at {place}"));
            if tracing::enabled!(tracing::Level::ERROR) {
                tracing::error!(panic.place = %place, "panic: {text}");
            } else {
                usual(info); // nobody reads the log, so the panic is printed
            }
        }));
    });
}
