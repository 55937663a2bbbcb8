//! Histories without a server: the queues of a few hosts over rows in memory, driven as their actors drive them, while
//! reports come for anybody's commands, again and again, in any order. After every event the rows are looked at.

use std::collections::BTreeMap;
use std::time::Duration;

use protocol::ids::CommandUuid;
use protocol::queue::{Answer, Change, Entry, Filing, Heard, Policy, Queue, State, Window};
use protocol::time::Timestamp;
use rookery::sim::random::Chance;

/// Hosts of a history.
const HOSTS: usize = 3;
/// Events of a history.
const EVENTS: u64 = 60;
/// What devices say of commands.
const WORDS: [Answer; 4] = [Answer::Acknowledged, Answer::NotNow, Answer::Error, Answer::FormatError];

/// A command in its row.
struct Row {
    host: usize,
    generation: u32,
    entry: Entry,
    /// What its own device said last of it, of what is final.
    said: Option<State>,
}

/// Hosts with their queues, generations and rows.
struct World {
    queues: Vec<Queue>,
    generations: [u32; HOSTS],
    rows: BTreeMap<i64, Row>,
    now: Timestamp,
    policy: Policy,
}

/// Lives through so many histories; returns how many events there were.
pub(super) fn live(seed: u64, histories: u64) -> u64 {
    for history in 0..histories {
        let mut chance = Chance::new(seed, history);
        let mut world = World::new();
        for _ in 0..EVENTS {
            world.happen(&mut chance);
        }
    }
    histories * EVENTS
}

fn uuid(id: i64) -> CommandUuid {
    CommandUuid::parse(&format!("command-{id}")).unwrap()
}

impl World {
    fn new() -> Self {
        let queues = (0..HOSTS).map(|_| Queue::load(Window::default(), 7, None)).collect();
        let now = Timestamp::from_seconds(1_800_000_000);
        Self { queues, generations: [1; HOSTS], rows: BTreeMap::new(), now, policy: Policy::default() }
    }

    fn happen(&mut self, chance: &mut Chance) {
        let host = chance.below(HOSTS as u64) as usize;
        match chance.below(16) {
            0..4 => self.enqueue(host, chance),
            4..8 => self.hear(host, Answer::Idle, None),
            8..13 => {
                let id = 1 + chance.below(self.rows.len() as u64 + 1) as i64;
                self.hear(host, *chance.pick(&WORDS), Some(id));
            }
            13 => self.enroll(host),
            14 => self.restart(host),
            _ => self.now = self.now.plus(Duration::from_secs(chance.below(3600))),
        }
    }

    fn enqueue(&mut self, host: usize, chance: &mut Chance) {
        let id = self.rows.len() as i64 + 1;
        let entry = Entry {
            id,
            uuid: uuid(id),
            priority: chance.below(3) as i16 - 1,
            state: State::Queued,
            attempts: 0,
            not_now_tally: 0,
            sent_at: None,
            expires_at: self.now.plus(Duration::from_secs(1 + chance.below(100_000))),
            needs_success: false,
            is_let_down: false,
            after: None,
            no_blind_resend: chance.happens(0.2),
        };
        self.rows.insert(id, Row { host, generation: self.generations[host], entry: entry.clone(), said: None });
        self.queues[host].enqueue([entry], self.now, &self.policy);
    }

    /// As an actor does: what memory does not hold is looked up among the rows of its own channel.
    fn hear(&mut self, host: usize, answer: Answer, id: Option<i64>) {
        let uuid = id.map(uuid);
        let own = id.and_then(|id| self.rows.get(&id)).filter(|row| row.host == host);
        let ended = own.map(|row| row.entry.state).filter(|state| state.is_terminal());
        let current = own.is_some_and(|row| row.generation == self.generations[host]);
        let decision = self.queues[host].decide(&Heard { answer, uuid: uuid.as_ref(), ended }, self.now, &self.policy);
        if id.is_some() && !current {
            assert!(
                !matches!(decision.filing, Filing::Result(_)),
                "{answer:?} of {id:?} by {host} is somebody's result"
            );
        }
        if let Some(next) = &decision.next {
            let row = &self.rows[&next.id];
            assert_eq!((row.host, row.generation), (host, self.generations[host]), "{} is not for {host}", next.id);
            assert!(!row.entry.state.is_terminal() && self.now < row.entry.expires_at, "{} has ended", next.id);
        }
        self.write(host, id, answer, &decision.changes);
        self.queues[host].adopt(&decision);
    }

    /// Nobody changes another's rows, nothing leaves its end, and only its own device's word ends a command so.
    fn write(&mut self, host: usize, reported: Option<i64>, answer: Answer, changes: &[Change]) {
        for change in changes {
            let row = self.rows.get_mut(&change.id).unwrap();
            assert_eq!(row.host, host, "{host} changed {}, which is another's", change.id);
            assert_eq!(row.generation, self.generations[host], "{} is of an old enrollment", change.id);
            assert!(change.state >= row.entry.state && !row.entry.state.is_terminal(), "{change:?} goes back");
            let by_a_word = matches!(change.state, State::Acknowledged | State::Error | State::FormatError);
            assert!(
                !by_a_word || reported == Some(change.id),
                "{change:?} although {answer:?} was said of {reported:?}"
            );
            row.said = if by_a_word { Some(change.state) } else { row.said };
            row.entry.state = change.state;
            (row.entry.attempts, row.entry.not_now_tally) = (change.attempts, change.not_now_tally);
            row.entry.sent_at = change.sent_at;
        }
        for row in self.rows.values() {
            let state = row.entry.state;
            let by_a_word = matches!(state, State::Acknowledged | State::Error | State::FormatError);
            assert!(!by_a_word || row.said == Some(state), "{:?} says what nobody said", row.entry);
        }
    }

    /// A new enrollment: what was pending is superseded.
    fn enroll(&mut self, host: usize) {
        let pending = |row: &&mut Row| row.host == host && !row.entry.state.is_terminal();
        self.rows.values_mut().filter(pending).for_each(|row| row.entry.state = State::Superseded);
        self.generations[host] += 1;
        self.queues[host].clear();
    }

    /// The actor's memory is gone; its rows are not.
    fn restart(&mut self, host: usize) {
        let mut pending: Vec<Entry> =
            self.rows.values().filter(|row| row.host == host).map(|row| row.entry.clone()).collect();
        pending.retain(|entry| !entry.state.is_terminal());
        pending.sort_by_key(|entry| (std::cmp::Reverse(entry.priority), entry.id));
        let window = Window { entries: pending, more: false };
        self.queues[host] = Queue::load(window, 7, self.queues[host].wake_at());
    }
}
