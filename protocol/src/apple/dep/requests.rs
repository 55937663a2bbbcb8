//! What the service is asked, as JSON. Never here: where it is sent, and what becomes of the answer.

use serde_json::json;

/// The body of `POST /server/devices` and `POST /devices/sync`: at most so many devices, behind a cursor where there is one.
pub fn devices(cursor: Option<&str>, limit: usize) -> Vec<u8> {
    let body = match cursor {
        Some(cursor) => json!({ "cursor": cursor, "limit": limit }),
        None => json!({ "limit": limit }),
    };
    body.to_string().into_bytes()
}

/// The body of `POST /profile/devices`: these devices are assigned this profile.
pub fn assignment(profile_uuid: &str, serial_numbers: &[String]) -> Vec<u8> {
    json!({ "profile_uuid": profile_uuid, "devices": serial_numbers }).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_says_what_it_has_to() {
        assert_eq!(devices(None, 7), br#"{"limit":7}"#);
        assert_eq!(devices(Some("a\"b"), 7), br#"{"cursor":"a\"b","limit":7}"#);
        assert_eq!(assignment("U", &["S".to_owned()]), br#"{"profile_uuid":"U","devices":["S"]}"#);
    }
}
