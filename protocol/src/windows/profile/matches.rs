//! Whether a node holds what it shall. Devices write values anew: ADMX policies in another order, Wi-Fi profiles with what they add
//! of their own and without their keys.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::Edit;
use crate::windows::loc_uri::canonical;
use crate::windows::redact::is_secret_node;
use crate::windows::xml::{self, Element};

/// The longest value that is compared by meaning, in bytes.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// Whether what a node holds is what an edit set it to. A secret that reads otherwise counts: devices hide these. Of a Wi-Fi profile
/// that is its key alone.
pub(super) fn holds(edit: &Edit, actual: &str) -> bool {
    let (expected, actual) = (plain(edit.data.as_deref().unwrap_or_default()), plain(actual));
    if expected == actual {
        return true;
    }
    let node = canonical(&edit.target);
    let by_format = match edit.format.as_deref() {
        Some("int") => equal(expected.parse::<i64>().ok(), actual.parse::<i64>().ok()),
        Some("bool") => equal(truth(&expected), truth(&actual)),
        Some("b64" | "bin") => equal(bytes(&expected), bytes(&actual)),
        _ => false,
    };
    if node.ends_with("/wlanxml") {
        let all = |text: &str| Some(leaves(&xml::parse(text.as_bytes(), MAX_BYTES).ok()?.root));
        // The device adds what was left out.
        return matches!((all(&expected), all(&actual)), (Some(expected), Some(actual)) if expected.is_subset(&actual));
    }
    by_format || by_meaning(&expected, &actual) || is_secret_node(&node)
}

fn by_meaning(expected: &str, actual: &str) -> bool {
    if let Some(policy) = policy(expected) {
        return policy_of(actual) == Some(policy);
    }
    expected.starts_with('<') && equal(tree(expected), tree(actual))
}

fn plain(text: &str) -> String {
    text.trim().replace("\r\n", "\n")
}

fn equal<T: PartialEq>(one: Option<T>, other: Option<T>) -> bool {
    one.is_some() && one == other
}

fn truth(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    let dense: String = text.split_whitespace().collect();
    STANDARD.decode(dense).ok()
}

/// The parts of an ADMX policy: whether it is enabled, and its values; in no order, and in lower case.
type Policy = BTreeSet<(String, Vec<(String, String)>)>;

/// Reads what an administrator wrote; `None` when it is no ADMX policy.
fn policy(text: &str) -> Option<Policy> {
    let policy = policy_of(text).filter(|policy| !policy.is_empty())?;
    policy.iter().all(|(name, _)| matches!(name.as_str(), "enabled" | "disabled" | "data")).then_some(policy)
}

fn policy_of(text: &str) -> Option<Policy> {
    let wrapped = format!("<policy>{text}</policy>");
    let document = xml::parse(wrapped.as_bytes(), MAX_BYTES).ok()?;
    if !document.root.text.trim().is_empty() {
        return None;
    }
    let part = |element: &Element| {
        let lower = |(name, value): &(String, String)| (name.to_lowercase(), plain(value).to_lowercase());
        let mut attributes: Vec<(String, String)> = element.attributes.iter().map(lower).collect();
        attributes.sort();
        (element.name.to_lowercase(), attributes)
    };
    Some(document.root.children.iter().map(part).collect())
}

/// What stands in the innermost elements of a Wi-Fi profile, with the way to it; not its key, which no device tells.
fn leaves(root: &Element) -> BTreeSet<(String, String)> {
    let (mut found, mut open) = (BTreeSet::new(), vec![(root, String::new())]);
    while let Some((element, above)) = open.pop() {
        let name = element.name.to_lowercase();
        if matches!(name.as_str(), "keymaterial" | "protected") {
            continue;
        }
        let path = format!("{above}/{name}");
        if element.children.is_empty() {
            found.insert((path, element.text.trim().to_lowercase()));
        } else {
            open.extend(element.children.iter().map(|child| (child, path.clone())));
        }
    }
    found
}

/// An element without white space, prefixes and the order of its attributes.
#[derive(PartialEq)]
struct Tree {
    name: String,
    attributes: Vec<(String, String)>,
    text: String,
    children: Vec<Tree>,
}

fn tree(text: &str) -> Option<Vec<Tree>> {
    let text = text.strip_prefix("<?xml").and_then(|rest| rest.split_once("?>")).map_or(text, |(_, rest)| rest);
    let wrapped = format!("<x>{text}</x>");
    let document = xml::parse(wrapped.as_bytes(), MAX_BYTES).ok()?;
    Some(document.root.children.into_iter().map(Tree::of).collect())
}

impl Tree {
    /// As deep as the reader allows.
    fn of(element: Element) -> Self {
        let mut attributes = element.attributes;
        attributes.sort();
        let children = element.children.into_iter().map(Self::of).collect();
        Self { name: element.name, attributes, text: element.text.trim().to_owned(), children }
    }
}
