//! What is left of a document once its secrets are hidden. What a secret is, each platform knows.

/// What stands in place of a secret.
pub const HIDDEN: &str = "[hidden]";

/// What is left of a document without its secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Redacted {
    /// All of it: there is no secret in it.
    Same,
    /// The document with each secret replaced.
    Other(Vec<u8>),
}
