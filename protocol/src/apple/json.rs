//! Property lists as JSON, and our own JSON form of commands as property lists.
//!
//! Outwards ([`from_value`]) nothing is dropped: data is Base64 text, a date is RFC 3339 text, integers are exact from
//! -2^63 to 2^64 - 1, and reals that JSON cannot write are the texts `nan`, `inf` and `-inf`.
//!
//! Inwards ([`to_value`]) text stays text. Data is an object with the single key `$data` (Base64), a date an object with
//! the single key `$date` (RFC 3339 in UTC). `null` is refused, because property lists have none.

use ::plist::Date;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Number, Value as Json};

use super::plist::{Dictionary, MAX_DEPTH, PlistError, Value, parse, parse_date};

/// Why a JSON value is not a property list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{fault} at {path}")]
pub struct JsonError {
    /// Where, for example `$.Settings[0].Item`.
    pub path: String,
    /// Which rule was broken.
    pub fault: JsonFault,
}

/// The rules of [`to_value`], as they are broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonFault {
    /// A null.
    #[error("null has no meaning in a property list")]
    Null,
    /// More than [`MAX_DEPTH`] arrays and objects inside each other.
    #[error("the nesting is too deep")]
    TooDeep,
    /// A number that is neither a 64-bit integer nor a 64-bit real.
    #[error("the number is out of range")]
    Number,
    /// A character that XML cannot carry.
    #[error("a control character is not allowed")]
    Control,
    /// `$data` without Base64 text.
    #[error("$data needs Base64 text")]
    Data,
    /// `$date` without a date.
    #[error("$date needs an RFC 3339 date in UTC")]
    Date,
}

/// Reads an XML property list of at most `max_bytes` bytes, as a device sent it, and returns it as JSON.
///
/// # Errors
/// The bytes are not a property list that [`parse`] accepts.
pub fn from_xml(bytes: &[u8], max_bytes: usize) -> Result<Json, PlistError> {
    parse(bytes, max_bytes).map(|value| from_value(&value))
}

/// Returns a property list value as JSON.
pub fn from_value(value: &Value) -> Json {
    match value {
        Value::Array(items) => Json::Array(items.iter().map(from_value).collect()),
        Value::Dictionary(entries) => from_dictionary(entries),
        Value::Boolean(truth) => Json::Bool(*truth),
        Value::Data(bytes) => Json::String(STANDARD.encode(bytes)),
        Value::Date(date) => Json::String(date.to_xml_format()),
        Value::Real(real) => Number::from_f64(*real).map_or_else(|| non_finite(*real), Json::Number),
        Value::Integer(integer) => integer
            .as_signed()
            .map(Json::from)
            .or_else(|| integer.as_unsigned().map(Json::from))
            .unwrap_or_else(|| Json::String(integer.to_string())),
        Value::String(text) => Json::String(text.clone()),
        other => Json::String(format!("{other:?}")),
    }
}

/// Returns the entries of a property list dictionary as a JSON object.
pub fn from_dictionary(entries: &Dictionary) -> Json {
    Json::Object(entries.iter().map(|(key, value)| (key.clone(), from_value(value))).collect())
}

/// Returns a JSON value as a property list value.
///
/// # Errors
/// See [`JsonFault`].
pub fn to_value(json: &Json) -> Result<Value, JsonError> {
    convert(json, 0).map_err(|Failure { fault, mut path }| {
        path.push("$".to_owned());
        path.reverse();
        JsonError { path: path.concat(), fault }
    })
}

/// A fault with the steps of its path so far, the innermost first.
struct Failure {
    fault: JsonFault,
    path: Vec<String>,
}

impl From<JsonFault> for Failure {
    fn from(fault: JsonFault) -> Self {
        Self { fault, path: Vec::new() }
    }
}

impl Failure {
    fn inside(mut self, step: String) -> Self {
        self.path.push(step);
        self
    }
}

fn non_finite(real: f64) -> Json {
    Json::from(if real.is_nan() {
        "nan"
    } else if real.is_sign_positive() {
        "inf"
    } else {
        "-inf"
    })
}

fn convert(json: &Json, depth: usize) -> Result<Value, Failure> {
    match json {
        Json::Null => Err(JsonFault::Null.into()),
        Json::Bool(truth) => Ok(Value::Boolean(*truth)),
        Json::Number(number) => convert_number(number).ok_or_else(|| JsonFault::Number.into()),
        Json::String(text) => convert_text(text).map(Value::String).map_err(Failure::from),
        Json::Array(_) | Json::Object(_) if depth == MAX_DEPTH => Err(JsonFault::TooDeep.into()),
        Json::Array(items) => {
            let convert_item =
                |(index, item)| convert(item, depth + 1).map_err(|failure| failure.inside(format!("[{index}]")));
            items.iter().enumerate().map(convert_item).collect::<Result<_, _>>().map(Value::Array)
        }
        Json::Object(entries) => match tagged(entries)? {
            Some(value) => Ok(value),
            None => convert_entries(entries, depth).map(Value::Dictionary),
        },
    }
}

fn convert_entries(entries: &Map<String, Json>, depth: usize) -> Result<Dictionary, Failure> {
    entries
        .iter()
        .map(|(key, value)| {
            let converted = convert(value, depth + 1).map_err(|failure| failure.inside(format!(".{key}")))?;
            Ok((convert_text(key)?, converted))
        })
        .collect()
}

fn convert_number(number: &Number) -> Option<Value> {
    let integer = number.as_i64().map(Value::from).or_else(|| number.as_u64().map(Value::from));
    integer.or_else(|| number.as_f64().map(Value::Real))
}

fn convert_text(text: &str) -> Result<String, JsonFault> {
    // XML 1.0, production 2 (Char).
    let allowed = |character: char| matches!(character, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..);
    if text.chars().all(allowed) { Ok(text.to_owned()) } else { Err(JsonFault::Control) }
}

/// Reads `{"$data": …}` and `{"$date": …}`.
fn tagged(entries: &Map<String, Json>) -> Result<Option<Value>, JsonFault> {
    let mut iter = entries.iter();
    let (Some((tag, content)), None) = (iter.next(), iter.next()) else { return Ok(None) };
    match tag.as_str() {
        "$data" => {
            let bytes = content.as_str().and_then(|text| STANDARD.decode(text).ok());
            bytes.map(|bytes| Some(Value::Data(bytes))).ok_or(JsonFault::Data)
        }
        "$date" => {
            let date: Option<Date> = content.as_str().and_then(parse_date);
            date.map(|date| Some(Value::Date(date))).ok_or(JsonFault::Date)
        }
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests;
