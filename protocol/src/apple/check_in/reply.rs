//! The replies to check-in messages that have content. Every other reply is empty.

use crate::apple::plist::{Dictionary, Value, to_xml};

/// The settings of a [`return_to_service`] reply (Apple, "ReturnToServiceResponse", iOS 26).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReturnToService {
    /// Whether the device erases itself and enrolls again without help.
    pub enabled: bool,
    /// A profile with the network to join.
    pub wifi_profile: Option<Vec<u8>>,
    /// The enrollment profile; required when the ADE profile has a `configuration_web_url`.
    pub mdm_profile: Option<Vec<u8>>,
    /// The escrowed bootstrap token; needed to keep apps.
    pub bootstrap_token: Option<Vec<u8>>,
}

/// Answers `GetBootstrapToken` with the escrowed token.
pub fn bootstrap_token(token: &[u8]) -> Vec<u8> {
    single("BootstrapToken", Value::Data(token.to_vec()))
}

/// Answers the first `UserAuthenticate`; an empty challenge asks for no credentials.
pub fn digest_challenge(challenge: &str) -> Vec<u8> {
    single("DigestChallenge", Value::String(challenge.to_owned()))
}

/// Answers `GetToken` with the token of the service.
pub fn token_data(token: &[u8]) -> Vec<u8> {
    single("TokenData", Value::Data(token.to_vec()))
}

/// Answers `ReturnToService`.
pub fn return_to_service(settings: ReturnToService) -> Vec<u8> {
    let mut entries = Dictionary::from_iter([("Enabled".to_owned(), Value::Boolean(settings.enabled))]);
    let data = [
        ("WiFiProfileData", settings.wifi_profile),
        ("MDMProfileData", settings.mdm_profile),
        ("BootstrapToken", settings.bootstrap_token),
    ];
    entries.extend(data.into_iter().filter_map(|(key, data)| Some((key.to_owned(), Value::Data(data?)))));
    single("ReturnToService", Value::Dictionary(entries))
}

fn single(key: &str, value: Value) -> Vec<u8> {
    to_xml(&Value::Dictionary(Dictionary::from_iter([(key.to_owned(), value)])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apple::plist::parse;

    fn reread(xml: &[u8]) -> Dictionary {
        parse(xml, 4096).unwrap().into_dictionary().unwrap()
    }

    #[test]
    fn each_reply_has_the_one_key_that_apple_documents() {
        assert_eq!(reread(&bootstrap_token(b"token")).get("BootstrapToken"), Some(&Value::Data(b"token".to_vec())));
        assert_eq!(reread(&digest_challenge("")).get("DigestChallenge"), Some(&Value::String(String::new())));
        assert_eq!(reread(&token_data(b"jwt")).get("TokenData"), Some(&Value::Data(b"jwt".to_vec())));
    }

    #[test]
    fn return_to_service_leaves_out_what_is_not_set() {
        let settings = ReturnToService { enabled: true, wifi_profile: Some(b"wifi".to_vec()), ..Default::default() };
        let reply = reread(&return_to_service(settings));
        let settings = reply.get("ReturnToService").and_then(Value::as_dictionary).unwrap();
        assert_eq!(settings.keys().collect::<Vec<_>>(), ["Enabled", "WiFiProfileData"]);
        assert_eq!(settings.get("Enabled"), Some(&Value::Boolean(true)));
    }
}
