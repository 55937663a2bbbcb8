//! What devices reach: each handler parses, asks the right actor, and answers.

pub mod account_driven;
pub mod agent;
pub mod apple;
pub mod assigned;
pub mod enroll;
pub mod scep;
pub mod sso;
pub mod windows;
pub mod windows_enroll;
