//! The id token: what the provider says about somebody, signed. Pure: keys, time and everything that it must hold are
//! arguments (OpenID Connect Core 1.0, 3.1.3.7).
//!
//! The algorithm is never what the token wishes: a key verifies RS256 if it is an RSA key, ES256 if it is one on P-256, and
//! nothing else.

use josekit::jwk::JwkSet;
use josekit::jws::{self, ES256, JwsHeader, JwsVerifier, RS256};
use serde::Deserialize;
use serde_json::Value;

use super::Person;

/// How much clocks may differ, in seconds.
const SKEW: i64 = 60;
/// The greatest age of a token, in seconds: it was made for the code that was exchanged a moment ago.
const OLDEST: i64 = 600;
/// The longest token.
const MAX_BYTES: usize = 64 * 1024;

/// The provider's keys, as far as they can verify an id token.
#[derive(Debug)]
pub(in crate::http) struct Keys(Vec<(Option<String>, Box<dyn JwsVerifier>)>);

/// What a token must hold.
pub(super) struct Expected<'a> {
    /// Who made it.
    pub(super) issuer: &'a str,
    /// For whom.
    pub(super) client_id: &'a str,
    /// For which sign-in.
    pub(super) nonce: &'a str,
    /// Now, in seconds since 1970.
    pub(super) now: i64,
}

/// Why a token does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::http) enum TokenFault {
    /// None of the keys is the one that it names; there may be newer ones.
    #[error("the token is signed with a key that the issuer does not publish")]
    UnknownKey,
    /// Anything else.
    #[error("the token {0}")]
    Refused(&'static str),
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: Audience,
    azp: Option<String>,
    exp: f64,
    iat: f64,
    nonce: Option<String>,
    email: Option<String>,
    email_verified: Option<Value>,
    name: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(in crate::http) enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Keys {
    /// Reads a JWK set (RFC 7517, 5); keys of other kinds and for other uses are left out.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let set = JwkSet::from_bytes(text).ok()?;
        let keys = set.keys().into_iter().filter_map(|jwk| {
            // Which key a token names is looked at here, so that one without a name can be used where it is the only one.
            let rsa = RS256.verifier_from_jwk(jwk).map(|mut key| {
                key.remove_key_id();
                Box::new(key) as Box<dyn JwsVerifier>
            });
            let key = rsa.or_else(|_| {
                ES256.verifier_from_jwk(jwk).map(|mut key| {
                    key.remove_key_id();
                    Box::new(key) as Box<dyn JwsVerifier>
                })
            });
            Some((jwk.key_id().map(str::to_owned), key.ok()?))
        });
        Some(Self(keys.collect()))
    }

    /// What a token holds that one of these keys signed with one of these algorithms; it may have to name its key.
    ///
    /// # Errors
    /// See [`TokenFault`].
    pub(in crate::http) fn open(
        &self,
        token: &str,
        algorithms: &[&str],
        must_name: bool,
    ) -> Result<Vec<u8>, TokenFault> {
        if token.len() > MAX_BYTES {
            return Err(TokenFault::Refused("is too long"));
        }
        let found = std::cell::Cell::new(true);
        let opened = jws::deserialize_compact_with_selector(token, |header| {
            let is_signed = header.algorithm().is_some_and(|algorithm| algorithms.contains(&algorithm))
                && (header.key_id().is_some() || !must_name);
            let key = self.of(header).filter(|_| is_signed);
            found.set(key.is_some() || !is_signed);
            Ok(key)
        });
        match opened {
            Ok((payload, _)) => Ok(payload),
            Err(_) if !found.get() => Err(TokenFault::UnknownKey),
            Err(_) => Err(TokenFault::Refused("is not signed by the issuer with an algorithm that is accepted")),
        }
    }

    fn of(&self, header: &JwsHeader) -> Option<&dyn JwsVerifier> {
        let mut fitting = self.0.iter().filter(|(_, key)| header.algorithm() == Some(key.algorithm().name()));
        match header.key_id() {
            Some(id) => fitting.find(|(known, _)| known.as_deref() == Some(id)).map(|(_, key)| key.as_ref()),
            // Core 1.0, 10.1: without a name only if there is no choice.
            None => fitting.next().filter(|_| fitting.next().is_none()).map(|(_, key)| key.as_ref()),
        }
    }
}

/// Who signed in, if the token holds.
///
/// # Errors
/// See [`TokenFault`].
pub(super) fn verify(token: &str, keys: &Keys, expected: &Expected<'_>) -> Result<Person, TokenFault> {
    let payload = keys.open(token, &["RS256", "ES256"], false)?;
    let claims: Claims = serde_json::from_slice(&payload).map_err(|_| TokenFault::Refused("cannot be read"))?;
    check(&claims, expected)?;
    let email =
        claims.email.ok_or(TokenFault::Refused("names no email address: release the claim email to Rookery"))?;
    // Some providers write booleans as texts.
    match claims.email_verified {
        None | Some(Value::Bool(true)) => {}
        Some(Value::String(text)) if text == "true" => {}
        Some(_) => return Err(TokenFault::Refused("says that the email address is not verified")),
    }
    Ok(Person { email, name: claims.name.unwrap_or_default() })
}

fn check(claims: &Claims, expected: &Expected<'_>) -> Result<(), TokenFault> {
    let refused = |why| Err(TokenFault::Refused(why));
    if claims.iss != expected.issuer {
        return refused("is another issuer's");
    }
    let (is_ours, is_shared) = match &claims.aud {
        Audience::One(one) => (one == expected.client_id, false),
        Audience::Many(many) => (many.iter().any(|one| one == expected.client_id), many.len() > 1),
    };
    let azp = claims.azp.as_deref();
    if !is_ours || is_shared && azp.is_none() || azp.is_some_and(|azp| azp != expected.client_id) {
        return refused("is for somebody else");
    }
    if claims.nonce.as_deref() != Some(expected.nonce) {
        return refused("is for another sign-in");
    }
    let (exp, iat) = (claims.exp as i64, claims.iat as i64);
    if exp.saturating_add(SKEW) <= expected.now {
        return refused("is over: is the clock right?");
    }
    if iat.saturating_sub(SKEW) > expected.now || iat.saturating_add(OLDEST) < expected.now {
        return refused("was not made just now: is the clock right?");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use josekit::jwk::Jwk;
    use josekit::jwk::alg::ec::EcCurve;
    use josekit::jws::alg::rsassa::RsassaJwsSigner;
    use josekit::jws::{HS256, JwsSigner, RS384};
    use serde_json::json;

    use super::*;

    const NOW: i64 = 1_800_000_000;
    const EXPECTED: Expected<'_> =
        Expected { issuer: "https://login.example.com", client_id: "rookery", nonce: "n-0S6", now: NOW };

    fn key(jwk: Result<Jwk, josekit::JoseError>, id: &str) -> Jwk {
        let mut jwk = jwk.unwrap();
        jwk.set_key_id(id);
        jwk
    }

    fn published(keys: &[&Jwk]) -> Keys {
        let public: Vec<Value> = keys
            .iter()
            .map(|key| {
                let mut public = key.to_public_key().unwrap();
                public.set_key_id(key.key_id().unwrap());
                Value::Object(public.as_ref().clone())
            })
            .collect();
        Keys::parse(json!({ "keys": public }).to_string().as_bytes()).unwrap()
    }

    fn claims() -> Value {
        json!({
            "iss": "https://login.example.com", "aud": "rookery", "sub": "1", "nonce": "n-0S6",
            "exp": NOW + 300, "iat": NOW, "email": "ada@example.com", "email_verified": true, "name": "Ada",
        })
    }

    /// A signer that leaves it to the header which key it names.
    fn rs256(jwk: &Jwk) -> RsassaJwsSigner {
        let mut signer = RS256.signer_from_jwk(jwk).unwrap();
        signer.remove_key_id();
        signer
    }

    fn signed(claims: &Value, id: Option<&str>, signer: &dyn JwsSigner) -> String {
        let mut header = JwsHeader::new();
        if let Some(id) = id {
            header.set_key_id(id);
        }
        jws::serialize_compact(claims.to_string().as_bytes(), &header, signer).unwrap()
    }

    #[test]
    fn both_algorithms_say_who_it_is() {
        let (rsa, ec) = (key(Jwk::generate_rsa_key(2048), "r"), key(Jwk::generate_ec_key(EcCurve::P256), "e"));
        let keys = published(&[&rsa, &ec]);
        let ada = Ok(Person { email: "ada@example.com".into(), name: "Ada".into() });
        let by_rsa = signed(&claims(), Some("r"), &rs256(&rsa));
        let by_ec = signed(&claims(), Some("e"), &ES256.signer_from_jwk(&ec).unwrap());
        assert_eq!(verify(&by_rsa, &keys, &EXPECTED), ada);
        assert_eq!(verify(&by_ec, &keys, &EXPECTED), ada);
        assert_eq!(verify(&by_ec, &published(&[&rsa]), &EXPECTED), Err(TokenFault::UnknownKey));
    }

    #[test]
    fn the_token_does_not_choose_its_algorithm() {
        let rsa = key(Jwk::generate_rsa_key(2048), "r");
        let (keys, mut header) = (published(&[&rsa]), JwsHeader::new());
        header.set_key_id("r");
        let unsigned = jws::serialize_compact(claims().to_string().as_bytes(), &header, &Unsigned).unwrap();
        // The oldest trick: the public key, which everybody knows, as the secret of an HMAC.
        let public = RS256.key_pair_from_pem(rsa_pem(&rsa)).unwrap().to_pem_public_key();
        let by_public = signed(&claims(), Some("r"), &HS256.signer_from_bytes(&public).unwrap());
        let mut other = rsa.clone();
        other.set_algorithm("RS384");
        let by_other = signed(&claims(), Some("r"), &RS384.signer_from_jwk(&other).unwrap());
        for token in [unsigned, by_public, by_other] {
            let why = verify(&token, &keys, &EXPECTED);
            assert_eq!(
                why,
                Err(TokenFault::Refused("is not signed by the issuer with an algorithm that is accepted")),
                "{token}"
            );
        }
    }

    #[test]
    fn a_token_that_somebody_changed_or_made_is_refused() {
        let (rsa, foreign) = (key(Jwk::generate_rsa_key(2048), "r"), key(Jwk::generate_rsa_key(2048), "r"));
        let keys = published(&[&rsa]);
        let token = signed(&claims(), Some("r"), &rs256(&rsa));
        let mut other = claims();
        other["email"] = "root@example.com".into();
        let forged = signed(&other, Some("r"), &rs256(&foreign));
        let parts = |token: &str| token.split('.').map(str::to_owned).collect::<Vec<_>>();
        let mixed = [&parts(&token)[0], &parts(&forged)[1], &parts(&token)[2]].map(String::as_str).join(".");
        let cut = token[..token.len() - 4].to_owned();
        for token in [forged, mixed, cut, format!("{token}.{token}"), String::new(), "x".repeat(MAX_BYTES + 1)] {
            assert!(matches!(verify(&token, &keys, &EXPECTED), Err(TokenFault::Refused(_))), "{token}");
        }
        let unknown = signed(&claims(), Some("other"), &rs256(&rsa));
        assert_eq!(verify(&unknown, &keys, &EXPECTED), Err(TokenFault::UnknownKey));
        let nameless = signed(&claims(), None, &rs256(&rsa));
        assert!(verify(&nameless, &keys, &EXPECTED).is_ok(), "there is no choice");
        let two = published(&[&rsa, &key(Jwk::generate_rsa_key(2048), "s")]);
        assert_eq!(verify(&nameless, &two, &EXPECTED), Err(TokenFault::UnknownKey));
    }

    #[test]
    fn every_claim_counts() {
        let rsa = key(Jwk::generate_rsa_key(2048), "r");
        let (keys, signer) = (published(&[&rsa]), rs256(&rsa));
        let of = |name: &str, value: Value| {
            let mut claims = claims();
            match value {
                Value::Null => claims.as_object_mut().unwrap().remove(name),
                value => claims.as_object_mut().unwrap().insert(name.into(), value),
            };
            verify(&signed(&claims, Some("r"), &signer), &keys, &EXPECTED).is_ok()
        };
        for (name, value) in [
            ("iss", json!("https://login.example.com/")),
            ("iss", Value::Null),
            ("aud", json!("other")),
            ("aud", json!(["rookery", "other"])),
            ("aud", json!([])),
            ("aud", Value::Null),
            ("azp", json!("other")),
            ("nonce", json!("other")),
            ("nonce", Value::Null),
            ("exp", json!(NOW - SKEW)),
            ("exp", json!("never")),
            ("exp", Value::Null),
            ("iat", json!(NOW + SKEW + 1)),
            ("iat", json!(NOW - OLDEST - 1)),
            ("iat", Value::Null),
            ("email", Value::Null),
            ("email", json!(["ada@example.com"])),
            ("email_verified", json!(false)),
            ("email_verified", json!("false")),
            ("email_verified", json!(0)),
        ] {
            assert!(!of(name, value.clone()), "{name}: {value}");
        }
        for (name, value) in [
            ("aud", json!(["rookery"])),
            ("azp", json!("rookery")),
            ("exp", json!(NOW - SKEW + 1)),
            ("iat", json!(NOW as f64 + 0.5)),
            ("email_verified", Value::Null),
            ("email_verified", json!("true")),
            ("name", Value::Null),
        ] {
            assert!(of(name, value.clone()), "{name}: {value}");
        }
    }

    fn rsa_pem(jwk: &Jwk) -> Vec<u8> {
        josekit::jwk::alg::rsa::RsaKeyPair::from_jwk(jwk).unwrap().to_pem_private_key()
    }

    /// `alg: none`, which the library has no signer for.
    #[derive(Clone, Debug)]
    struct Unsigned;

    impl josekit::jws::JwsAlgorithm for Unsigned {
        fn name(&self) -> &str {
            "none"
        }

        fn box_clone(&self) -> Box<dyn josekit::jws::JwsAlgorithm> {
            Box::new(self.clone())
        }
    }

    impl JwsSigner for Unsigned {
        fn algorithm(&self) -> &dyn josekit::jws::JwsAlgorithm {
            self
        }

        fn signature_len(&self) -> usize {
            0
        }

        fn key_id(&self) -> Option<&str> {
            None
        }

        fn sign(&self, _: &[u8]) -> Result<Vec<u8>, josekit::JoseError> {
            Ok(Vec::new())
        }

        fn box_clone(&self) -> Box<dyn JwsSigner> {
            Box::new(self.clone())
        }
    }
}
