//! A response that holds, and everything that makes one count for nothing. Responses here are signed by a key of the test's own; those
//! of a real provider come over the wire (tests/it/saml.rs of the workspace).

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use openssl::hash::{MessageDigest, hash};
use openssl::pkey::{PKey, Private, Public};
use openssl::rsa::Rsa;
use openssl::sign::Signer;

use super::canonical::canonical;
use super::request::Request;
use super::response::{Expected, Said, verify};
use super::tree::parse;
use super::{EXCLUSIVE, SIGNATURE, SamlFault};
use crate::time::Timestamp;

static KEY: LazyLock<PKey<Private>> = LazyLock::new(|| PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap());
static OTHER: LazyLock<PKey<Private>> = LazyLock::new(|| PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap());

const IDP: &str = "https://idp.example.com/";
const SP: &str = "https://mdm.example.com/saml";
const ACS: &str = "https://mdm.example.com/mdm/sso/callback";
const REQUEST: &str = "_request";
const SHA256: &str = "http://www.w3.org/2001/04/xmlenc#sha256";
const RSA: &str = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256";
const TRANSFORMS: &str = "<ds:Transform Algorithm=\"http://www.w3.org/2000/09/xmldsig#enveloped-signature\"></ds:Transform>\
                          <ds:Transform Algorithm=\"http://www.w3.org/2001/10/xml-exc-c14n#\"></ds:Transform>";

fn now() -> Timestamp {
    Timestamp::parse_rfc3339("2026-11-28T12:00:00Z").unwrap()
}

fn public(key: &PKey<Private>) -> PKey<Public> {
    PKey::public_key_from_der(&key.public_key_to_der().unwrap()).unwrap()
}

fn assertion() -> String {
    format!(
        "<saml:Assertion xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\" ID=\"_assertion\" Version=\"2.0\" \
         IssueInstant=\"2026-11-28T12:00:00Z\"><saml:Issuer>{IDP}</saml:Issuer>[SIGNATURE]<saml:Subject><saml:NameID>\
         ada@example.com</saml:NameID><saml:SubjectConfirmation Method=\"urn:oasis:names:tc:SAML:2.0:cm:bearer\">\
         <saml:SubjectConfirmationData InResponseTo=\"{REQUEST}\" NotOnOrAfter=\"2026-11-28T12:05:00Z\" Recipient=\"{ACS}\"/>\
         </saml:SubjectConfirmation></saml:Subject><saml:Conditions NotBefore=\"2026-11-28T11:59:00Z\" \
         NotOnOrAfter=\"2026-11-28T12:05:00Z\"><saml:AudienceRestriction><saml:Audience>{SP}</saml:Audience>\
         </saml:AudienceRestriction></saml:Conditions><saml:AuthnStatement AuthnInstant=\"2026-11-28T12:00:00Z\"/>\
         <saml:AttributeStatement><saml:Attribute Name=\"displayName\"><saml:AttributeValue>Ada &amp; Co</saml:AttributeValue>\
         </saml:Attribute></saml:AttributeStatement></saml:Assertion>"
    )
}

fn response(inside: &str) -> String {
    format!(
        "<samlp:Response xmlns:samlp=\"urn:oasis:names:tc:SAML:2.0:protocol\" ID=\"_response\" Version=\"2.0\" \
         IssueInstant=\"2026-11-28T12:00:00Z\" Destination=\"{ACS}\" InResponseTo=\"{REQUEST}\"><saml:Issuer \
         xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\">{IDP}</saml:Issuer>[OUTER]<samlp:Status><samlp:StatusCode \
         Value=\"urn:oasis:names:tc:SAML:2.0:status:Success\"/></samlp:Status>{inside}</samlp:Response>"
    )
}

/// How something is signed.
struct How<'a> {
    key: &'a PKey<Private>,
    canonicalization: &'a str,
    method: &'a str,
    digest: &'a str,
    transforms: &'a str,
    uri: &'a str,
    object: &'a str,
}

fn usual() -> How<'static> {
    How {
        key: &KEY,
        canonicalization: EXCLUSIVE,
        method: RSA,
        digest: SHA256,
        transforms: TRANSFORMS,
        uri: "#_assertion",
        object: "",
    }
}

fn kind(method: &str) -> MessageDigest {
    if method.ends_with("sha1") { MessageDigest::sha1() } else { MessageDigest::sha256() }
}

/// Signs an element that stands alone, with a place for its signature.
fn signed(element: &str, place: &str, how: &How<'_>) -> String {
    let bare = element.replace(place, "");
    let digest =
        STANDARD.encode(hash(kind(how.digest), canonical(&parse(&bare).unwrap(), &[], None, &[]).as_bytes()).unwrap());
    let How { canonicalization, method, digest: algorithm, transforms, uri, object, key } = how;
    let info = format!(
        "<ds:SignedInfo xmlns:ds=\"{SIGNATURE}\"><ds:CanonicalizationMethod Algorithm=\"{canonicalization}\">\
         </ds:CanonicalizationMethod><ds:SignatureMethod Algorithm=\"{method}\"></ds:SignatureMethod><ds:Reference \
         URI=\"{uri}\"><ds:Transforms>{transforms}</ds:Transforms><ds:DigestMethod Algorithm=\"{algorithm}\">\
         </ds:DigestMethod><ds:DigestValue>{digest}</ds:DigestValue></ds:Reference></ds:SignedInfo>"
    );
    let mut signer = Signer::new(kind(method), key).unwrap();
    let value = STANDARD.encode(signer.sign_oneshot_to_vec(info.as_bytes()).unwrap());
    let signature = format!(
        "<ds:Signature xmlns:ds=\"{SIGNATURE}\">{info}<ds:SignatureValue>{value}</ds:SignatureValue>{object}</ds:Signature>"
    );
    element.replace(place, &signature)
}

/// A response whose assertion is signed.
fn good() -> String {
    response(&signed(&assertion(), "[SIGNATURE]", &usual())).replace("[OUTER]", "")
}

fn read(xml: &str) -> Result<Said, SamlFault> {
    read_at(xml, now())
}

fn read_at(xml: &str, now: Timestamp) -> Result<Said, SamlFault> {
    let keys = [public(&OTHER), public(&KEY)];
    let expected = Expected { provider: IDP, entity_id: SP, consumer_url: ACS, request_id: REQUEST, keys: &keys, now };
    verify(&STANDARD.encode(xml), &expected)
}

/// Whether a response is refused in which the assertion says something else, signed all the same.
fn refuses(from: &str, to: &str) {
    let changed = assertion().replacen(from, to, 1);
    assert_ne!(changed, assertion(), "{from}");
    let xml = response(&signed(&changed, "[SIGNATURE]", &usual())).replace("[OUTER]", "");
    assert!(read(&xml).is_err(), "{from} -> {to}");
}

#[test]
fn a_response_says_who_signed_in() {
    let said = read(&good()).unwrap();
    assert_eq!((said.email(), said.full_name()), (Some("ada@example.com"), "Ada & Co"));
    assert_eq!((said.assertion_id.as_str(), said.until.to_rfc3339().as_str()), ("_assertion", "2026-11-28T12:05:00Z"));
}

#[test]
fn the_response_may_be_signed_instead_or_both() {
    let outer = How { uri: "#_response", ..usual() };
    let whole = signed(&response(&assertion().replace("[SIGNATURE]", "")), "[OUTER]", &outer);
    assert_eq!(read(&whole).unwrap().name_id, "ada@example.com");
    let both = signed(&response(&signed(&assertion(), "[SIGNATURE]", &usual())), "[OUTER]", &outer);
    assert!(read(&both).is_ok());
    for (from, to) in [("_response\" Version", "_other\" Version"), ("Success", "Responder"), ("ada@", "root@")] {
        assert!(read(&both.replacen(from, to, 1)).is_err(), "{from}");
        assert!(read(&whole.replacen(from, to, 1)).is_err(), "{from}");
    }
    let foreign = How { key: &PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap(), ..outer };
    let both = signed(&response(&signed(&assertion(), "[SIGNATURE]", &usual())), "[OUTER]", &foreign);
    assert_eq!(read(&both), Err(SamlFault("a signature is not the identity provider's")), "each of them holds");
}

#[test]
fn what_was_changed_or_is_not_signed_counts_for_nothing() {
    let xml = good();
    for (from, to) in
        [("ada@example.com", "root@example.com"), ("12:05:00Z\" Recipient", "23:05:00Z\" Recipient"), (SP, "https://x")]
    {
        assert_eq!(read(&xml.replacen(from, to, 1)), Err(SamlFault("what was signed was changed")), "{from}");
    }
    let bare = response(&assertion().replace("[SIGNATURE]", "")).replace("[OUTER]", "");
    assert_eq!(read(&bare), Err(SamlFault("nothing is signed")));
    let stranger = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
    let forged = response(&signed(&assertion(), "[SIGNATURE]", &How { key: &stranger, ..usual() }));
    assert_eq!(read(&forged.replace("[OUTER]", "")), Err(SamlFault("a signature is not the identity provider's")));
    let key = "<ds:KeyInfo><ds:KeyName>mine</ds:KeyName></ds:KeyInfo>";
    let with_key = response(&signed(&assertion(), "[SIGNATURE]", &How { object: key, ..usual() }));
    assert!(read(&with_key.replace("[OUTER]", "")).is_ok(), "a named key is not looked at");
}

#[test]
fn every_algorithm_is_on_the_list() {
    let xslt =
        TRANSFORMS.replace("http://www.w3.org/2001/10/xml-exc-c14n#", "http://www.w3.org/TR/1999/REC-xslt-19991116");
    let xpath = TRANSFORMS.replace(
        "http://www.w3.org/2000/09/xmldsig#enveloped-signature",
        "http://www.w3.org/TR/1999/REC-xpath-19991116",
    );
    let comments = TRANSFORMS.replace("exc-c14n#", "exc-c14n#WithComments");
    let thrice = format!("{TRANSFORMS}<ds:Transform Algorithm=\"{EXCLUSIVE}\"></ds:Transform>");
    let stylesheet = TRANSFORMS.replacen(
        "signature\"></ds:T",
        "signature\"><xsl:stylesheet xmlns:xsl=\"http://www.w3.org/1999/XSL/Transform\"></xsl:stylesheet></ds:T",
        1,
    );
    let object = "<ds:Object><x></x></ds:Object>";
    let cases = [
        How { transforms: &xslt, ..usual() },
        How { transforms: &xpath, ..usual() },
        How { transforms: &comments, ..usual() },
        How { transforms: &thrice, ..usual() },
        How { transforms: &stylesheet, ..usual() },
        How { transforms: "", ..usual() },
        How { canonicalization: "http://www.w3.org/2001/10/xml-exc-c14n#WithComments", ..usual() },
        How { canonicalization: "http://www.w3.org/TR/2001/REC-xml-c14n-20010315", ..usual() },
        How { method: "http://www.w3.org/2000/09/xmldsig#rsa-sha1", ..usual() },
        How { method: "http://www.w3.org/2000/09/xmldsig#hmac-sha1", ..usual() },
        How { method: "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256", ..usual() },
        How { method: "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256", ..usual() },
        How { digest: "http://www.w3.org/2000/09/xmldsig#sha1", ..usual() },
        How { digest: "", ..usual() },
        How { uri: "", ..usual() },
        How { uri: "#", ..usual() },
        How { uri: "#_response", ..usual() },
        How { uri: "_assertion", ..usual() },
        How { uri: "#xpointer(id('_assertion'))", ..usual() },
        How { uri: "https://evil.example.com/#_assertion", ..usual() },
        How { object, ..usual() },
    ];
    for how in cases {
        let xml = response(&signed(&assertion(), "[SIGNATURE]", &how)).replace("[OUTER]", "");
        let why = format!("{} {} {} {}", how.transforms, how.canonicalization, how.method, how.uri);
        assert!(read(&xml).is_err(), "{why}");
    }
}

#[test]
fn what_the_assertion_says_is_compared_with_what_was_asked() {
    let over = Timestamp::parse_rfc3339("2026-11-28T12:05:00Z").unwrap();
    assert!(read_at(&good(), Timestamp::from_millis(over.millis() - 1)).is_ok());
    for late in [0, 1000] {
        assert_eq!(
            read_at(&good(), Timestamp::from_millis(over.millis() + late)),
            Err(SamlFault("the assertion is over"))
        );
    }
    refuses("<saml:Issuer>https://idp.example.com/", "<saml:Issuer>https://idp.example.com");
    refuses("Version=\"2.0\"", "Version=\"1.1\"");
    refuses("ada@example.com", " ");
    refuses("cm:bearer", "cm:sender-vouches");
    refuses("InResponseTo=\"_request\"", "InResponseTo=\"_other\"");
    refuses("InResponseTo=\"_request\"", "");
    refuses(&format!("Recipient=\"{ACS}\""), "Recipient=\"https://other.example.com/\"");
    refuses(&format!("Recipient=\"{ACS}\""), "");
    refuses("NotOnOrAfter=\"2026-11-28T12:05:00Z\" Recipient", "Recipient");
    refuses("NotOnOrAfter=\"2026-11-28T12:05:00Z\" Recipient", "NotOnOrAfter=\"2036-11-28T12:05:00Z\" Recipient");
    refuses("NotOnOrAfter=\"2026-11-28T12:05:00Z\" Recipient", "NotOnOrAfter=\"soon\" Recipient");
    refuses("NotOnOrAfter=\"2026-11-28T12:05:00Z\"><saml:Aud", "NotOnOrAfter=\"2026-11-28T12:00:00Z\"><saml:Aud");
    refuses("NotBefore=\"2026-11-28T11:59:00Z\"", "NotBefore=\"2026-11-28T12:03:00Z\"");
    refuses("IssueInstant=\"2026-11-28T12:00:00Z\"", "IssueInstant=\"2026-11-28T12:03:00Z\"");
    refuses(
        &format!("<saml:Audience>{SP}</saml:Audience>"),
        "<saml:Audience>https://other.example.com</saml:Audience>",
    );
    refuses(&format!("<saml:Audience>{SP}</saml:Audience>"), "");
    let restriction =
        format!("<saml:AudienceRestriction><saml:Audience>{SP}</saml:Audience></saml:AudienceRestriction>");
    refuses(&restriction, "");
    refuses(&restriction, &format!("{restriction}<saml:Condition></saml:Condition>"));
    refuses(&restriction, &format!("{restriction}{}", restriction.replace(SP, "https://other.example.com")));
    refuses("<saml:AuthnStatement AuthnInstant=\"2026-11-28T12:00:00Z\"/>", "");
    refuses("AuthnInstant", "SessionNotOnOrAfter=\"2026-11-28T11:00:00Z\" AuthnInstant");
    refuses("</saml:NameID>", "</saml:NameID><saml:NameID>root@example.com</saml:NameID>");
    refuses("ada@example.com</saml:NameID>", "ada@example.com<x></x></saml:NameID>");
    for (from, to) in [
        (format!("Destination=\"{ACS}\""), String::new()),
        (format!("Destination=\"{ACS}\""), "Destination=\"https://other.example.com/\"".into()),
        (format!("InResponseTo=\"{REQUEST}\""), "InResponseTo=\"_other\"".into()),
        ("status:Success".into(), "status:Responder".into()),
        ("samlp:Response".into(), "samlp:LogoutResponse".into()),
        (format!(">{IDP}<"), ">https://other.example.com<".into()),
    ] {
        assert!(read(&good().replace(&from, &to)).is_err(), "{from}");
    }
}

#[test]
fn what_readers_could_take_for_something_else_is_refused() {
    let xml = good();
    let comment = xml.replacen("ada@example.com", "ada@example.com<!---->.evil.example", 1);
    assert_eq!(read(&comment), Err(SamlFault("the document has a comment")));
    let doctype = format!("<!DOCTYPE a [<!ENTITY x \"y\">]>{xml}");
    assert_eq!(read(&doctype), Err(SamlFault("the document has a document type")));
    let instruction = xml.replacen("ada@", "<?x y?>ada@", 1);
    assert_eq!(read(&instruction), Err(SamlFault("the document has a processing instruction")));
    assert_eq!(read(&xml.replacen("ada@", "&x;ada@", 1)), Err(SamlFault("the document names an entity")));
    let bare = assertion().replace("[SIGNATURE]", "");
    for copy in [bare.clone(), bare.replace("_assertion", "_evil"), bare.replace("saml:Assertion", "saml:assertion")] {
        let copy = copy.replace("ada@", "root@");
        let before = xml.replacen("<saml:Assertion", &format!("{copy}<saml:Assertion"), 1);
        let after = xml.replacen("</samlp:Response>", &format!("{copy}</samlp:Response>"), 1);
        let inside = xml.replacen("</saml:Assertion>", &format!("{copy}</saml:Assertion>"), 1);
        let held = format!("<ds:Object>{copy}</ds:Object></ds:Signature>");
        for wrapped in [before, after, inside, xml.replacen("</ds:Signature>", &held, 1)] {
            assert!(read(&wrapped).is_err(), "{wrapped}");
        }
    }
    let twice = xml.replacen("<samlp:Status>", "<samlp:Status id=\"_assertion\">", 1);
    assert_eq!(read(&twice), Err(SamlFault("two elements have one ID")));
    let deep = format!("{}{}", "<a>".repeat(40), "</a>".repeat(40));
    assert!(read(&xml.replacen("<samlp:Status>", &format!("{deep}<samlp:Status>"), 1)).is_err());
    let many = "<a/>".repeat(6000);
    assert!(read(&xml.replacen("<samlp:Status>", &format!("{many}<samlp:Status>"), 1)).is_err());
    assert!(read(&format!("{xml}{}", " ".repeat(300_000))).is_err());
    assert!(read("").is_err() && read("<a/>").is_err());
}

#[test]
fn the_canonical_form_is_the_one_of_the_recommendation() {
    let of = |xml: &str, path: &[usize], inclusive: &[&str]| {
        let inclusive: Vec<String> = inclusive.iter().map(|prefix| (*prefix).to_owned()).collect();
        canonical(&parse(xml).unwrap(), path, None, &inclusive)
    };
    // The examples of Exclusive XML Canonicalization, 2.2, and of its 3 for inclusive prefixes.
    let xml = "<n0:pdu xmlns:n0='http://a.example'><n1:elem2 xmlns:n1='http://b.example' xml:lang='en' >\
               <n3:stuff xmlns:n3='ftp://example.org'/></n1:elem2></n0:pdu>";
    assert_eq!(
        of(xml, &[0], &[]),
        "<n1:elem2 xmlns:n1=\"http://b.example\" xml:lang=\"en\"><n3:stuff xmlns:n3=\"ftp://example.org\"></n3:stuff></n1:elem2>"
    );
    assert_eq!(
        of(xml, &[0], &["n0"]),
        "<n1:elem2 xmlns:n0=\"http://a.example\" xmlns:n1=\"http://b.example\" xml:lang=\"en\">\
         <n3:stuff xmlns:n3=\"ftp://example.org\"></n3:stuff></n1:elem2>"
    );
    assert_eq!(of("<a xmlns='u'><b xmlns=''><c/></b></a>", &[], &[]), "<a xmlns=\"u\"><b xmlns=\"\"><c></c></b></a>");
    assert_eq!(
        of("<a z='1' y='&lt;&quot;&#9;&#10;' q:b='2' xmlns:q='u'>x&gt;&#13;<![CDATA[<&]]>\r\n</a>", &[], &[]),
        "<a xmlns:q=\"u\" y=\"&lt;&quot;&#x9;&#xA;\" z=\"1\" q:b=\"2\">x&gt;&#xD;&lt;&amp;\n</a>"
    );
}

#[test]
fn a_request_travels_in_an_address_as_it_is() {
    let request = Request {
        id: "_1",
        entity_id: "https://a/?b&c",
        consumer_url: ACS,
        sign_on_url: "https://idp/sso?x=1",
        at: now(),
    };
    let url = request.url("state");
    let message =
        url.strip_prefix("https://idp/sso?x=1&SAMLRequest=").unwrap().strip_suffix("&RelayState=state").unwrap();
    let message = STANDARD.decode(crate::percent::percent_decoded(message.as_bytes())).unwrap();
    let text = std::str::from_utf8(&message[5..]).unwrap();
    assert_eq!(message[0], 1, "the last block, as it is");
    let root = parse(text).unwrap();
    assert_eq!((root.attribute("ID"), root.attribute("AssertionConsumerServiceURL")), (Some("_1"), Some(ACS)));
    assert!(text.contains("https://a/?b&amp;c"));
}
