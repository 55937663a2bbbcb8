//! What Windows says: MS-MDE2 enrollment (SOAP) and OMA-DM 1.2 management (SyncML).
//!
//! Pure, as the rest of the crate: bytes and values in, bytes and values out. Every message from outside is read by one
//! reader, [`xml`], which bounds size, depth and nodes, and refuses document types. Never here: who may enroll, and what is
//! queued for whom.
//!
//! Enrollment: [`soap`] is the envelope of [`discovery`], [`policy`] and [`enrollment`], in this order; [`provisioning`] is
//! what an enrolled device is told. Management: [`session`] speaks [`syncml`]; [`profile`] is what an administrator wants of a host. Start
//! with [`xml`].

pub mod discovery;
pub mod enrollment;
#[cfg(test)]
pub(crate) mod fixtures;
pub mod loc_uri;
pub mod policy;
pub mod profile;
pub mod provisioning;
pub mod redact;
pub mod session;
pub mod soap;
pub mod syncml;
pub mod token;
pub mod xml;

use crate::pki::base64_text::{Space, decode};

/// What devices call this server's enrollment; it stands in node addresses, so it holds nothing that needs escaping.
pub const PROVIDER_ID: &str = "Rookery";

/// Base64 as devices write it, with white space wherever they like.
fn base64_text(text: &str) -> Option<Vec<u8>> {
    decode(text.as_bytes(), soap::MAX_BYTES, Space::Ignored).ok()
}
