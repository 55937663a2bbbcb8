//! When things happen: the supervision tree, the host actors, and the singletons beside them.

pub mod ask;
pub mod clock;
pub mod hosts;
pub mod supervisor;
