//! Fuzzing on stable Rust, in this process: every parser, with inputs that are made of real messages.
//!
//! `cargo test --test fuzz` takes a few thousand inputs from a fixed seed. `ROOKERY_FUZZ=5000000 cargo test --release -p
//! protocol --test fuzz campaign -- --nocapture` takes as many as it says; `ROOKERY_FUZZ_SEED` chooses others. What panics
//! is kept in `corpus/<target>/` and taken by every run from then on. The targets stand in [`parsers::targets`]; a public parser
//! without one fails [`completeness`].

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::disallowed_methods, reason = "a campaign takes time and keeps files; the crate itself has neither")]

mod completeness;
mod named;
mod parsers;

use parsers::targets::TARGETS;
use parsers::{campaign, seeds};

/// Inputs of a short run.
const SHORT: usize = 10_000;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[test]
fn a_campaign_finds_no_panic() {
    let inputs = number("ROOKERY_FUZZ").and_then(|inputs| usize::try_from(inputs).ok()).unwrap_or(SHORT);
    let outcome = campaign::run(inputs, number("ROOKERY_FUZZ_SEED").unwrap_or(1));
    let (target, length, worst) = outcome.worst;
    let rate = outcome.inputs as f64 / outcome.took.as_secs_f64();
    println!(
        "{} inputs in {:.1?} ({rate:.0}/s); the slowest: {target}, {length} bytes, {worst:.1?}; over {:?}: {}",
        outcome.inputs,
        outcome.took,
        campaign::SLOW,
        outcome.slow
    );
    assert!(outcome.findings.is_empty(), "{}", outcome.findings.join("\n"));
}

#[test]
fn every_seed_and_every_finding_is_taken() {
    for target in TARGETS {
        let found = seeds::files(&format!("fuzz/corpus/{}", target.name));
        for input in (target.seeds)().iter().chain(&found) {
            (target.run)(input);
        }
    }
}

#[test]
fn seeds_reach_deep() {
    use protocol::apple::message::Message;
    let sound = |parse: &dyn Fn(&[u8]) -> bool, seeds: Vec<Vec<u8>>| seeds.iter().filter(|seed| parse(seed)).count();
    assert!(sound(&|seed| Message::parse(seed, 1 << 20).is_ok(), seeds::messages()) > 25);
    assert_eq!(
        sound(&|seed| protocol::pki::signature::verify(seed, Some(seeds::BODY)).is_ok(), seeds::signatures()),
        4
    );
    assert_eq!(sound(&|seed| protocol::pki::Certificate::parse(seed).is_ok(), seeds::certificates()), 6);
    let opened = |seed: &[u8]| {
        let policy = protocol::pki::scep::Policy { allow_legacy: false };
        protocol::pki::scep::Request::open(seed, seeds::KEYS.authority.signer(), &policy).is_ok()
    };
    assert_eq!(sound(&opened, seeds::scep_requests()), 2);
}
