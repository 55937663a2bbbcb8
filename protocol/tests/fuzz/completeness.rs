//! Every public function of this crate that reads bytes or text from outside has a target.

use std::fs;
use std::path::Path;

use super::parsers::targets::TARGETS;

/// Public functions that take bytes or text and read nothing from them, with the reason.
const NO_PARSERS: &[(&str, &str)] = &[
    ("variables::put_in", "puts values where variables::find found names; target variables, by render"),
    ("known_signer::check", "takes what SignedMessage::walk has read; target known_signer"),
    ("mdm_bridge::verdict", "compares what mdm_bridge::values has read; target agent"),
    ("answers::of", "looks up what the answers' parser has read; target agent"),
    ("authority::create", "makes an authority for a name of ours"),
    ("authority::issue_identity", "issues for a key that a request's parser has read"),
    ("authority::issue_backdated", "issues for a key that a request's parser has read"),
    ("authority::issue_push", "makes a certificate for simulators"),
    ("authority::issue_ra", "makes a certificate for a name of ours"),
    ("client::certification_request", "makes a request for simulated devices"),
    ("client::new", "makes a request for simulated devices; target scep_csr gives it any bytes all the same"),
    ("command::new", "makes a command; the named test v45 gives it odd texts"),
    ("danger::of", "compares a name that the command parser has read with three"),
    ("own::wipe", "makes a command for a node that the edge chose from a list"),
    ("message::short", "looks at a text that the message's parser has read"),
    ("xml::attribute", "looks into what xml::parse has read"),
    ("xml::child", "looks into what xml::parse has read"),
    ("xml::child_text", "looks into what xml::parse has read"),
    ("issue::self_signed", "makes a certificate for simulators"),
    ("soap::expect", "compares names that the XML parser has read; target windows_enrollment"),
    ("channel::of", "reads entries that the property list's parser has read; target message"),
];

/// `file::function` of every public function that takes `&[u8]` or `&str` and may refuse it.
fn public_parsers() -> Vec<String> {
    let mut found = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    found.sort();
    found.dedup();
    found
}

fn walk(folder: &Path, found: &mut Vec<String>) {
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            walk(&path, found);
        } else if stem != "tests" && stem != "fixtures" {
            let text = fs::read_to_string(&path).unwrap();
            let production = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
            for signature in production.split("pub fn ").skip(1) {
                let signature = signature.split('{').next().unwrap_or_default();
                let (arguments, result) = signature.rsplit_once("->").unwrap_or((signature, ""));
                let reads = arguments.contains("&[u8]") || arguments.contains("&'a [u8]") || arguments.contains("&str");
                if reads && (result.contains("Option<") || result.contains("Result<")) && !result.contains("ErrorStack")
                {
                    found.push(format!("{stem}::{}", signature.split(['(', '<']).next().unwrap_or_default()));
                }
            }
        }
    }
}

#[test]
fn every_public_parser_has_a_target() {
    let parsers = public_parsers();
    assert!(parsers.len() >= 20, "the walk finds parsers: {parsers:?}");
    let has_target = |parser: &&String| {
        let reached = TARGETS.iter().any(|target| target.parsers.contains(&parser.as_str()));
        reached || NO_PARSERS.iter().any(|(known, _)| known == parser)
    };
    let missing: Vec<&String> = parsers.iter().filter(|parser| !has_target(parser)).collect();
    assert!(missing.is_empty(), "add a target to tests/fuzz/parsers/targets.rs for {missing:?}");
}

#[test]
fn shares_are_those_of_a_thousand() {
    let sum: usize = TARGETS.iter().map(|target| target.share).sum();
    assert_eq!(sum, 1000, "the targets share 1000 inputs");
    let mut names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    names.dedup();
    assert_eq!(names.len(), TARGETS.len());
}
