//! What an opaque enrollment token holds: a token of this server, as it is or wrapped, or the key of an agent (Fleet's
//! `{"type":…,"payload":{…}}`).

use std::fmt;

use serde::Deserialize;

use super::base64_text;

/// The longest token, in bytes.
const MAX_BYTES: usize = 16 * 1024;

/// Whose word a token is.
#[derive(Clone, PartialEq, Eq)]
pub enum AccessToken {
    /// The agent's on the same host: its node key.
    Agent(String),
    /// This server's own.
    Own(String),
}

#[derive(Deserialize)]
struct Wrapped {
    #[serde(rename = "type")]
    kind: i64,
    payload: Payload,
}

#[derive(Deserialize)]
struct Payload {
    #[serde(default)]
    orbit_node_key: String,
    #[serde(default)]
    auth_token: String,
}

impl AccessToken {
    /// Reads a token after its base64 was undone. Some callers of Windows encode what they give it themselves, so that
    /// a second layer is undone where there is JSON under it. `None`: it is no token.
    pub fn read(value: &[u8]) -> Option<Self> {
        if value.len() > MAX_BYTES {
            return None;
        }
        let text = std::str::from_utf8(value).ok()?.trim();
        let inner = base64_text(text).and_then(|inner| String::from_utf8(inner).ok());
        let inner = inner.filter(|inner| inner.trim_start().starts_with('{'));
        let text = inner.as_deref().unwrap_or(text);
        if !text.trim_start().starts_with('{') {
            let sound = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
            return sound.then(|| Self::Own(text.to_owned()));
        }
        let wrapped: Wrapped = serde_json::from_str(text).ok()?;
        match (wrapped.kind, wrapped.payload) {
            (1, payload) if !payload.orbit_node_key.is_empty() => Some(Self::Agent(payload.orbit_node_key)),
            (2, payload) if !payload.auth_token.is_empty() => Some(Self::Own(payload.auth_token)),
            _ => None,
        }
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Agent(_) => "the key of an agent",
            Self::Own(_) => "a token of this server",
        })
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    #[test]
    fn agents_and_pages_give_tokens_in_their_own_ways() {
        let of_agent = r#"{"type":1,"payload":{"orbit_node_key":"k","auth_token":""}}"#;
        let agent = Some(AccessToken::Agent("k".into()));
        assert_eq!(AccessToken::read(of_agent.as_bytes()), agent);
        assert_eq!(AccessToken::read(STANDARD.encode(of_agent).as_bytes()), agent, "encoded twice");
        let own = Some(AccessToken::Own("0123abcd".into()));
        assert_eq!(AccessToken::read(br#"{"type":2,"payload":{"auth_token":"0123abcd"}}"#), own);
        assert_eq!(AccessToken::read(b" 0123abcd\n"), own);
    }

    #[test]
    fn what_is_no_token_is_none() {
        for text in [
            "",
            " ",
            "two words",
            "{",
            r#"{"type":1,"payload":{}}"#,
            r#"{"type":2,"payload":{"orbit_node_key":"k"}}"#,
            r#"{"type":3,"payload":{"orbit_node_key":"k","auth_token":"t"}}"#,
            r#"{"type":1}"#,
            r#"{"type":1,"payload":{"orbit_node_key":7}}"#,
            "\u{fffd}",
        ] {
            assert_eq!(AccessToken::read(text.as_bytes()), None, "{text}");
        }
        assert_eq!(AccessToken::read(&[0xff]), None);
        assert_eq!(AccessToken::read(&vec![b'a'; MAX_BYTES + 1]), None);
        assert!(!format!("{:?}", AccessToken::read(b"secret")).contains("secret"));
    }
}
