//! The texts of the elements without children, read as values. `None` means that the text is not one.

use std::borrow::Cow;
use std::time::SystemTime;

use ::plist::{Date, Integer, Value};
use ::time::OffsetDateTime;
use ::time::format_description::well_known::Rfc3339;
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// One kind of element without children.
pub(super) struct Scalar {
    /// The element's name.
    pub(super) name: &'static str,
    /// Reads the element's text.
    pub(super) read: fn(Cow<'_, str>) -> Option<Value>,
}

/// The kind of the element `name`, if it is one of a property list.
pub(super) fn by_name(name: &str) -> Option<&'static Scalar> {
    const SCALARS: [Scalar; 7] = [
        Scalar { name: "string", read: |text| Some(Value::String(text.into_owned())) },
        Scalar { name: "data", read: |text| data(&text).map(Value::Data) },
        Scalar { name: "true", read: |text| boolean(&text, true) },
        Scalar { name: "false", read: |text| boolean(&text, false) },
        Scalar { name: "integer", read: |text| integer(&text).map(Value::Integer) },
        Scalar { name: "real", read: |text| text.trim().parse().ok().map(Value::Real) },
        Scalar { name: "date", read: |text| parse_date(text.trim()).map(Value::Date) },
    ];
    SCALARS.iter().find(|scalar| scalar.name == name)
}

/// Reads a date as property lists write it: RFC 3339 in UTC, years 0000 to 9999.
///
/// Other offsets are refused, because the plist crate panics when one moves a date out of the years it can write.
pub fn parse_date(text: &str) -> Option<Date> {
    let moment = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    moment.offset().is_utc().then(|| Date::from(SystemTime::from(moment)))
}

fn boolean(text: &str, value: bool) -> Option<Value> {
    text.trim().is_empty().then_some(Value::Boolean(value))
}

/// Reads a signed or unsigned integer of 64 bits, decimal or hexadecimal after `0x`.
fn integer(text: &str) -> Option<Integer> {
    let text = text.trim();
    let negative = text.starts_with('-');
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (digits, radix) = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(hexadecimal) => (hexadecimal, 16),
        None => (digits, 10),
    };
    // from_str_radix would take a second sign.
    if digits.starts_with(['-', '+']) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, radix).ok()?;
    if negative { 0_i64.checked_sub_unsigned(magnitude).map(Integer::from) } else { Some(Integer::from(magnitude)) }
}

/// Reads Base64 with white space anywhere, fastest when it stands at the ends of lines, as Apple writes it.
fn data(text: &str) -> Option<Vec<u8>> {
    let mut packed = String::with_capacity(text.len());
    packed.extend(text.lines().map(str::trim_ascii));
    BASE64.decode(&packed).ok().or_else(|| {
        packed.retain(|character| !character.is_ascii_whitespace());
        BASE64.decode(&packed).ok()
    })
}
