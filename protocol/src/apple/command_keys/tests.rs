use super::*;
use crate::apple::request_types;

/// A value that a key may have.
fn good(kind: Kind) -> Value {
    match kind {
        Kind::Text => "text".into(),
        Kind::OneOf(allowed) => allowed[0].into(),
        Kind::Digits(count) => "1".repeat(count).into(),
        Kind::Boolean => true.into(),
        Kind::Integer => 7_i64.into(),
        Kind::NumberOf(allowed) => allowed[0].into(),
        Kind::Data => Value::Data(vec![1, 2, 3]),
        Kind::List(item) => Value::Array(vec![good(*item)]),
        Kind::Dictionary(keys) => Value::Dictionary(minimal(keys)),
        Kind::Items(items) => good_item(items[0]),
    }
}

fn good_item((name, keys): (&'static str, &'static [Key])) -> Value {
    let mut entries = minimal(keys);
    entries.insert("Item".to_owned(), name.into());
    Value::Dictionary(entries)
}

/// Values that a key may not have.
fn bad(kind: Kind) -> Vec<Value> {
    let mut values = vec![Value::Real(0.5)];
    match kind {
        Kind::Text => values.push(7_i64.into()),
        Kind::OneOf(_) => values.extend(["no such value".into(), 7_i64.into()]),
        Kind::Digits(count) => values.extend([
            "1".repeat(count + 1).into(),
            "1".repeat(count - 1).into(),
            "a".repeat(count).into(),
            "١".repeat(count).into(),
            123_456_i64.into(),
        ]),
        Kind::Boolean => values.extend([1_i64.into(), "true".into()]),
        Kind::Integer => values.push("7".into()),
        Kind::NumberOf(_) => values.extend([i64::MIN.into(), u64::MAX.into(), "1".into()]),
        Kind::Data => values.push("AAAA".into()),
        Kind::List(_) => values.extend(["text".into(), Value::Dictionary(Dictionary::new())]),
        Kind::Dictionary(_) | Kind::Items(_) => values.push(Value::Array(Vec::new())),
    }
    values
}

/// The least that a dictionary needs.
fn minimal(keys: &'static [Key]) -> Dictionary {
    keys.iter().filter(|key| key.required).map(|key| (key.name.to_owned(), good(key.kind))).collect()
}

/// Judges a whole command, from the entries of one of its dictionaries.
type Judge<'a> = &'a dyn Fn(Dictionary) -> Result<(), ArgumentError>;

/// Tries each key of a dictionary, and of those inside it; `extra` stands in it whatever is tried.
fn walk(keys: &'static [Key], extra: &Dictionary, path: &str, judge: Judge<'_>, seen: &mut usize) {
    let with = |key: &Key, value: Value| {
        let mut entries = minimal(keys);
        entries.extend(extra.clone());
        entries.insert(key.name.to_owned(), value);
        judge(entries)
    };
    for key in keys {
        *seen += 1;
        let here = format!("{path}.{}", key.name);
        with(key, good(key.kind)).unwrap_or_else(|error| panic!("{here}: {error}"));
        for value in bad(key.kind) {
            let error = with(key, value).expect_err(&here).to_string();
            assert_eq!(error, format!("{here} must be {}", key.kind));
        }
        if key.required {
            let mut entries = minimal(keys);
            entries.extend(extra.clone());
            entries.remove(key.name);
            let error = judge(entries).expect_err(&here).to_string();
            assert_eq!(error, format!("{here} is missing: it must be {}", key.kind));
        }
        walk_into(key.kind, &here, &|value| with(key, value), seen);
    }
}

fn walk_into(kind: Kind, path: &str, judge: &dyn Fn(Value) -> Result<(), ArgumentError>, seen: &mut usize) {
    match kind {
        Kind::Dictionary(keys) => {
            walk(keys, &Dictionary::new(), path, &|entries| judge(Value::Dictionary(entries)), seen);
        }
        Kind::Items(items) => {
            for (name, keys) in items {
                let item = Dictionary::from_iter([("Item".to_owned(), Value::from(*name))]);
                walk(keys, &item, path, &|entries| judge(Value::Dictionary(entries)), seen);
            }
            let error = judge(Value::Dictionary(Dictionary::new())).unwrap_err().to_string();
            assert_eq!(error, format!("{path}.Item is missing: it must be a string"));
            let unknown = Dictionary::from_iter([("Item".to_owned(), Value::from("NextYearsItem"))]);
            judge(Value::Dictionary(unknown)).unwrap();
        }
        Kind::List(item) => {
            // The second item, so that the position counts.
            let inside = format!("{path}[1]");
            for value in bad(*item) {
                let error = judge(Value::Array(vec![good(*item), value])).unwrap_err().to_string();
                assert_eq!(error, format!("{inside} must be {item}"));
            }
            judge(Value::Array(Vec::new())).unwrap();
            walk_into(*item, &inside, &|value| judge(Value::Array(vec![good(*item), value])), seen);
        }
        _ => {}
    }
}

#[test]
fn every_key_takes_what_it_must_and_refuses_the_rest() {
    let mut seen = 0;
    for arguments in table() {
        let one_of = arguments.one_of.iter().map(|name| {
            let key = arguments.keys.iter().find(|key| key.name == *name).expect(name);
            (key.name.to_owned(), good(key.kind))
        });
        let extra: Dictionary = one_of.collect();
        let judge = |entries| check(arguments.request_type, &entries);
        walk(arguments.keys, &extra, "Command", &judge, &mut seen);
        if !arguments.one_of.is_empty() {
            let error = judge(minimal(arguments.keys)).unwrap_err().to_string();
            assert_eq!(error, format!("Command needs {}", arguments.one_of.join(" or ")));
        }
    }
    assert!(seen > 190, "the walk finds the keys: {seen}");
}

#[test]
fn every_type_that_the_queue_knows_is_in_the_table_once() {
    let mut named: Vec<&str> = table().map(|arguments| arguments.request_type).collect();
    named.sort_unstable();
    assert_eq!(named, request_types::known().collect::<Vec<_>>());
}

#[test]
fn no_dictionary_names_a_key_twice() {
    fn look(keys: &'static [Key]) {
        for (index, key) in keys.iter().enumerate() {
            assert!(keys[..index].iter().all(|other| other.name != key.name), "{}", key.name);
            look_into(key.kind);
        }
    }
    fn look_into(kind: Kind) {
        match kind {
            Kind::Dictionary(keys) => look(keys),
            Kind::List(item) => look_into(*item),
            Kind::Items(items) => items.iter().for_each(|(_, keys)| look(keys)),
            _ => {}
        }
    }
    table().for_each(|arguments| look(arguments.keys));
}

#[test]
fn what_apple_may_have_added_since_is_let_through() {
    let entries = Dictionary::from_iter([("NextYearsKey".to_owned(), Value::Real(0.5))]);
    assert!(check("DeviceLock", &entries).is_ok());
    assert!(check("TurnIntoPumpkin", &entries).is_ok());
}

#[test]
fn an_error_says_where_and_what_and_never_what_was_sent() {
    let entries = Dictionary::from_iter([("PIN".to_owned(), Value::from("hunter2"))]);
    let error = check("DeviceLock", &entries).unwrap_err();
    assert_eq!(error.to_string(), "Command.PIN must be a string of 6 digits");
    assert!(!format!("{error:?}").contains("hunter2"));
    let item = Dictionary::from_iter([("Item".to_owned(), Value::from("Bluetooth"))]);
    let settings = Value::Array(vec![Value::Dictionary(item)]);
    let error = check("Settings", &Dictionary::from_iter([("Settings".to_owned(), settings)])).unwrap_err();
    assert_eq!(error.to_string(), "Command.Settings[0].Enabled is missing: it must be true or false");
}

#[test]
fn base64_text_becomes_data_where_the_table_says_data_and_nowhere_else() {
    let wallpaper = Dictionary::from_iter([
        ("Item".to_owned(), Value::from("Wallpaper")),
        ("Image".to_owned(), Value::from("AQID")),
        ("Where".to_owned(), Value::from(1_i64)),
    ]);
    let items = Value::Array(vec![Value::Dictionary(wallpaper)]);
    let mut entries = Dictionary::from_iter([("Settings".to_owned(), items)]);
    read_base64("Settings", &mut entries);
    assert!(check("Settings", &entries).is_ok());
    let mut lock = Dictionary::from_iter([("Message".to_owned(), Value::from("AQID"))]);
    read_base64("DeviceLock", &mut lock);
    assert_eq!(lock["Message"], Value::from("AQID"));
    let mut install = Dictionary::from_iter([("Payload".to_owned(), Value::from("not Base64!"))]);
    read_base64("InstallProfile", &mut install);
    assert_eq!(
        check("InstallProfile", &install).unwrap_err().to_string(),
        "Command.Payload must be data (in JSON: Base64 text)",
    );
}
