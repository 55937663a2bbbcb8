//! What people are told about server tokens: that one ends soon, or that Apple takes it no more.

use std::time::Duration;

use entities::abm_token::{self, TERMS_EXPIRED};
use entities::mail::Letter;
use entities::{StoreError, user};
use protocol::time::Timestamp;

use super::Desk;
use crate::mailer;

/// The days before its end at which a token is warned of, the longest first.
const WARNED_AT: [i16; 4] = [30, 14, 7, 1];
/// How long a letter is worth sending.
const WORTH: Duration = Duration::from_secs(7 * 86_400);
const DAY: Duration = Duration::from_secs(86_400);

/// What a letter says, whoever gets it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Notice {
    subject: String,
    text: String,
}

impl Desk {
    /// Warns of tokens that end soon.
    pub(super) async fn warn(&self, tokens: &[abm_token::Model]) -> Result<(), StoreError> {
        let now = self.clock.now();
        for token in tokens {
            let ends_at = Timestamp::from_millis(token.expires_at);
            let Some(days) = due(ends_at, now).filter(|days| token.warned_days == 0 || *days < token.warned_days)
            else {
                continue;
            };
            tracing::warn!(
                abm_token.id = token.id,
                "the server token of {} ends at {}: renew it",
                token.organization,
                ends_at.to_rfc3339()
            );
            let letters = self.letters(&ending(token, &self.people_url, now)).await?;
            abm_token::warn(&self.writer, token.id, days, letters, now.millis()).await?;
            self.mailer.tell(mailer::Look);
        }
        Ok(())
    }

    /// A letter to each admin; none when this server sends no mail.
    pub(super) async fn letters(&self, notice: &Notice) -> Result<Vec<Letter>, StoreError> {
        if !self.mail.is_on() {
            return Ok(Vec::new());
        }
        let expires_at = self.clock.now().plus(WORTH).millis();
        let letter = |recipient| Letter {
            id: uuid::Uuid::new_v4().to_string(),
            recipient,
            subject: notice.subject.clone(),
            text: notice.text.clone(),
            attempts: 0,
            expires_at,
        };
        Ok(user::admin_addresses(&self.reader).await?.into_iter().map(letter).collect())
    }
}

/// The smallest number of days whose warning is due.
fn due(ends_at: Timestamp, now: Timestamp) -> Option<i16> {
    let left = if ends_at > now { ends_at.since(now) } else { Duration::ZERO };
    WARNED_AT.into_iter().rfind(|days| left <= DAY * u32::from(days.unsigned_abs()))
}

fn ending(token: &abm_token::Model, server: &str, now: Timestamp) -> Notice {
    let organization = &token.organization;
    let ends_at = Timestamp::from_millis(token.expires_at);
    let (subject, text) = if ends_at > now { ("ends soon", "ends") } else { ("has ended", "ended") };
    Notice {
        subject: format!("The Apple Business Manager token of {organization} {subject}"),
        text: format!(
            "The server token of {organization} for {server} {text} at {}. From then on, new devices do not enroll by \
             themselves.\n\nDownload a new token for the server \"{}\" in Apple Business Manager, and renew it in Rookery.\n",
            ends_at.to_rfc3339(),
            token.server_name
        ),
    }
}

/// Apple takes the token no more, or not before somebody agreed to something.
pub(super) fn refused(token: &abm_token::Model, standing: i16, server: &str) -> Notice {
    let organization = &token.organization;
    let (subject, what) = if standing == TERMS_EXPIRED {
        let what =
            "An administrator of Apple Business Manager has to sign in there and accept the new terms and conditions.";
        (format!("Apple's terms have to be accepted for {organization}"), what)
    } else {
        let what = "Download a new token in Apple Business Manager, and renew it in Rookery.";
        (format!("Apple does not take the token of {organization} any more"), what)
    };
    let text = format!(
        "{subject} ({server}). Until then, devices are not synced, and new ones do not enroll by themselves.\n\n{what}\n"
    );
    Notice { subject, text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_warning_is_due() {
        let now = Timestamp::from_seconds(1_800_000_000);
        let left = |days: f64| due(now.plus(DAY.mul_f64(days)), now);
        assert_eq!([left(31.0), left(30.0), left(15.0), left(14.0)], [None, Some(30), Some(30), Some(14)]);
        assert_eq!([left(7.5), left(7.0), left(1.1), left(1.0)], [Some(14), Some(7), Some(7), Some(1)]);
        assert_eq!(due(now.minus(DAY), now), Some(1));
    }
}
