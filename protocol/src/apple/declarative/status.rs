//! What a device reports of itself: one report, and the whole status that reports add up to.
//!
//! A report says what changed, or, about once a day, everything. Whatever it says is kept, also what nobody here knows;
//! [`states`](super::states) and [`vitals`](super::vitals) read what is known.
//!
//! Start with [`StatusReport::parse`] and [`Status::merge`] (Apple, "StatusReport").

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::apple::plist::{MAX_DEPTH, MAX_NODES};

/// Status items whose value is one object: a report of one replaces it, and an entry that it lacks is gone.
const WHOLE: &[&str] = &[
    "management.client-capabilities",
    "management.declarations",
    "softwareupdate.failure-reason",
    "softwareupdate.install-reason",
    "softwareupdate.pending-version",
    "test.dictionary-value",
];

/// One report, checked.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct StatusReport {
    /// The report is the whole status and replaces what is known, rather than adding to it.
    #[serde(default, rename = "FullReport")]
    pub full: bool,
    /// The status items, nested by the dots of their names.
    #[serde(rename = "StatusItems")]
    pub items: Map<String, Value>,
    /// The status items that the device could not report.
    #[serde(default)]
    pub errors: Vec<StatusItemError>,
}

/// Everything that a device has reported, as far as it still holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Status {
    #[serde(rename = "StatusItems")]
    items: Map<String, Value>,
    #[serde(default)]
    errors: Vec<StatusItemError>,
}

/// A status item that the device could not report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct StatusItemError {
    /// The item's name, for example `device.model.family`.
    pub status_item: String,
    /// Why it could not be reported.
    #[serde(default)]
    pub reasons: Vec<StatusReason>,
}

/// One reason of a [`StatusItemError`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct StatusReason {
    /// The error code.
    pub code: String,
    /// Its description in English.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What the device adds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Value>,
}

/// Why a body is not a status report. The answer is 400; a 500 would make the device repeat it for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StatusError {
    /// The body is longer than the caller allows (413 rather than 400).
    #[error("the status report is too large")]
    TooLarge,
    /// More than [`MAX_DEPTH`] arrays and objects inside each other.
    #[error("the nesting of the status report is too deep")]
    TooDeep,
    /// More than [`MAX_NODES`] values.
    #[error("the status report has too many values")]
    TooManyNodes,
    /// A text with the character NUL, which no database keeps.
    #[error("the status report holds a NUL character")]
    Nul,
    /// Not JSON, or not of the documented shape.
    #[error("the status report is malformed")]
    Malformed,
}

impl StatusReport {
    /// Reads the status report of at most `max_bytes` bytes that a device sent.
    ///
    /// # Errors
    /// See [`StatusError`].
    pub fn parse(bytes: &[u8], max_bytes: usize) -> Result<Self, StatusError> {
        check_bounds(bytes, max_bytes)?;
        serde_json::from_slice(bytes).map_err(|_| StatusError::Malformed)
    }
}

impl Status {
    /// Reads a status that [`Status::to_json`] wrote.
    ///
    /// # Errors
    /// See [`StatusError`].
    pub fn parse(bytes: &[u8], max_bytes: usize) -> Result<Self, StatusError> {
        check_bounds(bytes, max_bytes)?;
        serde_json::from_slice(bytes).map_err(|_| StatusError::Malformed)
    }

    /// The status in the shape of a report.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default() // values with texts as keys always are JSON
    }

    /// The value of a status item, for example `device.model.family`.
    pub fn item(&self, name: &str) -> Option<&Value> {
        look_up(&self.items, name)
    }

    /// The items that could not be reported, by name, with the reasons that were given last.
    pub fn errors(&self) -> &[StatusItemError] {
        &self.errors
    }

    /// What is known after this report. One that says everything replaces what was known. Otherwise objects are merged
    /// entry by entry, and lists of things with identifiers thing by thing: `_removed` takes one away. Whatever else is
    /// reported replaces what was there.
    ///
    /// Where that would be more than `max_bytes` bytes or [`MAX_NODES`] values, the report alone is known from now on; the
    /// next whole one repairs it.
    #[must_use]
    pub fn merge(self, report: StatusReport, max_bytes: usize) -> Self {
        let alone = Self::default().add(report.clone());
        if report.full {
            return alone;
        }
        let merged = self.add(report);
        if check_bounds(&merged.to_json(), max_bytes).is_ok() { merged } else { alone }
    }

    fn add(mut self, report: StatusReport) -> Self {
        let said = |name: &str| {
            look_up(&report.items, name).is_some() || report.errors.iter().any(|error| error.status_item == name)
        };
        self.errors.retain(|known| !said(&known.status_item));
        merge_objects(&mut self.items, report.items, &mut String::new());
        self.errors.extend(report.errors);
        self.errors.sort_by(|one, other| one.status_item.cmp(&other.status_item));
        self.errors.dedup_by(|one, other| one.status_item == other.status_item);
        self
    }
}

fn look_up<'a>(items: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    let (first, rest) = name.split_once('.').unwrap_or((name, ""));
    let below = rest.split('.').filter(|key| !key.is_empty());
    below.fold(items.get(first), |value, key| value?.get(key))
}

/// Merges what was reported below `path` into what is known there.
fn merge_objects(known: &mut Map<String, Value>, reported: Map<String, Value>, path: &mut String) {
    for (key, value) in reported {
        let parent = path.len();
        if parent > 0 {
            path.push('.');
        }
        path.push_str(&key);
        match value {
            Value::Object(new) if !WHOLE.contains(&path.as_str()) => {
                let place = known.entry(key).or_insert_with(|| Value::Object(Map::new()));
                if !place.is_object() {
                    *place = Value::Object(Map::new());
                }
                if let Value::Object(place) = place {
                    merge_objects(place, new, path);
                }
            }
            Value::Array(new) if is_keyed(&new) => {
                let place = known.entry(key).or_insert_with(|| Value::Array(Vec::new()));
                if !place.as_array().is_some_and(|known| is_keyed(known)) {
                    *place = Value::Array(Vec::new());
                }
                if let Value::Array(place) = place {
                    merge_lists(place, new);
                }
            }
            value => drop(known.insert(key, value)),
        }
        path.truncate(parent);
    }
}

/// Merges a list of what changed into the list that is known. Both hold things with identifiers.
fn merge_lists(known: &mut Vec<Value>, reported: Vec<Value>) {
    let mut places: HashMap<String, usize> =
        known.iter().enumerate().filter_map(|(place, one)| Some((identifier(one)?.to_owned(), place))).collect();
    for one in reported {
        match identifier(&one).and_then(|name| places.get(name)) {
            Some(place) => known[*place] = one,
            None => {
                identifier(&one).map(|name| places.insert(name.to_owned(), known.len()));
                known.push(one);
            }
        }
    }
    known.retain(|one| !is_removed(one));
}

fn is_keyed(list: &[Value]) -> bool {
    list.iter().all(|one| identifier(one).is_some())
}

fn identifier(one: &Value) -> Option<&str> {
    one.as_object()?.get("identifier")?.as_str()
}

fn is_removed(one: &Value) -> bool {
    one.get("_removed").and_then(Value::as_bool).unwrap_or_default()
}

/// Bounds a JSON text before anything is built from it: its size, its depth, and how many values it can hold.
pub(super) fn check_bounds(bytes: &[u8], max_bytes: usize) -> Result<(), StatusError> {
    if bytes.len() > max_bytes {
        return Err(StatusError::TooLarge);
    }
    let (mut depth, mut nodes, mut in_string) = (0_usize, 0_usize, false);
    let mut rest = bytes.iter();
    while let Some(byte) = rest.next() {
        match byte {
            b'"' => in_string = !in_string,
            b'\\' if in_string => {
                if rest.as_slice().starts_with(b"u0000") {
                    return Err(StatusError::Nul);
                }
                rest.next();
            }
            _ if in_string => {}
            b'{' | b'[' => {
                depth += 1;
                nodes += 1;
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b',' => nodes += 1,
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Err(StatusError::TooDeep);
        }
        if nodes > MAX_NODES {
            return Err(StatusError::TooManyNodes);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
