//! Typed access to the entries of a property list dictionary, with errors that name the key and never the value.
//!
//! Start with [`Fields`].

use super::plist::{Dictionary, Value};

/// The longest identifier that is accepted, in characters. Apple's are far shorter.
pub const MAX_ID_CHARS: usize = 255;

/// Why an entry cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// The property list is not a dictionary.
    #[error("the property list is not a dictionary")]
    NotADictionary,
    /// A required entry is absent (or empty, where empty means nothing).
    #[error("{0} is missing")]
    Missing(&'static str),
    /// The entry is not of the documented type.
    #[error("{key} is not a {expected}")]
    WrongType {
        /// The entry.
        key: &'static str,
        /// Its documented type, as the name of its property list element.
        expected: &'static str,
    },
    /// The entry is longer than this server accepts.
    #[error("{key} is longer than {max}")]
    TooLong {
        /// The entry.
        key: &'static str,
        /// The longest accepted, in characters for text and in bytes for data.
        max: usize,
    },
    /// The entry holds a character that does not belong into it.
    #[error("{0} holds a character that is not allowed")]
    BadCharacter(&'static str),
}

/// The entries of one dictionary. `None` is "absent"; an entry of another type is an error, never "absent".
#[derive(Clone, Copy)]
pub struct Fields<'a>(&'a Dictionary);

impl<'a> Fields<'a> {
    /// The entries of `dictionary`.
    pub const fn new(dictionary: &'a Dictionary) -> Self {
        Self(dictionary)
    }

    /// The text of `key`.
    ///
    /// # Errors
    /// The entry is not a string.
    pub fn string(self, key: &'static str) -> Result<Option<&'a str>, FieldError> {
        self.typed(key, "string", Value::as_string)
    }

    /// The text of `key`.
    ///
    /// # Errors
    /// The entry is absent, empty, or not a string.
    pub fn required_string(self, key: &'static str) -> Result<&'a str, FieldError> {
        self.string(key)?.filter(|text| !text.is_empty()).ok_or(FieldError::Missing(key))
    }

    /// The text of `key` as an owned value, `None` when absent or empty.
    ///
    /// # Errors
    /// The entry is not a string.
    pub fn owned_string(self, key: &'static str) -> Result<Option<String>, FieldError> {
        Ok(self.string(key)?.filter(|text| !text.is_empty()).map(str::to_owned))
    }

    /// A text that is only shown, such as a name that a user chose: at most [`MAX_ID_CHARS`] characters of it, and no
    /// control characters. `None` when nothing is left.
    ///
    /// # Errors
    /// The entry is not a string.
    pub fn label(self, key: &'static str) -> Result<Option<String>, FieldError> {
        let shown = |text: &str| text.chars().filter(|one| !one.is_control()).take(MAX_ID_CHARS).collect::<String>();
        Ok(self.string(key)?.map(shown).filter(|text| !text.is_empty()))
    }

    /// An identifier: 1 to [`MAX_ID_CHARS`] characters without control characters. `None` when absent or empty.
    ///
    /// # Errors
    /// The entry is not a string, too long, or holds a control character.
    pub fn id(self, key: &'static str) -> Result<Option<&'a str>, FieldError> {
        let Some(text) = self.string(key)?.filter(|text| !text.is_empty()) else { return Ok(None) };
        if text.chars().nth(MAX_ID_CHARS).is_some() {
            return Err(FieldError::TooLong { key, max: MAX_ID_CHARS });
        }
        if text.contains(char::is_control) {
            return Err(FieldError::BadCharacter(key));
        }
        Ok(Some(text))
    }

    /// The bytes of `key`.
    ///
    /// # Errors
    /// The entry is not data.
    pub fn data(self, key: &'static str) -> Result<Option<&'a [u8]>, FieldError> {
        self.typed(key, "data", Value::as_data)
    }

    /// The bytes of `key`.
    ///
    /// # Errors
    /// The entry is absent, empty, or not data.
    pub fn required_data(self, key: &'static str) -> Result<&'a [u8], FieldError> {
        self.data(key)?.filter(|data| !data.is_empty()).ok_or(FieldError::Missing(key))
    }

    /// The truth value of `key`.
    ///
    /// # Errors
    /// The entry is neither true nor false.
    pub fn boolean(self, key: &'static str) -> Result<Option<bool>, FieldError> {
        self.typed(key, "boolean", Value::as_boolean)
    }

    /// The integer of `key`.
    ///
    /// # Errors
    /// The entry is not an integer between -2^63 and 2^63 - 1.
    pub fn integer(self, key: &'static str) -> Result<Option<i64>, FieldError> {
        self.typed(key, "integer", Value::as_signed_integer)
    }

    /// The values in `key`.
    ///
    /// # Errors
    /// The entry is not an array.
    pub fn array(self, key: &'static str) -> Result<Option<&'a [Value]>, FieldError> {
        self.typed(key, "array", |value| value.as_array().map(Vec::as_slice))
    }

    /// The entries in `key`.
    ///
    /// # Errors
    /// The entry is not a dictionary.
    pub fn dictionary(self, key: &'static str) -> Result<Option<Fields<'a>>, FieldError> {
        self.typed(key, "dict", |value| value.as_dictionary().map(Fields))
    }

    fn typed<T>(
        self,
        key: &'static str,
        expected: &'static str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, FieldError> {
        self.0.get(key).map(|value| read(value).ok_or(FieldError::WrongType { key, expected })).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dictionary(key: &str, value: impl Into<Value>) -> Dictionary {
        Dictionary::from_iter([(key.to_owned(), value.into())])
    }

    #[test]
    fn an_absent_entry_is_none_and_a_wrong_type_is_an_error() {
        let entries = dictionary("Token", "text");
        let fields = Fields::new(&entries);
        assert_eq!(fields.data("Absent"), Ok(None));
        assert_eq!(fields.required_data("Absent"), Err(FieldError::Missing("Absent")));
        assert_eq!(fields.data("Token"), Err(FieldError::WrongType { key: "Token", expected: "data" }));
        assert_eq!(fields.required_string("Token"), Ok("text"));
    }

    #[test]
    fn an_empty_required_entry_counts_as_missing() {
        assert_eq!(Fields::new(&dictionary("Topic", "")).required_string("Topic"), Err(FieldError::Missing("Topic")));
        let empty = dictionary("Token", Value::Data(Vec::new()));
        assert_eq!(Fields::new(&empty).required_data("Token"), Err(FieldError::Missing("Token")));
    }

    #[test]
    fn an_identifier_is_bounded_in_characters_and_free_of_controls() {
        let longest = "ü".repeat(MAX_ID_CHARS);
        assert_eq!(Fields::new(&dictionary("UDID", longest.clone())).id("UDID"), Ok(Some(longest.as_str())));
        let too_long = dictionary("UDID", "ü".repeat(MAX_ID_CHARS + 1));
        assert_eq!(Fields::new(&too_long).id("UDID"), Err(FieldError::TooLong { key: "UDID", max: MAX_ID_CHARS }));
        let bell = dictionary("UDID", "A\u{7}");
        assert_eq!(Fields::new(&bell).id("UDID"), Err(FieldError::BadCharacter("UDID")));
    }

    #[test]
    fn a_label_is_cut_and_cleaned_but_never_refused() {
        let long = format!("\u{7}{}", "ü".repeat(MAX_ID_CHARS + 1));
        assert_eq!(Fields::new(&dictionary("Name", long)).label("Name"), Ok(Some("ü".repeat(MAX_ID_CHARS))));
        assert_eq!(Fields::new(&dictionary("Name", "\n")).label("Name"), Ok(None));
    }

    #[test]
    fn integers_beyond_the_signed_range_are_refused_not_wrapped() {
        let beyond = FieldError::WrongType { key: "N", expected: "integer" };
        assert_eq!(Fields::new(&dictionary("N", u64::MAX)).integer("N"), Err(beyond));
        assert_eq!(Fields::new(&dictionary("N", -1_i64)).integer("N"), Ok(Some(-1)));
    }
}
