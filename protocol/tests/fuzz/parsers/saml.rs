//! SAML: the response of a real provider, and its metadata. Whatever becomes of the response, it never says another person. Without the
//! feature there is nothing to feed.

/// A response, and metadata.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    [include_str!("../saml/response.xml"), include_str!("../saml/metadata.xml")]
        .map(|text| text.as_bytes().to_vec())
        .to_vec()
}

#[cfg(not(feature = "saml"))]
pub(crate) fn read(_: &[u8]) {}

#[cfg(feature = "saml")]
pub(crate) fn read(input: &[u8]) {
    use std::sync::LazyLock;

    use openssl::base64::encode_block;
    use protocol::saml::metadata::Provider;
    use protocol::saml::response::{Expected, verify};
    use protocol::time::Timestamp;

    static PROVIDER: LazyLock<Provider> =
        LazyLock::new(|| Provider::parse(include_str!("../saml/metadata.xml")).unwrap());
    let expected = Expected {
        provider: &PROVIDER.entity_id,
        entity_id: "https://mdm.example.com/mdm/sso/metadata",
        consumer_url: "https://mdm.example.com/mdm/sso/callback",
        request_id: "_request",
        keys: &PROVIDER.keys,
        now: Timestamp::parse_rfc3339("2026-11-28T14:01:28.069Z").unwrap(),
    };
    let text = String::from_utf8_lossy(input);
    let _ = Provider::parse(&text);
    let _ = verify(&text, &expected);
    let said = verify(&encode_block(input), &expected);
    if input == include_bytes!("../saml/response.xml") {
        assert!(said.is_ok(), "the response as it came: {said:?}");
    }
    if let Ok(said) = said {
        assert_eq!((said.name_id.as_str(), said.email()), ("ada@example.com", Some("ada@example.com")));
    }
}
