//! Parsers and what is thrown at them. Used by the fuzzing of this crate (`tests/fuzz/main.rs`), by promise P-05
//! (`tests/promises`), and by cargo-fuzz (`protocol/fuzz`).

pub(crate) mod campaign;
pub(crate) mod declarative;
pub(crate) mod dep;
pub(crate) mod mutator;
pub(crate) mod saml;
pub(crate) mod seeds;
pub(crate) mod targets;
pub(crate) mod windows;
