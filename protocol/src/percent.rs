//! Percent-encoding (RFC 3986, 2.1), done and undone.

/// Undoes percent-encoding and leaves everything else, `+` and what only looks like an escape among it, as it is.
pub fn percent_decoded(text: &[u8]) -> Vec<u8> {
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

/// Encodes everything but what never needs it (RFC 3986, 2.3), so that it fits into a query, a form and Basic authentication.
pub fn percent_encoded(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|byte| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_encoding_is_done_and_undone_and_plus_stays() {
        assert_eq!(percent_encoded("a-z.A_Z~0:/ +=%é"), "a-z.A_Z~0%3A%2F%20%2B%3D%25%C3%A9");
        assert_eq!(percent_decoded(b"a+b%2Bc%2f%3D%zz%+f%4"), b"a+b+c/=%zz%+f%4");
    }
}
