use std::thread;

use ::plist::Date;
use proptest::prelude::*;

use super::*;
use crate::time::Timestamp;

const MAX: usize = 1 << 20;

/// Every captured message shape; each is also a seed for the mutations.
const FIXTURES: [&[u8]; 8] = [
    include_bytes!("../../../tests/fixtures/apple/authenticate_macos.plist"),
    include_bytes!("../../../tests/fixtures/apple/token_update_ios.plist"),
    include_bytes!("../../../tests/fixtures/apple/idle_shared_ipad_user.plist"),
    include_bytes!("../../../tests/fixtures/apple/acknowledged_device_information_macos.plist"),
    include_bytes!("../../../tests/fixtures/apple/acknowledged_profile_list_ios.plist"),
    include_bytes!("../../../tests/fixtures/apple/error_install_profile_macos.plist"),
    include_bytes!("../../../tests/fixtures/apple/declarative_status_ios.plist"),
    include_bytes!("../../../tests/fixtures/apple/command_restart_macos.plist"),
];

fn read(inner: &str) -> Result<Value, Fault> {
    parse(format!("<plist version=\"1.0\">{inner}</plist>").as_bytes(), MAX).map_err(|error| error.fault)
}

fn read_document(document: &[u8]) -> Result<Value, Fault> {
    parse(document, MAX).map_err(|error| error.fault)
}

fn dictionary<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Dictionary(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

#[test]
fn what_apple_writes_is_read_like_the_plist_crate_reads_it() {
    for fixture in FIXTURES {
        assert_eq!(parse(fixture, MAX).unwrap(), Value::from_reader_xml(fixture).unwrap());
    }
}

#[test]
fn every_element_is_read() {
    let body = "<dict>
        <key>s</key><string> a &lt;&amp;&gt;&quot;&apos;&#65;&#x42; <!-- c --><?pi?><![CDATA[<b>&amp;]]></string>
        <key>empty</key><string/><key></key><string></string>
        <key>i</key><integer> -42 </integer><key>u</key><integer>18446744073709551615</integer>
        <key>x</key><integer>0xFF</integer><key>min</key><integer>-9223372036854775808</integer>
        <key>r</key><real>-1.5e3</real><key>inf</key><real>-infinity</real>
        <key>t</key><true/><key>f</key><false></false>
        <key>d</key><date>2026-11-21T09:30:00Z</date>
        <key>b</key><data>\n\taGVs\r\n\tbG8 =\n</data><key>b0</key><data/>
        <key>a</key><array><string>1</string><array/><dict/></array>
    </dict>";
    let date = Date::from(std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_795_253_400));
    let expected = dictionary([
        ("s", " a <&>\"'AB <b>&amp;".into()),
        ("empty", "".into()),
        ("", "".into()),
        ("i", (-42).into()),
        ("u", u64::MAX.into()),
        ("x", 255.into()),
        ("min", i64::MIN.into()),
        ("r", (-1500.0).into()),
        ("inf", f64::NEG_INFINITY.into()),
        ("t", true.into()),
        ("f", false.into()),
        ("d", Value::Date(date)),
        ("b", Value::Data(b"hello".to_vec())),
        ("b0", Value::Data(Vec::new())),
        ("a", Value::Array(vec!["1".into(), Value::Array(Vec::new()), dictionary([])])),
    ]);
    assert_eq!(read(body), Ok(expected));
    assert!(matches!(read("<real>nan</real>"), Ok(Value::Real(real)) if real.is_nan()));
}

#[test]
fn every_broken_rule_has_its_own_fault() {
    let cases = [
        ("<dict><key>a</key><true/><key>a</key><true/></dict>", Fault::DuplicateKey),
        ("<dict><key>a</key><key>b</key><true/></dict>", Fault::KeyWithoutValue),
        ("<dict><key>a</key></dict>", Fault::KeyWithoutValue),
        ("<dict><true/></dict>", Fault::ValueWithoutKey),
        ("<dict>x<key>a</key><true/></dict>", Fault::StrayText),
        ("<array>&#32;</array>", Fault::StrayText),
        ("<array><![CDATA[ ]]></array>", Fault::StrayText),
        ("<array><key>a</key></array>", Fault::Element),
        ("<key>a</key>", Fault::Element),
        ("<uid>1</uid>", Fault::Element),
        ("<String>1</String>", Fault::Element),
        ("<string>a<b/></string>", Fault::Element),
        ("<string>&unknown;</string>", Fault::Entity),
        ("<string>&#xD800;</string>", Fault::Entity),
        ("<string>&#0;</string>", Fault::Entity),
        ("<string>& </string>", Fault::Syntax),
        ("<string>a</integer>", Fault::Syntax),
        ("<true/><true/>", Fault::NotOneValue),
        ("", Fault::NotOneValue),
        ("<plist/>", Fault::Element),
        ("<true>x</true>", Fault::Scalar("true")),
        ("<integer>1.0</integer>", Fault::Scalar("integer")),
        ("<integer></integer>", Fault::Scalar("integer")),
        ("<integer>--1</integer>", Fault::Scalar("integer")),
        ("<integer>0x+1</integer>", Fault::Scalar("integer")),
        ("<integer>18446744073709551616</integer>", Fault::Scalar("integer")),
        ("<integer>-9223372036854775809</integer>", Fault::Scalar("integer")),
        ("<real>one</real>", Fault::Scalar("real")),
        ("<date>2026-11-21</date>", Fault::Scalar("date")),
        ("<date>2026-02-30T00:00:00Z</date>", Fault::Scalar("date")),
        ("<data>a-b_</data>", Fault::Scalar("data")),
        ("<data>====</data>", Fault::Scalar("data")),
        ("<?xml version=\"1.0\"?><true/>", Fault::Syntax),
        ("<!DOCTYPE plist><true/>", Fault::DocType),
    ];
    for (inner, fault) in cases {
        assert_eq!(read(inner), Err(fault), "{inner}");
    }
}

#[test]
fn what_surrounds_the_property_list_is_checked_too() {
    let doctype = "<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \
                   \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">";
    let accepted = [
        format!(
            "\u{feff}<?xml version='1.0' encoding='utf-8'?>\n<!-- c -->{doctype}<plist><true/></plist>\n<!-- c -->\n"
        ),
        "<?xml version=\"1.0\"?><plist><true/></plist>".to_owned(),
    ];
    for document in accepted {
        assert_eq!(read_document(document.as_bytes()), Ok(Value::Boolean(true)), "{document}");
    }
    let refused = [
        ("<plist><true/></plist><plist/>", Fault::Trailing),
        ("<plist><true/></plist>x", Fault::Trailing),
        ("<plist><true/></plist><!DOCTYPE plist>", Fault::DocType),
        ("x<plist><true/></plist>", Fault::StrayText),
        ("<plist><true/>", Fault::Incomplete),
        ("<plist><string>a", Fault::Incomplete),
        ("<plist><true", Fault::Syntax),
        ("", Fault::Incomplete),
        ("<plist/>", Fault::NotOneValue),
        ("<dict/>", Fault::Element),
        ("{}", Fault::StrayText),
        ("<?xml version='1.0' encoding='UTF-16'?><plist><true/></plist>", Fault::Encoding),
        ("<?xml version='1.0' encoding='IBM037'?><plist><true/></plist>", Fault::Encoding),
        (" <?xml version='1.0'?><plist><true/></plist>", Fault::Syntax),
        ("<!DOCTYPE plist [<!ENTITY b \"c\">]><plist><string>&b;</string></plist>", Fault::DocType),
        ("<!DOCTYPE plist SYSTEM \"file:///etc/passwd\"><plist><true/></plist>", Fault::DocType),
        ("<!DOCTYPE plist><!DOCTYPE plist><plist><true/></plist>", Fault::DocType),
    ];
    for (document, fault) in refused {
        assert_eq!(read_document(document.as_bytes()), Err(fault), "{document}");
    }
}

#[test]
fn bodies_that_are_not_utf_8_xml_are_refused_before_they_are_read() {
    assert_eq!(read_document(b"bplist00\xa0"), Err(Fault::Binary));
    assert_eq!(read_document(b"\xff\xfe<\0p\0"), Err(Fault::Encoding));
    assert_eq!(read_document(b"\xfe\xff\0<"), Err(Fault::Encoding));
    assert_eq!(read_document(b"\0\0\0<"), Err(Fault::Nul));
    assert_eq!(read_document(b"\x31\x82\x01\x00"), Err(Fault::Encoding));
    assert_eq!(read_document(b"<plist><string>\xed\xa0\x80</string></plist>"), Err(Fault::Encoding));
    let nul = parse(b"<plist><string>a\0b</string></plist>", MAX);
    assert_eq!(nul, Err(PlistError { position: 16, fault: Fault::Nul }));
}

#[test]
fn an_error_names_the_place_and_not_the_content() {
    let error = parse(b"<plist><dict><key>Token</key><integer>secret</integer></dict></plist>", MAX).unwrap_err();
    assert_eq!(error, PlistError { position: 29, fault: Fault::Scalar("integer") });
    assert_eq!(error.to_string(), "a malformed integer at byte 29");
}

#[test]
fn size_values_and_attributes_are_bounded() {
    let body = b"<plist><true/></plist>";
    assert!(parse(body, body.len()).is_ok());
    let too_large = PlistError { position: 21, fault: Fault::TooLarge };
    assert_eq!(parse(body, body.len() - 1), Err(too_large));

    let values = |count: usize| format!("<plist><array>{}</array></plist>", "<true/>".repeat(count - 1));
    assert!(parse(values(MAX_NODES).as_bytes(), usize::MAX).is_ok());
    let too_many = parse(values(MAX_NODES + 1).as_bytes(), usize::MAX).map_err(|error| error.fault);
    assert_eq!(too_many, Err(Fault::TooManyNodes));

    let attributes = |count: usize| format!("<true{}/>", " a='b'".repeat(count));
    assert!(read(&attributes(MAX_ATTRIBUTES)).is_ok());
    assert_eq!(read(&attributes(MAX_ATTRIBUTES + 1)), Err(Fault::TooManyAttributes));
    let long = format!("<plist><string>{}</string></plist>", "x".repeat(10 << 20));
    assert_eq!(parse(long.as_bytes(), usize::MAX).unwrap().as_string().map(str::len), Some(10 << 20));
}

#[test]
fn any_nesting_is_answered_on_a_small_stack() {
    let outcome = |depth: usize, open: &str, close: &str| {
        let body = format!("<plist>{}<true/>{}</plist>", open.repeat(depth), close.repeat(depth));
        parse(body.as_bytes(), usize::MAX).map(|value| to_xml(&value).len()).map_err(|error| error.fault)
    };
    let small_stack = thread::Builder::new().stack_size(512 * 1024);
    let checked = small_stack.spawn(move || {
        for (open, close) in [("<array>", "</array>"), ("<dict><key>k</key>", "</dict>")] {
            for depth in [10, MAX_DEPTH] {
                assert!(outcome(depth, open, close).is_ok(), "{depth}");
            }
            for depth in [MAX_DEPTH + 1, 1000, 5000, 40_000, 1_000_000] {
                assert_eq!(outcome(depth, open, close), Err(Fault::TooDeep), "{depth}");
            }
        }
    });
    checked.unwrap().join().unwrap();
}

#[test]
fn dates_in_other_offsets_are_refused_because_the_plist_crate_panics_on_some() {
    assert!(parse_date("9999-12-31T23:59:59Z").is_some());
    assert!(parse_date("0000-01-01T00:00:00Z").is_some());
    assert!(parse_date("9999-12-31T23:59:59-01:00").is_none());
    assert!(parse_date("0000-01-01T00:00:00+01:00").is_none());
}

fn any_date() -> impl Strategy<Value = Date> {
    // 0000-01-01 to 9999-12-31, in milliseconds.
    (-62_167_219_200_000_i64..=253_402_300_799_999)
        .prop_map(|millis| parse_date(&Timestamp::from_millis(millis).to_rfc3339()).unwrap())
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof!["[^\\x00]{0,20}", "[ \\t\\r\\n&<>'\"\\]]{0,8}", "(<!\\[CDATA\\[|\\]\\]>|&amp;|&#0;){0,4}"]
}

/// Any value that a property list can hold, a few levels deep.
pub(in crate::apple) fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        prop::num::f64::NORMAL.prop_map(Value::from),
        prop::collection::vec(any::<u8>(), 0..80).prop_map(Value::Data),
        any_date().prop_map(Value::Date),
        any_text().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 64, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            prop::collection::btree_map(any_text(), inner, 0..6)
                .prop_map(|entries| Value::Dictionary(entries.into_iter().collect())),
        ]
    })
}

/// Pieces of property lists, and what breaks them.
const FRAGMENTS: &str = "<dict> </dict> <array> </array> <key> </key> <key>a</key> <string> </string> <data> </data> \
    <date> <real> <integer> </integer> <true/> <plist> </plist> <![CDATA[ ]]> <!-- --> <? ?> <!DOCTYPE <!DOCTYPE\tplist> \
    [ ] & ; &# &#x0; &#xD800; &amp; = ' \" < > / - 0x \0 \u{feff}";

/// Changes that keep a body close to a property list, so that every rule is reached.
fn any_edit() -> impl Strategy<Value = (prop::sample::Index, prop::sample::Index, Vec<u8>)> {
    let fragments: Vec<&str> = FRAGMENTS.split(' ').collect();
    let inserted = prop_oneof![
        prop::sample::select(fragments).prop_map(|fragment| fragment.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..4),
    ];
    (any::<prop::sample::Index>(), any::<prop::sample::Index>(), inserted)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read_back_the_same(value in any_value()) {
        prop_assert_eq!(parse(&to_xml(&value), usize::MAX), Ok(value));
    }

    #[test]
    fn no_mutation_of_a_message_panics_and_what_is_read_can_be_written(
        seed in prop::sample::select(FIXTURES.to_vec()),
        edits in prop::collection::vec(any_edit(), 1..6),
    ) {
        let mut body = seed.to_vec();
        for (from, length, inserted) in edits {
            let start = from.index(body.len());
            let end = start + length.index(8.min(body.len() - start));
            body.splice(start..end, inserted);
        }
        match parse(&body, MAX) {
            Ok(value) => {
                let again = parse(&to_xml(&value), usize::MAX);
                // Debug instead of equality, because a mutated real may be not a number.
                prop_assert_eq!(format!("{again:?}"), format!("{:?}", Ok::<_, PlistError>(value)));
            }
            Err(error) => prop_assert!(error.position <= body.len() as u64, "{}", error),
        }
    }

    #[test]
    fn no_bytes_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(parse(&body, MAX).is_err());
    }
}
