use protocol::windows::syncml::credentials::{credentials, digest};

use super::*;

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

fn secret() -> Credentials {
    credentials("DEV", "pass").unwrap()
}

/// A digest of the nonce that the device gets now.
fn answer(nonces: &Nonces, now: Timestamp) -> String {
    digest(&secret(), &nonces.nonce("DEV", now).unwrap()).unwrap()
}

/// V-04.
#[test]
fn a_nonce_begins_one_session_and_no_other() {
    let nonces = Nonces::default();
    let first = answer(&nonces, NOW);
    assert!(nonces.proven("DEV", &first, &secret(), NOW).unwrap().is_some());
    assert_eq!(nonces.proven("DEV", &first, &secret(), NOW).unwrap(), None, "it is said again");
    let second = answer(&nonces, NOW);
    assert_ne!(first, second);
    assert!(nonces.proven("DEV", &second, &secret(), NOW).unwrap().is_some());
}

#[test]
fn a_nonce_lives_for_five_to_ten_minutes() {
    let nonces = Nonces::default();
    let early = answer(&nonces, NOW);
    assert!(nonces.proven("DEV", &early, &secret(), NOW.plus(PERIOD)).unwrap().is_some());
    let early = answer(&nonces, NOW.plus(PERIOD));
    let late = NOW.plus(PERIOD * 3);
    assert_eq!(nonces.proven("DEV", &early, &secret(), late).unwrap(), None);
}

#[test]
fn who_only_asks_takes_no_nonce_away() {
    let nonces = Nonces::default();
    let given = answer(&nonces, NOW);
    for _ in 0..1000 {
        assert_eq!(answer(&nonces, NOW), given, "anybody may ask");
        let wrong = digest(&secret(), b"something else..").unwrap();
        assert_eq!(nonces.proven("DEV", &wrong, &secret(), NOW).unwrap(), None);
    }
    assert!(nonces.proven("DEV", &given, &secret(), NOW).unwrap().is_some());
}

#[test]
fn nonces_of_other_devices_and_servers_are_others() {
    let (nonces, other) = (Nonces::default(), Nonces::default());
    assert_ne!(nonces.nonce("DEV", NOW).unwrap(), nonces.nonce("DEV1", NOW).unwrap());
    assert_ne!(nonces.nonce("DEV", NOW).unwrap(), other.nonce("DEV", NOW).unwrap());
}

#[test]
fn a_clock_that_is_set_back_locks_nobody_out() {
    let nonces = Nonces::default();
    assert!(nonces.proven("DEV", &answer(&nonces, NOW), &secret(), NOW).unwrap().is_some());
    let before = NOW.minus(PERIOD * 100);
    assert!(nonces.proven("DEV", &answer(&nonces, before), &secret(), before).unwrap().is_some());
}
