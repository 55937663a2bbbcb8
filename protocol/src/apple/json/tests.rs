use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::apple::plist::tests::any_value;

/// The JSON form of commands, as an administrator would write this value; the inverse of [`to_value`].
fn written_by_hand(value: &Value) -> Json {
    match value {
        Value::Array(items) => items.iter().map(written_by_hand).collect(),
        Value::Dictionary(entries) => {
            entries.iter().map(|(key, value)| (key.clone(), written_by_hand(value))).collect::<Map<_, _>>().into()
        }
        Value::Data(bytes) => json!({ "$data": STANDARD.encode(bytes) }),
        Value::Date(date) => json!({ "$date": date.to_xml_format() }),
        other => from_value(other),
    }
}

/// Whether a dictionary in `value` looks like data or a date, or a text holds what XML cannot carry.
fn is_inexpressible(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().any(is_inexpressible),
        Value::Dictionary(entries) => entries.iter().any(|(key, value)| {
            matches!(key.as_str(), "$data" | "$date") || convert_text(key).is_err() || is_inexpressible(value)
        }),
        Value::String(text) => convert_text(text).is_err(),
        _ => false,
    }
}

#[test]
fn a_device_answer_becomes_json_without_loss() {
    let answer = include_bytes!("../../../tests/fixtures/apple/acknowledged_device_information_macos.plist");
    let json = from_xml(answer, 4096).unwrap();
    assert_eq!(
        json["QueryResponses"],
        json!({
            "AvailableDeviceCapacity": 181.362_136_840_820_3,
            "AwaitingConfiguration": false,
            "BatteryLevel": -1.0,
            "DeviceName": "Ann’s MacBook Pro",
            "IsSupervised": true,
            "LastCloudBackupDate": "2026-11-20T22:15:04Z",
            "OSVersion": "15.1",
            "ProductName": "Mac15,3",
            "SerialNumber": "H2WXQ4KLM9",
            "SoftwareUpdateSettings": {},
            "UDID": "7A1C3E5F-90B2-5D4C-8E6F-1A2B3C4D5E6F",
            "UptimeSeconds": u64::MAX,
        })
    );
}

#[test]
fn numbers_and_bytes_keep_their_values_in_json() {
    let cases = [
        (Value::from(i64::MIN), json!(i64::MIN)),
        (Value::from(u64::MAX), json!(u64::MAX)),
        (Value::from(0.1), json!(0.1)),
        (Value::from(f64::NAN), json!("nan")),
        (Value::from(f64::INFINITY), json!("inf")),
        (Value::from(f64::NEG_INFINITY), json!("-inf")),
        (Value::Data(vec![0xfb, 0xff]), json!("+/8=")),
    ];
    for (value, json) in cases {
        assert_eq!(from_value(&value), json);
    }
}

#[test]
fn our_json_form_tells_data_and_dates_from_text() {
    let json = json!({
        "Payload": { "$data": "aGVsbG8=" },
        "Since": { "$date": "2026-11-21T09:30:00Z" },
        "Text": "aGVsbG8=",
        "Plain": { "$data": "aGVsbG8=", "other": 1 },
    });
    let value = to_value(&json).unwrap();
    let entries = value.as_dictionary().unwrap();
    assert_eq!(entries.get("Payload"), Some(&Value::Data(b"hello".to_vec())));
    assert_eq!(entries.get("Since").and_then(Value::as_date), parse_date("2026-11-21T09:30:00Z"));
    assert_eq!(entries.get("Text"), Some(&Value::from("aGVsbG8=")));
    assert!(entries.get("Plain").and_then(Value::as_dictionary).is_some());
}

#[test]
fn a_refusal_names_the_place_and_the_rule() {
    let deep = (0..=MAX_DEPTH).fold(json!(true), |inner, _| json!([inner]));
    let cases = [
        (json!({ "Settings": [{ "Item": null }] }), "$.Settings[0].Item", JsonFault::Null),
        (json!([{ "$data": "not base64" }]), "$[0]", JsonFault::Data),
        (json!({ "a": { "$date": 5 } }), "$.a", JsonFault::Date),
        (json!({ "a": "\u{0}" }), "$.a", JsonFault::Control),
        (json!({ "a\u{1}": 1 }), "$", JsonFault::Control),
        (json!(["\u{fffe}"]), "$[0]", JsonFault::Control),
    ];
    for (json, path, fault) in cases {
        assert_eq!(to_value(&json), Err(JsonError { path: path.to_owned(), fault }), "{json}");
    }
    assert_eq!(to_value(&deep).map_err(|error| error.fault), Err(JsonFault::TooDeep));
    let too_deep = to_value(&deep).unwrap_err();
    assert_eq!(too_deep.path, format!("${}", "[0]".repeat(MAX_DEPTH)));
}

proptest! {
    #[test]
    fn every_value_can_be_written_as_json_and_read_back(value in any_value()) {
        prop_assume!(!is_inexpressible(&value));
        prop_assert_eq!(to_value(&written_by_hand(&value)), Ok(value));
    }

    // The text is compared, because serde_json's own reader is off by one unit in the last place now and then.
    #[test]
    fn json_text_keeps_every_number(real in prop::num::f64::NORMAL, signed in any::<i64>(), unsigned in any::<u64>()) {
        prop_assert_eq!(from_value(&Value::from(real)).to_string().parse(), Ok(real));
        prop_assert_eq!(from_value(&Value::from(signed)).to_string(), signed.to_string());
        prop_assert_eq!(from_value(&Value::from(unsigned)).to_string(), unsigned.to_string());
    }
}
