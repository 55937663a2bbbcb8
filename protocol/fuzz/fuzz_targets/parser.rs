//! The targets of `protocol/tests/fuzz` under libFuzzer: `ROOKERY_FUZZ_TARGET` names one, and none means all of them.

#![no_main]

#[path = "../../tests/fuzz/parsers/mod.rs"]
mod parsers;

use std::sync::LazyLock;

use parsers::targets::{TARGETS, Target};

static CHOSEN: LazyLock<Vec<&'static Target>> = LazyLock::new(|| {
    let name = std::env::var("ROOKERY_FUZZ_TARGET").unwrap_or_default();
    let chosen: Vec<_> = TARGETS.iter().filter(|target| name.is_empty() || target.name == name).collect();
    assert!(!chosen.is_empty(), "there is no target {name}; they stand in tests/fuzz/parsers/targets.rs");
    chosen
});

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    for target in CHOSEN.iter() {
        (target.run)(input);
    }
});
