use proptest::prelude::*;
use serde_json::json;

use super::*;

const MAX: usize = 1 << 20;

fn status(body: &str) -> Result<StatusReport, StatusError> {
    StatusReport::parse(body.as_bytes(), MAX)
}

#[test]
fn all_of_a_status_report_is_read() {
    let body = r#"{"StatusItems":{"device":{"model":{"family":"iPhone"}}},
        "Errors":[{"StatusItem":"passcode.is-present",
            "Reasons":[{"Code":"Error.NotSupported","Description":"no","Details":{"a":[1]}}]}],
        "FullReport":true,"New":1}"#;
    let report = status(body).unwrap();
    let (description, details) = (Some("no".to_owned()), Some(json!({"a": [1]})));
    let reason = StatusReason { code: "Error.NotSupported".to_owned(), description, details };
    let error = StatusItemError { status_item: "passcode.is-present".to_owned(), reasons: vec![reason] };
    let items = json!({"device": {"model": {"family": "iPhone"}}}).as_object().unwrap().clone();
    assert_eq!(report, StatusReport { full: true, items, errors: vec![error] });
    let least = status(r#"{"StatusItems":{}}"#).unwrap();
    assert!(!least.full && least.errors.is_empty());
}

#[test]
fn a_status_report_of_another_shape_is_refused() {
    for body in [
        "",
        "null",
        "[]",
        "{}",
        r#"{"StatusItems":[]}"#,
        r#"{"StatusItems":null}"#,
        r#"{"StatusItems":{},"Errors":{}}"#,
        r#"{"StatusItems":{},"FullReport":1}"#,
        r#"{"StatusItems":{},"Errors":[{}]}"#,
        r#"{"StatusItems":{}} x"#,
        r#"{"StatusItems":{"#,
        r#"{"StatusItems":{},"FullReport":true,"FullReport":false}"#,
        "<plist/>",
    ] {
        assert_eq!(status(body), Err(StatusError::Malformed), "{body}");
    }
}

#[test]
fn a_status_report_is_bounded_before_it_is_read() {
    let body = r#"{"StatusItems":{}}"#;
    assert_eq!(StatusReport::parse(body.as_bytes(), body.len() - 1), Err(StatusError::TooLarge));
    assert_eq!(status(r#"{"StatusItems":{"a":"x\u0000"}}"#), Err(StatusError::Nul));
    assert!(status(r#"{"StatusItems":{"a":"x\\u0000"}}"#).is_ok());
    let nested = |depth: usize| format!(r#"{{"StatusItems":{{"a":{}{}}}}}"#, "[".repeat(depth), "]".repeat(depth));
    assert!(status(&nested(MAX_DEPTH - 2)).is_ok());
    assert_eq!(status(&nested(MAX_DEPTH - 1)), Err(StatusError::TooDeep));
    assert_eq!(status(&nested(400_000)), Err(StatusError::TooDeep));
    assert!(status(r#"{"StatusItems":{"a":"[[[[\"[[[["}}"#).is_ok());
    let wide = format!(r#"{{"StatusItems":{{"a":[1{}]}}}}"#, ",1".repeat(MAX_NODES));
    assert_eq!(status(&wide), Err(StatusError::TooManyNodes));
}

fn reported(items: Value) -> StatusReport {
    StatusReport::parse(json!({ "StatusItems": items }).to_string().as_bytes(), MAX).unwrap()
}

fn known(reports: impl IntoIterator<Item = StatusReport>) -> Status {
    reports.into_iter().fold(Status::default(), |known, report| known.merge(report, MAX))
}

fn items(status: &Status) -> Value {
    let read = Status::parse(&status.to_json(), MAX).unwrap();
    assert_eq!(&read, status, "what is written is read");
    read.items.into()
}

#[test]
fn objects_are_merged_entry_by_entry_and_what_nobody_knows_is_kept() {
    let status = known([
        reported(json!({"device": {"model": {"family": "Mac"}, "new": {"a": 1}}, "odd": [1, 2]})),
        reported(json!({"device": {"model": {"number": "X"}, "new": {"b": [2]}}, "odd": [3]})),
    ]);
    let expected =
        json!({"device": {"model": {"family": "Mac", "number": "X"}, "new": {"a": 1, "b": [2]}}, "odd": [3]});
    assert_eq!(items(&status), expected);
    assert_eq!(status.item("device.model.number"), Some(&json!("X")));
    assert_eq!(status.item("device.model.number.more"), None);
    assert_eq!(status.item(""), None);
}

#[test]
fn a_value_that_is_one_object_is_replaced() {
    let status = known([
        reported(
            json!({"softwareupdate": {"failure-reason": {"count": 2, "reason": "no power"}, "install-state": "failed"}}),
        ),
        reported(json!({"softwareupdate": {"failure-reason": {"count": 0}}})),
    ]);
    assert_eq!(items(&status), json!({"softwareupdate": {"failure-reason": {"count": 0}, "install-state": "failed"}}));
}

#[test]
fn the_states_of_declarations_are_replaced_and_one_may_be_there_in_two_versions() {
    let both = json!([{"identifier": "a", "server-token": "1"}, {"identifier": "a", "server-token": "2"}]);
    let report =
        |configurations: Value| reported(json!({"management": {"declarations": {"configurations": configurations}}}));
    let status = known([report(json!([{"identifier": "gone"}])), report(both.clone())]);
    assert_eq!(status.item("management.declarations.configurations"), Some(&both));
    let none = known([report(both), report(json!([]))]);
    assert_eq!(none.item("management.declarations.configurations"), Some(&json!([])));
}

#[test]
fn lists_of_things_with_identifiers_are_merged_thing_by_thing() {
    let list = |things: Value| reported(json!({"mdm": {"app": things}}));
    let status = known([
        list(json!([{"identifier": "a", "state": "queued", "name": "A"}, {"identifier": "b"}])),
        list(
            json!([{"identifier": "a", "state": "managed"}, {"identifier": "c"}, {"identifier": "b", "_removed": true}]),
        ),
        list(json!([{"identifier": "never", "_removed": true}])),
        list(json!([])),
    ]);
    assert_eq!(items(&status), json!({"mdm": {"app": [{"identifier": "a", "state": "managed"}, {"identifier": "c"}]}}));
    let again = status.merge(list(json!([{"identifier": "b"}, {"identifier": "b", "_removed": true}])), MAX);
    assert_eq!(again.item("mdm.app").unwrap().as_array().unwrap().len(), 2);
}

#[test]
fn a_whole_report_replaces_everything() {
    let mut whole = reported(json!({"device": {"model": {"family": "Mac"}}}));
    whole.full = true;
    let status = known([reported(json!({"passcode": {"is-present": true}})), whole]);
    assert_eq!(items(&status), json!({"device": {"model": {"family": "Mac"}}}));
}

#[test]
fn an_error_stands_until_the_item_is_reported() {
    let error = |name: &str, code: &str| StatusItemError {
        status_item: name.to_owned(),
        reasons: vec![StatusReason { code: code.to_owned(), description: None, details: None }],
    };
    let failing = |errors: Vec<StatusItemError>| StatusReport { errors, ..reported(json!({"a": {"b": 1}})) };
    let first = known([failing(vec![error("a.b", "1"), error("x", "1")])]);
    assert_eq!(first.errors(), [error("a.b", "1"), error("x", "1")]);
    let second = first.merge(failing(vec![error("x", "2"), error("x", "3")]), MAX);
    assert_eq!(second.errors(), [error("x", "2")]);
    let third = second.merge(reported(json!({"x": null})), MAX);
    assert_eq!(third.errors(), []);
}

#[test]
fn what_grows_too_large_begins_anew_with_the_last_report() {
    let list = |from: usize| {
        let things: Vec<Value> = (from..from + 50).map(|n| json!({"identifier": n.to_string()})).collect();
        reported(json!({"mdm": {"app": things}}))
    };
    let status = Status::default().merge(list(0), 2000).merge(list(50), 2000);
    assert_eq!(items(&status).to_string(), items(&known([list(50)])).to_string());
}

/// Any small report over a few names, so that reports meet.
fn any_items() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        (0..3_i32).prop_map(|n| json!(n)),
        prop::collection::vec(("[ab]", any::<bool>(), 0..3_i32), 0..4).prop_map(|things| {
            let thing = |(name, removed, n)| json!({"identifier": name, "_removed": removed, "n": n});
            Value::from(things.into_iter().map(thing).collect::<Vec<_>>())
        }),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop::collection::btree_map("management|declarations|[abc]", inner, 0..3)
            .prop_map(|entries| Value::Object(entries.into_iter().collect()))
    })
}

proptest! {
    #[test]
    fn a_report_that_comes_twice_changes_nothing_more(
        earlier in any_items(), later in any_items(), full in any::<bool>(),
    ) {
        let report = StatusReport { full, ..reported(json!({"a": later})) };
        let once = known([reported(json!({"a": earlier})), report.clone()]);
        prop_assert_eq!(once.clone().merge(report, MAX), once);
    }

    #[test]
    fn no_status_report_panics(body in r#"[\[\]{}",:\\u0-9a-zStatusItems]{0,80}"#) {
        let _ = status(&body);
        let _ = status(&format!(r#"{{"StatusItems":{{"a":{body}}}}}"#));
    }
}
