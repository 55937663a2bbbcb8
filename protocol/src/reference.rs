//! References in XML: the five entities that XML itself defines, and characters by number. Documents define none of their own.

use quick_xml::events::BytesRef;

/// The character that a reference stands for; `None` for an entity that XML does not define.
pub(crate) fn character(reference: &BytesRef<'_>) -> Option<char> {
    match reference.as_ref() {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "apos" => Some('\''),
        "quot" => Some('"'),
        _ => reference.resolve_char_ref().ok().flatten(),
    }
}
