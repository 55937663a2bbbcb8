//! Simulated Macs, iPhones and iPads.
//!
//! A [`device::Device`] does what its owner tells it, one message at a time, and judges every reply as a real one
//! would: tests step it by hand. A [`host::SimHost`] owns a device and lets it live on its own.
//!
//! Start with [`device`], then [`host`].

pub mod contents;
pub mod device;
#[cfg(test)]
pub(in crate::sim) mod fake_mdm;
pub mod host;
pub mod model;
pub mod scep;
