//! The names of profiles and declarations: what people see, and what is unique in a team.

/// The longest name, in characters.
pub const MAX_NAME_CHARS: usize = 255;

/// Names of documents that a server makes itself. Fleet's are among them, so that its file sets mean the same here.
const RESERVED: [&str; 8] = [
    "Fleetd configuration",
    "Fleet root certificate authority (CA)",
    "Disk encryption",
    "Windows OS Updates",
    "Fleet macOS OS Updates",
    "Fleet iOS OS Updates",
    "Fleet iPadOS OS Updates",
    "Rookery enrollment",
];

/// Why a profile may not be called so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing but white space.
    #[error("the name is empty")]
    Empty,
    /// Longer than [`MAX_NAME_CHARS`].
    #[error("the name is longer than {MAX_NAME_CHARS} characters")]
    TooLong,
    /// A control character.
    #[error("the name holds a control character")]
    Control,
    /// The server's own documents have it.
    #[error("the name is reserved for what the server makes itself")]
    Reserved,
}

/// Checks that an admin's profile may have this name.
///
/// # Errors
/// See [`NameError`].
pub fn check_name(name: &str) -> Result<(), NameError> {
    let plain = name.trim();
    if plain.is_empty() {
        Err(NameError::Empty)
    } else if name.chars().nth(MAX_NAME_CHARS).is_some() {
        Err(NameError::TooLong)
    } else if name.contains(char::is_control) {
        Err(NameError::Control)
    } else if RESERVED.iter().any(|reserved| reserved.eq_ignore_ascii_case(plain)) {
        Err(NameError::Reserved)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded_and_some_are_reserved() {
        assert_eq!(check_name("Wi-Fi für alle"), Ok(()));
        assert_eq!(check_name(&"ü".repeat(MAX_NAME_CHARS)), Ok(()));
        assert_eq!(check_name(&"ü".repeat(MAX_NAME_CHARS + 1)), Err(NameError::TooLong));
        assert_eq!(check_name(" \t"), Err(NameError::Empty));
        assert_eq!(check_name("a\nb"), Err(NameError::Control));
        for name in ["Disk encryption", " windows os updates ", "FLEETD CONFIGURATION"] {
            assert_eq!(check_name(name), Err(NameError::Reserved), "{name}");
        }
    }
}
