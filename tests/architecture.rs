//! The house rules that no compiler holds: who may import whom, who may name which framework, how long a file may be.
//!
//! An exception is a line in one of the tables below, with its reason.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::{Path, PathBuf};

/// Files that may be longer than [`MAX_LINES`], each with its reason.
const LONG_FILES: &[(&str, &str)] = &[];
/// Production lines of a file at most; tests at its end do not count.
const MAX_LINES: usize = 400;

/// Our crates, and which of ours each may depend on. All arrows point down.
const ARROWS: &[(&str, &[&str])] = &[
    ("protocol", &[]),
    ("entities", &[]),
    ("migration", &[]),
    ("actors", &["protocol", "entities"]),
    (".", &["actors", "protocol", "entities", "migration"]),
];

/// Words that may stand only in files below one of these folders.
const ONLY_IN: &[(&str, &[&str])] = &[
    // A test's database is made, hidden and dropped by SQL of its own.
    ("sea_orm::", &["entities/", "migration/", "tests/it/postgres.rs", "tests/promises/harness/database.rs"]),
    ("actix_web::", &["src/http/"]),
];

/// Words that may not stand in files below a folder, with the reason.
const NEVER_IN: &[(&str, &str, &str)] = &[
    ("src/http/", "Writer", "commands go through actors; the edge only reads rows"),
    ("src/sim/", "actors::", "a simulated device is a client"),
    ("src/sim/", "entities::", "a simulated device is a client"),
    ("src/sim/", "migration::", "a simulated device is a client"),
    ("src/sim/", "crate::http", "a simulated device is a client"),
    ("src/sim/", "crate::serve", "a simulated device is a client"),
    ("actors/src/", "ResponseFuture<", "a panic in it leaves a half-dead actor behind"),
    ("protocol/src/apple/", "crate::windows", "the platforms do not know each other"),
    ("protocol/src/", "::now()", "protocol never reads a clock"),
    ("protocol/src/", "TcpStream", "protocol has no sockets"),
    ("protocol/src/", "std::fs", "protocol has no files"),
    ("entities/src/", "::now()", "times are arguments"),
    ("tests/it/", "actors::", "tests come over the wire; they know the root library only"),
    ("tests/it/", "entities::", "tests come over the wire; they know the root library only"),
    ("tests/promises/", "actors::", "proofs come over the wire; they know the root library only"),
    ("tests/promises/", "entities::", "proofs come over the wire; they know the root library only"),
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file of ours, with its path from the root.
fn sources() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for folder in ["src", "actors", "protocol", "entities", "migration", "tests", "benches"] {
        walk(&root().join(folder), &mut found);
    }
    assert!(found.len() > 50, "the walk finds our sources");
    found
}

fn walk(folder: &Path, found: &mut Vec<(String, String)>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            walk(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(root()).unwrap().to_str().unwrap().replace('\\', "/");
            found.push((name, fs::read_to_string(&path).unwrap()));
        }
    }
}

/// The lines of a file without comments and without the tests at its end.
fn production(text: &str) -> impl Iterator<Item = &str> {
    text.lines().take_while(|line| line.trim() != "#[cfg(test)]").filter(|line| !line.trim_start().starts_with("//"))
}

#[test]
fn all_arrows_point_down() {
    let ours: Vec<&str> = ARROWS.iter().map(|(name, _)| *name).collect();
    for (name, allowed) in ARROWS {
        let manifest = fs::read_to_string(root().join(name).join("Cargo.toml")).unwrap();
        let dependencies = manifest.split("\n[dependencies]").nth(1).unwrap().split("\n[").next().unwrap();
        let used = dependencies.lines().filter_map(|line| line.split([' ', '.', '=']).next());
        for used in used.filter(|used| ours.contains(used)) {
            assert!(allowed.contains(&used), "{name} depends on {used}");
        }
    }
}

#[test]
fn each_framework_is_named_where_it_belongs() {
    for (name, text) in sources() {
        if name == "tests/architecture.rs" {
            continue;
        }
        for (word, places) in ONLY_IN {
            let here = places.iter().any(|place| name.starts_with(place)) || name.starts_with("benches/");
            let named = production(&text).find(|line| line.contains(word));
            assert!(here || named.is_none(), "{name} names {word}: {}", named.unwrap_or_default());
        }
        for (place, word, reason) in NEVER_IN {
            if name.starts_with(place) {
                let named = production(&text).find(|line| line.contains(word));
                assert!(named.is_none(), "{name}: {reason}: {}", named.unwrap_or_default());
            }
        }
    }
}

#[test]
fn no_file_is_longer_than_a_few_screens() {
    for (name, text) in sources() {
        let in_tests = name.contains("/tests/") || name.starts_with("tests/") || name.ends_with("/tests.rs");
        if in_tests || LONG_FILES.iter().any(|(known, _)| *known == name) {
            continue;
        }
        let lines = text.lines().take_while(|line| line.trim() != "#[cfg(test)]").count();
        assert!(lines <= MAX_LINES, "{name} has {lines} production lines; split it by verb or by noun");
    }
}

#[test]
fn every_module_says_what_it_is() {
    for (name, text) in sources() {
        if !name.contains("/tests") && !name.starts_with("tests/it/") {
            assert!(text.starts_with("//! "), "{name} does not open with what it is");
        }
    }
}

#[test]
fn no_check_is_switched_off_in_passing() {
    for (name, text) in sources() {
        if name == "tests/architecture.rs" {
            continue;
        }
        for line in text.lines() {
            let line = line.trim();
            assert!(
                !line.starts_with("#![allow") && !line.starts_with("#[allow"),
                "{name}: use expect with a reason: {line}"
            );
            assert!(!line.starts_with("#[ignore"), "{name}: a test that is not run proves nothing: {line}");
        }
    }
}
