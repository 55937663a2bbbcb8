//! Events in both forms, and the rules of delivery against a model.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::lines::{Lines, Outcome, back_off};
use super::signature::{Key, header, nano_header};
use super::{Event, Form, Interest, Stamp, Topic, activity};
use crate::apple::message::Message;
use crate::apple::secret::Secret;
use crate::time::Timestamp;

fn stamp(tally: Option<i32>) -> Stamp {
    Stamp { id: "E".into(), at: Timestamp::from_seconds(1_795_253_400), host: 7, tally }
}

fn event(topic: Topic, fixture: &[u8]) -> Event {
    let channel = match Message::parse(fixture, 1 << 20).unwrap() {
        Message::CheckIn(said) => said.channel,
        Message::Report(said) => said.channel,
    };
    Event::new(topic, &channel).with_payload(b"<plist/>")
}

fn shown(event: &Event, form: Form, tally: Option<i32>) -> Value {
    let kept = Event::decode(&event.encode()).unwrap();
    assert_eq!(kept, *event);
    serde_json::from_slice(&kept.document(form, &stamp(tally))).unwrap()
}

#[test]
fn micromdms_form_is_told_key_by_key() {
    let mut connect = event(Topic::Connect, b"<plist><dict><key>UDID</key><string>D</string><key>UserID</key><string>U</string><key>Status</key><string>Idle</string></dict></plist>");
    connect.status = Some("Acknowledged".into());
    connect.command_uuid = Some("C".into());
    connect.url_params = BTreeMap::from([("ref".into(), "42".into())]);
    let expected = json!({
        "topic": "mdm.Connect",
        "event_id": "E",
        "created_at": "2026-11-21T09:30:00Z",
        "acknowledge_event": {
            "status": "Acknowledged",
            "command_uuid": "C",
            "udid": "D",
            "ids": { "id": "D:U", "type": "User", "parent_id": "D" },
            "url_params": { "ref": "42" },
            "raw_payload": "PHBsaXN0Lz4=",
        },
    });
    assert_eq!(shown(&connect, Form::MicroMdm, None), expected);
    let hidden =
        b"<plist><dict><key>EnrollmentID</key><string>X</string><key>Status</key><string>Idle</string></dict></plist>";
    let expected = json!({
        "topic": "mdm.TokenUpdate",
        "event_id": "E",
        "created_at": "2026-11-21T09:30:00Z",
        "checkin_event": {
            "enrollment_id": "X",
            "ids": { "id": "X", "type": "User Enrollment (Device)" },
            "url_params": {},
            "raw_payload": "PHBsaXN0Lz4=",
            "token_update_tally": 1,
        },
    });
    assert_eq!(shown(&event(Topic::TokenUpdate, hidden), Form::MicroMdm, Some(1)), expected);
}

#[test]
fn our_form_tells_how_a_command_ended() {
    let idle = include_bytes!("../../tests/fixtures/apple/idle_macos.plist");
    let mut ended = event(Topic::CommandEnded, idle);
    (ended.status, ended.command_uuid, ended.raw_payload) = (Some("expired".into()), Some("C".into()), None);
    let shown = shown(&ended, Form::Rookery, None);
    assert_eq!(shown["data"], json!({ "status": "expired", "command_uuid": "C" }));
    assert_eq!((&shown["type"], &shown["host"]["id"]), (&json!("command.ended"), &json!(7)));
}

#[test]
fn a_webhook_gets_what_it_wants() {
    let all = Interest::of(Form::Rookery, &[], false);
    assert!(Topic::ALL.into_iter().all(|topic| all.wants(topic, false) != (topic == Topic::Activity)));
    assert!(Topic::ALL.into_iter().all(|topic| Topic::parse(topic.as_str()) == Some(topic)));
    assert!(Interest::of(Form::Rookery, &[Topic::Activity], false).wants(Topic::Activity, false));
    let fleet = Interest::of(Form::Fleet, &[], true);
    assert!(Topic::ALL.into_iter().all(|topic| fleet.wants(topic, false) == (topic == Topic::Activity)));
    assert!(!all.wants(Topic::Connect, true));
    let micro = Interest::of(Form::MicroMdm, &[], true);
    assert!(micro.wants(Topic::Connect, true) && !micro.wants(Topic::CommandEnded, false));
    let one = Interest::of(Form::Rookery, &[Topic::CheckOut], true);
    assert!(one.wants(Topic::CheckOut, false) && !one.wants(Topic::Connect, false) && !one.wants(Topic::Connect, true));
    assert_eq!(Interest::from_bits(micro.or(one).bits()), micro.or(one));
    assert!(!Interest::default().wants(Topic::Connect, true));
}

#[test]
fn an_activity_is_told_in_fleets_words_and_in_ours() {
    let kept =
        br#"{"actor_full_name":"Ada","actor_id":1,"actor_email":"a@b","type":"created_team","details":{"team_id":1}}"#;
    let stamp = Stamp { id: "E".into(), at: Timestamp::from_seconds(0), host: 0, tally: None };
    let read = |form| serde_json::from_slice::<Value>(&activity::document(kept, form, &stamp).unwrap()).unwrap();
    let mut said: Value = serde_json::from_slice(kept).unwrap();
    let ours = json!({ "id": "E", "type": "activity.created", "time": "1970-01-01T00:00:00Z", "data": said });
    assert_eq!(read(Form::Rookery), ours);
    said["timestamp"] = "1970-01-01T00:00:00Z".into();
    assert_eq!(read(Form::Fleet), said);
    assert_eq!(activity::document(b"{}", Form::Fleet, &stamp), None);
    assert!([Form::Rookery, Form::MicroMdm, Form::Fleet].into_iter().all(|form| Form::from_code(form.code()) == form));
}

/// RFC 4231, test case 2, for NanoMDM's header; ours is compared with `openssl dgst` in the tests over the wire.
#[test]
fn signatures_are_hmac_sha_256_and_name_their_keys() {
    let key = |id: &str| Key { id: id.into(), secret: Secret::new("Jefe".into()) };
    let nano = nano_header(&key("k"), b"what do ya want for nothing?").unwrap();
    assert_eq!(nano, "W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM=");
    let both = header(&[key("one"), key("two")], b"x", Timestamp::from_seconds(5)).unwrap();
    let parts: Vec<&str> = both.split(',').collect();
    assert_eq!(parts[0], "t=5");
    assert!(parts[1].starts_with("one=") && parts[2].starts_with("two="));
    assert_eq!(parts[1][4..], parts[2][4..]);
    assert!(!format!("{:?}", key("k")).contains("Jefe"));
}

#[test]
fn waits_grow_and_are_spread() {
    assert_eq!(back_off(1, u32::MAX), Duration::from_secs(1));
    assert_eq!(back_off(4, u32::MAX), Duration::from_secs(8));
    assert_eq!(back_off(u32::MAX, u32::MAX), Duration::from_secs(300));
    assert_eq!(back_off(9, 0), Duration::ZERO);
}

const NOW: Timestamp = Timestamp::from_seconds(1000);

fn failed() -> Outcome {
    Outcome::Failed { wait: Duration::ZERO, rest: None }
}

#[test]
fn a_broken_receiver_gets_one_event_at_a_time() {
    let mut lines = Lines::new(8);
    (1..=20).for_each(|host| assert!(lines.pass(host, host, NOW)));
    let at_once: Vec<i64> = std::iter::from_fn(|| lines.next(NOW)).collect();
    assert_eq!(at_once.len(), 8);
    at_once.iter().for_each(|host| lines.ended(*host, failed(), NOW, u32::MAX));
    assert_eq!(lines.next(NOW), None, "it rests");
    let later = lines.due_at(NOW).unwrap();
    assert!(later > NOW && later <= NOW.plus(Duration::from_secs(8)));
    let probe = lines.next(later).unwrap();
    assert_eq!(lines.next(later), None, "one at a time");
    lines.ended(probe, Outcome::Delivered, later, 0);
    assert_eq!(std::iter::from_fn(|| lines.next(later)).count(), 8, "it is back");
}

#[test]
fn a_receiver_is_left_alone_as_long_as_it_asks_but_not_for_ever() {
    let mut lines = Lines::new(8);
    lines.pass(1, 1, NOW);
    lines.next(NOW).unwrap();
    let rest = Some(Duration::from_secs(90));
    lines.ended(1, Outcome::Failed { wait: Duration::ZERO, rest }, NOW, 0);
    assert_eq!(lines.next(NOW.plus(Duration::from_secs(89))), None);
    assert_eq!(lines.next(NOW.plus(Duration::from_secs(90))), Some(1));
    let rest = Some(Duration::from_secs(1_000_000));
    lines.ended(1, Outcome::Failed { wait: Duration::ZERO, rest }, NOW, 0);
    assert_eq!(lines.due_at(NOW), Some(NOW.plus(super::lines::LONGEST_REST)));
    let set_back = NOW.minus(Duration::from_secs(1_000_000));
    assert_eq!(lines.next(set_back), Some(1), "a clock that is set back stops nothing");
}

#[test]
fn memory_holds_so_many_lines_and_goes_on_reading_when_one_ends() {
    let mut lines = Lines::new(1);
    let refused = (1..).find(|host| !lines.pass(*host, *host, NOW)).unwrap();
    assert_eq!((lines.len() as i64, lines.read_after()), (refused - 1, None));
    let host = lines.next(NOW).unwrap();
    lines.ended(host, Outcome::Empty, NOW, 0);
    assert_eq!(lines.read_after(), Some(refused - 1));
    assert!(lines.pass(refused, refused, NOW));
}

proptest! {
    /// Rows come and are delivered in any order of events: each host's rows go out in their order, none twice, none is
    /// left behind, one at a time for each host.
    #[test]
    fn every_row_goes_out_in_its_hosts_order(steps in prop::collection::vec((0u8..10, 1i64..6, any::<u32>()), 1..300)) {
        let (mut lines, mut rows, mut out) = (Lines::new(3), Vec::<(i64, i64)>::new(), Vec::new());
        let (mut flying, mut now) = (HashMap::<i64, Option<i64>>::new(), NOW);
        let (mut last, limit) = (0, steps.len() + 2000);
        let drain = std::iter::repeat_n((9, 1, u32::MAX), 2000);
        for (step, (kind, host, chance)) in steps.into_iter().chain(drain).enumerate() {
            match kind {
                0..3 if step < limit - 2000 => {
                    last += 1;
                    rows.push((last, host));
                }
                3..6 => {
                    let after = lines.read_after().unwrap();
                    let page: Vec<_> = rows.iter().filter(|row| row.0 > after).take(2).copied().collect();
                    page.iter().for_each(|(row, host)| assert!(lines.pass(*row, *host, now)));
                }
                6 => lines.begin_again(),
                _ => {
                    now = now.plus(Duration::from_secs(1));
                    if let Some(host) = lines.next(now) {
                        let first = rows.iter().find(|row| row.1 == host).map(|row| row.0);
                        prop_assert!(flying.insert(host, first).is_none(), "one at a time");
                    }
                    let landing = flying.keys().copied().nth(chance as usize % 3);
                    if let Some(host) = landing {
                        let outcome = match flying.remove(&host).unwrap() {
                            None => Outcome::Empty,
                            Some(_) if chance % 7 == 0 => failed(),
                            Some(row) => {
                                out.push((host, row));
                                rows.retain(|known| known.0 != row);
                                Outcome::Delivered
                            }
                        };
                        lines.ended(host, outcome, now, chance);
                    }
                    if let Some(after) = lines.read_after().filter(|_| kind == 9) {
                        let page: Vec<_> = rows.iter().filter(|row| row.0 > after).copied().collect();
                        page.iter().for_each(|(row, host)| assert!(lines.pass(*row, *host, now)));
                    }
                }
            }
        }
        prop_assert_eq!(rows, vec![], "nothing is left behind");
        prop_assert_eq!(out.len() as i64, last);
        for host in 1..6 {
            let mine: Vec<i64> = out.iter().filter(|sent| sent.0 == host).map(|sent| sent.1).collect();
            prop_assert!(mine.is_sorted(), "{:?}", mine);
        }
    }
}
