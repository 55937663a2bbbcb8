//! Names of things, as types: a bare integer or string never travels past the edge.

use std::fmt;
use std::sync::Arc;

/// The row number of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(pub i64);

/// The row number of an enrollment: one channel of a host, with a queue and a push token of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EnrollmentRow(pub i64);

/// Counts the enrollments of one channel: one more at each Authenticate that is not a renewal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub i32);

/// The `CommandUUID` of a command: any text that the one who queued it chose, shared by all its hosts.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandUuid(Arc<str>);

impl CommandUuid {
    /// The longest `CommandUUID` that is kept, in characters.
    pub const MAX_CHARS: usize = 255;

    /// Takes a text from outside; `None` when it is empty, too long, or holds control characters.
    pub fn parse(text: &str) -> Option<Self> {
        let short = text.chars().nth(Self::MAX_CHARS).is_none();
        (!text.is_empty() && short && !text.contains(char::is_control)).then(|| Self(text.into()))
    }

    /// The text as the device sees it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<uuid::Uuid> for CommandUuid {
    fn from(uuid: uuid::Uuid) -> Self {
        Self(uuid.hyphenated().to_string().into())
    }
}

impl fmt::Debug for CommandUuid {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?}", self.as_str())
    }
}

impl fmt::Display for CommandUuid {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// The serial number of a device; `None` for what manufacturers and agents write when there is none.
pub fn serial_number(text: &str) -> Option<&str> {
    const PLACEHOLDERS: [&str; 8] = [
        "0",
        "-1",
        "None",
        "Unknown",
        "Not Specified",
        "Default string",
        "To be filled by O.E.M.",
        "System Serial Number",
    ];
    let text = text.trim();
    let placeholder = text.is_empty() || PLACEHOLDERS.iter().any(|known| known.eq_ignore_ascii_case(text));
    (!placeholder).then_some(text)
}

/// The UUID of a device's hardware; `None` for what cheap boards share.
pub fn hardware_uuid(text: &str) -> Option<&str> {
    const SHARED: [&str; 5] = [
        "00000000-0000-0000-0000-000000000000",
        "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF",
        "03000200-0400-0500-0006-000700080009",
        "12345678-1234-5678-90AB-CDDEEFAABBCC",
        "00020003-0004-0005-0006-000700080009",
    ];
    let text = text.trim();
    let shared = SHARED.iter().any(|known| known.eq_ignore_ascii_case(text));
    serial_number(text).filter(|_| !shared)
}

impl fmt::Display for HostId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_placeholder_is_no_serial_number() {
        assert_eq!(serial_number(" C02XL0GYJGH5 "), Some("C02XL0GYJGH5"));
        for placeholder in ["", " ", "0", "-1", "to be filled by o.e.m.", "SYSTEM SERIAL NUMBER"] {
            assert_eq!(serial_number(placeholder), None, "{placeholder:?}");
        }
    }

    #[test]
    fn a_uuid_that_boards_share_is_none() {
        assert_eq!(hardware_uuid(" 4C4C4544-0043 "), Some("4C4C4544-0043"));
        for shared in
            ["", "Not Specified", "ffffffff-ffff-ffff-ffff-ffffffffffff", "03000200-0400-0500-0006-000700080009"]
        {
            assert_eq!(hardware_uuid(shared), None, "{shared:?}");
        }
    }

    #[test]
    fn a_command_uuid_is_any_printable_text_of_bounded_length() {
        assert_eq!(CommandUuid::parse("0001_ProfileList").unwrap().as_str(), "0001_ProfileList");
        assert_eq!(CommandUuid::parse(""), None);
        assert_eq!(CommandUuid::parse("a\nb"), None);
        assert_eq!(CommandUuid::parse(&"x".repeat(256)), None);
    }
}
