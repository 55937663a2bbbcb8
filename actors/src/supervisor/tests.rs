use std::future::Future;
use std::sync::{Arc, Mutex};

use actix::prelude::*;
use tokio::time::{sleep, timeout};

use super::guard::rest_before;
use super::*;

/// What children of the test trees are made of: a diary, and how each of them behaves.
#[derive(Clone, Default)]
struct Parts {
    diary: Arc<Mutex<Vec<String>>>,
    addresses: Addresses,
}

/// Every child that was started, by name.
type Addresses = Arc<Mutex<Vec<(String, Addr<Child>)>>>;

struct Child {
    guard: Guard,
    diary: Arc<Mutex<Vec<String>>>,
}

impl Actor for Child {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Self::Context) {
        self.note("up");
    }
}

impl Child {
    fn launch(parts: &Parts, guard: Guard) -> Recipient<Stop> {
        let name = guard.path().rsplit('/').next().unwrap_or_default().to_owned();
        let address = Child { guard, diary: parts.diary.clone() }.start();
        parts.addresses.lock().unwrap().push((name, address.clone()));
        address.recipient()
    }

    fn note(&self, what: &str) {
        let name = self.guard.path().rsplit('/').next().unwrap_or_default().to_owned();
        self.diary.lock().unwrap().push(format!("{name} {what}"));
    }
}

impl Handler<Stop> for Child {
    type Result = ();
    fn handle(&mut self, _: Stop, context: &mut Self::Context) {
        self.note("down");
        context.stop();
    }
}

/// The ways in which an actor can die.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
enum Die {
    InHandler,
    InSpawnedFuture,
    InAtomicResponse,
    InTimer,
    ByStopping,
    BySayingWhy,
}

impl Handler<Die> for Child {
    type Result = AtomicResponse<Self, ()>;

    fn handle(&mut self, way: Die, context: &mut Self::Context) -> Self::Result {
        match way {
            Die::InHandler => panic!("in a handler"),
            Die::InSpawnedFuture => {
                context.spawn(async { panic!("in a spawned future") }.into_actor(self));
            }
            Die::InAtomicResponse => {
                let doomed = async { sleep(Duration::from_millis(1)).await };
                let fall = doomed.into_actor(self).map(|(), _, _| panic!("in an atomic response"));
                return AtomicResponse::new(Box::pin(fall));
            }
            Die::InTimer => {
                context.run_later(Duration::from_millis(1), |_, _| panic!("in a timer"));
            }
            Die::ByStopping => context.stop(),
            Die::BySayingWhy => {
                self.guard.fail("the disk is gone");
                context.stop();
            }
        }
        AtomicResponse::new(Box::pin(async {}.into_actor(self)))
    }
}

static PAIR: Node<Parts> = Node::Group(
    "root",
    Strategy::OneForOne,
    Limit::per_minute(3),
    &[Node::Worker("first", Child::launch), Node::Worker("second", Child::launch)],
);

static NESTED: Node<Parts> = Node::Group(
    "root",
    Strategy::OneForOne,
    Limit::per_minute(1),
    &[
        Node::Worker("below", Child::launch),
        Node::Group(
            "inner",
            Strategy::RestForOne,
            Limit::per_minute(2),
            &[Node::Worker("a", Child::launch), Node::Worker("b", Child::launch), Node::Worker("c", Child::launch)],
        ),
        Node::Worker("above", Child::launch),
    ],
);

/// Runs a test on one arbiter in virtual time.
fn in_virtual_time<F: Future<Output = ()> + 'static>(test: impl FnOnce() -> F) {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    System::with_tokio_rt(runtime).block_on(test());
}

fn figures(tree: &Tree<Parts>, path: &str) -> Snapshot {
    tree.board.snapshot(protocol::time::Timestamp::default()).into_iter().find(|node| node.path == path).unwrap()
}

fn child(parts: &Parts, name: &str) -> Addr<Child> {
    parts.addresses.lock().unwrap().iter().rev().find(|(known, _)| known == name).unwrap().1.clone()
}

fn diary(parts: &Parts) -> Vec<String> {
    std::mem::take(&mut parts.diary.lock().unwrap())
}

async fn a_moment() {
    sleep(Duration::from_millis(200)).await;
}

#[test]
fn every_way_of_dying_is_noticed_and_harms_nobody_else() {
    for way in
        [Die::InHandler, Die::InSpawnedFuture, Die::InAtomicResponse, Die::InTimer, Die::ByStopping, Die::BySayingWhy]
    {
        in_virtual_time(move || async move {
            let parts = Parts::default();
            let tree = start(&PAIR, parts.clone());
            a_moment().await;
            let (victim, sibling) = (child(&parts, "first"), child(&parts, "second"));
            let _ = victim.send(way).await;
            a_moment().await;
            assert!(!victim.connected(), "{way:?}");
            assert!(sibling.connected(), "{way:?}");
            assert_eq!(diary(&parts), ["first up", "second up", "first up"], "{way:?}");
            let figures = figures(&tree, "root/first");
            assert_eq!((figures.restarts, figures.health), (1, Health::Running), "{way:?}");
            assert!(figures.last_error.is_some(), "{way:?}");
        });
    }
}

#[test]
fn children_start_in_order_and_stop_in_reverse() {
    in_virtual_time(|| async {
        let parts = Parts::default();
        let tree = start(&NESTED, parts.clone());
        a_moment().await;
        let mut up = diary(&parts);
        up.sort();
        assert_eq!(up, ["a up", "above up", "b up", "below up", "c up"]);
        tree.root.do_send(Stop);
        assert_eq!(timeout(Duration::from_secs(1), tree.ended).await.unwrap(), Ok(TreeEnd::Asked));
        assert_eq!(diary(&parts), ["above down", "c down", "b down", "a down", "below down"]);
    });
}

#[test]
fn rest_for_one_renews_the_child_and_those_after_it() {
    in_virtual_time(|| async {
        let parts = Parts::default();
        let tree = start(&NESTED, parts.clone());
        a_moment().await;
        diary(&parts);
        let _ = child(&parts, "b").send(Die::InHandler).await;
        a_moment().await;
        assert_eq!(diary(&parts), ["c down", "b up", "c up"]);
        assert_eq!(figures(&tree, "root/inner/b").restarts, 1);
        assert_eq!(figures(&tree, "root/inner/c").restarts, 0, "only the culprit counts");
    });
}

#[test]
fn one_restart_more_than_the_limit_ends_the_tree() {
    in_virtual_time(|| async {
        let parts = Parts::default();
        let mut tree = start(&PAIR, parts.clone());
        for restart in 1..=3 {
            sleep(Duration::from_secs(15)).await;
            let _ = child(&parts, "first").send(Die::InHandler).await;
            a_moment().await;
            assert_eq!(figures(&tree, "root/first").restarts, restart);
        }
        assert!(tree.ended.try_recv().is_err());
        let _ = child(&parts, "second").send(Die::InHandler).await;
        assert_eq!(timeout(Duration::from_secs(1), tree.ended).await.unwrap(), Ok(TreeEnd::GaveUp));
        assert_eq!(diary(&parts).last().unwrap(), "first down");
    });
}

#[test]
fn restarts_that_lie_far_apart_are_borne_for_ever() {
    in_virtual_time(|| async {
        let parts = Parts::default();
        let mut tree = start(&PAIR, parts.clone());
        for _ in 0..20 {
            sleep(Duration::from_secs(21)).await;
            let _ = child(&parts, "first").send(Die::InTimer).await;
        }
        a_moment().await;
        assert_eq!(figures(&tree, "root/first").restarts, 20);
        assert!(tree.ended.try_recv().is_err());
    });
}

#[test]
fn a_group_that_gives_up_is_renewed_by_the_group_above() {
    in_virtual_time(|| async {
        let parts = Parts::default();
        let mut tree = start(&NESTED, parts.clone());
        for _ in 0..3 {
            a_moment().await;
            let _ = child(&parts, "a").send(Die::InHandler).await;
        }
        sleep(Duration::from_secs(1)).await;
        assert_eq!(figures(&tree, "root/inner").restarts, 1);
        assert!(child(&parts, "a").connected() && child(&parts, "c").connected());
        assert!(tree.ended.try_recv().is_err(), "the root bears one restart");
        for _ in 0..3 {
            a_moment().await;
            let _ = child(&parts, "a").send(Die::InHandler).await;
        }
        assert_eq!(timeout(Duration::from_secs(9), tree.ended).await.unwrap(), Ok(TreeEnd::GaveUp));
    });
}

#[test]
fn restarts_in_a_row_come_later_each_time() {
    let rests: Vec<Duration> = (1..=12).map(rest_before).collect();
    assert_eq!(rests[0], Duration::from_millis(50));
    assert!(rests.windows(2).all(|pair| pair[1] == (pair[0] * 2).min(Duration::from_secs(10))));
}
