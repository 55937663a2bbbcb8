use super::*;

const MAX: usize = 1 << 20;

fn sample() -> Profile {
    Profile {
        identifier: "com.example.wifi".to_owned(),
        uuid: "11111111-0000-0000-0000-000000000000".to_owned(),
        scope: Some(Scope::System),
        payloads: vec![Payload {
            payload_type: "com.apple.wifi.managed".to_owned(),
            identifier: "com.example.wifi.1".to_owned(),
            uuid: "22222222-0000-0000-0000-000000000000".to_owned(),
            settings: Dictionary::from_iter([("Password".to_owned(), "hunter2")].map(|(k, v)| (k, Value::from(v)))),
        }],
        others: Dictionary::from_iter([("PayloadDisplayName".to_owned(), Value::from("Wi-Fi"))]),
    }
}

/// The sample with one text of its XML replaced.
fn altered(from: &str, to: &str) -> Result<Profile, ProfileError> {
    let xml = String::from_utf8(sample().to_xml()).unwrap();
    assert!(xml.contains(from), "{from}");
    Profile::parse(xml.replacen(from, to, 1).as_bytes(), MAX)
}

#[test]
fn a_profile_is_read_back_as_it_was_written() {
    let profile = Profile::parse(&sample().to_xml(), MAX).unwrap();
    assert_eq!(profile, sample());
    assert_eq!(profile.display_name(), Some("Wi-Fi"));
}

#[test]
fn a_profile_lacking_a_required_entry_is_refused_by_name() {
    for key in ["PayloadType", "PayloadVersion", "PayloadIdentifier", "PayloadUUID", "PayloadContent"] {
        let outer = altered(&format!("<key>{key}</key>"), "<key>Unknown</key>");
        assert_eq!(outer, Err(FieldError::Missing(key).into()));
    }
    let array = Profile::parse(b"<plist><array/></plist>", MAX);
    assert_eq!(array, Err(FieldError::NotADictionary.into()));
}

#[test]
fn undocumented_values_and_doubled_names_are_refused() {
    assert_eq!(
        altered("<string>Configuration</string>", "<string>Other</string>"),
        Err(ProfileError::Value("PayloadType"))
    );
    assert_eq!(altered("<integer>1</integer>", "<integer>2</integer>"), Err(ProfileError::Value("PayloadVersion")));
    assert_eq!(altered("<string>System</string>", "<string>All</string>"), Err(ProfileError::Value("PayloadScope")));
    assert_eq!(altered("22222222-", "11111111-"), Err(ProfileError::DuplicateUuid));
    let control = altered("com.example.wifi<", "com.example.wifi&#7;<");
    assert!(matches!(control, Err(ProfileError::Field(FieldError::BadCharacter(_)))));
}

#[test]
fn derived_uuids_depend_on_every_part_and_nothing_else() {
    let uuid = derived_uuid(&["com.example", "mdm"]);
    assert_eq!(uuid, derived_uuid(&["com.example", "mdm"]));
    assert_ne!(uuid, derived_uuid(&["com.examplem", "dm"]));
    assert_ne!(uuid, derived_uuid(&["com.example", "mdm", ""]));
    let parsed = Uuid::parse_str(&uuid).unwrap();
    assert_eq!((parsed.get_version_num(), uuid.to_uppercase() == uuid), (8, true));
}

#[test]
fn the_settings_of_a_payload_are_not_printed() {
    let printed = format!("{:?}", sample());
    assert!(printed.contains("com.apple.wifi.managed") && !printed.contains("hunter2"), "{printed}");
}
