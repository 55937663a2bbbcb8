use super::*;

fn refused(text: &str) -> String {
    parse(text.as_bytes(), 1 << 20).unwrap_err().to_string()
}

#[test]
fn what_json_says_is_read_as_serde_json_reads_it() {
    let text = r#"{"a":[1,-2,3.5,true,null,"é\n"],"b":{"c":18446744073709551615},"d":{},"e":[]}"#;
    assert_eq!(parse(text.as_bytes(), 1 << 20).unwrap(), serde_json::from_str::<Value>(text).unwrap());
}

#[test]
fn a_key_stands_once_and_the_error_says_where() {
    assert_eq!(refused(r#"{"a":1,"b":[{},{"c":{"d":1,"d":2}}]}"#), "a duplicate key at $.b[1].c.d");
    // The same key, written in two ways.
    assert_eq!(refused(r#"{"a":1,"\u0061":2}"#), "a duplicate key at $.a");
}

#[test]
fn depth_count_size_and_nul_are_bounded() {
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(parse(deep(MAX_DEPTH).as_bytes(), 1 << 20).is_ok());
    assert!(refused(&deep(MAX_DEPTH + 1)).starts_with("the nesting is too deep at $[0]"));
    assert!(refused(&"[".repeat(1 << 20)).starts_with("the nesting is too deep"));
    let many = format!("[{}0]", "0,".repeat(MAX_NODES));
    assert_eq!(refused(&many), format!("there are too many values at $[{}]", MAX_NODES - 1));
    assert_eq!(refused(r#"{"a":"\u0000"}"#), "a NUL character at $.a");
    assert_eq!(refused(r#"{"\u0000":1}"#), "a NUL character at $.");
    assert_eq!(parse(b"{}  ", 3), Err(StrictJsonError::TooLarge(3)));
}

#[test]
fn what_is_not_json_is_refused_with_its_place() {
    assert_eq!(refused("{\n \"a\": }"), "not JSON at line 2, column 7");
    for text in ["", "{", "{} {}", "nul", "[1,]", "{\"a\"}", "\u{feff}{}", "1e999"] {
        assert!(refused(text).starts_with("not JSON at line 1"), "{text}");
    }
}
