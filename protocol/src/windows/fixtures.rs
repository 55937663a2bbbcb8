//! Reviewed messages for tests, and what makes two documents the same.

use super::xml::{Element, parse};

pub(crate) const DISCOVER: &str = include_str!("../../tests/fixtures/windows/discover.xml");
pub(crate) const DISCOVER_RESPONSE: &str = include_str!("../../tests/fixtures/windows/discover_response.xml");
pub(crate) const GET_POLICIES: &str = include_str!("../../tests/fixtures/windows/get_policies.xml");
pub(crate) const GET_POLICIES_RESPONSE: &str = include_str!("../../tests/fixtures/windows/get_policies_response.xml");
pub(crate) const ISSUE: &str = include_str!("../../tests/fixtures/windows/issue.xml");
pub(crate) const ISSUE_RESPONSE: &str = include_str!("../../tests/fixtures/windows/issue_response.xml");
pub(crate) const PROVISIONING: &str = include_str!("../../tests/fixtures/windows/provisioning.xml");
pub(crate) const FAULT: &str = include_str!("../../tests/fixtures/windows/fault.xml");
pub(crate) const RENEW: &str = include_str!("../../tests/fixtures/windows/renew.xml");
pub(crate) const RENEWED: &str = include_str!("../../tests/fixtures/windows/renewed.xml");

/// A document as a text without its white space, its prefixes and the order of its attributes.
pub(crate) fn meaning(text: &str) -> String {
    let document = parse(text.as_bytes(), 1 << 20).unwrap_or_else(|error| panic!("{error}: {text}"));
    let mut out = String::new();
    describe(&document.root, 0, &mut out);
    out
}

fn describe(element: &Element, depth: usize, out: &mut String) {
    let mut attributes = element.attributes.clone();
    attributes.sort();
    let text = element.text.trim();
    out.push_str(&format!("{:depth$}{{{}}}{} {attributes:?} {text:?}\n", "", element.namespace, element.name));
    element.children.iter().for_each(|child| describe(child, depth + 1, out));
}
