//! The edge: command line, settings, HTTP, and the simulated fleet.
//!
//! The house has five places, and everything flows one way: device → edge → host actor → store → reply.
//!
//! - this crate parses requests, asks the right actor and answers;
//! - `actors` decides when things happen;
//! - `protocol` knows what is said;
//! - `entities` remembers, `migration` changes the shape of what is remembered.
//!
//! Start with [`http::ROUTES`] (every URL) and `actors::tree::TREE` (everything that runs).

mod admin;
pub mod cli;
pub mod config;
pub mod demo;
mod gitops;
pub mod http;
pub mod serve;
pub mod sim;
pub mod telemetry;
