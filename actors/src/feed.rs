//! Who watches what happens, in memory: the edge subscribes to a host or to a command, hosts tell after the commit. Nothing
//! is kept for those who come later, and nobody waits for those who read slowly: they are told how much they missed.
//!
//! Where nobody watches, a turn costs one atomic load. Start with [`Feed`].

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use protocol::ids::{CommandUuid, HostId};
use protocol::queue::State;
use protocol::time::Timestamp;
use tokio::sync::{mpsc, watch};

use crate::ask::{Answer, Refusal};

/// Those who may watch hosts at a time.
pub const MOST_HOST_WATCHES: usize = 256;
/// Those who may watch commands at a time.
pub const MOST_COMMAND_WATCHES: usize = 1024;
/// Happenings that wait for one slow reader at most.
pub const MOST_UNREAD: usize = 64;

/// The table of those who watch. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Feed(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// How many watch anything.
    watching: AtomicUsize,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    closed: bool,
    hosts: Watchers<HostId, (mpsc::Sender<Happening>, Arc<AtomicU64>)>,
    commands: Watchers<CommandUuid, watch::Sender<()>>,
}

/// Those who watch, by what they watch; each has a number.
#[derive(Debug)]
struct Watchers<K, W> {
    by_key: HashMap<K, Vec<(u64, W)>>,
    count: usize,
}

/// Something that happened to a host, and is committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happening {
    /// When.
    pub at: Timestamp,
    /// What.
    pub what: What,
}

/// What can happen to a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Its device asks for work.
    CheckedIn,
    /// Its device was pushed.
    Pushed,
    /// Its device begins to enroll: everything that was pending is superseded.
    Enrolling,
    /// Its device has enrolled.
    Enrolled,
    /// Its device is managed no more.
    Unenrolled,
    /// One of its commands stands somewhere else now.
    Command(CommandUuid, State),
}

/// What a watch of a host yields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Something happened.
    Happening(Happening),
    /// So much happened that its reader was too slow for.
    Missed(u64),
}

/// A watch of one host. Dropping it ends it.
#[derive(Debug)]
pub struct HostWatch {
    happenings: mpsc::Receiver<Happening>,
    missed: Arc<AtomicU64>,
    _place: Place,
}

/// A watch of the ends of one command, on whatever host. Dropping it ends it.
#[derive(Debug)]
pub struct CommandWatch {
    ends: watch::Receiver<()>,
    _place: Place,
}

/// A place in the table; it is given back when it is dropped.
#[derive(Debug)]
struct Place {
    feed: Feed,
    number: u64,
    of: Of,
}

#[derive(Debug)]
enum Of {
    Host(HostId),
    Command(CommandUuid),
}

impl Feed {
    /// Whether anybody watches anything.
    pub fn is_watched(&self) -> bool {
        self.0.watching.load(Relaxed) > 0
    }

    /// How many watch.
    pub fn watching(&self) -> usize {
        self.0.watching.load(Relaxed)
    }

    /// Watches a host from now on.
    ///
    /// # Errors
    /// Too many watch already, or the server stops.
    pub fn watch_host(&self, host: HostId) -> Answer<HostWatch> {
        let (tell, happenings) = mpsc::channel(MOST_UNREAD);
        let missed = Arc::<AtomicU64>::default();
        let watcher = (tell, missed.clone());
        let number = self.take_place(|table, number| table.hosts.add(host, number, watcher, MOST_HOST_WATCHES))?;
        Ok(HostWatch { happenings, missed, _place: Place { feed: self.clone(), number, of: Of::Host(host) } })
    }

    /// Watches a command from now on: look where it stands after this, not before.
    ///
    /// # Errors
    /// Too many watch already, or the server stops.
    pub fn watch_command(&self, uuid: CommandUuid) -> Answer<CommandWatch> {
        let (tell, ends) = watch::channel(());
        let add = |table: &mut Table, number| table.commands.add(uuid.clone(), number, tell, MOST_COMMAND_WATCHES);
        let number = self.take_place(add)?;
        Ok(CommandWatch { ends, _place: Place { feed: self.clone(), number, of: Of::Command(uuid) } })
    }

    /// Tells what happened to a host, once it is committed.
    pub fn tell(&self, host: HostId, at: Timestamp, happened: impl IntoIterator<Item = What>) {
        if !self.is_watched() {
            return;
        }
        let table = self.lock();
        for what in happened {
            match &what {
                What::Command(uuid, state) if state.is_terminal() => table.commands.tell_each(uuid, |tell| {
                    tell.send_replace(());
                }),
                // What ends with an enrollment is in rows alone: whoever waits for a command looks again.
                What::Enrolling | What::Unenrolled => table.commands.tell_all(|tell| {
                    tell.send_replace(());
                }),
                _ => {}
            }
            table.hosts.tell_each(&host, |(tell, missed)| {
                if tell.try_send(Happening { at, what: what.clone() }).is_err() {
                    missed.fetch_add(1, Relaxed);
                }
            });
        }
    }

    /// Ends all watches, because the server stops.
    pub fn close(&self) {
        let mut table = self.lock();
        *table = Table { closed: true, ..Table::default() };
        self.0.watching.store(0, Relaxed);
    }

    fn take_place(&self, add: impl FnOnce(&mut Table, u64) -> bool) -> Answer<u64> {
        let mut table = self.lock();
        if table.closed {
            return Err(Refusal::soon("the server stops"));
        }
        table.next += 1;
        let number = table.next;
        if !add(&mut table, number) {
            return Err(Refusal::soon("too many watch already"));
        }
        self.0.watching.fetch_add(1, Relaxed);
        Ok(number)
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HostWatch {
    /// What happens next; `None` when the server stops.
    pub async fn next(&mut self) -> Option<Seen> {
        match self.missed.swap(0, Relaxed) {
            0 => self.happenings.recv().await.map(Seen::Happening),
            missed => Some(Seen::Missed(missed)),
        }
    }
}

impl CommandWatch {
    /// Waits until the command has ended on one host more; `false` when the server stops. What ended since the last call
    /// counts.
    pub async fn ended(&mut self) -> bool {
        self.ends.changed().await.is_ok()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self.feed.lock();
        let was_there = match &self.of {
            Of::Host(host) => table.hosts.remove(host, self.number),
            Of::Command(uuid) => table.commands.remove(uuid, self.number),
        };
        if was_there {
            self.feed.0.watching.fetch_sub(1, Relaxed);
        }
    }
}

impl<K: Eq + Hash, W> Watchers<K, W> {
    fn add(&mut self, key: K, number: u64, watcher: W, most: usize) -> bool {
        if self.count >= most {
            return false;
        }
        self.count += 1;
        self.by_key.entry(key).or_default().push((number, watcher));
        true
    }

    fn remove(&mut self, key: &K, number: u64) -> bool {
        let Some(watchers) = self.by_key.get_mut(key) else { return false };
        let before = watchers.len();
        watchers.retain(|(other, _)| *other != number);
        let removed = before - watchers.len();
        if watchers.is_empty() {
            self.by_key.remove(key);
        }
        self.count -= removed;
        removed > 0
    }

    fn tell_each(&self, key: &K, tell: impl Fn(&W)) {
        self.by_key.get(key).into_iter().flatten().for_each(|(_, watcher)| tell(watcher));
    }

    fn tell_all(&self, tell: impl Fn(&W)) {
        self.by_key.values().flatten().for_each(|(_, watcher)| tell(watcher));
    }
}

impl<K, W> Default for Watchers<K, W> {
    fn default() -> Self {
        Self { by_key: HashMap::new(), count: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: HostId = HostId(7);
    const AT: Timestamp = Timestamp::from_millis(5);

    fn command(name: &str) -> CommandUuid {
        CommandUuid::parse(name).unwrap()
    }

    #[tokio::test]
    async fn a_watch_sees_its_own_host_from_its_beginning_to_its_end() {
        let feed = Feed::default();
        feed.tell(HOST, AT, [What::Pushed]);
        let mut watch = feed.watch_host(HOST).unwrap();
        feed.tell(HostId(8), AT, [What::Enrolled]);
        feed.tell(HOST, AT, [What::CheckedIn]);
        assert_eq!(watch.next().await, Some(Seen::Happening(Happening { at: AT, what: What::CheckedIn })));
        assert!(feed.is_watched());
        drop(watch);
        assert!(!feed.is_watched() && feed.lock().hosts.by_key.is_empty());
    }

    #[tokio::test]
    async fn a_slow_reader_is_told_how_much_it_missed() {
        let feed = Feed::default();
        let mut watch = feed.watch_host(HOST).unwrap();
        feed.tell(HOST, AT, vec![What::CheckedIn; MOST_UNREAD + 5]);
        assert_eq!(watch.next().await, Some(Seen::Missed(5)));
        for _ in 0..MOST_UNREAD {
            assert!(matches!(watch.next().await, Some(Seen::Happening(_))));
        }
        feed.tell(HOST, AT, [What::Pushed]);
        assert_eq!(watch.next().await, Some(Seen::Happening(Happening { at: AT, what: What::Pushed })));
    }

    #[tokio::test]
    async fn whoever_waits_for_a_command_is_woken_by_its_ends_alone() {
        let feed = Feed::default();
        let mut watch = feed.watch_command(command("mine")).unwrap();
        let ended = |name, state| What::Command(command(name), state);
        feed.tell(HOST, AT, [ended("mine", State::Sent), ended("other", State::Error), What::CheckedIn]);
        assert!(!watch.ends.has_changed().unwrap());
        feed.tell(HOST, AT, [ended("mine", State::Acknowledged), ended("mine", State::Error)]);
        assert!(watch.ended().await, "what happened before is not lost");
        assert!(!watch.ends.has_changed().unwrap(), "many ends wake once");
        feed.tell(HOST, AT, [What::Enrolling]);
        assert!(watch.ended().await, "what ends with an enrollment counts");
    }

    #[tokio::test]
    async fn places_are_few_and_given_back_and_all_end_with_the_server() {
        let feed = Feed::default();
        let mut watches: Vec<_> = (0..MOST_HOST_WATCHES).map(|_| feed.watch_host(HOST).unwrap()).collect();
        assert!(feed.watch_host(HostId(1)).is_err());
        let mut waiting = feed.watch_command(command("c")).unwrap();
        watches.pop();
        let mut last = feed.watch_host(HostId(1)).unwrap();
        feed.close();
        assert_eq!(last.next().await, None);
        assert!(!waiting.ended().await);
        assert!(feed.watch_host(HOST).is_err() && feed.watch_command(command("c")).is_err());
        drop((watches, waiting, last));
        assert_eq!(feed.watching(), 0);
    }
}
