//! The simulated world: Apple devices, Apple's push service and device assignment service, and fleets of devices for demonstrations, load and tests.
//!
//! It is a client. It sees the wire formats of [`protocol`] and sockets, and never the actors, the rows or the routes
//! of the server, so it cannot agree with the server by accident.
//!
//! Start with [`apple::device`] (one device, step by step), then [`apns`] (what wakes it) and [`abm`] (what sends it
//! here when it is new), then [`fleet`] (many devices
//! that act on their own).

pub mod abm;
pub mod apns;
pub mod apple;
pub mod behaviour;
pub mod clock;
#[cfg(test)]
mod fixture;
pub mod fleet;
pub mod keys;
pub mod log;
pub mod random;
pub mod report;
pub mod windows;
pub mod wire;
