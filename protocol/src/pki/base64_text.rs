//! Base64 as clients write it: either alphabet, padding or not, whitespace between; bounded before any work.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

const CONFIG: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, CONFIG);

/// The text is longer than allowed, or not base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// Longer than the limit of its place.
    #[error("the base64 text is longer than {limit} bytes")]
    TooLong {
        /// The limit, in bytes of text.
        limit: usize,
    },
    /// A character outside both alphabets, or a length that no encoding has.
    #[error("the text is not base64")]
    NotBase64,
}

/// What a space inside the text means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Space {
    /// Nothing, as line breaks.
    Ignored,
    /// A plus sign that a form decoder turned into a space.
    Plus,
}

/// Decodes at most `limit` bytes of text.
pub(crate) fn decode(text: &[u8], limit: usize, space: Space) -> Result<Vec<u8>, TextError> {
    if text.len() > limit {
        return Err(TextError::TooLong { limit });
    }
    if let Ok(bytes) = STANDARD.decode(text) {
        return Ok(bytes);
    }
    let plain: Vec<u8> = text.iter().filter_map(|octet| standard_letter(*octet, space)).collect();
    STANDARD.decode(plain).map_err(|_| TextError::NotBase64)
}

/// The same digit in the standard alphabet; none for whitespace.
fn standard_letter(octet: u8, space: Space) -> Option<u8> {
    match octet {
        b'-' => Some(b'+'),
        b'_' => Some(b'/'),
        b' ' if space == Space::Plus => Some(b'+'),
        b' ' | b'\t' | b'\r' | b'\n' => None,
        other => Some(other),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BYTES: &[u8] = &[0xfb, 0xef, 0xff, 0x00];

    #[test]
    fn both_alphabets_with_and_without_padding_are_read() {
        for text in ["++//AA==", "--__AA==", "++//AA", "--__AA", " ++//\r\n\tAA== "] {
            assert_eq!(decode(text.as_bytes(), 64, Space::Ignored).as_deref(), Ok(BYTES), "{text}");
        }
        assert_eq!(decode(b"  //AA\n==", 64, Space::Plus).as_deref(), Ok(BYTES));
    }

    #[test]
    fn other_characters_and_long_texts_are_refused() {
        assert_eq!(decode(b"ab!d", 64, Space::Ignored), Err(TextError::NotBase64));
        assert_eq!(decode(b"abcde", 64, Space::Ignored), Err(TextError::NotBase64));
        assert_eq!(decode(&[b'A'; 65], 64, Space::Ignored), Err(TextError::TooLong { limit: 64 }));
    }

    proptest! {
        #[test]
        fn bytes_survive_every_spelling(bytes in prop::collection::vec(any::<u8>(), 0..200), url in any::<bool>(), padded in any::<bool>()) {
            let mut text = STANDARD.encode(&bytes);
            if url { text = text.replace('+', "-").replace('/', "_"); }
            if !padded { text = text.trim_end_matches('=').to_owned(); }
            prop_assert_eq!(decode(text.as_bytes(), 1024, Space::Ignored), Ok(bytes.clone()));
            if !url { prop_assert_eq!(decode(text.replace('+', " ").as_bytes(), 1024, Space::Plus), Ok(bytes)); }
        }
    }
}
