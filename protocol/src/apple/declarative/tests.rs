use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn item(identifier: &str, server_token: &str) -> DeclarationItem {
    DeclarationItem { identifier: identifier.to_owned(), server_token: server_token.to_owned() }
}

fn set(items: &[(DeclarationKind, &str, &str)]) -> DeclarationSet {
    DeclarationSet::new(items.iter().map(|(kind, identifier, token)| (*kind, item(identifier, token)))).unwrap()
}

fn reread(json: &[u8]) -> Value {
    serde_json::from_slice(json).unwrap()
}

#[test]
fn the_empty_set_is_a_valid_document_with_all_four_lists() {
    let empty = DeclarationSet::default();
    let token = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(empty.token(), token);
    let lists = json!({ "Activations": [], "Assets": [], "Configurations": [], "Management": [] });
    let expected = json!({ "Declarations": lists, "DeclarationsToken": token });
    assert_eq!(reread(&empty.declaration_items_json()), expected);
}

#[test]
fn the_tokens_document_tells_the_same_token_and_the_time_in_seconds() {
    let changed_at = Timestamp::from_millis(1_795_253_400_987);
    let some = set(&[(DeclarationKind::Asset, "a", "1")]);
    let expected = json!({ "SyncTokens": { "DeclarationsToken": some.token(), "Timestamp": "2026-11-21T09:30:00Z" } });
    assert_eq!(reread(&some.tokens_json(changed_at)), expected);
    assert_eq!(reread(&some.declaration_items_json())["DeclarationsToken"], some.token());
}

#[test]
fn each_declaration_stands_in_the_list_of_its_kind() {
    let all = set(&[
        (DeclarationKind::Management, "m", "1"),
        (DeclarationKind::Configuration, "c2", "2"),
        (DeclarationKind::Configuration, "c1", "3"),
        (DeclarationKind::Asset, "as", "4"),
        (DeclarationKind::Activation, "ac", "5"),
    ]);
    let named = |identifier: &str, token: &str| json!({ "Identifier": identifier, "ServerToken": token });
    let expected = json!({
        "Activations": [named("ac", "5")],
        "Assets": [named("as", "4")],
        "Configurations": [named("c1", "3"), named("c2", "2")],
        "Management": [named("m", "1")],
    });
    assert_eq!(reread(&all.declaration_items_json())["Declarations"], expected);
    assert_eq!(serde_json::from_value::<DeclarationSet>(expected).unwrap(), all);
}

#[test]
fn the_token_changes_with_every_part_of_the_set() {
    let tokens = [
        set(&[]),
        set(&[(DeclarationKind::Asset, "ab", "c")]),
        set(&[(DeclarationKind::Asset, "a", "bc")]),
        set(&[(DeclarationKind::Configuration, "ab", "c")]),
        set(&[(DeclarationKind::Asset, "ab", "c"), (DeclarationKind::Asset, "d", "c")]),
    ]
    .map(|set| set.token());
    for (index, token) in tokens.iter().enumerate() {
        assert!(!tokens[..index].contains(token), "{index}");
    }
}

#[test]
fn names_are_1_to_64_bytes_and_identifiers_are_unique() {
    let new = |identifier: &str, token: &str| DeclarationSet::new([(DeclarationKind::Asset, item(identifier, token))]);
    assert!(new(&"a".repeat(64), &"t".repeat(64)).is_ok());
    for (identifier, token) in [("", "t"), ("a", ""), (&*"a".repeat(65), "t"), ("a", &*"ü".repeat(33))] {
        assert_eq!(new(identifier, token), Err(DeclarationError::Length));
    }
    let twice = [(DeclarationKind::Asset, item("a", "1")), (DeclarationKind::Management, item("a", "2"))];
    assert_eq!(DeclarationSet::new(twice), Err(DeclarationError::DuplicateIdentifier));
}

proptest! {
    #[test]
    fn the_order_of_the_declarations_does_not_matter(
        names in prop::collection::btree_map("[a-z]{1,8}", "[a-z]{1,8}", 0..12),
        order in any::<prop::sample::Index>(),
    ) {
        let kind_of = |name: &str| DeclarationKind::ALL[name.len() % 4];
        let mut items: Vec<_> = names.iter().map(|(name, token)| (kind_of(name), item(name, token))).collect();
        let sorted = DeclarationSet::new(items.clone()).unwrap();
        if !items.is_empty() {
            let middle = order.index(items.len());
            items.rotate_left(middle);
        }
        prop_assert_eq!(DeclarationSet::new(items).unwrap().declaration_items_json(), sorted.declaration_items_json());
    }
}
