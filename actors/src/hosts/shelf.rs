//! One part of the directory: the hosts that have an actor, and the guard by which an actor tells that it ended.

use std::collections::HashMap;

use actix::prelude::Addr;
use protocol::ids::HostId;

use super::trouble::Trouble;
use super::{Hosts, LetGo, Resident};
use crate::supervisor::ending;

/// A message that waits for its host's next actor.
pub(super) type Parcel<A> = Box<dyn FnOnce(&Addr<A>) + Send>;

/// What is known of a host's actor.
pub(super) enum Slot<A: Resident> {
    /// It works.
    Live { address: Addr<A>, incarnation: u64 },
    /// It still empties its mailbox; what comes now waits for its successor.
    Draining { incarnation: u64, parcels: Vec<Parcel<A>> },
}

/// The hosts behind one lock.
pub(super) struct Shelf<A: Resident> {
    pub(super) slots: HashMap<HostId, Slot<A>>,
    pub(super) troubles: HashMap<HostId, Trouble>,
}

/// Lives in a host's actor; its drop tells the directory that the actor ended, and how.
pub struct HostGuard<A: Resident> {
    hosts: Hosts<A>,
    host: HostId,
    incarnation: u64,
    culprit: Option<i64>,
}

impl<A: Resident> Default for Shelf<A> {
    fn default() -> Self {
        Self { slots: HashMap::new(), troubles: HashMap::new() }
    }
}

impl<A: Resident> Shelf<A> {
    /// Takes the address of one incarnation away, so that it ends after its last message.
    pub(super) fn drain(&mut self, host: HostId, incarnation: u64) -> bool {
        let slot = self.slots.get_mut(&host).filter(|slot| slot.incarnation() == incarnation);
        slot.is_some_and(Slot::drain)
    }

    pub(super) fn drain_all(&mut self) {
        for slot in self.slots.values_mut() {
            if let Slot::Live { address, .. } = slot {
                address.do_send(LetGo);
            }
            slot.drain();
        }
    }

    /// Removes an actor that has ended, and returns what waits for its successor.
    pub(super) fn remove(&mut self, host: HostId, incarnation: u64) -> Vec<Parcel<A>> {
        if self.slots.get(&host).is_none_or(|slot| slot.incarnation() != incarnation) {
            return Vec::new();
        }
        match self.slots.remove(&host) {
            Some(Slot::Draining { parcels, .. }) => parcels,
            _ => Vec::new(),
        }
    }
}

impl<A: Resident> Slot<A> {
    fn incarnation(&self) -> u64 {
        match self {
            Self::Live { incarnation, .. } | Self::Draining { incarnation, .. } => *incarnation,
        }
    }

    fn drain(&mut self) -> bool {
        let Self::Live { incarnation, .. } = self else { return false };
        *self = Self::Draining { incarnation: *incarnation, parcels: Vec::new() };
        true
    }
}

impl<A: Resident> HostGuard<A> {
    pub(super) fn new(hosts: Hosts<A>, host: HostId, incarnation: u64) -> Self {
        Self { hosts, host, incarnation, culprit: None }
    }

    /// Names the command that is being handled, so that one that breaks its host again and again can be found.
    pub fn suspect(&mut self, entry: Option<i64>) {
        self.culprit = entry;
    }

    /// Asks to be let go: the actor ends once its mailbox is empty and its timers are cancelled.
    pub fn retire(&self) {
        self.hosts.retire(self.host, self.incarnation);
    }
}

impl<A: Resident> Drop for HostGuard<A> {
    fn drop(&mut self) {
        self.hosts.gone(self.host, self.incarnation, ending(None), self.culprit);
    }
}
