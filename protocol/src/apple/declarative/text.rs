//! The document that a device gets of a declaration that an admin wrote.

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;

use super::status::check_bounds;
use crate::variables::MAX_RENDERED_BYTES;

/// A text is not a declaration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the text is not a JSON object of bounded size and depth")]
pub struct NotADeclaration;

/// The text of a declaration with this server token in it, and everything else as it was written. Its size is at most
/// [`MAX_RENDERED_BYTES`].
///
/// # Errors
/// [`NotADeclaration`].
pub fn document(text: &str, server_token: &str) -> Result<Vec<u8>, NotADeclaration> {
    check_bounds(text.as_bytes(), MAX_RENDERED_BYTES).map_err(|_| NotADeclaration)?;
    let mut entries: BTreeMap<String, Box<RawValue>> = serde_json::from_str(text).map_err(|_| NotADeclaration)?;
    let token = RawValue::from_string(Value::from(server_token).to_string()).map_err(|_| NotADeclaration)?;
    entries.insert("ServerToken".to_owned(), token);
    serde_json::to_vec(&entries).map_err(|_| NotADeclaration)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_document_is_the_text_with_the_servers_token() {
        let text = r#"{"Type":"com.apple.activation.simple", "Identifier":"a", "ServerToken":"theirs",
            "Payload":{"StandardConfigurations":["x"],"Predicate":"1 == 1","Big":123456789012345678901234567890}}"#;
        let document = String::from_utf8(document(text, "ours\"").unwrap()).unwrap();
        assert!(document.contains("123456789012345678901234567890"), "numbers stay as they were: {document}");
        let mut expected: Value = serde_json::from_str(text).unwrap();
        expected["ServerToken"] = json!("ours\"");
        assert_eq!(serde_json::from_str::<Value>(&document).unwrap(), expected);
    }

    #[test]
    fn what_is_no_object_is_refused() {
        let deep = format!(r#"{{"Payload":{}{}}}"#, "[".repeat(200), "]".repeat(200));
        for text in ["", "[]", "1", "{", &deep] {
            assert_eq!(document(text, "token"), Err(NotADeclaration), "{text}");
        }
    }
}
