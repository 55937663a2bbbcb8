//! Promises: what a server must keep whatever happens to it, proved with real processes, real databases and simulated
//! devices that keep their own account. One file for each promise; [`harness`] says how to write one.
//!
//! `cargo test --release --test promises p02 -- --nocapture` proves one in its short form; `ROOKERY_PROVE=full` and
//! `make prove` use the full size.

#![expect(clippy::unwrap_used, reason = "a proof that cannot go on has failed")]

mod harness;
mod p01_never_unenrolls;
mod p02_survives_kill_nine;
mod p05_no_input_aborts;
mod p14_admin_mistakes_are_bounded;
#[path = "../../protocol/tests/fuzz/parsers/mod.rs"]
mod parsers;
