use proptest::prelude::*;

use super::*;

fn item(identifier: &str, server_token: &str) -> DeclarationItem {
    DeclarationItem { identifier: identifier.to_owned(), server_token: server_token.to_owned() }
}

fn assigned(kind: DeclarationKind, identifier: &str, server_token: &str) -> Assigned {
    Assigned { kind, item: item(identifier, server_token), activates: BTreeSet::new() }
}

fn configuration(identifier: &str, server_token: &str) -> Assigned {
    assigned(DeclarationKind::Configuration, identifier, server_token)
}

fn activation(identifier: &str, activates: &[&str]) -> Assigned {
    let activates = activates.iter().map(|name| (*name).to_owned()).collect();
    Assigned { activates, ..assigned(DeclarationKind::Activation, identifier, "1") }
}

fn set(assigned: &[Assigned]) -> HostSet {
    HostSet::of(assigned, "darwin").unwrap()
}

fn names(set: &HostSet, kind: DeclarationKind) -> Vec<&str> {
    set.declarations().of_kind(kind).iter().map(|item| item.identifier.as_str()).collect()
}

fn document(set: &HostSet, kind: DeclarationKind, identifier: &str) -> Value {
    serde_json::from_slice(&set.generated(kind, identifier).unwrap()).unwrap()
}

const SUBSCRIBED: &str = "org.rookery.status-subscriptions";

#[test]
fn a_host_without_declarations_has_the_empty_set() {
    assert_eq!(set(&[]), HostSet::default());
    assert_eq!(set(&[]).declarations(), &DeclarationSet::default());
}

#[test]
fn a_configuration_gets_an_activation_and_the_host_is_asked_for_its_status() {
    let set = set(&[configuration("c", "1"), assigned(DeclarationKind::Management, "m", "1")]);
    assert_eq!(names(&set, DeclarationKind::Configuration), ["c", SUBSCRIBED]);
    assert_eq!(names(&set, DeclarationKind::Management), ["m"]);
    assert_eq!(names(&set, DeclarationKind::Asset), [""; 0]);
    let activations = ["c.activation", "org.rookery.status-subscriptions.activation"];
    assert_eq!(names(&set, DeclarationKind::Activation), activations);
    let activation = document(&set, DeclarationKind::Activation, "c.activation");
    assert_eq!(activation["Type"], SIMPLE_ACTIVATION);
    assert_eq!(activation["Identifier"], "c.activation");
    assert_eq!(activation["Payload"], json!({"StandardConfigurations": ["c"]}));
    let token = &set.item(DeclarationKind::Activation, "c.activation").unwrap().server_token;
    assert_eq!(activation["ServerToken"], token.as_str());
    assert_eq!(set.generated(DeclarationKind::Configuration, "c"), None, "the admin wrote it");
    assert_eq!(set.generated(DeclarationKind::Asset, "c.activation"), None, "it is of another kind");
    assert_eq!(set.activations_of("c"), [item("c.activation", token)]);
}

#[test]
fn a_host_is_asked_for_what_its_platform_knows() {
    let asked = |platform: &str| {
        let set = HostSet::of(&[configuration("c", "1")], platform).unwrap();
        let subscription = document(&set, DeclarationKind::Configuration, SUBSCRIBED);
        assert_eq!(subscription["Type"], SUBSCRIPTIONS);
        let items = subscription["Payload"]["StatusItems"].as_array().unwrap().clone();
        items.iter().map(|item| item["Name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let (mac, phone, unknown) = (asked("darwin"), asked("ios"), asked(""));
    assert!(mac.is_sorted() && phone.is_sorted());
    let has = |items: &[String], name: &str| items.iter().any(|item| item == name);
    assert!(has(&mac, "diskmanagement.filevault.enabled") && !has(&mac, "mdm.app"));
    assert!(has(&phone, "mdm.app") && !has(&phone, "diskmanagement.filevault.enabled"));
    assert!(has(&phone, "softwareupdate.install-state") && !has(&asked("tvos"), "softwareupdate.install-state"));
    assert!(has(&unknown, "device.operating-system.version") && unknown.iter().all(|name| has(&mac, name)));
}

#[test]
fn configurations_that_an_activation_names_get_none_of_their_own() {
    let set = set(&[configuration("a", "1"), configuration("b", "1"), activation("mine", &["a", "gone"])]);
    let activations = ["b.activation", "mine", "org.rookery.status-subscriptions.activation"];
    assert_eq!(names(&set, DeclarationKind::Activation), activations);
    assert_eq!(set.activations_of("a"), [item("mine", "1")]);
    assert_eq!(set.activations_of("nobody's"), []);
}

#[test]
fn names_are_derived_where_they_would_be_too_long_or_are_taken() {
    let long = "l".repeat(64);
    let set = set(&[
        configuration(&long, "1"),
        configuration("c", "1"),
        assigned(DeclarationKind::Asset, "c.activation", "1"),
        assigned(DeclarationKind::Management, SUBSCRIBED, "1"),
    ]);
    let derived = names(&set, DeclarationKind::Activation);
    assert_eq!(derived.len(), 3);
    for name in derived {
        assert!(name.starts_with("org.rookery.") && name.len() <= MAX_NAME_BYTES, "{name}");
        let activation = document(&set, DeclarationKind::Activation, name);
        let named = activation["Payload"]["StandardConfigurations"][0].as_str().unwrap();
        assert!(set.item(DeclarationKind::Configuration, named).is_some(), "{named}");
    }
    assert_ne!(names(&set, DeclarationKind::Configuration), names(&set, DeclarationKind::Management));
}

#[test]
fn the_token_of_an_activation_follows_its_configuration() {
    let token = |version: &str| {
        set(&[configuration("c", version)]).item(DeclarationKind::Activation, "c.activation").unwrap().clone()
    };
    assert_ne!(token("1"), token("2"));
}

#[test]
fn two_declarations_with_one_name_are_no_set() {
    let twice = [configuration("c", "1"), assigned(DeclarationKind::Asset, "c", "1")];
    assert_eq!(HostSet::of(&twice, "ios"), Err(DeclarationError::DuplicateIdentifier));
}

proptest! {
    #[test]
    fn the_set_follows_from_what_is_assigned_in_whatever_order(
        names in prop::collection::btree_map("[a-d]{1,3}|[a-d]{1,2}[.]activation|[x-z]{60,64}", 0..4_usize, 0..10),
        named in prop::collection::btree_set("[a-d]{1,3}", 0..4),
        order in any::<prop::sample::Index>(),
    ) {
        let mut all: Vec<Assigned> = names.iter().map(|(name, kind)| match DeclarationKind::ALL[*kind] {
            DeclarationKind::Activation => Assigned { activates: named.clone(), ..activation(name, &[]) },
            kind => assigned(kind, name, "1"),
        }).collect();
        let sorted = set(&all);
        if !all.is_empty() {
            let middle = order.index(all.len());
            all.rotate_left(middle);
        }
        prop_assert_eq!(&set(&all), &sorted);
        for item in sorted.declarations().of_kind(DeclarationKind::Configuration) {
            prop_assert!(!sorted.activations_of(&item.identifier).is_empty(), "each configuration is in effect");
        }
        for (kind, item) in sorted.declarations().iter() {
            let is_assigned = all.iter().any(|one| one.kind == kind && one.item == *item);
            prop_assert!(is_assigned != sorted.generated(kind, &item.identifier).is_some(), "each has one document");
        }
    }
}
