use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper::{Method, Request};
use hyper_util::rt::{TokioExecutor, TokioIo};
use openssl::ssl::{Ssl, SslContext, SslMethod};
use openssl::x509::X509;
use protocol::apple::push::{Answer, Feedback, body, headers, path};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio_openssl::SslStream;

use super::super::fixture::{DAY, authority, now, server};
use super::*;

const TOPIC: &str = "com.apple.mgmt.External.simulated";
const MAGIC: &str = "0B1C2D3E-MAGIC";
const TOKEN: [u8; 32] = [0xAB; 32];

/// An answer as a client sees it.
#[derive(Debug)]
struct Answered {
    status: u16,
    apns_id: Option<String>,
    retry_after: Option<String>,
    json: serde_json::Value,
}

pub(in crate::sim) type Client = SendRequest<Full<Bytes>>;

pub(in crate::sim) async fn start() -> PushService {
    start_at(Clock::default())
}

fn start_at(clock: Clock) -> PushService {
    let config = PushConfig {
        address: ([127, 0, 0, 1], 0).into(),
        certificate: server().clone(),
        issuers: vec![authority().certificate().clone()],
        clock,
    };
    PushService::start(config, &Handle::current()).unwrap()
}

pub(in crate::sim) fn push_certificate(topic: &str) -> Signer {
    authority().issue_push(topic, now(), DAY).unwrap()
}

pub(in crate::sim) async fn connect(service: &PushService, certificate: Option<&Signer>) -> Client {
    let mut context = SslContext::builder(SslMethod::tls_client()).unwrap();
    context.set_alpn_protos(b"\x02h2").unwrap();
    if let Some(certificate) = certificate {
        context.set_certificate(&X509::from_der(certificate.certificate().der()).unwrap()).unwrap();
        context.set_private_key(certificate.key()).unwrap();
    }
    let tcp = TcpStream::connect(("127.0.0.1", service.port())).await.unwrap();
    let mut stream = SslStream::new(Ssl::new(&context.build()).unwrap(), tcp).unwrap();
    Pin::new(&mut stream).connect().await.unwrap();
    assert_eq!(stream.ssl().selected_alpn_protocol(), Some(&b"h2"[..]));
    let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// A push without mistakes.
fn push(service: &PushService) -> Request<Full<Bytes>> {
    let url = format!("https://localhost:{}{}", service.port(), path(&TOKEN));
    let mut request = Request::post(url);
    for (name, value) in headers(TOPIC, now().plus(DAY)) {
        request = request.header(name, value);
    }
    request.body(Full::from(body(MAGIC))).unwrap()
}

async fn send(client: &mut Client, request: Request<Full<Bytes>>) -> Result<Answered, hyper::Error> {
    client.ready().await?;
    let response = client.send_request(request).await?;
    let text = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let (status, apns_id, retry_after) = (response.status().as_u16(), text("apns-id"), text("retry-after"));
    let body = response.into_body().collect().await?.to_bytes();
    let json = if body.is_empty() { serde_json::Value::Null } else { serde_json::from_slice(&body).unwrap() };
    Ok(Answered { status, apns_id, retry_after, json })
}

/// Pushes to a token as a server does.
pub(in crate::sim) async fn push_to(client: &mut Client, service: &PushService, token: &[u8], magic: &str) -> u16 {
    let mut request = push(service);
    *request.uri_mut() = format!("https://localhost:{}{}", service.port(), path(token)).parse().unwrap();
    *request.body_mut() = Full::from(body(magic));
    send(client, request).await.unwrap().status
}

/// Registers the token; what is received are its pushes.
fn register(service: &PushService) -> UnboundedReceiver<()> {
    let (told, heard) = unbounded_channel();
    let wake: Wake = Arc::new(move || told.send(()).unwrap_or_default());
    service.register(&TOKEN, Registration { topic: TOPIC.into(), magic: MAGIC.into(), wake });
    heard
}

#[tokio::test]
async fn a_push_wakes_its_device_and_keeps_its_id() {
    let service = start().await;
    let mut woken = register(&service);
    let mut client = connect(&service, Some(&push_certificate(TOPIC))).await;
    let mut request = push(&service);
    let id = "123e4567-e89b-12d3-a456-426614174000";
    request.headers_mut().insert("apns-id", id.parse().unwrap());
    let answer = send(&mut client, request).await.unwrap();
    assert_eq!((answer.status, answer.apns_id.as_deref()), (200, Some(id)));
    woken.recv().await.unwrap();

    let given = send(&mut client, push(&service)).await.unwrap().apns_id.unwrap();
    assert!(uuid::Uuid::parse_str(&given).is_ok());
    let counts = service.counts();
    assert_eq!((counts.connections, counts.requests, counts.delivered, counts.refused), (1, 2, 2, 0));
    let seen = service.observations();
    assert_eq!((seen[0].token.as_deref(), seen[0].topic.as_deref()), (Some(&TOKEN[..]), Some(TOPIC)));
    assert_eq!((seen[0].apns_id.as_str(), &seen[0].outcome), (id, &Outcome::Delivered));
}

#[tokio::test]
async fn every_mistake_gets_the_answer_that_apple_documents() {
    type Change = fn(&mut Request<Full<Bytes>>);
    fn header(request: &mut Request<Full<Bytes>>, name: &'static str, value: &str) {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    fn to(request: &mut Request<Full<Bytes>>, path: &str) {
        let uri = request.uri().to_string();
        *request.uri_mut() = (uri[..uri.find("/3/").unwrap()].to_owned() + path).parse().unwrap();
    }
    let cases: Vec<(u16, &str, Change)> = vec![
        (404, "BadPath", |request| to(request, "/4/device/ab")),
        (405, "MethodNotAllowed", |request| *request.method_mut() = Method::GET),
        (400, "MissingDeviceToken", |request| to(request, "/3/device/")),
        (400, "BadDeviceToken", |request| to(request, "/3/device/abc")),
        (400, "BadDeviceToken", |request| to(request, &path(&TOKEN).replace("ab", "AB"))),
        (400, "BadDeviceToken", |request| to(request, &path(&[1; 32]))),
        (400, "BadTopic", |request| header(request, "apns-topic", "com.example.app")),
        (400, "TopicDisallowed", |request| header(request, "apns-topic", "com.apple.mgmt.External.other")),
        (400, "InvalidPushType", |request| header(request, "apns-push-type", "alert")),
        (400, "InvalidPushType", |request| {
            request.headers_mut().remove("apns-push-type");
        }),
        (400, "BadPriority", |request| header(request, "apns-priority", "7")),
        (400, "BadExpirationDate", |request| header(request, "apns-expiration", "tomorrow")),
        (400, "BadMessageId", |request| header(request, "apns-id", "1")),
        (400, "BadCollapseId", |request| header(request, "apns-collapse-id", &"x".repeat(65))),
        (400, "DuplicateHeaders", |request| {
            request.headers_mut().append("apns-topic", TOPIC.parse().unwrap());
        }),
        (400, "PayloadEmpty", |request| *request.body_mut() = Full::default()),
        (400, "PayloadEmpty", |request| *request.body_mut() = Full::from(r#"{"mdm":"x","aps":{}}"#)),
        (400, "PayloadEmpty", |request| *request.body_mut() = Full::from(r#"{"mdm":""}"#)),
        (413, "PayloadTooLarge", |request| *request.body_mut() = Full::from(body(&"x".repeat(4090)))),
        (413, "PayloadTooLarge", |request| *request.body_mut() = Full::from(vec![b' '; 70_000])),
    ];
    let service = start().await;
    let mut woken = register(&service);
    let mut client = connect(&service, Some(&push_certificate(TOPIC))).await;
    for (status, reason, change) in &cases {
        let mut request = push(&service);
        change(&mut request);
        let answer = send(&mut client, request).await.unwrap();
        assert_eq!((answer.status, answer.json["reason"].as_str()), (*status, Some(*reason)));
    }
    assert_eq!(service.counts().refused, cases.len() as u64);
    assert!(woken.try_recv().is_err());
}

#[tokio::test]
async fn a_payload_of_4096_bytes_and_a_missing_topic_are_taken() {
    let service = start().await;
    drop(register(&service));
    let mut client = connect(&service, Some(&push_certificate(TOPIC))).await;
    let mut request = push(&service);
    request.headers_mut().remove("apns-topic");
    let largest = body(&"x".repeat(4096 - body("").len()));
    assert_eq!(largest.len(), 4096);
    *request.body_mut() = Full::from(largest);
    assert_eq!(send(&mut client, request).await.unwrap().status, 200);
}

#[tokio::test]
async fn who_has_no_push_certificate_may_not_push() {
    let service = start().await;
    drop(register(&service));
    let mut nobody = connect(&service, None).await;
    let answer = send(&mut nobody, push(&service)).await.unwrap();
    assert_eq!((answer.status, answer.json["reason"].as_str()), (403, Some("MissingProviderToken")));
    let stranger = protocol::pki::authority::Authority::create(
        "Stranger",
        now(),
        1,
        protocol::pki::authority::AuthorityRole::IssuesOnly,
    )
    .unwrap();
    let tomorrow = start_at(Clock::new(|| now().plus(DAY * 2)));
    let unusable = [
        (&service, stranger.issue_push(TOPIC, now(), DAY).unwrap()),
        (&service, push_certificate("com.example")),
        (&tomorrow, push_certificate(TOPIC)),
    ];
    for (service, certificate) in unusable {
        let mut client = connect(service, Some(&certificate)).await;
        let mut request = push(service);
        request.headers_mut().remove("apns-topic");
        let answer = send(&mut client, request).await.unwrap();
        assert_eq!((answer.status, answer.json["reason"].as_str()), (403, Some("BadCertificate")));
    }
}

#[tokio::test]
async fn a_token_that_is_gone_is_answered_with_the_moment_it_went() {
    let service = start().await;
    drop(register(&service));
    let before = now();
    service.unregister(&TOKEN);
    let mut client = connect(&service, Some(&push_certificate(TOPIC))).await;
    let answer = send(&mut client, push(&service)).await.unwrap();
    assert_eq!((answer.status, answer.json["reason"].as_str()), (410, Some("Unregistered")));
    let text = answer.json.to_string();
    let read = Answer { status: 410, apns_id: None, retry_after: None, body: text.as_bytes(), received_at: now() };
    assert!(matches!(Feedback::of(&read), Feedback::TokenDead { since } if since >= before && since <= now()));

    drop(register(&service));
    assert_eq!(send(&mut client, push(&service)).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_token_of_another_topic_is_refused() {
    let service = start().await;
    drop(register(&service));
    let other = "com.apple.mgmt.External.other";
    let mut client = connect(&service, Some(&push_certificate(other))).await;
    let mut request = push(&service);
    request.headers_mut().insert("apns-topic", other.parse().unwrap());
    let answer = send(&mut client, request).await.unwrap();
    assert_eq!((answer.status, answer.json["reason"].as_str()), (400, Some("DeviceTokenNotForTopic")));
}

#[tokio::test]
async fn a_wrong_magic_is_accepted_and_wakes_nobody() {
    let service = start().await;
    let mut woken = register(&service);
    let mut client = connect(&service, Some(&push_certificate(TOPIC))).await;
    let mut request = push(&service);
    *request.body_mut() = Full::from(body("another"));
    assert_eq!(send(&mut client, request).await.unwrap().status, 200);
    assert_eq!(service.counts().wrong_magic, 1);
    assert!(woken.try_recv().is_err());
}

#[tokio::test]
async fn a_device_that_is_off_gets_the_last_push_that_has_not_expired() {
    let service = start().await;
    let mut woken = register(&service);
    let mut client = connect(&service, Some(&push_certificate(TOPIC))).await;
    service.switch(&TOKEN, false);
    for _ in 0..3 {
        assert_eq!(send(&mut client, push(&service)).await.unwrap().status, 200);
    }
    assert!(woken.try_recv().is_err());
    service.switch(&TOKEN, true);
    woken.try_recv().unwrap();
    assert!(woken.try_recv().is_err(), "only the last one is kept");
    service.switch(&TOKEN, false);
    service.switch(&TOKEN, true);
    assert!(woken.try_recv().is_err(), "it is delivered once");

    service.switch(&TOKEN, false);
    for expiration in ["0", "1"] {
        let mut request = push(&service);
        request.headers_mut().insert("apns-expiration", expiration.parse().unwrap());
        assert_eq!(send(&mut client, request).await.unwrap().status, 200);
        assert_eq!(service.observations().last().unwrap().outcome, Outcome::Dropped);
    }
    service.switch(&TOKEN, true);
    assert!(woken.try_recv().is_err(), "now or never");
}

#[tokio::test]
async fn scripted_answers_come_as_often_as_they_should_and_to_whom() {
    let service = start().await;
    let mut woken = register(&service);
    let mut client = connect(&service, Some(&push_certificate(TOPIC))).await;
    let throttled = Fault::Answer {
        status: 429,
        reason: "TooManyRequests".into(),
        retry_after: Some(Duration::from_secs(7)),
        timestamp: None,
    };
    service.script(Target::Token(vec![1; 32]), Fault::answer(500, "InternalServerError"), None);
    service.script(Target::Token(TOKEN.to_vec()), throttled, Some(1));
    service.script(Target::All, Fault::answer(503, "ServiceUnavailable"), Some(2));
    let mut seen = Vec::new();
    for _ in 0..4 {
        let answer = send(&mut client, push(&service)).await.unwrap();
        seen.push((answer.status, answer.retry_after));
    }
    assert_eq!(seen, [(429, Some("7".to_owned())), (503, None), (503, None), (200, None)]);
    woken.recv().await.unwrap();
    service.heal();
    let moment = Timestamp::from_millis(1_700_000_000_123);
    let gone = Fault::Answer { status: 410, reason: "ExpiredToken".into(), retry_after: None, timestamp: Some(moment) };
    service.script(Target::All, gone, None);
    for _ in 0..2 {
        assert_eq!(send(&mut client, push(&service)).await.unwrap().json["timestamp"], moment.millis());
    }
}

#[tokio::test]
async fn a_delayed_push_arrives_and_a_black_hole_swallows_it() {
    let service = start().await;
    let mut woken = register(&service);
    let mut client = connect(&service, Some(&push_certificate(TOPIC))).await;
    service.script(Target::All, Fault::Delay(Duration::from_millis(20)), Some(1));
    assert_eq!(send(&mut client, push(&service)).await.unwrap().status, 200);
    woken.recv().await.unwrap();
    service.script(Target::All, Fault::BlackHole, Some(1));
    let waiting = tokio::time::timeout(Duration::from_millis(100), send(&mut client, push(&service))).await;
    assert!(waiting.is_err());
    assert_eq!(send(&mut client, push(&service)).await.unwrap().status, 200);
    let outcomes: Vec<_> = service.observations().into_iter().map(|seen| seen.outcome).collect();
    assert_eq!(outcomes, [Outcome::Delivered, Outcome::Unanswered, Outcome::Delivered]);
}

#[tokio::test]
async fn a_cut_connection_breaks_and_a_new_one_works() {
    let service = start().await;
    let mut woken = register(&service);
    let certificate = push_certificate(TOPIC);
    let mut client = connect(&service, Some(&certificate)).await;
    service.script(Target::All, Fault::Reset, Some(1));
    send(&mut client, push(&service)).await.unwrap_err();
    assert!(woken.try_recv().is_err());
    let mut client = connect(&service, Some(&certificate)).await;
    assert_eq!(send(&mut client, push(&service)).await.unwrap().status, 200);
    woken.recv().await.unwrap();
}

#[tokio::test]
async fn a_connection_that_is_told_to_go_answers_what_is_under_way_and_ends() {
    for by_count in [true, false] {
        let service = start().await;
        let mut woken = register(&service);
        let certificate = push_certificate(TOPIC);
        if by_count {
            service.close_after(1);
        } else {
            service.script(Target::All, Fault::GoAway, Some(1));
        }
        let mut client = connect(&service, Some(&certificate)).await;
        assert_eq!(send(&mut client, push(&service)).await.unwrap().status, 200);
        woken.recv().await.unwrap();
        // The GOAWAY is on its way; once it is here, the connection takes nothing more.
        let mut taken = 0;
        while send(&mut client, push(&service)).await.is_ok() {
            taken += 1;
            assert!(taken < 1000, "the connection never ends");
        }
        service.heal();
        let mut client = connect(&service, Some(&certificate)).await;
        assert_eq!(send(&mut client, push(&service)).await.unwrap().status, 200);
        assert_eq!(service.counts().connections, 2);
    }
}

#[tokio::test]
async fn a_stopped_service_cuts_its_connections_and_listens_no_more() {
    let service = start().await;
    drop(register(&service));
    let mut client = connect(&service, Some(&push_certificate(TOPIC))).await;
    assert_eq!(send(&mut client, push(&service)).await.unwrap().status, 200);
    service.stop();
    send(&mut client, push(&service)).await.unwrap_err();
    TcpStream::connect(("127.0.0.1", service.port())).await.unwrap_err();
}
