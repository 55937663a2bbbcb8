//! Runs many seeds on all cores, and says which one failed and how to see it again.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

/// Runs a level's seeds; `run` returns what must not be.
pub(crate) fn run(level: &str, usual: u64, run: impl Fn(u64, bool) -> Vec<String> + Sync) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    if let Some(seed) = number("ROOKERY_SEED") {
        let findings = run(seed, true);
        assert!(findings.is_empty(), "{level}, seed {seed}: {findings:#?}");
        return;
    }
    let seeds = number("ROOKERY_SEEDS").unwrap_or(usual);
    let (next, failed, began) = (AtomicU64::new(0), Mutex::new(Vec::new()), Instant::now());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Relaxed);
                    if seed >= seeds || failed.lock().unwrap().len() >= 10 {
                        return;
                    }
                    let findings = run(seed, false);
                    if !findings.is_empty() {
                        println!("{level}: ROOKERY_SEED={seed} fails: {findings:#?}");
                        failed.lock().unwrap().push(seed);
                    }
                }
            });
        }
    });
    let took = began.elapsed().as_secs_f64();
    println!("{level}: {seeds} seeds in {took:.1} s, {:.0} a second", seeds as f64 / took);
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{level}: these seeds fail, see each with ROOKERY_SEED=<seed>: {failed:?}");
}
