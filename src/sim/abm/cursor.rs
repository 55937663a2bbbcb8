//! Cursors: where a server is in the list of devices and of what happened to them, as a text that nobody but the service makes.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openssl::sha::sha256;
use protocol::time::Timestamp;

/// How long a cursor is good.
pub(super) const CURSOR_LIFE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Where a server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    /// When it was given out, in milliseconds.
    pub(super) issued_at: i64,
    /// What happened from here on is news.
    pub(super) event: usize,
    /// The next device of the list; none when it was read to its end.
    pub(super) device: Option<usize>,
}

impl Cursor {
    /// The text; another one for each organization, because of its secret.
    pub(super) fn encode(&self, secret: &str) -> String {
        let device = self.device.map(|device| device.to_string()).unwrap_or_default();
        let place = format!("{}.{}.{device}", self.issued_at, self.event);
        URL_SAFE_NO_PAD.encode(format!("{place}.{}", seal(&place, secret)))
    }

    /// Reads a text that [`encode`](Self::encode) made with the same secret.
    pub(super) fn decode(text: &str, secret: &str) -> Option<Self> {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        let (place, sealed) = text.rsplit_once('.')?;
        if sealed != seal(place, secret) {
            return None;
        }
        let mut parts = place.split('.');
        let (issued_at, event, device) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?);
        Some(Self { issued_at, event, device: if device.is_empty() { None } else { Some(device.parse().ok()?) } })
    }

    pub(super) fn is_expired(&self, now: Timestamp) -> bool {
        now.since(Timestamp::from_millis(self.issued_at)) > CURSOR_LIFE
    }
}

fn seal(place: &str, secret: &str) -> String {
    let digest = sha256(format!("{secret}.{place}").as_bytes());
    URL_SAFE_NO_PAD.encode(&digest[..9])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_its_own_organizations_alone() {
        for device in [None, Some(7)] {
            let cursor = Cursor { issued_at: 1_795_253_400_000, event: 3, device };
            let text = cursor.encode("secret");
            assert_eq!(Cursor::decode(&text, "secret"), Some(cursor));
            assert_eq!(Cursor::decode(&text, "other"), None);
            assert_eq!(Cursor::decode(&text[1..], "secret"), None);
        }
        assert_eq!(Cursor::decode("", "secret"), None);
    }
}
