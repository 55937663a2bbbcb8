use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(1_800_000_000 + seconds)
}

fn uuid(id: i64) -> CommandUuid {
    CommandUuid::parse(&format!("command-{id}")).unwrap()
}

fn entry(id: i64) -> Entry {
    Entry {
        id,
        uuid: uuid(id),
        priority: 0,
        state: State::Queued,
        attempts: 0,
        not_now_tally: 0,
        sent_at: None,
        expires_at: at(7 * 86_400),
        after: None,
        no_blind_resend: false,
    }
}

fn queue(entries: impl IntoIterator<Item = Entry>) -> Queue {
    Queue::load(entries, 7, None)
}

fn heard(answer: Answer, uuid: &CommandUuid) -> Heard<'_> {
    Heard { answer, uuid: Some(uuid), ended: None }
}

const IDLE: Heard<'_> = Heard { answer: Answer::Idle, uuid: None, ended: None };

/// One turn at a moment; returns what the device got and what was decided.
fn turn(queue: &mut Queue, heard: &Heard<'_>, now: Timestamp) -> (Option<i64>, Decision) {
    let decision = queue.decide(heard, now, &Policy::default());
    queue.adopt(&decision);
    assert_eq!(queue.wake_at(), decision.wake_at, "the decision foretells the schedule");
    (decision.next.as_ref().map(|next| next.id), decision)
}

fn says(queue: &mut Queue, answer: Answer, id: i64, now: Timestamp) -> Option<i64> {
    turn(queue, &heard(answer, &uuid(id)), now).0
}

#[test]
fn commands_go_out_in_the_order_in_which_they_were_queued() {
    let mut queue = queue((1..=1000).map(entry));
    let mut next = turn(&mut queue, &IDLE, at(0)).0;
    for id in 1..=1000 {
        assert_eq!(next, Some(id));
        next = says(&mut queue, Answer::Acknowledged, id, at(0));
    }
    assert_eq!(next, None);
    assert!(queue.is_empty());
    assert_eq!(queue.wake_at(), None);
}

#[test]
fn a_higher_priority_goes_first() {
    let mut queue = queue([entry(1), Entry { priority: 10, ..entry(2) }]);
    assert_eq!(turn(&mut queue, &IDLE, at(0)).0, Some(2));
}

#[test]
fn a_deferred_command_waits_for_the_next_session_and_blocks_nobody() {
    let mut queue = queue([entry(1), entry(2)]);
    assert_eq!(turn(&mut queue, &IDLE, at(0)).0, Some(1));
    assert_eq!(says(&mut queue, Answer::NotNow, 1, at(1)), Some(2));
    assert_eq!(says(&mut queue, Answer::Acknowledged, 2, at(2)), None);
    let push_at = queue.push_at().unwrap();
    assert!((at(2 + 240)..=at(2 + 360)).contains(&push_at), "the device will not come by itself: {push_at:?}");
    assert_eq!(turn(&mut queue, &IDLE, at(300)).0, Some(1));
    assert_eq!(says(&mut queue, Answer::Acknowledged, 1, at(301)), None);
}

#[test]
fn after_a_last_word_of_not_now_only_a_late_safety_push_is_due() {
    let mut queue = queue([entry(1)]);
    turn(&mut queue, &IDLE, at(0));
    assert_eq!(says(&mut queue, Answer::NotNow, 1, at(1)), None);
    assert!(queue.push_at().unwrap() > at(9 * 3600));
}

#[test]
fn endless_not_now_backs_off_to_the_cap() {
    let cap = Policy::default().push_again_cap;
    let mut queue = queue([entry(1)]);
    let mut now = at(0);
    let mut waits = Vec::new();
    for round in 2..16 {
        queue.enqueue([entry(round)], now, &Policy::default());
        assert_eq!(turn(&mut queue, &IDLE, now).0, Some(1));
        assert_eq!(says(&mut queue, Answer::NotNow, 1, now), Some(round));
        assert_eq!(says(&mut queue, Answer::Acknowledged, round, now), None);
        let due = queue.push_at().unwrap();
        waits.push(due.since(now));
        now = due;
    }
    assert!(waits[0] < Duration::from_secs(361));
    assert!(waits.windows(2).all(|pair| pair[1] > pair[0].mul_f64(0.6)), "{waits:?}");
    assert!(waits.iter().all(|wait| *wait <= cap.mul_f64(1.2)), "{waits:?}");
    assert!(waits[13] >= cap.mul_f64(0.8), "{waits:?}");
}

#[test]
fn a_repeated_not_now_counts_once() {
    let mut queue = queue([entry(1)]);
    turn(&mut queue, &IDLE, at(0));
    says(&mut queue, Answer::NotNow, 1, at(1));
    let (_, again) = turn(&mut queue, &heard(Answer::NotNow, &uuid(1)), at(2));
    assert!(again.changes.is_empty());
    assert_eq!(queue.pending().next().unwrap().not_now_tally, 1);
}

#[test]
fn a_report_of_an_unknown_command_is_filed_and_the_next_command_flows() {
    let mut queue = queue([entry(1)]);
    let (next, decision) = turn(&mut queue, &heard(Answer::Acknowledged, &uuid(99)), at(0));
    assert_eq!(decision.filing, Filing::Orphan(OrphanReason::Unknown));
    assert_eq!(next, Some(1));
}

#[test]
fn every_report_after_the_end_changes_nothing() {
    for ended in State::ALL.into_iter().filter(|state| state.is_terminal()) {
        for answer in [Answer::Acknowledged, Answer::Error, Answer::FormatError, Answer::NotNow] {
            let mut queue = queue([]);
            let late = Heard { answer, uuid: Some(&uuid(1)), ended: Some(ended) };
            let (next, decision) = turn(&mut queue, &late, at(0));
            assert_eq!((next, decision.changes), (None, vec![]));
            let same = answer == Answer::Acknowledged && ended == State::Acknowledged
                || answer == Answer::Error && ended == State::Error
                || answer == Answer::FormatError && ended == State::FormatError;
            let expected = if same { Filing::Nothing } else { Filing::Orphan(OrphanReason::Late) };
            assert_eq!(decision.filing, expected, "{answer:?} after {ended:?}");
        }
    }
}

#[test]
fn an_unanswered_command_is_handed_out_again_in_the_next_session_only() {
    let mut queue = queue([entry(1)]);
    assert_eq!(turn(&mut queue, &IDLE, at(0)).0, Some(1));
    assert_eq!(says(&mut queue, Answer::Acknowledged, 50, at(1)), None, "not twice in one session");
    assert_eq!(turn(&mut queue, &IDLE, at(2)).0, Some(1));
}

#[test]
fn a_command_that_is_never_answered_is_parked_and_the_next_one_flows() {
    let mut queue = queue([entry(1), entry(2)]);
    for _ in 0..10 {
        assert_eq!(turn(&mut queue, &IDLE, at(0)).0, Some(1));
    }
    let (next, decision) = turn(&mut queue, &IDLE, at(1));
    assert_eq!(next, Some(2));
    assert_eq!((decision.changes[0].id, decision.changes[0].state), (1, State::Parked));
}

#[test]
fn a_dangerous_command_rests_before_it_is_handed_out_again() {
    let mut queue = queue([Entry { no_blind_resend: true, ..entry(1) }, entry(2)]);
    assert_eq!(turn(&mut queue, &IDLE, at(0)).0, Some(1));
    assert_eq!(turn(&mut queue, &IDLE, at(10)).0, Some(2));
    assert_eq!(turn(&mut queue, &IDLE, at(301)).0, Some(1));
}

#[test]
fn a_command_waits_for_the_one_it_comes_after() {
    let mut queue = queue([Entry { priority: -1, ..entry(1) }, Entry { after: Some(1), ..entry(2) }]);
    assert_eq!(turn(&mut queue, &IDLE, at(0)).0, Some(1));
    assert_eq!(says(&mut queue, Answer::Error, 1, at(1)), Some(2));
}

#[test]
fn an_expired_command_is_not_handed_out_and_its_end_is_due() {
    let mut queue = queue([Entry { expires_at: at(100), ..entry(1) }]);
    assert_eq!(queue.wake_at(), Some(at(100)));
    assert_eq!(turn(&mut queue, &IDLE, at(100)).0, None);
    let changes = queue.expired(at(100));
    assert_eq!(changes[0].state, State::Expired);
    queue.apply(&changes);
    assert!(queue.is_empty());
}

#[test]
fn new_work_is_pushed_at_once_but_pushes_keep_a_quiet_time() {
    let policy = Policy::default();
    let mut queue = queue([]);
    queue.enqueue([entry(1)], at(0), &policy);
    assert_eq!(queue.push_at(), Some(at(0)));
    queue.set_wakeups(queue.wakeups().pushed(at(0), &policy));
    assert!(queue.push_at().unwrap() >= at(48));
    queue.enqueue([entry(2)], at(1), &policy);
    assert_eq!(queue.push_at(), Some(at(2)));
}

#[test]
fn a_device_that_never_comes_is_pushed_less_and_less_often() {
    let policy = Policy::default();
    let mut queue = queue([]);
    queue.enqueue([entry(1)], at(0), &policy);
    let mut now = at(0);
    let mut pushes = 0;
    while now < at(86_400) {
        now = queue.push_at().unwrap();
        queue.set_wakeups(queue.wakeups().pushed(now, &policy));
        pushes += 1;
    }
    assert!((8..=20).contains(&pushes), "{pushes} pushes in a day");
}

#[test]
fn patience_that_apns_asked_for_holds_for_new_work_until_the_device_comes() {
    let policy = Policy::default();
    let mut queue = queue([]);
    queue.enqueue([entry(1)], at(0), &policy);
    queue.set_wakeups(queue.wakeups().pushed(at(0), &policy).not_before(at(900)));
    queue.enqueue([entry(2)], at(10), &policy);
    assert_eq!(queue.push_at(), Some(at(900)));
    turn(&mut queue, &IDLE, at(20));
    assert!(queue.push_at().unwrap() < at(100));
}

#[test]
fn an_enrollment_is_pushed_once_more_even_without_work() {
    let policy = Policy::default();
    let mut queue = queue([]);
    queue.set_wakeups(queue.wakeups().enrolled(at(0), &policy));
    assert_eq!(queue.push_at(), Some(at(10)));
    queue.set_wakeups(queue.wakeups().pushed(at(10), &policy));
    assert_eq!(queue.push_at(), None);
}

/// What can happen to a queue in the world.
#[derive(Clone, Debug)]
enum Event {
    Enqueue { priority: i16, dangerous: bool },
    Idle,
    Report { pick: usize, answer: Answer },
    Restart,
    Wait { seconds: i64 },
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let answer = prop_oneof![
        4 => Just(Answer::Acknowledged),
        3 => Just(Answer::NotNow),
        1 => Just(Answer::Error),
        1 => Just(Answer::FormatError),
    ];
    let event = prop_oneof![
        3 => (-1..2_i16, any::<bool>()).prop_map(|(priority, dangerous)| Event::Enqueue { priority, dangerous }),
        4 => Just(Event::Idle),
        6 => (0..12_usize, answer).prop_map(|(pick, answer)| Event::Report { pick, answer }),
        1 => Just(Event::Restart),
        2 => (0..4000_i64).prop_map(|seconds| Event::Wait { seconds }),
    ];
    prop::collection::vec(event, 0..80)
}

/// The rows of a channel and the device at its other end: the truth that a queue is checked against.
struct World {
    rows: BTreeMap<i64, Entry>,
    queue: Queue,
    now: Timestamp,
    had_in_session: HashSet<i64>,
    last_handed: Option<i64>,
}

impl World {
    fn new() -> Self {
        let queue = queue([]);
        Self { rows: BTreeMap::new(), queue, now: at(0), had_in_session: HashSet::new(), last_handed: None }
    }

    fn happen(&mut self, event: &Event) {
        match event {
            Event::Enqueue { priority, dangerous } => {
                let id = self.rows.len() as i64 + 1;
                let new = Entry { priority: *priority, no_blind_resend: *dangerous, ..entry(id) };
                self.rows.insert(id, new.clone());
                self.queue.enqueue([new], self.now, &Policy::default());
            }
            Event::Idle => {
                self.had_in_session.clear();
                self.hear(&IDLE);
            }
            Event::Report { pick, answer } => {
                let id = self.last_handed.filter(|_| pick % 2 == 0).unwrap_or(*pick as i64);
                let ended = self.rows.get(&id).map(|row| row.state).filter(|state| state.is_terminal());
                self.hear(&Heard { answer: *answer, uuid: Some(&uuid(id)), ended });
            }
            Event::Restart => {
                let pending = self.rows.values().filter(|row| !row.state.is_terminal()).cloned();
                self.queue = Queue::load(pending, 7, self.queue.wake_at());
            }
            Event::Wait { seconds } => self.now = self.now.plus(Duration::from_secs(*seconds as u64)),
        }
        assert_eq!(self.queue.is_empty(), self.rows.values().all(|row| row.state.is_terminal()));
        assert!(self.queue.is_empty() || self.queue.push_at().is_some(), "work is left, so a push is due");
    }

    fn hear(&mut self, heard: &Heard<'_>) {
        let decision = self.queue.decide(heard, self.now, &Policy::default());
        assert_eq!(decision, self.queue.decide(heard, self.now, &Policy::default()), "looking changes nothing");
        let mut changed = HashSet::new();
        for change in &decision.changes {
            let row = self.rows.get_mut(&change.id).expect("only known rows change");
            assert!(!row.state.is_terminal(), "nothing leaves a terminal state");
            assert!(change.state >= row.state, "states only move to the right");
            assert!(changed.insert(change.id), "each row changes once");
            row.state = change.state;
            (row.attempts, row.not_now_tally, row.sent_at) = (change.attempts, change.not_now_tally, change.sent_at);
        }
        self.queue.adopt(&decision);
        if let Some(next) = &decision.next {
            assert!(self.had_in_session.insert(next.id), "a command goes out once in a session");
            assert!(changed.contains(&next.id), "what goes out is marked as sent");
            self.last_handed = Some(next.id);
        }
    }

    /// A device that answers everything empties the queue: nothing is lost, nothing is stuck.
    fn drain(&mut self) {
        for _ in 0..=self.rows.len() {
            self.now = self.now.plus(Duration::from_secs(301));
            self.happen(&Event::Idle);
            while let Some(id) = self.last_handed.take() {
                self.hear(&Heard { answer: Answer::Acknowledged, uuid: Some(&uuid(id)), ended: None });
            }
        }
        assert!(self.queue.is_empty(), "{:?}", self.queue);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn whatever_happens_states_only_move_right_and_everything_ends(events in events()) {
        let mut world = World::new();
        for event in &events {
            world.happen(event);
        }
        world.drain();
    }
}
