//! What the text of a queued command is until it is handed out, where a profile is to be delivered: a reference to a
//! version. So a profile for a hundred thousand hosts stands in one row, and secrets are put in at the last moment.

/// A reference to a version of a profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reference {
    /// The host is to have it.
    Install(i64),
    /// The host is to lose what it set.
    Remove(i64),
    /// The host is to say what it has of all that it was given lately (Windows).
    Verify,
}

impl Reference {
    const INSTALL: &str = "profile install ";
    const REMOVE: &str = "profile remove ";
    const VERIFY: &str = "profile verify";

    /// As the text of a command.
    pub fn write(self) -> Vec<u8> {
        match self {
            Self::Install(content) => format!("{}{content}", Self::INSTALL),
            Self::Remove(content) => format!("{}{content}", Self::REMOVE),
            Self::Verify => Self::VERIFY.to_owned(),
        }
        .into_bytes()
    }

    /// Reads the text of a command; `None` for one that is handed out as it is.
    pub fn read(body: &[u8]) -> Option<Self> {
        if body.first() != Some(&b'p') || body.len() > Self::INSTALL.len() + 20 {
            return None;
        }
        let text = std::str::from_utf8(body).ok()?;
        if text == Self::VERIFY {
            return Some(Self::Verify);
        }
        let install = || text.strip_prefix(Self::INSTALL)?.parse().ok().map(Self::Install);
        install().or_else(|| text.strip_prefix(Self::REMOVE)?.parse().ok().map(Self::Remove))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_read_as_it_was_written() {
        for reference in [Reference::Install(1), Reference::Install(i64::MAX), Reference::Remove(7), Reference::Verify]
        {
            assert_eq!(Reference::read(&reference.write()), Some(reference));
        }
        for other in ["<?xml version=\"1.0\"?>", "profile", "profile install ", "profile install x", ""] {
            assert_eq!(Reference::read(other.as_bytes()), None, "{other}");
        }
    }
}
