//! The `Retry-After` header (RFC 9110, section 10.2.3), for everyone who asks a service that may be busy.

use std::time::Duration;

use ::time::OffsetDateTime;
use ::time::format_description::well_known::Rfc2822;

use crate::time::Timestamp;

/// How long a service asks to be left alone; `None` when the text is neither seconds nor a date.
pub fn retry_after(text: &str, received_at: Timestamp) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = OffsetDateTime::parse(text, &Rfc2822).ok()?;
    Some(Timestamp::from_seconds(date.unix_timestamp()).since(received_at))
}
