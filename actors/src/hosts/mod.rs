//! The directory of hosts: which hosts have an actor, and how to reach one that has none yet.
//!
//! A host's actor is started by the first message to it, retires when it has been idle with nothing due, and is rebuilt
//! from its rows by the next message; no message is lost in between. Hosts never count against the tree: one that
//! crashes is rebuilt, and one that crashes three times in a minute is left alone for a while (see [`trouble`]).
//!
//! The directory is a locked map rather than an actor, so that a request is one hop away from its host. Only this file
//! and [`shelf`] change it. Its keeper in the tree is [`crate::keeper::Keeper`].

pub mod shelf;
pub mod trouble;

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use actix::dev::ToEnvelope;
use actix::prelude::{Actor, ArbiterHandle, Context, Handler, Message, SendError};
use protocol::ids::HostId;
use tokio::time::Instant;

use crate::ask::{Answer, Ask, Refusal, answer};
use crate::supervisor::Ending;

pub use shelf::HostGuard;
use shelf::{Shelf, Slot};
pub use trouble::{Crash, Quarantined};

/// Locks that the map is split into, so that threads seldom wait for each other.
const SHELVES: usize = 64;
/// Messages that wait for a host while its former actor ends; more are refused.
const PARCELS: usize = 64;
/// How often a message is offered to a host before its sender is told to come back: an actor that just ended refuses it, and
/// is followed by another.
const OFFERS: usize = 4;

/// The server stops: whoever gets this cancels its timers, which would keep it alive, and ends after its last message.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct LetGo;

/// An actor that the directory can start: a host, or what a test puts in its place.
pub trait Resident: Actor<Context = Context<Self>> + Handler<LetGo> {
    /// What all residents share.
    type Parts: Clone + Send + Sync + 'static;

    /// Makes the actor of a host; it reads its rows when it starts.
    fn new(host: HostId, parts: Self::Parts, guard: HostGuard<Self>) -> Self;
}

/// The directory. Clones are the same directory.
pub struct Hosts<A: Resident> {
    shared: Arc<Shared<A>>,
}

struct Shared<A: Resident> {
    shelves: Vec<Mutex<Shelf<A>>>,
    arbiters: Vec<ArbiterHandle>,
    parts: OnceLock<A::Parts>,
    incarnations: AtomicU64,
    started: AtomicU64,
    retired: AtomicU64,
    crashed: AtomicU64,
    on_crash: OnceLock<OnCrash>,
}

type OnCrash = Box<dyn Fn(Crash) + Send + Sync>;

/// What operators see of all hosts.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Census {
    /// Hosts that have an actor now.
    pub resident: usize,
    /// Actors that were started since the server started.
    pub started: u64,
    /// Actors that retired because they had nothing to do.
    pub retired: u64,
    /// Actors that panicked.
    pub crashed: u64,
    /// Hosts that are left alone for now.
    pub quarantined: Vec<Quarantined>,
}

impl<A: Resident> Hosts<A> {
    /// An empty directory whose actors live on these arbiters.
    pub fn new(arbiters: Vec<ArbiterHandle>) -> Self {
        let shared = Shared {
            shelves: (0..SHELVES).map(|_| Mutex::default()).collect(),
            arbiters,
            parts: OnceLock::new(),
            incarnations: AtomicU64::new(1),
            started: AtomicU64::new(0),
            retired: AtomicU64::new(0),
            crashed: AtomicU64::new(0),
            on_crash: OnceLock::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Gives the directory what its actors are made of, and whom to tell of crashes. Once.
    pub fn furnish(&self, parts: A::Parts, on_crash: impl Fn(Crash) + Send + Sync + 'static) {
        let furnished = self.shared.parts.set(parts).is_ok() && self.shared.on_crash.set(Box::new(on_crash)).is_ok();
        debug_assert!(furnished, "the directory is furnished once");
    }

    /// Asks a host, starting its actor if it has none, and waits for the answer at most until the deadline.
    ///
    /// # Errors
    /// What the host refused; a refusal that passes soon; [`Refusal::Quarantined`].
    pub async fn ask<M, T>(&self, host: HostId, message: M, deadline: Duration) -> Answer<T>
    where
        A: Handler<Ask<M>>,
        A::Context: ToEnvelope<A, Ask<M>>,
        M: Message<Result = Answer<T>> + Send + 'static,
        T: Send + 'static,
    {
        let (question, asked) = Ask::new(message, None);
        self.tell(host, question)?;
        answer(asked, deadline).await
    }

    /// Tells a host something, starting its actor if it has none.
    ///
    /// It goes through the directory's own address: every copy of an address has a free place in the mailbox, so that a
    /// mailbox which is reached through copies is never full.
    ///
    /// # Errors
    /// A full mailbox, or [`Refusal::Quarantined`].
    pub fn tell<M>(&self, host: HostId, mut message: M) -> Answer<()>
    where
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        let mut shelf = self.shelf(host);
        shelf.troubles.get(&host).map_or(Ok(()), |trouble| trouble.check(Instant::now()))?;
        for _ in 0..OFFERS {
            match shelf.slots.get_mut(&host) {
                Some(Slot::Live { address, .. }) => match address.try_send(message) {
                    Ok(()) => return Ok(()),
                    Err(SendError::Full(_)) => return Err(Refusal::soon("this host has too much to do")),
                    Err(SendError::Closed(refused)) => {
                        message = refused;
                        shelf.slots.remove(&host);
                    }
                },
                Some(Slot::Draining { parcels, .. }) if parcels.len() < PARCELS => {
                    parcels.push(Box::new(move |address| drop(address.try_send(message))));
                    return Ok(());
                }
                Some(Slot::Draining { .. }) => return Err(Refusal::soon("this host has too much to do")),
                None => self.start(host, &mut shelf)?,
            }
        }
        Err(Refusal::soon("this host is being restarted"))
    }

    /// Tells a host something only if it has an actor now.
    pub fn tell_resident<M>(&self, host: HostId, message: M) -> bool
    where
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        let resident = matches!(self.shelf(host).slots.get(&host), Some(Slot::Live { .. } | Slot::Draining { .. }));
        resident && self.tell(host, message).is_ok()
    }

    /// Tells a host something that its rows say too, if it has an actor now: that one must not miss it, however much it has
    /// to do. One that is started later reads it in the rows.
    pub fn insist<M>(&self, host: HostId, message: M)
    where
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        match self.shelf(host).slots.get_mut(&host) {
            Some(Slot::Live { address, .. }) => address.do_send(message),
            Some(Slot::Draining { parcels, .. }) if parcels.len() < PARCELS => {
                parcels.push(Box::new(move |address| address.do_send(message)));
            }
            Some(Slot::Draining { .. }) | None => {}
        }
    }

    /// Whether a host has an actor now.
    pub fn is_resident(&self, host: HostId) -> bool {
        self.shelf(host).slots.contains_key(&host)
    }

    /// What operators see.
    pub fn census(&self) -> Census {
        let mut census = Census {
            started: self.shared.started.load(Relaxed),
            retired: self.shared.retired.load(Relaxed),
            crashed: self.shared.crashed.load(Relaxed),
            ..Census::default()
        };
        let now = Instant::now();
        for shelf in &self.shared.shelves {
            let shelf = lock(shelf);
            census.resident += shelf.slots.len();
            census.quarantined.extend(shelf.troubles.iter().filter_map(|(host, trouble)| trouble.shown(*host, now)));
        }
        census
    }

    /// Ends a quarantine early, because its cause was taken away.
    pub fn pardon(&self, host: HostId) {
        self.shelf(host).troubles.remove(&host);
    }

    /// Forgets troubles that are over.
    pub fn forget_old_troubles(&self) {
        let now = Instant::now();
        for shelf in &self.shared.shelves {
            lock(shelf).troubles.retain(|_, trouble| !trouble.is_over(now));
        }
    }

    /// Lets every actor finish what it does and end; new messages are refused from now on by the caller's own stop.
    pub fn retire_all(&self) {
        for shelf in &self.shared.shelves {
            lock(shelf).drain_all();
        }
    }

    fn shelf(&self, host: HostId) -> MutexGuard<'_, Shelf<A>> {
        lock(&self.shared.shelves[host.0.unsigned_abs() as usize % SHELVES])
    }

    fn start(&self, host: HostId, shelf: &mut Shelf<A>) -> Answer<()> {
        let parts = self.shared.parts.get().cloned().ok_or_else(|| Refusal::soon("the server is starting"))?;
        let incarnation = self.shared.incarnations.fetch_add(1, Relaxed);
        let arbiter = &self.shared.arbiters[host.0.unsigned_abs() as usize % self.shared.arbiters.len()];
        let hosts = self.clone();
        let address =
            A::start_in_arbiter(arbiter, move |_| A::new(host, parts, HostGuard::new(hosts, host, incarnation)));
        self.shared.started.fetch_add(1, Relaxed);
        shelf.slots.insert(host, Slot::Live { address, incarnation });
        Ok(())
    }

    /// A host's actor wants to end. Its address is taken from the directory, so that it ends when its mailbox is empty.
    fn retire(&self, host: HostId, incarnation: u64) {
        if self.shelf(host).drain(host, incarnation) {
            self.shared.retired.fetch_add(1, Relaxed);
        }
    }

    /// A host's actor has ended. Messages that came meanwhile start its successor.
    fn gone(&self, host: HostId, incarnation: u64, ending: Ending, culprit: Option<i64>) {
        let crash = match ending {
            Ending::Panicked(why) => Some(why),
            Ending::Stopped | Ending::Failed(_) => None,
        };
        let mut shelf = self.shelf(host);
        let parcels = shelf.remove(host, incarnation);
        let crash = crash.map(|why| {
            self.shared.crashed.fetch_add(1, Relaxed);
            shelf.troubles.entry(host).or_default().crashed(host, why, culprit, Instant::now())
        });
        if !parcels.is_empty()
            && self.start(host, &mut shelf).is_ok()
            && let Some(Slot::Live { address, .. }) = shelf.slots.get(&host)
        {
            parcels.into_iter().for_each(|parcel| parcel(address));
        }
        drop(shelf);
        if let (Some(crash), Some(tell)) = (crash, self.shared.on_crash.get()) {
            tell(crash);
        }
    }
}

impl<A: Resident> Clone for Hosts<A> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<A: Resident> std::fmt::Debug for Hosts<A> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Hosts")
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
