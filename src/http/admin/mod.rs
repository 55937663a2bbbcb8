//! What admins reach: one file per resource, in Fleet's shapes, so that its tools keep working.

pub mod auth;
pub mod brakes;
pub mod commands;
pub mod enrollment;
pub mod hosts;
pub mod nano;
mod targets;
pub mod webhooks;
