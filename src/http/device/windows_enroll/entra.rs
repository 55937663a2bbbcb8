//! Tokens of Entra ID: who signed in there, for which tenant, and for whom the token is.
//!
//! Microsoft signs the tokens of all its customers with the same keys, so that a signature alone says nothing: the tenant must be
//! one of ours, and the token must be for this server. Without tenants nothing is accepted. Start with `Entra::verify`.

use std::time::Instant;

use entities::windows_admission::Title;
use openssl::sha::sha256;
use protocol::time::Timestamp;
use reqwest::Client;
use serde::Deserialize;

use crate::http::oidc::{Audience, KnownKeys, OidcError, TokenFault, client};

/// How much clocks may differ, in seconds.
const SKEW: i64 = 60;
/// What a token must allow.
const SCOPE: &str = "mdm_delegation";

/// Which tokens are accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntraConfig {
    /// The tenants, by their ids.
    pub tenants: Vec<String>,
    /// The client id of the MDM application; for which newer tokens are.
    pub client_id: String,
    /// The address of this server, `https://host[:port]`; for which older tokens are.
    pub server_url: String,
    /// Where Entra ID publishes its keys.
    pub keys_url: String,
}

/// The judge of tokens.
pub struct Entra {
    config: EntraConfig,
    client: Client,
    keys: KnownKeys,
}

/// Somebody who signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Account {
    /// Their tenant.
    pub(super) tenant: String,
    /// Their name there.
    pub(super) upn: String,
    /// When the token ends, in seconds since 1970.
    ends: i64,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: Audience,
    tid: String,
    exp: f64,
    nbf: f64,
    #[serde(default)]
    scp: String,
    upn: Option<String>,
    preferred_username: Option<String>,
    unique_name: Option<String>,
}

impl std::fmt::Debug for Entra {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Entra({} tenants)", self.config.tenants.len())
    }
}

impl Entra {
    /// A judge; nothing is asked of Entra ID yet.
    ///
    /// # Errors
    /// There is no TLS.
    pub fn new(config: EntraConfig) -> Result<Self, String> {
        Ok(Self { config, client: client(None)?, keys: KnownKeys::default() })
    }

    /// Who a token says signed in, if all of it holds.
    ///
    /// # Errors
    /// It does not, or the keys are out of reach.
    pub(super) async fn verify(&self, token: &str, now: Timestamp) -> Result<Account, OidcError> {
        let request = async || Ok(self.client.get(&self.config.keys_url));
        let mut keys = self.keys.get(Instant::now(), false, request).await?;
        let mut payload = keys.open(token, &["RS256"], true);
        if payload == Err(TokenFault::UnknownKey) {
            keys = self.keys.get(Instant::now(), true, request).await?;
            payload = keys.open(token, &["RS256"], true);
        }
        let account = payload.and_then(|payload| self.config.judge(&payload, now.seconds()));
        account.map_err(|fault| OidcError::Refused(fault.to_string()))
    }
}

impl EntraConfig {
    /// Who signed in, by what a token holds that was signed by Microsoft.
    fn judge(&self, payload: &[u8], now: i64) -> Result<Account, TokenFault> {
        let refused = TokenFault::Refused;
        let claims: Claims =
            serde_json::from_slice(payload).map_err(|_| refused("lacks something that it must hold"))?;
        let tenant = claims.tid.to_ascii_lowercase();
        if !self.tenants.iter().any(|known| known.eq_ignore_ascii_case(&tenant)) {
            return Err(refused("is of another tenant"));
        }
        let is_for_us = |audience: &str| {
            if claims.iss.eq_ignore_ascii_case(&format!("https://sts.windows.net/{tenant}/")) {
                Some(is_address_of(audience, &self.server_url))
            } else if claims.iss.eq_ignore_ascii_case(&format!("https://login.microsoftonline.com/{tenant}/v2.0")) {
                Some(!self.client_id.is_empty() && audience.eq_ignore_ascii_case(&self.client_id))
            } else {
                None
            }
        };
        let Audience::One(audience) = &claims.aud else { return Err(refused("is for several")) };
        match is_for_us(audience) {
            None => return Err(refused("is another issuer's")),
            Some(false) => return Err(refused("is for somebody else")),
            Some(true) => {}
        }
        let (exp, nbf) = (claims.exp as i64, claims.nbf as i64);
        if exp.saturating_add(SKEW) <= now {
            return Err(refused("is over: is the clock right?"));
        }
        if nbf.saturating_sub(SKEW) > now {
            return Err(refused("does not count yet: is the clock right?"));
        }
        if !claims.scp.split(' ').any(|scope| scope == SCOPE) {
            return Err(refused("does not allow management"));
        }
        let upn = [claims.upn, claims.preferred_username, claims.unique_name].into_iter().flatten();
        let is_name = |name: &String| !name.trim().is_empty() && name.len() <= 255 && !name.contains(char::is_control);
        let upn = upn.into_iter().find(is_name).ok_or(refused("names no user"))?;
        Ok(Account { tenant, upn, ends: exp })
    }
}

impl Account {
    /// What the account's token entitles to. What was signed of it is hashed, and not how the signature is written, which can be
    /// done in several ways.
    pub(super) fn title(self, token: &str) -> Title {
        let signed = token.rsplit_once('.').map_or(token, |(signed, _)| signed);
        Title::Directory {
            hash: sha256(signed.as_bytes()).to_vec(),
            expires_at: Timestamp::from_seconds(self.ends.saturating_add(SKEW)).millis(),
            owner: format!("entra:{}:{}", self.tenant, self.upn.to_lowercase()),
            upn: self.upn,
        }
    }
}

/// Whether an audience is the address of this server, as administrators write it there: with or without the scheme.
fn is_address_of(audience: &str, server_url: &str) -> bool {
    let bare = |url: &str| {
        let url = url.to_ascii_lowercase();
        let url = url.strip_prefix("https://").unwrap_or(&url).trim_end_matches('/').to_owned();
        url.strip_suffix(":443").map(str::to_owned).unwrap_or(url)
    };
    !bare(server_url).is_empty() && bare(audience) == bare(server_url)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const NOW: i64 = 1_800_000_000;
    const TENANT: &str = "11111111-2222-4333-8444-555555555555";
    const CLIENT: &str = "99999999-2222-4333-8444-555555555555";

    fn config() -> EntraConfig {
        EntraConfig {
            tenants: vec![TENANT.to_uppercase()],
            client_id: CLIENT.into(),
            server_url: "https://mdm.example.test".into(),
            keys_url: String::new(),
        }
    }

    fn old() -> Value {
        json!({
            "iss": format!("https://sts.windows.net/{TENANT}/"), "aud": "https://mdm.example.test/", "tid": TENANT,
            "exp": NOW + 3600, "nbf": NOW - 5, "scp": "user.read mdm_delegation", "upn": "Ana@example.test",
        })
    }

    fn new() -> Value {
        json!({
            "iss": format!("https://login.microsoftonline.com/{TENANT}/v2.0"), "aud": CLIENT, "tid": TENANT,
            "exp": NOW + 3600, "nbf": NOW, "scp": "mdm_delegation", "preferred_username": "ana@example.test",
        })
    }

    fn judge(claims: &Value) -> Result<Account, TokenFault> {
        config().judge(claims.to_string().as_bytes(), NOW)
    }

    #[test]
    fn older_and_newer_tokens_are_for_us_in_their_own_ways() {
        let account = judge(&old()).unwrap();
        assert_eq!((account.tenant.as_str(), account.upn.as_str()), (TENANT, "Ana@example.test"));
        let Title::Directory { owner, upn, expires_at, hash } = account.title("head.claims.signature") else {
            panic!("it is one of a directory")
        };
        assert_eq!((owner, upn), (format!("entra:{TENANT}:ana@example.test"), "Ana@example.test".into()));
        assert_eq!((expires_at, hash), ((NOW + 3600 + SKEW) * 1000, sha256(b"head.claims").to_vec()));
        assert_eq!(judge(&new()).unwrap().upn, "ana@example.test");
        for audience in ["mdm.example.test", "https://MDM.example.test:443", "https://mdm.example.test"] {
            let mut claims = old();
            claims["aud"] = audience.into();
            assert!(judge(&claims).is_ok(), "{audience}");
        }
    }

    #[test]
    fn every_claim_counts() {
        let other = "22222222-2222-4333-8444-555555555555";
        for (claims, name, value) in [
            (old(), "tid", json!(other)),
            (old(), "tid", Value::Null),
            (old(), "iss", json!(format!("https://sts.windows.net/{other}/"))),
            (old(), "iss", json!(format!("https://sts.windows.net/{TENANT}"))),
            (old(), "iss", json!("https://login.example.com/")),
            (old(), "iss", Value::Null),
            (old(), "aud", json!("https://mdm.example.test.evil.test")),
            (old(), "aud", json!("https://mdm.example.test:8443")),
            (old(), "aud", json!("http://mdm.example.test")),
            (old(), "aud", json!(CLIENT)),
            (old(), "aud", json!("")),
            (old(), "aud", json!(["https://mdm.example.test", "other"])),
            (old(), "aud", Value::Null),
            (new(), "aud", json!("https://mdm.example.test")),
            (new(), "aud", json!("00000003-0000-0000-c000-000000000000")),
            (old(), "exp", json!(NOW - SKEW)),
            (old(), "exp", Value::Null),
            (old(), "exp", json!("never")),
            (old(), "nbf", json!(NOW + SKEW + 1)),
            (old(), "nbf", Value::Null),
            (old(), "scp", json!("mdm_delegation_not")),
            (old(), "scp", Value::Null),
            (old(), "upn", Value::Null),
            (old(), "upn", json!(" ")),
            (old(), "upn", json!("a\u{0}b")),
        ] {
            let mut claims = claims;
            match &value {
                Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
                value => claims[name] = value.clone(),
            }
            assert!(judge(&claims).is_err(), "{name}: {value}");
        }
        let nobody = EntraConfig { tenants: Vec::new(), ..config() };
        assert!(nobody.judge(old().to_string().as_bytes(), NOW).is_err(), "no tenants: nobody");
        let nameless = EntraConfig { client_id: String::new(), ..config() };
        let mut claims = new();
        claims["aud"] = "".into();
        assert!(nameless.judge(claims.to_string().as_bytes(), NOW).is_err(), "no client id: no newer tokens");
    }
}
