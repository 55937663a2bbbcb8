//! The arguments of Apple's command types as one table: the type of each key, whether it is required, and the values that
//! it may have where they are few. Source: Apple's published schema (iOS 18.1, macOS 15.1).
//!
//! Types and keys that are not in the table are let through: Apple adds some every year. What is in the table must be as it
//! says: a device would answer with an error that nobody understands, hours later. Errors name keys of the table and list
//! positions, never what somebody sent. The walk is as deep as the table, not as the document.
//!
//! Start with [`check`].

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::plist::{Dictionary, Value};

mod applications;
mod device;
mod information;
mod profiles;
mod settings;

/// The arguments of one command type.
#[derive(Clone, Copy)]
struct Arguments {
    request_type: &'static str,
    keys: &'static [Key],
    /// At least one of these keys must be there; empty where nothing is asked.
    one_of: &'static [&'static str],
}

/// One key of a dictionary.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// Whether it must be there.
    pub required: bool,
    /// What its value must be.
    pub kind: Kind,
}

/// What a value must be. Apple gives no command a date.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A string.
    Text,
    /// One of these strings.
    OneOf(&'static [&'static str]),
    /// A string of so many ASCII digits.
    Digits(usize),
    /// True or false.
    Boolean,
    /// An integer of 64 bits.
    Integer,
    /// One of these integers.
    NumberOf(&'static [i64]),
    /// Data.
    Data,
    /// An array of such values.
    List(&'static Kind),
    /// A dictionary with these keys, and others.
    Dictionary(&'static [Key]),
    /// A dictionary whose `Item` says which keys it has; with an `Item` that is not here it may have any.
    Items(&'static [(&'static str, &'static [Key])]),
}

/// What is wrong with an argument. The text names the key and what was expected.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ArgumentError {
    /// A required key is absent.
    #[error("{path} is missing: it must be {expected}")]
    Missing {
        /// Where, for example `Command.Settings[0].Enabled`.
        path: String,
        /// What it must be.
        expected: Kind,
    },
    /// A value is not what it must be.
    #[error("{path} must be {expected}")]
    Wrong {
        /// Where.
        path: String,
        /// What it must be.
        expected: Kind,
    },
    /// None of several keys is there.
    #[error("Command needs {}", .0.join(" or "))]
    NoneOf(&'static [&'static str]),
}

/// Every type of the table. The order is that of the files: look one up with `of`.
fn table() -> impl Iterator<Item = &'static Arguments> {
    [applications::TABLE, device::TABLE, information::TABLE, profiles::TABLE, settings::TABLE].into_iter().flatten()
}

/// The arguments of a command type, if it is in the table.
fn of(request_type: &str) -> Option<&'static Arguments> {
    table().find(|arguments| arguments.request_type == request_type)
}

/// Checks the entries of a document's `Command` against the table.
///
/// # Errors
/// The first thing that is wrong. A type that is not in the table has nothing wrong.
pub fn check(request_type: &str, entries: &Dictionary) -> Result<(), ArgumentError> {
    let Some(arguments) = of(request_type) else { return Ok(()) };
    check_keys(arguments.keys, entries, &Path::Root)?;
    let none = !arguments.one_of.iter().any(|key| entries.contains_key(key));
    if none && !arguments.one_of.is_empty() { Err(ArgumentError::NoneOf(arguments.one_of)) } else { Ok(()) }
}

/// Reads Base64 text as the data that it stands for, where the table says that a key is data. Anything else stays, for
/// [`check`] to judge.
pub fn read_base64(request_type: &str, entries: &mut Dictionary) {
    if let Some(arguments) = of(request_type) {
        read_base64_of(arguments.keys, entries);
    }
}

/// A place in a document; it is written out only for an error.
enum Path<'a> {
    Root,
    Key(&'a Path<'a>, &'static str),
    Item(&'a Path<'a>, usize),
}

fn check_keys(keys: &'static [Key], entries: &Dictionary, path: &Path<'_>) -> Result<(), ArgumentError> {
    for key in keys {
        let here = Path::Key(path, key.name);
        match entries.get(key.name) {
            Some(value) => check_value(key.kind, value, &here)?,
            None if key.required => {
                return Err(ArgumentError::Missing { path: here.to_string(), expected: key.kind });
            }
            None => {}
        }
    }
    Ok(())
}

fn check_value(kind: Kind, value: &Value, path: &Path<'_>) -> Result<(), ArgumentError> {
    let right = match (kind, value) {
        (Kind::Text, Value::String(_))
        | (Kind::Boolean, Value::Boolean(_))
        | (Kind::Integer, Value::Integer(_))
        | (Kind::Data, Value::Data(_)) => true,
        (Kind::OneOf(allowed), Value::String(text)) => allowed.contains(&text.as_str()),
        (Kind::Digits(count), Value::String(text)) => {
            text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit())
        }
        (Kind::NumberOf(allowed), Value::Integer(integer)) => {
            integer.as_signed().is_some_and(|number| allowed.contains(&number))
        }
        (Kind::List(item), Value::Array(values)) => {
            for (index, value) in values.iter().enumerate() {
                check_value(*item, value, &Path::Item(path, index))?;
            }
            true
        }
        (Kind::Dictionary(keys), Value::Dictionary(entries)) => return check_keys(keys, entries, path),
        (Kind::Items(items), Value::Dictionary(entries)) => return check_item(items, entries, path),
        _ => false,
    };
    if right { Ok(()) } else { Err(ArgumentError::Wrong { path: path.to_string(), expected: kind }) }
}

/// The key that says what a dictionary of several kinds is.
const ITEM: Key = Key { name: "Item", required: true, kind: Kind::Text };

fn check_item(
    items: &'static [(&'static str, &'static [Key])],
    entries: &Dictionary,
    path: &Path<'_>,
) -> Result<(), ArgumentError> {
    check_keys(&[ITEM], entries, path)?;
    item_keys(items, entries).map_or(Ok(()), |keys| check_keys(keys, entries, path))
}

fn item_keys(items: &'static [(&'static str, &'static [Key])], entries: &Dictionary) -> Option<&'static [Key]> {
    let item = entries.get(ITEM.name).and_then(Value::as_string)?;
    items.iter().find(|(name, _)| *name == item).map(|(_, keys)| *keys)
}

fn read_base64_of(keys: &'static [Key], entries: &mut Dictionary) {
    for key in keys {
        if let Some(value) = entries.get_mut(key.name) {
            read_base64_in(key.kind, value);
        }
    }
}

fn read_base64_in(kind: Kind, value: &mut Value) {
    match (kind, &mut *value) {
        (Kind::Data, Value::String(text)) => {
            if let Ok(bytes) = STANDARD.decode(text.as_bytes()) {
                *value = Value::Data(bytes);
            }
        }
        (Kind::List(item), Value::Array(values)) => values.iter_mut().for_each(|one| read_base64_in(*item, one)),
        (Kind::Dictionary(keys), Value::Dictionary(entries)) => read_base64_of(keys, entries),
        (Kind::Items(items), Value::Dictionary(entries)) => {
            if let Some(keys) = item_keys(items, entries) {
                read_base64_of(keys, entries);
            }
        }
        _ => {}
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => out.write_str("Command"),
            Self::Key(parent, name) => write!(out, "{parent}.{name}"),
            Self::Item(parent, index) => write!(out, "{parent}[{index}]"),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text => out.write_str("a string"),
            Self::OneOf(allowed) => write!(out, "one of {}", allowed.join(", ")),
            Self::Digits(count) => write!(out, "a string of {count} digits"),
            Self::Boolean => out.write_str("true or false"),
            Self::Integer => out.write_str("an integer"),
            Self::NumberOf(allowed) => {
                let allowed: Vec<String> = allowed.iter().map(i64::to_string).collect();
                write!(out, "one of the integers {}", allowed.join(", "))
            }
            Self::Data => out.write_str("data (in JSON: Base64 text)"),
            Self::List(_) => out.write_str("an array"),
            Self::Dictionary(_) | Self::Items(_) => out.write_str("a dictionary"),
        }
    }
}

/// The arguments of a type that asks for none of several keys.
const fn row(request_type: &'static str, keys: &'static [Key]) -> Arguments {
    Arguments { request_type, keys, one_of: &[] }
}

/// The arguments of a type that needs at least one of several keys.
const fn row_with_one_of(
    request_type: &'static str,
    keys: &'static [Key],
    one_of: &'static [&'static str],
) -> Arguments {
    Arguments { request_type, keys, one_of }
}

/// A key that must be there.
const fn required(name: &'static str, kind: Kind) -> Key {
    Key { name, required: true, kind }
}

/// A key that may be there.
const fn optional(name: &'static str, kind: Kind) -> Key {
    Key { name, required: false, kind }
}

const TEXTS: Kind = Kind::List(&Kind::Text);
const ANY_DICTIONARY: Kind = Kind::Dictionary(&[]);

#[cfg(test)]
mod tests;
