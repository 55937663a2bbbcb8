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
        needs_success: false,
        is_let_down: false,
        no_blind_resend: false,
    }
}

fn queue(entries: impl IntoIterator<Item = Entry>) -> Queue {
    Queue::load(Window { entries: entries.into_iter().collect(), more: false }, 7, None)
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
fn a_command_that_is_deferred_for_ever_stands_in_no_other_deferred_ones_way() {
    let mut queue = queue([entry(1), entry(2), entry(3)]);
    assert_eq!(turn(&mut queue, &IDLE, at(0)).0, Some(1));
    for id in 1..4 {
        assert_eq!(says(&mut queue, Answer::NotNow, id, at(1)), Some(id + 1).filter(|next| *next < 4));
    }
    assert_eq!(turn(&mut queue, &IDLE, at(10)).0, Some(1));
    assert_eq!(says(&mut queue, Answer::NotNow, 1, at(11)), Some(2));
    assert_eq!(says(&mut queue, Answer::Acknowledged, 2, at(12)), Some(3));
    assert_eq!(says(&mut queue, Answer::NotNow, 3, at(13)), None, "each is offered once in a session");
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
    assert_eq!(queue.get(1).unwrap().not_now_tally, 1);
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
fn a_clock_that_was_set_back_delays_neither_a_push_nor_a_dangerous_command() {
    let policy = Policy::default();
    let mut queue = queue([Entry { no_blind_resend: true, ..entry(1) }]);
    let (then, now) = (at(10 * 86_400), at(0));
    assert_eq!(turn(&mut queue, &IDLE, at(-1)).0, Some(1));
    assert_eq!(turn(&mut queue, &IDLE, at(4)).0, None, "it rests");
    queue.set_wakeups(queue.wakeups().pushed(then, &policy).not_before(then.plus(policy.longest_rest)));
    queue.set_right(now, &policy);
    assert_eq!(queue.push_at(), Some(now), "nothing that these rules plan is so far away");
    let sound = queue.wakeups().pushed(now, &policy).not_before(now.plus(policy.longest_rest));
    queue.set_wakeups(sound);
    queue.set_right(now, &policy);
    assert_eq!(queue.wakeups(), sound, "what was planned by this clock stays");
    assert_eq!(turn(&mut queue, &IDLE, at(-86_400)).0, Some(1), "it was handed out by another clock");
}

#[test]
fn what_was_planned_before_the_clock_was_set_back_comes_as_if_it_had_not_been() {
    let policy = Policy::default();
    let hour = Duration::from_secs(3600);
    let mut queue = queue([entry(1)]);
    queue.set_wakeups(queue.wakeups().pushed(at(7200), &policy).not_before(at(7300)));
    let planned = queue.push_at().unwrap();
    queue.clock_was_set_back(hour);
    assert_eq!(queue.push_at(), Some(planned.minus(hour)));
}

#[test]
fn a_command_waits_for_the_one_it_comes_after() {
    let mut queue = queue([Entry { priority: -1, ..entry(1) }, Entry { after: Some(1), ..entry(2) }]);
    assert_eq!(turn(&mut queue, &IDLE, at(0)).0, Some(1));
    assert_eq!(says(&mut queue, Answer::Error, 1, at(1)), Some(2));
}

fn needs(id: i64, other: i64) -> Entry {
    Entry { after: Some(other), needs_success: true, ..entry(id) }
}

#[test]
fn a_command_that_needs_the_success_of_another_goes_with_it_or_is_cancelled_with_all_that_need_it() {
    let mut lucky = queue([entry(1), needs(2, 1)]);
    assert_eq!(turn(&mut lucky, &IDLE, at(0)).0, Some(1));
    assert_eq!(says(&mut lucky, Answer::Acknowledged, 1, at(1)), Some(2));

    let mut let_down = queue([entry(1), needs(2, 1), needs(3, 2), Entry { after: Some(2), ..entry(4) }]);
    assert_eq!(turn(&mut let_down, &IDLE, at(0)).0, Some(1));
    let (next, decision) = turn(&mut let_down, &heard(Answer::Error, &uuid(1)), at(1));
    let ended: Vec<(i64, State)> = decision.changes.iter().map(|change| (change.id, change.state)).collect();
    assert_eq!(ended, [(1, State::Error), (2, State::Cancelled), (3, State::Cancelled)]);
    assert_eq!(next, None, "the one that only waits is free from the next look on");
    assert_eq!(turn(&mut let_down, &IDLE, at(2)).0, Some(4));
}

#[test]
fn whoever_is_let_down_outside_of_a_report_is_cancelled_at_once() {
    for end in [State::Expired, State::Cancelled, State::Parked] {
        let mut queue = queue([entry(1), needs(2, 1)]);
        queue.has_ended(1, end);
        assert_eq!(queue.wake_at(), Some(Timestamp::default()), "it is due now");
        assert_eq!(turn(&mut queue, &IDLE, at(0)).0, None);
        let changes: Vec<Change> = queue.expired(at(0)).collect();
        assert_eq!((changes.len(), changes[0].id, changes[0].state), (1, 2, State::Cancelled));
        queue.apply(&changes);
        assert!(queue.is_empty());
    }
    let mut from_rows = queue([Entry { needs_success: true, is_let_down: true, ..entry(2) }]);
    assert_eq!(turn(&mut from_rows, &IDLE, at(0)).0, None);
    assert_eq!(from_rows.expired(at(0)).map(|change| change.state).collect::<Vec<_>>(), [State::Cancelled]);
}

#[test]
fn what_ends_in_rows_alone_lets_go_or_lets_down_those_that_wait_for_it() {
    let window = || Window { entries: vec![needs(2, 9), Entry { after: Some(9), ..entry(3) }], more: true };
    let mut queue = Queue::load(window(), 7, None);
    assert_eq!(queue.decide(&IDLE, at(0), &Policy::default()).next, None);
    queue.has_ended(9, State::Cancelled);
    assert_eq!(turn(&mut queue, &IDLE, at(0)).0, Some(3));
    assert_eq!(queue.expired(at(0)).map(|change| change.id).collect::<Vec<_>>(), [2]);
}

#[test]
fn an_expired_command_is_not_handed_out_and_its_end_is_due() {
    let mut queue = queue([Entry { expires_at: at(100), ..entry(1) }]);
    assert_eq!(queue.wake_at(), Some(at(100)));
    assert_eq!(turn(&mut queue, &IDLE, at(100)).0, None);
    let changes: Vec<Change> = queue.expired(at(100)).collect();
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
fn work_without_end_for_a_device_that_is_off_is_pushed_less_and_less_often() {
    let policy = Policy::default();
    let (mut queue, mut pushes) = (queue([]), Vec::new());
    for second in 0..600 {
        queue.enqueue([entry(second)], at(second), &policy);
        if queue.push_at() <= Some(at(second)) {
            queue.set_wakeups(queue.wakeups().pushed(at(second), &policy));
            pushes.push(second);
        }
    }
    assert_eq!(pushes[..6], [0, 2, 6, 14, 30, 62], "the quiet time doubles");
    assert!(pushes.len() <= 16, "and ends at a push a minute: {pushes:?}");
    turn(&mut queue, &IDLE, at(600));
    assert_eq!(says(&mut queue, Answer::NotNow, 0, at(600)), Some(1), "the device is there");
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
fn an_answer_of_apns_that_is_later_than_the_device_means_nothing() {
    let policy = Policy::default();
    let mut queue = queue([entry(1)]);
    queue.set_wakeups(queue.wakeups().pushed(at(0), &policy));
    turn(&mut queue, &IDLE, at(10));
    assert_eq!(says(&mut queue, Answer::Acknowledged, 1, at(11)), None);
    queue.set_wakeups(queue.wakeups().not_before(at(900)));
    queue.enqueue([entry(2)], at(20), &policy);
    assert_eq!(queue.push_at(), Some(at(20)));
}

#[test]
fn a_new_token_ends_all_patience_but_makes_no_push_without_work() {
    let policy = Policy::default();
    let mut idle = queue([]);
    idle.set_wakeups(idle.wakeups().pushed(at(0), &policy).not_before(at(86_400)));
    idle.token_renewed(at(60));
    assert_eq!(idle.push_at(), None);
    idle.enqueue([entry(1)], at(60), &policy);
    assert_eq!(idle.push_at(), Some(at(60)), "APNs asked for patience with the old token");
    idle.set_wakeups(idle.wakeups().pushed(at(60), &policy).not_before(at(86_400)));
    idle.token_renewed(at(61));
    assert_eq!(idle.push_at(), Some(at(61)), "work that is left is pushed at once");
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

#[test]
fn a_deferred_command_does_not_let_go_the_one_that_comes_after_it() {
    let mut queue = queue([entry(1), Entry { after: Some(1), ..entry(2) }]);
    assert_eq!(turn(&mut queue, &IDLE, at(0)).0, Some(1));
    assert_eq!(says(&mut queue, Answer::NotNow, 1, at(1)), None);
    assert_eq!(turn(&mut queue, &IDLE, at(2)).0, Some(1));
    assert_eq!(says(&mut queue, Answer::Acknowledged, 1, at(3)), Some(2));
}

#[test]
fn a_window_is_worked_off_and_asks_for_more() {
    let window = Window { entries: vec![entry(1), entry(2)], more: true };
    let mut queue = Queue::load(window, 7, None);
    queue.enqueue([entry(9)], at(0), &Policy::default());
    assert_eq!((queue.in_memory(), queue.push_at()), (2, Some(at(0))), "what comes after the rest waits in its row");
    queue.enqueue([Entry { priority: 1, ..entry(10) }], at(0), &Policy::default());
    assert_eq!(turn(&mut queue, &IDLE, at(0)).0, Some(10), "what goes first is taken in");
    assert_eq!(says(&mut queue, Answer::Acknowledged, 10, at(0)), Some(1));
    assert_eq!(says(&mut queue, Answer::Acknowledged, 1, at(0)), Some(2));
    let last = queue.decide(&heard(Answer::Acknowledged, &uuid(2)), at(0), &Policy::default());
    assert_eq!((last.next, last.wants_more), (None, true));
    let rows = [entry(2), entry(3), entry(9)].into_iter();
    assert_eq!(queue.extend(Window { entries: rows.collect(), more: false }), 2);
    assert_eq!(says(&mut queue, Answer::Acknowledged, 2, at(0)), Some(3));
    assert_eq!(says(&mut queue, Answer::Acknowledged, 3, at(0)), Some(9));
    let last = turn(&mut queue, &heard(Answer::Acknowledged, &uuid(9)), at(0)).1;
    assert_eq!((last.next, last.wants_more, queue.is_empty()), (None, false, true));
}

#[test]
fn a_worked_off_window_still_is_work() {
    let mut queue = Queue::load(Window { entries: vec![entry(1)], more: true }, 7, Some(at(5)));
    let ended = queue.ended(1, State::Cancelled, at(0)).unwrap();
    queue.apply(&[ended]);
    assert!(queue.is_worked_off() && !queue.is_empty());
    assert_eq!(queue.push_at(), Some(at(5)));
}

#[test]
fn a_queue_at_rest_holds_no_memory_of_its_own() {
    let mut queue = queue((1..=100).map(entry));
    assert!(queue.lanes.is_some());
    for id in 1..=100 {
        queue.apply(&[queue.ended(id, State::Cancelled, at(0)).unwrap()]);
    }
    assert!(queue.lanes.is_none());
    assert!(size_of::<Queue>() <= 128, "{}", size_of::<Queue>());
}

#[test]
fn a_held_command_is_in_no_queue() {
    let held = Entry { state: State::Held, ..entry(1) };
    let mut queue = queue([held.clone()]);
    queue.enqueue([held], at(0), &Policy::default());
    assert!(queue.is_empty());
    assert_eq!(turn(&mut queue, &IDLE, at(0)).0, None);
    assert!(State::ALL.is_sorted() && State::ALL.map(State::code).is_sorted(), "states and their numbers go together");
}

/// What can happen to a queue in the world.
#[derive(Clone, Debug)]
enum Event {
    Enqueue { priority: i16, dangerous: bool, after: Option<usize>, needs_success: bool, lives: i64 },
    Idle,
    Report { pick: usize, answer: Answer },
    Restart,
    Wait { seconds: i64 },
    Expire,
    Cancel { pick: usize },
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let answer = prop_oneof![
        4 => Just(Answer::Acknowledged),
        3 => Just(Answer::NotNow),
        1 => Just(Answer::Error),
        1 => Just(Answer::FormatError),
    ];
    let after = prop::option::weighted(0.3, 1..12_usize);
    let enqueue = (-1..2_i16, any::<bool>(), after, any::<bool>(), 1000..900_000_i64);
    let enqueue = enqueue.prop_map(|(priority, dangerous, after, needs_success, lives)| Event::Enqueue {
        priority,
        dangerous,
        after,
        needs_success,
        lives,
    });
    let event = prop_oneof![
        4 => enqueue,
        4 => Just(Event::Idle),
        7 => (0..12_usize, answer).prop_map(|(pick, answer)| Event::Report { pick, answer }),
        1 => Just(Event::Restart),
        2 => (0..4000_i64).prop_map(|seconds| Event::Wait { seconds }),
        1 => Just(Event::Expire),
        1 => (1..12_usize).prop_map(|pick| Event::Cancel { pick }),
    ];
    prop::collection::vec(event, 0..100)
}

/// The rows of a channel and the device at its other end: the truth that a queue is checked against. It keeps no lanes:
/// it looks at every row, every time.
struct World {
    rows: BTreeMap<i64, Entry>,
    queue: Queue,
    /// Commands that are read from rows at once.
    window: usize,
    now: Timestamp,
    had_in_session: HashSet<i64>,
    last_handed: Option<i64>,
}

impl World {
    fn new(window: usize) -> Self {
        Self {
            rows: BTreeMap::new(),
            queue: queue([]),
            window,
            now: at(0),
            had_in_session: HashSet::new(),
            last_handed: None,
        }
    }

    fn pending(&self) -> Vec<&Entry> {
        let mut pending: Vec<&Entry> = self.rows.values().filter(|row| !row.state.is_terminal()).collect();
        pending.sort_by_key(|row| (std::cmp::Reverse(row.priority), row.id));
        pending
    }

    fn is_pending(&self, id: i64) -> bool {
        self.rows.get(&id).is_some_and(|row| !row.state.is_terminal())
    }

    /// What a reader of rows gets.
    fn read(&self, most: usize) -> Window {
        let pending = self.pending();
        let entries = pending.iter().take(most).map(|row| self.row(row)).collect();
        Window { entries, more: pending.len() > most }
    }

    fn row(&self, row: &Entry) -> Entry {
        let after = row.after.filter(|after| self.is_pending(*after));
        Entry { after, is_let_down: after.is_none() && self.is_let_down(row), ..row.clone() }
    }

    /// Whether what a row needs the success of has ended otherwise.
    fn is_let_down(&self, row: &Entry) -> bool {
        let ended = row.after.and_then(|after| self.rows.get(&after)).map(|awaited| awaited.state);
        row.needs_success && ended.is_some_and(|state| state.is_terminal() && state != State::Acknowledged)
    }

    /// What the rules say that the device gets now, found without any index.
    fn naive_next(&self, reported: Option<i64>, ended: Option<(i64, State)>) -> Option<i64> {
        let policy = Policy::default();
        let may_go = |row: &&&Entry| {
            let freed = |(id, state)| row.after == Some(id) && (!row.needs_success || state == State::Acknowledged);
            let waits = row.after.is_some_and(|after| !ended.is_some_and(freed) && self.is_pending(after));
            let waits = waits || self.is_let_down(row);
            let rests = row.no_blind_resend
                && row.attempts > 0
                && row.sent_at.is_some_and(|sent| self.now < sent.plus(policy.resend_grace));
            let had = row.state != State::Queued && self.had_in_session.contains(&row.id);
            let in_vain = row.attempts >= policy.max_attempts;
            Some(row.id) != reported && self.now < row.expires_at && !(waits || rests || had || in_vain)
        };
        self.pending().iter().find(may_go).map(|row| row.id)
    }

    fn happen(&mut self, event: &Event) {
        match event {
            Event::Enqueue { priority, dangerous, after, needs_success, lives } => {
                let id = self.rows.len() as i64 + 1;
                let after = after.map(|after| after as i64).filter(|after| *after < id);
                let expires_at = self.now.plus(Duration::from_secs(*lives as u64));
                let needs_success = *needs_success && after.is_some();
                let new = Entry { priority: *priority, no_blind_resend: *dangerous, after, expires_at, ..entry(id) };
                let new = Entry { needs_success, ..new };
                self.rows.insert(id, new.clone());
                self.queue.enqueue([self.row(&new)], self.now, &Policy::default());
            }
            Event::Idle => {
                self.had_in_session.clear();
                self.hear(Answer::Idle, None);
            }
            Event::Report { pick, answer } => {
                let id = self.last_handed.filter(|_| pick % 2 == 0).unwrap_or(*pick as i64);
                self.hear(*answer, Some(id));
            }
            Event::Restart => {
                self.queue = Queue::load(self.read(self.window), 7, self.queue.wake_at());
                let in_flight = self.rows.values().filter(|row| row.state != State::Queued);
                self.had_in_session = in_flight.map(|row| row.id).collect();
            }
            Event::Wait { seconds } => self.now = self.now.plus(Duration::from_secs(*seconds as u64)),
            Event::Expire => {
                let changes: Vec<Change> = self.queue.expired(self.now).collect();
                self.write(&changes);
                self.queue.apply(&changes);
            }
            Event::Cancel { pick } => {
                let change = self.queue.ended(*pick as i64, State::Cancelled, self.now);
                self.write(change.as_slice());
                self.queue.apply(change.as_slice());
            }
        }
        if self.queue.is_worked_off() {
            self.queue.extend(self.read(self.window));
        }
        assert_eq!(self.queue.is_empty(), self.pending().is_empty());
        assert!(self.queue.is_empty() || self.queue.push_at().is_some(), "work is left, so a push is due");
    }

    fn hear(&mut self, answer: Answer, id: Option<i64>) {
        let uuid = id.map(uuid);
        let ended = id.and_then(|id| self.rows.get(&id)).map(|row| row.state).filter(|state| state.is_terminal());
        if let Some(id) = id.filter(|id| self.is_pending(*id)) {
            self.queue.admit(self.row(&self.rows[&id])); // as one does who finds no command in memory
        }
        let heard = Heard { answer, uuid: uuid.as_ref(), ended };
        let mut decision = self.queue.decide(&heard, self.now, &Policy::default());
        assert_eq!(decision, self.queue.decide(&heard, self.now, &Policy::default()), "looking changes nothing");
        while decision.wants_more {
            self.queue.extend(self.read(self.queue.in_memory() + self.window));
            decision = self.queue.decide(&heard, self.now, &Policy::default());
        }
        let reported = id.filter(|id| self.is_pending(*id));
        // A NotNow that is repeated changes nothing.
        let changed = decision.changes.first().filter(|change| Some(change.id) == reported);
        let ended = changed.filter(|change| change.state.is_terminal()).map(|change| (change.id, change.state));
        let changed = changed.map(|change| change.id);
        let expected = self.naive_next(reported, ended);
        assert_eq!(
            decision.next.as_ref().map(|next| next.id),
            expected,
            "the lanes hide nothing and show nothing else"
        );
        self.write(&decision.changes);
        self.queue.adopt(&decision);
        self.had_in_session.extend(changed);
        if let Some(next) = &decision.next {
            assert!(self.had_in_session.insert(next.id), "a command goes out once in a session");
            assert_eq!(decision.changes.last().unwrap().id, next.id, "what goes out is marked as sent");
            self.last_handed = Some(next.id);
        }
        assert_eq!(self.queue.wake_at(), decision.wake_at, "the decision foretells the schedule");
    }

    fn write(&mut self, changes: &[Change]) {
        let mut changed = HashSet::new();
        for change in changes {
            let row = self.rows.get_mut(&change.id).expect("only known rows change");
            assert!(!row.state.is_terminal(), "nothing leaves a terminal state");
            assert!(change.state >= row.state, "states only move to the right");
            assert!(changed.insert(change.id), "each row changes once");
            row.state = change.state;
            (row.attempts, row.not_now_tally, row.sent_at) = (change.attempts, change.not_now_tally, change.sent_at);
        }
    }

    /// A device that answers everything empties the queue: nothing is lost, nothing is stuck.
    fn drain(&mut self) {
        for _ in 0..=self.rows.len() {
            self.now = self.now.plus(Duration::from_secs(301));
            self.happen(&Event::Expire);
            self.happen(&Event::Idle);
            while let Some(id) = self.last_handed.take() {
                self.hear(Answer::Acknowledged, Some(id));
            }
        }
        assert!(self.queue.is_empty(), "{:?}", self.queue);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn whatever_happens_the_queue_does_what_the_rules_say(events in events(), window in 1..20_usize) {
        let mut world = World::new(window);
        for event in &events {
            world.happen(event);
        }
        world.drain();
    }
}

fn room(most: usize) -> Room<'static> {
    Room { most, barred: &[] }
}

fn handed_out(round: &Round) -> Vec<i64> {
    round.next.iter().map(|next| next.id).collect()
}

#[test]
fn a_round_answers_several_commands_and_hands_out_several() {
    let policy = Policy::default();
    let mut queue = Queue::default().without_pushes();
    queue.enqueue((1..=5).map(entry), at(0), &policy);
    assert_eq!(queue.push_at(), None, "the device comes by itself");
    let round = queue.decide_round(true, &[], room(3), at(1), &policy);
    assert_eq!(handed_out(&round), [1, 2, 3]);
    queue.adopt_round(&round);
    let (one, three, stranger) = (uuid(1), uuid(3), uuid(99));
    let said = [
        heard(Answer::Acknowledged, &three),
        heard(Answer::Error, &one),
        heard(Answer::Acknowledged, &one),
        heard(Answer::Acknowledged, &stranger),
    ];
    let round = queue.decide_round(false, &said, room(3), at(2), &policy);
    assert_eq!(handed_out(&round), [4, 5], "the second one is on its way");
    let expected = [(0, Filing::Result(3)), (1, Filing::Result(1)), (3, Filing::Orphan(OrphanReason::Unknown))];
    assert_eq!(round.filings, expected, "the first word stands");
    queue.adopt_round(&round);
    assert_eq!(queue.in_memory(), 3);
    assert!(handed_out(&queue.decide_round(false, &[], room(3), at(3), &policy)).is_empty(), "once in a session");
}

#[test]
fn a_command_that_was_handed_out_in_vain_goes_alone_the_next_time() {
    let policy = Policy { max_attempts: 3, ..Policy::default() };
    let mut queue = Queue::default().without_pushes();
    queue.enqueue((1..=3).map(entry), at(0), &policy);
    let begin = |queue: &mut Queue, now| {
        let round = queue.decide_round(true, &[], room(16), at(now), &policy);
        let out = handed_out(&round);
        queue.adopt_round(&round);
        out
    };
    assert_eq!(begin(&mut queue, 1), [1, 2, 3], "the device drops the message, because it cannot read the first");
    assert_eq!(begin(&mut queue, 2), [1]);
    assert_eq!(begin(&mut queue, 3), [1]);
    let round = queue.decide_round(true, &[], room(16), at(4), &policy);
    assert_eq!(handed_out(&round), [2]);
    assert!(round.changes.iter().any(|change| change.id == 1 && change.state == State::Parked));
    queue.adopt_round(&round);
    let two = uuid(2);
    let round = queue.decide_round(false, &[heard(Answer::Acknowledged, &two)], room(16), at(5), &policy);
    assert_eq!(handed_out(&round), [3], "the others flow in the same session");
}

#[test]
fn all_that_wait_for_what_ended_in_a_round_go_at_once() {
    let policy = Policy::default();
    let mut queue = Queue::default().without_pushes();
    let follower = |id, after| Entry { after: Some(after), ..entry(id) };
    queue.enqueue([entry(1), entry(2), follower(3, 1), follower(4, 2)], at(0), &policy);
    let round = queue.decide_round(true, &[], room(16), at(1), &policy);
    assert_eq!(handed_out(&round), [1, 2]);
    queue.adopt_round(&round);
    let (one, two) = (uuid(1), uuid(2));
    let said = [heard(Answer::Acknowledged, &one), heard(Answer::Acknowledged, &two)];
    assert_eq!(handed_out(&queue.decide_round(false, &said, room(16), at(2), &policy)), [3, 4]);
}

#[test]
fn what_is_barred_waits_and_stands_in_nobodys_way() {
    let policy = Policy::default();
    let mut queue = Queue::default().without_pushes();
    queue.enqueue((1..=3).map(entry), at(0), &policy);
    let round = queue.decide_round(true, &[], Room { most: 16, barred: &[1, 3] }, at(1), &policy);
    assert_eq!(handed_out(&round), [2]);
    queue.adopt_round(&round);
    assert_eq!(handed_out(&queue.decide_round(true, &[], room(16), at(2), &policy)), [1]);
}
