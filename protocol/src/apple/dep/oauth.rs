//! How the server asks for a session: one request, signed by OAuth 1.0 (RFC 5849) with HMAC-SHA1.
//!
//! Never here: a clock and random numbers; moment and nonce are arguments, and the caller uses no nonce twice. Start with
//! [`authorization`]; the secrets themselves never stand in what it makes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sign::Signer;
use zeroize::Zeroizing;

use super::token::ServerToken;
use crate::percent::{percent_decoded, percent_encoded};
use crate::time::Timestamp;

/// The path at the service that gives a session.
pub const SESSION_PATH: &str = "/session";

/// The value of the header `Authorization` of a `GET` to `url`.
///
/// # Errors
/// OpenSSL refuses the key.
pub fn authorization(token: &ServerToken, url: &str, at: Timestamp, nonce: &str) -> Result<String, ErrorStack> {
    let seconds = at.seconds().to_string();
    let parameters = [
        ("oauth_consumer_key", token.consumer_key.as_str()),
        ("oauth_nonce", nonce),
        ("oauth_signature_method", "HMAC-SHA1"),
        ("oauth_timestamp", &seconds),
        ("oauth_token", &token.access_token),
        ("oauth_version", "1.0"),
    ];
    let signature = signature(&base("GET", url, &parameters), &token.consumer_secret, &token.access_secret)?;
    let mut header = String::from("OAuth realm=\"ADM\"");
    for (name, value) in parameters.into_iter().chain([("oauth_signature", signature.as_str())]) {
        header += &format!(", {name}=\"{}\"", percent_encoded(value));
    }
    Ok(header)
}

/// HMAC-SHA1 of a signature base string (RFC 5849, section 3.4.2).
fn signature(base: &str, consumer_secret: &str, access_secret: &str) -> Result<String, ErrorStack> {
    let parts = [consumer_secret, access_secret].map(|part| Zeroizing::new(percent_encoded(part)));
    let secret = Zeroizing::new(format!("{}&{}", *parts[0], *parts[1]));
    let key = PKey::hmac(secret.as_bytes())?;
    let code = Signer::new(MessageDigest::sha1(), &key)?.sign_oneshot_to_vec(base.as_bytes())?;
    Ok(STANDARD.encode(code))
}

/// The signature base string (RFC 5849, section 3.4.1) of a request whose parameters are these and those of its query.
fn base(method: &str, url: &str, parameters: &[(&str, &str)]) -> String {
    let url = url.split('#').next().unwrap_or_default();
    let (address, query) = url.split_once('?').unwrap_or((url, ""));
    let of_query = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (form_decoded(name), form_decoded(value))
    });
    let own = parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let encoded = |(name, value): (String, String)| (percent_encoded(&name), percent_encoded(&value));
    let mut all: Vec<(String, String)> = of_query.chain(own).map(encoded).collect();
    all.sort();
    let all: Vec<String> = all.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    format!("{method}&{}&{}", percent_encoded(&base_uri(address)), percent_encoded(&all.join("&")))
}

/// The base string URI (RFC 5849, section 3.4.1.2): scheme and host in lower case, no default port.
fn base_uri(address: &str) -> String {
    let (scheme, rest) = address.split_once("://").unwrap_or(("https", address));
    let (authority, path) = rest.find('/').map_or((rest, "/"), |slash| rest.split_at(slash));
    let (scheme, authority) = (scheme.to_ascii_lowercase(), authority.to_ascii_lowercase());
    let default = if scheme == "http" { ":80" } else { ":443" };
    let authority = authority.strip_suffix(default).unwrap_or(&authority);
    format!("{scheme}://{authority}{path}")
}

fn form_decoded(text: &str) -> String {
    String::from_utf8_lossy(&percent_decoded(text.replace('+', " ").as_bytes())).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_string_is_that_of_the_rfc() {
        // Section 3.4.1.1, with the body's parameters among the others.
        let parameters = [
            ("oauth_consumer_key", "9djdj82h48djs9d2"),
            ("oauth_token", "kkk9d7dh3k39sjv7"),
            ("oauth_signature_method", "HMAC-SHA1"),
            ("oauth_timestamp", "137131201"),
            ("oauth_nonce", "7d8f3e4a"),
            ("c2", ""),
            ("a3", "2 q"),
        ];
        let expected = "POST&http%3A%2F%2Fexample.com%2Frequest&a2%3Dr%2520b%26a3%3D2%2520q%26a3%3Da%26b5%3D%253D%25253D%26c\
            %2540%3D%26c2%3D%26oauth_consumer_key%3D9djdj82h48djs9d2%26oauth_nonce%3D7d8f3e4a%26oauth_signature_method\
            %3DHMAC-SHA1%26oauth_timestamp%3D137131201%26oauth_token%3Dkkk9d7dh3k39sjv7";
        let url = "http://EXAMPLE.COM:80/request?b5=%3D%253D&a3=a&c%40=&a2=r%20b";
        assert_eq!(base("POST", url, &parameters), expected);
    }

    #[test]
    fn the_signature_is_that_of_the_rfc() {
        // Section 1.2: a request to http://photos.example.net.
        let parameters = [
            ("oauth_consumer_key", "dpf43f3p2l4k3l03"),
            ("oauth_token", "nnch734d00sl2jdk"),
            ("oauth_signature_method", "HMAC-SHA1"),
            ("oauth_timestamp", "137131202"),
            ("oauth_nonce", "chapoH"),
        ];
        let base = base("GET", "http://photos.example.net/photos?file=vacation.jpg&size=original", &parameters);
        let signature = signature(&base, "kd94hf93k423kf44", "pfkkdhi9sl3r4s00").unwrap();
        assert_eq!(percent_encoded(&signature), "MdpQcU8iPSUjWoN%2FUDMsK2sui9I%3D");
    }

    #[test]
    fn the_address_loses_its_default_port_alone() {
        assert_eq!(base_uri("HTTPS://MDMEnrollment.apple.com:443/Session"), "https://mdmenrollment.apple.com/Session");
        assert_eq!(base_uri("https://127.0.0.1:8443"), "https://127.0.0.1:8443/");
        assert_eq!(base_uri("http://127.0.0.1:443/session"), "http://127.0.0.1:443/session");
        assert!(base("GET", "https://a/session#part", &[]).ends_with("%2Fsession&"));
    }

    #[test]
    fn the_header_has_everything_that_the_service_asks_for() {
        let token = ServerToken {
            consumer_key: "CK_1".into(),
            consumer_secret: Zeroizing::new("CS_1".into()),
            access_token: Zeroizing::new("AT_1".into()),
            access_secret: Zeroizing::new("AS_1".into()),
            access_token_expiry: Timestamp::from_seconds(2_000_000_000),
        };
        let at = Timestamp::from_seconds(1_795_253_400);
        let header = authorization(&token, "https://mdmenrollment.apple.com/session", at, "n+1").unwrap();
        let begin = "OAuth realm=\"ADM\", oauth_consumer_key=\"CK_1\", oauth_nonce=\"n%2B1\", \
            oauth_signature_method=\"HMAC-SHA1\", oauth_timestamp=\"1795253400\", oauth_token=\"AT_1\", oauth_version=\"1.0\", \
            oauth_signature=\"";
        assert!(header.starts_with(begin) && header.ends_with("%3D\""), "{header}");
        assert!(!header.contains("CS_1") && !header.contains("AS_1"));
    }
}
