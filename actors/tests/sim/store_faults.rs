//! One statement goes wrong: a short story is told again and again, and each time another statement fails, in each of
//! the ways in which statements fail. Then the server starts again from its rows, and everything must come to its end.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use actors::dispatcher::{Dispatch, Target, TimeToLive};
use bytes::Bytes;
use entities::fault::{Fate, Plan, Statement};
use protocol::ids::{CommandUuid, HostId};
use tokio::sync::Notify;

use crate::apns::{Apns, line};
use crate::chaos::Chaos;
use crate::device::Device;
use crate::stage::Life;
use crate::world::World;
use crate::{admin, audit, real};

/// How a statement goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    fate: Fate,
    /// The server is killed at that moment, and whatever waited for the statement with it.
    killed: bool,
}

pub(crate) const WAYS: [Way; 6] = [
    Way { fate: Fate::Fails, killed: false },
    Way { fate: Fate::FailsAfterwards, killed: false },
    Way { fate: Fate::Hangs, killed: false },
    Way { fate: Fate::HangsAfterwards, killed: false },
    Way { fate: Fate::Hangs, killed: true },
    Way { fate: Fate::HangsAfterwards, killed: true },
];

/// Lets the n-th statement of the story go wrong.
#[derive(Debug)]
struct Nth {
    n: u64,
    way: Way,
    began: AtomicBool,
    passed: AtomicU64,
    kinds: Mutex<Vec<Statement>>,
    reached: Arc<Notify>,
    chaos: Arc<Chaos>,
}

impl Plan for Nth {
    fn next(&self, statement: Statement) -> (Duration, Fate) {
        if !self.began.load(Relaxed) {
            return (Duration::from_millis(1), Fate::Runs);
        }
        let number = self.passed.fetch_add(1, Relaxed) + 1;
        self.kinds.lock().unwrap().push(statement);
        if number != self.n {
            return (Duration::from_millis(1), Fate::Runs);
        }
        self.chaos.faults.fetch_add(1, Relaxed);
        if self.way.killed {
            self.reached.notify_one();
        }
        (Duration::from_millis(1), self.way.fate)
    }
}

/// Tells the story with the n-th statement going wrong; returns what must not be, and the kinds of its statements.
fn tell(n: u64, way: Way, loud: bool) -> (Vec<String>, Vec<Statement>) {
    let world = World::new(0, loud);
    world.calm.set(true);
    let (pusher, pushes) = line();
    let reached = Arc::new(Notify::new());
    let plan = Arc::new(Nth {
        n,
        way,
        began: AtomicBool::new(false),
        passed: AtomicU64::new(0),
        kinds: Mutex::default(),
        reached: reached.clone(),
        chaos: world.chaos.clone(),
    });
    let begin = (world.now.get(), 0);
    let ended = world.stage.live(begin, plan.clone(), Arc::new(pusher), async |life| {
        audit::name_rows(&world, &life).await;
        plan.began.store(true, Relaxed);
        actix::spawn(Apns::new(&world, &life).serve(pushes));
        for device in &world.devices {
            actix::spawn(device.clone().run(world.clone(), life.clone()));
        }
        tokio::select! {
            biased;
            () = reached.notified() => tokio::time::sleep(Duration::from_millis(5)).await,
            () = story(&world, &life) => {}
        }
        life.moment()
    });
    world.now.set(ended);
    real::live(&world, true);
    if loud {
        world.print();
    }
    let kinds = plan.kinds.lock().unwrap().clone();
    (world.findings.borrow().clone(), kinds)
}

/// Commands for all, one of which is deferred, and one for nobody; a device enrolls again; a token changes.
async fn story(world: &Rc<World>, life: &Rc<Life>) {
    let all = || {
        let named = |device: &Rc<Device>| Some((device.name().to_owned(), device.state.borrow().row?));
        world.devices.iter().filter_map(named).unzip::<String, Target, Vec<_>, Vec<_>>()
    };
    let order = |uuid: &'static str, push: bool, (targets, channels): (Vec<String>, Vec<Target>)| {
        let dispatch = Dispatch {
            uuid: CommandUuid::parse(uuid).unwrap(),
            request_type: "ProfileList".into(),
            body: Bytes::from_static(uuid.as_bytes()),
            asked_by: "admin".into(),
            priority: 0,
            no_blind_resend: false,
            time_to_live: TimeToLive::Usual(Duration::from_secs(86_400)),
            after: None,
            push,
            channels,
            answers: None,
            action: None,
        };
        admin::queue(world.clone(), life.clone(), targets, false, dispatch)
    };
    world.devices[0].state.borrow_mut().defers.insert("first".into());
    let nobody = (vec!["nobody".to_owned()], vec![Target { host: HostId(9_999), enrollment: 9_999 }]);
    tokio::join!(order("first", true, all()), order("refused", true, nobody), order("second", true, all()));
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.devices[2].change_token(world, life);
    order("third", false, all()).await;
    tokio::time::sleep(Duration::from_secs(8)).await;
    world.devices[1].enroll_again(world, life);
    world.devices[1].pushed.notify_one();
    order("fourth", true, all()).await;
    tokio::time::sleep(Duration::from_secs(40)).await;
}

/// Tells the story once for each statement and way; usually of so many only one, with `ROOKERY_SEEDS` all.
pub(crate) fn run(share: u64) {
    let (findings, kinds) = tell(0, WAYS[0], false);
    assert!(findings.is_empty(), "without a fault: {findings:#?}");
    let found: BTreeSet<String> = kinds.iter().map(|kind| format!("{kind:?}")).collect();
    assert_eq!(found.len(), 6, "the story has every kind of statement: {found:?}");
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let count = kinds.len() as u64;
    let (one, all) = (number("ROOKERY_SEED"), number("ROOKERY_SEEDS").is_some());
    let share = if all { 1 } else { share };
    let chosen = |case: u64| one.map_or(case.is_multiple_of(share), |one| one == case);
    let cases: Vec<u64> = (0..count * WAYS.len() as u64).filter(|case| chosen(*case)).collect();
    let (next, failed, began) = (AtomicU64::new(0), Mutex::new(Vec::new()), Instant::now());
    let work = || {
        while let Some(case) = cases.get(usize::try_from(next.fetch_add(1, Relaxed)).unwrap()) {
            let way = WAYS[usize::try_from(case / count).unwrap()];
            let (findings, _) = tell(case % count + 1, way, one.is_some());
            if !findings.is_empty() {
                println!("statement {} {way:?}: ROOKERY_SEED={case} fails: {findings:#?}", case % count + 1);
                failed.lock().unwrap().push(*case);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let (told, took) = (cases.len(), began.elapsed().as_secs_f64());
    println!("store_faults: {count} statements, {told} stories in {took:.1} s, {:.1} a second", told as f64 / took);
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "store_faults: these cases fail, see each with ROOKERY_SEED=<case>: {failed:?}");
}
