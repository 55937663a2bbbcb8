//! Promises: what a server must keep whatever happens to it, proved with real processes, real databases and simulated
//! devices that keep their own account. One file for each promise; [`harness`] says how to write one.
//!
//! `cargo test --release --test promises p02 -- --nocapture` proves one in its short form; `ROOKERY_PROVE=full` and
//! `make prove` use the full size.

#![expect(clippy::unwrap_used, reason = "a proof that cannot go on has failed")]

mod harness;
mod p01_never_unenrolls;
mod p02_survives_kill_nine;
mod p03_never_the_wrong_host;
mod p04_panics_harm_only_themselves;
mod p05_no_input_aborts;
mod p06_database_away;
mod p07_full_disk;
mod p08_push_storms;
mod p09_not_now;
mod p10_hostile_connections;
mod p12_time_jumps;
mod p14_admin_mistakes_are_bounded;
mod p15_restart_with_many_hosts;
#[path = "../../protocol/tests/fuzz/parsers/mod.rs"]
mod parsers;
