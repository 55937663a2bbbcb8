//! What is said: wire formats and queue rules, as pure functions from bytes and values to bytes and values.
//!
//! Never here: sockets, files, a clock, a database, a runtime, any other crate of ours. Time is an argument
//! ([`time::Timestamp`]). OpenSSL is allowed, because CMS and SCEP are messages: bytes and keys in, bytes out.
//!
//! Start with [`queue`] (what a host is sent next), then [`apple`] and [`windows`] (what devices say), then [`pki`] (who says it). [`webhook`] is
//! what others are told of it, [`agent`] what other agents than MDM say, [`profiles`] what a host is sent so that it has what it shall have,
//! and [`variables`] what is put into what admins upload.

pub mod agent;
pub mod apple;
pub mod danger;
pub mod ids;
pub mod percent;
pub mod pki;
pub mod profile_name;
pub mod profiles;
pub mod queue;
pub mod redacted;
mod reference;
pub mod retry_after;
#[cfg(feature = "saml")]
pub mod saml;
pub mod time;
pub mod upload;
pub mod variables;
pub mod webhook;
pub mod windows;
