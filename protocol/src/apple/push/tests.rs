use super::*;

const NOW: Timestamp = Timestamp::from_seconds(1_795_253_400);

fn feedback(status: u16, body: &str) -> Feedback {
    Feedback::of(&Answer { status, apns_id: None, retry_after: None, body: body.as_bytes(), received_at: NOW })
}

fn reason(status: u16, reason: &str) -> Feedback {
    feedback(status, &format!(r#"{{"reason":"{reason}"}}"#))
}

fn after(retry_after: &str) -> Feedback {
    Feedback::of(&Answer { status: 503, apns_id: None, retry_after: Some(retry_after), body: b"", received_at: NOW })
}

#[test]
fn a_push_is_a_path_a_body_and_four_headers() {
    assert_eq!(path(&[0x00, 0x0f, 0xff]), "/3/device/000fff");
    assert_eq!(body("0D6C1B2A-3F4E"), br#"{"mdm":"0D6C1B2A-3F4E"}"#);
    let expected = [
        ("apns-topic", "com.apple.mgmt.x".to_owned()),
        ("apns-push-type", "mdm".to_owned()),
        ("apns-priority", "10".to_owned()),
        ("apns-expiration", "1795253400".to_owned()),
    ];
    assert_eq!(headers("com.apple.mgmt.x", NOW), expected);
}

#[test]
fn a_push_magic_cannot_break_out_of_the_body() {
    assert_eq!(body("\"},\\\n"), br#"{"mdm":"\"},\\\n"}"#);
}

#[test]
fn only_topics_of_device_management_are_topics() {
    for topic in ["com.apple.mgmt.External.1f2e3d4c-5b6a-4798-8a9b-0c1d2e3f4a5b", "com.apple.mgmt.XServer.1"] {
        assert!(is_topic(topic), "{topic}");
    }
    for topic in
        ["", "com.apple.mgmt.", "com.apple.mgmt", "com.example.app", "com.apple.mgmt.a b", "com.apple.mgmt.a\r\nx: y"]
    {
        assert!(!is_topic(topic), "{topic}");
    }
    assert!(!is_topic(&format!("com.apple.mgmt.{}", "x".repeat(241))));
}

#[test]
fn every_answer_of_apples_list_has_its_meaning() {
    let rejected = |word: &str| Feedback::Rejected { reason: word.to_owned() };
    let topic_rejected = |word: &str| Feedback::TopicRejected { reason: word.to_owned() };
    let dead = Feedback::TokenDead { since: NOW };
    let back_off = Feedback::BackOff { after: TOKEN_BACK_OFF };
    let unavailable = Feedback::Unavailable { after: SERVICE_BACK_OFF };
    let cases = [
        (400, "BadCollapseId", rejected("BadCollapseId")),
        (400, "BadDeviceToken", rejected("BadDeviceToken")),
        (400, "BadExpirationDate", rejected("BadExpirationDate")),
        (400, "BadMessageId", rejected("BadMessageId")),
        (400, "BadPriority", rejected("BadPriority")),
        (400, "BadTopic", topic_rejected("BadTopic")),
        (400, "DeviceTokenNotForTopic", rejected("DeviceTokenNotForTopic")),
        (400, "DuplicateHeaders", rejected("DuplicateHeaders")),
        (400, "IdleTimeout", Feedback::Unavailable { after: RECONNECT }),
        (400, "InvalidPushType", rejected("InvalidPushType")),
        (400, "MissingDeviceToken", rejected("MissingDeviceToken")),
        (400, "MissingTopic", topic_rejected("MissingTopic")),
        (400, "PayloadEmpty", rejected("PayloadEmpty")),
        (400, "TopicDisallowed", topic_rejected("TopicDisallowed")),
        (403, "BadCertificate", topic_rejected("BadCertificate")),
        (403, "BadCertificateEnvironment", topic_rejected("BadCertificateEnvironment")),
        (403, "ExpiredProviderToken", topic_rejected("ExpiredProviderToken")),
        (403, "Forbidden", rejected("Forbidden")),
        (403, "InvalidProviderToken", topic_rejected("InvalidProviderToken")),
        (403, "MissingProviderToken", topic_rejected("MissingProviderToken")),
        (404, "BadPath", rejected("BadPath")),
        (405, "MethodNotAllowed", rejected("MethodNotAllowed")),
        (410, "ExpiredToken", dead.clone()),
        (410, "Unregistered", dead),
        (413, "PayloadTooLarge", rejected("PayloadTooLarge")),
        (429, "TooManyProviderTokenUpdates", back_off.clone()),
        (429, "TooManyRequests", back_off),
        (500, "InternalServerError", unavailable.clone()),
        (503, "ServiceUnavailable", unavailable.clone()),
        (503, "Shutdown", unavailable.clone()),
        (502, "", unavailable.clone()),
        (301, "", unavailable),
    ];
    for (status, word, expected) in cases {
        assert_eq!(reason(status, word), expected, "{status} {word}");
    }
}

#[test]
fn a_push_that_is_sent_keeps_its_name() {
    let answer = Answer { status: 200, apns_id: Some("EC1BF194"), retry_after: None, body: b"", received_at: NOW };
    assert_eq!(Feedback::of(&answer), Feedback::Sent { apns_id: Some("EC1BF194".to_owned()) });
}

#[test]
fn a_token_is_dead_only_if_it_was_not_renewed_since() {
    let dead = feedback(410, r#"{"reason":"Unregistered","timestamp":1795253399000}"#);
    assert_eq!(dead, Feedback::TokenDead { since: Timestamp::from_seconds(1_795_253_399) });
    assert!(dead.kills_token_of(Timestamp::from_seconds(1_795_253_398)));
    assert!(!dead.kills_token_of(Timestamp::from_seconds(1_795_253_399)));
    assert!(!dead.kills_token_of(NOW));
    assert!(!reason(400, "BadDeviceToken").kills_token_of(Timestamp::from_millis(0)));
}

#[test]
fn an_answer_without_a_readable_body_still_has_its_status() {
    assert_eq!(feedback(400, ""), Feedback::Rejected { reason: "400".to_owned() });
    assert_eq!(feedback(403, "<html>"), Feedback::TopicRejected { reason: "403".to_owned() });
    assert_eq!(feedback(410, r#"{"timestamp":"soon"}"#), Feedback::TokenDead { since: NOW });
    assert_eq!(feedback(410, r#"{"timestamp":-1}"#), Feedback::TokenDead { since: NOW });
    let endless = format!(r#"{{"reason":"{}"}}"#, "x".repeat(5000));
    assert_eq!(feedback(400, &endless), Feedback::Rejected { reason: "400".to_owned() });
    let long = reason(400, &format!("a\\u0007{}", "x".repeat(100)));
    assert_eq!(long, Feedback::Rejected { reason: format!("a{}", "x".repeat(63)) });
}

#[test]
fn a_wait_that_the_answer_demands_is_obeyed_up_to_a_day() {
    let cases = [
        ("120", Duration::from_secs(120)),
        (" 0 ", Duration::ZERO),
        ("Sat, 21 Nov 2026 09:31:40 GMT", Duration::from_secs(100)),
        ("Sat, 21 Nov 2020 09:31:40 GMT", Duration::ZERO),
        ("99999999999", MAX_BACK_OFF),
        ("soon", SERVICE_BACK_OFF),
        ("-5", SERVICE_BACK_OFF),
    ];
    for (header, wait) in cases {
        assert_eq!(after(header), Feedback::Unavailable { after: wait }, "{header}");
    }
}
