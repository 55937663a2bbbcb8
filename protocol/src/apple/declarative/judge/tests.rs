use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::*;
use crate::apple::declarative::host_set::Assigned;
use crate::apple::declarative::status::{Status, StatusReport};

fn item(identifier: &str, server_token: &str) -> DeclarationItem {
    DeclarationItem { identifier: identifier.to_owned(), server_token: server_token.to_owned() }
}

fn states(lists: Value) -> DeclarationStates {
    let report = json!({"StatusItems": {"management": {"declarations": lists}}}).to_string();
    let report = StatusReport::parse(report.as_bytes(), 1 << 20).unwrap();
    DeclarationStates::of(&Status::default().merge(report, 1 << 20)).unwrap()
}

fn state(identifier: &str, token: &str, active: bool, valid: &str, reasons: Value) -> Value {
    json!({"identifier": identifier, "server-token": token, "active": active, "valid": valid, "reasons": reasons})
}

/// A set with one configuration `c` that the activation `mine` names.
fn set() -> HostSet {
    let configuration =
        Assigned { kind: DeclarationKind::Configuration, item: item("c", "2"), activates: BTreeSet::new() };
    let activation = Assigned {
        kind: DeclarationKind::Activation,
        item: item("mine", "1"),
        activates: BTreeSet::from(["c".to_owned()]),
    };
    HostSet::of(&[configuration, activation], "darwin").unwrap()
}

fn of_configuration(lists: Value) -> Verdict {
    judge(&states(lists), &set(), DeclarationKind::Configuration, &item("c", "2"))
}

fn verifying() -> Verdict {
    Verdict::Verifying(String::new())
}

#[test]
fn only_the_current_version_counts() {
    let old = state("c", "1", true, "valid", json!([]));
    let new = |active, valid| state("c", "2", active, valid, json!([]));
    assert_eq!(of_configuration(json!({})), verifying());
    assert_eq!(of_configuration(json!({"configurations": [old]})), verifying());
    assert_eq!(of_configuration(json!({"configurations": [old, new(false, "unknown")]})), verifying());
    assert_eq!(of_configuration(json!({"configurations": [old, new(false, "valid")]})), verifying());
    let verified = Verdict::Verified(String::new());
    assert_eq!(of_configuration(json!({"configurations": [old, new(true, "valid")]})), verified);
    assert_eq!(of_configuration(json!({"configurations": [new(true, "valid"), old]})), verified);
    assert_eq!(of_configuration(json!({"assets": [new(true, "valid")]})), verifying(), "it is of another kind");
}

#[test]
fn an_invalid_declaration_failed_for_the_reasons_of_the_device() {
    let reasons = json!([
        {"code": "Error.ConfigurationCannotBeApplied", "description": "No.", "details": {"Error": "too short"}},
        {"code": "Error.Other"},
        {"no": "code"},
    ]);
    let failed = of_configuration(json!({"configurations": [state("c", "2", false, "invalid", reasons)]}));
    let expected = "Error.ConfigurationCannotBeApplied: No. {\"Error\":\"too short\"}\nError.Other";
    assert_eq!(failed, Verdict::Failed(expected.to_owned()));
    let silent = of_configuration(json!({"configurations": [state("c", "2", false, "invalid", json!(null))]}));
    assert_eq!(silent, Verdict::Failed(NO_REASON.to_owned()));
    let endless = json!([{"code": "ü".repeat(5000)}]);
    let Verdict::Failed(text) =
        of_configuration(json!({"configurations": [state("c", "2", false, "invalid", endless)]}))
    else {
        panic!("it failed");
    };
    assert_eq!(text.chars().count(), MAX_DETAIL_CHARS);
}

#[test]
fn a_configuration_is_as_far_as_its_activations() {
    let idle = state("c", "2", false, "valid", json!([]));
    let with = |activation: Value| of_configuration(json!({"configurations": [idle], "activations": [activation]}));
    let predicate = json!([{"code": "Info.Predicate", "description": "false"}]);
    assert_eq!(with(state("mine", "0", false, "valid", predicate.clone())), verifying(), "of an older version");
    assert_eq!(with(state("mine", "1", false, "valid", json!([]))), verifying());
    let waits = Verdict::Verified("Info.Predicate: false".to_owned());
    assert_eq!(with(state("mine", "1", false, "valid", predicate)), waits);
    let broken = json!([{"code": "Error.UnableToParsePredicate"}]);
    let failed = Verdict::Failed("Error.UnableToParsePredicate".to_owned());
    assert_eq!(with(state("mine", "1", false, "invalid", broken)), failed);
}

#[test]
fn other_kinds_are_verified_when_the_device_accepts_them() {
    let judged = |kind, list: &str, entry: Value| judge(&states(json!({list: [entry]})), &set(), kind, &item("x", "1"));
    let verified = Verdict::Verified(String::new());
    let entry = |valid: &str, reasons: Value| state("x", "1", false, valid, reasons);
    for (kind, list) in DeclarationKind::ALL
        .into_iter()
        .zip(["activations", "assets", "configurations", "management"])
        .filter(|(kind, _)| *kind != DeclarationKind::Configuration)
    {
        assert_eq!(judged(kind, list, entry("valid", json!([]))), verified);
        assert_eq!(judged(kind, list, entry("unknown", json!([]))), verifying());
        assert!(matches!(judged(kind, list, entry("invalid", json!([]))), Verdict::Failed(_)));
    }
    let unused = json!([{"code": "Info.NotReferencedByConfiguration"}]);
    let asset = judged(DeclarationKind::Asset, "assets", entry("unknown", unused));
    assert_eq!(asset, Verdict::Verified("Info.NotReferencedByConfiguration".to_owned()));
}

#[test]
fn entries_that_are_none_are_passed_over() {
    let odd = states(
        json!({"configurations": [1, {"identifier": "c"}, {"identifier": 1, "server-token": "2"}, null], "assets": 3}),
    );
    assert_eq!(odd, DeclarationStates::default());
    assert!(!odd.lists(DeclarationKind::Configuration, "c"));
    assert_eq!(DeclarationStates::of(&Status::default()), None);
}
