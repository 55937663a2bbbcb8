//! A run over all targets: on every core, on a small stack, from one seed. What panics is kept as a file.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::mutator::Mutator;
use super::seeds;
use super::targets::{TARGETS, TOKENS, Target};

/// The stack of every thread: what fits here fits into any thread of the server.
const STACK_BYTES: usize = 512 * 1024;
/// Inputs that one thread takes at a time.
const CHUNK: usize = 1000;
/// An input may not take longer than this, optimized.
pub(crate) const SLOW: Duration = Duration::from_millis(50);

/// What a run was.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Inputs that were taken.
    pub(crate) inputs: usize,
    /// How long it took.
    pub(crate) took: Duration,
    /// The slowest input: its target, its length, its time.
    pub(crate) worst: (&'static str, usize, Duration),
    /// Inputs that took longer than [`SLOW`].
    pub(crate) slow: usize,
    /// Panics, with the files of their inputs.
    pub(crate) findings: Vec<String>,
}

/// Where findings are kept, and taken again by every run.
pub(crate) fn corpus(target: &str) -> PathBuf {
    seeds::tests().join("fuzz/corpus").join(target)
}

/// Runs so many inputs from a seed.
pub(crate) fn run(inputs: usize, seed: u64) -> Outcome {
    let begun = Instant::now();
    let seeds: Vec<Vec<Vec<u8>>> = TARGETS.iter().map(|target| (target.seeds)()).collect();
    let (chunks, next, outcome) = (inputs.div_ceil(CHUNK), AtomicUsize::new(0), Mutex::new(Outcome::default()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let work = || loop {
                let chunk = next.fetch_add(1, Relaxed);
                if chunk >= chunks {
                    return;
                }
                let part = run_chunk(seed.wrapping_add(chunk as u64), &seeds);
                outcome.lock().unwrap_or_else(PoisonError::into_inner).add(part);
            };
            std::thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, work).unwrap();
        }
    });
    let mut outcome = outcome.into_inner().unwrap_or_else(PoisonError::into_inner);
    outcome.took = begun.elapsed();
    outcome
}

/// A thousand inputs, shared among the targets as they ask.
fn run_chunk(seed: u64, seeds: &[Vec<Vec<u8>>]) -> Outcome {
    let (mut mutator, mut outcome) = (Mutator::new(seed), Outcome::default());
    for (target, seeds) in TARGETS.iter().zip(seeds) {
        for _ in 0..target.share {
            let input = mutator.next(seeds, TOKENS, target.shape);
            outcome.take(target, &input);
        }
    }
    outcome
}

impl Outcome {
    fn take(&mut self, target: &Target, input: &[u8]) {
        let begun = Instant::now();
        let taken = catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
        let mut took = begun.elapsed();
        // A thread that had to wait for a core only looks slow.
        if took > SLOW / 10 && taken.is_ok() {
            took = time_on_core(|| (target.run)(input)).unwrap_or(took).min(took);
        }
        self.inputs += 1;
        self.slow += usize::from(took > SLOW);
        if took > self.worst.2 {
            self.worst = (target.name, input.len(), took);
        }
        if taken.is_err() {
            let (folder, name) = (corpus(target.name), format!("{:016x}", hash(input)));
            let kept = std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(folder.join(&name), input));
            self.findings.push(format!("{} panics: corpus/{}/{name} ({kept:?})", target.name, target.name));
        }
    }

    fn add(&mut self, other: Self) {
        self.inputs += other.inputs;
        self.slow += other.slow;
        if other.worst.2 > self.worst.2 {
            self.worst = other.worst;
        }
        self.findings.extend(other.findings);
    }
}

/// How long something has a core; none where the system does not say.
fn time_on_core(run: impl FnOnce()) -> Option<Duration> {
    let so_far = || {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
        text.split(' ').next()?.parse().ok().map(Duration::from_nanos)
    };
    let before: Duration = so_far()?;
    run();
    so_far()?.checked_sub(before)
}

fn hash(input: &[u8]) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    input.hash(&mut hasher);
    hasher.finish()
}
