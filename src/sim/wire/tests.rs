use super::super::fixture::{Act, DAY, FakeServer, authority, now, reply, trust};
use super::*;
use protocol::pki::NewKey;

fn wire() -> Wire {
    Wire::new(trust(), WireOptions { deadline: Duration::from_secs(20), ..WireOptions::default() })
}

fn get(url: &str) -> Request {
    Request::new(Method::GET, url, Bytes::new())
}

fn put(url: &str, body: &'static [u8]) -> Request {
    Request::new(Method::PUT, url, body)
}

#[tokio::test]
async fn requests_share_one_connection_and_say_where_they_go() {
    let server = FakeServer::start(|_| reply(200, &[("Content-Type", "Text/Plain; charset=x")], "yes")).await;
    let mut wire = wire();
    for _ in 0..3 {
        let answer = wire.send(&put(&server.url("/mdm?id=7"), b"hello")).await.unwrap();
        assert_eq!((answer.status, &answer.body[..]), (200, &b"yes"[..]));
        assert_eq!(answer.media_type(), Some("Text/Plain"));
        answer.check_framing().unwrap();
    }
    let seen = server.seen();
    assert_eq!(wire.connections(), 1);
    assert_eq!(seen.iter().map(|seen| seen.connection).collect::<Vec<_>>(), [1, 1, 1]);
    assert_eq!(
        (seen[0].method.as_str(), seen[0].target.as_str(), &seen[0].body[..]),
        ("PUT", "/mdm?id=7", &b"hello"[..])
    );
    assert_eq!(seen[0].headers["host"], format!("localhost:{}", server.port));
    assert_eq!(seen[0].headers["content-length"], "5");
}

#[tokio::test]
async fn every_status_is_counted_whatever_becomes_of_the_reply() {
    let server = FakeServer::start(|seen| match seen.target.as_str() {
        "/mdm?id=7" => reply(200, &[], "yes"),
        _ => reply(403, &[], ""),
    })
    .await;
    let statuses = Statuses::default();
    let mut wire = wire();
    wire.options.statuses = Some(statuses.clone());
    wire.send(&put(&server.url("/mdm?id=7"), b"")).await.unwrap();
    let mut dropped = put(&server.url("/other"), b"");
    dropped.manner = Manner::DropBeforeReading;
    assert!(matches!(wire.send(&dropped).await, Err(WireError::ReplyLost)));
    let counts: Vec<_> = statuses.counts().into_iter().collect();
    assert_eq!(counts, [(("/mdm".to_owned(), 200), 1), (("/other".to_owned(), 403), 1)]);
}

#[tokio::test]
async fn a_kept_connection_that_ended_is_opened_again() {
    let server = FakeServer::start(|seen| match seen.connection {
        1 => Act::WriteAndClose(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec()),
        _ => reply(200, &[], "again"),
    })
    .await;
    let mut wire = wire();
    wire.send(&get(&server.url("/"))).await.unwrap();
    assert_eq!(&wire.send(&get(&server.url("/"))).await.unwrap().body[..], b"again");
    assert_eq!(wire.connections(), 2);
}

#[tokio::test]
async fn a_new_connection_that_ends_without_a_reply_is_reported() {
    let server = FakeServer::start(|_| Act::Close).await;
    let error = wire().send(&get(&server.url("/"))).await.unwrap_err();
    assert!(matches!(error, WireError::Broken(_)) && error.is_passing(), "{error}");
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_server_of_another_authority_or_name_is_not_trusted() {
    let server = FakeServer::start(|_| reply(200, &[], "")).await;
    let mut stranger = Wire::new(Trust::new::<Vec<u8>>([]).unwrap(), WireOptions::default());
    let untrusted = stranger.send(&get(&server.url("/"))).await.unwrap_err();
    assert!(matches!(untrusted, WireError::Tls(_)) && !untrusted.is_passing(), "{untrusted}");

    let mut wire = wire();
    wire.options.reach = Some(Reach::Tls(([127, 0, 0, 1], server.port).into()));
    let misnamed = wire.send(&get("https://mdm.example.com/")).await.unwrap_err();
    assert!(matches!(misnamed, WireError::Tls(_)), "{misnamed}");
    wire.send(&get(&format!("https://127.0.0.1:{}/", server.port))).await.unwrap();
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn nobody_listening_is_worth_another_try() {
    let port = FakeServer::start(|_| Act::Close).await.port;
    tokio::task::yield_now().await;
    let error = wire().send(&get(&format!("http://127.0.0.1:{port}/"))).await.unwrap_err();
    assert!(error.is_passing(), "{error}");
}

#[tokio::test]
async fn the_identity_is_shown_in_tls() {
    let server = FakeServer::start(|_| reply(200, &[], "")).await;
    let key = NewKey::P256.generate().unwrap();
    let certificate = authority().issue_identity(&key.public_key_to_der().unwrap(), "device", now(), DAY).unwrap();
    let mut wire = wire();
    wire.send(&get(&server.url("/"))).await.unwrap();
    wire.set_identity(Some(Signer::new(certificate.clone(), key).unwrap()));
    wire.send(&get(&server.url("/"))).await.unwrap();
    let shown: Vec<_> = server.seen().into_iter().map(|seen| seen.client).collect();
    assert_eq!(shown, [None, Some(certificate)]);
}

#[tokio::test]
async fn a_slow_body_arrives_whole() {
    let server = FakeServer::start(|_| reply(200, &[], "")).await;
    let manner = Manner::Slow { piece: 1, pause: Duration::from_millis(1) };
    wire().send(&Request { manner, ..put(&server.url("/"), b"slowly") }).await.unwrap();
    assert_eq!(server.seen()[0].body, b"slowly");
    assert_eq!(server.seen()[0].headers["content-length"], "6");
}

#[tokio::test]
async fn a_dropped_request_was_sent_whole_and_its_reply_is_lost() {
    for manner in [Manner::DropAfterSending, Manner::DropBeforeReading] {
        let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
        let server = FakeServer::start(move |seen| {
            told.send((seen.connection, seen.body.clone())).unwrap();
            reply(200, &[], "too late")
        })
        .await;
        let mut wire = wire();
        wire.send(&put(&server.url("/"), b"first")).await.unwrap();
        let request =
            Request { manner, ..put(&server.url("/"), b"lost") }.with_header(hyper::header::USER_AGENT, "MDM/1.0");
        let error = wire.send(&request).await.unwrap_err();
        assert!(matches!(error, WireError::ReplyLost) && error.is_passing());
        wire.send(&put(&server.url("/"), b"last")).await.unwrap();
        let mut order = Vec::new();
        for _ in 0..3 {
            order.push(heard.recv().await.unwrap());
        }
        order.sort_by_key(|(connection, _)| *connection);
        let bodies: Vec<_> = order.iter().map(|(_, body)| body.as_slice()).collect();
        assert_eq!(bodies, [&b"first"[..], b"lost", b"last"], "{manner:?}");
        let agent = server.seen().into_iter().find(|seen| seen.body == b"lost").unwrap().headers["user-agent"].clone();
        assert_eq!(agent, "MDM/1.0");
    }
}

#[tokio::test]
async fn a_reply_that_never_comes_or_is_too_large_is_given_up() {
    let server = FakeServer::start(|seen| match seen.target.as_str() {
        "/hang" => Act::Hang,
        _ => reply(200, &[], vec![b'x'; 2000]),
    })
    .await;
    let mut wire = wire();
    wire.options.max_reply_bytes = 1999;
    assert!(matches!(wire.send(&get(&server.url("/"))).await, Err(WireError::TooLarge(1999))));
    wire.options.max_reply_bytes = 2000;
    wire.send(&get(&server.url("/"))).await.unwrap();
    wire.options.deadline = Duration::from_millis(50);
    assert!(matches!(wire.send(&get(&server.url("/hang"))).await, Err(WireError::Late(_))));
}

#[tokio::test]
async fn what_devices_do_not_take_is_named() {
    let cases: [(&str, FramingError); 5] = [
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", FramingError::Chunked),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Encoding: gzip\r\n\r\nhi", FramingError::Compressed),
        ("HTTP/1.1 200 OK\r\n\r\nhi", FramingError::NoLength),
        ("HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: /\r\n\r\n", FramingError::Redirect),
        ("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", FramingError::Version),
    ];
    let server = FakeServer::start(move |seen| {
        let number: usize = seen.target[1..].parse().unwrap();
        Act::WriteAndClose(cases[number].0.as_bytes().to_vec())
    })
    .await;
    for (number, (text, expected)) in cases.into_iter().enumerate() {
        let answer = wire().send(&get(&server.url(&format!("/{number}")))).await.unwrap();
        assert_eq!(answer.check_framing(), Err(expected), "{text}");
    }
}

#[tokio::test]
async fn only_absolute_urls_of_the_web_are_taken() {
    for url in ["", "/mdm", "ftp://localhost/", "https:///x", "https://local host/", "mdm.example.com"] {
        assert!(matches!(wire().send(&get(url)).await, Err(WireError::Url(_))), "{url}");
    }
    let bad = get("https://localhost/").with_header(hyper::header::USER_AGENT, "a\nb");
    assert!(wire().send(&bad).await.is_err());
}

#[test]
fn a_trust_that_gains_nothing_stays_as_it_is() {
    let trust = trust();
    let same = trust.and(&[authority().certificate().der().to_vec()]).unwrap();
    assert_eq!(same.anchors().len(), 1);
    assert!(trust.and(&[vec![1, 2, 3]]).is_err());
}
