//! What is remembered: one file per table, with its row and the only functions that touch it.
//!
//! Never here: rules about devices, wire formats, a clock, any other crate of ours. Times are arguments, in
//! milliseconds since the Unix epoch.
//!
//! Two handles show the rights: [`Reader`] asks, [`Writer`] changes. Start with [`store`] (how to open them) and
//! [`turn`] (the rows of one host's turn).
//!
//! # To add a table
//!
//! 1. Write a migration that creates it (`migration/src/mYYYYMMDD_…`).
//! 2. Add `entities/src/<table>.rs`: `Model` with a line about each column, then the queries beside it.
//! 3. Reads take `&Reader` and run through [`Reader`]'s `run`; writes take `&Writer` and run through its `run`.
//! 4. A write that every device request makes goes into [`turn::Turn`] instead, where it shares a transaction.
//! 5. Name it below. Secrets get a table of their own that no list query joins, and are sealed ([`vault`] says how).

pub mod abm_token;
pub mod activity;
pub mod agent;
pub mod agent_known;
pub mod agent_report;
pub mod agent_token;
pub mod api_token;
pub mod audit;
pub mod authority;
mod awaited;
pub mod cancel;
pub mod command;
pub mod command_count;
pub mod command_policy;
pub mod command_result;
pub mod command_status;
pub mod declarative_status;
pub mod delivery;
pub mod dep_device;
pub mod desired;
pub mod enqueue;
pub mod enroll_secret;
pub mod enrollment;
pub mod enrollment_secret;
#[cfg(feature = "faults")]
pub mod fault;
#[cfg(test)]
mod fresh;
pub mod held_command;
pub mod host;
pub mod host_action;
pub mod host_admission;
pub mod host_idp_account;
mod host_lifecycle;
pub mod host_profile;
pub mod host_profile_list;
pub mod host_removal;
pub mod host_search;
pub mod host_times;
pub mod idempotency;
pub mod identity;
pub mod idp_account;
pub mod invite;
pub mod label;
pub mod mail;
pub mod marking;
pub mod movers;
pub mod news;
pub mod orphan_result;
pub mod owner;
pub mod ownership;
pub mod password_reset;
pub mod profile;
pub mod profile_content;
pub mod profile_label;
pub mod profile_list;
pub mod profile_marking;
pub mod push_certificate;
pub mod queue_entry;
pub mod queue_window;
pub mod restore;
pub mod role;
pub mod scep;
pub mod scim_group;
pub mod scim_user;
pub mod secret_variable;
pub mod session;
pub mod setup_assistant;
pub mod setup_experience;
pub mod store;
pub mod target;
pub mod team;
pub mod team_setting;
mod transaction;
pub mod turn;
pub mod user;
pub mod vault;
pub mod vault_key;
pub mod webhook;
pub mod webhook_backlog;
pub mod webhook_delivery;
pub mod webhook_event;
pub mod webhook_key;
pub mod windows_admission;
pub mod windows_enrollment;
pub mod windows_host;
pub mod windows_token;
mod writer;

pub use store::{Reader, StoreError};
pub(crate) use transaction::{Database, Transaction};
pub use writer::{Tally, Writer};
