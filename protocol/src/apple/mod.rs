//! Apple.
