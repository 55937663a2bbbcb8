//! What orbit says besides its enrollment: the token of its host's desktop, who uses the host, and what it is able to do.

use serde::Deserialize;

use super::{AgentError, read, secret};

/// Characters of a token; what is shorter can be guessed.
const TOKEN: std::ops::RangeInclusive<usize> = 16..=255;
/// The longest mail address (RFC 5321, 4.5.3.1.3).
const MAX_EMAIL: usize = 254;

/// The token by which the desktop of a host is known from now on.
#[derive(Clone, PartialEq, Eq)]
pub struct DeviceToken {
    /// The key by which orbit says who it is.
    pub node_key: String,
    /// The token.
    pub token: String,
}

/// Who uses a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceUser {
    /// The key by which orbit says who it is.
    pub node_key: String,
    /// The user's mail address; empty for nobody.
    pub email: String,
}

#[derive(Deserialize)]
struct Token {
    orbit_node_key: String,
    device_auth_token: String,
}

#[derive(Deserialize)]
struct User {
    orbit_node_key: String,
    #[serde(default)]
    email: String,
}

/// Reads the token that orbit made for its host's desktop.
///
/// # Errors
/// It is no such message, or the token is none that nobody can guess and that fits into an address.
pub fn device_token(body: &[u8]) -> Result<DeviceToken, AgentError> {
    let Token { orbit_node_key, device_auth_token: token } = read(body)?;
    if !is_device_token(&token) {
        return Err(AgentError("a device token has 16 to 255 letters, digits, - and _".into()));
    }
    Ok(DeviceToken { node_key: secret(orbit_node_key)?, token })
}

/// Whether a text has the form of a desktop's token.
pub fn is_device_token(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    TOKEN.contains(&text.len()) && text.bytes().all(fits)
}

/// Reads who uses the host of an orbit.
///
/// # Errors
/// It is no such message, or no mail address.
pub fn device_user(body: &[u8]) -> Result<DeviceUser, AgentError> {
    let User { orbit_node_key, email } = read(body)?;
    let email = email.trim().to_owned();
    let is_address = email.len() <= MAX_EMAIL
        && email.split_once('@').is_some_and(|(name, domain)| !name.is_empty() && !domain.is_empty())
        && !email.contains(|one: char| one.is_control() || one.is_whitespace());
    if !email.is_empty() && !is_address {
        return Err(AgentError("this is no mail address".into()));
    }
    Ok(DeviceUser { node_key: secret(orbit_node_key)?, email })
}

/// Whether a header value with the names of abilities, separated by commas, has this one among them.
pub fn names_ability(header: &str, ability: &str) -> bool {
    header.split(',').any(|name| name.trim() == ability)
}

impl std::fmt::Debug for DeviceToken {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("DeviceToken")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_cannot_be_guessed_and_fit_into_an_address() {
        let read =
            |token: &str| device_token(format!(r#"{{"orbit_node_key":"k","device_auth_token":"{token}"}}"#).as_bytes());
        assert_eq!(read("5d2ed1a1-8c4e-4b5c-9f62-1f0f4a1f8f6e").unwrap().node_key, "k");
        for bad in ["", "short", "with/slash/in/it/aaaa", &"a".repeat(256)] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_user_is_a_mail_address_or_nobody() {
        let read = |email: &str| device_user(format!(r#"{{"orbit_node_key":"k","email":"{email}"}}"#).as_bytes()).ok();
        assert_eq!(read(" ana@example.com ").unwrap().email, "ana@example.com");
        assert_eq!(read("").unwrap().email, "");
        for bad in ["ana", "@example.com", "ana@", "a b@example.com", &format!("{}@b", "a".repeat(260))] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn abilities_are_whole_names() {
        assert!(names_ability("escrow_buddy, windows_mdm_sync", "windows_mdm_sync"));
        assert!(!names_ability("windows_mdm_sync2", "windows_mdm_sync"));
    }
}
