use std::collections::HashMap;

use actix::prelude::*;

use super::*;

/// A resident that counts, retires when told to, and breaks when told to.
struct Counter {
    host: HostId,
    guard: HostGuard<Self>,
    counts: Counts,
    timer: Option<SpawnHandle>,
}

type Counts = Arc<Mutex<HashMap<HostId, u64>>>;

impl Actor for Counter {
    type Context = Context<Self>;
}

impl Resident for Counter {
    type Parts = Counts;

    fn new(host: HostId, counts: Counts, guard: HostGuard<Self>) -> Self {
        Self { host, guard, counts, timer: None }
    }
}

#[derive(Message)]
#[rtype(result = "Answer<u64>")]
struct Count {
    then_retire: bool,
}

#[derive(Message)]
#[rtype(result = "Answer<u64>")]
struct Break {
    culprit: Option<i64>,
}

#[derive(Message)]
#[rtype(result = "Answer<()>")]
struct Rest;

/// Keeps the actor's thread until the sender says otherwise.
#[derive(Message)]
#[rtype(result = "()")]
struct Hold(std::sync::mpsc::Receiver<()>);

impl Handler<Hold> for Counter {
    type Result = ();

    fn handle(&mut self, Hold(until): Hold, _: &mut Self::Context) {
        until.recv_timeout(SOON).unwrap();
    }
}

impl Handler<Rest> for Counter {
    type Result = Answer<()>;

    fn handle(&mut self, _: Rest, context: &mut Self::Context) -> Self::Result {
        self.timer = Some(context.run_later(Duration::from_secs(3600), |_, _| {}));
        Ok(())
    }
}

impl Handler<LetGo> for Counter {
    type Result = ();

    fn handle(&mut self, _: LetGo, context: &mut Self::Context) {
        self.timer.take().map(|timer| context.cancel_future(timer));
    }
}

impl Handler<Count> for Counter {
    type Result = AtomicResponse<Self, Answer<u64>>;

    fn handle(&mut self, message: Count, _: &mut Self::Context) -> Self::Result {
        let pause = async { actix::clock::sleep(Duration::ZERO).await };
        AtomicResponse::new(Box::pin(pause.into_actor(self).map(move |(), counter, _| {
            if message.then_retire {
                counter.guard.retire();
            }
            let mut counts = counter.counts.lock().unwrap();
            let count = counts.entry(counter.host).or_default();
            *count += 1;
            Ok(*count)
        })))
    }
}

impl Handler<Break> for Counter {
    type Result = Answer<u64>;

    fn handle(&mut self, message: Break, _: &mut Self::Context) -> Self::Result {
        self.guard.suspect(message.culprit);
        panic!("broken by a message")
    }
}

impl<M> Handler<Ask<M>> for Counter
where
    Self: Handler<M>,
    M: Message + Send + 'static,
    M::Result: Send,
{
    type Result = ();

    fn handle(&mut self, ask: Ask<M>, context: &mut Self::Context) {
        ask.answered_by(self, context);
    }
}

const SOON: Duration = Duration::from_secs(20);

fn directory(arbiters: usize) -> (Hosts<Counter>, Counts, Arc<Mutex<Vec<Crash>>>) {
    let handles = (0..arbiters).map(|_| Arbiter::new().handle()).collect();
    let (hosts, counts, crashes) = (Hosts::new(handles), Counts::default(), Arc::new(Mutex::new(Vec::new())));
    let told = crashes.clone();
    hosts.furnish(counts.clone(), move |crash| told.lock().unwrap().push(crash));
    (hosts, counts, crashes)
}

/// Asks until the host has a place in its mailbox; every refusal here passes soon.
async fn count(hosts: &Hosts<Counter>, host: HostId, then_retire: bool) -> u64 {
    loop {
        match hosts.ask(host, Count { then_retire }, SOON).await {
            Ok(count) => return count,
            Err(Refusal::TryAgain { .. }) => actix::clock::sleep(Duration::from_millis(1)).await,
            Err(other) => panic!("{other}"),
        }
    }
}

#[actix::test]
async fn no_message_is_lost_while_hosts_retire_and_come_back() {
    let (hosts, counts, _) = directory(2);
    let askers = (0..8_u64).map(|asker| {
        let hosts = hosts.clone();
        actix::spawn(async move {
            for n in 0..1500_u64 {
                let host = HostId(((n * 7 + asker) % 20).cast_signed());
                count(&hosts, host, (n * 31 + asker) % 5 == 0).await;
            }
        })
    });
    for asker in askers.collect::<Vec<_>>() {
        asker.await.unwrap();
    }
    assert_eq!(counts.lock().unwrap().values().sum::<u64>(), 8 * 1500);
    let census = hosts.census();
    assert!(census.retired > 500, "{census:?}");
    assert_eq!(census.crashed, 0);
}

#[actix::test]
async fn the_third_crash_in_a_minute_quarantines_that_host_alone() {
    let (hosts, _, crashes) = directory(1);
    let (sick, sound) = (HostId(1), HostId(2));
    for _ in 0..3 {
        let refused = hosts.ask(sick, Break { culprit: Some(77) }, SOON).await.unwrap_err();
        assert!(matches!(refused, Refusal::TryAgain { .. }), "{refused}");
        actix::clock::sleep(Duration::from_millis(20)).await;
    }
    let refused = hosts.ask(sick, Count { then_retire: false }, SOON).await.unwrap_err();
    assert!(matches!(refused, Refusal::Quarantined { .. }), "{refused}");
    assert_eq!(count(&hosts, sound, false).await, 1);
    assert_eq!(hosts.census().quarantined[0].host_id, 1);
    let crashes = crashes.lock().unwrap().clone();
    assert_eq!(crashes.iter().map(|crash| crash.quarantined).collect::<Vec<_>>(), [false, false, true]);
    assert_eq!(crashes[2].culprit, Some(77));
    hosts.pardon(sick);
    assert_eq!(count(&hosts, sick, false).await, 1);
}

#[actix::test]
async fn different_culprits_are_not_blamed() {
    let (hosts, _, crashes) = directory(1);
    for culprit in [Some(1), Some(2), None] {
        let _ = hosts.ask(HostId(1), Break { culprit }, SOON).await;
        actix::clock::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(crashes.lock().unwrap().last().unwrap().culprit, None);
}

#[actix::test]
async fn a_message_that_comes_while_a_host_ends_starts_its_successor() {
    let (hosts, _, _) = directory(1);
    let host = HostId(5);
    count(&hosts, host, false).await;
    let first = hosts.census().started;
    let asked: Vec<_> = (0..10)
        .map(|n| {
            let hosts = hosts.clone();
            actix::spawn(async move { count(&hosts, host, n == 0).await })
        })
        .collect();
    for asked in asked {
        asked.await.unwrap();
    }
    count(&hosts, host, false).await;
    assert_eq!(hosts.census().started, first + 1);
    assert_eq!(hosts.census().resident, 1);
}

#[actix::test]
async fn a_host_with_a_full_mailbox_refuses_and_does_what_it_accepted() {
    let (hosts, counts, _) = directory(2);
    let (host, (gate, held)) = (HostId(9), std::sync::mpsc::channel());
    hosts.tell(host, Hold(held)).unwrap();
    let mut accepted = Vec::new();
    let refused = loop {
        let (question, asked) = Ask::new(Count { then_retire: false }, None);
        match hosts.tell(host, question) {
            Ok(()) => accepted.push(asked),
            Err(refusal) => break refusal,
        }
        assert!(accepted.len() < 1000, "its mailbox has no end");
    };
    assert!(matches!(refused, Refusal::TryAgain { .. }), "{refused}");
    assert_eq!(count(&hosts, HostId(10), false).await, 1, "others are served");
    gate.send(()).unwrap();
    let all = accepted.len();
    for asked in accepted {
        answer(asked, SOON).await.unwrap();
    }
    assert_eq!(counts.lock().unwrap()[&host], all as u64);
}

#[actix::test]
async fn hosts_with_timers_end_when_all_are_let_go() {
    let (hosts, ..) = directory(2);
    for host in (0..50).map(HostId) {
        hosts.ask(host, Rest, SOON).await.unwrap();
    }
    assert_eq!(hosts.census().resident, 50);
    hosts.retire_all();
    let all_gone = async {
        while hosts.census().resident > 0 {
            actix::clock::sleep(Duration::from_millis(1)).await;
        }
    };
    actix::clock::timeout(SOON, all_gone).await.expect("hosts wait for their timers");
}
