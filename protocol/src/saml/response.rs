//! The response that a browser brings back from the identity provider (Core 3.3.3, Profiles 4.1.4): one assertion about one person,
//! signed, for us, for this request, now.

use std::collections::BTreeSet;
use std::time::Duration;

use openssl::pkey::{PKey, Public};

use super::signature::verify as verify_signature;
use super::tree::{Element, MAX_BYTES, parse};
use super::{ASSERTION, PROTOCOL, Read, SIGNATURE, SamlFault, base64, demand};
use crate::time::Timestamp;

/// How far the provider's clock may be ahead of ours. Nothing is given at the other end: what is over is over.
const AHEAD: Duration = Duration::from_secs(120);
/// How long an assertion may be good for. One that is good for longer would have to be remembered for as long.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// Attributes that are read.
const MAX_ATTRIBUTES: usize = 100;
/// How a person was confirmed: whoever brings the assertion.
const BEARER: &str = "urn:oasis:names:tc:SAML:2.0:cm:bearer";
/// That the provider did what it was asked.
const SUCCESS: &str = "urn:oasis:names:tc:SAML:2.0:status:Success";
/// What attributes are called that hold an email address.
const EMAILS: [&str; 6] = [
    "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress",
    "urn:oid:0.9.2342.19200300.100.1.3",
    "email",
    "mail",
    "emailAddress",
    "User.email",
];
/// What attributes are called that hold somebody's whole name.
const NAMES: [&str; 6] = [
    "http://schemas.microsoft.com/identity/claims/displayname",
    "urn:oid:2.16.840.1.113730.3.1.241",
    "displayName",
    "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name",
    "name",
    "cn",
];

/// What a response must say.
pub struct Expected<'a> {
    /// The provider's entity id.
    pub provider: &'a str,
    /// Ours.
    pub entity_id: &'a str,
    /// The address that it was to be brought to.
    pub consumer_url: &'a str,
    /// The request that it answers.
    pub request_id: &'a str,
    /// The keys that the provider signs with.
    pub keys: &'a [PKey<Public>],
    /// What time it is.
    pub now: Timestamp,
}

/// What a response says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The assertion's own name; one that was seen before counts for nothing.
    pub assertion_id: String,
    /// Until when that must be remembered.
    pub until: Timestamp,
    /// What the provider calls the person.
    pub name_id: String,
    /// What it says of them besides: names and values.
    pub attributes: Vec<(String, String)>,
}

/// Reads a response as a form brings it, in Base64.
///
/// # Errors
/// See [`SamlFault`].
pub fn verify(form: &str, expected: &Expected<'_>) -> Read<Said> {
    demand(form.len() <= MAX_BYTES * 4 / 3 + 4, "the response is too long")?;
    let bytes = base64(form).ok_or(SamlFault("the response is no Base64"))?;
    let text = std::str::from_utf8(&bytes).map_err(|_| SamlFault("the response is not UTF-8"))?;
    let came = parse(text)?;
    demand(came.is(PROTOCOL, "Response"), "this is no response")?;
    let place = only_assertion(&came)?;

    let whole = verify_signature(&came, &[], expected.keys)?;
    let part = verify_signature(&came, &[place], expected.keys)?;
    // From here on only what was signed is looked at: these are the bytes whose digest was compared, read anew.
    let whole = whole.map(|signed| parse(&signed)).transpose()?;
    let assertion = match (&whole, part) {
        (_, Some(signed)) => parse(&signed)?,
        (Some(whole), None) => whole.only(ASSERTION, "Assertion", "there is not exactly one assertion")?.clone(),
        (None, None) => return Err(SamlFault("nothing is signed")),
    };
    demand(assertion.is(ASSERTION, "Assertion"), "what is signed is no assertion")?;
    // A response that is not signed can only narrow what the assertion says.
    check_response(whole.as_ref().unwrap_or(&came), expected)?;
    check_assertion(&assertion, expected)
}

impl Said {
    /// The person's email address, where something that says so looks like one.
    pub fn email(&self) -> Option<&str> {
        let named = EMAILS.iter().find_map(|name| self.attribute(name));
        named.or(Some(self.name_id.as_str())).filter(|email| email.contains('@'))
    }

    /// What people call them; empty where nothing says it.
    pub fn full_name(&self) -> &str {
        NAMES.iter().find_map(|name| self.attribute(name)).unwrap_or_default()
    }

    fn attribute(&self, name: &str) -> Option<&str> {
        let value = self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        value.filter(|value| !value.is_empty())
    }
}

/// Where the one assertion stands among the response's children. Whatever could be taken for another one, or for another signature
/// than its or the response's own, is refused wherever it stands; so are two elements with one ID.
fn only_assertion(response: &Element) -> Read<usize> {
    let (mut assertions, mut signatures, mut encrypted) = (0, 0, 0);
    let (mut ids, mut is_twice) = (BTreeSet::new(), false);
    response.walk(&mut |element| {
        let named = |name: &str| element.name.eq_ignore_ascii_case(name);
        assertions += usize::from(named("Assertion"));
        signatures += usize::from(named("Signature"));
        encrypted += usize::from(named("EncryptedAssertion") || named("EncryptedID"));
        let known = element.attributes.iter().filter(|attribute| attribute.name.eq_ignore_ascii_case("id"));
        known.for_each(|attribute| is_twice |= !ids.insert(attribute.value.as_str()));
    });
    demand(encrypted == 0, "the assertion is encrypted: let the provider sign it, and not encrypt it")?;
    demand(assertions == 1, "there is not exactly one assertion")?;
    demand(!is_twice, "two elements have one ID")?;
    let mut found = response.elements().enumerate().filter(|(_, child)| child.is(ASSERTION, "Assertion"));
    let (place, assertion) = found.next().ok_or(SamlFault("the assertion stands in the wrong place"))?;
    let in_place = |element: &Element| element.children(SIGNATURE, "Signature").count();
    demand(signatures == in_place(response) + in_place(assertion), "a signature stands in the wrong place")?;
    Ok(place)
}

fn check_response(response: &Element, expected: &Expected<'_>) -> Read<()> {
    demand(response.attribute("Version") == Some("2.0"), "the response is of another version")?;
    demand(response.attribute("Destination") == Some(expected.consumer_url), "the response is for another address")?;
    demand(response.attribute("InResponseTo") == Some(expected.request_id), "the response answers another request")?;
    let mut issuers = response.children(ASSERTION, "Issuer");
    let is_own = |issuer: &Element| issuer.text() == Some(expected.provider);
    demand(issuers.all(is_own), "the response is another provider's")?;
    let status = response.only(PROTOCOL, "Status", "the response has no status")?;
    let code = status.only(PROTOCOL, "StatusCode", "the response has no status")?;
    demand(code.attribute("Value") == Some(SUCCESS), "the provider refused")
}

fn check_assertion(assertion: &Element, expected: &Expected<'_>) -> Read<Said> {
    demand(assertion.attribute("Version") == Some("2.0"), "the assertion is of another version")?;
    let id = assertion.attribute("ID").unwrap_or_default();
    let issued = moment(assertion, "IssueInstant")?.ok_or(SamlFault("the assertion does not say when it was made"))?;
    demand(issued <= expected.now.plus(AHEAD), "the assertion was made in the future")?;
    let issuer = assertion.only(ASSERTION, "Issuer", "the assertion does not say whose it is")?;
    demand(issuer.text() == Some(expected.provider), "the assertion is another provider's")?;
    let subject = assertion.only(ASSERTION, "Subject", "the assertion is about nobody")?;
    let name_id = subject.only(ASSERTION, "NameID", "the assertion is about nobody")?.text().unwrap_or_default();
    demand(!name_id.is_empty(), "the assertion is about nobody")?;
    let until = check_confirmation(subject, expected)?;
    check_conditions(assertion, expected)?;
    let mut statements = assertion.children(ASSERTION, "AuthnStatement").peekable();
    demand(statements.peek().is_some(), "the assertion does not say that anybody signed in")?;
    for statement in statements {
        let ends = moment(statement, "SessionNotOnOrAfter")?;
        demand(ends.is_none_or(|ends| expected.now < ends), "the person's session at the provider is over")?;
    }
    let name_id = name_id.to_owned();
    Ok(Said { assertion_id: id.to_owned(), until, name_id, attributes: attributes(assertion) })
}

/// Who may bring it, where, for what, and until when.
fn check_confirmation(subject: &Element, expected: &Expected<'_>) -> Read<Timestamp> {
    let fault = "nobody is confirmed as the one who brings the assertion";
    let confirmation = subject.only(ASSERTION, "SubjectConfirmation", fault)?;
    demand(confirmation.attribute("Method") == Some(BEARER), fault)?;
    let data = confirmation.only(ASSERTION, "SubjectConfirmationData", fault)?;
    demand(data.attribute("Recipient") == Some(expected.consumer_url), "the assertion is for another address")?;
    demand(data.attribute("InResponseTo") == Some(expected.request_id), "the assertion answers another request")?;
    let begins = moment(data, "NotBefore")?;
    demand(begins.is_none_or(|begins| begins <= expected.now.plus(AHEAD)), "the assertion is not good yet")?;
    let ends = moment(data, "NotOnOrAfter")?.ok_or(SamlFault("the assertion has no end"))?;
    demand(expected.now < ends, "the assertion is over")?;
    demand(ends <= expected.now.plus(LONGEST), "the assertion is good for too long")?;
    Ok(ends)
}

fn check_conditions(assertion: &Element, expected: &Expected<'_>) -> Read<()> {
    let conditions = assertion.only(ASSERTION, "Conditions", "the assertion has no conditions")?;
    let (begins, ends) = (moment(conditions, "NotBefore")?, moment(conditions, "NotOnOrAfter")?);
    demand(begins.is_none_or(|begins| begins <= expected.now.plus(AHEAD)), "the assertion is not good yet")?;
    demand(ends.is_none_or(|ends| expected.now < ends), "the assertion is over")?;
    let mut audiences = 0;
    for condition in conditions.elements() {
        if condition.is(ASSERTION, "AudienceRestriction") {
            let mut named = condition.children(ASSERTION, "Audience");
            demand(named.any(|one| one.text() == Some(expected.entity_id)), "the assertion is for another service")?;
            audiences += 1;
        } else {
            // Core 2.5.1: a condition that is not understood makes an assertion count for nothing.
            let known = condition.is(ASSERTION, "OneTimeUse") || condition.is(ASSERTION, "ProxyRestriction");
            demand(known, "the assertion has a condition that is not known")?;
        }
    }
    demand(audiences > 0, "the assertion is for any service")
}

/// The first value of each attribute.
fn attributes(assertion: &Element) -> Vec<(String, String)> {
    let statements = assertion.children(ASSERTION, "AttributeStatement");
    let named = statements.flat_map(|statement| statement.children(ASSERTION, "Attribute"));
    let read = |attribute: &Element| {
        let value = attribute.children(ASSERTION, "AttributeValue").next()?.text()?;
        Some((attribute.attribute("Name")?.to_owned(), value.to_owned()))
    };
    named.filter_map(read).take(MAX_ATTRIBUTES).collect()
}

/// A time that an attribute says; one that cannot be read is a fault.
fn moment(element: &Element, name: &str) -> Read<Option<Timestamp>> {
    let read = |text| Timestamp::parse_rfc3339(text).ok_or(SamlFault("a time cannot be read"));
    element.attribute(name).map(read).transpose()
}
