//! The enrollment reference: what somebody has in hand between their sign-in at the identity provider and the download of the
//! enrollment profile. It is signed, works for a few minutes, and says whose the device will be, which team it joins, and which
//! device it is where that is known already.
//!
//! What comes of it outlives it: the challenge in the profile, and so the device's certificate, is made for that account, and the
//! device's address ends in it. Never here: who may sign in, and how ([`SignIn`] believes whoever asks).
//!
//! Start with [`SignIn`] (after a sign-in) and [`ReadReference`] (what a reference means).

use std::time::Duration;

use actix::prelude::*;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as TEXT;
use entities::idp_account::{self, Model as Account};
use openssl::hash::MessageDigest;
use openssl::memcmp;
use openssl::pkey::{PKey, Private};
use openssl::sign::Signer;
use protocol::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Authority, Desk, Keys};
use crate::ask::{Answer, Refusal};

/// How long a reference works.
const LASTS: Duration = Duration::from_secs(600);
/// The longest reference, in bytes.
const MAX_BYTES: usize = 2048;
/// What makes of the key that signs profiles another one.
const PURPOSE: &[u8] = b"rookery enrollment reference 1";
/// The refusal of a reference, whatever is wrong with it.
pub const NOT_SIGNED_IN: &str = "this sign-in is over, or is none: sign in again";

/// The device that somebody enrolls, as far as it is known before they sign in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolls {
    /// The team that it joins.
    pub team_id: Option<i64>,
    /// Its serial number, where the device itself has proved it.
    pub serial: Option<String>,
    /// Its UUID, where the device itself has proved it.
    pub uuid: Option<String>,
    /// Whose the device becomes, where it was enrolled with an account alone.
    pub account_driven: Option<Ownership>,
}

/// Whose a device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ownership {
    /// Its user's: the organization manages a part of it.
    Personal,
    /// The organization's.
    Company,
}

/// Somebody signed in at the identity provider to enroll a device. The answer is an enrollment reference.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Answer<String>")]
pub struct SignIn {
    /// Their email address there.
    pub email: String,
    /// What they are called there.
    pub user_name: String,
    /// What people call them; may be empty.
    pub full_name: String,
    /// What they enroll.
    pub enrolls: Enrolls,
}

/// Asks what an enrollment reference means, if it is a good one.
#[derive(Clone, Message)]
#[rtype(result = "Answer<SignedIn>")]
pub struct ReadReference(pub String);

/// What an enrollment reference means.
#[derive(Clone, Debug)]
pub struct SignedIn {
    /// Who signed in.
    pub account: Account,
    /// What they enroll.
    pub enrolls: Enrolls,
}

/// What is signed.
#[derive(Serialize, Deserialize)]
struct Claims {
    account: String,
    enrolls: Enrolls,
    until: i64,
}

/// The key that signs references.
pub(super) struct ReferenceKey(PKey<Private>);

impl ReferenceKey {
    /// It follows from another secret of the authority's, so that it lasts as long and is kept where that is.
    pub(super) fn derive(secret: &[u8]) -> Answer<Self> {
        let derived = mac(&PKey::hmac(secret).map_err(Refusal::soon)?, PURPOSE)?;
        PKey::hmac(&derived).map(Self).map_err(Refusal::soon)
    }

    fn sign(&self, claims: &Claims) -> Answer<String> {
        let said = serde_json::to_vec(claims).map_err(Refusal::soon)?;
        let mac = mac(&self.0, &said)?;
        Ok(format!("{}.{}", TEXT.encode(said), TEXT.encode(mac)))
    }

    /// What was signed, if we signed it and its time is not over.
    fn read(&self, reference: &str, now: Timestamp) -> Option<Claims> {
        if reference.len() > MAX_BYTES {
            return None;
        }
        let (said, shown) = reference.split_once('.')?;
        let (said, shown) = (TEXT.decode(said).ok()?, TEXT.decode(shown).ok()?);
        let expected = mac(&self.0, &said).ok()?;
        if expected.len() != shown.len() || !memcmp::eq(&expected, &shown) {
            return None;
        }
        let claims: Claims = serde_json::from_slice(&said).ok()?;
        (now.millis() < claims.until).then_some(claims)
    }
}

impl std::fmt::Debug for ReadReference {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("an enrollment reference")
    }
}

impl Handler<SignIn> for Authority {
    type Result = ResponseActFuture<Self, Answer<String>>;

    fn handle(&mut self, said: SignIn, _: &mut Self::Context) -> Self::Result {
        self.hand_out(|desk, keys| async move {
            let now = desk.clock.now();
            let row = idp_account::SignIn {
                uuid: uuid::Uuid::new_v4().to_string(),
                user_name: said.user_name,
                email: said.email,
                full_name: said.full_name,
                at: now.millis(),
            };
            let account = idp_account::sign_in(&desk.writer, row).await?.uuid;
            keys.references.sign(&Claims { account, enrolls: said.enrolls, until: now.plus(LASTS).millis() })
        })
    }
}

impl Handler<ReadReference> for Authority {
    type Result = ResponseActFuture<Self, Answer<SignedIn>>;

    fn handle(&mut self, ReadReference(reference): ReadReference, _: &mut Self::Context) -> Self::Result {
        self.hand_out(|desk, keys| async move { read(&desk, &keys, &reference).await })
    }
}

/// What a reference means.
pub(super) async fn read(desk: &Desk, keys: &Keys, reference: &str) -> Answer<SignedIn> {
    let claims = keys.references.read(reference, desk.clock.now()).ok_or(Refusal::Forbidden(NOT_SIGNED_IN))?;
    let account = idp_account::by_uuid(&desk.reader, claims.account).await?;
    let account = account.ok_or(Refusal::Forbidden(NOT_SIGNED_IN))?;
    Ok(SignedIn { account, enrolls: claims.enrolls })
}

fn mac(key: &PKey<Private>, message: &[u8]) -> Answer<Vec<u8>> {
    let mut signer = Signer::new(MessageDigest::sha256(), key).map_err(Refusal::soon)?;
    signer.sign_oneshot_to_vec(message).map_err(Refusal::soon)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(until: i64) -> Claims {
        let enrolls = Enrolls { team_id: Some(3), serial: Some("C02".into()), ..Enrolls::default() };
        Claims { account: "a".into(), enrolls, until }
    }

    #[test]
    fn a_reference_says_what_was_signed_until_its_time_is_over() {
        let key = ReferenceKey::derive(b"secret").unwrap();
        let reference = key.sign(&claims(1_000)).unwrap();
        let at = |millis| key.read(&reference, Timestamp::from_millis(millis));
        let read = at(999).unwrap();
        assert_eq!((read.account.as_str(), read.enrolls), ("a", claims(0).enrolls));
        assert!(at(1_000).is_none());
        let again = ReferenceKey::derive(b"secret").unwrap();
        assert!(again.read(&reference, Timestamp::from_millis(0)).is_some(), "after a restart");
    }

    #[test]
    fn what_we_did_not_sign_says_nothing() {
        let (key, now) = (ReferenceKey::derive(b"secret").unwrap(), Timestamp::from_millis(0));
        let reference = key.sign(&claims(1_000)).unwrap();
        let (said, mac) = reference.split_once('.').unwrap();
        let other = TEXT.encode(serde_json::to_vec(&claims(i64::MAX)).unwrap());
        let foreign = ReferenceKey::derive(b"another").unwrap().sign(&claims(1_000)).unwrap();
        let short = format!("{said}.{}", &mac[..mac.len() - 4]);
        let forged = [
            String::new(),
            said.into(),
            format!("{said}."),
            format!("{other}.{mac}"),
            format!(".{mac}"),
            foreign,
            short,
        ];
        for reference in forged {
            assert!(key.read(&reference, now).is_none(), "{reference}");
        }
        assert!(key.read(&format!("{reference}{}", "A".repeat(MAX_BYTES)), now).is_none());
    }
}
