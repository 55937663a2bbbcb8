//! A list in a settings file, or a text with commas, as people write it into the environment.

use std::fmt::Display;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// Reads either.
pub(super) fn listed<'de, D, T>(value: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr,
    T::Err: Display,
{
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        List(Vec<String>),
        Text(String),
    }
    let written = Written::deserialize(value).map_err(|_| D::Error::custom("must be a list, or a text with commas"))?;
    let read = |part: &str| part.trim().parse().map_err(|fault| D::Error::custom(format!("{part:?}: {fault}")));
    match written {
        Written::List(parts) => parts.iter().map(|part| read(part)).collect(),
        Written::Text(text) => text.split(',').filter(|part| !part.trim().is_empty()).map(read).collect(),
    }
}
