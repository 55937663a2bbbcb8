//! What admins reach: one file per resource, in Fleet's shapes, so that its tools keep working.

pub mod auth;
pub mod brakes;
pub mod command_policy;
pub mod command_run;
pub mod commands;
pub mod enrollment;
mod host_filter;
pub mod host_removal;
pub mod host_report;
pub mod host_summary;
pub mod hosts;
mod idempotent;
pub mod invites;
pub mod labels;
mod naming;
pub mod nano;
pub mod pages;
pub mod passwords;
mod people;
pub mod permission;
mod reach;
pub mod sign_in;
mod targets;
pub mod teams;
pub mod tokens;
pub mod users;
pub mod webhooks;
