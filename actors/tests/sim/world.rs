//! A run: what outlives the lives of the server, and the account that is kept outside of it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use protocol::time::Timestamp;

use crate::chaos::Chaos;
use crate::device::Device;
use crate::random::Random;
use crate::stage::{BEGIN, HOSTS, Life, Stage};

/// A run.
pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) stage: Stage,
    pub(crate) chaos: Arc<Chaos>,
    pub(crate) devices: Vec<Rc<Device>>,
    pub(crate) commands: RefCell<BTreeMap<String, Command>>,
    /// Nothing goes wrong any more, and every device does what it is told.
    pub(crate) calm: Cell<bool>,
    /// When the next life begins.
    pub(crate) now: Cell<Timestamp>,
    /// How far the server's clock is ahead, in milliseconds.
    pub(crate) ahead: Cell<i64>,
    /// When the server last lost what it had in memory, or its clock jumped.
    pub(crate) disturbed: Cell<Timestamp>,
    /// The server's clock never jumped.
    pub(crate) steady: Cell<bool>,
    /// The states of entries when rows were last looked at.
    pub(crate) states: RefCell<BTreeMap<i64, i16>>,
    pub(crate) findings: RefCell<Vec<String>>,
    trace: RefCell<Trace>,
}

/// A command that an admin asked for.
#[derive(Clone, Debug)]
pub(crate) struct Command {
    pub(crate) targets: Vec<String>,
    pub(crate) requested: Timestamp,
    pub(crate) outcome: Outcome,
    /// It ends by itself before the run does.
    pub(crate) short_lived: bool,
}

/// What the admin was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Yes.
    Accepted(Timestamp),
    /// No: certainly not.
    Refused,
    /// Nothing that can be relied on.
    Unknown,
}

/// Everything that happened, as text or as a number that stands for it.
struct Trace {
    loud: bool,
    lines: Vec<String>,
    hash: u64,
}

impl World {
    pub(crate) fn new(seed: u64, loud: bool) -> Rc<Self> {
        let mut devices: Vec<Rc<Device>> = (0..HOSTS).map(|host| Rc::new(Device::of_host(seed, host))).collect();
        let user = Device::of_user(seed, &devices[0]);
        devices.push(Rc::new(user));
        Rc::new(Self {
            seed,
            stage: Stage::new(),
            chaos: Arc::new(Chaos::new(seed)),
            devices,
            commands: RefCell::default(),
            calm: Cell::new(false),
            now: Cell::new(BEGIN.plus(Duration::from_secs(60))),
            ahead: Cell::new(0),
            disturbed: Cell::new(BEGIN),
            steady: Cell::new(true),
            states: RefCell::default(),
            findings: RefCell::default(),
            trace: RefCell::new(Trace { loud, lines: Vec::new(), hash: 0xcbf2_9ce4_8422_2325 }),
        })
    }

    pub(crate) fn random(&self, part: &str) -> Random {
        Random::of(self.seed.wrapping_add(self.now.get().millis().unsigned_abs()), part)
    }

    /// Writes down what happens.
    pub(crate) fn note(&self, life: &Life, who: &str, what: &str) {
        let millis = life.moment().millis() - BEGIN.millis();
        let line = format!("{:>9.3} {who} {what}", millis as f64 / 1000.0);
        let mut trace = self.trace.borrow_mut();
        trace.hash =
            line.bytes().fold(trace.hash, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        if trace.loud {
            trace.lines.push(line);
        }
    }

    /// Writes down what must not happen.
    pub(crate) fn find(&self, life: &Life, who: &str, what: &str) {
        self.note(life, who, &format!("MUST NOT BE: {what}"));
        self.findings.borrow_mut().push(format!("{who}: {what}"));
    }

    pub(crate) fn expect(&self, life: &Life, who: &str, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.find(life, who, &what());
        }
    }

    /// The number that stands for everything that happened.
    pub(crate) fn hash(&self) -> u64 {
        self.trace.borrow().hash
    }

    /// Prints everything that happened.
    pub(crate) fn print(&self) {
        for line in &self.trace.borrow().lines {
            println!("{line}");
        }
    }

    pub(crate) fn device(&self, name: &str) -> Option<&Rc<Device>> {
        self.devices.iter().find(|device| device.name() == name)
    }
}
