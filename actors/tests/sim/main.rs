//! The host turn, the queue, pushes and timers in virtual time, from a seed, while everything around them misbehaves.
//!
//! `ROOKERY_SEEDS=10000` runs more seeds than a usual test run does, `ROOKERY_SEED=7` replays one and prints everything
//! that happened. The levels: `real` (real actors over a real store) and `store_faults` (the
//! n-th statement goes wrong, for every n and in every way). `agent_polls` counts the statements that polls cost.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod admin;
mod agent_polls;
mod apns;
mod audit;
mod chaos;
mod device;
mod ideal;
mod random;
mod real;
mod seeds;
mod stage;
mod store_faults;
mod world;

#[test]
fn everything_that_was_accepted_comes_to_its_end() {
    seeds::run("real", 24, |seed, loud| real::run(seed, loud).0);
}

#[test]
fn any_statement_may_go_wrong_in_any_way() {
    store_faults::run(19);
}

#[test]
fn a_seed_is_the_same_run_each_time() {
    for seed in 1..4 {
        assert_eq!(real::run(seed, false), real::run(seed, false), "seed {seed}");
    }
}

/// `ROOKERY_SEEDS=500` lives through 10,000 histories.
#[test]
fn every_host_comes_to_have_exactly_what_it_shall_have() {
    seeds::run("ideal", 6, ideal::run);
}
