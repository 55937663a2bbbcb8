//! JSON that admins write, read into a value: bounded while it is read, and with each key once.
//!
//! `serde_json` alone keeps the last of two equal keys, and so an admin would see one setting and devices get another.
//! Start with [`parse`].

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::plist::{MAX_DEPTH, MAX_NODES};

/// Why a text is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StrictJsonError {
    /// Longer than the caller allows.
    #[error("the JSON is larger than {0} bytes")]
    TooLarge(usize),
    /// Not JSON: where it stops to be, counted from 1.
    #[error("not JSON at line {line}, column {column}")]
    Syntax {
        /// The line.
        line: usize,
        /// The column.
        column: usize,
    },
    /// A rule of this reader.
    #[error("{fault} at {path}")]
    Rule {
        /// Where, for example `$.Payload.Items[2]`.
        path: String,
        /// Which.
        fault: StrictJsonFault,
    },
}

/// The rules beside those of JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StrictJsonFault {
    /// More than [`MAX_DEPTH`] arrays and objects inside each other.
    #[error("the nesting is too deep")]
    TooDeep,
    /// More than [`MAX_NODES`] values.
    #[error("there are too many values")]
    TooManyNodes,
    /// A key that its object already has.
    #[error("a duplicate key")]
    DuplicateKey,
    /// A NUL character, which no database keeps.
    #[error("a NUL character")]
    Nul,
}

/// Reads a JSON text of at most `max_bytes` bytes that somebody wrote.
///
/// # Errors
/// See [`StrictJsonError`].
pub fn parse(bytes: &[u8], max_bytes: usize) -> Result<Value, StrictJsonError> {
    if bytes.len() > max_bytes {
        return Err(StrictJsonError::TooLarge(max_bytes));
    }
    let mut state = State::default();
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let read = Node(&mut state).deserialize(&mut reader);
    read.and_then(|value| reader.end().map(|()| value)).map_err(|error| match state.fault {
        Some(fault) => StrictJsonError::Rule { path: state.path(), fault },
        None => StrictJsonError::Syntax { line: error.line(), column: error.column() },
    })
}

/// What is known while reading: how many values, where, and what was wrong.
#[derive(Default)]
struct State {
    nodes: usize,
    place: Vec<Step>,
    fault: Option<StrictJsonFault>,
}

enum Step {
    Key(String),
    Index(usize),
}

/// The next value of the text, to be read. The steps of the place lead to it.
struct Node<'a>(&'a mut State);

impl State {
    fn refuse<E: Error>(&mut self, fault: StrictJsonFault) -> E {
        self.fault.get_or_insert(fault);
        E::custom(fault)
    }

    fn checked<E: Error>(&mut self, text: String) -> Result<String, E> {
        if text.contains('\0') { Err(self.refuse(StrictJsonFault::Nul)) } else { Ok(text) }
    }

    fn enter<E: Error>(&mut self, first: Step) -> Result<(), E> {
        if self.place.len() == MAX_DEPTH {
            return Err(self.refuse(StrictJsonFault::TooDeep));
        }
        self.place.push(first);
        Ok(())
    }

    fn step(&mut self, next: Step) {
        if let Some(last) = self.place.last_mut() {
            *last = next;
        }
    }

    /// The place, each key cut to what the reader of an error wants to see.
    fn path(&self) -> String {
        let step = |step: &Step| match step {
            Step::Key(key) => format!(".{}", key.chars().filter(|one| !one.is_control()).take(64).collect::<String>()),
            Step::Index(index) => format!("[{index}]"),
        };
        std::iter::once("$".to_owned()).chain(self.place.iter().map(step)).collect()
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        self.0.nodes += 1;
        if self.0.nodes > MAX_NODES {
            return Err(self.0.refuse(StrictJsonFault::TooManyNodes));
        }
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, truth: bool) -> Result<Value, E> {
        Ok(Value::Bool(truth))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        self.0.checked(text.to_owned()).map(Value::String)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut read = Vec::new();
        self.0.enter(Step::Index(0))?;
        while let Some(item) = items.next_element_seed(Node(&mut *self.0))? {
            read.push(item);
            self.0.step(Step::Index(read.len()));
        }
        self.0.place.pop();
        Ok(Value::Array(read))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut read = Map::new();
        self.0.enter(Step::Key(String::new()))?;
        while let Some(key) = entries.next_key::<String>()? {
            self.0.step(Step::Key(key.clone()));
            let key = self.0.checked(key)?;
            if read.contains_key(&key) {
                return Err(self.0.refuse(StrictJsonFault::DuplicateKey));
            }
            let value = entries.next_value_seed(Node(&mut *self.0))?;
            read.insert(key, value);
        }
        self.0.place.pop();
        Ok(Value::Object(read))
    }
}

#[cfg(test)]
mod tests;
