//! Percent-encoding (RFC 3986, 2.1), undone where it is there.

/// Undoes percent-encoding and leaves everything else, `+` and what only looks like an escape among it, as it is.
pub(super) fn percent_decoded(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let pair = after.get(..2).filter(|pair| *first == b'%' && pair.iter().all(u8::is_ascii_hexdigit));
        match pair.and_then(|pair| std::str::from_utf8(pair).ok()).and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                rest = &after[2..];
            }
            None => {
                decoded.push(*first);
                rest = after;
            }
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_encoding_is_undone_and_plus_stays() {
        assert_eq!(percent_decoded(b"a+b%2Bc%2f%3D%zz%+f%4"), b"a+b+c/=%zz%+f%4");
    }
}
