//! What osquery found: the body of `distributed/write`.
//!
//! osquery writes everything as text, and an empty result as `""` instead of an empty list. A query that failed has a status other
//! than 0, as a number or as text, and may be missing among the results.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{AgentError, read, secret, shown};

/// Rows of one query that are looked at.
const MAX_ROWS: usize = 5_000;
/// Characters of a value that are looked at: `mdm_bridge` answers with whole documents.
const MAX_VALUE: usize = 1024 * 1024;

/// A row: values by the names of their columns.
pub type Row = BTreeMap<String, String>;

/// The answers to queries.
#[derive(Clone, PartialEq, Eq)]
pub struct Answers {
    /// The key by which the agent says who it is.
    pub node_key: String,
    rows: BTreeMap<String, Vec<Row>>,
}

#[derive(Deserialize)]
struct Written {
    node_key: String,
    #[serde(default)]
    queries: Map<String, Value>,
    #[serde(default)]
    statuses: Map<String, Value>,
}

/// Reads what osquery found. Only queries whose names have this prefix are kept, and under the rest of their names.
///
/// # Errors
/// It is no such message.
pub fn answers(body: &[u8], prefix: &str) -> Result<Answers, AgentError> {
    let Written { node_key, queries, statuses } = read(body)?;
    let succeeded = |name: &str| statuses.get(name).is_none_or(is_zero);
    let rows = queries
        .into_iter()
        .filter(|(name, _)| succeeded(name))
        .filter_map(|(name, found)| Some((name.strip_prefix(prefix)?.to_owned(), rows(found)?)))
        .collect();
    Ok(Answers { node_key: secret(node_key)?, rows })
}

impl Answers {
    /// The rows of a query; `None` when it was not asked or failed, so that nothing follows from it.
    pub fn of(&self, name: &str) -> Option<&[Row]> {
        self.rows.get(name).map(Vec::as_slice)
    }

    /// Whether no query succeeded.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

/// The rows of a result; `None` where it is none.
fn rows(found: Value) -> Option<Vec<Row>> {
    match found {
        Value::String(text) if text.trim().is_empty() => Some(Vec::new()),
        Value::Null => Some(Vec::new()),
        Value::Array(rows) => Some(rows.into_iter().take(MAX_ROWS).filter_map(row).collect()),
        _ => None,
    }
}

fn row(found: Value) -> Option<Row> {
    let Value::Object(columns) = found else { return None };
    let text = |value: Value| match value {
        Value::String(text) => Some(text),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(is) => Some(is.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    };
    let cut = |value: String| if value.len() > MAX_VALUE { None } else { Some(value) };
    Some(columns.into_iter().filter_map(|(name, value)| Some((name, text(value).and_then(cut)?))).collect())
}

/// A number, or a number as text; what is neither tells of no success.
fn is_zero(status: &Value) -> bool {
    match status {
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.trim() == "0",
        _ => false,
    }
}

/// A value of a row, cut to what people can read; empty where it is missing.
pub(super) fn column(row: &Row, name: &str) -> String {
    row.get(name).map(|value| shown(value)).unwrap_or_default()
}

impl std::fmt::Debug for Answers {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let counts = self.rows.iter().map(|(name, rows)| (name, rows.len()));
        out.debug_map().entries(counts).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Answers {
        answers(text.as_bytes(), "q_").unwrap()
    }

    #[test]
    fn rows_are_texts_whatever_they_were() {
        let read =
            of(r#"{"node_key":"k","queries":{"q_a":[{"x":"1","y":2,"z":true,"n":null,"d":{}},7],"other":[{"x":"1"}]},
            "statuses":{"q_a":0},"messages":{},"stats":{"q_a":{"wall_time_ms":1}}}"#);
        let row = &read.of("a").unwrap()[0];
        assert_eq!(row.iter().map(|(name, value)| format!("{name}{value}")).collect::<String>(), "x1y2ztrue");
        assert_eq!(read.of("a").unwrap().len(), 1, "what is no row is left out");
        assert_eq!(read.of("other"), None, "another prefix");
    }

    #[test]
    fn an_empty_result_is_something_else_than_a_failure() {
        let read = of(r#"{"node_key":"k","queries":{"q_a":"","q_b":[],"q_c":"","q_d":[{"x":"1"}],"q_e":"text"},
            "statuses":{"q_a":"0","q_c":1,"q_d":"1","q_f":1}}"#);
        let found = ["a", "b", "c", "d", "e", "f"].map(|name| read.of(name).map(<[Row]>::len));
        assert_eq!(found, [Some(0), Some(0), None, None, None, None]);
        assert!(!read.is_empty() && of(r#"{"node_key":"k"}"#).is_empty());
        assert!(answers(br#"{"queries":{}}"#, "q_").is_err(), "nobody says so");
    }
}
