//! What the service says instead of an answer: a status and a word (Apple, "Interpreting Error Codes", "Fetching a Device
//! List").

use std::time::Duration;

use crate::retry_after::retry_after;
use crate::time::Timestamp;

/// The longest wait that an answer can demand.
pub const MAX_BACK_OFF: Duration = Duration::from_secs(24 * 60 * 60);

/// More of a body than this is not looked at, in bytes.
const MAX_CODE_BYTES: usize = 4096;

/// What is kept of a code that has no meaning here, in characters.
const MAX_CODE_CHARS: usize = 64;

/// An answer with another status than 200.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// The status code.
    pub status: u16,
    /// The body: a word, sometimes in quotation marks.
    pub body: &'a [u8],
    /// The header `Retry-After`: seconds or a date.
    pub retry_after: Option<&'a str>,
    /// When the answer came.
    pub received_at: Timestamp,
    /// Whether it was the session that was asked for, by the token itself.
    pub to_session: bool,
}

/// What to do about a refusal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// An admin has to accept new terms and conditions at Apple. Nothing works until then.
    #[error("Apple's terms and conditions have to be accepted in Apple Business Manager")]
    TermsNotSigned,
    /// The session is over, or was never one: a new one is asked for once, and then this is the token's fault.
    #[error("the session with Apple's device assignment service has ended")]
    SessionEnded,
    /// The token is not taken any more: an admin has to upload a new one.
    #[error("Apple's device assignment service refuses the server token ({0}): upload a new one")]
    TokenRejected(String),
    /// The request for a session came from a clock that is off.
    #[error("Apple's device assignment service finds this server's clock wrong")]
    ClockOff,
    /// Every device was fetched with this cursor: from now on only changes are asked for.
    #[error("everything was fetched with this cursor")]
    ExhaustedCursor,
    /// The cursor is older than seven days: all devices are fetched anew.
    #[error("the cursor has expired")]
    ExpiredCursor,
    /// The cursor is none of the service's: all devices are fetched anew.
    #[error("the cursor is not valid")]
    InvalidCursor,
    /// There was no cursor where one belongs: all devices are fetched anew.
    #[error("a cursor is required")]
    CursorRequired,
    /// The profile is not known (any more): it is defined anew.
    #[error("the profile is not known to Apple's device assignment service")]
    ProfileNotFound,
    /// Asked too often. The time is given where the service names one.
    #[error("Apple's device assignment service is asked too often")]
    Throttled(Option<Duration>),
    /// The service fails. The time is given where the service names one.
    #[error("Apple's device assignment service is not available (status {status})")]
    Unavailable {
        /// The status code.
        status: u16,
        /// When to come back.
        retry_after: Option<Duration>,
    },
    /// The request is at fault, for example the profile's `url` (`CONFIG_URL_INVALID`). The same one is refused again.
    #[error("Apple's device assignment service refuses the request: {code} (status {status})")]
    Other {
        /// The status code.
        status: u16,
        /// The service's word for it, printable and cut.
        code: String,
    },
}

impl Refusal {
    /// What an answer with another status than 200 means.
    pub fn of(answer: &Answer<'_>) -> Self {
        let code = code(answer.body);
        let after = answer.retry_after.and_then(|text| retry_after(text, answer.received_at));
        let after = after.map(|after| after.min(MAX_BACK_OFF));
        match (answer.status, code.as_str()) {
            (_, "T_C_NOT_SIGNED") => Self::TermsNotSigned,
            (400 | 404, "EXHAUSTED_CURSOR") => Self::ExhaustedCursor,
            (400 | 404, "EXPIRED_CURSOR") => Self::ExpiredCursor,
            (400 | 404, "INVALID_CURSOR") => Self::InvalidCursor,
            (400 | 404, "CURSOR_REQUIRED") => Self::CursorRequired,
            (400 | 404, "NOT_FOUND" | "PROFILE_NOT_FOUND") => Self::ProfileNotFound,
            (400 | 401 | 403, code) if answer.to_session && code.contains("timestamp") => Self::ClockOff,
            (401 | 403, _) if answer.to_session => Self::TokenRejected(code),
            (401, _) | (403, "FORBIDDEN" | "UNAUTHORIZED" | "EXPIRED_TOKEN") => Self::SessionEnded,
            (403, "ACCESS_DENIED") => Self::TokenRejected(code),
            (429, _) => Self::Throttled(after),
            (408 | 500.., _) => Self::Unavailable { status: answer.status, retry_after: after },
            (status, _) => Self::Other { status, code },
        }
    }
}

/// The word in a body, without what stands around it.
fn code(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(MAX_CODE_BYTES)]);
    let text = text.trim().trim_matches('"');
    text.chars().filter(|one| one.is_ascii_graphic() || *one == ' ').take(MAX_CODE_CHARS).collect()
}
