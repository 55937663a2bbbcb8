//! Passwords: argon2id (RFC 9106), two at a time, so that signing in cannot take the machine; what is not known costs what is
//! known costs.
//!
//! Parameters: 19 MiB, two passes, one lane, the least that OWASP recommends.

use std::sync::LazyLock;

use actix_web::http::StatusCode;
use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use openssl::rand::rand_bytes;
use tokio::sync::Semaphore;

use crate::http::error::ApiError;

/// Characters of a password.
const CHARACTERS: std::ops::RangeInclusive<usize> = 12..=128;
/// Hashes at once.
const AT_ONCE: usize = 2;
/// Who waits for their turn at most.
const MOST_WAITING: usize = 64;

/// What is compared when there is no such user.
static DECOY: LazyLock<String> = LazyLock::new(|| hash_now("nobody's password").unwrap_or_default());

/// The one place where passwords are hashed.
#[derive(Debug)]
pub struct Passwords {
    turns: Semaphore,
    queue: Semaphore,
}

impl Default for Passwords {
    fn default() -> Self {
        Self { turns: Semaphore::new(AT_ONCE), queue: Semaphore::new(MOST_WAITING) }
    }
}

impl Passwords {
    /// The hash of a new password.
    ///
    /// # Errors
    /// 422: it is too short, too long, or known to everyone; 503: too many wait.
    pub async fn hash(&self, password: String, email: &str) -> Result<String, ApiError> {
        if !CHARACTERS.contains(&password.chars().count()) {
            let (least, most) = (CHARACTERS.start(), CHARACTERS.end());
            return Err(ApiError::invalid("password", format!("must have {least} to {most} characters")));
        }
        if password.to_lowercase().contains(&email.to_lowercase()) {
            return Err(ApiError::invalid("password", "must not contain the email address"));
        }
        let hashed = self.take_turn(move || hash_now(&password)).await?;
        hashed.ok_or_else(|| ApiError::because(StatusCode::SERVICE_UNAVAILABLE, "base", "There is no randomness"))
    }

    /// Whether a password is the one with this hash. Without a hash it is not, after the same time.
    ///
    /// # Errors
    /// 503: too many wait.
    pub(super) async fn are_same(&self, hash: Option<String>, password: String) -> Result<bool, ApiError> {
        let is_known = hash.is_some();
        let same = self
            .take_turn(move || {
                let hash = hash.unwrap_or_else(|| DECOY.clone());
                let parsed = PasswordHash::new(&hash);
                parsed.is_ok_and(|parsed| argon2().verify_password(password.as_bytes(), &parsed).is_ok())
            })
            .await?;
        Ok(same && is_known)
    }

    async fn take_turn<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, ApiError> {
        let busy = || ApiError::because(StatusCode::SERVICE_UNAVAILABLE, "base", "Too many sign in at once, try again");
        let _waiting = self.queue.try_acquire().map_err(|_| busy())?;
        let _turn = self.turns.acquire().await.map_err(|_| busy())?;
        tokio::task::spawn_blocking(work).await.map_err(|_| busy())
    }
}

fn argon2() -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(19 * 1024, 2, 1, None).unwrap_or_default())
}

fn hash_now(password: &str) -> Option<String> {
    let mut salt = [0; 16];
    rand_bytes(&mut salt).ok()?;
    let salt = SaltString::encode_b64(&salt).ok()?;
    argon2().hash_password(password.as_bytes(), &salt).ok().map(|hash| hash.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix_web::test]
    async fn a_password_is_known_by_its_hash_alone() {
        let passwords = Passwords::default();
        let hash = passwords.hash("correct horse battery".into(), "ada@example.com").await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(passwords.are_same(Some(hash.clone()), "correct horse battery".into()).await.unwrap());
        assert!(!passwords.are_same(Some(hash), "correct horse batterY".into()).await.unwrap());
        assert!(!passwords.are_same(None, "nobody's password".into()).await.unwrap());
    }

    #[actix_web::test]
    async fn passwords_that_others_guess_are_refused() {
        let passwords = Passwords::default();
        for weak in ["short", "x ada@example.com", &"long".repeat(40)] {
            assert!(passwords.hash(weak.to_owned(), "Ada@example.com").await.is_err(), "{weak}");
        }
    }
}
