//! SAML 2.0 as a service provider speaks it: the request that a browser carries to the identity provider, the response that it brings
//! back, and the provider's metadata. Feature `saml`.
//!
//! What is believed is read from the bytes that were signed, and from nothing else: a response is read strictly (`tree`), the one
//! signature that covers its one assertion is found and its algorithms are compared with a short list before anything is computed
//! (`signature`), the signed element is written in its canonical form (`canonical`), and when the digest and the signature of those
//! bytes hold, they are read anew. A mistake in the canonical form therefore refuses a good response, and never accepts a bad one.
//!
//! Never here: a clock, a list of requests that are under way, whether an assertion was seen before. Whoever calls keeps these.
//! Sources: SAML 2.0 Core, Bindings, Profiles and Metadata (OASIS), XML Signature, Exclusive XML Canonicalization (W3C).
//!
//! Start with [`request::Request`], then [`response::verify`].

mod canonical;
pub mod metadata;
pub mod request;
pub mod response;
mod signature;
mod tree;

/// The namespace of the protocol's messages.
const PROTOCOL: &str = "urn:oasis:names:tc:SAML:2.0:protocol";
/// The namespace of assertions.
const ASSERTION: &str = "urn:oasis:names:tc:SAML:2.0:assertion";
/// The namespace of metadata.
const METADATA: &str = "urn:oasis:names:tc:SAML:2.0:metadata";
/// The namespace of signatures.
const SIGNATURE: &str = "http://www.w3.org/2000/09/xmldsig#";
/// Exclusive canonicalization without comments: an algorithm, and the namespace of its parameters.
const EXCLUSIVE: &str = "http://www.w3.org/2001/10/xml-exc-c14n#";
/// The binding by which responses come.
const POST: &str = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST";
/// The binding by which requests go.
const REDIRECT: &str = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect";

/// Why something of a provider's is refused. For the log: it shows nothing of what came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SamlFault(pub &'static str);

/// The result of reading something of a provider's.
pub type Read<T> = Result<T, SamlFault>;

/// `Ok` where something holds.
fn demand(holds: bool, fault: &'static str) -> Read<()> {
    if holds { Ok(()) } else { Err(SamlFault(fault)) }
}

/// The DER of a certificate or the octets of a value in Base64, with white space as XML allows it.
fn base64(text: &str) -> Option<Vec<u8>> {
    use base64::Engine;
    let packed: String = text.chars().filter(|letter| !letter.is_ascii_whitespace()).collect();
    base64::engine::general_purpose::STANDARD.decode(packed).ok()
}

#[cfg(test)]
mod tests;
