//! The document types that are accepted: Apple's, by name only. Nothing is fetched and nothing is defined.

const PUBLIC_IDS: [&str; 3] =
    ["-//Apple//DTD PLIST 1.0//EN", "-//Apple Computer//DTD PLIST 1.0//EN", "-//Apple Inc//DTD PLIST 1.0//EN"];
const SYSTEM_IDS: [&str; 3] = [
    "http://www.apple.com/DTDs/PropertyList-1.0.dtd",
    "https://www.apple.com/DTDs/PropertyList-1.0.dtd",
    "file://localhost/System/Library/DTDs/PropertyList.dtd",
];

/// Whether the text of a document type names `plist` and nothing but Apple's public and system identifiers.
pub(super) fn is_apple(doctype: &str) -> bool {
    let Some(rest) = doctype.trim().strip_prefix("plist") else { return false };
    let rest = rest.trim_start();
    if let Some(ids) = rest.strip_prefix("PUBLIC") {
        let Some((public, rest)) = quoted(ids) else { return false };
        let Some((system, rest)) = quoted(rest) else { return false };
        return PUBLIC_IDS.contains(&public) && SYSTEM_IDS.contains(&system) && rest.trim().is_empty();
    }
    if let Some(id) = rest.strip_prefix("SYSTEM") {
        return quoted(id).is_some_and(|(system, rest)| SYSTEM_IDS.contains(&system) && rest.trim().is_empty());
    }
    rest.is_empty()
}

/// Splits the first quoted literal from `text`.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start();
    let quote = text.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
    text[1..].split_once(quote)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apples_document_types_pass_in_either_quotes() {
        for doctype in [
            r#" plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd""#,
            "plist\n  PUBLIC '-//Apple Computer//DTD PLIST 1.0//EN'\n 'http://www.apple.com/DTDs/PropertyList-1.0.dtd' ",
            r#"plist SYSTEM "file://localhost/System/Library/DTDs/PropertyList.dtd""#,
            "plist",
        ] {
            assert!(is_apple(doctype), "{doctype}");
        }
    }

    #[test]
    fn every_other_document_type_is_refused() {
        for doctype in [
            r#"html"#,
            r#"plist PUBLIC "-//Apple//DTD PLIST 1.0//EN""#,
            r#"plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://evil.example/x.dtd""#,
            r#"plist SYSTEM "file:///etc/passwd""#,
            r#"plist SYSTEM "http://www.apple.com/DTDs/PropertyList-1.0.dtd" [<!ENTITY a "b">]"#,
            r#"plist [<!ENTITY a "b">]"#,
            r#"plist SYSTEM "unclosed"#,
            "plist SYSTEM ä",
            "plistPUBLIC",
            "",
        ] {
            assert!(!is_apple(doctype), "{doctype}");
        }
    }
}
