//! What promises are proved with.
//!
//! # How to write one
//!
//! A promise is a file `tests/promises/pNN_what_it_says.rs` with one test whose body is a call of [`prove`]:
//!
//! ```ignore
//! #[test]
//! fn p07_a_full_disk_loses_nothing() {
//!     prove("P-07", "a full disk loses nothing that was acknowledged", async |proof| {
//!         let mut site = Site::open(proof, &[("ROOKERY_HOSTS__IDLE", "5s")]).await;
//!         let hosts = proof.size.pick(100, 2000);
//!         let fleet = site.fleet(proof, hosts, &[Persona::Mac], Behaviour::lively()).await;
//!         …                                                 // load, and whatever is to be survived
//!         proof.figure("hosts", hosts);
//!         proof.judge(reckon(&asked, &site.admin.rows().await, &fleet.stop()));
//!         site.close(proof).await;
//!     });
//! }
//! ```
//!
//! [`prove`] runs the body once for each database (SQLite, and PostgreSQL where `ROOKERY_TEST_POSTGRES` names a server;
//! otherwise the last line says that it was left out), one proof at a time in the whole process, and prints a line:
//!
//! ```text
//! PROMISE P-07 on SQLite (short, seed 3141): a full disk loses nothing … hosts 100, commands 1000 … PASS
//! ```
//!
//! The body does three things:
//!
//! - It makes **load**. [`Site`] is a server as a process of its own ([`server::Server`]: start, `kill -9`, terminate,
//!   pause) beside a simulated APNs. [`Site::fleet`] are devices that enroll for real and live on their own; their logs are
//!   the ground truth outside the server. [`Site::device`] is one that the proof drives by hand. [`office::Office`] is full
//!   of API clients ([`admin::Clerk`]) that queue commands and keep the record of what they asked and of every 2xx.
//!   [`masses::Masses`] are rows of hosts that enrolled long ago, by the thousand.
//! - It makes **trouble**: signals, [`proxy::Proxy`] between server and PostgreSQL, [`database::Store`] whose rows can be
//!   locked, moved away, copied and put back, a [`disk::Disk`] that can be full. What is random comes from [`Proof::chance`], so that a seed repeats it (as
//!   far as the operating system does). Waiting is [`eventually`]; nothing is judged by how long it took.
//! - It **judges**, from outside only. [`reckoning::reckon`] compares three accounts: the clients' 2xx, the devices' logs, and
//!   the rows that the API shows. [`Proof::demand`] is for everything else. A broken demand does not end the proof; all of
//!   them are printed at its end.
//!
//! [`Site::close`] stops the server in order and judges what every promise includes: no device route ever answered 401 or
//! 403 (P-01, counted on the devices' wire), every device found the server without fault (unless the proof meant
//! otherwise: [`Site::close_after_refusals`]), nothing in the server's log panicked, and the server ended with exit
//! code 0. Memory, files and CPU time become figures.
//!
//! Sizes: `proof.size.pick(short, full)`. Short ones run in CI and with every `cargo test`, also unoptimized: a minute at
//! most. `ROOKERY_PROVE=full` chooses the full ones, `ROOKERY_PROVE_SEED` the seed. A proof that fails leaves its folder with
//! the server's log and prints where it is. Before a proof is trusted it must have failed once: remove the guard that keeps
//! the promise, look at what is printed, put it back.

pub(crate) mod admin;
pub(crate) mod database;
pub(crate) mod disk;
pub(crate) mod masses;
pub(crate) mod office;
pub(crate) mod patience;
pub(crate) mod pcs;
pub(crate) mod proxy;
pub(crate) mod reckoning;
pub(crate) mod server;
pub(crate) mod site;
mod usage;

use std::fmt::Display;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use rookery::sim::fleet::Fleet;
use rookery::sim::random::Chance;

use database::Kind;
pub(crate) use site::{PATIENCE, Site};

/// Broken demands that are printed one by one.
const TOLD: usize = 30;

/// How large a proof is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    /// For CI: a minute at most.
    Short,
    /// As the promise says.
    Full,
}

/// One proof on one database.
pub(crate) struct Proof {
    name: &'static str,
    promise: &'static str,
    /// How large it is.
    pub(crate) size: Size,
    /// Where the rows are.
    pub(crate) kind: Kind,
    /// What decides everything that is left to chance.
    pub(crate) seed: u64,
    figures: Vec<String>,
    broken: Vec<String>,
    began: Instant,
    told: bool,
}

impl Size {
    fn asked_for() -> Self {
        match std::env::var("ROOKERY_PROVE").as_deref() {
            Ok("full") => Self::Full,
            _ => Self::Short,
        }
    }

    /// The one that fits this size.
    pub(crate) fn pick<T>(self, short: T, full: T) -> T {
        match self {
            Self::Short => short,
            Self::Full => full,
        }
    }
}

/// Proves a promise on each database; proofs of one process run one after the other.
///
/// # Panics
/// It is broken.
pub(crate) fn prove(name: &'static str, promise: &'static str, body: impl AsyncFn(&mut Proof)) {
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut kept = true;
    for kind in Kind::available() {
        let mut proof = Proof::new(name, promise, kind);
        runtime.block_on(body(&mut proof));
        kept &= proof.verdict();
    }
    if !Kind::available().contains(&Kind::Postgres) {
        println!("left out: PostgreSQL (ROOKERY_TEST_POSTGRES is not set)");
    }
    assert!(kept, "{name} is broken");
}

impl Proof {
    fn new(name: &'static str, promise: &'static str, kind: Kind) -> Self {
        let asked_for = std::env::var("ROOKERY_PROVE_SEED").ok().and_then(|seed| seed.parse().ok());
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let seed = asked_for.unwrap_or_else(|| u64::from(now.subsec_nanos()) ^ now.as_secs());
        let size = Size::asked_for();
        println!("{name} on {kind} begins: {size:?}, seed {seed}");
        let (figures, broken) = (Vec::new(), Vec::new());
        Self { name, promise, size, kind, seed, figures, broken, began: Instant::now(), told: false }
    }

    /// A sequence of random numbers for a purpose; other purposes have other numbers.
    pub(crate) fn chance(&self, purpose: u64) -> Chance {
        Chance::new(self.seed, purpose)
    }

    /// Notes a figure for the verdict.
    pub(crate) fn figure(&mut self, name: &str, value: impl Display) {
        self.figures.push(format!("{name} {value}"));
    }

    /// Notes that something does not hold, if so.
    pub(crate) fn demand(&mut self, holds: bool, otherwise: impl Display) {
        if !holds {
            self.broken.push(otherwise.to_string());
        }
    }

    /// Takes over what a reckoning found.
    pub(crate) fn judge(&mut self, reckoning: reckoning::Reckoning) {
        self.figures.extend(reckoning.figures());
        self.broken.extend(reckoning.broken);
    }

    /// Whether nothing is broken so far.
    pub(crate) fn is_kept(&self) -> bool {
        self.broken.is_empty()
    }

    /// Says on the terminal how far it is.
    pub(crate) fn tell(&self, what: impl Display) {
        println!("{} on {}, {:>4} s: {what}", self.name, self.kind, self.began.elapsed().as_secs());
    }

    /// Prints the verdict; true when the promise was kept.
    fn verdict(mut self) -> bool {
        for broken in self.broken.iter().take(TOLD) {
            println!("{} on {}: {broken}", self.name, self.kind);
        }
        if self.broken.len() > TOLD {
            println!("{} on {}: and {} more", self.name, self.kind, self.broken.len() - TOLD);
        }
        self.print(if self.broken.is_empty() { "PASS" } else { "FAIL" });
        self.told = true;
        self.broken.is_empty()
    }

    fn print(&self, verdict: &str) {
        let Self { name, promise, kind, seed, figures, began, .. } = self;
        let size = if self.size == Size::Full { "full" } else { "short" };
        let (figures, seconds) = (figures.join(", "), began.elapsed().as_secs());
        println!("PROMISE {name} on {kind} ({size}, seed {seed}): {promise}: {figures}, {seconds} s … {verdict}");
    }
}

impl Drop for Proof {
    fn drop(&mut self) {
        if !self.told {
            self.print("FAIL (it did not come to its end)");
        }
    }
}

/// Waits until something holds.
pub(crate) async fn eventually<T>(what: &str, patience: Duration, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let until = Instant::now() + patience;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < until, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until every device knows what became of every command that it had: the last replies may still be on their way, and
/// a device that was told to come back comes a little later.
pub(crate) async fn until_confirmed(fleet: &Fleet) {
    eventually("devices know that their reports were taken", PATIENCE, async || {
        fleet.truth().commands().all(|(_, _, done)| done.final_status().is_some()).then_some(())
    })
    .await;
}
