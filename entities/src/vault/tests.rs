use super::*;

static COLUMN: SealedColumn = SealedColumn {
    table: "host_secret",
    column: "value",
    key: &[Part::Number("id")],
    context: &[Part::Number("id"), Part::Text("name")],
};

const ONE: &str = "0101010101010101010101010101010101010101010101010101010101010101";
const TWO: &str = "0202020202020202020202020202020202020202020202020202020202020202";

fn vault(keys: &[&str]) -> Vault {
    Vault::new(Ring::parse(&keys.join("\n")).unwrap())
}

#[test]
fn what_was_sealed_opens_in_its_own_place_alone() {
    let vault = vault(&[ONE]);
    for plain in [&b""[..], b"x", &[7; 100_000]] {
        let sealed = COLUMN.seal(&vault, &[&1, &"a"], plain).unwrap();
        assert_eq!(COLUMN.open(&vault, &[&1, &"a"], &sealed).unwrap(), plain);
        for place in [[&2 as &dyn Display, &"a"], [&1, &"b"], [&1, &""], [&"", &"1a"], [&"1a", &""]] {
            assert!(matches!(COLUMN.open(&vault, &place, &sealed), Err(StoreError::Unreadable(_))));
        }
        let elsewhere = SealedColumn { column: "other", ..COLUMN_COPY };
        assert!(elsewhere.open(&vault, &[&1, &"a"], &sealed).is_err());
    }
    assert_eq!(vault.refused(), 18, "each refusal is counted");
}

const COLUMN_COPY: SealedColumn =
    SealedColumn { table: "host_secret", column: "value", key: COLUMN_KEY, context: COLUMN_CONTEXT };
const COLUMN_KEY: &[Part] = &[Part::Number("id")];
const COLUMN_CONTEXT: &[Part] = &[Part::Number("id"), Part::Text("name")];

#[test]
fn a_value_that_was_changed_or_cut_anywhere_does_not_open() {
    let vault = vault(&[TWO, ONE]);
    let sealed = COLUMN.seal(&vault, &[&1, &"a"], b"a recovery key").unwrap();
    for at in 0..sealed.0.len() {
        for bit in 0..8 {
            let mut changed = sealed.clone();
            changed.0[at] ^= 1 << bit;
            assert!(COLUMN.open(&vault, &[&1, &"a"], &changed).is_err(), "bit {bit} of byte {at}");
        }
        let cut = Sealed(sealed.0[..at].to_vec());
        assert!(COLUMN.open(&vault, &[&1, &"a"], &cut).is_err(), "cut at {at}");
    }
    let longer = Sealed([sealed.0.as_slice(), b"x"].concat());
    assert!(COLUMN.open(&vault, &[&1, &"a"], &longer).is_err());
}

#[test]
fn the_same_text_never_looks_the_same() {
    let vault = vault(&[ONE]);
    let seal = || COLUMN.seal(&vault, &[&1, &"a"], b"same").unwrap();
    assert_ne!(seal(), seal());
}

#[test]
fn the_last_key_seals_and_all_keys_open() {
    let old = vault(&[ONE]);
    let sealed = COLUMN.seal(&old, &[&1, &"a"], b"text").unwrap();
    let both = vault(&[ONE, TWO]);
    assert_eq!(COLUMN.open(&both, &[&1, &"a"], &sealed).unwrap(), b"text");
    let anew = COLUMN.seal(&both, &[&1, &"a"], b"text").unwrap();
    let new = vault(&[TWO]);
    assert_eq!(COLUMN.open(&new, &[&1, &"a"], &anew).unwrap(), b"text");
    let error = COLUMN.open(&new, &[&1, &"a"], &sealed).unwrap_err().to_string();
    let id = old.ring().active_id().unwrap();
    assert!(error.contains(&format!("root key {id}")), "{error}");
}

#[test]
fn a_ring_is_read_strictly_and_never_shown() {
    let text = format!("# a comment\n\n{ONE} # the old one\n{TWO}\n");
    let ring = Ring::parse(&text).unwrap();
    assert_eq!(ring.ids().count(), 2);
    assert_eq!(Ring::parse(&format!("{ONE},{TWO}")).unwrap().active_id(), ring.active_id());
    assert!(matches!(Ring::parse("# nothing\n"), Err(RingError::Empty)));
    assert!(matches!(Ring::parse(&format!("{ONE}\n{ONE}")), Err(RingError::TooMany)));
    for wrong in ["0101", &format!("{ONE}0"), &ONE.replace('0', "g"), &format!("+{}", &ONE[1..]), "é"] {
        let error = Ring::parse(&format!("\n{wrong}")).unwrap_err();
        assert!(matches!(error, RingError::NotAKey(2)), "{wrong}");
        assert!(!error.to_string().contains(wrong), "{error}");
    }
    assert!(!format!("{ring:?}").contains("0101") && !format!("{:?}", vault(&[ONE])).contains("0101"));
}

#[test]
fn every_sealed_column_can_be_sealed_anew() {
    let mut found = Vec::new();
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for file in std::fs::read_dir(here).unwrap() {
        let path = file.unwrap().path();
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        let module = path.file_stem().unwrap().to_str().unwrap().to_owned();
        found.extend(
            text.matches("pub(crate) static ").filter(|_| text.contains(": SealedColumn")).map(|_| module.clone()),
        );
    }
    found.sort();
    let mut listed: Vec<&str> = rotate::SEALED.iter().map(|column| column.table.trim_end_matches("_head")).collect();
    listed.sort_unstable();
    assert_eq!(found, listed, "list every SealedColumn in rotate::SEALED");
}

/// Columns of bytes that are no secrets: certificates, hashes, and what is useless without a sealed key.
const IN_THE_CLEAR: &[&str] = &[
    "certificate",
    "fingerprint",
    "hash",
    "request_hash",
    "orbit_key_hash",
    "osquery_key_hash",
    "token_hash",
    "push_token",
    "canary",
];
/// What secrets are called.
const SUSPICIOUS: &[&str] = &["secret", "private_key", "password", "passcode", "token", "challenge", "pin"];

#[test]
fn every_column_that_may_hold_a_secret_is_sealed() {
    let sealed: Vec<&str> = rotate::SEALED.iter().map(|column| column.column).collect();
    let migrations = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../migration/src");
    let mut seen = 0;
    for file in std::fs::read_dir(migrations).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        for line in text.lines().filter(|line| line.trim_start().starts_with(".col(")) {
            let name = line.split('"').nth(1).unwrap_or_default();
            let holds_bytes = line.contains("bytes(") || line.contains("blob()");
            if holds_bytes || SUSPICIOUS.contains(&name) {
                seen += 1;
                assert!(sealed.contains(&name) || IN_THE_CLEAR.contains(&name), "seal it, or say why not: {line}");
            }
        }
    }
    assert!(seen >= sealed.len(), "the search finds the columns");
}
