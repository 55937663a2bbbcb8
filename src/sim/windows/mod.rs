//! Simulated Windows PCs.
//!
//! A [`device::Pc`] does what its owner tells it, one message at a time, and judges every answer as strictly as the
//! protocol allows: tests step it by hand. A [`host::SimPc`] owns one and lets it live on its own, at its poll
//! schedule.
//! Requests are written here, not by the server's serializers, so that the two cannot agree by accident.
//!
//! Start with [`device`], then [`syncml`] (what is said in a session), then [`host`].

pub mod device;
#[cfg(test)]
pub(in crate::sim) mod fake_mdm;
pub mod host;
mod judge;
pub mod model;
mod policies;
pub mod poll;
pub mod provisioning;
pub mod quirks;
mod request;
mod soap;
pub mod syncml;
pub mod tree;
