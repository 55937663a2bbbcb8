//! What an uploaded file is: a configuration profile for Apple devices, a declaration, or a Windows profile.
//!
//! Only a first look, so that the right reader is asked; that reader has the last word. Start with [`sniff`].

/// The largest file that is a profile or a declaration, in bytes.
pub const MAX_UPLOAD_BYTES: usize = 1 << 20;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UploadKind {
    /// A property list, or one that is signed: `.mobileconfig`.
    AppleProfile,
    /// JSON: `.json`.
    AppleDeclaration,
    /// SyncML: `.xml`.
    WindowsProfile,
}

/// Finds out what a file is: by its name where one is given, else by how it begins.
///
/// `None`: a name that ends in something else, or a beginning that is none of the three.
pub fn sniff(bytes: &[u8], file_name: Option<&str>) -> Option<UploadKind> {
    match file_name {
        Some(name) => match name.rsplit_once('.')?.1.to_ascii_lowercase().as_str() {
            "mobileconfig" => Some(UploadKind::AppleProfile),
            "json" => Some(UploadKind::AppleDeclaration),
            "xml" => Some(UploadKind::WindowsProfile),
            _ => None,
        },
        None => by_content(bytes),
    }
}

fn by_content(bytes: &[u8]) -> Option<UploadKind> {
    // A signed profile is DER (or BER): a SEQUENCE, whose length a text could not have as its second byte.
    if bytes.starts_with(b"bplist")
        || matches!(bytes, [0x30, length, ..] if *length >= 0x80 || !length.is_ascii_graphic())
    {
        return Some(UploadKind::AppleProfile);
    }
    let text = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes).trim_ascii_start();
    match text.first()? {
        b'{' => Some(UploadKind::AppleDeclaration),
        b'<' => by_first_element(text),
        _ => None,
    }
}

/// Which of the two kinds of XML this is: the first name after comments and instructions says it.
fn by_first_element(mut text: &[u8]) -> Option<UploadKind> {
    let skipped = |text: &[u8], end: &[u8]| {
        let at = text.windows(end.len()).position(|window| window == end)?;
        Some(at + end.len())
    };
    loop {
        let length = if text.starts_with(b"<!--") {
            skipped(text, b"-->")?
        } else if text.starts_with(b"<?") {
            skipped(text, b"?>")?
        } else {
            break;
        };
        text = text[length..].trim_ascii_start();
    }
    let text = text.strip_prefix(b"<")?;
    let is = |name: &[u8]| text.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
    Some(if is(b"plist") || is(b"!doctype plist") { UploadKind::AppleProfile } else { UploadKind::WindowsProfile })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_files_name_says_what_it_is() {
        let named = |name| sniff(b"", Some(name));
        assert_eq!(named("a.mobileconfig"), Some(UploadKind::AppleProfile));
        assert_eq!(named("A.B.MobileConfig"), Some(UploadKind::AppleProfile));
        assert_eq!(named("a.json"), Some(UploadKind::AppleDeclaration));
        assert_eq!(named("a.XML"), Some(UploadKind::WindowsProfile));
        for name in ["", "xml", "a.xml.exe", "a."] {
            assert_eq!(named(name), None, "{name}");
        }
    }

    #[test]
    fn without_a_name_its_beginning_does() {
        let begins = |text: &[u8]| sniff(text, None);
        for text in [
            "<?xml version=\"1.0\"?><!DOCTYPE plist PUBLIC \"\" \"\"><plist>",
            "\u{feff} <!-- mine --><plist version=\"1.0\">",
            "<!doctype plist>",
            "bplist00",
        ] {
            assert_eq!(begins(text.as_bytes()), Some(UploadKind::AppleProfile), "{text}");
        }
        for text in ["<Replace>", " <atomic>", "<!-- a --><Add>", "<?xml version=\"1.0\"?><Exec>", "<"] {
            assert_eq!(begins(text.as_bytes()), Some(UploadKind::WindowsProfile), "{text}");
        }
        assert_eq!(begins(b"\n { \"Type\": 1"), Some(UploadKind::AppleDeclaration));
        // Signed: long and short lengths, and an indefinite one.
        for der in [&[0x30, 0x82, 0x10][..], &[0x30, 0x80, 0x06], &[0x30, 0x03, 0x06]] {
            assert_eq!(begins(der), Some(UploadKind::AppleProfile));
        }
        for text in ["", "  ", "hello", "012", "[1]", "<!-- open", "<?xml"] {
            assert_eq!(begins(text.as_bytes()), None, "{text}");
        }
    }
}
