//! The one reader of XML property lists that come from outside, and the writer of ours.
//!
//! One pass over the bytes, straight into [`Value`], without recursion: the `plist` crate's own reader has no depth limit
//! and overflows the stack on a 34 KB body, which ends the whole process. The depth limit also bounds the recursion of
//! everything that later walks or drops the value.
//!
//! Never here: binary property lists (153 bytes can become a gigabyte), document type definitions, custom entities,
//! text encodings other than UTF-8, guesses. Error texts name a place and a rule, never the content.
//!
//! Start with [`parse`]; typed access to a parsed dictionary is in [`fields`](super::fields).

pub use ::plist::{Dictionary, Integer, Value};

mod doctype;
mod parser;
mod scalar;

use parser::Parser;
pub use scalar::parse_date;

/// The deepest nesting of arrays and dictionaries that is read.
pub const MAX_DEPTH: usize = 64;

/// The largest number of values (keys not counted) that is read.
pub const MAX_NODES: usize = 100_000;

/// The largest number of attributes on one element; all of them are ignored.
pub const MAX_ATTRIBUTES: usize = 256;

/// Why a body is not a property list that this server reads. The sender has to send something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{fault} at byte {position}")]
pub struct PlistError {
    /// Where in the body the rule was broken, in bytes from its start.
    pub position: u64,
    /// Which rule was broken.
    pub fault: Fault,
}

/// The rules of [`parse`], as they are broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The body is longer than the caller allows (413 rather than 400).
    #[error("the property list is too large")]
    TooLarge,
    /// The body is a binary property list.
    #[error("binary property lists are not accepted")]
    Binary,
    /// The body is not UTF-8 or declares another encoding.
    #[error("the encoding is not UTF-8")]
    Encoding,
    /// The body holds a NUL byte or a reference to one.
    #[error("a NUL character is not allowed")]
    Nul,
    /// The body is not well-formed XML.
    #[error("the XML is not well-formed")]
    Syntax,
    /// The body ends before the property list does.
    #[error("the property list is incomplete")]
    Incomplete,
    /// The document type has an internal subset, stands twice, or is not Apple's.
    #[error("this document type is not accepted")]
    DocType,
    /// An entity other than the five of XML and the numbered characters.
    #[error("this entity is not accepted")]
    Entity,
    /// An element that does not belong where it stands, or an unknown one.
    #[error("an unexpected element")]
    Element,
    /// Text where only elements may stand.
    #[error("text between elements")]
    StrayText,
    /// More than [`MAX_DEPTH`] arrays and dictionaries inside each other.
    #[error("the nesting is too deep")]
    TooDeep,
    /// More than [`MAX_NODES`] values.
    #[error("there are too many values")]
    TooManyNodes,
    /// More than [`MAX_ATTRIBUTES`] attributes on one element.
    #[error("there are too many attributes")]
    TooManyAttributes,
    /// A key that its dictionary already holds.
    #[error("a duplicate key")]
    DuplicateKey,
    /// A key that no value follows.
    #[error("a key without a value")]
    KeyWithoutValue,
    /// A value in a dictionary that no key precedes.
    #[error("a value without a key")]
    ValueWithoutKey,
    /// No value, or more than one, inside the `plist` element.
    #[error("a property list holds exactly one value")]
    NotOneValue,
    /// Something other than comments and white space after the property list.
    #[error("content after the property list")]
    Trailing,
    /// An integer, real, date or data element whose text is not one.
    #[error("a malformed {0}")]
    Scalar(&'static str),
}

/// Reads an XML property list of at most `max_bytes` bytes that may come from an attacker.
///
/// # Errors
/// A [`PlistError`] with the place and the first rule that is broken. See [`Fault`].
pub fn parse(bytes: &[u8], max_bytes: usize) -> Result<Value, PlistError> {
    let mut parser = Parser::new(envelope(bytes, max_bytes)?);
    parser.prologue()?;
    let value = parser.content()?;
    parser.epilogue()?;
    Ok(value)
}

/// Writes `value` as an XML property list in UTF-8.
pub fn to_xml(value: &Value) -> Vec<u8> {
    let mut xml = Vec::with_capacity(1024);
    value.to_writer_xml(&mut xml).expect("a Vec takes every write, and neither the reader nor JSON yields a UID");
    xml
}

/// Refuses what is wrong with the body as a whole, before any of it is read as XML.
fn envelope(bytes: &[u8], max_bytes: usize) -> Result<&str, PlistError> {
    let fail = |position: usize, fault| Err(PlistError { position: position as u64, fault });
    if bytes.len() > max_bytes {
        return fail(max_bytes, Fault::TooLarge);
    }
    if bytes.starts_with(b"bplist") {
        return fail(0, Fault::Binary);
    }
    if bytes.starts_with(&[0xFE, 0xFF]) || bytes.starts_with(&[0xFF, 0xFE]) {
        return fail(0, Fault::Encoding);
    }
    let text = match str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => return fail(error.valid_up_to(), Fault::Encoding),
    };
    match text.find('\0') {
        Some(position) => fail(position, Fault::Nul),
        None => Ok(text),
    }
}

#[cfg(test)]
pub(in crate::apple) mod tests;
