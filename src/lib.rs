//! The edge: command line, settings, HTTP, and the simulated fleet.

pub mod sim;
