//! Apple's device assignment service (DEP, Automated Device Enrollment): which devices an organization bought, and what they
//! are told when they are switched on for the first time.
//!
//! Bytes and values in, bytes and values out. Never here: connections, a clock, a cursor that is kept, and any decision about
//! who is assigned what. Everything that the service, a device or an admin says is bounded before it is read.
//!
//! Start with [`token`] (who the server is there), then [`oauth`] (how it says so), [`answers`] (what it is told), [`profile`]
//! (what new devices are given), and [`machine_info`] (what they say when they come).

pub mod answers;
pub mod machine_info;
pub mod oauth;
pub mod profile;
pub mod requests;
pub mod token;

/// Where Apple's service is.
pub const SERVICE_URL: &str = "https://mdmenrollment.apple.com";

/// The header that carries the session, of requests and of answers: an answer may bring a new one, which takes its place.
pub const SESSION_HEADER: &str = "X-ADM-Auth-Session";

/// The header that says which version of the protocol is spoken.
pub const VERSION_HEADER: &str = "X-Server-Protocol-Version";

/// The version that this server speaks: the first with `mdm_migration_deadline`.
pub const PROTOCOL_VERSION: &str = "8";

/// The type of every body.
pub const CONTENT_TYPE: &str = "application/json;charset=UTF8";

/// The most devices that one request may ask for or name.
pub const MAX_DEVICES: usize = 1000;
