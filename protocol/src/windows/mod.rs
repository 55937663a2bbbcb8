//! What Windows says: MS-MDE2 enrollment (SOAP) and OMA-DM 1.2 management (SyncML).
//!
//! Pure, as the rest of the crate: bytes and values in, bytes and values out. Every message from outside is read by one
//! reader, [`xml`], which bounds size, depth and nodes, and refuses document types. Never here: who may enroll, and what is
//! queued for whom.
//!
//! Start with [`xml`].

pub mod loc_uri;
pub mod redact;
pub mod session;
pub mod syncml;
pub mod xml;

/// What devices call this server's enrollment; it stands in node addresses, so it holds nothing that needs escaping.
pub const PROVIDER_ID: &str = "Rookery";
