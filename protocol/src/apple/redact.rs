//! What is hidden of commands and reports from those who may not read secrets: PINs, passwords, recovery keys, unlock tokens,
//! and whole profiles, which are full of them.
//!
//! Never here: who may read what. A document that cannot be read is hidden whole. Start with [`redact`].

use super::plist::{Value, parse, to_xml};
use crate::redacted::{HIDDEN, Redacted};

/// Keys of Apple's commands and their answers whose values are secrets, or hold some, in lower case and alphabetical order.
const KEYS: [&str; 28] = [
    "activationlockbypasscode",
    "bootstraptoken",
    "bypasscode",
    "challenge",
    "configuration",
    "currentpassword",
    "data",
    "encryptednewrecoverykey",
    "escrowkey",
    "existingpassword",
    "fde_personalrecoverykeycms",
    "filevaultunlock",
    "newpassword",
    "newrecoverykey",
    "passcode",
    "password",
    "passwordhash",
    "payload",
    "personalrecoverykey",
    "pin",
    "privatekey",
    "privatekeyexport",
    "pushmagic",
    "recoverykey",
    "secret",
    "token",
    "unlocktoken",
    "userpassword",
];

/// Hides the secrets in a command or report of at most `max_bytes` bytes.
pub fn redact(document: &[u8], max_bytes: usize) -> Redacted {
    let Ok(mut value) = parse(document, max_bytes) else { return Redacted::Other(HIDDEN.into()) };
    match hide(&mut value) {
        0 => Redacted::Same,
        _ => Redacted::Other(to_xml(&value)),
    }
}

/// Hides what stands under secret keys; returns how many there were. The reader has bounded the depth.
fn hide(value: &mut Value) -> usize {
    match value {
        Value::Array(items) => items.iter_mut().map(hide).sum(),
        Value::Dictionary(entries) => entries
            .iter_mut()
            .map(|(key, value)| {
                if !is_secret(key) {
                    return hide(value);
                }
                *value = if matches!(value, Value::Data(_)) { Value::Data(HIDDEN.into()) } else { HIDDEN.into() };
                1
            })
            .sum(),
        _ => 0,
    }
}

fn is_secret(key: &str) -> bool {
    KEYS.binary_search(&key.to_ascii_lowercase().as_str()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 1 << 20;

    fn document(inner: &str) -> Vec<u8> {
        format!("<plist version=\"1.0\"><dict>{inner}</dict></plist>").into_bytes()
    }

    #[test]
    fn keys_are_found_in_whatever_case() {
        assert!(KEYS.is_sorted());
        assert!(is_secret("PIN") && is_secret("UnlockToken") && is_secret("passwordHash") && !is_secret("Pins"));
    }

    #[test]
    fn secrets_are_hidden_at_any_depth_and_the_rest_stays() {
        let report = document(
            "<key>Status</key><string>Acknowledged</string><key>List</key><array><dict><key>PIN</key><string>123456</string>\
             </dict></array><key>UnlockToken</key><data>c2VjcmV0</data><key>Password</key><dict><key>x</key><true/></dict>",
        );
        let Redacted::Other(shown) = redact(&report, MAX) else { panic!("nothing was hidden") };
        let text = String::from_utf8(shown).unwrap();
        for secret in ["123456", "c2VjcmV0", "<key>x</key>"] {
            assert!(!text.contains(secret), "{text}");
        }
        assert!(text.contains("Acknowledged") && text.matches(HIDDEN).count() == 2, "{text}");
    }

    #[test]
    fn what_has_no_secret_is_shown_as_it_came_and_what_cannot_be_read_is_not() {
        assert_eq!(redact(&document("<key>Status</key><string>Idle</string>"), MAX), Redacted::Same);
        assert_eq!(redact(b"PIN 123456", MAX), Redacted::Other(HIDDEN.into()));
        assert_eq!(redact(&document("<key>Status</key><string>Idle</string>"), 10), Redacted::Other(HIDDEN.into()));
    }
}
