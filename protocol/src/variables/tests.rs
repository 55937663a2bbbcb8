use proptest::prelude::*;

use super::*;
use crate::apple::plist;

fn names(text: &str) -> Vec<String> {
    find(text).unwrap().iter().map(|found| found.variable.to_string()).collect()
}

/// Secrets have their own name in small letters as value; of the host only the UUID is known.
fn value(variable: &Variable) -> Option<String> {
    match variable {
        Variable::Secret(name) => Some(name.to_lowercase()),
        Variable::Host(HostVariable::Uuid) => Some("UUID-1".to_owned()),
        Variable::Host(_) => None,
    }
}

fn with(text: &str, secret: &str, escape: Escape) -> String {
    render(text, &|_| Some(secret.to_owned()), escape).unwrap()
}

#[test]
fn both_forms_and_both_houses_are_one_variable() {
    let text =
        "$FLEET_VAR_HOST_UUID ${FLEET_VAR_HOST_UUID} $ROOKERY_VAR_HOST_UUID ${ROOKERY_SECRET_A}x$FLEET_SECRET_A.";
    assert_eq!(names(text), [["FLEET_VAR_HOST_UUID"; 3].as_slice(), ["FLEET_SECRET_A"; 2].as_slice()].concat());
    assert_eq!(render(text, &value, Escape::None).unwrap(), "UUID-1 UUID-1 UUID-1 axa.");
}

#[test]
fn every_host_variable_has_a_name_of_its_own() {
    for variable in HostVariable::all() {
        assert_eq!(Variable::parse(&format!("FLEET_VAR_{}", variable.as_str())), Ok(Variable::Host(variable)));
        assert!(variable.is_for_apple() || variable.is_for_windows());
    }
}

#[test]
fn a_name_is_read_to_its_end() {
    assert_eq!(names("$FLEET_SECRET_AB"), ["FLEET_SECRET_AB"]);
    assert_eq!(names("${FLEET_SECRET_A}B"), ["FLEET_SECRET_A"]);
    assert_eq!(
        names("$FLEET_VAR_HOST_END_USER_IDP_USERNAME_LOCAL_PART"),
        ["FLEET_VAR_HOST_END_USER_IDP_USERNAME_LOCAL_PART"]
    );
    assert_eq!(find("$FLEET_VAR_HOST_UUIDX"), Err(VariableError::Unknown("FLEET_VAR_HOST_UUIDX".into())));
    assert_eq!(find("$FLEET_SECRET_Ab"), Err(VariableError::SecretName("FLEET_SECRET_Ab".into())));
}

#[test]
fn what_only_looks_like_a_variable_stays() {
    for text in [
        "$",
        "$$",
        "${",
        "$FLEET_VAR",
        "$FLEET_VAR_",
        "$FLEET_SECRET_ x",
        "${FLEET_SECRET_A",
        "${FLEET_SECRET_A x}",
        "$HOME",
        "FLEET_SECRET_A",
        "$fleet_secret_a",
        "$XFLEET_SECRET_A",
        "$ÄFLEET_SECRET_A",
    ] {
        assert_eq!(names(text), [""; 0], "{text}");
        assert_eq!(render(text, &value, Escape::Xml).unwrap(), text);
    }
    assert_eq!(render("$$FLEET_SECRET_A", &value, Escape::None).unwrap(), "$a");
}

#[test]
fn what_the_server_has_no_value_for_is_refused_by_name() {
    let of = |name: &str| find(&format!("a ${name} b")).unwrap_err().to_string();
    assert!(
        of("FLEET_VAR_NDES_SCEP_CHALLENGE").starts_with("$FLEET_VAR_NDES_SCEP_CHALLENGE needs a certificate authority")
    );
    for name in
        ["FLEET_VAR_CUSTOM_SCEP_PROXY_URL_Wifi", "ROOKERY_VAR_DIGICERT_DATA_X", "FLEET_VAR_SMALLSTEP_SCEP_CHALLENGE_X"]
    {
        assert_eq!(find(&format!("${name}")), Err(VariableError::NeedsAuthority(name.into())));
    }
    assert_eq!(of("FLEET_VAR_NOTHING"), "$FLEET_VAR_NOTHING is not a variable that this server knows");
    let serial = Variable::Host(HostVariable::HardwareSerial);
    let error = render("$ROOKERY_VAR_HOST_HARDWARE_SERIAL", &value, Escape::Xml).unwrap_err();
    assert_eq!(error, RenderError::Missing(serial));
    assert_eq!(error.to_string(), "there is no value for $FLEET_VAR_HOST_HARDWARE_SERIAL");
}

#[test]
fn a_value_is_never_looked_at_again() {
    let nested = with("$FLEET_SECRET_A$FLEET_SECRET_A", "$FLEET_SECRET_B", Escape::None);
    assert_eq!(nested, "$FLEET_SECRET_B$FLEET_SECRET_B");
    // Nor does a value become a name together with what follows it.
    assert_eq!(with("${FLEET_SECRET_A}_SECRET_B", "$FLEET", Escape::None), "$FLEET_SECRET_B");
}

#[test]
fn names_occurrences_and_the_result_are_bounded() {
    assert!(Variable::parse(&format!("FLEET_SECRET_{}", "A".repeat(MAX_NAME_BYTES))).is_ok());
    let long = format!("$FLEET_SECRET_{}", "A".repeat(1 << 20));
    let error = find(&long).unwrap_err();
    assert!(matches!(error, VariableError::SecretName(_)) && error.to_string().len() < 512);
    let many = "$FLEET_SECRET_A ".repeat(MAX_FOUND);
    assert_eq!(find(&many).unwrap().len(), MAX_FOUND);
    assert_eq!(find(&format!("{many}$FLEET_SECRET_A")), Err(VariableError::TooMany));
    let huge = |_: &Variable| Some("x".repeat(1 << 20));
    assert_eq!(render(&many, &huge, Escape::Xml), Err(RenderError::TooLarge));
}

#[test]
fn a_value_in_a_property_list_is_the_text_that_it_is() {
    let (odd, carried) = ("a]]>b</string><key>&amp;\"'\n\u{1}", "a]]>b</string><key>&amp;\"'\n");
    for place in ["$FLEET_SECRET_A", "<![CDATA[$FLEET_SECRET_A]]>", "x &lt; <![CDATA[y < ${FLEET_SECRET_A}]]>"] {
        let document = format!("<plist version=\"1.0\"><!-- $FLEET_SECRET_A --><string>{place}</string></plist>");
        let read = plist::parse(with(&document, odd, Escape::Xml).as_bytes(), 4096).unwrap();
        let read = read.as_string().unwrap();
        assert!(read == carried || read == format!("x < y < {carried}"), "{read:?}");
    }
    assert_eq!(with("<a b='$FLEET_SECRET_A'/>", "'\r", Escape::Xml), "<a b='&apos;&#13;'/>");
}

#[test]
fn markup_inside_a_text_is_escaped_as_markup() {
    let how = |text: &str| with(text, "a\"<", Escape::Markup);
    assert_eq!(how("<Data>$FLEET_SECRET_A</Data>"), "<Data>a&quot;&lt;</Data>");
    assert_eq!(how("<Data><![CDATA[$FLEET_SECRET_A]]></Data>"), "<Data><![CDATA[a\"<]]></Data>");
    assert_eq!(
        how("<Data><![CDATA[<data id=\"x\" value=\"$FLEET_SECRET_A\"/>]]></Data>"),
        "<Data><![CDATA[<data id=\"x\" value=\"a&quot;&lt;\"/>]]></Data>"
    );
    assert_eq!(
        how("<Data>&lt;data value=\"$FLEET_SECRET_A\"/&gt;</Data>"),
        "<Data>&lt;data value=\"a&amp;quot;&amp;lt;\"/&gt;</Data>"
    );
    // A section that is not closed is no way out either.
    assert_eq!(how("<![CDATA[$FLEET_SECRET_A"), "<![CDATA[a\"<");
}

#[test]
fn a_value_in_json_stays_in_its_string() {
    let odd = "a\"b\\c\n\u{1}é</";
    let document: serde_json::Value =
        serde_json::from_str(&with("{\"k\":\"<$FLEET_SECRET_A>\"}", odd, Escape::Json)).unwrap();
    assert_eq!(document["k"], format!("<{odd}>"));
}

proptest! {
    #[test]
    fn rendering_anything_ends_and_keeps_the_rest(before in "\\PC{0,40}", after in "[^A-Za-z0-9_]\\PC{0,40}", secret in "\\PC{0,20}") {
        prop_assume!(!before.contains('$') && !after.contains('$'));
        for escape in [Escape::Xml, Escape::Markup, Escape::Json, Escape::None] {
            let rendered = with(&format!("{before}$FLEET_SECRET_A{after}"), &secret, escape);
            prop_assert!(rendered.starts_with(&before) && rendered.ends_with(&after));
        }
        prop_assert_eq!(with(&format!("{before}$FLEET_SECRET_A{after}"), &secret, Escape::None), format!("{before}{secret}{after}"));
    }
}
